"""video: decoded truth about a clip, and the time axis of everything else. Raw pixels never enter the store."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from gaitloom.errors import GaitloomError
from gaitloom.strict import Strict

if TYPE_CHECKING:
    from gaitloom.derive import Job

VERSION = 1
READS: tuple[str, ...] = ()
ARRAYS = {"time": ("time",), "pts": ("time",)}
OPTIONAL: dict[str, tuple[str, ...]] = {}


class Options(Strict):
    """The video node has no options."""


def derive(job: "Job") -> dict[str, Any]:
    """Decode the clip once: frame count, time stamps, rational frame rate, rotation, size.

    Variable frame rates stay as they are. `time` (T,) float64 s counts from the clip's first frame: it comes from the
    stream's own `pts` (T,) int64 in units of the time base, or is frame / capture_fps where the sheet gives that.
    """
    from gaitloom.video import decode, probe

    clip = job.clip
    header = probe(job.video)
    pts: list[int] = []
    first = None
    for frame in decode(job.video, clip.start or 0, clip.end):
        first = first or frame
        if (frame.width, frame.height) != (first.width, first.height):
            raise GaitloomError(f"changes its picture size at frame {len(pts)}; split it there")
        pts.append(frame.pts)
        job.advance()
    if first is None:
        raise GaitloomError("has no frames; remove it from the folder, or correct its segment")
    if len(pts) < 2:
        raise GaitloomError("has only one frame; a clip needs at least two, so exclude it in the clip sheet")
    if clip.capture_fps is None:
        time, rate = stream_time(pts, header.time_base)
    else:
        time = np.arange(len(pts)) / clip.capture_fps
        rate = Fraction(clip.capture_fps).limit_denominator(1_000_000)
    job.put_time(time)
    job.staged.put(
        "pts", np.asarray(pts, np.int64), ("time",), long_name="presentation time stamp in the source's time base"
    )
    steps = np.diff(time)
    return {
        "frames": len(pts),
        "width": first.width,
        "height": first.height,
        "fps": f"{rate.numerator}/{rate.denominator}",
        "variable_frame_rate": bool(steps.max() > 1.5 * np.median(steps) or steps.min() < 0.5 * np.median(steps)),
        "time_base": f"{header.time_base.numerator}/{header.time_base.denominator}",
        "codec": header.codec,
        "rotation": first.rotation,
        "source_sha256": clip.sha256,
        **({"capture_fps": clip.capture_fps} if clip.capture_fps is not None else {}),
    }


def stream_time(pts: Sequence[int], time_base: Fraction) -> tuple[np.ndarray, Fraction]:
    """Seconds from the first frame (T,) float64, and the mean rate in Hz: T - 1 frames over the time that they span.

    Raises:
        GaitloomError: the stamps do not rise from frame to frame.
    """
    for frame, (before, after) in enumerate(pairwise(pts), 1):
        if after <= before:
            raise GaitloomError(
                f"has no rising time stamps (frame {frame}); give capture_fps in the clip sheet, or convert it to MP4"
            )
    seconds = np.array([float((p - pts[0]) * time_base) for p in pts])
    return seconds, Fraction(len(pts) - 1) / ((pts[-1] - pts[0]) * time_base)
