"""BlazePose's segmentation mask on the tracked region: the model inside mediapipe's wheel, nothing to download."""

from collections.abc import Iterable, Iterator

import numpy as np
from pydantic import Field

from gaitloom.backends import Spec, _blazepose
from gaitloom.strict import Strict


class Options(Strict):
    """Where a pixel becomes the person."""

    threshold: float = Field(0.5, gt=0, lt=1, description="Pixels whose probability exceeds this are the subject.")


SPEC = Spec(
    version=1,
    options=Options,
    packages=_blazepose.PACKAGES,
    licence=_blazepose.LICENCE,
    weights=(_blazepose.LANDMARKS,),
)


class Backend:
    """Every frame by itself, on a crop around the tracked box."""

    def __init__(self, options: Options):
        self._threshold = options.threshold
        self._pose = _blazepose.Poser(mask=True)

    def masks(
        self, people: Iterable[tuple[np.ndarray, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, tuple[int, int]] | None]:
        """A bool mask and its place (x, y) in the full frame for each (image, box); None where nobody is seen."""
        for image, box in people:
            (x, y), side = _blazepose.region(box)
            left, top = max(0, int(x - side / 2)), max(0, int(y - side / 2))
            crop = np.ascontiguousarray(image[top : int(y + side / 2) + 1, left : int(x + side / 2) + 1])
            posed = self._pose(crop, (x - left, y - top), side)
            yield None if posed is None else (posed[1] > self._threshold, (left, top))  # pyright: ignore[reportOptionalOperand]
