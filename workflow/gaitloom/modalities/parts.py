"""parts: which part of the subject's body each pixel shows, in DensePose's labels, at full frame size."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gaitloom.strict import Strict

if TYPE_CHECKING:
    from gaitloom.derive import Job

VERSION = 1
READS = ("track",)
ARRAYS = {"time": ("time",), "valid": ("time",), "label": ("time", "y", "x")}
OPTIONAL: dict[str, tuple[str, ...]] = {}


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
    the full-frame pixel (x, y) of its first label, or None where it sees nobody.
    """
    box = job.read("track").load("box")
    usable = np.isfinite(box[:, 0])
    for modality in job.reads:
        if modality not in ("video", "track"):
            usable &= job.read(modality).load("valid")
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
    valid = np.zeros(job.length, bool)
    found = iter(job.backend.parts(_people(job, box, usable)))
    full = np.zeros((height, width), np.uint8)
    for index in range(job.length):
        full[:] = 0
        labelled = next(found) if usable[index] else None
        if labelled is not None:
            label, (x, y) = labelled
            full[y : y + label.shape[0], x : x + label.shape[1]] = label
            valid[index] = label.any()
        stream.append(full)
    job.put_valid(valid, "the subject's parts were labelled in this frame")
    return {
        "width": width,
        "height": height,
        "label_names": list(names),
        "label_space": "densepose_coarse_14" if len(names) == 15 else "densepose_fine_24",
        "learned": job.backend.learned,
    }


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
