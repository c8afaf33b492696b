"""A walk seen from the front or the back: events are the trial's sagittal clip's, step width is this picture's.

What lies along the walk is depth here. Width is that of the ankles while each rests on the floor: from each to the line
between the other's places before and after it.
"""

from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from gaitloom.gait import legs, measure, scale, signals, steps, summary
from gaitloom.gait.course import LEG, TRUNK, Course, Walk
from gaitloom.gait.events import SIDES, Events
from gaitloom.gait.measure import Gait
from gaitloom.gait.scale import Scale
from gaitloom.keypoint_formats import WHOLEBODY_23

ALONE = (
    "the view is frontal; events come from a sagittal clip of the same subject, session, trial and segment: "
    "give both a sync_offset_s in the clip sheet"
)
DEPTH = "from the front, what lies along the walk is depth"
UNSEEN = "the feet were not seen where they rest"
ANKLE = 0.039  # statures above the floor (Winter 2009, fig. 4.1)
HEIGHT_ERROR = 0.1  # relative: of a person's apparent height while walking; an assumption, wider than from the side
SHIFTS = 0.02  # s between the shifts that are tried
SHIFTED = 0.15  # s by which feet rest earlier or later than contacts say, from which the clips are not in step
CLEARER = 0.15  # by which speeds must tell swing from rest better, as a share of both, for a shift to be believed


@dataclass(frozen=True)
class Rests:
    """(S,) each, one a contact: `time` s in the middle of what was looked at, `ankle` (S, 2) px of the resting one and
    `stature` px of the person as they look then; NaN where not seen."""

    time: np.ndarray
    ankle: np.ndarray
    stature: np.ndarray

    @property
    def seen(self) -> np.ndarray:
        """(S,) bool."""
        return np.isfinite(self.stature)

    def size(self, time: np.ndarray) -> np.ndarray:
        """(N,) px: the stature at any times (N,) s; its inverse, depth, changes evenly or nearly so."""
        known = self.seen
        degree = min(2, int(known.sum()) - 1)
        inverse = np.polyfit(self.time[known], 1 / self.stature[known], degree)
        return 1 / np.polyval(inverse, np.clip(time, self.time[known][0], self.time[known][-1]))


def gait(walk: Walk, given: Events, reason: str) -> Gait:
    """The gait of a walk from the front by the sagittal clip's events, whose times (s) are put on this clip's axis;
    `reason` is why there are none, if so. Events outside the clip are left out."""
    inside = (given.time >= walk.time[0]) & (given.time <= walk.time[-1])
    events = Events(*(getattr(given, f.name)[inside] for f in fields(Events)))
    contacts = int((events.kind == 0).sum())
    if reason or contacts < 2:
        few = f"{contacts} contacts of the sagittal clip fall into this one; a step needs two (check sync_offset_s)"
        return measure.nothing(walk, f"the sagittal clip gives nothing: {reason}" if reason else few)
    rate = 1 / float(np.median(np.diff(walk.time)))
    xy = _straightened(walk.xy, rate)
    rows = steps.table(_placeless(walk.time, rate), events, scale.none(DEPTH))
    rests = _rests(walk.time, xy, events, rows)
    shift = _shift(walk.time, rate, xy, events, rests)
    if abs(shift) > SHIFTED:
        when = f"{abs(shift):.1f} s {'later' if shift > 0 else 'earlier'}"
        return measure.nothing(walk, f"feet rest {when} than the sagittal clip says; correct sync_offset_s")
    size = _scale(walk, rests)
    if size.method != "none":
        rows.column("step_width")[:] = _widths(size.metres(rests.ankle), rows.foot)
    whole = summary.of(rows, DEPTH, size.reason or UNSEEN)
    used = (walk.time >= events.time[0]) & (walk.time <= events.time[-1])
    nothing = measure.nothing(walk, "")
    notes: dict[str, str | float] = {
        "direction": "towards" if _comes(rests) else "away",
        "view": "frontal",
        "scale": size.method,
        "scale_error": size.error,
        "sync_shift_s": round(shift, 3),
    }
    reason = "" if np.isfinite(whole.mean).any() else next(iter(whole.reasons.values()), "")
    curves = nothing.angle, nothing.cycle_foot, nothing.cycle_span, nothing.cycle
    return Gait(used, events, rows, whole, *curves, notes, reason)


