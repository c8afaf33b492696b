"""Steps and strides from events: one row a contact, each with what it ends and what it begins.

Definitions (Winter 2009; as OptoGait and GAITRite): a step ends with a foot's contact and began with the other's; a
stride, with the same foot's contact before. Stance: contact to off. Swing: off to contact. Initial double support: a
contact to the other foot's off. Single support: the other foot's swing. Double support: a stride's both overlaps.
"""

from dataclasses import dataclass

import numpy as np

from gaitloom.gait.course import Course
from gaitloom.gait.events import SIDES, Events
from gaitloom.gait.scale import Scale

PLANTED = (0.1, 0.5)  # shares of stance between which the whole foot is on the ground and rests
STANCE = 0.6  # of a stride, where no off was found (Winter 2009)
HEEL_UP = 0.035  # statures between heel and toe, each where it is lowest, from which somebody walks on the toes
# Of planted feet in the picture, by the points' errors alone: a share of the walking speed, and statures a second.
CREEP = 0.12, 0.04
STEADY = 0.2  # a steady step's time lies within this share of its foot's median
COLUMNS = {
    "step_time": "s",
    "step_length": "m",
    "stride_time": "s",
    "stride_length": "m",
    "speed": "m s-1",
    "stance_time": "s",
    "swing_time": "s",
    "initial_double_support": "s",
    "double_support": "s",
    "single_support": "s",
    "step_width": "m",
}


@dataclass(frozen=True)
class Steps:
    """(S,) rows, one a contact: `foot` 0 left, 1 right; `time` s of the contact; `steady`; `confidence`; and `values`
    (S, len(COLUMNS)), NaN where unknown."""

    foot: np.ndarray
    time: np.ndarray
    steady: np.ndarray
    confidence: np.ndarray
    values: np.ndarray

    def column(self, name: str) -> np.ndarray:
        """(S,) one of `COLUMNS`."""
        return self.values[:, list(COLUMNS).index(name)]


def table(course: Course, events: Events, scale: Scale) -> Steps:
    """The steps of a walk; lengths along it, NaN where there is no scale."""
    contact = np.flatnonzero(events.kind == 0)
    foot, time = events.foot[contact].astype(int), events.time[contact]
    places = _places(course, events, contact)
    metres = scale.metres(places) if len(places) else np.zeros((0, 2))
    values = np.full((len(contact), len(COLUMNS)), np.nan)
    put = {name: values[:, i] for i, name in enumerate(COLUMNS)}
    for i, (side, at) in enumerate(zip(foot.tolist(), time.tolist(), strict=True)):
        if i and foot[i - 1] != side:
            put["step_time"][i] = at - time[i - 1]
            put["step_length"][i] = metres[i, 0] - metres[i - 1, 0]
            put["step_width"][i] = _width(metres, foot, i)
        before = np.flatnonzero(foot[:i] == side)
        if len(before) and i - before[-1] == 2 and foot[i - 1] != side:
            put["stride_time"][i] = at - time[before[-1]]
            put["stride_length"][i] = metres[i, 0] - metres[before[-1], 0]
            put["speed"][i] = put["stride_length"][i] / put["stride_time"][i]
        _supports(put, events, i, side, at, time, foot)
    return Steps(foot.astype(np.int8), time, _steady(foot, put["step_time"]), events.confidence[contact], values)


def _places(course: Course, events: Events, contact: np.ndarray) -> np.ndarray:
    """(S, 2) px: where each contact's foot is planted in mid-stance, over ground for a camera that moves: the middle of
    heel and toe, or the toe alone where the heel stays up."""
    stride = _usual_stride(events)
    heels_up = [_heel_up(course, side) for side in SIDES]
    places = np.full((len(contact), 2), np.nan)
    drift = np.column_stack([course.drift, np.zeros_like(course.drift)])
    for row, index in enumerate(contact):
        side, start = SIDES[events.foot[index]], float(events.time[index])
        off = _next(events.of(int(events.foot[index]), 1), start, stride)
        stance = off - start if np.isfinite(off) else STANCE * stride
        rests = (course.time >= start + PLANTED[0] * stance) & (course.time <= start + PLANTED[1] * stance)
        if rests.any():
            points = ("big_toe",) if heels_up[events.foot[index]] else ("heel", "big_toe")
            middle = np.mean([course.at(f"{side}_{p}") for p in points], axis=0) - drift
            places[row] = np.nanmedian(middle[rests], axis=0)
    return places


