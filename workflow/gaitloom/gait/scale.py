"""Pixels to metres, by the best that is known of the camera: the floor, a walkway, or the person's height.

Floor and walkway hold for planted feet alone: what is above the floor would be taken for something farther away.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gaitloom.gait.course import Course
from gaitloom.gait.scene import Scene

ABOVE = 0.012  # statures that heel and toe points lie above the floor: BlazePose's mean on the rendered walker
HEIGHT_ERROR = 0.05  # relative: people of one height differ in length of trunk and legs; an assumption, not measured
KNOWN_ERROR = 0.02  # relative: of a tape, and of points on lines; likewise
PLAUSIBLE = (0.5, 2.4)  # m of stature that a right scale gives anyone who walks
DISAGREE = 0.2  # relative difference to the given body height from which one of both is wrong
SAID = {"floor": "the floor points", "calibration": "the calibration", "walkway": "the walkway"}
LINE = "the floor points lie on a line; give four that span an area"


@dataclass(frozen=True)
class Scale:
    """`metres(points)` takes planted points (N, 2) px and gives (N, 2) m: along the walk and across it, NaN where that
    is unknown. `method` floor, walkway or height; `error` its relative error; `reason` why there is none."""

    metres: Callable[[np.ndarray], np.ndarray]
    method: str = "none"
    error: float = float("nan")
    reason: str = ""


def none(reason: str) -> Scale:
    """No scale, and why."""
    return Scale(lambda points: np.full((len(points), 2), np.nan), reason=reason)


def of(scene: Scene, course: Course) -> Scale:
    """The scale of a walk; one that cannot be right is none."""
    scale = _chosen(scene, course)
    if scale.method == "none":
        return scale
    feet = _ends(course)
    passed = np.abs(np.diff(scale.metres(feet)[:, 0]))[0]
    stature = course.stature * passed / max(float(np.abs(np.diff(feet[:, 0]))[0]), 1e-9)
    wrong = implausible(scale.method, stature, scene)
    return none(wrong) if wrong else scale


def implausible(method: str, stature: float, scene: Scene) -> str:
    """Why a scale that makes the walker `stature` m tall cannot be right; empty where it can."""
    by = SAID.get(method, "the body height")
    if not PLAUSIBLE[0] <= stature <= PLAUSIBLE[1]:
        return f"by {by} the walker is {stature:.2g} m tall; correct the camera"
    if scene.height_cm and abs(100 * stature / scene.height_cm - 1) > DISAGREE:
        return f"by {by} the walker is {100 * stature:.0f} cm tall, not {scene.height_cm:g} cm"
    return ""


def _ends(course: Course) -> np.ndarray:
    """(2, 2) px: about where on the floor the walk begins and ends: below the hips, where the lower foot's heel is."""
    heels = np.stack([course.at("left_heel")[:, 1], course.at("right_heel")[:, 1]])
    third = max(1, len(course.time) // 3)
    rows = [np.nanpercentile(heels[:, part], 90) for part in (slice(None, third), slice(-third, None))]
    return np.column_stack([course.at("hips")[[0, -1], 0], rows])


def _chosen(scene: Scene, course: Course) -> Scale:
    method, homography = plane(scene)
    if method:
        return none(LINE) if homography is None else _on_floor(homography, scene, course, method)
    if scene.walkway is not None:
        return _by_walkway(scene, course)
    if scene.height_cm:
        metres = scene.height_cm / 100 / course.stature

        def by_height(points: np.ndarray) -> np.ndarray:
            return np.column_stack([course.forward * metres * points[:, 0], np.full(len(points), np.nan)])

        return Scale(by_height, "height", HEIGHT_ERROR)
    return none(scene.height_reason or "nothing is known of the camera, and no body height is given")


def plane(scene: Scene) -> tuple[str, np.ndarray | None]:
    """Whether `calibration` or `floor` points say where on the floor a pixel is, and the homography (3, 3) from pixels
    without distortion to metres; None where the points lie on a line. Nothing says so: an empty text."""
    if scene.pose is not None and scene.matrix is not None:
        return "calibration", np.linalg.inv(scene.matrix @ scene.pose[:, [0, 1, 3]])
    if scene.floor is not None and len(scene.floor) >= 4:
        return "floor", _by_points(scene)
    return "", None


def _by_points(scene: Scene) -> np.ndarray | None:
    """A homography of the floor, by the direct linear transform with normalised points (Hartley & Zisserman, Multiple
    View Geometry, 2nd ed., alg. 4.2)."""
    assert scene.floor is not None
    pixels = undistorted(scene.floor[:, :2], scene)
    rows = []
    a, b = _normal(pixels), _normal(scene.floor[:, 2:])
    for (x, y, _), (u, v, _) in zip(_apart(pixels) @ a.T, _apart(scene.floor[:, 2:]) @ b.T, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y, -u], [0, 0, 0, x, y, 1, -v * x, -v * y, -v]]
    _, size, directions = np.linalg.svd(np.array(rows))
    if size[7] < 1e-4 * size[0]:
        return None
    return np.linalg.inv(b) @ directions[8].reshape(3, 3) @ a


