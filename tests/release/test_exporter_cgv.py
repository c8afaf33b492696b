"""ChildGait-Video's frame records: JSON Lines and Parquet, by their own readers and against what the walker knows."""

import json
import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gaitloom.exchange import Person, cgv
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.release.dataset import Dataset
from gaitloom.release.exporters import find
from pyarrow import parquet
from walker import Walk

from . import exported, sample

EXPORTER = find("cgv")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return sample.dataset(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def made(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unzipped(dataset, tmp_path_factory.mktemp("made"))


def unzipped(dataset: Dataset, folder: Path) -> Path:
    for archive in sorted(exported.export(dataset, "cgv", folder / "archives").iterdir()):
        shutil.copytree(archive, folder / "all", dirs_exist_ok=True)
    return folder / "all"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def faults(records: list[dict[str, Any]], walk: Walk) -> list[str]:
    """What is wrong with one clip's records."""
    if [r["frame_index"] for r in records] != list(range(records[0]["video_info"]["total_frames"])):
        return ["frames are missing or out of order"]
    if len(records) != sample.LENGTH:
        return ["another clip's length"]
    found = []
    for record in records:
        t = record["frame_index"]
        (person,) = record["instance_info"]
        if not np.allclose(person["keypoints"], walk.keypoints[t], atol=1e-3):
            found.append(f"frame {t}: keypoints differ")
        if not np.allclose(person["bbox"][0], walk.box[t], atol=1e-3):
            found.append(f"frame {t}: bbox differs")
        if not np.allclose(person["keypoint_scores"], 0.9) or abs(record["time"] - t / sample.FPS) > 1e-6:
            found.append(f"frame {t}: scores or time differ")
    return found


def all_faults(dataset: Dataset, folder: Path) -> list[str]:
    found = []
    for path, walk in exported.walks(dataset).items():
        shard = folder / "jsonl" / f"{path}.jsonl"
        found += faults(lines(shard), walk) if shard.is_file() else [f"{path} is missing"]
    return found


def test_every_record_is_true(dataset: Dataset, made: Path) -> None:
    assert all_faults(dataset, made) == []
    for source in dataset.sources():
        first = lines(made / "jsonl" / f"{source.entry.path}.jsonl")[0]
        assert first["keypoint_format"] == "coco_wholebody_23" and len(first["instance_info"][0]["keypoints"]) == 23
        assert first["video_info"] == {
            "video_name": f"{source.entry.path.replace('/', '_')}.mp4",
            "width": 160,
            "height": 120,
            "fps": 20.0,
            "fps_exact": "20/1",
            "total_frames": 40,
        }


def test_parquet_has_the_same_rows(dataset: Dataset, made: Path) -> None:
    schemas = set()
    for entry in dataset.entries:
        table = parquet.read_table(made / "parquet" / f"{entry.path}.parquet")
        schemas.add(str(table.schema))
        assert table.to_pylist() == lines(made / "jsonl" / f"{entry.path}.jsonl")
    assert len(schemas) == 1


@pytest.mark.parametrize(("how", "folder"), [("json", "jsonl"), ("parquet", "parquet")])
def test_hugging_face_opens_all_shards(dataset: Dataset, made: Path, tmp_path: Path, how: str, folder: str) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    rows: Any = load_dataset(how, data_dir=str(made / folder), split="train", cache_dir=str(tmp_path))
    assert len(rows) == 160
    by_video: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_video.setdefault(row["video_info"]["video_name"], []).append(row)
    for path, walk in exported.walks(dataset).items():
        assert faults(by_video[f"{path.replace('/', '_')}.mp4"], walk) == []


def test_our_own_reader_takes_it_back(dataset: Dataset, made: Path) -> None:
    for source in dataset.sources():
        person = cgv.read(made / "jsonl" / f"{source.entry.path}.jsonl", source.length, source.size)
        node = source.open("keypoints")
        np.testing.assert_array_equal(person.xy, node.load("xy_23"))
        np.testing.assert_array_equal(person.score, node.load("score_23"))


DEFECTS: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], str]] = {
    "a lost record": (lambda rows: rows.pop(5), "missing or out of order"),
    "a lost end": (lambda rows: rows.pop(), "missing or out of order"),
    "shifted people": (
        lambda rows: [r.update(instance_info=i) for r, i in zip(rows, _shifted(rows), strict=True)],
        "keypoints differ",
    ),
    "left and right": (
        lambda rows: [_exchange(r["instance_info"][0]["keypoints"], i) for r in rows for i in range(1, 17, 2)],
        "keypoints differ",
    ),
    "x and y": (lambda rows: [k.reverse() for k in rows[9]["instance_info"][0]["keypoints"]], "frame 9: keypoints"),
    "a box as x, y, width, height": (
        lambda rows: rows[3]["instance_info"][0]["bbox"][0].__setitem__(2, 20.0),
        "frame 3: bbox differs",
    ),
}


