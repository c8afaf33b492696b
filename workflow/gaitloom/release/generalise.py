"""Columns told less exactly until at least k people look alike (k-anonymity: Sweeney 2002, Int. J. Uncertainty,
Fuzziness and Knowledge-Based Systems 10:557-570).

Numbers are told as they are, in bands, or not at all. A band is written by its ends, which are both part of it:
`35-49` holds everything from 35 up to, but without, 50. `90+` has no upper end, `<18` lies below the first band.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pandas as pd
from pandas.api.types import is_numeric_dtype

from gaitloom.errors import GaitloomError
from gaitloom.release.consent import MISSING
from gaitloom.release.settings import Precision
from gaitloom.release.tables import told

EXACT = "exact"
FIRST = 5.0  # width of the first bands of what was told exactly
OLD = 90.0  # ages from here on are one band in every tier: 45 CFR 164.514(b)(2)(i)(C)
MOST = 40  # doublings, more than any number needs


@dataclass(frozen=True)
class Rung:
    """One way to tell a column: `how`, in words, as text (N,), with `levels`: what each band means."""

    how: str
    values: pd.Series
    levels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Generalised:
    """A table (N people, index: their names) as text, how each column is told, what was done to get there, and the size
    of everybody's class (N,) among people who look alike."""

    table: pd.DataFrame
    rungs: dict[str, Rung]
    steps: tuple[str, ...]
    sizes: pd.Series


def sizes(table: pd.DataFrame) -> pd.Series:
    """(N,) how many people have the same values as this one, themselves among them; without columns, all have."""
    if table.columns.empty:
        return pd.Series(len(table), index=table.index, dtype=int)
    return table.groupby(list(table.columns), sort=False, dropna=False)[table.columns[0]].transform("size").astype(int)


def generalise(
    table: pd.DataFrame,
    columns: dict[str, Precision],
    k: int,
    sensitive: tuple[str, ...] = (),
    beside: pd.DataFrame | None = None,
) -> Generalised:
    """Tell the table's `columns` with their precision; then, until each class of people alike has at least k, wider.

    Classes are by all columns but the `sensitive` ones, and by those of `beside`, which are told as they are. Bands are
    doubled, one column at a time, from the last column to the first and round again; when there is but one band of
    each, columns are left out, from the last to the first. In the end each column, from the first to the last, is told
    again as finely as it can be with the others as they are. Deterministic; k need not be reached (`sizes`).
    """
    ladders = {c: list(_ladder(table[c], columns[c])) for c in columns}
    hidden = [c for c in columns if c not in sensitive]
    chosen = dict.fromkeys(columns, 0)

    def alike(rungs: dict[str, int]) -> pd.Series:
        told_so = {c: ladders[c][rungs[c]].values for c in hidden}
        return sizes(pd.concat([pd.DataFrame(told_so, index=table.index), beside], axis=1))

    def enough(rungs: dict[str, int]) -> bool:
        return bool((alike(rungs) >= k).all())

    for column in _order(hidden, ladders):
        if enough(chosen):
            break
        chosen[column] += 1
    if enough(chosen):
        for column in hidden:
            chosen[column] = next(i for i in range(chosen[column] + 1) if enough({**chosen, column: i}))
    rungs = {c: ladders[c][i] for c, i in chosen.items()}
    steps = tuple(f"{c}: {rungs[c].how} instead of {ladders[c][0].how}" for c, i in chosen.items() if i)
    values = pd.DataFrame({c: r.values for c, r in rungs.items()}, index=table.index, dtype="str")
    return Generalised(values, rungs, steps, alike(chosen))


def _order(columns: list[str], ladders: dict[str, list[Rung]]) -> Iterator[str]:
    """Which column takes its next step, as `generalise` has it."""
    left = {c: len(ladders[c]) - 2 for c in reversed(columns)}
    while any(left.values()):
        for column in (c for c in left if left[c]):
            left[column] -= 1
            yield column
    yield from left


def _ladder(values: pd.Series, precision: Precision) -> Iterator[Rung]:
    """Ways to tell a column, from the one asked for to none; each band lies in one of the next rung."""
    if is_numeric_dtype(values):
        for _ in range(MOST):
            rung = _numbers(values, precision)
            yield rung
            if rung.values[rung.values != MISSING].nunique() <= 1:
                break
            if (wider := _wider(precision)) == precision:
                break
            precision = wider
    elif precision == EXACT:
        yield Rung("as it is", values.map(told))
    else:
        raise GaitloomError(f"Column {values.name} is text, which has no bands; give it the precision `exact`.")
    yield Rung("not at all (n/a)", pd.Series(MISSING, index=values.index, dtype="str"))


def _wider(precision: Precision) -> Precision:
    if precision == EXACT:
        return FIRST
    return precision[::2] if isinstance(precision, tuple) else 2 * float(precision)


def _numbers(values: pd.Series, precision: Precision) -> Rung:
    oldest = OLD if values.name == "age" else math.inf
    if precision == EXACT:
        exact = values.map(lambda v: f"{oldest:g}+" if v >= oldest else told(v))
        return Rung("as it is", exact, {f"{oldest:g}+": f"{oldest:g} or more"} if (values >= oldest).any() else {})
    edges = tuple(p for p in precision if p <= oldest) if isinstance(precision, tuple) else (float(precision),)
    if isinstance(precision, tuple):
        band, how = _between(edges), "in bands that begin at " + ", ".join(f"{e:g}" for e in edges)
    else:
        band, how = _wide(*edges), f"in bands of {edges[0]:g}"
    step = 10.0 ** -max(_decimals(e) for e in edges)
    levels: dict[str, tuple[float, str]] = {}

    def name(value: float) -> str:
        if pd.isna(value):
            return MISSING
        low, high = band(min(value, oldest))
        if low == -math.inf:
            text = meaning = f"<{told(high)}"
        elif high > oldest or high == math.inf:
            text, meaning = f"{told(low)}+", f"{told(low)} or more"
        else:
            text, meaning = f"{told(low)}-{told(high - step)}", f"from {told(low)}, below {told(high)}"
        levels[text] = low, meaning
        return text

    banded = values.map(name)
    return Rung(how, banded, {text: meaning for text, (_, meaning) in sorted(levels.items(), key=lambda item: item[1])})


def _wide(width: float) -> Callable[[float], tuple[float, float]]:
    if not 0 < width < math.inf:
        raise GaitloomError(
            f"{width:g} is no width of bands; give a number above 0 under release.tiers.<tier>.columns."
        )

    def band(value: float) -> tuple[float, float]:
        number = math.floor(value / width + 1e-9)
        return number * width, (number + 1) * width

    return band


def _between(starts: tuple[float, ...]) -> Callable[[float], tuple[float, float]]:
    if not starts or list(starts) != sorted(set(starts)):
        raise GaitloomError(f"{list(starts)} are no bands; give rising numbers under release.tiers.<tier>.columns.")
    edges = (-math.inf, *starts, math.inf)

    def band(value: float) -> tuple[float, float]:
        at = bisect_right(starts, value + 1e-9)
        return edges[at], edges[at + 1]

    return band


def _decimals(number: float) -> int:
    text = f"{number:.10g}"
    return len(text.partition(".")[2])
