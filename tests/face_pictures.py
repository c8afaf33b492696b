"""For tests only: pictures with a real face in known places. It is Grace Hopper's portrait, public domain, which comes
with matplotlib."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np

FACE = np.array([172, 105, 361, 339.0])  # hairline to chin in the portrait, xyxy pixels, marked by hand


@cache
def portrait() -> np.ndarray:
    """(600, 512, 3) uint8 RGB."""
    import cv2
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)  # pyright: ignore[reportCallIssue, reportArgumentType]


def scene(
    size: tuple[int, int], places: Iterable[tuple[int, int, int]], seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A soft random background (h, w, 3) uint8 with the portrait at every (x, y, height in pixels), as far as it lies
    inside, and the faces' boxes (N, 4) xyxy; `size` is (width, height)."""
    import cv2

    width, height = size
    coarse = np.random.default_rng(seed).integers(60, 200, (4, 6, 3), np.uint8)
    image = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    boxes = []
    for x, y, tall in places:
        scale = tall / 600
        small = cv2.resize(portrait(), (round(512 * scale), tall), interpolation=cv2.INTER_AREA)
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + small.shape[1], width), min(y + tall, height)
        image[y0:y1, x0:x1] = small[y0 - y : y1 - y, x0 - x : x1 - x]
        boxes.append(FACE * scale + (x, y, x, y))
    return image, np.array(boxes).reshape(-1, 4)
