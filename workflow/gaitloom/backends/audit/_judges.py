"""What the backends of audit share: two judges of faces, of whom the second is asked only where the first saw one."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from gaitloom.backends import _blazepose
from gaitloom.backends.keypoints import blazepose
from gaitloom.deidentify.audit.agreement import SURE
from gaitloom.faces import Faces
from gaitloom.tracking import People

POSE = _blazepose.LANDMARKS  # poses the subject before and after
POSE_PACKAGES = _blazepose.PACKAGES
NOBODY = Faces(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


class Judges:
    """Two detectors, a third to look over whole frames, and where there is one, a finder of people."""

    format = blazepose.Backend.format

    def __init__(self, first: Any, second: Any, scout: Any, side: int):
        self._first, self._second, self._scout, self._side = first, second, scout, side
        self.points = blazepose.Backend(blazepose.Options()).points

    def faces(self, images: Iterable[np.ndarray]) -> Iterator[tuple[Faces, Faces]]:
        """What both judges see in each RGB image (h, w, 3) uint8. The second is not asked where the first sees nothing:
        only what both see counts."""
        for image in images:
            one = next(iter(self._first.faces([image])))
            asked = bool((one.score >= SURE).any())
            yield one, next(iter(self._second.faces([image]))) if asked else NOBODY

    def scout(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Boxes (N, 4) float32 of what may be a face in each full frame, scaled down to `side` pixels."""
        import cv2

        for image in images:
            scale = min(1.0, self._side / max(image.shape[:2]))
            small = image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            found = next(iter(self._scout.faces([small]))).box
            yield found * np.tile(np.divide(image.shape[1::-1], small.shape[1::-1]), 2).astype(np.float32)


class Finder:
    """People by a YOLO model of ultralytics, each frame by itself."""

    def __init__(self, options: Any, device: Any):
        from gaitloom.backends import _ultralytics

        tasks = ("detect", "segment", "pose")  # all of them find boxes
        self._model = _ultralytics.Model(options.weight.verify(), tasks, options, device, iou=0.5, retina_masks=False)

    def people(self, images: Iterable[np.ndarray]) -> Iterator[People]:
        """Everyone in each RGB image (H, W, 3) uint8."""
        for image in images:
            boxes = self._model.predict([image], rect=True)[0].boxes.cpu().numpy()
            boxes = boxes[(boxes.xywh[:, 2:] > 0).all(axis=1)]
            yield People(boxes.xyxy.astype(np.float32), boxes.conf.astype(np.float32))
