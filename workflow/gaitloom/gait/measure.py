"""From a walk to everything a gait node holds."""

from dataclasses import dataclass, field

import numpy as np

from gaitloom.gait import angles, events, scale, steps, summary
from gaitloom.gait.course import Course, UnfitError, Walk, prepare
from gaitloom.gait.events import Events
from gaitloom.gait.steps import COLUMNS, Steps
from gaitloom.gait.summary import Summary

OBLIQUE = "seen from the side, width is depth; an oblique view with floor points gives it"


@dataclass(frozen=True)
class Gait:
    """What was found in a walk: `used` (T,) bool, the clip's frames that were; events, steps and their summary; `angle`
    (T, 7) degrees, NaN elsewhere; cycles as `angles.cycles` gives them; `notes` for the node's attributes; `reason`,
    why there is nothing, else empty."""

    used: np.ndarray
    events: Events
    steps: Steps
    summary: Summary
    angle: np.ndarray
    cycle_foot: np.ndarray
    cycle_span: np.ndarray
    cycle: np.ndarray
    notes: dict[str, str | float] = field(default_factory=dict)
    reason: str = ""


def gait(walk: Walk) -> Gait:
    """Everything of a walk, or the reason why there is nothing; never an error about the walk."""
    try:
        course = prepare(walk)
        found = events.detect(course)
        if (found.kind == 0).sum() < 2:
            raise UnfitError(f"{(found.kind == 0).sum()} contacts were found; a step needs two")
    except UnfitError as unfit:
        return nothing(walk, str(unfit))
    return assembled(walk, course, found, metres(walk, course, found))


def metres(walk: Walk, course: Course, found: Events) -> scale.Scale:
    """The walk's scale; none where planted feet move in the picture more than a camera that stands would let them."""
    moving = course.panning or steps.creeps(course, found)
    return scale.none("the camera moves; stabilise the clip to get lengths") if moving else scale.of(walk.scene, course)


def assembled(walk: Walk, course: Course, found: Events, size: scale.Scale) -> Gait:
    """A gait from its events and scale."""
    rows = steps.table(course, found, size)
    width = walk.scene.view == "oblique" and size.method in ("floor", "calibration")
    if not width:
        rows.column("step_width")[:] = np.nan
    return filled(walk, course, found, rows, summary.of(rows, size.reason, OBLIQUE), size)


def filled(walk: Walk, course: Course, found: Events, rows: Steps, whole: Summary, size: scale.Scale) -> Gait:
    """A gait from its parts, with angles added."""
    inside = (walk.time >= course.time[0] - 1e-9) & (walk.time <= course.time[-1] + 1e-9)
    bent = angles.angles(course)
    angle = np.full((len(walk.time), len(angles.NAMES)), np.nan)
    angle[inside] = np.stack([np.interp(walk.time[inside], course.time, column) for column in bent.T], axis=1)
    feet, spans, curves = angles.cycles(course, found, bent)
    reason = "" if np.isfinite(whole.mean).any() else next(iter(whole.reasons.values()), "")
    notes: dict[str, str | float] = {
        "direction": "right" if course.forward > 0 else "left",
        "far_side": "left" if course.near == "right" else "right",
        "view": course.view,
        "camera": "moving" if size.reason.startswith("the camera moves") else "still",
        "scale": size.method,
        "scale_error": size.error,
        "legs_exchanged": round(float(course.exchanged.mean()), 4),
    }
    return Gait(inside, found, rows, whole, angle, feet, spans, curves, notes, reason)


def nothing(walk: Walk, reason: str) -> Gait:
    """No gait, and why."""
    count, none = len(walk.time), np.zeros(0)
    small = np.zeros(0, np.int8)
    return Gait(
        np.zeros(count, bool),
        Events(small, small, none, none, none, none),
        Steps(small, none, np.zeros(0, bool), none, np.zeros((0, len(COLUMNS)))),
        summary.empty(reason),
        np.full((count, len(angles.NAMES)), np.nan),
        small,
        np.zeros((0, 2)),
        np.zeros((0, len(angles.CYCLE_NAMES), angles.CYCLE)),
        {"scale": "none"},
        reason,
    )