def _at(xy: np.ndarray, name: str) -> np.ndarray:
    return xy[:, WHOLEBODY_23.points.index(name)]


def _straightened(xy: np.ndarray, rate: float) -> np.ndarray:
    """The points with legs named right."""
    tall = np.fmax(_at(xy, "left_ankle"), _at(xy, "right_ankle"))[:, 1] - _shoulders(xy)
    tall = tall[np.isfinite(tall)] / (LEG + TRUNK)
    return legs.straightened(xy, float(np.median(tall)), rate)[0] if len(tall) and np.median(tall) > 1 else xy


def _shoulders(xy: np.ndarray) -> np.ndarray:
    return (_at(xy, "left_shoulder") + _at(xy, "right_shoulder"))[:, 1] / 2


def _placeless(time: np.ndarray, rate: float) -> Course:
    """A course that says when, and not where."""
    count, points = len(time), len(WHOLEBODY_23.points)
    still, no = np.zeros(count), np.zeros((count, points), bool)
    return Course(time, rate, np.zeros((count, points, 2)), 1, 1.0, still, no[:, 0], no, "frontal")


def _stances(events: Events, foot: int) -> list[tuple[float, float]]:
    """From each contact (s) of a foot to its off, where there is none in time, as long as is usual."""
    contacts, offs = events.of(foot, 0), events.of(foot, 1)
    every = np.concatenate([np.diff(events.of(f, 0)) for f in (0, 1)])
    stride = float(np.median(every)) if len(every) else 1.0
    ends = [next((o for o in offs if c < o < c + stride), c + steps.STANCE * stride) for c in contacts]
    return list(zip(contacts.tolist(), map(float, ends), strict=True))


def _rests(time: np.ndarray, xy: np.ndarray, events: Events, rows: steps.Steps) -> Rests:
    """What is seen of each contact's foot while all of it is on the floor."""
    count = len(rows.time)
    found = Rests(np.full(count, np.nan), np.full((count, 2), np.nan), np.full(count, np.nan))
    stances = {(foot, start): end for foot in (0, 1) for start, end in _stances(events, foot)}
    for i, (foot, start) in enumerate(zip(rows.foot.tolist(), rows.time.tolist(), strict=True)):
        first, last = (start + share * (stances[foot, start] - start) for share in steps.PLANTED)
        ankle = _at(xy, f"{SIDES[foot]}_ankle")
        tall = (ankle[:, 1] - _shoulders(xy)) / (LEG + TRUNK)
        seen = (time >= first) & (time <= last) & (tall > 1)  # not where NaN
        found.time[i] = (first + last) / 2
        if seen.any():
            found.ankle[i], found.stature[i] = np.median(ankle[seen], axis=0), np.median(tall[seen])
    return found


def _comes(rests: Rests) -> bool:
    tall = rests.stature[rests.seen]
    return len(tall) > 1 and bool(tall[-1] > tall[0])


