"""Planning: `snakemake -n` over many clips, against a bare Snakefile with as many jobs and the same dependencies.

Ours is this repository's Snakefile with the nodes of config/config.yaml on N tiny videos of distinct content: listing
and stating the folder, the sheet, the plan, a digest a job as param, and Snakemake's own graph. The peer has the same
rules, files and dependencies, and neither configuration, params, logs nor functions; its rerun triggers are ours and
`input`, by which it notices new clips. Both run as processes of their own, in turn, with `--quiet all`; processor
seconds count, start of Python included. In three states: nothing made; everything made and recorded (empty files, by
`--touch`); then five new clips, hashed by a scan before (`first_scan` says what hashing and reading headers cost).
Goals: ratio 1.3 or less in each.

`heavy_modules` says which heavy modules a dry run has imported by its end, ours beside the peer's (Snakemake itself
imports some), on a sheet that needs no new hashing.

    python benchmarks/bench_planning.py [--clips 1000] [--rounds 3]

`--sheet N` measures ours alone on N clips (100,000 are 400 MB of tiny files), processor seconds and peak memory of each
step: the first scan, one that finds nothing new, reading the sheet, all digests, and a dry run by batches of 1,000 and
of 10,000 clips, the last one of the small batches with the report. `--jobs N` does so for one dry run, without batches,
of at least N jobs, ours and then the peer's. Take care of the memory: a job needs about 17 kB.

    python benchmarks/bench_planning.py --sheet 100000
    python benchmarks/bench_planning.py --jobs 100000
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common
import numpy as np
import yaml
from gaitloom import config

GOAL = 1.3
NEW = 5
JOBS, MEMORY_GB = 100_000, 1.6
HEAVY = ("cv2", "mediapipe", "torch", "av", "pandas", "zarr", "numcodecs", "numpy", "pydantic", "matplotlib", "scipy")

BARE = """
from pathlib import Path

NAMES = sorted(p.stem for p in Path("data").iterdir())
NODES = {nodes}
STORE = "bare/store/{{subject}}/{{clip}}"
PATHS = [name.replace("_", "/") for name in NAMES]


wildcard_constraints:
    subject=r"[\\w.-]+",
    clip=r"[\\w.-]+",


rule all:
    default_target: True
    input:
        "bare/.reported",


for node, reads in NODES.items():

    rule:
        name:
            node
        input:
            ([ancient("data/{{subject}}_{{clip}}.mp4")] if node == "video" else [])
            + [f"{{STORE}}/{{name}}/zarr.json" for name in reads],
        output:
            f"{{STORE}}/{{node}}/zarr.json",
        shell:
            "touch {{output}}"


rule index:
    input:
        expand("bare/store/{{{{subject}}}}/{{{{clip}}}}/{{node}}/zarr.json", node=NODES),
    output:
        "bare/store/{{subject}}/{{clip}}/zarr.json",
    shell:
        "touch {{output}}"


rule preview:
    input:
        expand("bare/store/{{{{subject}}}}/{{{{clip}}}}/{{node}}/zarr.json", node={shown}),
    output:
        video="bare/preview/{{subject}}/{{clip}}.mp4",
        strip="bare/preview/{{subject}}/{{clip}}.jpg",
    shell:
        "touch {{output}}"


rule report:
    input:
        expand("bare/store/{{path}}/zarr.json", path=PATHS),
        expand("bare/preview/{{path}}.mp4", path=PATHS),
    output:
        touch("bare/.reported"),
"""

INSIDE = """
import contextlib, io, json, sys
from snakemake.cli import main
sink = io.StringIO()
with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
    try:
        main(sys.argv[1:])
    except SystemExit as end:
        code = end.code
