"""TV-L1 of our own against OpenCV's: speed by set, agreement, accuracy on fresh scenes, threads, and the whole job.

Speed: processor seconds of one thread each (OpenCV's own threads are off), in turn within a round, on pairs spread
over each clip; the median over rounds of the ratio within a round. Sets are {walk4_side, demo, synthetic} at 320 x 180,
at the subject's region with 320 px as its longest side, and at 640 x 360; clips that are not there are left out, and
named. `opencv` is compared with OpenCV's defaults, `fast` with OpenCV on 8 scales: the better flow, the fairer peer.

Agreement: schedule `opencv` against OpenCV, in pixels, and on how many pairs the two are equal to the bit. Accuracy:
the synthetic walker of tests/walker with exact flow and occlusion, noise and a slow pan, seeds fresh at every run
unless `--seed` says otherwise; end-point error where the walker moves and on all pixels that stay in sight.
Photometric: the mean |I1(x + u) - I0| in grey levels. Threads: wall time of a stream of pairs on one thread and on two.
Job: processor seconds of a flow node (decoding, scaling, solving, encoding, publishing) over those of its pairs alone,
and what decoding alone takes, on both clips: their region, and the full frame at 320 and 640 px.

    python benchmarks/bench_tvl1.py [--pairs 4] [--rounds 3] [--scenes 24] [--seed N] [--job-frames 60] [--only PART]
"""

import argparse
import os
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import common
import cv2
import numpy as np
from gaitloom import backends
from gaitloom.backends.flow import tvl1, tvl1_opencv
from gaitloom.modalities import flow
from gaitloom.store import Store
from gaitloom.video import decode
from walker import GAITS, Walk

Pair = tuple[np.ndarray, np.ndarray]
CLIPS = {"walk4_side": common.ROOT.parent / "shared" / "clips" / "walk4_side.mp4", "demo": common.DEMO}
SIZES = {"320x180": (320, 180), "region_320": None, "640x360": (640, 360)}
PARTS = {
    "320x180": {"region": "frame", "longest_side": 320},
    "region_320": {"region": "subject", "longest_side": 320},
    "640x360": {"region": "frame", "longest_side": 640},
}
PEERS = {"opencv": "cv", "fast": "cv_8"}
GOAL = {"opencv": 12, "fast": 25}


def solvers() -> dict[str, Any]:
    """Ours by schedule, and OpenCV's with its own number of scales and with eight."""
    ours = {s: tvl1.Backend(tvl1.Options(schedule=s)) for s in ("opencv", "fast")}  # type: ignore[arg-type]
    theirs = {n: tvl1_opencv.Backend(tvl1_opencv.Options(scales=k)) for n, k in (("cv", 5), ("cv_8", 8))}
    return ours | theirs


def region(video: Path, folder: Path) -> tuple[int, int, int, int]:
    """The flow's region of a clip as the workflow has it."""
    plan = common.one_clip(folder, video)
    for node in ("video", "track"):
        common.make(plan, node)
    store, clip = Store(plan.config.results), common.only_clip(plan)
    size = store.open(plan.key(clip, "video")).attributes
    box = store.open(plan.key(clip, "track")).load("box")
    return flow.region_of(box, size["width"], size["height"], flow.Options())


def scaled(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(frame), size, interpolation=cv2.INTER_AREA)


def cut(frames: Sequence[Pair], box: tuple[int, int, int, int]) -> dict[str, list[Pair]]:
    """The pairs at each of the sizes."""
    x0, y0, x1, y1 = box
    height, width = flow.scaled(box, 320)
    sets: dict[str, list[Pair]] = {}
    for name, size in SIZES.items():
        part = [(a, b) if size else (a[y0:y1, x0:x1], b[y0:y1, x0:x1]) for a, b in frames]
        sets[name] = [(scaled(a, size or (width, height)), scaled(b, size or (width, height))) for a, b in part]
    return sets


