"""How well two ways of measuring the same people agree: errors, limits of agreement, intraclass correlation."""

from dataclasses import dataclass

import numpy as np

LEAST = 3  # people for an ICC and for limits of agreement
NOTHING = float("nan")


@dataclass(frozen=True)
class Agreement:
    """Of n pairs, A minus B, in their unit: mean absolute error; bias and standard deviation of the differences; the
    95 % limits of agreement; ICC(2,1). `*_low` and `*_high` are ends of 95 % intervals, `limits_error` half the width
    of each limit's. NaN where there are too few pairs, or no variance to speak of."""

    n: int
    mean_a: float
    mean_b: float
    mae: float
    bias: float
    bias_low: float = NOTHING
    bias_high: float = NOTHING
    sd: float = NOTHING
    lower: float = NOTHING
    upper: float = NOTHING
    limits_error: float = NOTHING
    icc: float = NOTHING
    icc_low: float = NOTHING
    icc_high: float = NOTHING


def agreement(a: np.ndarray, b: np.ndarray) -> Agreement:
    """The agreement of (n,) values of A and B, n at least 1, all finite, in one unit.

    Limits: bias ± 1.96 SD; their variance SD² (1/n + 1.96² / (2 (n - 1))), with Student's t of n - 1 degrees (Bland &
    Altman, Statistical Methods in Medical Research 1999;8:135-160).
    """
    from scipy.stats import t

    difference = a - b
    n, bias = len(a), float(difference.mean())
    plain = (n, float(a.mean()), float(b.mean()), float(np.abs(difference).mean()), bias)
    if n < LEAST:
        return Agreement(*plain)
    sd, student = float(difference.std(ddof=1)), float(t.ppf(0.975, n - 1))
    error, wide = student * sd / n**0.5, student * sd * (1 / n + 1.96**2 / (2 * (n - 1))) ** 0.5
    spread = (bias - error, bias + error, sd, bias - 1.96 * sd, bias + 1.96 * sd, wide)
    return Agreement(*plain, *spread, *icc(np.column_stack([a, b])))


def icc(scores: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """ICC(2,1) of (targets, judges) scores, and its interval: two-way random effects, absolute agreement, one score.

    Shrout & Fleiss, Psychological Bulletin 1979;86:420-428; the interval by Satterthwaite's degrees of freedom, as in
    McGraw & Wong, Psychological Methods 1996;1:30-46, where it is ICC(A,1). NaN where no score varies.
    """
    from scipy.stats import f

    n, k = scores.shape
    total = scores.mean()
    rows, columns = scores.mean(axis=1), scores.mean(axis=0)
    between = k * ((rows - total) ** 2).sum() / (n - 1)
    judges = n * ((columns - total) ** 2).sum() / (k - 1)
    rest = scores - rows[:, None] - columns + total
    error = (rest**2).sum() / ((n - 1) * (k - 1))
    if between + judges + error <= 1e-12 * (scores**2).mean():
        return NOTHING, NOTHING, NOTHING
    value = (between - error) / (between + (k - 1) * error + k * (judges - error) / n)
    if judges + error <= 1e-12 * between:
        return 1.0, 1.0, 1.0
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    freedom = (a * judges + b * error) ** 2 / ((a * judges) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1)))
    tail = 1 - (1 - confidence) / 2
    lower, upper = f.ppf(tail, n - 1, freedom), f.ppf(tail, freedom, n - 1)
    noise = k * judges + (k * n - k - n) * error
    return (
        float(value),
        float(n * (between - lower * error) / (lower * noise + n * between)),
        float(n * (upper * between - error) / (noise + n * upper * between)),
    )
