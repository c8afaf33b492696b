"""track: everyone who is seen, and the subject followed from frame to frame."""

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from gaitloom.errors import GaitloomError
from gaitloom.strict import Strict

if TYPE_CHECKING:
    from gaitloom.derive import Job

VERSION = 2
READS: tuple[str, ...] = ()
ARRAYS = {
    "time": ("time",),
    "valid": ("time",),
    "box": ("time", "corner"),
    "score": ("time",),
    "person_frame": ("person",),
    "person_box": ("person", "corner"),
    "person_id": ("person",),
    "person_score": ("person",),
}
OPTIONAL: dict[str, tuple[str, ...]] = {"person_head": ("person", "corner")}


class Options(Strict):
    """How the subject is followed."""

    max_gap_s: float = Field(
        0.5, ge=0, description="Gaps in the subject's track up to this many seconds are bridged on a straight line."
    )


def derive(job: "Job") -> dict[str, Any]:
    """Find people in every frame, link them over time, and choose the subject.

    A backend's `people(images)` takes RGB frames (H, W, 3) uint8 and gives a `gaitloom.tracking.People` for each. The
    subject is whoever stands in the sheet's `box`, else whoever walks the longest path.

    Raises:
        GaitloomError: the sheet gives a box, and nobody stands in it during the first second.
    """
    from gaitloom import tracking

    people = tracking.collect(job.backend.people(frame.rgb() for frame in job.frames()))
    if all(p.identity is not None for p in people):
        identities = [p.identity for p in people]
    else:
        identities = tracking.associate(people, job.time)
    chosen = tracking.subject(people, identities, job.time, job.recipe["subject_box"])  # pyright: ignore[reportArgumentType]
    if chosen is None and job.recipe["subject_box"] is not None:
        raise GaitloomError(
            f"has nobody at the box {job.recipe['subject_box']} in its first second; correct the clip sheet"
        )
    box = np.full((job.length, 4), np.nan)
    score = np.zeros(job.length, np.float32)
    if chosen is not None:
        frames, boxes, scores = tracking.trajectories(people, identities)[chosen]  # pyright: ignore[reportArgumentType]
        box[frames], score[frames] = boxes, scores
    seen = np.isfinite(box[:, 0])
    _put(job, tracking.bridge(box, job.time, job.options.max_gap_s), score, seen)
    _put_people(job, people, identities)
    return {"subject_id": -1 if chosen is None else chosen}


def _put(job: "Job", box: np.ndarray, score: np.ndarray, seen: np.ndarray) -> None:
    job.put_valid(seen, "the subject was seen in this frame; a box on an invalid frame bridges a gap")
    job.staged.put(
        "box", box.astype(np.float32), ("time", "corner"), units="pixel", long_name="the subject's box: x0, y0, x1, y1"
    )
    job.staged.put("score", score, ("time",), long_name="the finder's confidence in the subject's box")


def _put_people(job: "Job", people: list[Any], identities: Any) -> None:
    counts = [len(p.box) for p in people]
    rows = {
        "person_frame": np.repeat(np.arange(len(people), dtype=np.int32), counts),
        "person_id": np.concatenate([*identities, np.zeros(0)]).astype(np.int32),
        "person_score": np.concatenate([*(p.score for p in people), np.zeros(0)]).astype(np.float32),
    }
    names = {
        "person_frame": "the frame in which this person was seen",
        "person_id": "who it is, the same from frame to frame",
        "person_score": "the finder's confidence",
    }
    for name, values in rows.items():
        job.staged.put(name, values, ("person",), long_name=names[name])
    boxes = np.concatenate([*(p.box for p in people), np.zeros((0, 4))]).astype(np.float32)
    job.staged.put("person_box", boxes, ("person", "corner"), units="pixel", long_name="everyone's box: x0, y0, x1, y1")
    if all(p.head is not None for p in people):
        heads = np.concatenate([*(p.head for p in people), np.zeros((0, 4))]).astype(np.float32)
        about = "everyone's head, hair included: x0, y0, x1, y1"
        job.staged.put("person_head", heads, ("person", "corner"), units="pixel", long_name=about)