def real_pairs(video: Path, count: int) -> list[Pair]:
    """Grey pairs spread evenly over a video."""
    with av.open(str(video)) as container:
        total = sum(1 for _ in container.decode(video=0))
    wanted = {int(i) for i in np.linspace(0, total - 2, count)}
    frames: dict[int, np.ndarray] = {}
    with av.open(str(video)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index in wanted or index - 1 in wanted:
                frames[index] = frame.to_ndarray(format="gray")
    return [(frames[i], frames[i + 1]) for i in sorted(wanted)]


def grey(walk: Walk, t: int) -> np.ndarray:
    return cv2.cvtColor(walk.frame(t), cv2.COLOR_RGB2GRAY)


def sets_of(pairs: int, seed: int, folder: Path) -> tuple[dict[str, list[Pair]], list[str]]:
    """Set → pairs, and the clips that are not there."""
    sets: dict[str, list[Pair]] = {}
    for name, video in CLIPS.items():
        if video.is_file():
            found = cut(real_pairs(video, pairs), region(video, folder / name))
            sets |= {f"{name} {size}": p for size, p in found.items()}
    walk = Walk(GAITS["normal"], frames=2 * pairs + 1, fps=30, size=(1280, 720), seed=seed, pan=(0.4, -0.2))
    box = flow.region_of(walk.box, 1280, 720, flow.Options())
    found = cut([(grey(walk, 2 * t), grey(walk, 2 * t + 1)) for t in range(pairs)], box)
    sets |= {f"synthetic {size}": p for size, p in found.items()}
    return sets, [name for name, video in CLIPS.items() if not video.is_file()]


def speed(pairs: list[Pair], rounds: int) -> dict[str, Any]:
    """Microseconds a pixel of each solver, ratios to their peers, and agreement with OpenCV."""
    loaded = solvers()
    for solver in loaded.values():
        list(solver.flows(pairs[:1]))
    flows: dict[str, list[np.ndarray]] = {}

    def work(name: str) -> Any:
        return lambda: flows.__setitem__(name, list(loaded[name].flows(pairs)))

    costs = common.in_turn({name: work(name) for name in loaded}, rounds)
    pixels = pairs[0][0].size * len(pairs)
    apart = [np.linalg.norm(a - b, axis=2) for a, b in zip(flows["opencv"], flows["cv"], strict=True)]
    moving = [np.linalg.norm(b, axis=2) > 0.5 for b in flows["cv"]]
    far = np.concatenate([d[m] for d, m in zip(apart, moving, strict=True)])
    return {
        "size": list(pairs[0][0].shape[::-1]),
        "us_a_pixel": {name: round(common.median(c).cpu / pixels * 1e6, 4) for name, c in costs.items()},
        "ratio": {s: round(common.paired_ratio(costs[p], costs[s], "cpu"), 1) for s, p in PEERS.items()},
        "apart_px": {
            "mean": float(f"{np.mean(apart):.2g}"),
            "moving_p95": float(f"{np.percentile(far, 95) if len(far) else 0:.2g}"),
            "pairs_equal_to_the_bit": sum(not d.any() for d in apart),
            "pairs": len(pairs),
        },
        "photometric": {n: round(residual(pairs, f), 3) for n, f in flows.items()},
    }


def residual(pairs: list[Pair], flows: list[np.ndarray]) -> float:
    """Mean |I1(x + u) - I0| in grey levels where x + u is in the picture."""
    found = []
    for (before, after), u in zip(pairs, flows, strict=True):
        y, x = np.mgrid[: before.shape[0], : before.shape[1]].astype(np.float32)
        x, y = x + u[..., 0], y + u[..., 1]
        inside = (x >= 0) & (y >= 0) & (x <= before.shape[1] - 1) & (y <= before.shape[0] - 1)
        there = cv2.remap(after.astype(np.float32), x, y, cv2.INTER_LINEAR)
        found.append(np.abs(there - before)[inside].mean())
    return float(np.mean(found))


def scene(rng: np.random.Generator) -> tuple[Pair, np.ndarray, np.ndarray, np.ndarray]:
    """A pair, its flow, the walker's pixels and all pixels that stay in sight."""
    walk = Walk(
        GAITS[str(rng.choice(sorted(GAITS)))],
        "frontal" if rng.random() < 0.3 else "sagittal",
        "left" if rng.random() < 0.5 else "right",
        frames=12,
        fps=float(rng.choice([25, 30, 50, 60])),
        size=((320, 180), (240, 320), (320, 240))[rng.integers(3)],
        seed=int(rng.integers(1 << 30)),
        noise=float(rng.uniform(0.5, 3)),
        pan=(float(rng.uniform(-0.4, 0.4)), float(rng.uniform(-0.4, 0.4))),
        phase=float(rng.random()),
    )
    t = int(rng.integers(11))
    seen = walk.visible(t)
    return (grey(walk, t), grey(walk, t + 1)), walk.flow(t), seen & walk.silhouette(t), seen


def accuracy(scenes: int, seed: int) -> dict[str, Any]:
    """End-point errors of every solver in pixels on the scenes `seed`, `seed` + 1, ..., and ratios to the peers."""
    loaded = solvers()
    errors: dict[str, list[list[float]]] = {name: [] for name in (*loaded, "none")}
    for number in range(scenes):
        rng = np.random.default_rng(seed + number)
        pair, truth, moving, seen = scene(rng)
        while not moving.any():
            pair, truth, moving, seen = scene(rng)
        flows = {n: next(iter(s.flows([pair]))) for n, s in loaded.items()} | {"none": 0 * truth}
        for name, found in flows.items():
            length = np.linalg.norm(found - truth, axis=2)
            errors[name].append([float(length[moving].mean()), float(length[seen].mean())])
    table = {name: np.array(rows) for name, rows in errors.items()}

    def against(ours: str, peer: str) -> dict[str, float]:
        one, other = table[ours], table[peer]
        mean, worst = one.mean(0) / other.mean(0), one.max(0) / other.max(0)
        return {"moving": mean[0], "all": mean[1], "worst_moving": worst[0], "worst_all": worst[1]}

    return {
        "seed": seed,
        "scenes": scenes,
        "epe_px": {n: dict(zip(("moving", "all"), t.mean(0).round(4).tolist(), strict=True)) for n, t in table.items()},
        "ratio": {s: {k: round(float(v), 4) for k, v in against(s, p).items()} for s, p in PEERS.items()},
        "largest_ratio_of_one_scene": {s: (table[s] / table[p]).max(0).round(3).tolist() for s, p in PEERS.items()},
    }


def threads(pairs: list[Pair], rounds: int) -> float:
    """Wall time on one thread over that on two."""
    many = pairs * (48 // len(pairs))
    loaded = {k: tvl1.Backend(tvl1.Options(), backends.Device("cpu", k)) for k in (1, 2)}
    costs = common.in_turn({str(k): lambda k=k: list(loaded[k].flows(many)) for k in loaded}, rounds)
    return common.paired_ratio(costs["1"], costs["2"], "wall")


def job(video: Path, part: dict[str, Any], frames: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Milliseconds of processor time a frame of a flow node, of solving its pairs alone, and of decoding alone."""
    nodes = {**common.NODES, "flow_tvl1": {"backend": "tvl1", "options": part}}
    plan = common.one_clip(folder, video, 0, frames, nodes)
    for node in ("video", "track"):
        common.make(plan, node)
    solver, pairs = tvl1.Backend(tvl1.Options()), []

    class Kept:
        colour = False

        def flows(self, given: Any) -> Any:
            pairs[:] = given
            return solver.flows(pairs)

    with common.using("flow", "tvl1", Kept()):
        common.make(plan, "flow_tvl1")
    works = {
        "job": lambda: common.make(plan, "flow_tvl1"),
        "solver": lambda: [None for _ in solver.flows(pairs)],
        "decoding": lambda: [None for _ in decode(video, 0, frames)],
    }
    with common.using("flow", "tvl1", solver):
        costs = common.in_turn(works, rounds, lambda: common.forget(plan, "flow_tvl1"))
    height, width = pairs[0][0].shape
    return {
        "size": [width, height],
        **{f"{name}_ms": round(common.median(c).cpu / frames * 1e3, 2) for name, c in costs.items()},
        "job_over_solver": round(common.paired_ratio(costs["job"], costs["solver"], "cpu"), 3),
        "decoding_over_solver": round(common.paired_ratio(costs["decoding"], costs["solver"], "cpu"), 3),
    }


def speeds(chosen: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Goals and figures of every set."""
    sets, absent = sets_of(chosen.pairs, chosen.seed, folder)
    figures: dict[str, Any] = {}
    for key, pairs in sets.items():
        figures[key] = speed(pairs, chosen.rounds)
        common.say(f"{key}: {figures[key]['ratio']}")
    ratio = {k: min(f["ratio"][k] for f in figures.values()) for k in PEERS}
    apart = {k: max(f["apart_px"][k] for f in figures.values()) for k in ("mean", "moving_p95")}
    goals = {f"{s}_times_opencvs_speed_on_the_slowest_set": common.at_least(ratio[s], GOAL[s]) for s in PEERS}
    goals["opencv_mean_difference_px"] = common.at_most(apart["mean"], 0.06)
    goals["opencv_moving_p95_px"] = common.at_most(apart["moving_p95"], 0.2)
    return goals, {"sets": figures, "absent": absent}


def errors(chosen: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Goals and figures of the accuracy."""
    found = accuracy(chosen.scenes, chosen.seed)
    fast, same = found["ratio"]["fast"], found["ratio"]["opencv"]
    return {
        "opencv_epe_moving": common.at_most(abs(same["moving"] - 1), 0.01),
        "fast_epe_moving": common.at_most(fast["moving"], 1.02),
        "fast_epe_all": common.at_most(fast["all"], 1.05),
        "fast_worst_scene_moving": common.at_most(found["largest_ratio_of_one_scene"]["fast"][0], 1.1),
        "fast_worst_scene_all": common.at_most(found["largest_ratio_of_one_scene"]["fast"][1], 1.1),
    }, found


def jobs(chosen: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Goal and figures of the job as a whole."""
    found: dict[str, Any] = {}
    for clip, video in CLIPS.items():
        for size, part in PARTS.items() if video.is_file() else ():
            key = f"{clip} {size}"
            found[key] = job(video, part, chosen.job_frames, chosen.rounds, folder / f"job {key}")
            common.say(f"job on {key}: {found[key]}")
    most = max((j["job_over_solver"] for j in found.values()), default=None)
    return {} if most is None else {"job_over_solver": common.at_most(most, 1.25)}, found


def two_threads(chosen: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Goal and figure of two threads, on the synthetic walker."""
    walk = Walk(GAITS["normal"], frames=9, fps=30, size=(320, 180), seed=chosen.seed, pan=(0.4, -0.2))
    pairs = [(grey(walk, 2 * t), grey(walk, 2 * t + 1)) for t in range(4)]
    ratio = threads(pairs, max(3, chosen.rounds))
    return {"two_threads": common.at_least(ratio, 1.8)}, {"load": os.getloadavg()[0]}


WORKS = {"speed": speeds, "accuracy": errors, "threads": two_threads, "job": jobs}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pairs", type=int, default=4, help="pairs of each set")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--scenes", type=int, default=24, help="scenes with exact flow")
    arguments.add_argument("--job-frames", type=int, default=60)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    arguments.add_argument("--only", action="append", choices=WORKS, help="one part of it; may be given again")
    chosen = arguments.parse_args()
    cv2.setNumThreads(1)
    goals: dict[str, Any] = {}
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for part in chosen.only or WORKS:
            found, results[part] = WORKS[part](chosen, Path(name))
            goals |= found
    common.report("tvl1", goals, seed=chosen.seed, **results)


if __name__ == "__main__":
    main()
