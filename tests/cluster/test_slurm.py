"""Runs on a real Slurm of four nodes, two of them with a (fake) GPU, through `snakemake --profile slurm`."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import slurm
from project import ROOT, Project
from walker import Walk

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing())]

CHAIN = ("video", "track")  # as few levels as there can be: each waits for a look at the queue
GROUPED = [f"{rule}=clip" for rule in (*CHAIN, "index", "preview")]


class Cluster(slurm.Slurm):
    """The cluster, and how a user starts a run on it."""

    def environment(self) -> dict[str, str]:
        """That of a login node: Slurm's commands on the PATH, the profiles linked by `make profiles`."""
        path = f"{self.bin}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "XDG_CONFIG_HOME": f"{self.folder}/home", "NO_COLOR": "1"}

    def command(self, project: Project, *args: str) -> list[str]:
        """`snakemake --profile slurm`, with looks at the queue that come sooner than the profile's."""
        project.write_config()
        files = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml"]
        sooner = ["--slurm-init-seconds-before-status-checks", "6", "--latency-wait", "10"]
        return [sys.executable, "-m", "snakemake", "--profile", "slurm", *files, *sooner, *args]

    def snakemake(self, project: Project, *args: str) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        command = self.command(project, *args)
        return subprocess.run(
            command, cwd=project.folder, env=self.environment(), capture_output=True, text=True, check=False
        )

    def begin(self, project: Project, *args: str) -> subprocess.Popen[str]:
        """Begin a run; what it says goes to run.log."""
        with (project.folder / "run.log").open("w") as log:
            return subprocess.Popen(
                self.command(project, *args),
                cwd=project.folder,
                env=self.environment(),
                stdout=log,
                stderr=log,
                text=True,
            )

    def jobs(self, project: Project, *columns: str) -> list[dict[str, str]]:
        """What accounting knows of a project's jobs."""
        rows = self.accounts("WorkDir", "Comment", "State", "JobName", *columns)
        return [row for row in rows if row["WorkDir"] == str(project.folder)]

    def job(self, project: Project, rule: str, seconds: float = 60) -> tuple[str, str]:
        """(job, node) of a running job of a rule, as soon as there is one."""

        def found() -> list[tuple[str, str]]:
            ours = {row["JobID"] for row in self.jobs(project, "JobID")}
            return [(job, node) for job, node, what in self.running() if f"rule_{rule}_" in what and job in ours]

        wait(found, seconds)
        return found()[0]


