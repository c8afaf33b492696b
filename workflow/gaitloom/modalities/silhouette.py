"""silhouette: which pixels are the subject, in every frame, at full frame size."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gaitloom.strict import Strict

if TYPE_CHECKING:
    from gaitloom.derive import Job

VERSION = 1
READS = ("track",)
ARRAYS = {"time": ("time",), "valid": ("time",), "mask": ("time", "y", "x")}


OPTIONAL = {"corrected": ("time",)}


@dataclass(frozen=True)
class Recording:
    """A clip's masks, (H, W) bool in the full frame or None where there is nobody, one a frame; in which frames a human
    drew them, (T,) bool, complete once the masks have been taken, where that is known; and attributes of the node."""

    masks: Iterator[np.ndarray | None]
    corrected: np.ndarray | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


class Options(Strict):
    """The silhouette modality has no options of its own."""


def derive(job: "Job") -> dict[str, Any]:
    """Segment the subject wherever the track has a box, also a bridged one.

    A backend's `masks(people)` takes (image (H, W, 3) uint8 RGB, box (4,) float xyxy) pairs and gives, for each, a
    (h, w) bool mask and the full-frame pixel (x, y) of its first one, or None where it sees nobody. One that takes them
    from files has `recorded(job)` instead, which gives a `Recording`.
    """
    width, height = job.size
    made = job.backend.recorded(job) if job.from_files else Recording(_segmented(job))
    stream = job.staged.stream(
        "mask",
        (job.length, height, width),
        bool,
        ("time", "y", "x"),
        long_name="the subject's silhouette in the full frame",
        flag_values=[0, 1],
        flag_meanings="background subject",
    )
    valid = np.zeros(job.length, bool)
    nobody = np.zeros((height, width), bool)
    for index, mask in zip(range(job.length), made.masks, strict=True):
        valid[index] = mask is not None and mask.any()
        stream.append(nobody if mask is None else mask)
    job.put_valid(valid, "the subject was segmented in this frame")
    if made.corrected is not None:
        job.staged.put(
            "corrected",
            made.corrected,
            ("time",),
            long_name="where this frame's mask is from",
            flag_values=[0, 1],
            flag_meanings="base human",
        )
    return {"width": width, "height": height, **made.attributes}


def _segmented(job: "Job") -> Iterator[np.ndarray | None]:
    """The backend's mask of every frame, pasted into the full frame; the same array each time."""
    box = job.read("track").load("box")
    tracked = np.isfinite(box[:, 0])
    width, height = job.size
    full = np.zeros((height, width), bool)

    def people() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for frame in job.frames():
            if tracked[frame.index]:
                yield frame.rgb(), box[frame.index]

    masks = iter(job.backend.masks(people()))
    for index in range(job.length):
        found = next(masks) if tracked[index] else None
        if found is None:
            yield None
            continue
        mask, (x, y) = found
        full[:] = False
        full[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
        yield full
