"""The commands as a person types them: what they print, and how they fail."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT, Project
from walker import Walk


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished run on one walk of two seconds."""
    project = Project(tmp_path_factory.mktemp("commands"))
    Walk(frames=60, size=(320, 180)).write(project.data / "S_1.mp4")
    project.run()
    return project


@pytest.fixture
def done(finished: Project, tmp_path: Path) -> Project:
    """A copy of it."""
    shutil.copytree(finished.folder, tmp_path / "copy", symlinks=True)
    return Project(tmp_path / "copy")


def test_status_says_what_changed(done: Project) -> None:
    done.config["nodes"]["track"]["backend_options"] = {"min_score": 0.6}
    lines = done.gaitloom("status", "--tsv").stdout.splitlines()
    assert lines[0] == "clip\tnode\tstate\treason"
    rows = {line.split("\t")[1]: line.split("\t")[2:] for line in lines[1:]}
    assert rows["video"] == ["done", ""]
    assert rows["track"] == ["stale", "made with another backend_options.min_score"]
    assert rows["keypoints"] == ["stale", "made with another inputs.track"]
    verified = done.gaitloom("verify")
    assert verified.returncode == 1
    assert "S/trial-1/track is stale" in verified.stdout


def test_verify_drop_and_run_mend_a_flipped_byte(done: Project) -> None:
    before = done.bytes()
    chunk = done.store / "S/trial-1/keypoints/xy/c/0/0/0"
    damaged = bytearray(chunk.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    chunk.write_bytes(damaged)
    assert "S/trial-1/keypoints has a changed xy/c/0/0/0" in done.gaitloom("verify").stdout
    assert done.gaitloom("verify", "--drop").returncode == 1
    assert not (done.store / "S/trial-1/keypoints").exists()
    done.run()
    assert done.bytes() == before
    assert done.gaitloom("verify").returncode == 0


def test_passes_proposes_rows_that_the_sheet_takes(done: Project) -> None:
    rows = done.gaitloom("passes").stdout.splitlines()
    header, *walks = (row.split("\t") for row in rows)
    assert len(walks) == 1
    walk = dict(zip(header, walks[0], strict=True))
    assert (walk["video"], walk["direction"], walk["segment"]) == ("S_1.mp4", "right", "1")
    assert int(walk["end"]) - int(walk["start"]) >= 30
    kept = ("video", "subject", "segment", "start", "end")
    done.sheet("|".join(kept) + "\n" + "|".join(walk[k] for k in kept))
    assert done.plan()["keypoints"] == 1


def test_view_lists_clips_and_arrays(done: Project) -> None:
    assert "S/trial-1" in done.gaitloom("view").stdout
    shown = done.gaitloom("view", "S/trial-1").stdout
    assert re.search(r"xy\s+60x33x2 float32 pixel", shown)
    assert "results/preview/S/trial-1.mp4" in shown


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("view", "S/trial-9"), "'S/trial-9' is not a clip of the plan; `gaitloom view` lists them."),
        (("passes", "nobody"), "'nobody' is not a clip of the plan"),
        (("derive", "S/trial-1", "--recipe", "0"), "'S/trial-1' is not a node; write subject/clip/node"),
        (("derive", "S/trial-1/track", "--recipe", "0"), "The recipe of S/trial-1/track changed since"),
        (("index", "S/trial-9"), "'S/trial-9' is not a clip of the plan"),
    ],
)
def test_errors_are_one_sentence(finished: Project, args: tuple[str, ...], sentence: str) -> None:
    done = finished.gaitloom(*args)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_debug_shows_the_traceback(finished: Project) -> None:
    command = [sys.executable, "-m", "gaitloom", "--debug", "view", "--config", "nothing.yaml"]
    done = subprocess.run(command, cwd=finished.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "There is no configuration at nothing.yaml" in done.stderr


def test_help_names_every_command() -> None:
    done = subprocess.run([sys.executable, "-m", "gaitloom", "--help"], capture_output=True, text=True, check=True)
    known = "scan passes derive index verify reconcile status view preview audit review unlock"
    for command in known.split():
        assert re.search(rf"\b{command}\b", done.stdout), command


def test_make_says_which_python_to_install(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "make", "rm", "sed", "grep"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    for broken in ("python3.12", "python3"):  # on the PATH, but not able to run
        (tools / broken).write_text("#!/bin/sh\nexit 127\n")
        (tools / broken).chmod(0o755)
    command = ["make", "env", f"VENV={tmp_path}/venv"]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": str(tools)}, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "GaitLoom needs Python 3.11 or 3.12 with its venv module; install one" in done.stderr
    assert not (tmp_path / "venv").exists()
