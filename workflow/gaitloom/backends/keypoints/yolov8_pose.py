"""YOLOv8's pose through ultralytics: COCO's 17 points of the person who overlaps the track."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from pydantic import Field

from gaitloom.backends import CPU, Device, Needs, Spec, _ultralytics
from gaitloom.errors import GaitloomError
from gaitloom.keypoint_formats import COCO_17


class Options(_ultralytics.SubjectOptions):
    """Which model, how sure it must be, and what it is shown."""

    weights: str = Field("yolov8n-pose.pt", description="Name of a registered weight file, or the path of one.")


SPEC = Spec(
    version=1,
    options=Options,
    packages=_ultralytics.PACKAGES,
    licence=_ultralytics.LICENCE,
    environment="torch",
    accelerated=True,
    needs=Needs(memory_mb=3000, seconds=0.5),
)


class Backend:
    """Every frame by itself; ultralytics undoes its own letterbox."""

    format = COCO_17
    # Trained to tell points that COCO's annotators labelled (seen or hidden) from those that they could not place.
    score_kind = "probability that the point can be placed in the picture, seen or hidden"

    def __init__(self, options: Options, device: Device = CPU):
        self._options = options
        weights = options.weight.verify()
        self._model = _ultralytics.Model(weights, ("pose",), options, device)
        if self._model.keypoints != (17, 3):
            shape = " x ".join(map(str, self._model.keypoints)) or "no"
            raise GaitloomError(f"The weights {weights} have {shape} values a person, not COCO's 17 x 3.")

    def points(self, people: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray | None]:
        """(17, 3) float32 x, y in full-frame pixels and score for each (image, box); None where nobody overlaps it."""
        return self._model.subjects(people, self._options, _points)


def _points(found: Any, index: int, corner: tuple[int, int]) -> np.ndarray:
    return found.keypoints.data[index].float().cpu().numpy() + np.array([*corner, 0], np.float32)
