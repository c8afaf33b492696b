"""flow: how every pixel of one fixed region moves from each frame to the next."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from gaitloom.strict import Strict

if TYPE_CHECKING:
    from gaitloom.derive import Job

VERSION = 1
READS = ("track",)
ARRAYS = {"time": ("time",), "valid": ("time",), "flow": ("time", "row", "column", "axis"), "saturated": ("time",)}
OPTIONAL: dict[str, tuple[str, ...]] = {}
STEPS = 64  # stored units a pixel
LIMIT = np.iinfo(np.int16).max


class Options(Strict):
    """Which part of the picture, and how finely."""

    region: Literal["subject", "frame"] = Field(
        "subject", description="The union of the subject's boxes, fixed for the clip, or the full frame."
    )
    margin: float = Field(0.05, ge=0, le=1, description="The region is widened by this share of the tallest box.")
    longest_side: int | None = Field(
        320, ge=16, description="The region is scaled down until its longest side has this many pixels; null keeps it."
    )


def derive(job: "Job") -> dict[str, Any]:
    """Flow from frame t to t + 1 on one region that stays where it is (a moving crop would not be image motion).

    A backend's `flows(pairs)` takes (a, b) pairs of frames, (h, w, 3) uint8 RGB where its `colour` is true and else
    (h, w) uint8 grey, and gives (h, w, 2) float32 displacements in pixels of the scaled region for each. The last frame
    has none and is invalid.
    """
    width, height = job.size
    box = job.read("track").load("box")
    region = region_of(box, width, height, job.options)
    shape = scaled(region, job.options.longest_side)
    stream = job.staged.stream(
        "flow",
        (job.length, *shape, 2),
        np.int16,
        ("time", "row", "column", "axis"),
        units="pixel",
        scale_factor=1 / STEPS,
        long_name="displacement to the next frame (x right, y down) in pixels of the scaled region",
    )
    saturated = np.zeros(job.length, np.int32)
    flows = iter(job.backend.flows(_pairs(job, region, shape)))
    for index in range(job.length - 1):
        stored = np.rint(next(flows) * STEPS)
        saturated[index] = int((np.abs(stored) > LIMIT).sum())
        stream.append(np.clip(stored, -LIMIT, LIMIT).astype(np.int16))
    stream.append(np.zeros((*shape, 2), np.int16))
    valid = np.arange(job.length) < job.length - 1
    job.put_valid(valid, "there is a next frame to move to")
    job.staged.put("saturated", saturated, ("time",), long_name="values beyond the stored range, clipped")
    x0, y0, x1, y1 = region
    return {
        "region": [x0, y0, x1, y1],
        "region_comment": "x0, y0, x1, y1 in full-frame pixels; x = x0 + (column + 0.5) / scale[0] - 0.5, y likewise",
        "scale": [shape[1] / (x1 - x0), shape[0] / (y1 - y0)],
    }


def region_of(box: np.ndarray, width: int, height: int, options: Options) -> tuple[int, int, int, int]:
    """The clip's fixed region x0, y0, x1, y1 in pixels: the subject's boxes (T, 4) together, or the full frame, also
    where there is no subject."""
    seen = box[np.isfinite(box[:, 0])]
    if options.region == "frame" or not len(seen):
        return 0, 0, width, height
    margin = options.margin * (seen[:, 3] - seen[:, 1]).max()
    x0, y0 = np.floor(seen[:, :2].min(axis=0) - margin).astype(int)
    x1, y1 = np.ceil(seen[:, 2:].max(axis=0) + margin).astype(int)
    return max(0, int(x0)), max(0, int(y0)), min(width, int(x1)), min(height, int(y1))


def scaled(region: tuple[int, int, int, int], longest: int | None) -> tuple[int, int]:
    """(h, w) of the region once its longest side has at most `longest` pixels."""
    width, height = region[2] - region[0], region[3] - region[1]
    scale = min(1.0, longest / max(width, height)) if longest else 1.0
    return max(1, round(height * scale)), max(1, round(width * scale))


def _pairs(
    job: "Job", region: tuple[int, int, int, int], shape: tuple[int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    import cv2

    x0, y0, x1, y1 = region
    before = None
    for frame in job.frames():
        picture = np.ascontiguousarray(frame.rgb()[y0:y1, x0:x1]) if job.backend.colour else frame.grey(region)
        if picture.shape[:2] != shape:
            picture = cv2.resize(picture, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
        if before is not None:
            yield before, picture
        before = picture
