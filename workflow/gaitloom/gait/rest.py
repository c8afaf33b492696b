"""When exactly a foot lands and leaves, from the moments that the detectors name.

1. `aligned`: the strides of one foot resemble each other, so each event is moved to where its stride fits the middle of
   all strides best (height and way along the walk of heel, toe and ankle; scale free, for strides far and near).
2. `landed`: a foot lands moving. Where both detectors put the contact, heel and pelvis are equally quick; a moment
   later the foot rests. At contact the heel still has two thirds of the walking speed (Winter, Physical Therapy
   1992;72:45-53), so the contact lies between, and half-way is taken. When the foot rests is found over all its
   contacts at once: heel, toe or the whole foot, whichever rests first; a constant joined without a kink to a path
   from rest to rest (the cubic smoothstep, the plainest there is).
3. Offs stay at the first detector's moment, when toe and pelvis are equally quick; force plates agree (Zeni 2008).
"""

import numpy as np

from gaitloom.gait import signals
from gaitloom.gait.course import Course

AROUND = (0.8, 0.5)  # shares of swing before a contact and after it, and after and before an off, that are compared
CUTOFF = 8.0  # Hz, for comparing strides
FARTHEST = 0.06  # s by which an event is moved to fit the others
STEP = 0.004  # s between the places that are tried; a parabola finds the place between
TOLERATED = 0.02  # statures: differences beyond count no longer squared (Huber)
STANCE, SWING = 0.25, 0.5  # shares of stance and swing beside a contact to which the rest is fitted
LATE, SPAN = 0.03, 0.06  # s after the detectors' moment at which, and about which, the rest is searched
PLACE = 0.002  # s between the places tried
ONE = 0.03  # s within which heel and toe land as one
BETWEEN = 0.5  # of the way from the detectors' moment to the rest lies the contact


