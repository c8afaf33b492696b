"""Joint angles in the picture's plane, and over the gait cycle.

All in degrees, of the sides' own segments as seen from the side; x forwards, y up. Zero is upright standing:
`hip`: thigh against trunk (middle of the hips to middle of the shoulders), flexion positive. `knee`: shank against
thigh, flexion positive. `ankle`: heel-to-toe line against shank, 0 at a right angle, dorsiflexion positive. `trunk`:
hips to shoulders against the vertical, leaning forwards positive. No pelvis is seen in keypoints, so `hip` is not the
clinical one against the pelvis.
"""

from itertools import pairwise

import numpy as np

from gaitloom.gait import signals
from gaitloom.gait.course import Course
from gaitloom.gait.events import SIDES, Events

NAMES = (*(f"{side}_{joint}" for side in SIDES for joint in ("hip", "knee", "ankle")), "trunk")
CYCLE = 101  # points, 0 to 100 % of the cycle
CYCLE_NAMES = ("hip", "knee", "ankle", "trunk")


def angles(course: Course) -> np.ndarray:
    """(N, 7) degrees in the order of `NAMES`, from points low-passed at 6 Hz."""

    def point(name: str) -> np.ndarray:
        smooth = signals.filtered(course.at(name), course.rate, signals.CUTOFF)
        return np.column_stack([course.forward * smooth[:, 0], -smooth[:, 1]])

    shoulders, hips = point("shoulders"), point("hips")
    trunk = _lean(hips, shoulders)
    found = []
    for side in SIDES:
        hip, knee, ankle, heel, toe = (point(f"{side}_{p}") for p in ("hip", "knee", "ankle", "heel", "big_toe"))
        thigh, shank = _swing(hip, knee), _swing(knee, ankle)
        sole = np.arctan2(toe[:, 1] - heel[:, 1], toe[:, 0] - heel[:, 0])
        found += [thigh + trunk, thigh - shank, sole - shank]
    return np.degrees(np.column_stack([*found, trunk]))


def _swing(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """(N,) radians by which a segment that hangs down is swung forwards."""
    return np.arctan2(lower[:, 0] - upper[:, 0], upper[:, 1] - lower[:, 1])


def _lean(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """(N,) radians by which a segment that stands up leans forwards."""
    return np.arctan2(upper[:, 0] - lower[:, 0], upper[:, 1] - lower[:, 1])


def cycles(course: Course, events: Events, found: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every stride's angles over its cycle: foot (C,), begin and end (C, 2) s, and (C, 4, 101) degrees in the order of
    `CYCLE_NAMES`. A stride in which a contact is missing is none."""
    feet, spans, curves = [], [], []
    for foot, _ in enumerate(SIDES):
        contacts, others = events.of(foot, 0), events.of(1 - foot, 0)
        for start, end in pairwise(contacts.tolist()):
            if ((others > start) & (others < end)).sum() != 1:
                continue
            at = np.linspace(start, end, CYCLE)
            columns = [*range(3 * foot, 3 * foot + 3), 6]
            feet.append(foot)
            spans.append((start, end))
            curves.append([np.interp(at, course.time, found[:, c]) for c in columns])
    count = len(feet)
    return (
        np.array(feet, np.int8),
        np.array(spans, float).reshape(count, 2),
        np.array(curves, float).reshape(count, len(CYCLE_NAMES), CYCLE),
    )
