"""YuNet by OpenCV's own FaceDetectorYN.

Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research, 2023. It sees faces of about
10 to 300 px.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from gaitloom.backends import Spec
from gaitloom.backends._pictures import bgr
from gaitloom.errors import GaitloomError
from gaitloom.faces import Faces
from gaitloom.weights import Chosen

CANDIDATES = 5000  # the surest, before doubles are removed; OpenCV's default


class Options(Chosen):
    """Which model, and how sure it must be."""

    weights: str = Field(
        "face_detection_yunet_2023mar.onnx", description="Name of a registered weight file, or the path of one."
    )
    min_score: float = Field(0.6, gt=0, lt=1, description="Faces below this score are ignored (OpenCV's own: 0.9).")
    overlap: float = Field(0.3, gt=0, le=1, description="From this IoU on, two are one face; OpenCV's default.")


SPEC = Spec(version=1, options=Options, packages=("opencv-contrib-python-headless",), licence="MIT")


class Backend:
    """Every image by itself, at its own size."""

    def __init__(self, options: Options):
        self._detector = _load(options.weight.verify(), options)

    def faces(self, images: Iterable[np.ndarray]) -> Iterator[Faces]:
        """The faces in each RGB image (h, w, 3) uint8 of any size; OpenCV pads it to multiples of 32 px."""
        for image in images:
            size = image.shape[1::-1]
            self._detector.setInputSize(size)
            found = self._detector.detect(bgr(image))[1]
            rows = np.zeros((0, 15), np.float32) if found is None else found
            box = np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]])
            yield Faces.of(box, rows[:, 14], rows[:, 4:14].reshape(-1, 5, 2), size)


def _load(path: Path, options: Options) -> Any:
    """The detector, tried on a blank picture: only then OpenCV says that the network is another.

    Raises:
        GaitloomError: the file is not a YuNet model.
    """
    import cv2

    try:
        detector = cv2.FaceDetectorYN.create(str(path), "", (32, 32), options.min_score, options.overlap, CANDIDATES)
        detector.detect(np.zeros((32, 32, 3), np.uint8))
    except cv2.error as error:
        line = " ".join(str(error.err or error).split())[:200]
        raise GaitloomError(f"The weights {path} are not a YuNet model that OpenCV reads ({line}).") from None
    return detector
