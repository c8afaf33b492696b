"""Pinhole cameras.

World frame: X forward along the walkway, Y to the walker's left, Z up, metres. Camera frame: x to the
image's right, y down, z along the view (depth), metres. Image: pixels, x right, y down, pixel centres
at integer coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .gait import Floats

Direction = Literal["right", "left"]


@dataclass(frozen=True, eq=False)
class Camera:
    """Pinhole with square pixels: focal length `fx` and principal point `cx`, `cy` in px.

    `rotation` (3,3) turns world directions into the camera frame, `position` (3,) is the camera's
    centre in the world, metres.
    """

    fx: float
    cx: float
    cy: float
    rotation: Floats
    position: Floats

    def to_camera(self, points: Floats) -> Floats:
        """World points (...,3) in the camera frame (...,3), metres."""
        return (np.asarray(points, dtype=np.float64) - self.position) @ self.rotation.T

    def depth(self, points: Floats) -> Floats:
        """Distance (...) in metres along the view of world points (...,3)."""
        return self.to_camera(points)[..., 2]

    def project(self, points: Floats) -> Floats:
        """World points (...,3) to pixels (...,2); the points must lie in front of the camera."""
        seen = self.to_camera(points)
        return self.fx * seen[..., :2] / seen[..., 2:] + [self.cx, self.cy]

    def shifted(self, dx: float, dy: float) -> Camera:
        """The same camera with its picture moved by (dx, dy) px."""
        return replace(self, cx=self.cx + dx, cy=self.cy + dy)


def look_along(forward: tuple[float, float, float]) -> Floats:
    """World-to-camera rotation (3,3) of an upright camera that looks along horizontal `forward`."""
    view = np.asarray(forward, dtype=np.float64)
    right = np.cross(view, [0.0, 0.0, 1.0])
    return np.stack([right, [0.0, 0.0, -1.0], view])


def sagittal_camera(
    direction: Direction,
    span: tuple[float, float],
    height: float,
    size: tuple[int, int],
    pan: tuple[float, float] = (0.0, 0.0),
    fill: float = 0.64,
    distance: float = 7.0,
) -> Camera:
    """Static side view of a walker whose pelvis goes from x = span[0] to span[1] (m) in the clip.

    direction: towards which side of the picture the walk goes; 'right' stands at the walker's right
    (y = -distance), 'left' at the left. `height` (m) is the body's; it fills at most `fill` of the
    picture's height. size = (width, height) px. `pan` (px) is the picture's whole shift over the
    clip, so that its middle is centred on the walker's path.
    """
    width, rows = size
    sign = 1.0 if direction == "right" else -1.0
    scale = fill * rows / height  # px per metre in the walking plane y = 0
    for _ in range(100):
        travel = abs(sign * scale * (span[1] - span[0]) + pan[0])
        if travel + 0.62 * height * scale <= 0.98 * width:
            break
        scale *= 0.97
    return Camera(
        fx=scale * distance,
        cx=0.5 * (width - 1) - 0.5 * pan[0],
        cy=0.5 * (rows - 1) - 0.5 * pan[1],
        rotation=look_along((0.0, sign, 0.0)),
        position=np.array([0.5 * (span[0] + span[1]), -sign * distance, 0.53 * height]),
    )


def frontal_camera(
    span: tuple[float, float],
    height: float,
    size: tuple[int, int],
    pan: tuple[float, float] = (0.0, 0.0),
    fill: float = 0.80,
    nearest: float = 5.5,
) -> Camera:
    """Static front view: the walker comes from x = span[0] to span[1] (m), `nearest` m off at the end.

    The body (height, m) fills `fill` of the picture's height in the last frame. The walker's left is
    at the image's right. Other arguments as in sagittal_camera.
    """
    width, rows = size
    return Camera(
        fx=fill * rows / height * nearest,
        cx=0.5 * (width - 1) - 0.5 * pan[0],
        cy=0.5 * (rows - 1) - 0.5 * pan[1],
        rotation=look_along((-1.0, 0.0, 0.0)),
        position=np.array([span[1] + nearest, 0.0, 0.53 * height]),
    )
