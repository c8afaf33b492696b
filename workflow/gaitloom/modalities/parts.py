"""parts: which part of the subject's body each pixel shows, in DensePose's labels, at full frame size."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gaitloom.strict import Strict

if TYPE_CHECKING:
    from gaitloom.derive import Job
    from gaitloom.store import FrameStream

VERSION = 1
READS = ("track",)
ARRAYS = {"time": ("time",), "valid": ("time",), "label": ("time", "y", "x")}
OPTIONAL = {"uv": ("time", "axis", "y", "x")}


class Options(Strict):
    """The parts modality has no options of its own."""


@dataclass(frozen=True)
class Person:
    """The subject in one frame, as far as the backend's nodes and `needs_image` tell.

    `box` (4,) float xyxy, `image` (H, W, 3) uint8 RGB, `points` (23, 2) float and `score` (23,) in COCO-WholeBody's
    order, `mask` (H, W) bool; all in full-frame pixels.
    """

    box: np.ndarray
    image: np.ndarray | None = None
    points: np.ndarray | None = None
    score: np.ndarray | None = None
    mask: np.ndarray | None = None


def derive(job: "Job") -> dict[str, Any]:
    """Label the subject's pixels wherever the track has a box and every other node that the backend reads is valid.

    A backend has `labels`, the names of its labels (background first), `learned` (whether a model or geometry made
    them), `needs_image`, and `parts(people)`, which takes `Person`s and gives, for each, a (h, w) uint8 label map and
    the full-frame pixel (x, y) of its first label, or None where it sees nobody. One whose `uv` is true gives a third
    thing, where on its part's chart each pixel lies: U and V, (2, h, w) uint8, 0..255 for 0..1. One that takes the maps
    from files has `recorded(job)` instead of `parts`, which gives a map of the full frame for each of the clip's.
    """
    width, height = job.size
    names = job.backend.labels
    stream = job.staged.stream(
        "label",
        (job.length, height, width),
        np.uint8,
        ("time", "y", "x"),
        long_name="the part of the subject's body that the pixel shows",
        flag_values=list(range(len(names))),
        flag_meanings=" ".join(names),
    )
    charts = _charts(job, width, height) if getattr(job.backend, "uv", False) else None
    valid = np.zeros(job.length, bool)
    nothing = np.zeros((height, width), np.uint8), np.zeros((2, height, width), np.uint8)
    for index, (label, uv) in zip(range(job.length), _recorded(job) if job.from_files else _labelled(job), strict=True):
        valid[index] = label is not None and label.any()
        stream.append(nothing[0] if label is None else label)
        if charts is not None:
            charts.append(nothing[1] if uv is None else uv)
    job.put_valid(valid, "the subject's parts were labelled in this frame")
    return {
        "width": width,
        "height": height,
        "label_names": list(names),
        "label_space": "densepose_coarse_14" if len(names) == 15 else "densepose_fine_24",
        "learned": job.backend.learned,
    }


# A label map and its U and V, both of the full frame; None where there is nobody, or no chart.
Labelled = tuple[np.ndarray | None, np.ndarray | None]


def _recorded(job: "Job") -> Iterator[Labelled]:
    return ((label, None) for label in job.backend.recorded(job))


def _labelled(job: "Job") -> Iterator[Labelled]:
    """The backend's maps of every frame, pasted into the full frame; the same arrays each time."""
    box = job.read("track").load("box")
    usable = np.isfinite(box[:, 0])
    for modality in job.reads:
        if modality not in ("video", "track"):
            usable &= job.read(modality).load("valid")
    width, height = job.size
    full, full_uv = np.zeros((height, width), np.uint8), np.zeros((2, height, width), np.uint8)
    found = iter(job.backend.parts(_people(job, box, usable)))
    for index in range(job.length):
        labelled = next(found) if usable[index] else None
        if labelled is None:
            yield None, None
            continue
        label, (x, y), *uv = labelled
        place = np.s_[..., y : y + label.shape[0], x : x + label.shape[1]]
        full[:] = full_uv[:] = 0
        full[place] = label
        if uv:
            full_uv[place] = uv[0]
        yield full, full_uv if uv else None


def _charts(job: "Job", width: int, height: int) -> "FrameStream":
    return job.staged.stream(
        "uv",
        (job.length, 2, height, width),
        np.uint8,
        OPTIONAL["uv"],
        long_name="where on the chart of its part the pixel lies: U, V",
        scale_factor=1 / 255,
    )


def _people(job: "Job", box: np.ndarray, usable: np.ndarray) -> Iterator[Person]:
    """The subject in every usable frame."""
    images = (frame.rgb() for frame in job.frames()) if job.backend.needs_image else None
    masks = job.read("silhouette").frames("mask") if "silhouette" in job.reads else None
    keypoints = job.read("keypoints") if "keypoints" in job.reads else None
    points = keypoints.load("xy_23") if keypoints else None
    score = keypoints.load("score_23") if keypoints else None
    for index in range(job.length):
        image = next(images) if images is not None else None
        mask = next(masks) if masks is not None else None
        if usable[index]:
            yield Person(
                box[index],
                image,
                None if points is None else points[index],
                None if score is None else score[index],
                mask,
            )
        if images is None:
            job.advance()
