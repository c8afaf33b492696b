"""Pictures of mixed sizes, handed to a network that takes equal ones together."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def by_size(pictures: Sequence[np.ndarray], run: Callable[[np.ndarray], Sequence[T]]) -> list[T]:
    """`run` on pictures (h, w, 3) of one size at a time, stacked as (n, h, w, 3); one output a picture, in order."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, picture in enumerate(pictures):
        groups.setdefault(picture.shape, []).append(index)
    found: dict[int, T] = {}
    for rows in groups.values():
        found.update(zip(rows, run(np.stack([pictures[i] for i in rows])), strict=True))
    return [found[i] for i in range(len(pictures))]


def bgr(image: np.ndarray) -> np.ndarray:
    """An RGB picture (H, W, 3) uint8 in OpenCV's order of colours; twenty times quicker than numpy turns it round."""
    import cv2

    return cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
