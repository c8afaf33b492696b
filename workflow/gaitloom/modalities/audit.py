"""audit: whether the deidentified node lets a head through, by judges who did not make its regions, on its bytes."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from gaitloom.strict import Strict

if TYPE_CHECKING:
    from gaitloom.deidentify.audit.gate import Gate
    from gaitloom.deidentify.audit.ledger import Ledger
    from gaitloom.deidentify.audit.seeing import Seen
    from gaitloom.derive import Job
    from gaitloom.face_search import Window
    from gaitloom.lazy_video import LazyVideo

VERSION = 1
READS = ("track", "keypoints", "deidentified")
ARRAYS = {
    "time": ("time",),
    "valid": ("time",),
    "finding_frame": ("finding",),
    "finding_box": ("finding", "corner"),
    "finding_gate": ("finding",),
    "finding_track": ("finding",),
    "finding_score": ("finding",),
    "finding_red": ("finding",),
}
OPTIONAL: dict[str, tuple[str, ...]] = {}

POSED = 5  # the subject is posed before and after in every n-th frame
FEW = 0.02  # share of frames with whole cover, or of heads that are unsure, from which a clip is looked at
UNSURE = 0.3  # confidence of a region
KEPT = 0.95  # least share of the points below the neck that stay where they are
RATE = Fraction(1, 25)  # s a frame of controls: time means nothing there


class Options(Strict):
    """The audit has no options."""


def derive(job: "Job") -> dict[str, Any]:
    """Hold the output against the clip and the ledger, frame by frame, then see whether controls are noticed.

    A backend has a `tier` (basic or full), `judges` (two names), `disjoint` (neither chose the mosaics' level), `every`
    (frames from one full frame that is looked over to the next), and streams, all of RGB images (H, W, 3) uint8:
    `faces(images)` gives what both judges see in each crop, two `gaitloom.faces.Faces`; `scout(images)` the boxes
    (N, 4) of what may be faces in each full frame; `people(images)` a `gaitloom.tracking.People`, or is None;
    `points(people)` poses (image, box) as backends of keypoints do, by `format`.

    Raises:
        GaitloomError: the output cannot be decoded.
    """
    from gaitloom.deidentify.audit import application, controls, gate, ledger
    from gaitloom.lazy_video import LazyVideo

    node = job.read("deidentified")
    declared = ledger.Ledger.of(node)
    wrong = application.faults(_contents(node), job.time, job.size)
    if (declared.length, declared.size) != (job.length, job.size):
        wrong.append("another clip's ledger")
    if wrong not in ([], [application.TIMES]):
        nothing = np.full((len(declared.patterns), 2), np.nan)
        gates = dict.fromkeys(gate.GATES, gate.not_run("the output is not the clip's, see application"))
        gates["application"] = application.application(nothing, declared, wrong)
        return _put(job, declared, gates, judged=False)
    windows = _windows(job)
    original, output, left = _compare(job, declared, LazyVideo.of(node), windows)
    gates = controls.gates(original, output, declared, wrong)
    said = _controls(job, node, declared, original, output, windows)
    gates = controls.settled(gates, said)
    for name in ("squint", "time"):
        gates[name] = gates[name].noting(disjoint=job.backend.disjoint)
    return _put(job, declared, gates, controls=said, utility=left)


def _contents(node: Any) -> Any:
    """What any player finds in the bytes."""
    from gaitloom import fragments
    from gaitloom.deidentify.audit.application import Contents

    found = fragments.probe(node.arrays["mp4"])
    seconds = [float((p - int(found.pts[0])) * found.time_base) for p in found.pts.tolist()]
    return Contents(found.frames, (found.size[1], found.size[0]), np.array(seconds))


def _compare(
    job: "Job", ledger: "Ledger", output: "LazyVideo", windows: "list[list[Window]]"
) -> "tuple[Seen, Seen, dict[str, Any]]":
    """The one pass over the clip: what is seen before and after, and what is left of it."""
    from gaitloom.deidentify.audit import utility
    from gaitloom.deidentify.audit.agreement import Hits
    from gaitloom.deidentify.audit.seeing import Look

    judges, every = job.backend, range(job.length)
    before, after = (Look(judges, ledger, job.time, every, merged=merged) for merged in (False, True))
    subject = job.read("track").load("box")
    people: list[tuple[int, np.ndarray, float, bool]] = []
    posed: tuple[list, list] = ([], [])
    for frame in job.frames():
        t, image, shown = frame.index, frame.rgb(), output.frame(frame.index)
        before.add(t, image, windows[t], painted=False)
        after.add(t, shown, windows[t])
        if judges.people:
            people += _people(t, image, judges)
        if t % POSED == 0 and np.isfinite(subject[t, 0]):
            for found, picture in zip(posed, (image, shown), strict=True):
                found.append(_points(judges, picture, subject[t]))
    original = before.seen(Hits.of(people) if judges.people else None)
    left = {
        **utility.covered(ledger),
        "area_over_heads": utility.area_ratio(original.hits, ledger),
        **utility.below_neck(*posed),
    }
    return original, after.seen(), left


def _windows(job: "Job") -> "list[list[Window]]":
    """Where the track knows heads of people, by frame; the subject's also by its pose."""
    from gaitloom import face_search

    track, keypoints = job.read("track"), job.read("keypoints")
    points, posed = keypoints.load("xy_23"), keypoints.load("valid")
    subject = track.attributes["subject_id"]
    windows: list[list[Window]] = [[] for _ in range(job.length)]
    rows = (track.load(f"person_{name}") for name in ("frame", "id", "box"))
    for t, who, box in zip(*rows, strict=True):
        known = points[t] if who == subject and posed[t] else None
        windows[t].append(face_search.head(box, known, job.size))
    return windows


def _people(t: int, image: np.ndarray, judges: Any) -> Iterator[tuple[int, np.ndarray, float, bool]]:
    found = next(iter(judges.people([image])))
    return ((t, box, float(score), True) for box, score in zip(found.box, found.score, strict=True))


def _points(judges: Any, image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(23, 3) x, y and score of the subject in a picture, NaN where nobody is seen."""
    from gaitloom.keypoint_formats import view

    found = next(iter(judges.points([(image, box)])))
    if found is None:
        return np.full((23, 3), np.nan, np.float32)
    xy, score = view(found[None, :, :2], found[None, :, 2], judges.format.points)
    return np.concatenate([xy[0], score[0][:, None]], axis=1)


def _controls(
    job: "Job", node: Any, ledger: "Ledger", original: "Seen", output: "Seen", windows: "list[list[Window]]"
) -> dict[str, Any]:
    """What each gate says of the controls; an excerpt of the clip is decoded again for them."""
    from gaitloom.deidentify.audit import controls
    from gaitloom.deidentify.audit.seeing import Look, Seen

    judges, frames = job.backend, controls.excerpt(original, ledger)
    before = Look(judges, ledger, job.time, frames, watched=False)
    after = Look(judges, ledger, job.time, frames)

    def bare() -> Iterator[np.ndarray]:
        for frame in job.frames():
            if frame.index >= frames.stop:
                return
            if frame.index in frames:
                before.add(frame.index, image := frame.rgb(), painted=False)
                yield image

    for t, image in zip(frames, _encoded(job, node, bare(), len(frames)), strict=True):
        after.add(t, image, windows[t])
    once, again = before.seen(), after.seen()
    within = None if original.people is None else original.people.within(frames.start, frames.stop)
    once = Seen(original.hits.within(frames.start, frames.stop), within, once.deviation, once.squints, once.merges)
    return {
        "unprotected": controls.unprotected(once, again, ledger, frames),
        "hole": controls.hole(original, output, again, ledger, frames),
        "empty": _empty(job, node, ledger),
        "frames": [frames.start, frames.stop],
    }


def _empty(job: "Job", node: Any, ledger: "Ledger") -> dict[str, str]:
    from gaitloom.deidentify.audit import controls
    from gaitloom.deidentify.audit.agreement import Hits
    from gaitloom.deidentify.audit.seeing import Look

    images, empty = controls.scene(job.size, ledger)
    look = Look(job.backend, empty, np.arange(len(images)) * float(RATE), range(len(images)))
    people: list[tuple[int, np.ndarray, float, bool]] = []
    for t, image in enumerate(_encoded(job, node, images, len(images))):
        look.add(t, image)
        people += _people(t, image, job.backend) if job.backend.people else ()
    seen = look.seen(Hits.of(people) if job.backend.people else None)
    return {name: gate.result for name, gate in controls.gates(seen, seen, empty, []).items()}


def _encoded(job: "Job", node: Any, images: Iterable[np.ndarray], count: int) -> "Iterator[np.ndarray]":
    """The pictures after the output's own encoding."""
    from gaitloom import fragments
    from gaitloom.lazy_video import LazyVideo

    crf = node.attributes["recipe"]["options"]["crf"]
    done = fragments.encode(images, range(count), RATE, node.attributes["codec"], crf, folder=job.staged.folder.parent)
    video = LazyVideo(done.mp4, done.fragment_offset, done.fragment_frame, job.size[::-1], done.fragment_crc32)
    return (video.frame(t) for t in range(count))


def _put(
    job: "Job",
    ledger: "Ledger",
    gates: "dict[str, Gate]",
    judged: bool = True,
    controls: dict[str, Any] | None = None,
    utility: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the findings; returns the node's attributes."""
    from gaitloom.deidentify.audit import rates
    from gaitloom.deidentify.audit.gate import GATES, GREEN, RED

    job.put_valid(np.full(job.length, judged), "the frame was judged")
    rows = [(number, finding) for number, name in enumerate(GATES) for finding in gates[name].findings]
    of_gates = {"flag_values": list(range(len(GATES))), "flag_meanings": " ".join(GATES)}
    columns: dict[str, tuple[Any, str, dict[str, Any]]] = {
        "frame": (np.int32, "the frame in which something was found", {}),
        "gate": (np.uint8, "which gate found it", of_gates),
        "track": (np.int32, "the deidentified node's track there, -1 nobody's", {}),
        "score": (np.float32, "how sure both judges are; of regions that are not painted, grey levels", {}),
        "red": (bool, "it makes the gate red", {"flag_values": [0, 1], "flag_meanings": "listed red"}),
    }  # fmt: skip
    for name, (kind, about, flags) in columns.items():
        values = [number if name == "gate" else getattr(finding, name) for number, finding in rows]
        job.staged.put(f"finding_{name}", np.array(values, kind), ("finding",), long_name=about, **flags)
    boxes = np.array([finding.box for _, finding in rows], np.float32).reshape(-1, 4)
    job.staged.put("finding_box", boxes, ("finding", "corner"), units="pixel", long_name="x0, y0, x1, y1")
    tier = job.backend.tier
    needed = [name for name in GATES if name != "heads" or tier == "full"]
    return {
        "tier": tier,
        "audited_seal": job.read("deidentified").attributes["seal"],
        "judges": list(job.backend.judges),
        "every": job.backend.every,
        "gates": {name: gates[name].attributes for name in GATES},
        "passed": all(gates[n].result == GREEN for n in needed) and all(g.result != RED for g in gates.values()),
        "controls": controls or {},
        "missed": rates.missed(g.heads for g in gates.values()),
        "utility": utility or {},
        "regions": _regions(job, ledger),
        "flags": _flags(job, gates, utility or {}, ledger),
    }


def _regions(job: "Job", ledger: "Ledger") -> dict[str, dict[str, int]]:
    """How many regions there are, by reason, then by level."""
    names = str(job.read("deidentified").arrays["region_why"].attrs["flag_meanings"]).split()
    level = np.array([len(p) for p in ledger.patterns], int)
    found: dict[str, dict[str, int]] = {}
    for w in np.unique(ledger.regions.why):
        levels, counts = np.unique(level[ledger.regions.why == w], return_counts=True)
        found[names[w]] = {str(n): int(count) for n, count in zip(levels, counts, strict=True)}
    return found


def _flags(job: "Job", gates: "dict[str, Gate]", utility: dict[str, Any], ledger: "Ledger") -> list[str]:
    """Why somebody should look at the clip, whatever the gates say."""
    from gaitloom.deidentify.audit.gate import NOT_RUN

    heads = ledger.regions.confidence[ledger.is_head]
    pck = utility.get("below_neck_pck_0.1")
    reasons = {
        "unproven": any(g.result != NOT_RUN and not g.numbers.get("proven") for g in gates.values()),
        "whole_frame": utility.get("whole_frame_share", 1) > 0,
        "whole_person": utility.get("whole_person_or_frame_share", 1) > FEW,
        "low_confidence": bool(heads.size and (heads < UNSURE).mean() > FEW),
        "lost_person": bool(job.read("deidentified").attributes.get("lost")),
        "cut_person": bool(gates["heads"].numbers.get("cut")),
        "keypoints": pck is not None and pck < KEPT,
    }
    return [name for name, holds in reasons.items() if holds]