def on_plane(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 2) by a homography (3, 3)."""
    found = _apart(points) @ homography.T
    return found[:, :2] / found[:, 2:]


def turned(ahead: np.ndarray) -> np.ndarray:
    """(2, 2): what turns rows of floor coordinates into along a direction (2,) and across it."""
    along = ahead / max(float(np.linalg.norm(ahead)), 1e-9)
    return np.column_stack([along, [-along[1], along[0]]])


def _on_floor(homography: np.ndarray, scene: Scene, course: Course, method: str) -> Scale:
    def floor(points: np.ndarray) -> np.ndarray:
        lowered = undistorted(points + np.array([0, ABOVE * course.stature]), scene)
        return on_plane(homography, lowered)

    start, end = floor(_ends(course))
    along = turned(end - start)
    return Scale(lambda points: floor(points) @ along, method, KNOWN_ERROR)


def _by_walkway(scene: Scene, course: Course) -> Scale:
    """Between two lines across the walkway, evenly along the picture's row of the foot."""
    assert scene.walkway is not None
    lines = [undistorted(line, scene) for line in scene.walkway]

    def column(line: np.ndarray, row: np.ndarray) -> np.ndarray:
        (x0, y0), (x1, y1) = line
        return x0 + (row - y0) * ((x1 - x0) / (y1 - y0) if abs(y1 - y0) > 1e-9 else 0.0)

    def metres(points: np.ndarray) -> np.ndarray:
        x, y = undistorted(points + np.array([0, ABOVE * course.stature]), scene).T
        first, last = (column(line, y) for line in lines)
        along = (x - first) / (last - first) * scene.walkway_m
        return np.column_stack([along * sign, np.full(len(points), np.nan)])

    sign = course.forward * np.sign(lines[1][:, 0].mean() - lines[0][:, 0].mean())
    return Scale(metres, "walkway", KNOWN_ERROR) if sign else none("the walkway's two lines are one and the same")


def undistorted(points: np.ndarray, scene: Scene) -> np.ndarray:
    """Points (N, 2) px as a lens without distortion would show them."""
    if scene.matrix is None or not any(scene.distortion):
        return points
    import cv2

    coefficients = np.array(scene.distortion, float)
    found = cv2.undistortPoints(points.reshape(-1, 1, 2).astype(float), scene.matrix, coefficients, P=scene.matrix)
    return found.reshape(-1, 2)


def _apart(points: np.ndarray) -> np.ndarray:
    """(N, 3) homogeneous."""
    return np.column_stack([points, np.ones(len(points))])


def _normal(points: np.ndarray) -> np.ndarray:
    """The similarity (3, 3) that puts points (N, 2) about the origin at a mean distance of the root of two."""
    middle = points.mean(axis=0)
    size = 2**0.5 / max(float(np.linalg.norm(points - middle, axis=1).mean()), 1e-9)
    return np.array([[size, 0, -size * middle[0]], [0, size, -size * middle[1]], [0, 0, 1]])