def aligned(course: Course, side: str, kind: int, times: np.ndarray, swing: float) -> np.ndarray:
    """The times (M,) s of one foot's events, each moved to where its stride fits the others'; their median stays."""
    if len(times) < 2:
        return times
    before, after = AROUND if kind == 0 else AROUND[::-1]
    shifts = np.arange(-FARTHEST, FARTHEST + 1e-9, STEP)
    lags = np.arange(-before * swing, after * swing, 1 / course.rate)
    windows = _windows(_paths(course, side), course, times, shifts, lags)
    best, scale = np.full(len(times), len(shifts) // 2, float), np.ones(len(times))
    for _ in range(4):
        placed = [_between(w, b) / s for w, b, s in zip(windows, best, scale, strict=True)]
        pattern = np.nanmedian(placed, axis=0) if len(times) > 2 else np.nanmean(placed, axis=0)
        fits = [_fit(w, pattern) for w in windows]
        best, scale = (np.array(values) for values in zip(*fits, strict=True))
        scale /= np.median(scale)
        best += len(shifts) // 2 - np.median(best)
        best = best.clip(0, len(shifts) - 1)
    return times + shifts[0] + STEP * best


def _paths(course: Course, side: str) -> np.ndarray:
    """(N, 6) statures: along the walk and down, of heel, toe and ankle."""
    points = [f"{side}_{p}" for p in ("heel", "big_toe", "ankle")]
    both = [(course.ahead(p), course.at(p)[:, 1] / course.stature) for p in points]
    return signals.filtered(np.stack([path for pair in both for path in pair], axis=1), course.rate, CUTOFF)


def _windows(
    paths: np.ndarray, course: Course, times: np.ndarray, shifts: np.ndarray, lags: np.ndarray
) -> list[np.ndarray]:
    """Of each event (S, L, C): the paths around it, shifted by each of `shifts`, about their mean; NaN outside."""
    index = np.arange(len(paths))
    found = []
    for time in times:
        at = (time + shifts[:, None] + lags - course.time[0]) * course.rate
        window = np.stack([np.interp(at, index, path, left=np.nan, right=np.nan) for path in paths.T], axis=-1)
        found.append(window - np.nanmean(window, axis=1, keepdims=True))
    return found


def _between(window: np.ndarray, place: float) -> np.ndarray:
    """(L, C): the window at a place between two shifts."""
    low = int(np.floor(place))
    high = min(low + 1, len(window) - 1)
    return window[low] + (place - low) * (window[high] - window[low])


def _fit(window: np.ndarray, pattern: np.ndarray) -> tuple[float, float]:
    """The place among the shifts of a window (S, L, C) where it is most like a scaled pattern (L, C), and the scale."""
    known = np.isfinite(window) & np.isfinite(pattern)
    values, model = np.where(known, window, 0.0), np.where(known, pattern, 0.0)
    weight, scale, left = known.astype(float), np.ones(len(window)), np.zeros_like(values)
    for _ in range(2):
        count = np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
        v = values - (weight * values).sum(axis=1, keepdims=True) / count
        m = model - (weight * model).sum(axis=1, keepdims=True) / count
        power = np.maximum((weight * m * m).sum(axis=(1, 2)), 1e-12)
        scale = ((weight * m * v).sum(axis=(1, 2)) / power).clip(0.6, 1.6)
        left = np.abs(v - scale[:, None, None] * m)
        weight = np.where(known, np.minimum(1, TOLERATED / np.maximum(left, 1e-9)), 0.0)
    loss = np.where(left < TOLERATED, left**2, TOLERATED * (2 * left - TOLERATED))
    cost = np.where(known, loss, 0.0).sum(axis=(1, 2)) / np.maximum(known.sum(axis=(1, 2)), 1)
    best = int(cost.argmin())
    return best + _vertex(cost, best), float(scale[best])


def _vertex(cost: np.ndarray, best: int) -> float:
    """From the lowest of evenly spaced values to the vertex of the parabola through it and its neighbours."""
    if not 0 < best < len(cost) - 1:
        return 0.0
    a, b, c = cost[best - 1 : best + 2]
    bend = a - 2 * b + c
    return float(0.5 * (a - c) / bend) if bend > 0 else 0.0


def landed(course: Course, side: str, times: np.ndarray, stance: float, swing: float) -> float:
    """How much later (s) than `times` (M,) one foot lands, the same for all: half-way to when it rests, or that of heel
    and toe does which clearly rests first."""
    paths = [course.ahead(f"{side}_{p}") for p in ("heel", "big_toe")]
    heel, toe, whole = (_rest(course, p, times, stance, swing) for p in (*paths, (paths[0] + paths[1]) / 2))
    return BETWEEN * (whole if abs(heel - toe) <= ONE else min(heel, toe))


def _rest(course: Course, path: np.ndarray, times: np.ndarray, stance: float, swing: float) -> float:
    """How much later (s) than `times` (M,) a path (N,) comes to rest, the same for all."""
    lag, values, stride = [], [], []
    for number, time in enumerate(times):
        about = course.time - time
        chosen = (about >= LATE - SWING * swing) & (about <= LATE + STANCE * stance)
        lag.append(about[chosen])
        values.append(path[chosen])
        stride.append(np.full(chosen.sum(), number))
    lag, values, stride = np.concatenate(lag), np.concatenate(values), np.concatenate(stride)
    places = np.arange(LATE - SPAN, LATE + SPAN + 1e-9, PLACE)
    before = np.maximum(places[:, None] - lag, 0)
    shape = before**2 * (1 - 2 / 3 * before / swing)
    weight, cost, best = np.ones_like(values), np.zeros(len(places)), 0
    for _ in range(3):
        left = _unfitted(values, shape, weight, stride)
        cost = (weight * left**2).sum(axis=1)
        best = int(cost.argmin())
        off = np.abs(left[best])
        usual = 1.5 * np.median(off) + 1e-9
        weight = np.minimum(1, 1.5 * usual / np.maximum(off, 1e-12))
    return float(places[best] + PLACE * _vertex(cost, best))


def _unfitted(values: np.ndarray, shape: np.ndarray, weight: np.ndarray, stride: np.ndarray) -> np.ndarray:
    """What is left (P, n) of `values` (n,) by each `shape` (P, n), with a place of its own for each stride."""
    total = np.bincount(stride, weight)

    def centred(rows: np.ndarray) -> np.ndarray:
        mean = np.stack([np.bincount(stride, weight * row) for row in rows]) / np.maximum(total, 1e-12)
        return rows - mean[:, stride]

    v, s = centred(values[None])[0], centred(shape)
    size = (weight * s * v).sum(axis=1) / np.maximum((weight * s * s).sum(axis=1), 1e-12)
    return v - size[:, None] * s
