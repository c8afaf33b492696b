"""Runs on a real Slurm of four nodes, two of them with a (fake) GPU, through `snakemake --profile slurm`."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import rebuild
import slurm
from project import ROOT, Project
from walker import Walk

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing())]

CHAIN = ("video", "track")  # as few levels as there can be: each waits for a look at the queue
GROUPED = ["--groups", *(f"{rule}=clip" for rule in (*CHAIN, "keypoints", "index", "preview"))]

# `python -m snakemake` that looks at the queue every 2 s: the plugin waits 10 s longer after each look in vain.
SNAKEMAKE = """
import asyncio
from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
RemoteExecutor.sleep = lambda self: asyncio.sleep(2)
main()
"""


class Cluster(slurm.Slurm):
    """The cluster, and how a user starts a run on it."""

    def environment(self) -> dict[str, str]:
        """That of a login node: Slurm's commands on the PATH, the profiles linked by `make profiles`."""
        path = f"{self.bin}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "XDG_CONFIG_HOME": f"{self.folder}/home", "NO_COLOR": "1"}

    def command(self, project: Project, *args: str) -> list[str]:
        """`snakemake --profile slurm`."""
        project.write_config()
        files = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml"]
        return [sys.executable, "-c", SNAKEMAKE, "--profile", "slurm", *files, "--latency-wait", "10", *args]

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
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background shells ignore it
            )

    def jobs(self, project: Project, *columns: str) -> list[dict[str, str]]:
        """What accounting knows of a project's jobs."""
        rows = self.accounts("WorkDir", "Comment", "State", "JobName", *columns)
        return [row for row in rows if row["WorkDir"] == str(project.folder)]

    def job(self, project: Project, rule: str, nodes: tuple[str, ...] = slurm.NODES) -> tuple[str, str]:
        """(job, node) of a running job of a rule on one of these nodes, as soon as there is one."""

        def found() -> list[tuple[str, str]]:
            ours = {row["JobID"] for row in self.jobs(project, "JobID")}
            running = [(job, node) for job, node, what in self.running() if f"rule_{rule}_" in what and job in ours]
            return [(job, node) for job, node in running if node in nodes]

        wait(found, 120)
        return found()[0]


