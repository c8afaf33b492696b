"""Initial contacts and foot offs, by two detectors that share nothing but the points, and the moment between them.

Zeni et al., Gait & Posture 2008;27:710-714, coordinate-based: a foot's contact is where its heel is farthest ahead of
the pelvis, its off where its toe is farthest behind. Pelvis: the middle of both hips.

Desailly et al., Gait & Posture 2009;29:76-80, high-pass algorithm: the heel's and toe's own path along the walk,
low-passed at 7 Hz, then high-passed at 0.5 of the gait's frequency; contacts are the heel's maxima, offs the toe's
minima after another high-pass at 1.1 of it. The abstract says heel, forefoot, forward component, high-pass and extrema;
these cut-offs are those of the method's implementation in gaitalytics. Filters here have no lag.

Where at least one speaks there is an event; `rest` then says when exactly. The closer both are, the surer it is.
"""

from dataclasses import dataclass

import numpy as np

from gaitloom.gait import rest, signals
from gaitloom.gait.course import Course

SIDES = ("left", "right")
KINDS = ("contact", "off")
CYCLE = 0.4  # s: no foot's two contacts are nearer
PROMINENCE = 0.1  # share of the signal's range
SAME = 0.15  # s within which two detectors mean the same event
APART = 0.1  # s between them at which nothing is left of the confidence
ALONE = 0.25  # confidence in what one detector says alone
NEAREST = 0.6  # of a stride: one foot's contacts are not nearer; the less sure one goes
LEAST_STANCE = 0.4  # share of a stride; walking has both feet down at times, so more than half of it
USUAL_SWING = 0.38  # of a stride, where nothing better is known (Winter 2009: stance 0.6 to 0.62)


@dataclass(frozen=True)
class Events:
    """(E,) each, in order of time: `foot` 0 left, 1 right; `kind` 0 contact, 1 off; `time` s; what each detector said,
    `zeni` and `desailly` s, NaN where it said nothing; `confidence` 0..1."""

    foot: np.ndarray
    kind: np.ndarray
    time: np.ndarray
    zeni: np.ndarray
    desailly: np.ndarray
    confidence: np.ndarray

    def of(self, foot: int, kind: int) -> np.ndarray:
        """Times (M,) of one foot's events of a kind, rising."""
        return self.time[(self.foot == foot) & (self.kind == kind)]


def zeni(course: Course) -> dict[tuple[int, int], np.ndarray]:
    """(foot, kind) → times (s) of the first detector."""
    pelvis = course.smooth("hips")
    found = {}
    for foot, side in enumerate(SIDES):
        for kind, (point, sign) in enumerate((("heel", 1), ("big_toe", -1))):
            away = sign * (course.smooth(f"{side}_{point}") - pelvis)
            found[foot, kind] = _times(course, signals.peaks(away, course.rate, CYCLE, PROMINENCE))
    return found


def desailly(course: Course) -> dict[tuple[int, int], np.ndarray]:
    """(foot, kind) → times (s) of the second detector; nothing where the gait has no frequency."""
    pace = frequency(course)
    if pace is None:
        return {(foot, kind): np.zeros(0) for foot in (0, 1) for kind in (0, 1)}
    found = {}
    for foot, side in enumerate(SIDES):
        for kind, (point, sign) in enumerate((("heel", 1), ("big_toe", -1))):
            path = course.smooth(f"{side}_{point}", 7.0)
            path = path - np.polyval(np.polyfit(course.time, path, 1), course.time)
            for share in (0.5, 1.1)[: kind + 1]:
                path = signals.filtered(path, course.rate, share * pace, "high")
            found[foot, kind] = _times(course, signals.peaks(sign * path, course.rate, CYCLE, PROMINENCE))
    return found


def frequency(course: Course) -> float | None:
    """Strides a second: where the distance between the ankles resembles itself most, 0.4 to 3 s later."""
    apart = course.smooth("left_ankle") - course.smooth("right_ankle")
    apart = apart - apart.mean()
    like = np.correlate(apart, apart, "full")[len(apart) - 1 :] / np.arange(len(apart), 0, -1)
    first, last = round(CYCLE * course.rate), min(round(3 * course.rate), len(apart) - 2)
    if last <= first + 2:
        return None
    window = like[first:last]
    tops = np.flatnonzero((window[1:-1] > window[:-2]) & (window[1:-1] >= window[2:])) + 1
    tops = tops[window[tops] > 0.3 * like[0]] if len(tops) else tops
    if not len(tops):
        return None
    # The first top that is nearly as high as the highest: later ones are its multiples.
    return course.rate / float(first + tops[window[tops] > 0.8 * window[tops].max()][0])


def _times(course: Course, places: np.ndarray) -> np.ndarray:
    return np.interp(places, np.arange(len(course.time)), course.time)


