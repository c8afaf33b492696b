"""Health&Gait's own estimator, for comparison with its published parameters: steps from the distance of the ankles.

After its published script (Zafra-Palma et al., Sci Data 2025;12:1): the distance between the ankles over time, gaps
filled on straight lines, the spectrum cut above its strongest frequency, and every maximum a step. Step length is the
ankles' distance over the floor at a maximum; stride length, how far the rear ankle comes until the next one; speed, the
walkway's length over the time in it; cadence, the maxima over the same time. Feet here are keypoints, not coloured
contours; and without a walkway, the way and the time are those of the whole walk. It knows no foot offs.
"""

import numpy as np

from gaitloom.gait import measure, steps, summary
from gaitloom.gait.course import Course, UnfitError, Walk, prepare
from gaitloom.gait.events import SIDES, Events
from gaitloom.gait.measure import OBLIQUE, Gait, filled, nothing
from gaitloom.gait.scale import Scale

NO_OFFS = "this method knows no foot offs"


def gait(walk: Walk) -> Gait:
    """Everything that the method gives of a walk, or the reason why there is nothing."""
    try:
        course = prepare(walk)
        times = _maxima(course)
        metres = measure.metres(walk, course, _contacts(course, times))
        first, last = _passage(course, metres, walk.scene.walkway_m)
        times = times[(times >= first) & (times <= last)]
        if len(times) < 2:
            raise UnfitError(f"{len(times)} maxima of the ankles' distance were found; a step needs two")
    except UnfitError as unfit:
        return nothing(walk, str(unfit))
    found, rows = _table(course, metres, times)
    whole = summary.of(rows, metres.reason, OBLIQUE)
    if np.isfinite(whole.mean).any():
        names = list(summary.PARAMETERS)
        whole.mean[0, names.index("cadence")] = 60 * len(times) / (last - first)
        whole.mean[0, names.index("speed")] = _way(course, metres, first, last) / (last - first)
        whole.reasons.update(
            {n: NO_OFFS for n in whole.reasons if n.endswith(("support", "share")) or n[:3] in ("sta", "swi")}
        )
    return filled(walk, course, found, rows, whole, metres)


def _maxima(course: Course) -> np.ndarray:
    """Times (M,) s at which the ankles are farthest apart."""
    apart = np.linalg.norm(course.at("left_ankle") - course.at("right_ankle"), axis=1)
    spectrum = np.fft.rfft(apart)
    spectrum[int(np.abs(spectrum[1:]).argmax()) + 2 :] = 0
    kept = np.fft.irfft(spectrum, len(apart))
    tops = np.flatnonzero((kept[1:-1] > kept[:-2]) & (kept[1:-1] >= kept[2:])) + 1
    return course.time[tops]


def _rear(course: Course) -> np.ndarray:
    """(N, 2) px of whichever ankle is behind."""
    left, right = course.at("left_ankle"), course.at("right_ankle")
    return np.where((course.forward * (left - right)[:, :1]) < 0, left, right)


def _passage(course: Course, metres: Scale, length: float) -> tuple[float, float]:
    """When the rear foot enters the walkway and leaves it, s; the whole course where there is none."""
    along = metres.metres(_rear(course))[:, 0]
    if metres.method != "walkway" or not length:
        return float(course.time[0]), float(course.time[-1])
    along = along - (0 if along[-1] > 0 else -length)
    inside = course.time[(along >= 0) & (along <= length)]
    if len(inside) < 2:
        raise UnfitError("the walkway is never entered")
    return float(inside[0]), float(inside[-1])


def _way(course: Course, metres: Scale, first: float, last: float) -> float:
    """Metres that the rear ankle comes between two times."""
    at = np.stack([np.interp([first, last], course.time, column) for column in _rear(course).T], axis=1)
    return float(np.diff(metres.metres(at)[:, 0])[0])


def _contacts(course: Course, times: np.ndarray) -> Events:
    """Each maximum as a contact of the foot in front."""
    ahead = course.forward * (course.at("left_ankle") - course.at("right_ankle"))[:, 0]
    foot = np.where(np.interp(times, course.time, ahead) > 0, 0, 1).astype(np.int8)
    unknown = np.full(len(times), np.nan)
    return Events(foot, np.zeros(len(times), np.int8), times, unknown, unknown.copy(), np.ones(len(times)))


def _table(course: Course, metres: Scale, times: np.ndarray) -> tuple[Events, steps.Steps]:
    """Each maximum as a contact of the foot in front, with lengths and times."""
    left, right = (np.stack([np.interp(times, course.time, c) for c in course.at(f"{s}_ankle").T], 1) for s in SIDES)
    ahead = course.forward * (left - right)[:, 0] > 0
    front, rear = (metres.metres(np.where((ahead == way)[:, None], left, right))[:, 0] for way in (True, False))
    values = np.full((len(times), len(steps.COLUMNS)), np.nan)
    put = {name: values[:, i] for i, name in enumerate(steps.COLUMNS)}
    put["step_time"][1:] = np.diff(times)
    put["step_length"][:] = np.abs(front - rear)
    put["stride_time"][2:] = times[2:] - times[:-2]
    # The ankle that is behind at one maximum is in front at the next: its way is a stride.
    put["stride_length"][1:] = front[1:] - rear[:-1]
    put["speed"][2:] = put["stride_length"][2:] / put["stride_time"][2:]
    found = _contacts(course, times)
    return found, steps.Steps(found.foot, times, np.isfinite(put["step_time"]), found.confidence, values)