def wait(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that a run does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def now() -> str:
    """The time as accounting writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S")


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
    """Twenty short walks."""
    folder = tmp_path_factory.mktemp("walks")
    paths = [folder / f"{number}.mp4" for number in range(20)]
    for seed, path in enumerate(paths):
        Walk(frames=6, size=(320, 180), seed=seed).write(path)
    return paths


@pytest.fixture(scope="module")
def truth(walks: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What every file of these clips' nodes holds when they are made on this machine, without Slurm."""
    return rebuild.by_hand(clips(tmp_path_factory.mktemp("truth"), walks))


def clips(folder: Path, walks: list[Path]) -> Project:
    """A project of these videos."""
    project = Project(folder)
    project.config["nodes"] = {"track": {"backend": "blazepose"}}
    for number, walk in enumerate(walks, 1):
        project.add(walk, f"S{number}_1.mp4")
    return project


def of(truth: dict[str, bytes], *subjects: str) -> dict[str, bytes]:
    """The part of the truth that is about these subjects."""
    return {path: content for path, content in truth.items() if path.split("/")[0] in subjects}


def test_twenty_clips_a_cancelled_job_a_drained_node_and_a_dead_node(
    cluster: Cluster, walks: list[Path], truth: dict[str, bytes], tmp_path: Path
) -> None:
    """All in one run, which completes by its retries: jobs get what they ask for, GPU rules land on GPU nodes, nothing
    begins on the drained node or ends well on the dead one, and no byte differs.
    """
    project = clips(tmp_path, walks)
    account = ["--default-resources", "slurm_account=lab"]
    seen = ["--groups", "index=seen", "preview=seen"]
    run = cluster.begin(project, "--jobs", "8", "--set-resources", "track:gpu=1", *account, *seen)
    drained = dead = None
    try:
        _, drained = cluster.job(project, "video", slurm.NODES[:2])
        cluster.run("scontrol", "update", f"nodename={drained}", "state=drain", "reason=test")
        drained_at = now()
        cancelled, _ = cluster.job(project, "track")
        cluster.run("scancel", cancelled)
        wait(lambda: cancelled not in [job for job, _, _ in cluster.running()])
        _, dead = cluster.job(project, "track")
        cluster.kill_node(dead)
        dead_at = now()
        assert run.wait(timeout=600) == 0, (project.folder / "run.log").read_text()[-3000:]
    finally:
        run.kill()
        if drained:
            cluster.run("scontrol", "update", f"nodename={drained}", "state=resume")
        if dead:
            cluster.start_node(dead)
    rebuild.whole(project, truth)
    assert {s for s, _ in project.ledger().values()} == {"done"}
    asked = ("ReqMem", "AllocCPUS", "AllocTRES", "Timelimit")
    jobs = cluster.jobs(project, "NodeList", "Account", "JobID", "Start", *asked)
    (name,) = {job["JobName"] for job in jobs}
    assert f"SLURM run ID: {name}" in (project.folder / "run.log").read_text()
    assert {job["Account"] for job in jobs} == {"lab"}
    (again,) = [job for job in jobs if job["JobID"] == cancelled]
    assert again["State"].startswith("CANCELLED")
    assert "NODE_FAIL" in {job["State"] for job in jobs if job["NodeList"] == dead}
    assert all(job["Start"] <= drained_at for job in jobs if job["NodeList"] == drained)
    assert all(job["State"] != "COMPLETED" for job in jobs if job["NodeList"] == dead and job["Start"] > dead_at)
    for rule in CHAIN:
        for number in range(1, 21):
            tries = [job for job in jobs if job["Comment"] == f"rule_{rule}_wildcards_S{number}_trial-1"]
            assert [job["State"] for job in tries].count("COMPLETED") == 1
            limits = [("1G", "00:16:00"), ("2G", "00:32:00"), ("3G", "00:48:00")]
            assert [(job["ReqMem"], job["Timelimit"]) for job in tries] == limits[: len(tries)]
            assert {job["AllocCPUS"] for job in tries} == {"1"}
            assert {"gres/gpu=1" in job["AllocTRES"] for job in tries} == {rule == "track"}
            assert rule != "track" or {job["NodeList"] for job in tries} <= {*slurm.GPU_NODES}
    (report,) = (project.results / "logs/slurm").glob("efficiency_report_*.csv")
    with report.open() as file:
        assert {row["RuleName"].split("_")[1] for row in csv.DictReader(file)} >= {*CHAIN, "report"}
    assert "Nothing to be done" in cluster.snakemake(project).stderr
    assert project.plan() == {}, "nor without Slurm"
    wait(lambda: cluster.states().count("idle") == len(slurm.NODES))


def test_interrupted_and_killed_snakemake(
    cluster: Cluster, walks: list[Path], truth: dict[str, bytes], tmp_path: Path
) -> None:
    """kill -9 leaves jobs running; after `gaitloom unlock` the same command completes beside them, with the same bytes.
    Ctrl-C leaves none.
    """
    project = clips(tmp_path, walks[:1])
    run = cluster.begin(project)
    cluster.job(project, "video")
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=60) != 0
    wait(lambda: not cluster.running(), 20)
    run = cluster.begin(project)
    job, _ = cluster.job(project, "track")
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert job in [each for each, _, _ in cluster.running()]
    refused = cluster.snakemake(project)
    assert refused.returncode != 0 and "LockException" in refused.stderr
    assert project.gaitloom("unlock").returncode == 0
    done = cluster.snakemake(project)
    assert done.returncode == 0, done.stderr[-3000:]
    wait(lambda: not cluster.running())
    rebuild.whole(project, of(truth, "S1"))
    assert {s for s, _ in project.ledger().values()} == {"done"}


def test_incremental_rebuild(cluster: Cluster, tmp_path: Path) -> None:
    """A store that was begun without Slurm; one Slurm job a clip, and one for the report."""
    project = rebuild.project(tmp_path / "project")
    project.run()
    rebuild.prove(project, lambda project, *args: cluster.snakemake(project, *GROUPED, *args))
    assert {job["State"] for job in cluster.jobs(project)} == {"COMPLETED"}


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
    cluster: Cluster, walks: list[Path], truth: dict[str, bytes], tmp_path: Path
) -> None:
    project = clips(tmp_path, walks[:2])
    project.sheet("video | start | end\n S1_1.mp4 | 0 | 999")
    done = cluster.snakemake(project, "--retries", "0", *GROUPED)
    assert done.returncode != 0
    states = sorted(job["State"] for job in cluster.jobs(project))
    assert states == ["COMPLETED", "FAILED"], "one Slurm job a clip"
    ledger = project.ledger()
    assert {c for (c, _), (state, _) in ledger.items() if state == "done"} == {"S2/trial-1"}
    assert ledger["S1/trial-1", "video"][0] == "failed"
    assert "S1_1.mp4 has only 6 frames, but its segment ends at 999" in ledger["S1/trial-1", "video"][1]
    rebuild.whole(project, of(truth, "S2"))


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
