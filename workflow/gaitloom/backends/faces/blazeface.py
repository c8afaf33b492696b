"""BlazeFace, the short-range model inside mediapipe's wheel, through mediapipe's own graph; meant for crops of heads.

Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019. The image is shrunk into
128 x 128 px, so faces that are small in it are not seen. The wheel's full-range model cannot be used here.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from pydantic import Field

from gaitloom.backends import Spec, Weight, _blazepose
from gaitloom.faces import Faces
from gaitloom.strict import Strict

WEIGHTS = Weight(
    "mediapipe",
    "modules/face_detection/face_detection_short_range.tflite",
    "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
)


class Options(Strict):
    """How sure the detector must be."""

    min_score: float = Field(0.5, gt=0, lt=1, description="Faces below this score are ignored.")


SPEC = Spec(
    version=1,
    options=Options,
    packages=_blazepose.PACKAGES,
    licence=_blazepose.LICENCE,
    weights=(WEIGHTS,),
)

_FIND = """
input_stream: "image"
output_stream: "detections"
node {
  calculator: "FaceDetectionShortRangeCpu"
  input_stream: "IMAGE:image"
  output_stream: "DETECTIONS:detections"
  node_options: { [type.googleapis.com/mediapipe.FaceDetectionOptions] { min_score_thresh: %s } }
}
"""


class Backend:
    """Every image by itself; landmarks are not given, since it has one point for the mouth."""

    def __init__(self, options: Options):
        WEIGHTS.verify()
        with _blazepose._quiet():
            _blazepose.load()
            import mediapipe.modules.face_detection.face_detection_pb2  # noqa: F401  (the graph's options)

            self._find = _blazepose._graph(_FIND % options.min_score, ["detections"])
            self._find.process(np.zeros((64, 64, 3), np.uint8))

    def faces(self, images: Iterable[np.ndarray]) -> Iterator[Faces]:
        """The faces in each RGB image (h, w, 3) uint8 of any size, each found once by the graph itself."""
        for image in images:
            height, width = image.shape[:2]
            found = self._find.process(np.ascontiguousarray(image)).detections or []
            shares = [f.location_data.relative_bounding_box for f in found]
            low = np.array([(b.xmin, b.ymin) for b in shares], np.float64).reshape(-1, 2)
            extent = np.array([(b.width, b.height) for b in shares], np.float64).reshape(-1, 2)
            box = np.hstack([low, low + extent]) * (width, height, width, height)
            yield Faces.of(box, np.array([f.score[0] for f in found], np.float32), None, (width, height))
