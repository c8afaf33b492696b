"""Throughput: frames a second of whole jobs, against a bare loop over the same backend and the same frames.

Ours is `gaitloom.derive.derive` in this process: the recipe's checks, decoding in a thread ahead, the modality's own
work (keypoints: sharpness and the 23-point view), encoding, checksums and the publishing rename. The peer decodes with
plain PyAV in the same thread, crops and scales as the modality does, calls the backend, and writes nothing.

Both use one and the same backend object, loaded and warmed before anything is timed, so start-up of the process and
loading of the model are in neither figure (`model_load_s` says what loading costs). What a job spends once besides
(hashing the weights, opening the store, the run record) is in ours. The clip's `video` and `track` nodes are made
before. Ratio of frame rates ours/bare over rounds in turn; goal 0.85 or more.

    python benchmarks/bench_throughput.py [--frames 230] [--rounds 5] [--flow-frames 24] [--flow-rounds 3]
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import common
import cv2
import numpy as np
from gaitloom.modalities import flow
from gaitloom.plan import Plan
from gaitloom.store import Store

GOAL = 0.85
BACKENDS = {"keypoints": "blazepose", "silhouette": "blazepose", "flow_tvl1": "tvl1"}


def decoded(plan: Plan) -> Iterator[av.VideoFrame]:
    """The clip's frames by plain PyAV, FFmpeg's own threads as in ours."""
    clip = common.only_clip(plan)
    with av.open(clip.video) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for index, frame in enumerate(container.decode(stream)):
            if clip.end is not None and index >= clip.end:
                return
            yield frame


def boxes(plan: Plan) -> np.ndarray:
    """The subject's track (T, 4)."""
    return Store(plan.config.results).open(plan.key(common.only_clip(plan), "track")).load("box")


def bare_people(plan: Plan) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    box = boxes(plan)
    for index, frame in enumerate(decoded(plan)):
        if np.isfinite(box[index, 0]):
            yield frame.to_ndarray(format="rgb24"), box[index]


def bare_pairs(plan: Plan, node: str = "flow_tvl1", colour: bool = False) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    video = Store(plan.config.results).open(plan.key(common.only_clip(plan), "video")).attributes
    options = plan.config.options_of(node)
    region = flow.region_of(boxes(plan), video["width"], video["height"], options)
    shape = flow.scaled(region, options.longest_side)
    x0, y0, x1, y1 = region
    before = None
    for frame in decoded(plan):
        picture = np.ascontiguousarray(frame.to_ndarray(format="rgb24" if colour else "gray")[y0:y1, x0:x1])
        if picture.shape[:2] != shape:
            picture = cv2.resize(picture, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
        if before is not None:
            yield before, picture
        before = picture


def bare(node: str, plan: Plan, loaded: Any) -> int:
    """The peer: decode, prepare, call the backend, keep nothing. Returns how many results came out."""
    if node == "keypoints":
        results = loaded.points(bare_people(plan))
    elif node == "silhouette":
        results = loaded.masks(bare_people(plan))
    else:
        results = loaded.flows(bare_pairs(plan))
    return sum(1 for _ in results)


def compare(node: str, plan: Plan, rounds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures and goals of one node on one clip."""
    modality, name = node.split("_")[0], BACKENDS[node]
    loaded: Any = None

    def load() -> None:
        nonlocal loaded
        loaded = common.backend(modality, name)

    load_cost = common.measure(load)

    def ours() -> None:
        common.make(plan, node)

    def peer() -> None:
        bare(node, plan, loaded)

    frames = len(boxes(plan))
    with common.using(modality, name, loaded):
        peer()
        ours()
        costs = common.in_turn({"ours": ours, "bare": peer}, rounds, lambda: common.forget(plan, node))
        common.say(f"{node} done")
    figures = {
        "frames": frames,
        "model_load_s": round(load_cost.wall, 3),
        **{k: {"fps": round(frames / common.median(v).wall, 2), **common.seconds(v)} for k, v in costs.items()},
    }
    ratio = {k: common.paired_ratio(costs["bare"], costs["ours"], k) for k in ("wall", "cpu")}
    goals = {f"{node}_{kind}_ratio": common.at_least(value, GOAL) for kind, value in ratio.items()}
    return figures, goals


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--video", type=Path, default=common.DEMO, help="the clip; `make data/demo.mp4` fetches it")
    arguments.add_argument("--frames", type=int, default=230, help="frames for keypoints and silhouette")
    arguments.add_argument("--flow-frames", type=int, default=24, help="frames for flow (half a second each)")
    arguments.add_argument("--rounds", type=int, default=5, help="rounds for keypoints and silhouette")
    arguments.add_argument("--flow-rounds", type=int, default=3, help="rounds for flow")
    chosen = arguments.parse_args()
    figures: dict[str, Any] = {}
    goals: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for nodes, frames, rounds in (
            (("keypoints", "silhouette"), chosen.frames, chosen.rounds),
            (("flow_tvl1",), chosen.flow_frames, chosen.flow_rounds),
        ):
            plan = common.one_clip(Path(folder) / nodes[0], chosen.video, 0, frames)
            common.make(plan, "video")
            common.make(plan, "track")
            for node in nodes:
                figures[node], found = compare(node, plan, rounds)
                goals |= found
    common.report("throughput", goals, jobs=figures)


if __name__ == "__main__":
    main()
