"""A small data set to release: two people with telling names, two clips each, made without any model.

Every node but two is laid out by its own modality, from what the synthetic walker knows; the deidentified video and its
audit are stand-ins. Subjects, sessions and file names are what a laboratory might really have: nothing of them may be
found in a release.
"""

import copy
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
from gaitloom import fragments, keypoint_formats
from gaitloom.clips import NodeKey
from gaitloom.config import modality_of
from gaitloom.deidentify.audit.gate import GATES
from gaitloom.derive import Job, derive
from gaitloom.plan import Plan
from gaitloom.release.dataset import Dataset
from gaitloom.release.settings import TierName
from gaitloom.store import Store
from gaitloom.tracking import People
from walker import GAITS, Walk

LENGTH, FPS, SIZE = 40, 20, (160, 120)
SUBJECTS = ("BertaMuster", "CarlBeispiel")
SESSION = "20240517"
CLIPS = [(s, *rest) for s in SUBJECTS for rest in (("1", "NW", "WJ", "right"), ("2", "FW", "WoJ", "left"))]
NODES: dict[str, Any] = {
    "track": {"backend": "blazepose"},
    "keypoints": {"backend": "blazepose"},
    "silhouette": {"backend": "blazepose"},
    "parts": {"backend": "skeleton"},
    "gait": {"backend": "events"},
    "faces": {"backend": "centerface"},
    "deidentified": {"backend": "mosaic"},
    "audit": {"backend": "basic"},
    "flow_dis": {"backend": "dis"},
}
PARTICIPANTS = {
    "subject": SUBJECTS,
    "sex": ("F", "M"),
    "age": ("34.5", "61.2"),
    "height_cm": ("168.5", "181"),
    "weight_kg": ("64.2", "82.9"),
    "patient": ("no", "no"),
    "consent": ("all", "all"),
    "consent_scope": ("open", "open"),
    "consent_version": ("2.1", "2.1"),
    "ethics": ("EK-77", "EK-77"),
}
RELEASE: dict[str, Any] = {
    "name": "walks",
    "title": "Two people walking",
    "version": "1.0.0",
    "date": "2026-11-20",
    "description": "A sample of synthetic walks.",
    "creators": [{"name": "Loom, Gait", "affiliation": "Institute of Examples"}],
    "publisher": "Institute of Examples",
    "contact": "gait@example.org",
    "tiers": {
        "open": {"k": 1},
        "registered": {"k": 1},
        "controlled": {"k": 1},
    },
}


def walk(clip: int) -> Walk:
    """The walker of one of CLIPS."""
    gait = GAITS[("normal", "asymmetric", "stiff_knee", "shuffling")[clip]]
    direction = CLIPS[clip][4]
    return Walk(gait, direction=direction, frames=LENGTH, fps=FPS, size=SIZE, seed=clip)  # type: ignore[arg-type]


