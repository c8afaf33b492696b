"""Incremental rebuild, proved: what each change remakes, and that nothing else is so much as touched. By any executor:

    project = rebuild.project(folder)    two tiny clips; nothing made yet
    run(project)                         the executor, to its end
    rebuild.prove(project, run)

`run(project, *args)` runs snakemake on the project with more options, to its end, and gives the finished process with
what it said as text.
"""

import hashlib
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import onnx_nets
import pytest
from gaitloom import config, scan
from gaitloom.clips import NodeKey
from gaitloom.derive import derive
from gaitloom.plan import Plan
from project import ROOT, Project
from walker import GAITS, Walk

Run = Callable[..., subprocess.CompletedProcess[str]]
Job = tuple[str, str]  # rule and clip; the report has none

A, B, C = (f"{subject}/trial-1" for subject in "ABC")
CHAIN = ("video", "track", "keypoints", "preview", "index")
SHOWN_NOWHERE = ("keypoints", "index")
REPORT: Job = ("report", "")
CHECKOUT = ("workflow", "profiles", "envs", "Snakefile")


def project(folder: Path) -> Project:
    """A project of the clips A and B: cheap nodes, one of them with weights, and previews that show the track alone."""
    pytest.importorskip("rtmlib", reason="rtmlib is not installed")
    made = Project(folder)
    made.config["nodes"] = {"track": {"backend": "blazepose"}, "keypoints": {"backend": "rtmpose"}}
    made.config["preview"] = {"keypoints": None}
    _film(made, "A", 0)
    _film(made, "B", 1)
    _weights(made, 1)
    return made


def prove(project: Project, run: Run) -> None:
    """Change a finished project step by step; each step makes exactly the nodes that it must, with the bytes that they
    should have.

    Raises:
        AssertionError: a job too many or too few ran, a file changed that no such job owns, or it holds other bytes.
    """
    keypoints = project.config["nodes"]["keypoints"]["backend_options"]
    _film(project, "C", 2)
    step(project, run, jobs(CHAIN, C))
    _film(project, "B", 3)
    step(project, run, jobs(CHAIN, B))
    (project.data / "C_1.mp4").unlink()
    step(project, run, {REPORT})
    keypoints["colours"] = "bgr"
    assert "xy" in step(project, run, jobs(SHOWN_NOWHERE, A, B)), "the option has an effect"
    _weights(project, 2)
    assert "xy" in step(project, run, jobs(SHOWN_NOWHERE, A, B)), "other weights, other points"
    whole(project, by_hand(project))
    step(project, run, set(), "--workflow-profile", str(_profile(project)))
    _touched(project, run)
    _copied(project, run)
    _without_records(project, run)
    bumped = step(project, run, jobs(CHAIN[1:], A, B), "--snakefile", str(_bumped(project)))
    assert bumped == {"zarr.json"}, "the code is the same: its version, in the recipe, is all that differs"
    step(project, run, set(), "--snakefile", str(project.folder / "checkout/Snakefile"))


def jobs(rules: tuple[str, ...], *clips: str) -> set[Job]:
    """These rules' jobs for these clips, and the report."""
    return {(rule, clip) for rule in rules for clip in clips} | {REPORT}


def step(project: Project, run: Run, expected: set[Job], *args: str) -> set[str]:
    """Run, and hold what was planned, what ran and what changed on disk to the expected jobs; nothing else may have so
    much as another time stamp. What it gives: the names of the arrays whose bytes differ, and of metadata files.
    """
    before = files(project)
    done = run(project, *args)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    after = files(project)
    changed = {p for p in before.keys() | after.keys() if before.get(p) != after.get(p)}
    _equal("planned", planned(said), Counter(rule for rule, _ in expected))
    _equal("ran", ran(said), Counter(expected))
    _equal("changed", Counter({owner(p) for p in changed}), Counter(expected))
    nodes = [p.split("/") for p in changed if p.startswith("store.zarr/") and p in before and p in after]
    return {p[4] for p in nodes if len(p) > 4 and before["/".join(p)][2] != after["/".join(p)][2]}


def _equal(what: str, ours: Counter[Any], expected: Counter[Any]) -> None:
    assert ours == expected, f"{what}: {dict(ours - expected)} too many, {dict(expected - ours)} too few"


def planned(said: str) -> Counter[str]:
    """How often Snakemake planned each rule, by its table, without `all`."""
    table = re.search(r"^Job stats:\n(.*?)^total", said, re.S | re.M)
    rows = re.findall(r"^(\w+) +(\d+)$", table.group(1), re.M) if table else []
    return Counter({rule: int(count) for rule, count in rows if rule != "all"})


def ran(said: str) -> Counter[Job]:
    """How often Snakemake began each job, also those inside groups, without `all`."""
    found: list[Job] = []
    for rule, clip in re.findall(r"^ *(?:local)?rule (\w+):$|^ +wildcards: (subject=\S+, clip=\S+)$", said, re.M):
        if rule:
            found.append((rule, ""))
        else:
            found[-1] = found[-1][0], re.sub(r"subject=(\S+), clip=", r"\1/", clip)
    return Counter(job for job in found if job[0] != "all")


def files(project: Project) -> dict[str, tuple[int, int, bytes]]:
    """(inode, time stamp, bytes) of every file of the store and the previews, and of the report's flag."""
    found = [*project.store.rglob("*"), *(project.results / "preview").rglob("*"), project.results / ".reported"]
    whole = sorted(p for p in found if p.is_file())
    stats = {p: p.stat() for p in whole}
    return {
        p.relative_to(project.results).as_posix(): (stats[p].st_ino, stats[p].st_mtime_ns, p.read_bytes())
        for p in whole
    }


