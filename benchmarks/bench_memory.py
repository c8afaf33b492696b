"""Memory: the peak of each job in a process of its own, on short and long clips; it must not grow with length.

(a) A stub finder and a stub silhouette backend (one box, one constant mask) on 1080p video, so that the figure is the
frame's own path: decoding, the full-frame mask, the shards being written. Goal: 1.5 GB or less at 10,000 frames, and
flat against 1,000. (b) The real backends on 300 and 1,200 frames of the synthetic walker at 640x360, back and
forth: no slope beyond what the small arrays of the time axis need; goal 20 MB or less per 1,000 frames, flow left out
unless asked for.

Peak is Linux's VmHWM at the end of `gaitloom.derive.derive`, read in the child itself (`ru_maxrss` would inherit the
parent's). The peer is the same process without a job (`without_job_mb`): Python, the plan and the backend loaded.
It takes about four minutes.

    python benchmarks/bench_memory.py [--frames 10000] [--flow]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import common
import numpy as np
from gaitloom.plan import Plan
from gaitloom.tracking import People
from walker import Walk

LIMIT_MB = 1500
SLOPE_MB = 20
HD = (1920, 1080)
BOX = (800.0, 200.0, 1100.0, 950.0)


class StubTrack:
    """One person who never moves."""

    def people(self, images: Iterable[np.ndarray]) -> Iterator[People]:
        """The same person for every image."""
        for _ in images:
            yield People(np.array([BOX], np.float32), np.ones(1, np.float32), np.zeros(1, np.int32))


class StubSilhouette:
    """One mask for all."""

    def masks(self, people: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        """The same mask for every image."""
        x0, y0, x1, y1 = map(int, BOX)
        mask = np.ones((y1 - y0, x1 - x0), bool)
        for _ in people:
            yield mask, (x0, y0)


STUBS = {"track": StubTrack, "silhouette": StubSilhouette}


def pictures(count: int) -> Iterator[np.ndarray]:
    """A 1080p picture in which a block moves back and forth."""
    room = np.random.default_rng(0).integers(90, 160, (HD[1] // 60, HD[0] // 60, 3)).astype(np.uint8)
    room = room.repeat(60, 0).repeat(60, 1)
    for index in range(count):
        picture, x = room.copy(), 800 + 2 * min(index, count - index)
        picture[200:950, x : x + 300] = 60
        yield picture


def back_and_forth(walk: Walk) -> Iterator[np.ndarray]:
    """A walk and the same backwards, so that a loop of it never jumps and the subject stays one person."""
    yield from walk.frames()
    for index in reversed(range(len(walk))):
        yield walk.frame(index)


def child(config: Path, node: str, stub: bool, work: bool) -> None:
    """Run in a process of its own: make the node (or only load its backend), print the peak in MB and the seconds."""
    plan = Plan.read(config)
    modality = node.split("_")[0]
    if node == "video":
        cost = common.measure(lambda: common.make(plan, node)) if work else common.Cost(0, 0)
    else:
        name = plan.config.nodes[node].backend
        loaded = STUBS[modality]() if stub else common.backend(modality, name)
        with common.using(modality, name, loaded):
            cost = common.measure(lambda: common.make(plan, node)) if work else common.Cost(0, 0)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    peak = int(status["VmHWM"].split()[0]) * 1024 / 1e6
    print(json.dumps({"peak_mb": round(peak, 1), "wall_s": round(cost.wall, 1), "cpu_s": round(cost.cpu, 1)}))


def fresh(plan: Plan, node: str, stub: bool, work: bool = True) -> dict[str, Any]:
    """The figures of one job in a fresh process."""
    flags = [*(["--stub"] if stub else []), *([] if work else ["--idle"])]
    command = [sys.executable, __file__, "--child", str(plan.path), node, *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    common.say(f"{node}: {done.stdout.strip()}")
    return json.loads(done.stdout)


def compare(plans: dict[int, Plan], nodes: Iterable[str], stub: bool) -> dict[str, Any]:
    """Peak of each node at each length, of the same process without the job, and the slope between the lengths."""
    short, long = sorted(plans)
    figures: dict[str, Any] = {}
    for node in nodes:
        figure: dict[str, Any] = {"without_job_mb": fresh(plans[short], node, stub, work=False)["peak_mb"]}
        figure |= {f"frames_{n}": fresh(plans[n], node, stub) for n in (short, long)}
        rise = figure[f"frames_{long}"]["peak_mb"] - figure[f"frames_{short}"]["peak_mb"]
        figure["rise_mb_per_1000_frames"] = round(rise / (long - short) * 1000, 2)
        figures[node] = figure
    return figures


def measure(folder: Path, frames: int, real: tuple[int, int], flow: bool) -> None:
    plans: dict[int, Plan] = {}
    for count in sorted({min(1000, frames // 2), frames}):
        video = folder / f"stub{count}.mp4"
        common.write_video(video, pictures(100), repeat=count // 100)
        plans[count] = common.one_clip(folder / f"stub{count}", video)
    stub = compare(plans, ("video", "track", "silhouette"), stub=True)
    walks: dict[int, Plan] = {}
    walk = Walk(frames=150)
    for count in real:
        video = folder / f"walker{count}.mp4"
        common.write_video(video, back_and_forth(walk), repeat=count // (2 * len(walk)))
        walks[count] = common.one_clip(folder / f"walker{count}", video)
    nodes = ("video", "track", "keypoints", "silhouette", *(["flow_tvl1"] if flow else []))
    backed = compare(walks, nodes, stub=False)
    long = max(plans)
    goals: dict[str, Any] = {}
    for node, figure in stub.items():
        goals[f"stub_{node}_{long}_frames_mb"] = common.at_most(figure[f"frames_{long}"]["peak_mb"], LIMIT_MB)
    for kind, found in (("stub", stub), ("real", backed)):
        for node, figure in found.items():
            name = f"{kind}_{node}_rise_mb_per_1000_frames"
            goals[name] = common.at_most(figure["rise_mb_per_1000_frames"], SLOPE_MB)
    common.report("memory", goals, stub_1080p=stub, real_640x360=backed)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--frames", type=int, default=10_000, help="frames of the long 1080p clip, in hundreds")
    arguments.add_argument("--real-frames", type=int, nargs=2, default=(300, 1200), help="multiples of 300")
    arguments.add_argument("--flow", action="store_true", help="real TV-L1 flow too (about 10 minutes more)")
    arguments.add_argument("--child", nargs=2, metavar=("CONFIG", "NODE"), help=argparse.SUPPRESS)
    arguments.add_argument("--stub", action="store_true", help=argparse.SUPPRESS)
    arguments.add_argument("--idle", action="store_true", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.child:
        child(Path(chosen.child[0]), chosen.child[1], chosen.stub, not chosen.idle)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), chosen.frames, tuple(chosen.real_frames), chosen.flow)


if __name__ == "__main__":
    main()