class Truth:
    """What stub backends say of a clip: it knows a frame by its looks."""

    format = keypoint_formats.WHOLEBODY_23
    score_kind = "truth"
    colour = True

    def __init__(self, clip: int):
        self.walk = walk(clip)
        self.images = np.stack(list(self.walk.frames())).astype(np.int16)

    def _number(self, image: np.ndarray) -> int:
        return int(np.abs(self.images - image.astype(np.int16)).mean(axis=(1, 2, 3)).argmin())

    def people(self, images: Iterable[np.ndarray]) -> Iterator[People]:
        for image in images:
            box = self.walk.box[self._number(image)].astype(np.float32)
            yield People(box[None], np.full(1, 0.9, np.float32))

    def points(self, people: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        for image, _ in people:
            yield np.column_stack([self.walk.keypoints[self._number(image)], np.full(23, 0.9)]).astype(np.float32)

    def masks(self, people: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        for image, _ in people:
            t = self._number(image)
            x0, y0, x1, y1 = self.walk.box[t].astype(int)
            yield self.walk.silhouette(t)[y0:y1, x0:x1], (x0, y0)


def values(
    folder: Path, nodes: dict[str, Any] | None = None, splits: dict[str, Any] | None = None, **release: Any
) -> dict[str, Any]:
    """The configuration of the sample in a folder; `nodes` are changed or added, as are keys of `release`."""
    return {
        "splits": splits,
        "results": folder / "results",
        "clips": {
            "folders": [folder / "data"],
            "pattern": "{subject}_{session}_{trial}_{camera}_{speed}_{clothing}",
        },
        "nodes": {**NODES, **(nodes or {})},
        "preview": {"flow": None},
        "accept_licences": ["AGPL-3.0"],
        "review": {"decisions": None},
        "release": {
            **RELEASE,
            "participants": folder / "participants.tsv",
            "keys": folder / "release.key",
            **release,
        },
    }


def participants(folder: Path, **columns: tuple[str, ...]) -> Path:
    """Write the table of participants; `columns` are changed or added, a value a subject."""
    table = {**PARTICIPANTS, **columns}
    path = folder / "participants.tsv"
    rows = zip(*table.values(), strict=True)
    path.write_text("\n".join("\t".join(row) for row in [tuple(table), *rows]) + "\n")
    return path


def plan(
    folder: Path, nodes: dict[str, Any] | None = None, splits: dict[str, Any] | None = None, **release: Any
) -> Plan:
    """The plan of the finished sample, made in `folder` where it is not there yet."""
    if not (folder / "data").is_dir():
        shutil.copytree(_made(), folder, dirs_exist_ok=True)
    made = Plan.load(values(folder, nodes, splits, **release), scan=True)
    _fill(made)
    return made


def dataset(
    folder: Path, tier: TierName = "controlled", nodes: dict[str, Any] | None = None, **release: Any
) -> Dataset:
    """The finished sample as one tier releases it."""
    return Dataset.of(plan(folder, nodes, **release), tier)


@cache
def _made() -> Path:
    """The sample with NODES, made once."""
    folder = Path(tempfile.mkdtemp(prefix="sample-"))
    (folder / "data").mkdir()
    for clip, (subject, trial, speed, clothing, _) in enumerate(CLIPS):
        name = f"{subject}_{SESSION}_{trial}_sagittal_{speed}_{clothing}.mkv"
        with av.open(str(folder / "data" / name), "w") as container:
            stream = container.add_stream("ffv1", rate=Fraction(FPS))
            stream.width, stream.height = SIZE
            stream.pix_fmt = "bgr0"
            for image in walk(clip).frames():
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
    participants(folder)
    _fill(Plan.load(values(folder), scan=True))
    return folder


def _fill(plan: Plan) -> None:
    """Make what is missing of the plan."""
    store = Store(plan.config.results)
    for number, path in enumerate(sorted(plan.accepted)):
        truth = None
        for node, digest in plan.digests_of(path).items():
            key = NodeKey.parse(f"{path}/{node}")
            if store.digest(key) == digest or modality_of(node) == "faces":
                continue
            if store.path(key).exists():
                store.drop(key)
            truth = truth or Truth(number)
            if modality_of(node) in ("deidentified", "audit"):
                {"deidentified": _deidentified, "audit": _audit}[modality_of(node)](plan, store, key, truth)
            elif modality_of(node) in ("video", "gait", "parts", "flow"):
                derive(plan, key, digest)
            else:
                with mock.patch.object(Job, "backend", truth):
                    derive(plan, key, digest)


def _deidentified(plan: Plan, store: Store, key: NodeKey, truth: Truth) -> None:
    """The clip with its head covered by one colour, and one region a frame."""
    images, boxes = truth.images.astype(np.uint8), []
    for t in range(LENGTH):
        y, x = np.nonzero(truth.walk.parts(t) == 14)
        boxes.append([x.min() - 2, y.min() - 2, x.max() + 3, y.max() + 3])
        x0, y0, x1, y1 = np.maximum(boxes[-1], 0)
        images[t, y0:y1, x0:x1] = 128
    staged, rows = store.stage(key), np.arange(LENGTH)
    encoded = fragments.encode(images, list(range(LENGTH)), Fraction(1, FPS), "h264", folder=plan.config.results)
    encoded.put(staged)
    staged.put("covered", np.zeros(LENGTH, bool), ("time",))
    columns = {"frame": rows, "track": 0 * rows, "why": 0 * rows, "level": 1 + 0 * rows}
    for name, values in {**columns, "confidence": np.full(LENGTH, 0.9, np.float32)}.items():
        staged.put(f"region_{name}", values, ("region",))
    staged.put("region_box", np.array(boxes, np.float32), ("region", "corner"))
    staged.put("pattern_track", np.zeros(1, np.int32), ("head",))
    staged.put("pattern", np.full((1, 12, 12, 3), 128, np.uint8), ("head", "block_y", "block_x", "colour"))
    about = {"width": SIZE[0], "height": SIZE[1], "flagged": False, "lost": [], "whole_frame_share": 0.0}
    shares = {"whole_person_or_frame_share": 0.0, "regions": {"face": LENGTH}, "levels": {"0": 1}, "too_small_px": 14.4}
    _publish(plan, store, key, staged, {**about, **shares})


def _audit(plan: Plan, store: Store, key: NodeKey, truth: Truth) -> None:
    """A full audit, all green."""
    staged = store.stage(key)
    for name, dtype in (("frame", np.int32), ("track", np.int32), ("gate", np.uint8), ("red", bool)):
        staged.put(f"finding_{name}", np.zeros(0, dtype), ("finding",))
    staged.put("finding_score", np.zeros(0, np.float32), ("finding",))
    staged.put("finding_box", np.zeros((0, 4), np.float32), ("finding", "corner"))
    about = {
        "tier": "full",
        "judges": ["yunet", "retinaface"],
        "gates": {g: {"result": "green", "proven": True} for g in GATES},
        "passed": True,
        "flags": [],
        "controls": 3,
        "audited_seal": (store.attributes(NodeKey(key.subject, key.name, "deidentified")) or {}).get("seal"),
        "missed": {"tracks": 1, "missed": 0, "upper_95": 0.95},
        "regions": {"face": {"1": LENGTH}},
        "utility": {},
    }
    _publish(plan, store, key, staged, about)


def _publish(plan: Plan, store: Store, key: NodeKey, staged: Any, attributes: dict[str, Any]) -> None:
    staged.put("time", np.arange(LENGTH) / FPS, ("time",))
    staged.put("valid", np.ones(LENGTH, bool), ("time",))
    recipe = copy.deepcopy(plan.recipes(plan.clip(key.clip))[key.node])
    staged.publish(recipe, {**attributes, "modality": modality_of(key.node), "subject_id": 0})
