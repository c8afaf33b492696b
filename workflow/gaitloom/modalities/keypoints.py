"""keypoints: the subject's joints in every frame, under the backend's own names and in COCO-WholeBody's 23."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gaitloom import keypoint_formats
from gaitloom.keypoint_formats import WHOLEBODY_23, KeypointFormat
from gaitloom.strict import Strict

if TYPE_CHECKING:
    from gaitloom.derive import Job

VERSION = 2
READS = ("track",)
ARRAYS = {
    "time": ("time",),
    "valid": ("time",),
    "xy": ("time", "keypoint", "axis"),
    "score": ("time", "keypoint"),
    "xy_23": ("time", "keypoint_23", "axis"),
    "score_23": ("time", "keypoint_23"),
    "swap": ("time",),
    "sharpness": ("time",),
}


OPTIONAL = {"corrected": ("time", "keypoint")}


@dataclass(frozen=True)
class Recording:
    """A clip's points (T, K, 3) float32, x, y in full-frame pixels and score, NaN where there is nobody; what points
    and scores they are; the sharpness (T,) of the subject's box, where it was measured; which points a human set,
    (T, K) bool, where that is known; and attributes of the node."""

    points: np.ndarray
    format: KeypointFormat
    score_kind: str
    sharpness: np.ndarray | None = None
    corrected: np.ndarray | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


class Options(Strict):
    """The keypoints modality has no options of its own."""


def derive(job: "Job") -> dict[str, Any]:
    """Pose the subject wherever the track has a box, also a bridged one.

    A backend has `format` (a `KeypointFormat`), `score_kind`, and `points(people)`, which takes (image (H, W, 3) uint8
    RGB, box (4,) float xyxy) pairs and gives (K, 3) float32 x, y, score in full-frame pixels for each, or None where it
    sees nobody. One that takes them from files has `recorded(job)` instead, which gives a `Recording`.
    """
    made = job.backend.recorded(job) if job.from_files else _posed(job)
    valid = np.asarray(np.isfinite(made.points[..., 0]).any(axis=1))
    _put(job, made, valid)
    _put_view(job, made, valid)
    if made.corrected is not None:
        _put_corrected(job, made.corrected)
    return {
        "keypoint_format": made.format.name,
        "keypoint_names": list(made.format.points),
        "edges": [list(e) for e in made.format.edges],
        "keypoint_23_format": WHOLEBODY_23.name,
        "keypoint_23_names": list(WHOLEBODY_23.points),
        "edges_23": [list(e) for e in WHOLEBODY_23.edges],
        "score_kind": made.score_kind,
        **made.attributes,
    }


def _posed(job: "Job") -> Recording:
    """What the backend sees on the clip's frames; the next one is made ready while it computes."""
    from gaitloom.video import ahead

    box = job.read("track").load("box")
    tracked = np.isfinite(box[:, 0])
    points = np.full((job.length, len(job.backend.format.points), 3), np.nan, np.float32)
    sharpness = np.full(job.length, np.nan, np.float32)

    def people() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for frame in job.frames():
            if tracked[frame.index]:
                image = frame.rgb()
                sharpness[frame.index] = _sharpness(image, box[frame.index])
                yield image, box[frame.index]

    for index, found in zip(np.flatnonzero(tracked), job.backend.points(ahead(people(), 1)), strict=True):
        if found is not None:
            points[index] = found
    return Recording(points, job.backend.format, job.backend.score_kind, sharpness)


def _put(job: "Job", made: Recording, valid: np.ndarray) -> None:
    job.put_valid(valid, "the subject was posed in this frame")
    job.staged.put(
        "xy",
        made.points[..., :2],
        ("time", "keypoint", "axis"),
        units="pixel",
        long_name="x right, y down, in the full frame",
    )
    job.staged.put(
        "score",
        np.nan_to_num(made.points[..., 2]),
        ("time", "keypoint"),
        long_name=f"the backend's score: {made.score_kind}",
    )
    job.staged.put(
        "sharpness",
        np.full(job.length, np.nan, np.float32) if made.sharpness is None else made.sharpness,
        ("time",),
        long_name="variance of the Laplacian of the subject's box scaled to 256 px height",
    )


def _put_view(job: "Job", made: Recording, valid: np.ndarray) -> None:
    """The same points in COCO-WholeBody's first 23, and where the legs changed places."""
    xy, score = made.points[..., :2], np.nan_to_num(made.points[..., 2])
    xy_23, score_23 = keypoint_formats.view(xy, score, made.format.points)
    job.staged.put(
        "xy_23",
        xy_23,
        ("time", "keypoint_23", "axis"),
        units="pixel",
        long_name="the same in COCO-WholeBody's first 23",
    )
    job.staged.put(
        "score_23",
        score_23,
        ("time", "keypoint_23"),
        long_name=f"{made.score_kind}; 0 where a point has no source",
    )
    job.staged.put(
        "swap",
        keypoint_formats.swapped(xy_23, valid, _height(xy)),
        ("time",),
        long_name="left and right leg changed places against the frame before",
        flag_values=[0, 1],
        flag_meanings="kept swapped",
    )


def _put_corrected(job: "Job", corrected: np.ndarray) -> None:
    job.staged.put(
        "corrected",
        corrected,
        ("time", "keypoint"),
        long_name="where this point is from",
        flag_values=[0, 1],
        flag_meanings="base human",
    )


def _height(xy: np.ndarray) -> np.ndarray:
    """(T,) how tall the subject's points (T, K, 2) stand in the picture, in pixels."""
    y = xy[..., 1]
    return np.where(np.isfinite(y), y, -np.inf).max(axis=1) - np.where(np.isfinite(y), y, np.inf).min(axis=1)


def _sharpness(image: np.ndarray, box: np.ndarray) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al. 2000) of the box's grey picture, scaled to 256 px height so that
    near and far subjects compare. Low values mean blur."""
    import cv2

    x0, y0, x1, y1 = np.round(box).astype(int)
    crop = image[max(y0, 0) : y1, max(x0, 0) : x1]
    if min(crop.shape[:2]) < 2:
        return float("nan")
    scale = 256 / crop.shape[0]
    grey = cv2.cvtColor(
        cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR),
        cv2.COLOR_RGB2GRAY,
    )
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())
