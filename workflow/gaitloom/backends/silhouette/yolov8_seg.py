"""YOLOv8's instance masks through ultralytics: of the people that it sees, the one who overlaps the track."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from pydantic import Field

from gaitloom.backends import CPU, Device, Needs, Spec, _ultralytics


class Options(_ultralytics.SubjectOptions):
    """Which model, how sure it must be, and what it is shown."""

    weights: str = Field("yolov8n-seg.pt", description="Name of a registered weight file, or the path of one.")


SPEC = Spec(
    version=2,
    options=Options,
    packages=_ultralytics.PACKAGES,
    licence=_ultralytics.LICENCE,
    environment="torch",
    accelerated=True,
    needs=Needs(memory_mb=3000, seconds=0.5),
)


class Backend:
    """Every frame by itself; ultralytics undoes its own letterbox."""

    def __init__(self, options: Options, device: Device = CPU):
        self._options = options
        self._model = _ultralytics.Model(options.weight.verify(), ("segment",), options, device)

    def masks(
        self, people: Iterable[tuple[np.ndarray, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, tuple[int, int]] | None]:
        """A bool mask and its place (x, y) in the full frame for each (image, box); None where nobody overlaps it."""
        return self._model.subjects(people, self._options, _mask)


def _mask(found: Any, index: int, corner: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    return found.masks.data[index].cpu().numpy() > 0, corner
