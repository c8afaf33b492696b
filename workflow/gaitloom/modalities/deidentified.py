"""deidentified: the clip with everyone's head covered, as an encoded video, and the ledger of what is covered."""

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from gaitloom.errors import GaitloomError
from gaitloom.strict import Strict

if TYPE_CHECKING:
    from gaitloom.deidentify.heads import Regions
    from gaitloom.deidentify.people import Person
    from gaitloom.derive import Job

VERSION = 2
READS = ("track", "keypoints", "faces")
ARRAYS = {
    "time": ("time",),
    "valid": ("time",),
    "mp4": ("byte",),
    "fragment_offset": ("fragment_edge",),
    "fragment_frame": ("fragment_edge",),
    "fragment_crc32": ("fragment",),
    "covered": ("time",),
    "region_frame": ("region",),
    "region_box": ("region", "corner"),
    "region_track": ("region",),
    "region_why": ("region",),
    "region_confidence": ("region",),
    "region_level": ("region",),
    "pattern_track": ("head",),
    "pattern": ("head", "block_y", "block_x", "colour"),
}
OPTIONAL: dict[str, tuple[str, ...]] = {}

Rectangle = tuple[float, float, float, float]


class Options(Strict):
    """What is covered, and how the result is encoded."""

    margin: float = Field(1.3, ge=1, le=3, description="Regions are larger than the head by this factor.")
    bystanders: Literal["head", "whole"] = Field(
        "head", description="Of people who are not the subject, the head is covered, or the whole person."
    )
    fixed: dict[str, tuple[Rectangle, ...]] = Field(
        {},
        description="Rectangles [x0, y0, x1, y1] in pixels that are always covered, by the camera's name; '*' means "
        "every camera.",
    )
    text: bool = Field(True, description="Text that stays in its place, such as time stamps and names, is covered.")
    codec: Literal["h264", "av1", "ffv1"] = Field("h264", description="ffv1 is lossless, and large.")
    crf: int | None = Field(
        None, ge=0, le=51, description="The encoder's constant rate factor, lower is better; null is our default."
    )


def derive(job: "Job") -> dict[str, Any]:
    """Say where everyone's head is, look at each over the whole clip, and encode the clip with all of them painted.

    A backend's `patterns(looks)` takes a `gaitloom.deidentify.mosaic.Look` for every head that was followed, and gives
    its pattern, (n, n, 3) uint8 RGB, n blocks across. Its `texts(images)` takes RGB images (h, w, 3) uint8, and gives
    the boxes (N, 4) xyxy of the text in each.

    Raises:
        GaitloomError: a fixed rectangle lies outside the picture; the time stamps cannot be encoded.
    """
    from gaitloom import fragments
    from gaitloom.deidentify import mosaic

    regions = _regions(job)
    looks = mosaic.Looks(regions, job.size)
    for frame in job.frames():
        looks.add(frame.index, frame.rgb())
    found = looks.all()
    heads = dict(zip(found, job.backend.patterns(iter(found.values())), strict=True))
    patterns = mosaic.patterns_of(regions, heads)
    starts = np.searchsorted(regions.frame, np.arange(job.length + 1))

    def painted() -> Any:
        for frame in job.frames():
            rows = slice(starts[frame.index], starts[frame.index + 1])
            image = frame.rgb()
            yield mosaic.paint(image, regions.box[rows], patterns[rows], image)

    pts, base = _stamps(job)
    encoded = fragments.encode(
        painted(), pts, base, job.options.codec, job.options.crf, folder=job.staged.folder.parent
    )
    encoded.put(job.staged)
    return _put(job, regions, patterns, heads)


def _stamps(job: "Job") -> tuple[list[int], Fraction]:
    """Time stamps and their unit in seconds: the source's own, or those of the rate that the sheet gives."""
    video = job.read("video")
    if job.clip.capture_fps is not None:
        return list(range(job.length)), 1 / Fraction(video.attributes["fps"])
    return video.load("pts").tolist(), Fraction(video.attributes["time_base"])


def _regions(job: "Job") -> "Regions":
    """Every region of the clip: found, given by hand, decided in review."""
    from gaitloom import decisions
    from gaitloom.deidentify import heads
    from gaitloom.deidentify.people import Limits, assign, joined
    from gaitloom.deidentify.regions import regions

    options = job.options
    subject = job.read("track").attributes["subject_id"]
    faces = job.read("faces")
    frame, box, score = (faces.load(f"face_{what}") for what in ("frame", "box", "score"))
    spared = subject if options.bystanders == "whole" else None
    limits = Limits(margin=options.margin)
    people = joined(_people(job), job.time, spared)
    given, alone = assign(people, frame, box, score, job.time, limits)
    by_hand = [(t, box, -1, heads.FIXED, 1.0) for box in _fixed(job) for t in range(job.length)]
    decided = decisions.boxes(job.recipe.get("decisions", ()), job.length, job.size)
    by_hand += [(t, box, -1, heads.DECISION, 1.0) for t, box in decided]
    by_hand += [(t, box, -1, heads.TEXT, 1.0) for t, box in _texts(job)]
    return regions(given, alone, job.time, job.size, limits, spared, by_hand)


def _texts(job: "Job") -> list[tuple[int, np.ndarray]]:
    """Text that stays in its place: its box (4,) in every frame in which it may be there."""
    from gaitloom.deidentify import text

    if not job.options.text:
        return []
    frames = text.looks(job.time)
    found = list(job.backend.texts(f.rgb() for f in job.frames() if f.index in frames))
    return [(t, box) for first, last, box in text.lasting(frames, found) for t in range(first, last + 1)]


