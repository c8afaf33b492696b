"""silhouette: which pixels are the subject, in every frame, at full frame size."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from gaitloom.strict import Strict

if TYPE_CHECKING:
    from gaitloom.derive import Job

VERSION = 1
READS = ("track",)
ARRAYS = {"time": ("time",), "valid": ("time",), "mask": ("time", "y", "x")}


class Options(Strict):
    """The silhouette modality has no options of its own."""


def derive(job: "Job") -> dict[str, Any]:
    """Segment the subject wherever the track has a box, also a bridged one.

    A backend's `masks(people)` takes (image (H, W, 3) uint8 RGB, box (4,) float xyxy) pairs and gives, for each, a
    (h, w) bool mask and the full-frame pixel (x, y) of its first one, or None where it sees nobody.
    """
    box = job.read("track").load("box")
    tracked = np.isfinite(box[:, 0])
    width, height = job.size

    def people() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for frame in job.frames():
            if tracked[frame.index]:
                yield frame.rgb(), box[frame.index]

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
    masks = iter(job.backend.masks(people()))
    full = np.zeros((height, width), bool)
    for index in range(job.length):
        full[:] = False
        found = next(masks) if tracked[index] else None
        if found is not None:
            mask, (x, y) = found
            full[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
            valid[index] = mask.any()
        stream.append(full)
    job.put_valid(valid, "the subject was segmented in this frame")
    return {"width": width, "height": height}