def _shift(time: np.ndarray, rate: float, xy: np.ndarray, events: Events, rests: Rests) -> float:
    """Seconds by which the feet rest and swing later in this picture than events say; 0 unless that is clearly so, NaN
    where they are not seen. A whole stride more or less looks the same."""
    if rests.seen.sum() < 2:
        return float("nan")
    strides = np.concatenate([np.diff(events.of(foot, 0)) for foot in (0, 1)])
    if not len(strides):
        return float("nan")
    half = float(np.median(strides)) / 2
    shifts = np.arange(-np.floor(half / SHIFTS), np.floor(half / SHIFTS) + 1) * SHIFTS
    resting, swinging = np.zeros(len(shifts)), np.zeros(len(shifts))
    for foot, side in enumerate(SIDES):
        speed = _speed(time, rate, xy, side, rests)
        stances = _stances(events, foot)
        swings = [(a[1], b[0]) for a, b in pairwise(stances) if b[0] - a[1] < half]
        for total, spans in ((resting, stances), (swinging, swings)):
            if spans:
                at = np.concatenate([np.linspace(a, b, 20) for a, b in spans])
                total += np.nanmean(np.interp(at + shifts[:, None], time, speed, np.nan, np.nan), axis=1)
    contrast = (swinging - resting) / np.maximum(swinging + resting, 1e-9)
    best = int(np.nanargmax(contrast))
    return float(shifts[best]) if contrast[best] > contrast[len(shifts) // 2] + CLEARER else 0.0


def _speed(time: np.ndarray, rate: float, xy: np.ndarray, side: str, rests: Rests) -> np.ndarray:
    """(T,) statures a second of whatever moves least of a foot in the picture: it rolls over heel and toe."""
    speeds = [np.full(len(time), np.nan)]
    for part in ("ankle", "heel", "big_toe"):
        path = _at(xy, f"{side}_{part}")
        known = np.isfinite(path[:, 0])
        if known.sum() > 2:
            whole = np.column_stack([np.interp(time, time[known], path[known, i]) for i in (0, 1)])
            smooth = signals.filtered(whole, rate, signals.CUTOFF)
            speeds.append(np.linalg.norm(np.gradient(smooth, time, axis=0), axis=1))
    return np.fmin.reduce(speeds) / rests.size(time)


def _scale(walk: Walk, rests: Rests) -> Scale:
    """Metres along and across of resting ankles; by the height, along is time, since depth is not known."""
    scene, tall = walk.scene, rests.stature[:, None]
    if rests.seen.sum() < 3:
        return scale.none(UNSEEN)
    method, homography = scale.plane(scene)
    if homography is not None:
        down = np.array([0.0, 1.0])

        def floor(points: np.ndarray) -> np.ndarray:
            return scale.on_plane(homography, scale.undistorted(points + ANKLE * tall * down, scene))

        aside = np.linalg.norm(floor(rests.ankle + np.array([1.0, 0.0])) - floor(rests.ankle), axis=1)
        if wrong := scale.implausible(method, float(np.nanmedian(aside * rests.stature)), scene):
            return scale.none(wrong)
        places = floor(rests.ankle)[rests.seen]
        turned = scale.turned(places[-1] - places[0])
        return Scale(lambda points: floor(points) @ turned, method, scale.KNOWN_ERROR)
    if method or scene.walkway is not None:
        return scale.none(scale.LINE if method else "from the front, the walkway's length is depth; give floor points")
    if not scene.height_cm:
        return scale.none(scene.height_reason or "nothing is known of the camera, and no body height is given")
    metres = scene.height_cm / 100 / rests.size(rests.time)
    middle = (walk.size[0] - 1) / 2 if scene.matrix is None else float(scene.matrix[0, 2])

    def by_height(points: np.ndarray) -> np.ndarray:
        return np.column_stack([rests.time, (scale.undistorted(points, scene)[:, 0] - middle) * metres])

    return Scale(by_height, "height", HEIGHT_ERROR)


def _widths(places: np.ndarray, foot: np.ndarray) -> np.ndarray:
    """(S,) m: from each place (along, across) to the line between the other foot's before and after it."""
    widths = np.full(len(foot), np.nan)
    for i in range(1, len(foot) - 1):
        if foot[i - 1] == foot[i + 1] != foot[i]:
            before, here, after = places[i - 1 : i + 2]
            share = (here[0] - before[0]) / (after[0] - before[0])
            widths[i] = abs(here[1] - before[1] - share * (after[1] - before[1]))
    return widths
