"""Where a frame is searched for faces: windows on heads, and on the places where faces are expected."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

HEAD = 0.130 / (0.936 - 0.818)  # head's height in distances from shoulder to ear: Winter 2009, fig. 4.1
ROOM = 3.0  # a window's side in heights of the head or face inside it


@dataclass(frozen=True)
class Window:
    """A square of the full frame whose first pixel is (x, y); it may reach beyond the borders."""

    x: int
    y: int
    side: int

    def of(self, image: np.ndarray, side: int) -> np.ndarray:
        """What it shows of (H, W, 3), scaled to (side, side, 3); beyond the borders, the pixels of the edge go on."""
        import cv2

        height, width = image.shape[:2]
        low = np.array([self.x, self.y])
        high = low + self.side
        inner_low, inner_high = np.maximum(low, 0), np.minimum(high, (width, height))
        (x0, y0), (x1, y1) = inner_low, inner_high
        (left, top), (right, bottom) = inner_low - low, high - inner_high
        whole = cv2.copyMakeBorder(image[y0:y1, x0:x1], top, bottom, left, right, cv2.BORDER_REPLICATE)
        how = cv2.INTER_AREA if self.side > side else cv2.INTER_LINEAR
        return cv2.resize(whole, (side, side), interpolation=how)

    def holds(self, box: np.ndarray) -> bool:
        """Whether a face's box (4,) xyxy lies inside with a quarter of its size to spare."""
        spare = (box[2:] - box[:2]).max() / 4
        low = np.array([self.x, self.y])
        return bool((box[:2] - spare >= low).all() and (box[2:] + spare <= low + self.side).all())


def window(centre: np.ndarray, side: float, size: tuple[int, int]) -> Window:
    """The window of at least `side` pixels around a point, which is brought into the frame of (width, height)."""
    whole = max(8, int(np.ceil(side)))
    x, y = np.floor(np.clip(centre, 0, np.array(size) - 1) - whole / 2).astype(int)
    return Window(int(x), int(y), whole)


def head(box: np.ndarray, points: np.ndarray | None, size: tuple[int, int]) -> Window:
    """The window on the head of a person with this box (4,) xyxy and, where known, points (23, 2) px in
    COCO-WholeBody's order, in a frame of (width, height).

    From points: around the mean of nose, eyes and ears, three heads tall. Where they are missing, or contradict the
    box, it is the top of the box over its full width, and no less than half its height.
    """
    width, height = box[2:] - box[:2]
    if points is not None:
        face, shoulders = (points[rows][np.isfinite(points[rows, 0])] for rows in (slice(0, 5), slice(5, 7)))
        if len(face) and len(shoulders):
            centre = face.mean(axis=0)
            tall = HEAD * float(np.linalg.norm(centre - shoulders.mean(axis=0)))
            spare = 0.25 * max(width, height)
            inside = (centre >= box[:2] - spare).all() and (centre <= box[2:] + spare).all()
            if inside and ROOM * tall <= max(width, height):
                return window(centre, max(ROOM * tall, spare), size)  # who bends forward has no height between them
    side = max(width, height / 2)
    return window(np.array([(box[0] + box[2]) / 2, box[1] + 0.4 * side]), side, size)


@dataclass(frozen=True)
class Followed:
    """A face: its box (4,) xyxy where it was last found, at `when` (s), and its velocity (2,) in pixels a second."""

    box: np.ndarray
    when: float
    velocity: np.ndarray

    def at(self, when: float) -> np.ndarray:
        """(4,) where it is expected, at constant velocity."""
        return self.box + np.tile(self.velocity * (when - self.when), 2)


def expected(
    followed: Sequence[Followed], when: float, watched: Sequence[Window], size: tuple[int, int]
) -> list[Window]:
    """Windows on the faces that are expected inside the frame of (width, height) and in none of the windows that are
    watched anyway; wider the longer a face was not seen and the quicker it is."""
    windows: list[Window] = []
    for face in followed:
        box = face.at(when)
        centre = (box[:2] + box[2:]) / 2
        inside = (centre >= 0).all() and (centre < size).all()
        if inside and not any(w.holds(box) for w in (*watched, *windows)):
            astray = float(np.linalg.norm(face.velocity)) * (when - face.when)
            windows.append(window(centre, ROOM * float((box[2:] - box[:2]).max()) + astray, size))
    return windows


def follow(followed: Sequence[Followed], box: np.ndarray, when: float, lost_after: float) -> list[Followed]:
    """Those followed after a frame in which faces `box` (N, 4), the surest first, were found.

    A found face is whoever was expected nearest, no farther than its own size, else a new one. Whoever was not found
    for more than `lost_after` seconds is lost.
    """
    waiting = list(followed)
    seen: list[Followed] = []
    for found in box:
        centre, size = (found[:2] + found[2:]) / 2, (found[2:] - found[:2]).max()
        places = [f.at(when) for f in waiting]
        apart = [float(np.linalg.norm((p[:2] + p[2:]) / 2 - centre)) for p in places]
        velocity = np.zeros(2)
        if apart and min(apart) <= size:
            old = waiting.pop(int(np.argmin(apart)))
            step = (centre - (old.box[:2] + old.box[2:]) / 2) / max(when - old.when, 1e-6)
            velocity = (old.velocity + step) / 2  # boxes tremble
        seen.append(Followed(found, when, velocity))
    return seen + [f for f in waiting if when - f.when <= lost_after]
