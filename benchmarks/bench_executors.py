"""What a clip-job costs beyond its work: default profile, Ray task, warm Ray worker, and Slurm where one is up.

Each executor makes the `video` nodes of the same tiny clips, in a store of its own: first of a few, then of all. The
difference, over the number of clips between, is the cost of one job; what a run costs once (Snakemake's start, Ray's)
falls out, and so does planning, by a dry run before each. `main_cpu_s` is Snakemake's own process, `machine_cpu_s`
everything that the machine did meanwhile, by /proc/stat: it says something only where nothing else runs. The work
itself, made in one process, is taken off.

With --model, clips a minute of BlazePose by warm workers and by the default profile, on the same cores, and the share
of the workers' time between their first clips and the last in which they were making a node.

    python benchmarks/bench_executors.py [--clips 200] [--cores 2] [--model 40]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import common
import numpy as np
import psutil
from gaitloom import config
from gaitloom.clips import NodeKey
from gaitloom.derive import derive
from gaitloom.plan import Plan
from project import Project
from walker import Walk

FEW = 4
GOALS = {"ray warm": ("main_cpu_s", 0.01), "ray task": ("machine_cpu_s", 1.5), "slurm": ("machine_cpu_s", 2.5)}
# Snakemake, saying at its end what its own process cost.
MAIN = """
import atexit, sys, time
atexit.register(lambda: open("main_cpu", "w").write(str(time.process_time())))
from snakemake.cli import main
main()
"""


@dataclass(frozen=True)
class Run:
    """Seconds by the clock, of Snakemake's process, and of all processors of the machine."""

    wall_s: float
    main_cpu_s: float
    machine_cpu_s: float


def executors(cores: int) -> dict[str, list[str]]:
    """The options that choose each."""
    ray = ["--profile", str(common.ROOT / "profiles/ray"), "--ray-cpus", str(cores)]
    found = {
        "default": ["--cores", str(cores)],
        "ray task": [*ray, "--set-resources", "video:ray_warm=''"],
        "ray warm": ray,
    }
    if shutil.which("sinfo") and not subprocess.run(["sinfo"], capture_output=True, check=False).returncode:
        found["slurm"] = ["--profile", str(common.ROOT / "profiles/slurm")]
    return found


def snakemake(project: Project, *args: str) -> Run:
    """One run to its end."""
    project.write_config()
    files = ["--snakefile", str(common.ROOT / "Snakefile"), "--configfile", "config.yaml", "--quiet", "all"]
    before, began = _machine(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", MAIN, *files, *args], cwd=project.folder, check=True, stdout=subprocess.DEVNULL
    )
    wall, machine = time.perf_counter() - began, _machine() - before
    return Run(wall, float((project.folder / "main_cpu").read_text()), machine)


def _machine() -> float:
    times = psutil.cpu_times()
    return times.user + times.nice + times.system


def pictures(seed: int) -> Iterator[np.ndarray]:
    """Two small pictures that no other clip has."""
    return iter(np.random.default_rng(seed).integers(0, 255, (2, 64, 64, 3), np.uint8))


def overhead(folder: Path, clips: int, cores: int) -> dict[str, Any]:
    """The cost of a job, by executor."""
    videos = folder / "videos"
    videos.mkdir()
    for number in range(clips):
        common.write_video(videos / f"S{number}_1.mp4", pictures(number))
    rows: dict[str, Any] = {}
    for name, options in executors(cores).items():
        common.say(name)
        few, every = (_made(folder / f"{name} {n}", videos, n, options) for n in (FEW, clips))
        cost = {k: (asdict(every)[k] - v) / (clips - FEW) for k, v in asdict(few).items()}
        rows[name] = {k: round(v, 4) for k, v in cost.items()}
    work = _work(folder / f"default {clips}")
    for row in rows.values():
        row["machine_cpu_s"] = round(row["machine_cpu_s"] - work, 4)
    return {"work_cpu_s": round(work, 4), "a_job": rows}


def _made(folder: Path, videos: Path, count: int, options: list[str]) -> Run:
    project = Project(folder)
    for number in range(count):
        project.add(videos / f"S{number}_1.mp4", f"S{number}_1.mp4")
    planned, made = (snakemake(project, *options, "--until", "video", *how) for how in (["--dry-run"], []))
    return Run(**{k: v - asdict(planned)[k] for k, v in asdict(made).items()})


def _work(folder: Path) -> float:
    """Processor seconds of one `video` node, made again and again in this process."""
    values = config.load(folder / "config.yaml").model_dump(mode="json")
    values["results"], values["clips"]["folders"] = str(folder / "again"), [str(folder / "data")]
    plan = Plan.load(values, scan=True)
    paths = list(plan.accepted)[:40]

    def make() -> None:
        for path in paths:
            derive(plan, NodeKey.parse(f"{path}/video"), plan.digests_of(path)["video"])

    return common.measure(make).cpu / len(paths)


def model(folder: Path, clips: int, cores: int) -> dict[str, Any]:
    """BlazePose, warm and not."""
    videos = folder / "walks"
    videos.mkdir()
    for number in range(clips):
        Walk(frames=30, size=(320, 180), seed=number).write(videos / f"S{number}_1.mp4")
    figures: dict[str, Any] = {"clips": clips, "frames": 30}
    for name in ("default", "ray warm"):
        common.say(f"model, {name}")
        project = Project(folder / f"model {name}")
        for video in videos.iterdir():
            project.add(video, video.name)
        snakemake(project, "--cores", str(cores), "--until", "track")
        run = snakemake(project, *executors(cores)[name], "--until", "keypoints")
        figures[name] = {
            "clips_a_minute": round(60 * clips / run.wall_s, 1),
            "busy": round(busy(project.results, "keypoints", cores), 3),
        }
    return figures


def busy(results: Path, node: str, workers: int) -> float:
    """The share of the workers' time in which they made a node, from the end of the first clips to that of the last."""
    records = [json.loads(p.read_text()) for p in (results / "provenance").glob(f"*/*/{node}.json")]
    spans = sorted(tuple(datetime.fromisoformat(r[k]).timestamp() for k in ("started", "finished")) for r in records)
    warm, end = sorted(finish for _, finish in spans)[workers - 1], max(finish for _, finish in spans)
    inside = sum(max(0.0, finish - max(start, warm)) for start, finish in spans)
    return inside / (workers * (end - warm))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--model", type=int, default=0, metavar="CLIPS")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = overhead(Path(temporary), args.clips, args.cores)
        if args.model:
            figures["model"] = model(Path(temporary), args.model, args.cores)
    jobs = figures["a_job"]
    goals = {f"{n}, {k}": common.at_most(jobs[n][k], limit) for n, (k, limit) in GOALS.items() if n in jobs}
    if args.model:
        goals["busy"] = common.at_least(figures["model"]["ray warm"]["busy"], 0.95)
    common.report("executors", goals, clips=args.clips, **figures)


if __name__ == "__main__":
    main()
