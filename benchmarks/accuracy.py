"""Accuracy: what the embedded backends give, against the synthetic walker's exact truth, in one table.

Every node is made as a run makes it (video encoded, track found, nodes derived), on each gait from the side and from
the front. Seeds are fresh at every run unless `--seed` says otherwise.

    python benchmarks/accuracy.py [--frames 24] [--seed N]

track: IoU of boxes. keypoints: PCK@0.1 of the silhouette's height over the 21 points that BlazePose has, and the same
with left and right exchanged. silhouette: IoU. parts: mean IoU over the labels of a clip. flow: end-point error in
full-frame pixels on the walker's visible pixels, beside the error of no flow at all.
"""

import argparse
import os
import random
import tempfile
from pathlib import Path
from typing import Any

import common
import numpy as np
from gaitloom.derive import derive
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.plan import Plan
from gaitloom.store import Node, Store
from gaitloom.tracking import iou
from walker import GAITS, Walk

NODES: dict[str, Any] = {
    "track": {"backend": "blazepose"},
    "keypoints": {"backend": "blazepose"},
    "silhouette": {"backend": "blazepose"},
    "parts": {"backend": "skeleton"},
    "flow_tvl1": {"backend": "tvl1", "options": {"longest_side": None}},
    "flow_dis": {"backend": "dis", "options": {"longest_side": None}},
}
MIRROR = np.arange(23)
for _left, _right in WHOLEBODY_23.swaps():
    MIRROR[[_left, _right]] = _right, _left


def made(walk: Walk, folder: Path) -> dict[str, Node]:
    """Every node of a walk."""
    (folder / "data").mkdir(parents=True)
    walk.write(folder / "data" / "S_1.mp4")
    before = Path.cwd()
    os.chdir(folder)
    try:
        clips = {"folders": ["data"], "pattern": "{subject}_{trial}"}
        plan = Plan.load({"clips": clips, "nodes": NODES}, scan=True)
        store, keys = Store(plan.config.results), {n: plan.key(plan.clips[0], n) for n in plan.nodes}
        for key in keys.values():
            derive(plan, key, str(plan.planned(key)))
        return {name: store.open(key) for name, key in keys.items()}
    finally:
        os.chdir(before)


def figures(walk: Walk, nodes: dict[str, Node], frames: int) -> dict[str, float]:
    """The figures of one walk."""
    boxes = nodes["track"].load("box").astype(float)
    height = (walk.box[:, 3] - walk.box[:, 1])[:, None]
    found = nodes["keypoints"].load("xy_23")
    near = [np.linalg.norm(found[:, order] - walk.keypoints, axis=2) / height for order in (np.arange(23), MIRROR)]
    known = np.isfinite(near[0])
    masks = np.stack([walk.silhouette(t) for t in range(frames)])
    ours = nodes["silhouette"].load("mask")
    truth, labels = np.stack([walk.parts(t) for t in range(frames)]), nodes["parts"].load("label")
    each = [
        ((truth == c) & (labels == c)).sum() / ((truth == c) | (labels == c)).sum()
        for c in range(1, 15)
        if (truth == c).any()
    ]
    return {
        "track_iou": float(np.mean([iou(b[None], t[None])[0, 0] for b, t in zip(boxes, walk.box, strict=True)])),
        "pck_0.1": float((near[0][known] < 0.1).mean()),
        "pck_0.1_exchanged": float((near[1][known] < 0.1).mean()),
        "silhouette_iou": float(np.mean((masks & ours).sum((1, 2)) / (masks | ours).sum((1, 2)))),
        "parts_miou": float(np.mean(each)),
        **{f"{name}_epe": endpoint_error(walk, nodes[name], frames) for name in ("flow_tvl1", "flow_dis")},
        "no_flow_epe": float(
            np.mean([np.linalg.norm(walk.flow(t)[moving(walk, t)], axis=1).mean() for t in range(frames - 1)])
        ),
    }


def moving(walk: Walk, t: int) -> np.ndarray:
    """The walker's pixels that are still seen in the next frame."""
    return walk.silhouette(t) & walk.visible(t)


def endpoint_error(walk: Walk, node: Node, frames: int) -> float:
    """Mean end-point error in pixels, of a flow node that was not scaled, on the walker's visible pixels."""
    x0, y0, x1, y1 = node.attributes["region"]
    stored = node.load("flow").astype(float) / 64
    errors = []
    for t in range(frames - 1):
        seen = moving(walk, t)[y0:y1, x0:x1]
        errors.append(np.linalg.norm(stored[t] - walk.flow(t)[y0:y1, x0:x1], axis=2)[seen].mean())
    return float(np.mean(errors))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--frames", type=int, default=24)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    chosen = arguments.parse_args()
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        for number, gait in enumerate(GAITS):
            for view in ("sagittal", "frontal"):
                walk = Walk(GAITS[gait], view=view, frames=chosen.frames, size=(480, 270), seed=chosen.seed + number)
                found = figures(walk, made(walk, Path(name) / f"{gait}-{view}"), chosen.frames)
                rows[f"{gait} {view}"] = {k: round(v, 3) for k, v in found.items()}
                common.say(f"{gait} {view} done")
    means = {k: round(float(np.mean([r[k] for r in rows.values()])), 3) for k in next(iter(rows.values()))}
    common.report("accuracy", {}, seed=chosen.seed, frames=chosen.frames, mean=means, walks=rows)


if __name__ == "__main__":
    main()
