"""A walk made ready: one stretch of steady walking in one direction, cleaned, on an even time axis.

What cannot be used says so in one sentence (`UnfitError`); it ends up as the node's reason.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from gaitloom.gait import legs, signals
from gaitloom.gait.scene import Scene
from gaitloom.keypoint_formats import WHOLEBODY_23

LONGEST_GAP = 0.2  # s of missing frames that are bridged
SHORTEST = 1.0  # s of walking in one piece; shorter than about two steps
SLOWEST_RATE = 20.0  # Hz; below it 6 Hz cannot be kept
ON_TIME = 0.1  # of a frame: what rounded time stamps are off, and no more
STANDING = 0.12  # statures a second; nobody walks on more slowly
SIDEWAYS = 0.075  # statures that a foot must look long for a side view (a foot is 0.152, Winter 2009, fig. 4.1)
TURNED = 0.5  # s of facing the other way that make it a turn
MOVING = 0.1  # statures a second by which planted feet move if the camera does, and at least ...
MOVING_SHARE = 0.25  # ... of the walking speed
LEG, TRUNK = 0.491, 0.288  # statures: hip to ankle along the leg, hips to shoulders (Winter 2009, fig. 4.1)


class UnfitError(Exception):
    """The walk gives nothing; the one sentence says why."""


@dataclass(frozen=True)
class Walk:
    """What a backend is given of a clip: `time` (T,) s, `xy` (T, 23, 2) px in COCO-WholeBody's order, NaN where
    unknown, the picture's `size` (width, height) px, and what is known of the camera and the person."""

    time: np.ndarray
    xy: np.ndarray
    size: tuple[int, int]
    scene: Scene = field(default_factory=Scene)


@dataclass(frozen=True)
class Course:
    """`time` (N,) s even at `rate` Hz; `xy` (N, 23, 2) px cleaned and bridged, not smoothed; `forward` +1 where the
    walk goes to the picture's right, else -1; `stature` px; `drift` (N,) px by which the picture moved since the first
    frame (zeros for a camera that stands); `exchanged` (N,) bool, where legs were put right; `guessed` (N, 23) bool,
    points that were bridged; `view` as it was said, else sagittal."""

    time: np.ndarray
    rate: float
    xy: np.ndarray
    forward: int
    stature: float
    drift: np.ndarray
    exchanged: np.ndarray
    guessed: np.ndarray
    view: str

    @property
    def near(self) -> str:
        """The side towards the camera."""
        return "right" if self.forward > 0 else "left"

    @property
    def panning(self) -> bool:
        """Whether the camera moves."""
        return bool(np.any(self.drift))

    def at(self, name: str) -> np.ndarray:
        """(N, 2) px of a point; `hips`, `shoulders` are the middle of both."""
        if name in ("hips", "shoulders"):
            return (self.at(f"left_{name[:-1]}") + self.at(f"right_{name[:-1]}")) / 2
        return self.xy[:, WHOLEBODY_23.points.index(name)]

    def ahead(self, name: str) -> np.ndarray:
        """(N,) statures: how far along the walk a point is, over ground that does not move."""
        return self.forward * (self.at(name)[:, 0] - self.drift) / self.stature

    def smooth(self, name: str, cutoff: float = signals.CUTOFF) -> np.ndarray:
        """`ahead` without what is quicker than `cutoff` Hz."""
        return signals.filtered(self.ahead(name), self.rate, cutoff)


def prepare(walk: Walk) -> Course:
    """The longest stretch of a walk in one direction, seen from the side.

    Raises:
        UnfitError: there is none.
    """
    if np.isfinite(walk.xy[:, :, 0]).sum() == 0:
        raise UnfitError("nobody was posed")
    time, rate = signals.even(walk.time)
    if rate < SLOWEST_RATE:
        raise UnfitError(f"{rate:.3g} frames a second are too few; {SLOWEST_RATE:.0f} are needed")
    xy = _resampled(walk, time)
    stature = stature_of(xy)
    xy, exchanged = legs.straightened(xy, stature, rate)
    guessed = ~np.isfinite(xy[..., 0])
    xy = signals.bridged(xy, rate, LONGEST_GAP)
    first, last = _whole(xy, walk.size, rate)
    piece = slice(first, last)
    time, xy = time[piece], xy[piece]
    forward, view = _direction(xy, stature, rate, walk.scene.view)
    course = Course(time, rate, xy, forward, stature, np.zeros(len(time)), exchanged[piece], guessed[piece], view)
    return _grounded(course)


def stature_of(xy: np.ndarray) -> float:
    """Stature in px, from trunk and longer leg as they look from the side: the median over the frames of `xy`."""
    at = {name: xy[:, i] for i, name in enumerate(WHOLEBODY_23.points)}
    trunk = np.linalg.norm(at["left_shoulder"] + at["right_shoulder"] - at["left_hip"] - at["right_hip"], axis=1) / 2
    leg = [
        np.linalg.norm(at[f"{s}_hip"] - at[f"{s}_knee"], axis=1)
        + np.linalg.norm(at[f"{s}_knee"] - at[f"{s}_ankle"], axis=1)
        for s in ("left", "right")
    ]
    found = (trunk + np.mean(leg, axis=0)) / (LEG + TRUNK)
    if not np.isfinite(found).any():
        raise UnfitError("hips, shoulders or legs were never posed together")
    if not (middle := float(np.nanmedian(found))) > 1:
        raise UnfitError("all points fall on one")
    return middle