def wait(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that a run does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster, for the whole file."""
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    before = {p.pid for p in psutil.process_iter()}
    try:
        cluster.start()
        subprocess.run(["make", "--silent", "profiles"], cwd=ROOT, env=cluster.environment(), check=True)
        yield cluster
    finally:
        cluster.stop()
    left = [p for p in psutil.process_iter(["cmdline"]) if p.pid not in before]
    assert not [p for p in left if str(cluster.folder) in " ".join(p.info["cmdline"] or ())], "all that began has ended"


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four short walks."""
    folder = tmp_path_factory.mktemp("walks")
    paths = [folder / f"{number}.mp4" for number in range(4)]
    for seed, path in enumerate(paths):
        Walk(frames=6, size=(320, 180), seed=seed).write(path)
    return paths


@pytest.fixture(scope="module")
def local(walks: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same clips, made without Slurm: the truth that every run must come to."""
    project = clips(tmp_path_factory.mktemp("local"), walks)
    project.run()
    return project


def clips(folder: Path, walks: list[Path]) -> Project:
    """A project of these videos."""
    project = Project(folder)
    project.config["nodes"] = {"track": {"backend": "blazepose"}}
    for number, walk in enumerate(walks, 1):
        project.add(walk, f"S{number}_1.mp4")
    return project


def same(project: Project, local: Project, *left_out: str) -> None:
    """Every node is whole and has the bytes that it has without Slurm, and nothing half-written lies about."""
    ours, theirs = (
        {p: b for p, b in run.bytes().items() if p.count("/") > 2 and not p.startswith(left_out)}
        for run in (project, local)
    )
    assert sorted(ours) == sorted(theirs)
    assert [p for p in ours if ours[p] != theirs[p]] == []
    staging = project.results / ".staging"
    assert not staging.is_dir() or not list(staging.iterdir())


def test_four_clips(cluster: Cluster, walks: list[Path], local: Project, tmp_path: Path) -> None:
    """The profile really submits, rules get what they ask for, GPU rules land on GPU nodes, and no byte differs."""
    project = clips(tmp_path, walks)
    done = cluster.snakemake(project, "--set-resources", "track:gpu=1", "--default-resources", "slurm_account=lab")
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = re.findall(r"SLURM run ID: (\S+)", done.stderr)
    jobs = cluster.jobs(project, "ReqMem", "AllocCPUS", "AllocTRES", "Timelimit", "NodeList", "Account")
    assert len(jobs) == 4 * 4 + 1, "every rule of every clip was a job of its own"
    assert {(j["JobName"], j["State"], j["Account"]) for j in jobs} == {(run, "COMPLETED", "lab")}
    assert {s for s, _ in project.ledger().values()} == {"done"}
    same(project, local)
    for job in jobs:
        if job["Comment"] == "rule_report":
            continue
        wanted = "1000M" if "rule_index" in job["Comment"] else "1G"  # 1000 MB, and 400 a megapixel of 320x180
        assert (job["ReqMem"], job["AllocCPUS"], job["Timelimit"]) == (wanted, "1", "00:16:00"), job
        gpu = "rule_track" in job["Comment"]
        assert ("gres/gpu=1" in job["AllocTRES"]) == gpu, job
        assert not gpu or job["NodeList"] in slurm.GPU_NODES, job
    (report,) = (project.results / "logs/slurm").glob("efficiency_report_*.csv")
    with report.open() as file:
        assert {row["RuleName"].split("_")[1] for row in csv.DictReader(file)} == {*CHAIN, "index", "preview", "report"}
    again = cluster.snakemake(project)
    assert "Nothing to be done" in again.stderr
    assert project.plan() == {}, "nor without Slurm"


def test_a_bad_clip_a_cancelled_job_a_drained_node_and_a_dead_node(
    cluster: Cluster, walks: list[Path], local: Project, tmp_path: Path
) -> None:
    """All at once: the other clips complete, elsewhere or again, and the ledger says what became of the bad one."""
    project = clips(tmp_path, walks)
    project.sheet("video | start | end\n S4_1.mp4 | 0 | 999")
    run = cluster.begin(project, "--retries", "2")
    try:
        _, drained = cluster.job(project, "video")
        cluster.run("scontrol", "update", f"nodename={drained}", "state=drain", "reason=test")
        cancelled, _ = cluster.job(project, "track", 120)
        cluster.run("scancel", cancelled)
        _, dead = cluster.job(project, "track", 120)
        cluster.kill_node(dead)
        assert run.wait(timeout=300) != 0, "one clip cannot be made"
    finally:
        run.kill()
        cluster.run("scontrol", "update", f"nodename={drained}", "state=resume")
        cluster.start_node(dead)
    jobs = cluster.jobs(project, "ReqMem", "NodeList")
    states = [job["State"].split()[0] for job in jobs]
    assert states.count("CANCELLED") == 1
    assert states.count("NODE_FAIL") >= 1
    bad = [job for job in jobs if job["Comment"] == "rule_video_wildcards_S4_trial-1"]
    assert [job["ReqMem"] for job in bad] == ["1G", "2G", "3G"], "once, and two retries that are given more"
    assert not [job for job in jobs[states.index("NODE_FAIL") + states.count("NODE_FAIL") :] if job["NodeList"] == dead]
    ledger = project.ledger()
    assert {k for k, (state, _) in ledger.items() if state != "done"} == {("S4/trial-1", node) for node in CHAIN}
    assert ledger["S4/trial-1", "video"][0] == "failed"
    assert "S4_1.mp4 has only 6 frames, but its segment ends at 999" in ledger["S4/trial-1", "video"][1]
    same(project, local, "S4/")
    assert dead != drained
    wait(lambda: cluster.states().count("idle") == len(slurm.NODES))


def test_interrupted_and_killed_snakemake(cluster: Cluster, walks: list[Path], local: Project, tmp_path: Path) -> None:
    """kill -9 leaves jobs running; after --unlock the same command completes beside them, with the same bytes. Ctrl-C
    leaves none.
    """
    project = clips(tmp_path, walks[:1])
    run = cluster.begin(project)
    cluster.job(project, "video", 120)
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=60) != 0
    wait(lambda: not cluster.running(), 20)
    run = cluster.begin(project)
    job, _ = cluster.job(project, "track", 120)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert job in [each for each, _, _ in cluster.running()]
    refused = cluster.snakemake(project)
    assert refused.returncode != 0 and "LockException" in refused.stderr
    assert cluster.snakemake(project, "--unlock").returncode == 0
    done = cluster.snakemake(project)
    assert done.returncode == 0, done.stderr[-3000:]
    wait(lambda: not cluster.running())
    same(project, local, "S2/", "S3/", "S4/")
    assert {s for s, _ in project.ledger().values()} == {"done"}
    assert project.gaitloom("verify").returncode == 0


def test_a_job_over_its_memory_is_given_more(cluster: Cluster, walks: list[Path], tmp_path: Path) -> None:
    project = clips(tmp_path, walks[:1])
    target = "results/store.zarr/S1/trial-1/video/zarr.json"
    done = cluster.snakemake(project, target, "--set-resources", "video:mem_mb=20 + 980 * (attempt - 1)")
    assert done.returncode == 0, done.stderr[-3000:]
    jobs = cluster.jobs(project, "ReqMem")
    assert [job["ReqMem"] for job in jobs] == ["20M", "1000M"]
    assert jobs[0]["State"] != "COMPLETED" and jobs[1]["State"] == "COMPLETED"
    assert (project.folder / target).is_file()


def test_a_group_a_clip_keeps_a_bad_clip_to_itself(
    cluster: Cluster, walks: list[Path], local: Project, tmp_path: Path
) -> None:
    project = clips(tmp_path, walks[:2])
    project.sheet("video | start | end\n S1_1.mp4 | 0 | 999")
    done = cluster.snakemake(project, "--retries", "0", "--groups", *GROUPED)
    assert done.returncode != 0
    states = sorted(job["State"] for job in cluster.jobs(project))
    assert states == ["COMPLETED", "FAILED"], "one Slurm job a clip"
    assert {c for (c, _), (state, _) in project.ledger().items() if state == "done"} == {"S2/trial-1"}
    same(project, local, "S1/", "S3/", "S4/")


@pytest.mark.parametrize(
    ("args", "tools", "sentence"),
    [
        (["slurm_partition=night"], {}, "Slurm has no partition 'night'; choose one of: cpu, gpu."),
        (["gpu=1"], {"sinfo": "echo 'cpu (null)'"}, "A GPU is asked for, and no node of this Slurm has one"),
        (["mem_mb=9"], {"sinfo": "echo 'Unable to contact' >&2; false"}, "Slurm does not answer (Unable to contact)"),
        (["mem_mb=9"], {"sbatch": ""}, "There is no sbatch on the PATH; run on a login node of the cluster"),
    ],
)
def test_bad_input_is_one_sentence(
    cluster: Cluster, walks: list[Path], tmp_path: Path, args: list[str], tools: dict[str, str], sentence: str
) -> None:
    project = clips(tmp_path, walks[:1])
    folder = tmp_path / "bin"
    shutil.copytree(cluster.bin, folder)
    for tool, script in tools.items():
        (folder / tool).unlink()
        if script:
            (folder / tool).write_text(f"#!/bin/sh\n{script}\n")
            (folder / tool).chmod(0o755)
    basic = tmp_path / "basic"
    basic.mkdir()
    for tool in ("bash", "sh", "which", "env"):
        (basic / tool).symlink_to(str(shutil.which(tool)))
    done = subprocess.run(
        cluster.command(project, "--set-resources", *(f"track:{arg}" for arg in args)),
        cwd=project.folder,
        env={**cluster.environment(), "PATH": f"{folder}:{basic}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not cluster.jobs(project)
