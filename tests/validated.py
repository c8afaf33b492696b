"""A small data set to validate, made without any model: people of whom sex, and one item of the EVGS, can be told from
gait and from silhouettes, and nothing else."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from gaitloom.clips import NodeKey
from gaitloom.config import modality_of
from gaitloom.gait.angles import CYCLE, CYCLE_NAMES
from gaitloom.gait.summary import PARAMETERS, SIDES
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.plan import Plan
from gaitloom.release.evgs import ITEMS
from gaitloom.store import Store

SIZE, LENGTH = 32, 24
TELLING = "KFX"  # the item that is told by the gait
NODES: dict[str, Any] = {
    "track": {"backend": "blazepose"},
    "keypoints": {"backend": "blazepose"},
    "silhouette": {"backend": "blazepose"},
    "gait": {"backend": "events"},
}


def values(**settings: Any) -> dict[str, Any]:
    """The configuration; `settings` are keys of its `technical_validation`."""
    return {
        "results": "results",
        "clips": {"folders": ["data"], "pattern": "{subject}_{trial}"},
        "nodes": NODES,
        "preview": dict.fromkeys(("track", "keypoints", "silhouette", "parts", "flow", "deidentified")),
        "splits": {"folds": 3, "by": ["sex"], "seed": 1},
        "technical_validation": {
            "permutations": 4,
            "resamples": 200,
            "video": {"epochs": 2, "frames": 8, "size": 32, "width": 4, "permutations": 0},
            **settings,
        },
        "release": {
            "name": "walks",
            "title": "Walks",
            "version": "1.0.0",
            "date": "2026-11-20",
            "description": "Synthetic walks.",
            "creators": [{"name": "Loom, Gait"}],
            "publisher": "Institute of Examples",
            "contact": "gait@example.org",
            "participants": "participants.tsv",
            "keys": "release.key",
            "labels": {"evgs": "evgs.tsv"},
            "tiers": {"registered": {"k": 1, "exporters": ["zarr"], "labels": ["evgs"]}},
        },
    }


def subject(number: int) -> str:
    """Somebody's name in the laboratory; people of even numbers are women."""
    return f"Someone{number:02}"


def lay(folder: Path, people: int) -> None:
    """Write tables and videos of that many people, two clips each."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    columns = ["subject", "sex", "age", "weight_kg", "patient", "consent", "consent_scope", "consent_version", "ethics"]
    rows = [
        [subject(n), "FM"[n % 2], str(20 + n), str(50 + n), "no", "all", "registered", "1", "E"] for n in range(people)
    ]
    _table(folder / "participants.tsv", [columns, *rows])
    rng = np.random.default_rng(7)
    scores = [[subject(n), side, *_scores(n, rng)] for n in range(people) for side in "LR"]
    _table(folder / "evgs.tsv", [["subject", "side", *ITEMS], *scores])
    for n in range(people):
        for trial in "12":
            _video(folder / "data" / f"{subject(n)}_{trial}.mkv", n)


def _scores(n: int, rng: np.random.Generator) -> list[str]:
    drawn = {item: str(rng.integers(3)) for item in ITEMS} | {"TLT": "0", TELLING: str(n % 2)}
    return [drawn[item] for item in ITEMS]


def _table(path: Path, rows: list[list[str]]) -> None:
    path.write_text("".join("\t".join(row) + "\n" for row in rows))


def _video(path: Path, n: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "gray"
        for t in range(LENGTH):
            frame = np.full((SIZE, SIZE), 3 * n + t, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())


def fill(plan: Plan) -> None:
    """Make the nodes of the plan that are not there."""
    store = Store(plan.config.results)
    for path, clip in plan.accepted.items():
        recipes = plan.recipes(clip)
        for node in plan.nodes_of_clip(path):
            key = NodeKey.parse(f"{path}/{node}")
            if store.digest(key) != plan.digests_of(path)[node]:
                number = int(clip.subject.removeprefix("Someone"))
                rng = np.random.default_rng([number, int(clip.trial)])
                staged = store.stage(key)
                staged.put("time", np.arange(LENGTH) / 10, ("time",))
                staged.put("valid", np.ones(LENGTH, bool), ("time",))
                modality = modality_of(node)
                attributes = {"modality": modality, "width": SIZE, "height": SIZE, "frames": LENGTH, "fps": "10"}
                attributes |= _PUT.get(modality, _nothing)(staged, number, rng)
                staged.publish(recipes[node], attributes)


def _nothing(staged: Any, number: int, rng: np.random.Generator) -> dict[str, Any]:
    return {}


def _gait(staged: Any, number: int, rng: np.random.Generator) -> dict[str, Any]:
    shape = len(SIDES), len(PARAMETERS)
    mean = rng.normal(1, 0.1, shape) + np.random.default_rng(number).normal(0, 0.1, shape)
    mean[:, 1] += number % 2  # what tells
    staged.put("summary_mean", mean, ("side", "parameter"))
    staged.put("summary_sd", rng.random(shape) / 10, ("side", "parameter"))
    staged.put("summary_n", np.full(shape, 6, np.int32), ("side", "parameter"))
    staged.put("symmetry", rng.normal(0, 5, shape[1]), ("parameter",))
    staged.put("cycle_foot", np.arange(4) % 2, ("cycle",))
    staged.put("cycle", rng.normal(0, 5, (4, len(CYCLE_NAMES), CYCLE)), ("cycle", "joint", "phase"))
    return {"scale": "", "reasons": {}}


def _silhouette(staged: Any, number: int, rng: np.random.Generator) -> dict[str, Any]:
    masks = staged.stream("mask", (LENGTH, SIZE, SIZE), np.dtype(bool), ("time", "y", "x"))
    y, x = np.mgrid[:SIZE, :SIZE]
    for t in range(LENGTH):
        tilt = 0.5 * np.sin(2 * np.pi * (t / (6, 16)[number % 2] + rng.random() / 20))
        masks.append(np.abs(x - SIZE / 2 - tilt * (y - 4)) < 2 + number % 5)
    return {}


def _track(staged: Any, number: int, rng: np.random.Generator) -> dict[str, Any]:
    staged.put("box", np.tile(np.float32([8, 2, 24, 30]), (LENGTH, 1)), ("time", "corner"))
    return {}


def _keypoints(staged: Any, number: int, rng: np.random.Generator) -> dict[str, Any]:
    limbs = np.random.default_rng(number).uniform(4, 28, (23, 2))
    staged.put("xy_23", (limbs + rng.normal(0, 0.2, (LENGTH, 23, 2))).astype(np.float32), ("time", "keypoint", "axis"))
    staged.put("score_23", np.full((LENGTH, 23), 0.9, np.float32), ("time", "keypoint"))
    return {"keypoint_23_names": list(WHOLEBODY_23.points)}


_PUT = {"gait": _gait, "silhouette": _silhouette, "track": _track, "keypoints": _keypoints}