NEEDED = [
    WHOLEBODY_23.points.index(f"{side}_{part}")
    for side in ("left", "right")
    for part in ("shoulder", "hip", "knee", "ankle", "heel", "big_toe")
]


def _resampled(walk: Walk, time: np.ndarray) -> np.ndarray:
    """The points on the even time axis; NaN where neither neighbour is known. Those on time are left as they
    are: between a frame with exchanged legs and one without there is nothing."""
    places = signals.frames(walk.time)
    if np.abs(time[places] - walk.time).max() < ON_TIME * (time[1] - time[0]):
        out = np.full((len(time), *walk.xy.shape[1:]), np.nan)
        out[places] = walk.xy
        return out
    flat = walk.xy.reshape(len(walk.xy), -1).astype(float)
    step = time[1] - time[0]
    out = np.full((len(time), flat.shape[1]), np.nan)
    for column, target in zip(flat.T, out.T, strict=True):
        known = np.isfinite(column)
        if known.sum() > 1:
            at = walk.time[known]
            target[:] = np.interp(time, at, column[known], left=np.nan, right=np.nan)
            after = np.clip(np.searchsorted(at, time), 1, len(at) - 1)
            target[at[after] - at[after - 1] > 1.5 * step + LONGEST_GAP] = np.nan
    return out.reshape(len(time), *walk.xy.shape[1:])


def _whole(xy: np.ndarray, size: tuple[int, int], rate: float) -> tuple[int, int]:
    """The longest stretch in which trunk, legs and feet are known and in the picture."""
    body = xy[:, NEEDED]
    known = np.asarray(np.isfinite(body[..., 0]).all(axis=1))
    inside = known & np.asarray(((body >= 0) & (body <= np.array(size) - 1)).all(axis=(1, 2)))
    least = SHORTEST * rate
    pieces = sorted(signals.stretches(inside), key=lambda p: p[0] - p[1])
    if pieces and pieces[0][1] - pieces[0][0] >= least:
        return pieces[0]
    if any(b - a >= least for a, b in signals.stretches(known)):
        raise UnfitError(f"trunk, legs and feet are never all in the picture for {SHORTEST:g} s")
    raise UnfitError(f"trunk, legs and feet are never all posed for {SHORTEST:g} s in a row")


def _direction(xy: np.ndarray, stature: float, rate: float, said: str | None) -> tuple[int, str]:
    """Where the walk goes (+1: to the picture's right), by where the feet point, and the view."""
    at = {name: xy[:, i] for i, name in enumerate(WHOLEBODY_23.points)}
    foot = np.mean([at[f"{s}_big_toe"][:, 0] - at[f"{s}_heel"][:, 0] for s in ("left", "right")], axis=0) / stature
    if said == "frontal" or (said is None and np.median(np.abs(foot)) < SIDEWAYS):
        raise UnfitError("the feet point at the camera; if the view is frontal, say so in cameras.<name>.view")
    width = max(1, round(0.5 * rate))
    facing = np.convolve(foot, np.ones(width) / width, "same")
    right, left = (facing > 0.03).mean() * len(xy) / rate, (facing < -0.03).mean() * len(xy) / rate
    if min(right, left) > TURNED:
        raise UnfitError("the walker turns; give each direction its own segment (`gaitloom passes` proposes them)")
    if max(right, left) < SHORTEST / 2:
        raise UnfitError("the feet point in no direction; the view may not be from the side")
    return (1 if right > left else -1), said or "sagittal"


def _grounded(course: Course) -> Course:
    """The same with the camera's own motion known: planted feet do not move over ground.

    Of a camera that stands, the slower foot stands too. Of one that moves, the foot that goes backwards against the
    body is the planted one, and its speed is the picture's.
    """
    ankles = [course.smooth(f"{s}_ankle", 3.0) for s in ("left", "right")]
    hips = course.smooth("hips", 3.0)
    speed = [np.gradient(a) * course.rate for a in ankles]
    back = [np.gradient(a - hips) * course.rate for a in ankles]
    pace = -float(np.median(np.minimum(*back)))
    if pace < STANDING:
        raise UnfitError("nobody walks: the feet do not pass each other")
    if np.median(np.fmin(*np.abs(speed))) < max(MOVING, MOVING_SHARE * pace):
        if hips[-1] < hips[0]:
            raise UnfitError("the walk goes backwards: against where the feet point")
        return course
    picture = signals.filtered(np.where(back[0] < back[1], *speed), course.rate, 1.0)
    drift = course.forward * course.stature * np.cumsum(picture) / course.rate
    return replace(course, drift=drift - drift[0])
