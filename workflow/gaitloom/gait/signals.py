"""Signals on an even time axis: filters without lag, gaps, outliers, peaks between samples.

Low-pass: Butterworth of second order, run forwards and backwards (fourth order, no lag), the cut-off corrected for two
passes so that it stays where it is said to be (Winter, Biomechanics and Motor Control of Human Movement, 4th ed., 2009,
sec. 2.2.4.4). High-pass likewise.
"""

import warnings

import numpy as np

CUTOFF = 6.0  # Hz; Winter (2009, sec. 2.2.4.4) for gait; 6 Hz as well in most work with keypoints (Stenum et al. 2021)
PASSES = (2**0.5 - 1) ** 0.25  # two passes of a second-order filter lower the -3 dB frequency by this factor


def filtered(values: np.ndarray, rate: float, cutoff: float, kind: str = "low") -> np.ndarray:
    """Values (N, ...) sampled at `rate` (Hz), low- or high-passed along the first axis; NaN-free in, NaN-free out."""
    from scipy.signal import butter, sosfiltfilt

    corner = cutoff / PASSES if kind == "low" else cutoff * PASSES
    if corner >= 0.49 * rate:  # a camera this slow sees nothing above the cut-off
        return values.copy()
    sections = butter(2, corner, kind, fs=rate, output="sos")
    # Padded by the slowest thing that passes, mirrored about the ends, so that a trend goes on beyond them.
    padding = min(len(values) - 1, int(np.ceil(rate / cutoff)))
    return sosfiltfilt(sections, values, axis=0, padlen=padding)


def even(time: np.ndarray) -> tuple[np.ndarray, float]:
    """An even time axis (N,) over the same span, and its rate in Hz: as many frames as the median step of `time` (T,) s
    says, gaps counted. Stamps rounded to milliseconds, as Matroska's are, give no frame more or less."""
    places = frames(time)
    count = max(2, int(places[-1]) + 1)
    grid = np.linspace(time[0], time[-1], count)
    return grid, (count - 1) / float(time[-1] - time[0])


def frames(time: np.ndarray) -> np.ndarray:
    """(T,) int: the even frame that each time (T,) s stands for, from 0."""
    steps = np.diff(time)
    return np.concatenate([[0], np.cumsum(np.maximum(1, np.rint(steps / np.median(steps))))]).astype(int)


def bridged(values: np.ndarray, rate: float, longest: float) -> np.ndarray:
    """Values (N, ...) with gaps (NaN) of up to `longest` s inside filled on straight lines; longer ones stay."""
    out = values.reshape(len(values), -1).copy()
    index = np.arange(len(out))
    for column in out.T:
        known = np.flatnonzero(np.isfinite(column))
        if len(known) < 2:
            continue
        inside = (index > known[0]) & (index < known[-1]) & ~np.isfinite(column)
        after = np.searchsorted(known, index[inside])
        short = known[after] - known[after - 1] - 1 <= longest * rate
        places = np.flatnonzero(inside)[short]
        column[places] = np.interp(places, known, column[known])
    return out.reshape(values.shape)


def outliers(values: np.ndarray, rate: float, limit: float, span: float = 0.1) -> np.ndarray:
    """(N,) bool: samples (N, 2) farther than `limit` from the straight line through the medians of the `span` s before
    and after. A foot in swing stays within it; a point that jumps to the other leg for a moment does not."""
    half = max(2, round(span * rate))
    padded = np.pad(values, ((half, half), (0, 0)), constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0)  # (N, 2, window)
    sides = around[..., :half], around[..., half + 1 :]
    known = np.min([np.isfinite(side[:, 0]).sum(axis=1) for side in sides], axis=0) >= 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # windows that are empty are not `known`
        middle = np.mean([np.nanmedian(side, axis=2) for side in sides], axis=0)
    return known & (np.linalg.norm(values - middle, axis=1) > limit)


def peaks(values: np.ndarray, rate: float, apart: float, share: float) -> np.ndarray:
    """Places (M,) of the maxima of `values` (N,), in samples, between them by a parabola through three; at least
    `apart` s from each other and standing out by `share` of the values' range (5th to 95th percentile)."""
    from scipy.signal import find_peaks

    low, high = np.percentile(values, [5, 95])
    found, _ = find_peaks(values, distance=max(1, round(apart * rate)), prominence=max(share * (high - low), 1e-9))
    a, b, c = values[found - 1], values[found], values[found + 1]
    return found + 0.5 * (a - c) / (a - 2 * b + c)


def stretches(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and last-but-one index of every run of True in `mask` (N,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
