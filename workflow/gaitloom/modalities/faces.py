"""faces: everyone's face in every frame, found in the full frame, on people's heads, and near where one was before."""

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from gaitloom.strict import Strict

if TYPE_CHECKING:
    from gaitloom.derive import Job
    from gaitloom.face_search import Window

VERSION = 1
READS = ("track", "keypoints")
ARRAYS = {
    "time": ("time",),
    "valid": ("time",),
    "looked": ("time",),
    "face_frame": ("face",),
    "face_box": ("face", "corner"),
    "face_score": ("face",),
    "face_source": ("face",),
}
OPTIONAL: dict[str, tuple[str, ...]] = {}

SOURCES = ("frame", "person_crop", "followed_crop")
FRAME, PERSON, FOLLOWED = range(3)


class Options(Strict):
    """Where faces are looked for, and when two are one."""

    every: int = Field(5, ge=1, description="The full frame is searched in every n-th frame, the first included.")
    longest_side: int | None = Field(
        1280, ge=32, description="For that, it is scaled down to this many pixels; null keeps its size."
    )
    crop: int = Field(256, ge=32, le=1024, description="Side in pixels to which every crop around a head is scaled.")
    crop_min_score: float = Field(
        0.5, ge=0, lt=1, description="Faces in crops below this score are ignored, whatever the detector's own limit."
    )
    overlap: float = Field(
        0.4, gt=0, le=1, description="From this IoU on, two faces of a frame are one, and the surer box stays."
    )
    most_followed: int = Field(
        12, ge=0, description="In a frame with more such faces than this, the full frame is searched instead."
    )
    lost_after_s: float = Field(
        0.5, ge=0, description="A face that is not found is looked for where it is expected for this many seconds."
    )


# Box, score and source of the faces in one frame.
Found = tuple[np.ndarray, np.ndarray, np.ndarray]


def derive(job: "Job") -> dict[str, Any]:
    """Search the full frame now and then, and in every frame the heads of everyone whom the track node knows and the
    places where faces are expected that were found before.

    A backend's `faces(images)` takes RGB images (h, w, 3) uint8 of any size, and gives `gaitloom.faces.Faces` for each.
    It is called once a frame, with all of that frame's pictures, since where to look next depends on what it finds.
    """
    from gaitloom import face_search

    options, people = job.options, _people(job)
    whole = _scaled(job.size, options.longest_side)
    followed: list[face_search.Followed] = []
    looked, found = np.zeros(job.length, bool), []
    for frame in job.frames():
        t, when = frame.index, float(job.time[frame.index])
        heads = [face_search.head(box, points, job.size) for box, points in people[t]]
        others = face_search.expected(followed, when, heads, job.size)
        crowd = len(others) > options.most_followed
        looked[t] = crowd or t % options.every == 0
        windows = [*((w, PERSON) for w in heads), *((w, FOLLOWED) for w in others if not crowd)]
        found.append(_search(job, frame.rgb(), windows, whole if looked[t] else None))
        followed = face_search.follow(followed, found[-1][0], when, options.lost_after_s)
    _put(job, looked, found)
    return {"width": job.size[0], "height": job.size[1]}


def _people(job: "Job") -> list[list[tuple[np.ndarray, np.ndarray | None]]]:
    """Box (4,) and, of the subject, points (23, 2) of everyone in every frame; the subject's box may bridge a gap."""
    track, keypoints = job.read("track"), job.read("keypoints")
    subject, points, posed = track.load("box"), keypoints.load("xy_23"), keypoints.load("valid")
    people: list[list[tuple[np.ndarray, np.ndarray | None]]] = [
        [(box, points[t] if posed[t] else None)] if np.isfinite(box[0]) else [] for t, box in enumerate(subject)
    ]
    others = track.load("person_id") != track.attributes["subject_id"]
    for t, box in zip(track.load("person_frame")[others], track.load("person_box")[others], strict=True):
        people[t].append((box, None))
    return people


def _scaled(size: tuple[int, int], longest: int | None) -> tuple[int, int]:
    """(width, height) of the full frame as it is searched."""
    scale = min(1.0, longest / max(size)) if longest else 1.0
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _search(job: "Job", image: np.ndarray, windows: list[tuple["Window", int]], whole: tuple[int, int] | None) -> Found:
    """The faces of one frame, the surest first, each once, in full-frame pixels: in windows, each with its source, and,
    where `whole` is given, in the frame scaled to that size."""
    import cv2

    from gaitloom.faces import Faces, distinct

    options = job.options
    pictures = [window.of(image, options.crop) for window, _ in windows]
    if whole is not None:
        pictures.append(image if whole == job.size else cv2.resize(image, whole, interpolation=cv2.INTER_AREA))
    boxes, scores, sources = [np.zeros((0, 4))], [np.zeros(0)], [np.zeros(0, np.uint8)]

    def take(faces: Faces, sure: np.ndarray, scale: Any, corner: Any, source: int) -> None:
        boxes.append(np.clip(faces.box[sure] * scale + corner, 0, np.tile(job.size, 2)))
        scores.append(faces.score[sure])
        sources.append(np.full(sure.sum(), source, np.uint8))

    answers = list(job.backend.faces(iter(pictures)))
    for faces, (window, source) in zip(answers[: len(windows)], windows, strict=True):
        corner = np.array([window.x, window.y] * 2)
        take(faces, faces.score >= options.crop_min_score, window.side / options.crop, corner, source)
    if whole is not None:
        take(answers[-1], answers[-1].score >= 0, np.tile(np.divide(job.size, whole), 2), 0, FRAME)
    box, score, source = np.concatenate(boxes), np.concatenate(scores), np.concatenate(sources)
    inside = np.flatnonzero((box[:, 2:] > box[:, :2]).all(axis=1))  # in a crop, some lie on what continues the edge
    rows = inside[distinct(box[inside], score[inside], options.overlap)]
    return box[rows].astype(np.float32), score[rows].astype(np.float32), source[rows]


def _put(job: "Job", looked: np.ndarray, found: list[Found]) -> None:
    counts = np.array([len(score) for _, score, _ in found])
    job.put_valid(counts > 0, "a face was found in this frame")
    job.staged.put(
        "looked",
        looked,
        ("time",),
        long_name="the full frame was searched, not only heads and known faces",
        flag_values=[0, 1],
        flag_meanings="crops_only full_frame",
    )
    box, score, source = (np.concatenate(part) for part in zip(*found, strict=True))
    frames = np.repeat(np.arange(len(found), dtype=np.int32), counts)
    job.staged.put("face_frame", frames, ("face",), long_name="the frame in which this face was found")
    job.staged.put(
        "face_box", box, ("face", "corner"), units="pixel", long_name="the face's box in the full frame: x0, y0, x1, y1"
    )
    job.staged.put("face_score", score, ("face",), long_name="the detector's confidence")
    job.staged.put(
        "face_source",
        source,
        ("face",),
        long_name="where it was found: in the full frame, on a tracked person's head, near where a face was before",
        flag_values=list(range(len(SOURCES))),
        flag_meanings=" ".join(SOURCES),
    )