def _fixed(job: "Job") -> list[np.ndarray]:
    """The rectangles (4,) of the clip's camera."""
    every = job.options.fixed
    found = [np.array(box, float) for name in ("*", job.clip.camera) for box in every.get(name, ())]
    for box in found:
        cut = np.clip(box, 0, (*job.size, *job.size))
        if not (cut[2:] > cut[:2]).all():
            raise GaitloomError(
                f"has nothing at the fixed rectangle {box.tolist()}, its picture is {job.size[0]}x{job.size[1]}; "
                "correct the option fixed"
            )
    return found


def _people(job: "Job") -> dict[int, "Person"]:
    """Everyone whom the track knows, with heads by the finder's poses, and the subject's by its own."""
    from gaitloom.deidentify.heads import POSE, Head, of_pose, posed_twice
    from gaitloom.deidentify.people import Person

    track, keypoints = job.read("track"), job.read("keypoints")
    frame, box, identity, sure = (track.load(f"person_{what}") for what in ("frame", "box", "id", "score"))
    head = track.load("person_head") if "person_head" in track.arrays else np.full_like(box, np.nan)
    subject = track.attributes["subject_id"]
    people: dict[int, Person] = {}
    for i in np.unique(identity).tolist():
        mine = identity == i
        seen = np.flatnonzero(mine & np.isfinite(head[:, 0]))
        # The finder's region is turned as the person leans, which the subject's is not: it speaks twice.
        heads: dict[int, Sequence[Head]] = {int(frame[r]): [Head(head[r], POSE, float(sure[r]), 2)] for r in seen}
        people[i] = Person(frame[mine], box[mine], heads, zone=i != subject)
    if subject in people:
        heads = dict(people[subject].heads)
        bridged, points, score = track.load("box"), keypoints.load("xy_23"), keypoints.load("score_23")
        for t in np.flatnonzero(keypoints.load("valid") & np.isfinite(bridged[:, 0])).tolist():
            found = of_pose(points[t], score[t], bridged[t], job.size)
            if found is not None:
                heads[t] = posed_twice(heads.get(t, ()), found)
        people[subject] = Person(people[subject].frames, people[subject].box, heads)
    return people


def _put(job: "Job", regions: "Regions", patterns: list[np.ndarray], heads: dict[int, np.ndarray]) -> dict[str, Any]:
    """Write the ledger; returns the node's attributes."""
    from gaitloom.deidentify.heads import PERSON, TOO_SMALL, WHY

    covered = np.zeros(job.length, bool)
    covered[regions.frame[(regions.box[:, :2] <= 0).all(axis=1) & (regions.box[:, 2:] >= job.size).all(axis=1)]] = True
    persons = covered.copy()
    persons[regions.frame[regions.why == PERSON]] = True
    level = np.array([len(p) for p in patterns], np.uint8)
    job.put_valid(~covered, "the frame shows something: it is not covered whole")
    flags = {"flag_values": [0, 1], "flag_meanings": "open whole_frame"}
    job.staged.put("covered", covered, ("time",), long_name="the whole frame is covered", **flags)
    rows: dict[str, tuple[np.ndarray, str, dict[str, Any]]] = {
        "frame": (regions.frame, "the frame in which this region is covered", {}),
        "track": (
            regions.track,
            "whose it is: the track's person, by its first name; a face of nobody; -1 nobody's",
            {},
        ),
        "why": (
            regions.why,
            "why it is covered",
            {"flag_values": list(range(len(WHY))), "flag_meanings": " ".join(WHY)},
        ),
        "confidence": (regions.confidence, "how sure it is that what was to be covered is inside", {}),
        "level": (level, "blocks across; 1 is a solid colour", {}),
    }
    for name, (values, about, more) in rows.items():
        job.staged.put(f"region_{name}", values, ("region",), long_name=about, **more)
    about = "covered, later ones over earlier ones: x0, y0, x1, y1; every pixel that it touches"
    job.staged.put("region_box", regions.box, ("region", "corner"), units="pixel", long_name=about)
    _put_patterns(job, heads)
    return {
        "width": job.size[0],
        "height": job.size[1],
        "codec": job.options.codec,
        "regions": {WHY[w]: int((regions.why == w).sum()) for w in np.unique(regions.why)},
        "levels": {str(i): len(p) for i, p in heads.items()},
        "whole_frame_share": round(float(covered.mean()), 4),
        "whole_person_or_frame_share": round(float(persons.mean()), 4),
        "lost": [list(pair) for pair in regions.lost],
        "too_small_px": TOO_SMALL,
        "flagged": bool(covered.any() or regions.lost),
    }


def _put_patterns(job: "Job", heads: dict[int, np.ndarray]) -> None:
    """The colours of every head, each block repeated to the finest pattern there may be."""
    from gaitloom.deidentify.mosaic import GRID, blocks

    tracks = np.array(list(heads), np.int32)
    colours = np.array([blocks(p, GRID, GRID) for p in heads.values()], np.uint8).reshape(-1, GRID, GRID, 3)
    job.staged.put("pattern_track", tracks, ("head",), long_name="whose head it is")
    about = "its colours, RGB: the blocks of region_level, each repeated"
    job.staged.put("pattern", colours, ("head", "block_y", "block_x", "colour"), long_name=about)