print(json.dumps({"code": code, "modules": sorted(m for m in sys.modules if "." not in m)}))
"""


# Snakemake sleeps for 0.1 s before it touches a job's files, and chooses among all jobs whenever a core is free.
TOUCH = """
import sys
from snakemake.cli import main
from snakemake.executors.touch import Executor
Executor.SLEEPING_TIME = 0
main(sys.argv[1:])
"""


def add_videos(folder: Path, numbers: range) -> None:
    """Tiny videos, each of another content."""
    video = (folder / "one.mp4").read_bytes()
    for number in numbers:  # an MP4 box of type `free` is skipped by every reader
        box = (16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big")
        (folder / "data" / f"P{number % 100:03d}_T{number:06d}.mp4").write_bytes(video + box)


def project(folder: Path, count: int) -> common.Plan:
    """`count` videos, the configuration with all of config/config.yaml's nodes, and the bare Snakefile."""
    (folder / "data").mkdir(parents=True)
    common.write_video(folder / "one.mp4", iter([np.full((16, 16, 3), i, np.uint8) for i in range(3)]))
    add_videos(folder, range(count))
    given = yaml.safe_load((common.ROOT / "config" / "config.yaml").read_text())
    ours = {"results": "results", "clips": {"folders": ["data"], "pattern": "{subject}_{trial}"}}
    (folder / "config.yaml").write_text(yaml.safe_dump({**ours, "nodes": given["nodes"]}))
    plan = common.Plan(config.load(folder / "config.yaml"), [])
    reads = {node: sorted(plan.reads[node].values()) for node in plan.nodes}
    (folder / "Snakefile").write_text(BARE.format(nodes=reads, shown=["video", *plan.shown.values()]))
    return plan


def made(folder: Path, nodes: list[str]) -> None:
    """Have everything there, as empty files, and recorded by Snakemake; for ours and for the peer."""
    names = [video.stem for video in (folder / "data").iterdir()]
    for root, trial in (("results/store.zarr", "trial-"), ("bare/store", "")):
        for subject, _, number in (name.partition("_") for name in names):
            clip = folder / root / subject / f"{trial}{number}"
            preview = clip.parents[2] / "preview" / subject
            preview.mkdir(parents=True, exist_ok=True)
            for node in nodes:
                (clip / node).mkdir(parents=True)
                (clip / node / "zarr.json").touch()
            (clip / "zarr.json").touch()
            for ending in ("mp4", "jpg"):
                (preview / f"{clip.name}.{ending}").touch()
        (folder / root).with_name(".reported").touch()
    for which in ("ours", "bare"):
        command = [sys.executable, "-c", TOUCH, *arguments_of(which), "--touch", "--forceall", "--cores", "9999"]
        subprocess.run(command, cwd=folder, capture_output=True, check=True)


def arguments_of(which: str) -> list[str]:
    ours = ["--snakefile", str(common.ROOT / "Snakefile"), "--configfile", "config.yaml"]
    return [
        *(ours if which == "ours" else ["--snakefile", "Snakefile", "--rerun-triggers", "params", "input"]),
        "--cores",
        "2",
    ]


def snakemake(which: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", *arguments_of(which)]


def dry_run(folder: Path, which: str, *more: str) -> str:
    command = [*snakemake(which), "--dry-run", *(more or ("--quiet", "all"))]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{which}: {done.stdout[-1000:]} {done.stderr[-3000:]}")
    return done.stdout + done.stderr


def jobs(folder: Path, which: str, *more: str) -> int:
    """How many jobs a dry run plans, from Snakemake's own table; 0 where nothing is to be done."""
    lines = dry_run(folder, which, "--quiet", "rules", *more).splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("total")), 0)


def modules(folder: Path, which: str) -> list[str]:
    command = [sys.executable, "-c", INSIDE, *arguments_of(which), "--dry-run", "--quiet", "all"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    if found["code"]:
        raise RuntimeError(f"{which} ended with {found['code']} in-process")
    return [m for m in HEAVY if m in found["modules"]]


def scan(folder: Path) -> None:
    command = [sys.executable, "-m", "gaitloom", "scan", "--config", "config.yaml"]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)