def creeps(course: Course, events: Events) -> bool:
    """Whether planted feet move in the picture, as they do if the camera moves."""
    speeds = []
    for foot, side in enumerate(SIDES):
        middle = (course.ahead(f"{side}_heel") + course.ahead(f"{side}_big_toe")) / 2
        for start in events.of(foot, 0):
            stance = STANCE * _usual_stride(events)
            rests = (course.time >= start + PLANTED[0] * stance) & (course.time <= start + PLANTED[1] * stance)
            if rests.sum() > 2:
                speeds.append(np.polyfit(course.time[rests], middle[rests], 1)[0])
    hips = np.polyfit(course.time, course.ahead("hips"), 1)[0]
    return bool(speeds) and abs(float(np.median(speeds))) > max(CREEP[0] * abs(float(hips)), CREEP[1])


def _heel_up(course: Course, side: str) -> bool:
    """Whether the heel stays off the floor also where it is lowest, against the toe where that is lowest."""
    heel, toe = (np.nanpercentile(course.at(f"{side}_{p}")[:, 1], 90) for p in ("heel", "big_toe"))
    return bool(toe - heel > HEEL_UP * course.stature)


def _usual_stride(events: Events) -> float:
    gaps = np.concatenate([np.diff(events.of(foot, 0)) for foot in (0, 1)])
    return float(np.median(gaps)) if len(gaps) else 1.0


def _next(times: np.ndarray, after: float, within: float) -> float:
    """The first of rising times after one, and within s of it; NaN where there is none."""
    i = int(np.searchsorted(times, after, side="right"))
    return float(times[i]) if i < len(times) and times[i] - after < within else float("nan")


def _supports(
    put: dict[str, np.ndarray], events: Events, i: int, side: int, at: float, time: np.ndarray, foot: np.ndarray
) -> None:
    """Stance, swing and supports of one contact's foot."""
    stride = _usual_stride(events)
    off, other_off = _next(events.of(side, 1), at, stride), _next(events.of(1 - side, 1), at, 0.5 * stride)
    put["stance_time"][i] = off - at
    own_offs = events.of(side, 1)
    earlier = own_offs[(own_offs < at) & (own_offs > at - 0.7 * stride)]
    if len(earlier):
        put["swing_time"][i] = at - earlier[-1]
    other_contact = _next(events.of(1 - side, 0), at, stride)
    put["initial_double_support"][i] = other_off - at
    if np.isfinite(other_off) and np.isfinite(other_contact) and other_contact > other_off:
        put["single_support"][i] = other_contact - other_off
    if np.isfinite(off) and np.isfinite(other_contact) and off > other_contact:
        put["double_support"][i] = (other_off - at) + (off - other_contact)


def _width(metres: np.ndarray, foot: np.ndarray, i: int) -> float:
    """Across the walk from a foot to the line between the other's places before and after it."""
    if i + 1 >= len(foot) or foot[i + 1] == foot[i] or not np.isfinite(metres[i - 1 : i + 2]).all():
        return float("nan")
    before, here, after = metres[i - 1 : i + 2]
    line = after - before
    apart = here - before
    return float(abs(line[0] * apart[1] - line[1] * apart[0]) / max(float(np.linalg.norm(line)), 1e-9))


def _steady(foot: np.ndarray, step_time: np.ndarray) -> np.ndarray:
    """(S,) bool: steps as long in time as the foot's others."""
    steady = np.zeros(len(foot), bool)
    for side in (0, 1):
        mine = (foot == side) & np.isfinite(step_time)
        if mine.any():
            usual = np.median(step_time[mine])
            steady[mine] = np.abs(step_time[mine] - usual) <= STEADY * usual
    return steady
