"""RTMPose's 26 Halpe keypoints on the tracked box, with rtmlib's own crop and decoding around ONNX Runtime."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from gaitloom.backends import CPU, Device, Needs, Spec, _onnx
from gaitloom.backends._batches import batches
from gaitloom.backends._pictures import bgr
from gaitloom.errors import GaitloomError
from gaitloom.keypoint_formats import HALPE_26
from gaitloom.weights import Chosen

# Of ImageNet, in the order R, G, B, as RTMPose was trained (MMPose's configuration of each model).
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Options(Chosen):
    """Which model, what it is shown, and when it sees nobody."""

    weights: str = Field(
        "rtmpose-m_simcc-body7_pt-body7-halpe26_700e-256x192-4d3e73dd_20230605.onnx",
        description="Name of a registered weight file, or the path of one.",
    )
    min_score: float = Field(
        0.3,
        ge=0,
        description="Below this mean score of the 26 points nobody is seen (MMPose draws points from 0.3 on).",
    )
    colours: Literal["rgb", "bgr"] = Field(
        "rgb",
        description="Order in which the model is shown the colours: rgb as it was trained, or bgr as rtmlib's examples "
        "do, for comparison with data made so.",
    )


SPEC = Spec(
    version=1,
    options=Options,
    packages=("rtmlib", _onnx.package(), "opencv-contrib-python-headless"),
    licence="Apache-2.0",
    environment="torch",
    accelerated=True,
    needs=Needs(memory_mb=3000, seconds=0.5),
)


class Backend:
    """Every frame by itself: the region is the tracked box widened by a quarter, as rtmlib has it."""

    format = HALPE_26
    score_kind = "mean of the SimCC peaks in x and y, not a probability"

    def __init__(self, options: Options, device: Device = CPU):
        path = options.weight.verify()
        self._options = options
        self._session = _onnx.session(path, device)
        self._input, size = _signature(self._session, path)
        self._batch = 1 if self._input.shape[0] == 1 else device.batch
        self._pose = _rtmlib(size)

    def points(self, people: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray | None]:
        """(26, 3) float32 x, y in full-frame pixels and score for each (image, box); None where nobody is seen.

        A point without any response (score 0 or less) has NaN for x and y.
        """
        yield from batches(people, self._batch, self._run)

    def _run(self, people: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray | None]:
        shown = [self._pose.preprocess(self._coloured(image), box) for image, box in people]
        crops = np.stack([crop.transpose(2, 0, 1) for crop, _, _ in shown]).astype(np.float32)
        x, y = self._session.run(None, {self._input.name: crops})
        return [
            self._seen(*self._pose.postprocess((x[i : i + 1], y[i : i + 1]), centre, scale))
            for i, (_, centre, scale) in enumerate(shown)
        ]

    def _coloured(self, image: np.ndarray) -> np.ndarray:
        return image if self._options.colours == "rgb" else bgr(image)

    def _seen(self, xy: np.ndarray, score: np.ndarray) -> np.ndarray | None:
        if score.mean() < self._options.min_score:
            return None
        xy[score <= 0] = np.nan  # rtmlib's mark is a place outside the crop
        return np.concatenate([xy[0], score[0, :, None]], axis=1).astype(np.float32)


def _rtmlib(size: tuple[int, int]) -> Any:
    """rtmlib's RTMPose for pictures of (width, height), without a model of its own.

    Its constructor opens a second session, and fetches files that it does not find.
    """
    try:
        from rtmlib import RTMPose  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise GaitloomError(f"rtmlib cannot be loaded ({error}); install it with `make env-torch`.") from None
    pose: Any = RTMPose.__new__(RTMPose)
    pose.model_input_size, pose.mean, pose.std = size, MEAN, STD
    return pose


def _signature(session: Any, path: Path) -> tuple[Any, tuple[int, int]]:
    """The model's input and the (width, height) of the pictures that it takes.

    Raises:
        GaitloomError: it is not an RTMPose of 26 points; a blank picture's shapes tell, since exports leave them open.
    """
    given = session.get_inputs()[0]
    height, width = [*given.shape, 0, 0][2:4]
    try:
        found = [o.shape for o in session.run(None, {given.name: np.zeros((1, 3, height, width), np.float32)})]
        wanted = [(1, len(HALPE_26.points), 2 * width), (1, len(HALPE_26.points), 2 * height)]
        fault = None if found == wanted else f"it gives {found}, not {wanted}"
    except Exception as error:  # other inputs, other types; onnxruntime has an error class for each
        fault = _onnx.line_of(error)
    if fault:
        raise GaitloomError(f"The weights {path} are not an RTMPose model of Halpe's 26 points ({fault}).")
    return given, (width, height)
