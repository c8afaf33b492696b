"""YOLOv8's instance masks through ultralytics: of the people that it sees, the one who overlaps the track."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
from pydantic import Field

from gaitloom.backends import Spec, _ultralytics
from gaitloom.tracking import iou
from gaitloom.weights import Chosen

PERSON = 0  # COCO's class
MARGIN = 1.25  # side of the region in longer sides of the box, as for the embedded models


class Options(Chosen):
    """Which model, and how sure it must be."""

    weights: str = Field("yolov8n-seg.pt", description="Name of a registered weight file, or the path of one.")
    confidence: float = Field(
        0.25, gt=0, lt=1, description="Instances below this score are ignored (ultralytics' default)."
    )
    image_size: int = Field(640, ge=32, description="The picture's longest side inside the model, in pixels.")
    region: Literal["subject", "frame"] = Field(
        "subject",
        description="What the model is shown: a square around the tracked box (finer masks), or the full frame.",
    )
    overlap: float = Field(0.3, gt=0, lt=1, description="Least overlap (IoU) of instance and track.")


SPEC = Spec(version=1, options=Options, packages=_ultralytics.PACKAGES, licence=_ultralytics.LICENCE)


class Backend:
    """Every frame by itself; ultralytics undoes its own letterbox."""

    def __init__(self, options: Options):
        self._options = options
        self._model = _ultralytics.load(options.weight.verify(), "segment")

    def masks(
        self, people: Iterable[tuple[np.ndarray, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, tuple[int, int]] | None]:
        """A bool mask and its place (x, y) in the full frame for each (image, box); None where nobody overlaps it."""
        for image, box in people:
            x0, y0, x1, y1 = self._shown(image, box)
            found = self.predict(image[y0:y1, x0:x1])
            mask = None if found.masks is None else self._overlapping(found, box - (x0, y0, x0, y0))
            yield None if mask is None else (mask, (x0, y0))

    def _shown(self, image: np.ndarray, box: np.ndarray) -> tuple[int, int, int, int]:
        height, width = image.shape[:2]
        if self._options.region == "frame":
            return 0, 0, width, height
        side = MARGIN * max(box[2] - box[0], box[3] - box[1])
        x, y = (box[0] + box[2] - side) / 2, (box[1] + box[3] - side) / 2
        return max(0, int(x)), max(0, int(y)), min(width, int(x + side) + 1), min(height, int(y + side) + 1)

    def _overlapping(self, found: Any, box: np.ndarray) -> np.ndarray | None:
        shared = iou(box[None].astype(float), found.boxes.xyxy.cpu().numpy().astype(float))[0]
        best = int(shared.argmax())
        return found.masks.data[best].cpu().numpy() > 0 if shared[best] >= self._options.overlap else None

    def predict(self, image: np.ndarray) -> Any:
        """ultralytics' own result for an RGB image (H, W, 3) uint8: people only, masks at the picture's size."""
        return self._model.predict(
            np.ascontiguousarray(image[..., ::-1]),  # ultralytics takes OpenCV's order of colours
            classes=[PERSON],
            conf=self._options.confidence,
            imgsz=self._options.image_size,
            retina_masks=True,
            device=_ultralytics.DEVICE,
            verbose=False,
        )[0]
