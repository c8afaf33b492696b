"""What a clip-job costs beyond its work: default profile, Ray task, warm Ray worker, and Slurm where one is up.

Each executor makes the `video` nodes of the same tiny clips, in a store of its own: first of a few, then of all. The
difference, over the number of clips between, is the cost of one job; what a run costs once (Snakemake's start, Ray's)
falls out, and so does planning, by a dry run before each. `main_cpu_s` is Snakemake's own process, `machine_cpu_s`
everything that the machine did meanwhile, by /proc/stat: it says something only where nothing else runs. The work
itself, made in one process, is taken off.

With --model, BlazePose on so many clips, by the default profile, by a warm worker on each core, and by warm workers
that leave one core for decoding and all else: clips a minute of the whole run, and of what lies between the first
clip's end and the last one's; and the share of the warm workers' time, after each one's first clip, in which its
model computed.

    python benchmarks/bench_executors.py [--clips 200] [--cores 2] [--model 12] [--frames 150]
"""

import argparse
import json
import os
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
from gaitloom.warm import Worker
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
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    before, began = _machine(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *files, *args],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr[-3000:])
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


class Timed(Worker):
    """GaitLoom's warm worker, which writes down when each clip began and ended, and for how long its model computed."""

    def __init__(self, configuration: str):
        from gaitloom.backends._blazepose import Poser

        super().__init__(configuration)
        pose = Poser.__call__

        def timed(*args: Any) -> Any:
            began = time.monotonic()
            try:
                return pose(*args)
            finally:
                self._model_s += time.monotonic() - began

        Poser.__call__ = timed  # pyright: ignore[reportAttributeAccessIssue]

    def __call__(self, job: dict[str, Any]) -> None:
        """One clip."""
        self._model_s, began = 0.0, time.monotonic()
        super().__call__(job)
        with Path(f"busy.{os.getpid()}").open("a") as file:
            file.write(f"{began} {time.monotonic()} {self._model_s}\n")


def model(folder: Path, clips: int, frames: int, cores: int) -> dict[str, Any]:
    """BlazePose, warm and not."""
    tracked = Project(folder / "tracked")
    for number in range(clips):
        Walk(frames=frames, size=(320, 180), seed=number).write(tracked.data / f"S{number}_1.mp4")
    warm = executors(cores)["ray warm"]
    common.say("model, what it stands on")
    snakemake(tracked, *warm, "--until", "track")
    (configuration,) = (tracked.results / "config").iterdir()
    timed = f"keypoints:ray_warm='bench_executors:Timed {configuration.relative_to(tracked.folder)}'"
    ways = {"default": ["--cores", str(cores)], "warm": [*warm, "--set-resources", timed]}
    if cores > 1:
        ways["warm, a core to spare"] = [*ways["warm"], "--ray-pool", str(cores - 1)]
    figures: dict[str, Any] = {"clips": clips, "frames": frames}
    for name, options in ways.items():
        common.say(f"model, {name}")
        project = Project(Path(shutil.copytree(tracked.folder, folder / f"model {name}")))
        run = snakemake(project, *options, "--until", "keypoints")
        figures[name] = {
            "clips_a_minute": round(60 * clips / run.wall_s, 1),
            "clips_a_minute_between": round(60 * between(project.results), 1),
            **({} if name == "default" else {"busy": round(busy(project.folder), 3)}),
        }
    return figures


def between(results: Path) -> float:
    """Clips a second, from the end of the first to the end of the last."""
    records = (json.loads(p.read_text()) for p in (results / "provenance").glob("*/*/keypoints.json"))
    ends = sorted(datetime.fromisoformat(r["finished"]).timestamp() for r in records)
    return (len(ends) - 1) / (ends[-1] - ends[0])


def busy(folder: Path) -> float:
    """The share of the workers' time in which their models computed: of each worker, from its first clip's end to its
    last one's, so without loading and without waiting for others at the end."""
    computed = there = 0.0
    for worker in folder.glob("busy.*"):
        clips = [[float(n) for n in line.split()] for line in worker.read_text().splitlines()]
        computed += sum(model_s for _, _, model_s in clips[1:])
        there += clips[-1][1] - clips[0][1]
    return computed / there


def table(rows: dict[str, Any]) -> str:
    """The costs of a job as text, one line an executor."""
    lines = [f"{'a job':12}{'wall s':>9}{'main CPU ms':>13}{'all CPU s':>11}   goal"]
    for name, row in rows.items():
        kind, limit = GOALS.get(name, ("", 0))
        goal = f"{kind} <= {limit:g}: {'met' if row[kind] <= limit else 'not met'}" if kind else ""
        all_s, main_ms = row["machine_cpu_s"], 1000 * row["main_cpu_s"]
        lines.append(f"{name:12}{row['wall_s']:9.3f}{main_ms:13.1f}{all_s:11.3f}   {goal}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--model", type=int, default=0, metavar="CLIPS")
    parser.add_argument("--frames", type=int, default=150)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = overhead(Path(temporary), args.clips, args.cores)
        print(table(jobs := figures["a_job"]), file=sys.stderr)
        if args.model:
            figures["model"] = model(Path(temporary), args.model, args.frames, args.cores)
    goals = {f"{n}, {k}": common.at_most(jobs[n][k], limit) for n, (k, limit) in GOALS.items() if n in jobs}
    if spare := figures.get("model", {}).get("warm, a core to spare"):
        goals["busy"] = common.at_least(spare["busy"], 0.95)
    common.report("executors", goals, clips=args.clips, **figures)


if __name__ == "__main__":
    main()
