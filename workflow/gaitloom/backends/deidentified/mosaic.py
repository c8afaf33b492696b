"""Heads as mosaics: as many blocks as a squint leaves without a face, to the eyes of CenterFace and BlazeFace.

Those who audit the result (YuNet, RetinaFace) are never asked here.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from pydantic import Field

from gaitloom.backends import Spec
from gaitloom.backends.deidentified import _text
from gaitloom.backends.faces import blazeface, centerface
from gaitloom.deidentify import mosaic
from gaitloom.strict import Strict


class Options(Strict):
    """How much of a head may be left."""

    blocks: int = Field(
        mosaic.FINEST, ge=1, le=mosaic.FINEST, description="Most blocks across a head; 1 is a solid colour."
    )
    min_score: float = Field(0.5, gt=0, lt=1, description="Faces below this score are not seen when squinting.")


SPEC = Spec(
    version=1,
    options=Options,
    packages=tuple(dict.fromkeys((*centerface.SPEC.packages, *blazeface.SPEC.packages, "rapidocr"))),
    licence="MIT, Apache-2.0",
    weights=(*centerface.SPEC.weights, *blazeface.SPEC.weights, _text.WEIGHTS),
)


class Backend:
    """Every head by itself."""

    def __init__(self, options: Options):
        self._options = options
        low = min(options.min_score, 0.3)
        eyes = (  # the quicker first
            blazeface.Backend(blazeface.Options(min_score=options.min_score)),
            centerface.Backend(centerface.Options(min_score=low)),
        )
        self._judges = [eye.faces for eye in eyes]

    def texts(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The boxes (N, 4) xyxy of the text in each RGB image (h, w, 3) uint8."""
        return _text.Finder().boxes(images)

    def patterns(self, looks: Iterable[mosaic.Look]) -> Iterator[np.ndarray]:
        """For every head's look its pattern (n, n, 3) uint8 RGB, n blocks across."""
        for look in looks:
            found = mosaic.level(look, self._judges, self._options.blocks, self._options.min_score)
            yield mosaic.pattern(look.mean, found)