def detect(course: Course) -> Events:
    """Both feet's events in a course; there may be none."""
    first, second = zeni(course), desailly(course)
    stride = 1 / (frequency(course) or 1.0)
    rows: list[tuple[float, int, int, float, float, float]] = []
    for foot, side in enumerate(SIDES):
        said = {kind: _paired(first[foot, kind], second[foot, kind]) for kind in (0, 1)}
        said = {kind: _spaced(_inside(pairs, course), stride) for kind, pairs in said.items()}
        said[1] = _stood(said[0], said[1], stride)
        for kind, times in _exactly(course, side, {k: _middle(p) for k, p in said.items()}, stride).items():
            sure = _confidence(said[kind]) * _seen(course, side, times)
            rows += [
                (t, foot, kind, a, b, c)
                for t, (a, b), c in zip(times.tolist(), said[kind].tolist(), sure.tolist(), strict=True)
            ]
    table = np.array(sorted(rows), float).reshape(-1, 6)
    return Events(table[:, 1].astype(np.int8), table[:, 2].astype(np.int8), table[:, 0], *table[:, 3:].T)


def _paired(zeni: np.ndarray, desailly: np.ndarray) -> np.ndarray:
    """(M, 2) times (s) of the same events by either detector, NaN where one says nothing."""
    pairs, left = [], list(desailly)
    for time in zeni:
        near = min(left, key=lambda t: abs(t - time), default=np.inf)
        if abs(near - time) <= SAME:
            left.remove(near)
            pairs.append((time, near))
        else:
            pairs.append((time, np.nan))
    pairs += [(np.nan, t) for t in left]
    table = np.array(pairs, float).reshape(-1, 2)
    return table[np.argsort(_middle(table))]


def _middle(pairs: np.ndarray) -> np.ndarray:
    """(M,) the first detector's time, or the second's where it has none."""
    return np.where(np.isfinite(pairs[:, 0]), pairs[:, 0], pairs[:, 1])


def _confidence(pairs: np.ndarray) -> np.ndarray:
    """(M,) 1 where both agree, falling to 0 at `APART`."""
    apart = np.abs(pairs[:, 0] - pairs[:, 1])
    return np.where(np.isfinite(apart), np.clip(1 - apart / APART, 0, 1), ALONE)


def _inside(pairs: np.ndarray, course: Course) -> np.ndarray:
    """Those with something to see on either side."""
    time = _middle(pairs)
    return pairs[(time > course.time[0] + 0.1) & (time < course.time[-1] - 0.1)]


def _spaced(pairs: np.ndarray, stride: float) -> np.ndarray:
    """Without the less sure of two that are too near to be two."""
    kept = pairs
    while len(kept) > 1:
        gap = np.diff(_middle(kept))
        tight = int(gap.argmin())
        if gap[tight] >= NEAREST * stride:
            break
        sure = _confidence(kept[tight : tight + 2])
        kept = np.delete(kept, tight + int(sure[1] <= sure[0]), axis=0)
    return kept


def _stood(contacts: np.ndarray, offs: np.ndarray, stride: float) -> np.ndarray:
    """The offs without those for which the foot would hardly have stood since its contact: so nobody walks."""
    since = _middle(offs)[:, None] - _middle(contacts)
    early = ((since > 0) & (since < LEAST_STANCE * stride)).any(axis=1)
    return offs[~early]


def _exactly(course: Course, side: str, times: dict[int, np.ndarray], stride: float) -> dict[int, np.ndarray]:
    """One foot's contacts and offs, at the moments at which it lands and leaves."""
    swing = _swing(times[0], times[1]) or USUAL_SWING * stride
    placed = {kind: rest.aligned(course, side, kind, t, swing) for kind, t in times.items()}
    late = 0.0
    for _ in range(2):  # the lengths of stance and swing depend on the moment of landing, and it on them
        swing = _swing(placed[0] + late, placed[1]) or USUAL_SWING * stride
        swing = float(np.clip(swing, 0.2 * stride, 0.6 * stride))
        if len(placed[0]):
            late = rest.landed(course, side, placed[0], stride - swing, swing)
    return {0: placed[0] + late, 1: placed[1]}


def _swing(contacts: np.ndarray, offs: np.ndarray) -> float | None:
    """The median time (s) from an off to the next contact."""
    after = np.searchsorted(contacts, offs)
    known = after < len(contacts)
    return float(np.median(contacts[after[known]] - offs[known])) if known.any() else None


def _seen(course: Course, side: str, times: np.ndarray) -> np.ndarray:
    """(M,) share of the foot's points within 0.1 s that were seen, and not bridged."""
    from gaitloom.keypoint_formats import WHOLEBODY_23

    points = [WHOLEBODY_23.points.index(f"{side}_{p}") for p in ("heel", "big_toe", "ankle")]
    seen = 1 - course.guessed[:, points].mean(axis=1)
    return np.array([seen[np.abs(course.time - t) <= 0.1].mean() for t in times])
