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
            posed = self._pose(image, *_blazepose.region(box))
            if posed is None or posed.mask is None:
                yield None
                continue
            (x, y), (height, width) = posed.corner, image.shape[:2]
            left, top = max(0, x), max(0, y)
            inside = posed.mask[top - y : height - y, left - x : width - x]
            yield inside > self._threshold, (left, top)
