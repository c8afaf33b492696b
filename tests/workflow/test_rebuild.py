"""Incremental rebuild with the default executor, and faults that the proof must see."""

import shutil
import subprocess
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import rebuild
from project import Project


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project whose run is done."""
    project = rebuild.project(tmp_path_factory.mktemp("rebuild") / "project")
    project.run()
    return project


@pytest.fixture
def done(finished: Project, tmp_path: Path) -> Project:
    """A copy of it."""
    project = Project(Path(shutil.copytree(finished.folder, tmp_path / "project", symlinks=True)))
    project.config = deepcopy(finished.config)
    return project


def other_bytes(project: Project) -> None:
    path = project.store / rebuild.A / "video/time/c/0"
    path.write_bytes(path.read_bytes() + b"0")


def same_bytes(project: Project) -> None:
    path = project.store / rebuild.A / "video/zarr.json"
    text = path.read_text()
    path.unlink()
    path.write_text(text)


def no_file(project: Project) -> None:
    (project.store / rebuild.B / "track/zarr.json").unlink()


@pytest.mark.parametrize("fault", [other_bytes, same_bytes, no_file])
def test_a_run_that_changes_a_node_without_a_job_is_seen(done: Project, fault: Callable[[Project], None]) -> None:
    def run(project: Project, *args: str) -> subprocess.CompletedProcess[str]:
        finished = project.snakemake(*args)
        fault(project)
        return finished

    with pytest.raises(AssertionError):
        rebuild.step(done, run, set())


def test_a_job_too_many_is_seen(done: Project) -> None:
    with pytest.raises(AssertionError):
        rebuild.step(done, Project.snakemake, set(), "--forcerun", "report")


def test_every_change_remakes_what_it_must(done: Project) -> None:
    rebuild.prove(done, Project.snakemake)