def _shifted(rows: list[dict[str, Any]]) -> list[Any]:
    people = [r["instance_info"] for r in rows]
    return people[-1:] + people[:-1]


def _exchange(points: list[Any], i: int) -> None:
    points[i], points[i + 1] = points[i + 1], points[i]


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found(dataset: Dataset, made: Path, tmp_path: Path, defect: str) -> None:
    change, says = DEFECTS[defect]
    root = shutil.copytree(made, tmp_path / "all")
    path = sorted(root.rglob("*.jsonl"))[1]
    rows = lines(path)
    change(rows)
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert says in all_faults(dataset, root)[0]
    path.unlink()
    assert "is missing" in all_faults(dataset, root)[0]


def test_frames_that_are_not_valid_have_nobody(dataset: Dataset, tmp_path: Path) -> None:
    with exported.nobody():
        folder = unzipped(dataset, tmp_path)
    for path in sorted(folder.rglob("*.jsonl")):
        rows = lines(path)
        assert [r["frame_index"] for r in rows if not r["instance_info"]] == list(exported.GONE)
        assert parquet.read_table(next(folder.rglob(f"{path.parent.name}/{path.stem}.parquet"))).to_pylist() == rows


def test_without_a_track_there_is_no_box(dataset: Dataset, tmp_path: Path) -> None:
    few = sample.dataset(dataset.plan.config.results.parent, "open")
    folder = unzipped(few, tmp_path)
    rows = lines(next(folder.rglob("*.jsonl")))
    assert all("bbox" not in r["instance_info"][0] for r in rows)
    shard = parquet.read_table(next(folder.rglob("*.parquet"))).to_pylist()
    assert shard[0]["instance_info"][0]["bbox"] is None


@pytest.mark.parametrize(
    ("fps", "number", "exact"),
    [(Fraction(60), 60.0, "60/1"), (Fraction(60000, 1001), 59.94005994005994, "60000/1001")],
)
def test_the_rate_is_not_cut_off(fps: Fraction, number: float, exact: str) -> None:
    nobody = Person(np.full((1, 23, 2), np.nan, np.float32), np.zeros((1, 23), np.float32), WHOLEBODY_23.points)
    (record,) = cgv.records(nobody, (4, 3), fps, "v.mp4")
    assert record["video_info"]["fps"] == number and type(record["video_info"]["fps"]) is float
    assert record["video_info"]["fps_exact"] == exact and "time" not in record


def test_equal_bytes_and_released_names_alone(dataset: Dataset, made: Path, tmp_path: Path) -> None:
    files = exported.files(made)
    assert exported.files(unzipped(dataset, tmp_path)) == files and len(files) == 9
    everything = b"".join(files.values()) + " ".join(files).encode()
    for word in (*sample.SUBJECTS, sample.SESSION):
        assert word.encode() not in everything


def test_manual_nodes_win(dataset: Dataset) -> None:
    with exported.corrected(dataset, "keypoints") as both:
        assert list(EXPORTER.refused(both)) == ["keypoints"]
    assert EXPORTER.refused(dataset) == {}
