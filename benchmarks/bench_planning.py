"""Planning: `snakemake -n` over many clips, against a bare Snakefile with as many jobs and the same dependencies.

Ours is this repository's Snakefile with the nodes of config/config.yaml on N tiny videos of distinct content, nothing
made yet: listing and stating the folder, the sheet, the plan, a digest a job as param, and Snakemake's own graph. The
videos were hashed by a scan before (`first_scan` says what that cost), as on every run but the first. The peer has the
same rules, files and dependencies, and neither configuration, params, logs nor functions. Both run as processes of
their own, in turn, with `--quiet all`; processor seconds count, start of Python included. Goal: ratio 1.3 or less.

`heavy_modules` says which heavy modules a dry run has imported by its end, ours beside the peer's (Snakemake itself
imports some), on a sheet that needs no new hashing.

    python benchmarks/bench_planning.py [--clips 1500] [--rounds 3]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import common
import numpy as np
import yaml
from gaitloom import config

GOAL = 1.3
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


def project(folder: Path, count: int) -> None:
    """`count` tiny videos, the configuration with all of config/config.yaml's nodes, and the bare Snakefile."""
    (folder / "data").mkdir(parents=True)
    common.write_video(folder / "one.mp4", iter([np.full((16, 16, 3), i, np.uint8) for i in range(3)]))
    video = (folder / "one.mp4").read_bytes()
    for number in range(count):  # an MP4 box of type `free` is skipped by every reader
        box = (16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big")
        (folder / "data" / f"P{number % 100:03d}_T{number:05d}.mp4").write_bytes(video + box)
    given = yaml.safe_load((common.ROOT / "config" / "config.yaml").read_text())
    ours = {"results": "results", "clips": {"folders": ["data"], "pattern": "{subject}_{trial}"}}
    (folder / "config.yaml").write_text(yaml.safe_dump({**ours, "nodes": given["nodes"]}))
    plan = common.Plan(config.load(folder / "config.yaml"), [])
    reads = {node: sorted(plan.reads[node].values()) for node in plan.nodes}
    (folder / "Snakefile").write_text(BARE.format(nodes=reads, shown=["video", *plan.shown.values()]))


def arguments_of(which: str) -> list[str]:
    ours = ["--snakefile", str(common.ROOT / "Snakefile"), "--configfile", "config.yaml"]
    return [*(ours if which == "ours" else ["--snakefile", "Snakefile"]), "--dry-run", "--cores", "2"]


def dry_run(folder: Path, which: str, *more: str) -> str:
    command = [sys.executable, "-m", "snakemake", *arguments_of(which), *(more or ("--quiet", "all"))]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{which}: {done.stdout[-1000:]} {done.stderr[-3000:]}")
    return done.stdout + done.stderr


def jobs(folder: Path, which: str) -> int:
    """How many jobs a dry run plans, from Snakemake's own table."""
    lines = dry_run(folder, which, "--quiet", "rules").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("total"))


def modules(folder: Path, which: str) -> list[str]:
    command = [sys.executable, "-c", INSIDE, *arguments_of(which), "--quiet", "all"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    if found["code"]:
        raise RuntimeError(f"{which} ended with {found['code']} in-process")
    return [m for m in HEAVY if m in found["modules"]]


def scan(folder: Path) -> None:
    command = [sys.executable, "-m", "gaitloom", "scan", "--config", "config.yaml"]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--clips", type=int, default=1500)
    arguments.add_argument("--rounds", type=int, default=3)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        small, large = Path(name) / "small", Path(name) / "large"
        project(small, 3)
        scan(small)
        heavy: dict[str, Any] = {which: modules(small, which) for which in ("ours", "bare")}
        project(large, chosen.clips)
        first = common.measure(lambda: scan(large))
        counted = {which: jobs(large, which) for which in ("ours", "bare")}
        common.say(f"jobs: {counted}")
        if len(set(counted.values())) != 1:
            raise RuntimeError(f"the two plans differ in size: {counted}")
        costs = common.in_turn({w: lambda w=w: dry_run(large, w) for w in ("ours", "bare")}, chosen.rounds)
    ratio = {kind: common.paired_ratio(costs["ours"], costs["bare"], kind) for kind in ("cpu", "wall")}
    goals = {
        "planning_cpu_ratio": common.at_most(ratio["cpu"], GOAL),
        "heavy_modules_beyond_snakemakes": common.at_most(
            len({"cv2", "mediapipe", "torch", "av", "pandas", "zarr"} & set(heavy["ours"]) - set(heavy["bare"])), 0
        ),
    }
    common.report(
        "planning",
        goals,
        clips=chosen.clips,
        jobs=counted["ours"],
        first_scan={"wall_s": round(first.wall, 2), "cpu_s": round(first.cpu, 2)},
        ours=common.seconds(costs["ours"]),
        bare=common.seconds(costs["bare"]),
        wall_ratio=round(ratio["wall"], 3),
        heavy_modules=heavy,
    )


if __name__ == "__main__":
    main()
