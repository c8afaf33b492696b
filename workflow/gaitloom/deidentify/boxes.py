"""Boxes (4,): x0, y0, x1, y1 in full-frame pixels, x right, y down."""

from collections.abc import Sequence

import numpy as np


def height(box: np.ndarray) -> float:
    """Of a box (4,), in pixels."""
    return float(box[3] - box[1])


def centre(box: np.ndarray) -> np.ndarray:
    """(2,) of a box (4,)."""
    return (box[:2] + box[2:]) / 2


def grown(box: np.ndarray, factor: float) -> np.ndarray:
    """A box (4,) with both sides times `factor`, around the same middle."""
    half = (box[2:] - box[:2]) / 2 * factor
    return np.concatenate([centre(box) - half, centre(box) + half])


def grown_by(box: np.ndarray, pixels: float) -> np.ndarray:
    """A box (4,) with so much more on every side."""
    return box + pixels * np.array([-1, -1, 1, 1])


def at_least(box: np.ndarray, extent: np.ndarray) -> np.ndarray:
    """A box (4,), around the same middle no smaller than extent (2,)."""
    half = np.maximum(box[2:] - box[:2], extent) / 2
    return np.concatenate([centre(box) - half, centre(box) + half])


def whole_of(box: np.ndarray) -> np.ndarray:
    """A person's box with room to spare; much of it where it is no standing person's, since such are posed badly."""
    tall, wide = height(box), box[2] - box[0]
    spare = (0.08 if upright(box) else 0.25) * max(tall, wide)
    return box + np.array([-spare, -spare, spare, spare])


def upright(box: np.ndarray) -> bool:
    """Whether a box (4,) is that of somebody who stands or walks, arms raised or not."""
    return bool(box[2] - box[0] <= 0.6 * height(box))


def around(x: float, y: float, wide: float, tall: float) -> np.ndarray:
    """(4,) of this extent around a point."""
    return np.array([x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2], float)


def hull(*boxes: Sequence[float] | np.ndarray) -> np.ndarray:
    """(4,) around all of these boxes (4,)."""
    table = np.array(boxes, float)
    return np.concatenate([table[:, :2].min(axis=0), table[:, 2:].max(axis=0)])


def share_inside(box: np.ndarray, other: np.ndarray) -> float:
    """Of a box's (4,) area, the share in another (4,)."""
    shared = np.clip(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0, None)
    return float(np.prod(shared) / np.prod(box[2:] - box[:2]))


def cut(box: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether a box (4,) touches the border of a frame of (width, height)."""
    return bool((box[:2] <= 1).any() or (box[2:] >= np.array(size) - 1).any())


def to_borders(box: np.ndarray, borders: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """A box (4,), drawn out to these sides of the frame of (width, height): 0 left, 1 top, 2 right, 3 bottom."""
    reached = box.copy()
    for side in borders:
        reached[side] = (0, 0, *size)[side]
    return reached
