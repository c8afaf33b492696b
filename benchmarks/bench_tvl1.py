"""TV-L1 of our own against OpenCV's: speed by set, agreement, accuracy on fresh scenes, threads, and the whole job.

Speed: processor seconds of one thread each (OpenCV's own threads are off), in turn within a round, on pairs spread
over each clip; the median over rounds of the ratio within a round. Sets are {walk4_side, demo, synthetic} at 320 x 180,
at the subject's region with 320 px as its longest side, and at 640 x 360; clips that are not there are left out, and
named. `opencv` is compared with OpenCV's defaults, `fast` with OpenCV on 8 scales: the better flow, the fairer peer.

Agreement: schedule `opencv` against OpenCV, in pixels, and on how many pairs the two are equal to the bit. Accuracy:
the synthetic walker of tests/walker with exact flow and occlusion, noise and a slow pan, seeds fresh at every run
unless `--seed` says otherwise; end-point error where the walker moves and on all pixels that stay in sight.
Photometric: the mean |I1(x + u) - I0| in grey levels. Threads: wall time of a stream of pairs on one thread and on two.
Job: processor seconds of a flow node (decoding, scaling, solving, encoding, publishing) over those of its pairs alone.

    python benchmarks/bench_tvl1.py [--pairs 4] [--rounds 3] [--scenes 24] [--seed N] [--job-frames 60]
"""

import argparse
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
from walker import GAITS, Walk

Pair = tuple[np.ndarray, np.ndarray]
CLIPS = {"walk4_side": common.ROOT.parent / "shared" / "clips" / "walk4_side.mp4", "demo": common.DEMO}
SIZES = {"320x180": (320, 180), "region_320": None, "640x360": (640, 360)}
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
    """End-point errors (scenes, [moving, all]) of every solver in pixels, as means and as ratios to the peers."""
    loaded, rng = solvers(), np.random.default_rng(seed)
    errors: dict[str, list[list[float]]] = {name: [] for name in (*loaded, "none")}
    while len(errors["none"]) < scenes:
        pair, truth, moving, seen = scene(rng)
        if not moving.any():
            continue
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


def job(frames: int, rounds: int, folder: Path) -> float:
    """Processor seconds of a flow node over those of solving its pairs."""
    common.NODES["flow_tvl1"]["backend"] = "tvl1"
    plan = common.one_clip(folder, common.DEMO, 0, frames)
    for node in ("video", "track"):
        common.make(plan, node)
    loaded = tvl1.Backend(tvl1.Options())
    original, taken = tvl1.Backend.flows, []

    def keep(pairs: Any) -> Any:
        kept = list(pairs)
        taken[:] = kept
        return original(loaded, kept)

    class Loaded:
        colour = False
        flows = staticmethod(keep)

    class_before, tvl1.Backend = tvl1.Backend, lambda options, device: Loaded()  # type: ignore[assignment,misc]
    try:
        common.make(plan, "flow_tvl1")
        keep_off = list(taken)
        Loaded.flows = loaded.flows  # type: ignore[assignment]
        works = {
            "job": lambda: common.make(plan, "flow_tvl1"),
            "solver": lambda: [None for _ in loaded.flows(keep_off)],
        }
        costs = common.in_turn(works, rounds, lambda: common.forget(plan, "flow_tvl1"))
    finally:
        tvl1.Backend = class_before  # type: ignore[misc]
    return common.paired_ratio(costs["job"], costs["solver"], "cpu")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pairs", type=int, default=4, help="pairs of each set")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--scenes", type=int, default=24, help="scenes with exact flow")
    arguments.add_argument("--job-frames", type=int, default=60)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    chosen = arguments.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        sets, absent = sets_of(chosen.pairs, chosen.seed, Path(name))
        figures: dict[str, Any] = {}
        for key, pairs in sets.items():
            figures[key] = speed(pairs, chosen.rounds)
            common.say(f"{key}: {figures[key]['ratio']}")
        errors = accuracy(chosen.scenes, chosen.seed)
        common.say("accuracy done")
        ratio = {k: min(f["ratio"][k] for f in figures.values()) for k in PEERS}
        fast, same = errors["ratio"]["fast"], errors["ratio"]["opencv"]
        goals = {f"{s}_times_opencvs_speed_on_the_slowest_set": common.at_least(ratio[s], GOAL[s]) for s in PEERS} | {
            "opencv_mean_difference_px": common.at_most(max(f["apart_px"]["mean"] for f in figures.values()), 0.06),
            "opencv_moving_p95_px": common.at_most(max(f["apart_px"]["moving_p95"] for f in figures.values()), 0.2),
            "opencv_epe_moving": common.at_most(abs(same["moving"] - 1), 0.01),
            "fast_epe_moving": common.at_most(fast["moving"], 1.02),
            "fast_epe_all": common.at_most(fast["all"], 1.05),
            "fast_worst_scene_moving": common.at_most(fast["worst_moving"], 1.1),
            "fast_worst_scene_all": common.at_most(fast["worst_all"], 1.1),
            "two_threads": common.at_least(threads(next(iter(sets.values())), chosen.rounds), 1.8),
        }
        if common.DEMO.is_file():
            goals["job_over_solver"] = common.at_most(job(chosen.job_frames, chosen.rounds, Path(name) / "job"), 1.25)
    common.report("tvl1", goals, sets=figures, accuracy=errors, absent=absent)


if __name__ == "__main__":
    main()
