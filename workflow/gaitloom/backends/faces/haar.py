"""OpenCV's Haar cascades for frontal and profile faces, which lie inside its wheel; meant for crops of heads.

Viola and Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features", CVPR 2001; Lienhart and Maydt,
ICIP 2002. No network, nothing learned in common with the other detectors: half blind, but blind in a way of its own.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from pydantic import Field

from gaitloom.backends import Spec, Weight
from gaitloom.faces import Faces
from gaitloom.strict import Strict

FRONTAL = Weight(
    "cv2", "data/haarcascade_frontalface_alt2.xml", "7b0c967d9abbdfbde025eb9c786947d151b6426040d07a8f9562ed8fd90724b4"
)
PROFILE = Weight(
    "cv2", "data/haarcascade_profileface.xml", "b39a4a3be45539db146a7fc1d3e761a292c196eb88421185e6a615b3055e612d"
)
OVERLAP = 0.3  # IoU from which a frontal and a profile face are one
HALF = 2  # windows that agree on a face whose score is a half


class Options(Strict):
    """How sure the detector must be, and how fine it looks."""

    min_score: float = Field(
        0.6, ge=0.5, lt=1, description="Faces below this score are ignored; n windows that agree give n / (n + 2)."
    )
    longest_side: int = Field(144, ge=32, description="The picture is scaled down to this many pixels.")
    least: float = Field(
        0.15, gt=0, lt=1, description="The smallest face that is looked for, as a share of the picture's shorter side."
    )


SPEC = Spec(
    version=1,
    options=Options,
    packages=("opencv-contrib-python-headless",),
    licence="Apache-2.0, Intel-BSD (the cascades)",
    weights=(FRONTAL, PROFILE),
)


class Backend:
    """Every image by itself; profiles are looked for in the picture and in its mirror image."""

    def __init__(self, options: Options):
        import cv2

        self._options = options
        self._frontal, self._profile = (cv2.CascadeClassifier(str(w.verify())) for w in (FRONTAL, PROFILE))

    def faces(self, images: Iterable[np.ndarray]) -> Iterator[Faces]:
        """The faces in each RGB image (h, w, 3) uint8 of any size; landmarks are not given."""
        import cv2

        for image in images:
            size = image.shape[1::-1]
            scale = min(1.0, self._options.longest_side / max(size))
            shown = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            grey = grey if scale == 1 else cv2.resize(grey, shown, interpolation=cv2.INTER_AREA)
            mirrored = cv2.flip(grey, 1)
            left, score_left = self._found(self._profile, mirrored)
            left[:, [0, 2]] = shown[0] - left[:, [2, 0]]
            others = (self._found(self._frontal, grey), self._found(self._profile, grey))
            box = np.concatenate([left, *(found for found, _ in others)])
            score = np.concatenate([score_left, *(sure for _, sure in others)])
            yield Faces.of(box * np.tile(np.divide(size, shown), 2), score, None, size, OVERLAP)

    def _found(self, cascade, grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (N, 4) and scores (N,) of one cascade."""
        least = max(20, round(self._options.least * min(grey.shape)))
        # OpenCV counts neighbours from n on as more than n windows.
        few = HALF * self._options.min_score / (1 - self._options.min_score)
        found, count = cascade.detectMultiScale2(grey, 1.1, int(np.ceil(few - 1e-9)), minSize=(least, least))
        corner = np.array(found, float).reshape(-1, 4)
        n = np.array(count, float).reshape(-1)
        return np.hstack([corner[:, :2], corner[:, :2] + corner[:, 2:]]), n / (n + HALF)
