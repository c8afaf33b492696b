"""`snakemake release`, driven as a laboratory does: from videos to a release that other people open."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from project import Project
from walker import GAITS, Walk

PEOPLE = ("BertaMuster", "CarlBeispiel", "DoraExempel")
RELEASE: dict[str, Any] = {
    "name": "walks",
    "title": "Walks",
    "version": "1.0.0",
    "date": "2026-11-20",
    "description": "Synthetic walks.",
    "creators": [{"name": "Loom, Gait"}],
    "publisher": "Institute of Examples",
    "contact": "gait@example.org",
    "participants": "participants.tsv",
    "keys": "release.key",
    "tiers": {"open": {"k": 1, "exporters": ["zarr", "alphapose"]}},
}


def participants(project: Project, people: tuple[str, ...]) -> None:
    columns = ["subject", "sex", "age", "patient", "consent", "consent_scope", "consent_version", "ethics"]
    rows = [columns, *([p, "F", "40", "no", "all", "open", "1", "E1"] for p in people)]
    (project.folder / "participants.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("walks")
    paths = [folder / f"{n}.mp4" for n in range(3)]
    for seed, path in enumerate(paths):
        Walk(gait=GAITS["normal"], frames=8, size=(320, 180), seed=seed).write(path)
    return paths


@pytest.fixture(scope="module")
def released(walks: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people, released."""
    project = Project(tmp_path_factory.mktemp("released"))
    for person, walk in zip(PEOPLE[:2], walks, strict=False):
        project.add(walk, f"{person}_20240517.mp4")
    participants(project, PEOPLE[:2])
    project.config["release"] = RELEASE
    done = project.snakemake("--quiet", "rules", "--", "release")
    assert done.returncode == 0, done.stderr[-3000:]
    return project.folder


@pytest.fixture
def project(released: Path, tmp_path: Path) -> Project:
    folder = tmp_path / "copy"
    shutil.copytree(released, folder, symlinks=True)
    project = Project(folder)
    project.config["release"] = json.loads(json.dumps(RELEASE))
    return project


def test_nothing_of_it_names_anybody(project: Project) -> None:
    folder = project.results / "releases/walks-1.0.0-open"
    assert sorted(p.name for p in (folder / "data").glob("*.zip"))
    unpacked = project.folder / "unpacked"
    for archive in (folder / "data").glob("*.zip"):
        shutil.unpack_archive(archive, unpacked / archive.stem)
    files = [p for root in (folder, unpacked) for p in root.rglob("*") if p.is_file()]
    assert len(files) > 30
    for path in files:
        data = path.read_bytes().lower()
        for word in (*PEOPLE, "20240517", str(project.folder), ".mp4_"):
            assert word.lower().encode() not in data, f"{word} is in {path}"
            assert word.lower() not in str(path.relative_to(project.folder)).lower()


def test_it_verifies_on_a_machine_without_the_store(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "downloaded"
    shutil.copytree(project.results / "releases/walks-1.0.0-open", folder)
    shutil.rmtree(project.folder)
    command = [sys.executable, "-m", "gaitloom", "release", "verify", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    archive = sorted((folder / "data").glob("*.zip"))[0]
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert archive.name in done.stdout + done.stderr


def test_nothing_is_done_twice(project: Project) -> None:
    assert project.plan("release") == Counter()


def test_a_new_video_exports_itself(project: Project, walks: list[Path]) -> None:
    project.add(walks[2], f"{PEOPLE[2]}_1.mp4")
    participants(project, PEOPLE)
    project.config["release"]["version"] = "1.1.0"
    assert project.plan("release") == Counter(
        {"video": 1, "track": 1, "keypoints": 1, "part_open": 1, "release_open": 1}
    )


def test_a_built_release_is_never_changed(project: Project, walks: list[Path]) -> None:
    folder = project.results / "releases/walks-1.0.0-open"
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    project.config["release"]["title"] = "Other walks"
    done = project.snakemake("--quiet", "rules", "--", "release")
    assert done.returncode != 0
    log = (project.results / "logs/release_open.log").read_text()
    assert log.count("\n") == 1
    assert "raise release.version" in log
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_who_withdrew_is_not_in_the_next_version(project: Project) -> None:
    done = project.gaitloom("withdraw", PEOPLE[1], "--yes")
    assert done.returncode == 0, done.stderr
    assert not (project.results / "releases/walks-1.0.0-open").exists()
    assert not list((project.results / "release").rglob(f"{PEOPLE[1]}*"))
    participants(project, PEOPLE[:1])
    (project.data / f"{PEOPLE[1]}_20240517.mp4").unlink()
    project.config["release"]["version"] = "1.1.0"
    done = project.snakemake("--quiet", "rules", "--", "release")
    assert done.returncode == 0, done.stderr[-3000:]
    folder = project.results / "releases/walks-1.1.0-open"
    rows = (folder / "data/clips.tsv").read_text().splitlines()
    assert len(rows) == 2
    old = (project.results / "releases/.withdrawn/walks-1.0.0-open/data/clips.tsv").read_text().splitlines()
    (gone,) = {row.split("\t")[0] for row in old[1:]} - {row.split("\t")[0] for row in rows[1:]}
    for path in (p for p in folder.rglob("*") if p.is_file()):
        assert gone.encode() not in path.read_bytes(), path


def test_without_a_release_it_says_so(project: Project) -> None:
    del project.config["release"]
    done = project.snakemake("--quiet", "rules", "--", "release")
    assert done.returncode != 0
    assert "The configuration has no table 'release'; see docs/releasing.md" in done.stdout + done.stderr
