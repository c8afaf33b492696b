"""AlphaPose's results, read back by the reader of AlphaPose's own files and held against the walker."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gaitloom.agreement import MIRROR
from gaitloom.errors import GaitloomError
from gaitloom.exchange import alphapose
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.release import exporters
from gaitloom.release.dataset import Dataset

from . import sample
from .exported import GONE, corrected, export, files, nobody, walks

FILE = "alphapose-results.json"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return sample.dataset(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def exported(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(dataset, "alphapose", tmp_path_factory.mktemp("out") / "alphapose") / "data"


def wrong(folder: Path, dataset: Dataset) -> list[str]:
    """Clips whose file does not show the walker in every frame."""
    found = []
    for path, walk in walks(dataset).items():
        try:
            who = alphapose.read_results(folder / path / FILE, sample.LENGTH)
        except GaitloomError:
            found.append(path)
            continue
        same = who.names == WHOLEBODY_23.points and who.valid.all()
        if not same or not np.array_equal(who.xy, walk.keypoints.astype(np.float32)):
            found.append(path)
    return found


def test_it_reads_back_as_the_walker(dataset: Dataset, exported: Path) -> None:
    assert wrong(exported, dataset) == []
    for path, walk in walks(dataset).items():
        who = alphapose.read_results(exported / path / FILE, sample.LENGTH)
        assert who.box is not None
        np.testing.assert_array_equal(who.box, walk.box.astype(np.float32))
        entries = json.loads((exported / path / FILE).read_text())
        assert [e["image_id"] for e in entries] == [f"{t}.jpg" for t in range(sample.LENGTH)]
        # AlphaPose's own formula: mean and 1.25 of the greatest of its points' scores (0.9), and its box's (0.9).
        np.testing.assert_allclose([e["score"] for e in entries], 0.9 + 1.25 * 0.9 + 0.9, rtol=1e-6)


def test_the_index_names_files_points_and_methods(dataset: Dataset, exported: Path) -> None:
    clips = json.loads((exported / "index.json").read_text())["clips"]
    assert [c["file"] for c in clips] == [f"{e.path}/{FILE}" for e in dataset.entries]
    assert {p for p in files(exported) if p != "index.json"} == {c["file"] for c in clips}
    for clip in clips:
        assert clip["keypoint_names"] == list(WHOLEBODY_23.points) and clip["frames"] == sample.LENGTH
        assert clip["nodes"]["keypoints"]["backend"] == "blazepose"
    text = json.dumps(clips)
    assert not any(name in text for name in (*sample.SUBJECTS, sample.SESSION))


@pytest.mark.parametrize("fault", ["missing", "shifted", "swapped", "long"])
def test_planted_faults_are_found(dataset: Dataset, exported: Path, tmp_path: Path, fault: str) -> None:
    for name, data in files(exported).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    bad = dataset.entries[2].path
    entries: list[dict[str, Any]] = json.loads((tmp_path / bad / FILE).read_text())
    if fault == "missing":
        (tmp_path / bad / FILE).unlink()
    else:
        for t, entry in enumerate(entries):
            if fault == "shifted":
                entry["image_id"] = f"{(t + 1) % sample.LENGTH}.jpg"
            elif fault == "swapped":
                entry["keypoints"] = np.reshape(entry["keypoints"], (23, 3))[MIRROR].ravel().tolist()
        entries += [{**entries[0], "image_id": f"{sample.LENGTH}.jpg"}] * (fault == "long")
        (tmp_path / bad / FILE).write_text(json.dumps(entries))
    assert wrong(tmp_path, dataset) == [bad]


def test_frames_without_anybody_have_no_entry(dataset: Dataset, tmp_path: Path) -> None:
    with nobody():
        folder = export(dataset, "alphapose", tmp_path) / "data"
    for entry in dataset.entries:
        shown = {int(e["image_id"][:-4]) for e in json.loads((folder / entry.path / FILE).read_text())}
        assert shown == set(range(sample.LENGTH)) - set(GONE)


def test_boxes_leave_only_with_the_track(tmp_path: Path) -> None:
    dataset = sample.dataset(tmp_path / "lab", "open")
    folder = export(dataset, "alphapose", tmp_path / "out") / "data"
    for entry in dataset.entries:
        assert all("box" not in e for e in json.loads((folder / entry.path / FILE).read_text()))
    assert wrong(folder, dataset) == []


def test_corrections_stand_for_what_they_correct(dataset: Dataset, tmp_path: Path) -> None:
    with corrected(dataset, "keypoints") as changed:
        folder = export(changed, "alphapose", tmp_path) / "data"
        assert "keypoints_manual" in exporters.find("alphapose").refused(changed)["keypoints"]
    clips = json.loads((folder / "index.json").read_text())["clips"]
    assert [list(c["nodes"]) for c in clips] == [["keypoints_manual"]] * 4
    first = alphapose.read_results(folder / dataset.entries[0].path / FILE, sample.LENGTH)
    assert first.box is not None and np.isfinite(first.box).all()  # by the track below the corrected node


def test_the_same_bytes_again(dataset: Dataset, exported: Path, tmp_path: Path) -> None:
    assert files(export(dataset, "alphapose", tmp_path) / "data") == files(exported)
