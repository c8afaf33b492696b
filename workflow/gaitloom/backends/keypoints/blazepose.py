"""BlazePose's 33 landmarks on the tracked region: the model inside mediapipe's wheel, nothing to download."""

from collections.abc import Iterable, Iterator

import numpy as np

from gaitloom.backends import Spec, _blazepose
from gaitloom.keypoint_formats import BLAZEPOSE_33
from gaitloom.strict import Strict


class Options(Strict):
    """BlazePose has no options."""


SPEC = Spec(
    version=1,
    options=Options,
    packages=_blazepose.PACKAGES,
    licence=_blazepose.LICENCE,
    weights=(_blazepose.LANDMARKS,),
)


class Backend:
    """Every frame by itself: the region comes from the track, never from the frame before."""

    format = BLAZEPOSE_33
    score_kind = "visibility"

    def __init__(self, options: Options):
        self._pose = _blazepose.Poser()

    def points(self, people: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray | None]:
        """(33, 3) float32 x, y in full-frame pixels and visibility for each (image, box); None where nobody is seen."""
        for image, box in people:
            posed = self._pose(image, *_blazepose.region(box))
            yield posed.points if posed else None
