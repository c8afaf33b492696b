"""kill -9 at random moments, then the same command: the run completes, with the bytes of an undisturbed run."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from project import Project
from walker import Walk


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of two clips whose run nobody disturbed."""
    project = Project(tmp_path_factory.mktemp("undisturbed"))
    for number in (1, 2):
        Walk(frames=20, size=(320, 180), seed=number).write(project.data / f"S_{number}.mp4")
    project.run()
    return project


@pytest.fixture
def fresh(undisturbed: Project, tmp_path: Path) -> Project:
    """The same project before its run."""
    project = Project(tmp_path)
    for video in sorted(undisturbed.data.iterdir()):
        project.add(video, video.name)
    return project


def start(project: Project, *args: str) -> subprocess.Popen[bytes]:
    """Begin a run and return at once."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(project.command("--quiet", "all", *args), cwd=project.folder, **quiet)


def jobs(run: subprocess.Popen[bytes]) -> Iterator[psutil.Process]:
    """The `gaitloom derive` processes of a run."""
    for child in psutil.Process(run.pid).children(recursive=True):
        try:
            if "derive" in child.cmdline() and "bash" not in child.name():
                yield child
        except psutil.NoSuchProcess:
            continue


def wait_until(run: subprocess.Popen[bytes], condition) -> None:
    """Wait for something that a run does."""
    while run.poll() is None and not condition():
        time.sleep(0.01)


def finish(project: Project, undisturbed: Project, by_hand: bool = False) -> None:
    """Release the lock (by hand, or as `make demo` does), run the same command, compare with the undisturbed run."""
    released = project.snakemake("--unlock") if by_hand else project.gaitloom("unlock")
    assert released.returncode == 0, released.stderr
    project.run()
    verified = project.gaitloom("verify")
    assert (verified.returncode, verified.stdout) == (0, "")
    assert {s for s, _ in project.ledger().values()} == {"done"}
    ours, theirs = project.bytes(), undisturbed.bytes()
    assert sorted(ours) == sorted(theirs)
    assert [p for p in ours if ours[p] != theirs[p]] == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("orphans", [False, True], ids=["all killed", "orphans go on"])
def test_killed_snakemake(fresh: Project, undisturbed: Project, seed: int, orphans: bool) -> None:
    moment = random.Random(f"{seed}{orphans}")
    run = start(fresh)
    wanted = moment.randrange(6)  # published nodes
    wait_until(run, lambda: len(list(fresh.store.glob("*/*/*/zarr.json"))) >= wanted and any(jobs(run)))
    time.sleep(moment.uniform(0, 0.09))
    children = psutil.Process(run.pid).children(recursive=True)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    if not orphans:
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):  # it may have ended by itself just now
                child.kill()
    finish(fresh, undisturbed, by_hand=not orphans)
    psutil.wait_procs(children)
    assert fresh.bytes() == undisturbed.bytes(), "an orphan that ends after the run changes nothing"


def test_a_live_run_keeps_its_lock(fresh: Project, undisturbed: Project) -> None:
    run = start(fresh)
    wait_until(run, lambda: any(jobs(run)))
    refused = fresh.gaitloom("unlock")
    assert refused.returncode == 1
    assert "A run is working on results" in refused.stderr
    assert run.wait() == 0
    assert fresh.bytes() == undisturbed.bytes()


def test_killed_job_is_retried(fresh: Project, undisturbed: Project) -> None:
    run = start(fresh, "--retries", "1")
    wait_until(run, lambda: any((fresh.results / ".staging").glob("*track*")))
    next(jobs(run)).kill()
    assert run.wait() == 0
    assert fresh.bytes() == undisturbed.bytes()
    assert not list((fresh.results / ".staging").iterdir())


def test_killed_job_without_retries_fails_and_the_next_run_completes(fresh: Project, undisturbed: Project) -> None:
    run = start(fresh)
    wait_until(run, lambda: any((fresh.results / ".staging").glob("*keypoints*")))
    next(jobs(run)).kill()
    assert run.wait() != 0
    states = [state for state, _ in fresh.ledger().values()]
    assert states.count("missing") == 1, "the other clip is done, the killed node is not"
    finish(fresh, undisturbed)