def ratios(chosen: argparse.Namespace, folder: Path) -> None:
    """Ours beside the peer in the three states."""
    small, large = folder / "small", folder / "large"
    nodes = project(small, 3).nodes
    scan(small)
    heavy: dict[str, Any] = {which: modules(small, which) for which in ("ours", "bare")}
    project(large, chosen.clips)
    first = common.measure(lambda: scan(large))
    figures: dict[str, Any] = {}
    goals: dict[str, Any] = {}
    for state in states(large, nodes, chosen.clips):
        counted = {which: jobs(large, which) for which in ("ours", "bare")}
        common.say(f"{state}: {counted} jobs")
        if counted["ours"] - counted["bare"]:
            raise RuntimeError(f"the two plans differ in size: {counted}")
        costs = common.in_turn({w: lambda w=w: dry_run(large, w) for w in ("ours", "bare")}, chosen.rounds)
        ratio = {kind: common.paired_ratio(costs["ours"], costs["bare"], kind) for kind in ("cpu", "wall")}
        goals[f"{state}_cpu_ratio"] = common.at_most(ratio["cpu"], GOAL)
        figures[state] = {
            "jobs": counted["ours"],
            "ours": common.seconds(costs["ours"]),
            "bare": common.seconds(costs["bare"]),
            "wall_ratio": round(ratio["wall"], 3),
        }
    beyond = {"cv2", "mediapipe", "torch", "av", "pandas", "zarr"} & set(heavy["ours"]) - set(heavy["bare"])
    goals["heavy_modules_beyond_snakemakes"] = common.at_most(len(beyond), 0)
    common.report(
        "planning",
        goals,
        clips=chosen.clips,
        first_scan={"wall_s": round(first.wall, 2), "cpu_s": round(first.cpu, 2)},
        **figures,
        heavy_modules=heavy,
    )


def states(folder: Path, nodes: list[str], clips: int) -> Iterator[str]:
    """Bring the project into each state, and name it."""
    yield "nothing"
    made(folder, nodes)
    yield "up_to_date"
    add_videos(folder, range(clips, clips + NEW))
    scan(folder)
    yield "new_clips"


def step(folder: Path, *command: str) -> dict[str, float]:
    """Seconds and peak memory of one process."""
    began = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {status}")
    cpu = used.ru_utime + used.ru_stime
    figures = {"cpu_s": cpu, "wall_s": time.perf_counter() - began, "peak_mb": used.ru_maxrss / 1024}
    common.say(f"{' '.join(command[-3:])}: {figures}")
    return {name: round(figure, 1) for name, figure in figures.items()}


READ = "import sys; sys.path.insert(0, {path!r}); from pathlib import Path; from gaitloom.plan import Plan; plan = "
READ += "Plan.read(Path('config.yaml'))"


def sheet(count: int, folder: Path) -> None:
    """Ours alone, on very many clips."""
    project(folder, count)
    read = READ.format(path=str(common.ROOT / "workflow"))
    scanning = (sys.executable, "-m", "gaitloom", "scan", "--config", "config.yaml")
    planning = (*snakemake("ours"), "--dry-run", "--quiet", "all", "--batch")
    steps = {
        "first_scan": scanning,
        "scan": scanning,
        "read": (sys.executable, "-c", read),
        "digests": (sys.executable, "-c", f"{read}; plan.report_digest()"),
    }
    small, large = max(1, count // 1000), max(1, count // 10_000)
    batches = {
        f"batch_of_{count // n}{'_and_report' * (i == n)}": f"all={i}/{n}"
        for i, n in ((1, small), (small, small), (1, large))
    }
    steps |= {name: (*planning, chosen) for name, chosen in batches.items()}
    common.report("planning_sheet", {}, clips=count, **{name: step(folder, *s) for name, s in steps.items()})


def many_jobs(least: int, folder: Path) -> None:
    """Ours alone, one dry run of very many jobs."""
    a_clip = len(project(folder / "nodes", 1).nodes) + 2  # and its index and preview
    clips = -(-least // a_clip)
    project(folder / "many", clips)
    scan(folder / "many")
    costs = {w: step(folder / "many", *snakemake(w), "--dry-run", "--quiet", "all") for w in ("ours", "bare")}
    goals = {"peak_gb": common.at_most(costs["ours"]["peak_mb"] / 1000, MEMORY_GB)} if least == JOBS else {}
    common.report("planning_jobs", goals, clips=clips, jobs=clips * a_clip + 2, **costs)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--clips", type=int, default=1000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--sheet", type=int, help="so many clips, ours alone")
    arguments.add_argument("--jobs", type=int, help="so many jobs in one run, ours alone")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if chosen.sheet:
            sheet(chosen.sheet, Path(name))
        elif chosen.jobs:
            many_jobs(chosen.jobs, Path(name))
        else:
            ratios(chosen, Path(name))


if __name__ == "__main__":
    main()
