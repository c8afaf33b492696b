"""Throughput of the optional backends: frames a second of whole jobs, against the library's own bare loop.

Ours is a whole job (`gaitloom.derive.derive`: checks, decoding, the modality's work, encoding, checksums, publishing).
The peer decodes with plain PyAV and makes the library's own call for each frame, as its documentation shows it, and
keeps nothing: `YOLO.track`, `YOLO.predict`, rtmlib's `RTMPose`, ptlflow's model, OpenCV's DIS. Models are loaded and
warmed before anything is timed. Same weights: YOLOv8's int8 export where this machine has it, else random ones (speed
does not depend on what they say). PyTorch, ONNX Runtime and OpenCV have one thread each, on both sides.

What is not installed, or has no weights here, is listed under `skipped`. Goal: 0.9 of the peer's frame rate or more.

    python benchmarks/bench_backends.py [--frames 60] [--rounds 3] [--only NODE ...]
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "False"}

import common
import cv2
import numpy as np
import pytest
from bench_throughput import bare_pairs, bare_people, decoded
from gaitloom.config import modality_of
from gaitloom.plan import Plan

import backend_options  # isort: skip
import torch_stand_in  # isort: skip

GOAL = 0.9
REGION = {"region": "subject", "longest_side": 320}
NODES: dict[str, dict[str, Any]] = {
    "track_yolov8": {"backend": "yolov8"},
    "keypoints_rtmpose": {"backend": "rtmpose"},
    "silhouette_yolov8": {"backend": "yolov8_seg"},
    "flow_gmflow": {"backend": "gmflow", "options": REGION},
    "flow_dis": {"backend": "dis", "options": REGION},
}


def bgr(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[..., ::-1])


def yolo(weights: str, task: str) -> Any:
    from ultralytics import YOLO

    return YOLO(weights, task=task)


def track_yolov8(options: dict[str, Any]) -> Callable[[Plan], int]:
    def loop(plan: Plan) -> int:
        model, count = yolo(options["weights"], "segment"), 0
        for frame in decoded(plan):
            image = frame.to_ndarray(format="bgr24")
            model.track(image, persist=True, tracker="bytetrack.yaml", classes=[0], device="cpu", verbose=False)
            count += 1
        return count

    return loop


def silhouette_yolov8(options: dict[str, Any]) -> Callable[[Plan], int]:
    from gaitloom.backends import _ultralytics

    model = yolo(options["weights"], "segment")

    def loop(plan: Plan) -> int:
        count = 0
        for image, box in bare_people(plan):
            x0, y0, x1, y1 = _ultralytics._shown(image, box, "subject")
            model.predict(bgr(image[y0:y1, x0:x1]), classes=[0], retina_masks=True, device="cpu", verbose=False)
            count += 1
        return count

    return loop


def keypoints_rtmpose(options: dict[str, Any]) -> Callable[[Plan], int]:
    from rtmlib import RTMPose

    model = RTMPose(options["weights"], model_input_size=(192, 256), backend="onnxruntime", device="cpu")

    def loop(plan: Plan) -> int:
        return sum(1 for image, box in bare_people(plan) if model(bgr(image), bboxes=[box.tolist()]))

    return loop


def flow_gmflow(options: dict[str, Any]) -> Callable[[Plan], int]:
    import torch
    from gaitloom.backends.flow import gmflow

    model = gmflow._ptlflow().gmflow()
    model.load_state_dict(torch.load(options["weights"], weights_only=True)["model"])
    model.eval()

    def loop(plan: Plan) -> int:
        count = 0
        for before, after in bare_pairs(plan, "flow_gmflow", colour=True):
            pair = np.stack([before, after])[..., ::-1].transpose(0, 3, 1, 2) / np.float32(255)
            with torch.inference_mode():
                model({"images": torch.from_numpy(np.ascontiguousarray(pair))[None]})
            count += 1
        return count

    return loop


def flow_dis(options: dict[str, Any]) -> Callable[[Plan], int]:
    solver = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def loop(plan: Plan) -> int:
        return sum(1 for pair in bare_pairs(plan, "flow_dis") if solver.calc(*pair, None) is not None)

    return loop


def options_of(node: str) -> dict[str, Any]:
    """Options with which the backend can be loaded here.

    Raises:
        pytest.skip.Exception: its packages or weights are not there.
    """
    maker = backend_options.MAKERS.get((modality_of(node), NODES[node]["backend"]))
    return maker() if maker else {}


def compare(node: str, options: dict[str, Any], video: Path, frames: int, rounds: int) -> tuple[Any, Any]:
    """Figures and goals of one node on the clip's first frames."""
    modality, name = modality_of(node), NODES[node]["backend"]
    nodes = {"track": {"backend": "blazepose"}, node: {**NODES[node], "backend_options": options}}
    with tempfile.TemporaryDirectory() as folder:
        plan = common.one_clip(Path(folder) / "one", video, 0, frames, nodes, accept_licences=["AGPL-3.0"])
        for needed in ("video", "track"):
            common.make(plan, needed)
        loaded = common.backend(modality, name, **options)
        peer: Callable[[Plan], int] = globals()[node](options)
        counted = peer(plan)
        with common.using(modality, name, loaded):
            common.make(plan, node)
            works = {"ours": lambda: common.make(plan, node), "library": lambda: peer(plan)}
            costs = common.in_turn(works, rounds, lambda: common.forget(plan, node))
    figures = {"frames": counted, **{k: {"fps": round(counted / common.median(v).wall, 2), **common.seconds(v)}
                                     for k, v in costs.items()}}  # fmt: skip
    ratio = {k: common.paired_ratio(costs["library"], costs["ours"], k) for k in ("wall", "cpu")}
    return figures, {f"{node}_{kind}_ratio": common.at_least(value, GOAL) for kind, value in ratio.items()}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--video", type=Path, default=common.DEMO, help="the clip; `make data/demo.mp4` fetches it")
    arguments.add_argument("--frames", type=int, default=60, help="frames of it")
    arguments.add_argument("--rounds", type=int, default=3, help="rounds")
    arguments.add_argument("--only", nargs="*", default=list(NODES), choices=list(NODES), help="these nodes alone")
    chosen = arguments.parse_args()
    cv2.setNumThreads(1)
    figures: dict[str, Any] = {}
    goals: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    for node in chosen.only:
        try:
            torch_stand_in.install()
            options = options_of(node)
            figures[node], found = compare(node, options, chosen.video, chosen.frames, chosen.rounds)
            goals |= found
            common.say(f"{node} done")
        except (ImportError, pytest.skip.Exception) as reason:
            skipped[node] = str(reason)
    common.report("backends", goals, jobs=figures, skipped=skipped)


if __name__ == "__main__":
    main()