def owner(path: str) -> Job:
    """The job that makes a file."""
    match path.split("/"):
        case ["store.zarr", subject, clip, node, _, *_]:
            return node, f"{subject}/{clip}"
        case ["store.zarr", subject, clip, "zarr.json"]:
            return "index", f"{subject}/{clip}"
        case ["preview", subject, name]:
            return "preview", f"{subject}/{name.split('.')[0]}"
    return REPORT


def by_hand(project: Project) -> dict[str, bytes]:
    """The file of every planned node by its path in the store, all made in this process, without Snakemake."""
    fresh = Project(Path(f"{project.folder}-by-hand"))
    fresh.config = {**project.config, "results": str(fresh.results)}
    fresh.config["clips"] = {**project.config["clips"], "folders": [str(project.data)]}
    plan = Plan.load(config.load(fresh.write_config()).model_dump(mode="json"), scan=True)
    for clip in plan.accepted:
        for node, recipe in plan.digests_of(clip).items():
            derive(plan, NodeKey.parse(f"{clip}/{node}"), recipe)
    made = fresh.bytes()
    shutil.rmtree(fresh.folder)
    return made


def whole(project: Project, expected: dict[str, bytes]) -> None:
    """The clips of `expected` have these nodes and bytes, no file more, none half-written, and `verify` is content."""
    ours = project.bytes()
    clips = {tuple(path.split("/")[:2]) for path in expected}
    nodes = {p for p in ours if p.count("/") > 2 and tuple(p.split("/")[:2]) in clips}
    assert nodes == expected.keys()
    assert [p for p in nodes if ours[p] != expected[p]] == []
    staging = project.results / ".staging"
    assert not staging.is_dir() or not list(staging.iterdir())
    verified = project.gaitloom("verify")
    assert (verified.returncode, verified.stdout) == (0, ""), verified.stdout


def _film(project: Project, subject: str, seed: int) -> None:
    gait = ("normal", "shuffling", "toe_walking", "normal")[seed]
    Walk(gait=GAITS[gait], frames=6, size=(320, 180), seed=seed).write(project.data / f"{subject}_1.mp4")


def _weights(project: Project, seed: int) -> None:
    """Other weights at the same path."""
    made = onnx_nets.simcc(f"rebuild-{seed}.onnx", size=(48, 64), kernels=onnx_nets.spots(seed=seed))
    path = Path(shutil.copy(made["weights"], project.folder / "model.onnx"))
    options = project.config["nodes"]["keypoints"].setdefault("backend_options", {"min_score": 0})
    options |= {"weights": str(path), "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _profile(project: Project) -> Path:
    """The default profile, with other resources and cores."""
    folder = project.folder / "profile"
    folder.mkdir()
    more = "set-threads:\n  track: 2\nset-resources:\n  track:\n    mem_mb: 1500\n    runtime: 30\nlatency-wait: 7\n"
    (folder / "config.yaml").write_text((ROOT / "profiles/default/config.yaml").read_text() + more)
    return folder


def _touched(project: Project, run: Run) -> None:
    """A video with another time stamp is hashed again, and that is all."""
    video = project.data / "A_1.mp4"
    video.touch()
    before = scan.read_cache(project.results / "videos.tsv")["data/A_1.mp4"]
    step(project, run, set())
    after = scan.read_cache(project.results / "videos.tsv")["data/A_1.mp4"]
    assert after.mtime_ns == video.stat().st_mtime_ns != before.mtime_ns
    assert after.sha256 == before.sha256


def _copied(project: Project, run: Run) -> None:
    """The project on another machine: another folder, no time stamp kept, the weights at another path."""
    other = Project(Path(shutil.copytree(project.folder, f"{project.folder}-copy", copy_function=shutil.copy)))
    other.config = deepcopy(project.config)
    other.config["nodes"]["keypoints"]["backend_options"]["weights"] = str(other.folder / "model.onnx")
    step(other, run, set())
    shutil.rmtree(other.folder)


def _without_records(project: Project, run: Run) -> None:
    """Snakemake's records are lost: refused until `gaitloom reconcile` (which dates files anew), then only reported."""
    before = files(project)
    shutil.rmtree(project.folder / ".snakemake")
    refused = run(project)
    assert refused.returncode != 0
    assert "gaitloom reconcile" in refused.stdout + refused.stderr
    assert files(project) == before
    done = project.gaitloom("reconcile")
    assert done.returncode == 0, done.stderr
    after = files(project)
    assert before.keys() - after.keys() == {".reported"}
    assert all((after[p][0], after[p][2]) == (before[p][0], before[p][2]) for p in after)
    step(project, run, {REPORT})


def _bumped(project: Project) -> Path:
    """The Snakefile of a checkout whose finder has another version."""
    checkout = project.folder / "checkout"
    checkout.mkdir()
    for name in CHECKOUT:
        copy: Any = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, checkout / name)
    backend = checkout / "workflow/gaitloom/backends/track/blazepose.py"
    text, count = re.subn(r"\bversion=(\d+)", lambda found: f"version={int(found[1]) + 1}", backend.read_text())
    assert count == 1
    backend.write_text(text)
    return checkout / "Snakefile"
