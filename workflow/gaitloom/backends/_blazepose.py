"""BlazePose's two models as plain functions, through mediapipe's own graphs: find people, and pose one person.

mediapipe's `Pose` follows one person that it chose itself. These graphs give control of the region instead, so that
every frame depends on that frame and the tracked box alone, and nobody else in the picture can take over.
Model: Bazarevsky et al., "BlazePose: On-device Real-time Body Pose tracking", 2020.
"""

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from gaitloom.backends import Weight

DETECTOR = Weight(
    "mediapipe",
    "modules/pose_detection/pose_detection.tflite",
    "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
)
LANDMARKS = Weight(
    "mediapipe",
    "modules/pose_landmark/pose_landmark_full.tflite",
    "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
)
LICENCE = "Apache-2.0"
PACKAGES = ("mediapipe", "opencv-contrib-python-headless")

_BLANK = np.zeros((64, 64, 3), np.uint8)

_FIND = """
input_stream: "image"
output_stream: "detections"
node { calculator: "PoseDetectionCpu" input_stream: "IMAGE:image" output_stream: "DETECTIONS:detections" }
"""
_POSE = """
input_stream: "image"
input_stream: "roi"
input_side_packet: "enable_segmentation"
output_stream: "landmarks"
output_stream: "segmentation_mask"
node {
  calculator: "PoseLandmarkByRoiCpu"
  input_side_packet: "ENABLE_SEGMENTATION:enable_segmentation"
  input_stream: "IMAGE:image"
  input_stream: "ROI:roi"
  output_stream: "LANDMARKS:landmarks"
  output_stream: "SEGMENTATION_MASK:segmentation_mask"
}
"""


@contextmanager
def _quiet():
    """Keep mediapipe's start-up chatter out of the logs: C++ writes it straight to file descriptor 2, when a graph is
    built and at its first frame."""
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


def load() -> None:
    """Import mediapipe, and not matplotlib, which it wants for drawings that none here makes: half of its start-up."""
    if "mediapipe" in sys.modules or "matplotlib" in sys.modules:
        return
    blanks = {name: ModuleType(name) for name in ("matplotlib", "matplotlib.pyplot")}
    blanks["matplotlib"].pyplot = blanks["matplotlib.pyplot"]  # pyright: ignore[reportAttributeAccessIssue]
    sys.modules.update(blanks)
    try:
        import mediapipe  # noqa: F401
    finally:
        for name in blanks:
            del sys.modules[name]


def _graph(text: str, outputs: list[str], side: dict[str, Any] | None = None) -> Any:
    os.environ.setdefault("GLOG_minloglevel", "2")
    with _quiet():
        load()
        from google.protobuf import text_format
        from mediapipe.framework import calculator_pb2
        from mediapipe.python.solution_base import SolutionBase

        config = text_format.Parse(text, calculator_pb2.CalculatorGraphConfig())  # pyright: ignore[reportAttributeAccessIssue]
        return SolutionBase(graph_config=config, side_inputs=side, outputs=outputs)


class Finder:
    """BlazePose's person detector; it gives a circle around each person's whole body."""

    def __init__(self):
        self._find = _graph(_FIND, ["detections"])
        with _quiet():
            self(_BLANK)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Everyone in a (H, W, 3) uint8 RGB image, the most certain first: (N, 5) float64 of hip x, y, radius of the
        circle around the body (pixels), tilt (radians, 0 upright, positive to the image's right), and score."""
        height, width = image.shape[:2]
        found = []
        for person in self._find.process(image).detections or []:
            hip, top = (np.array([p.x * width, p.y * height]) for p in person.location_data.relative_keypoints[:2])
            up = top - hip
            found.append((*hip, np.hypot(*up), np.arctan2(up[0], -up[1]), person.score[0]))
        return np.array(sorted(found, key=lambda f: -f[4])).reshape(-1, 5)


class Poser:
    """BlazePose's landmark model on a given region; with `mask`, the person's segmentation too."""

    def __init__(self, mask: bool = False):
        outputs = ["landmarks", "segmentation_mask"] if mask else ["landmarks"]
        self._mask = mask
        self._pose = _graph(_POSE, outputs, {"enable_segmentation": mask})
        with _quiet():
            self(_BLANK, (32.0, 32.0), 64.0)

    def __call__(
        self, image: np.ndarray, centre: tuple[float, float], side: float, tilt: float = 0.0
    ) -> "Posed | None":
        """Pose the person in a square of a (H, W, 3) uint8 RGB image; None where the model sees nobody in it.

        `centre` and `side` in pixels, `tilt` in radians (positive: leaning to the image's right). The square may reach
        beyond the image.
        """
        from mediapipe.framework.formats import rect_pb2

        # A square crop around it: mediapipe turns regions in normalised coordinates, right only in a square picture.
        crop, corner = _square(image, centre, side * (abs(np.cos(tilt)) + abs(np.sin(tilt))))
        size = len(crop)
        roi = rect_pb2.NormalizedRect(  # pyright: ignore[reportAttributeAccessIssue]
            x_center=(centre[0] - corner[0]) / size,
            y_center=(centre[1] - corner[1]) / size,
            width=side / size,
            height=side / size,
            rotation=tilt,
        )
        result = self._pose.process({"image": crop, "roi": roi})
        if not result.landmarks:
            return None
        points = [(p.x * size + corner[0], p.y * size + corner[1], p.visibility) for p in result.landmarks.landmark]
        return Posed(np.array(points, np.float32), result.segmentation_mask if self._mask else None, corner)


@dataclass(frozen=True)
class Posed:
    """One person's landmarks (33, 3) float32 as x, y in full-frame pixels and visibility; and, if asked for, how likely
    each pixel is the person, (S, S) float32 on a square whose first pixel is `corner` (x, y) of the full frame."""

    points: np.ndarray
    mask: np.ndarray | None
    corner: tuple[int, int]


def _square(image: np.ndarray, centre: tuple[float, float], side: float) -> tuple[np.ndarray, tuple[int, int]]:
    """A square of a (H, W, 3) image that holds the given one, black beyond the borders, and its first pixel (x, y)."""
    size = int(np.ceil(side)) + 2
    x, y = int(np.floor(centre[0] - size / 2)), int(np.floor(centre[1] - size / 2))
    crop = np.zeros((size, size, 3), np.uint8)
    inside = image[max(0, y) : max(0, y + size), max(0, x) : max(0, x + size)]
    top, left = max(0, -y), max(0, -x)
    crop[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return crop, (x, y)


def region(box: np.ndarray) -> tuple[tuple[float, float], float]:
    """Centre and side (pixels) of the square region for a person's box (4,) xyxy: a quarter wider than the longer side,
    as MediaPipe's own regions are."""
    width, height = box[2] - box[0], box[3] - box[1]
    centre = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
    return centre, 1.25 * float(max(width, height))
