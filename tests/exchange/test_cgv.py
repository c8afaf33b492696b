"""ChildGait-Video's records, by hand as on its card, and back from our own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gaitloom.exchange import cgv
from gaitloom.keypoint_formats import BLAZEPOSE_33, COCO_17, HALPE_26, OPENPOSE_18, WHOLEBODY_23, KeypointFormat

from .people import LENGTH, SIZE, boxes, person, refused, same

INFO = {"video_name": "0001-0001_backward_203-514.mp4", "width": 1920, "height": 1080, "fps": 59, "total_frames": 4}


def pose(count: int = 17, at: float = 100.0, **more: Any) -> dict[str, Any]:
    return {"keypoints": [[at + i, at / 2 + i] for i in range(count)], **more}


def record(frame: int, *people: Any, **more: Any) -> dict[str, Any]:
    return {"instance_info": list(people), "video_info": INFO, "frame_index": frame, **more}


def save(tmp_path: Path, records: Any, lines: bool = False) -> Path:
    path = tmp_path / "v.json"
    path.write_text("\n".join(map(json.dumps, records)) + "\n" if lines else json.dumps(records))
    return path


@pytest.mark.parametrize("lines", [False, True])
def test_records_by_hand(tmp_path: Path, lines: bool) -> None:
    scored = pose(keypoint_scores=[0.5] * 16 + [0], bbox=[[1.5, 2, 3, 4]], bbox_score=0.25)
    corner = pose()
    corner["keypoints"][3] = [0, 0]
    found = cgv.read(save(tmp_path, [record(2, scored), record(0, corner), record(1)], lines), 4, (1920, 1080))
    assert found.names == COCO_17.points and found.valid.tolist() == [True, False, True, False]
    assert found.xy[0, 5].tolist() == [105, 55] and found.score[0].tolist() == [1, 1, 1, 0] + [1] * 13
    assert np.isnan(found.xy[0, 3]).all()
    assert found.score[2].tolist() == [0.5] * 16 + [0] and np.isfinite(found.xy[2]).all()
    assert found.box is not None and found.box[2].tolist() == [1.5, 2, 3, 4] and np.isnan(found.box[0]).all()
    assert found.box_score is not None and found.box_score[2] == 0.25 and np.isnan(found.box_score[0])


def test_one_record_over_several_lines(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(json.dumps(record(3, pose()), indent=2))
    assert cgv.read(tmp_path / "v.json", 4, (1920, 1080)).valid.tolist() == [False] * 3 + [True]


@pytest.mark.parametrize(("count", "form"), [(17, COCO_17), (23, WHOLEBODY_23), (26, HALPE_26), (133, WHOLEBODY_23)])
def test_formats_by_count_and_name(tmp_path: Path, count: int, form: KeypointFormat) -> None:
    found = cgv.read(save(tmp_path, [record(0, pose(count))]), 4, (1920, 1080))
    assert found.names == form.points and found.xy[0, -1, 0] == 100 + len(form.points) - 1
    declared = {17: "coco_17", 23: "coco_wholebody_23", 26: "halpe_26", 133: "coco_wholebody_133"}[count]
    assert (
        cgv.read(save(tmp_path, [record(0, pose(count), keypoint_format=declared)]), 4, (1920, 1080)).names
        == form.points
    )
    with refused("v.json", "openpose_18"):
        cgv.read(save(tmp_path, [record(0, pose(count), keypoint_format="openpose_18")]), 4, (1920, 1080))


def test_the_subject_among_several(tmp_path: Path) -> None:
    one, two = pose(at=100, bbox=[[90, 40, 130, 80]]), pose(at=900)
    path = save(tmp_path, [record(0, two, one)])
    with refused(path, "frame 0 shows 2 people"):
        cgv.read(path, 4, (1920, 1080))
    box = np.full((4, 4), np.nan, np.float32)
    box[0] = 92, 42, 131, 80
    assert cgv.read(path, 4, (1920, 1080), box).xy[0, 0, 0] == 100
    box[0] = 899, 449, 917, 467
    assert cgv.read(path, 4, (1920, 1080), box).xy[0, 0, 0] == 900


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("form", [COCO_17, OPENPOSE_18, WHOLEBODY_23, HALPE_26, BLAZEPOSE_33], ids=lambda f: f.name)
def test_round_trip(tmp_path: Path, form: KeypointFormat, lines: bool) -> None:
    score = np.where(np.arange(LENGTH) == 2, np.nan, 0.3).astype(np.float32)
    given = person(form.points, box=boxes(), box_score=score)
    path = tmp_path / "v.json"
    cgv.write(path, given, SIZE, 59.94, "v.mp4", lines)
    same(cgv.read(path, LENGTH, SIZE), given, "box", "box_score")
    text = path.read_text()
    records = [json.loads(line) for line in text.splitlines()] if lines else json.loads(text)
    assert [r["frame_index"] for r in records] == list(range(LENGTH))
    assert records[2]["instance_info"] == [] and records[0]["keypoint_format"] == form.name
    assert records[0]["video_info"] == {
        "video_name": "v.mp4",
        "width": 48,
        "height": 32,
        "fps": 59.94,
        "total_frames": 5,
    }
    assert np.shape(records[0]["instance_info"][0]["bbox"]) == (1, 4)
    cgv.write(tmp_path / "again.json", given, SIZE, 59.94, "v.mp4", lines)
    assert (tmp_path / "again.json").read_text() == text
    bare = person(form.points)
    cgv.write(path, bare, SIZE, 60, "v.mp4", lines)
    assert cgv.read(path, LENGTH, SIZE).box is None and '"fps":60,' in path.read_text()


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([record(4, pose())], "frame 4"),
        ([record(1, pose()), record(1, pose())], "frame 1 is there twice"),
        ([record(0, pose(21))], "21 points"),
        ([record(0, pose(), pose(23))], "differ"),
        ([{**record(0, pose()), "video_info": {**INFO, "total_frames": 5}}], "5 frames"),
        ([{**record(0, pose()), "video_info": {**INFO, "width": 1080}}], "1080x1080"),
        ([{**record(0, pose()), "video_info": []}], "video_info"),
        ([{"instance_info": []}], "'frame_index'"),
        ([{"frame_index": 0}], "'instance_info'"),
        ([record(0, {"bbox": []})], "'keypoints'"),
        ([record(0, {"keypoints": [[1, 2, 3]] * 17})], "frame 0: keypoints"),
        ([record(0, pose(keypoint_scores=[1] * 16))], "frame 0: keypoint_scores"),
        ([record(0, pose(bbox=[1, 2]))], "frame 0: bbox"),
        ([3], "record 0"),
        ("text", "a record"),
        (4, "a record"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path: Path, records: Any, says: str) -> None:
    with refused("v.json", says):
        cgv.read(save(tmp_path, records), 4, (1920, 1080))


def test_feet_of_another_order_are_not_mistaken(tmp_path: Path) -> None:
    """As many points under a declared name go to that name only."""
    given = person(WHOLEBODY_23.points)
    path = tmp_path / "v.json"
    cgv.write(path, given, SIZE, 60, "v.mp4")
    path.write_text(path.read_text().replace("coco_wholebody_23", "halpe_26"))
    with refused(path, "23 points", "halpe_26"):
        cgv.read(path, LENGTH, SIZE)
    with refused(path, "23 points"):
        cgv.write(path, person(WHOLEBODY_23.points[::-1]), SIZE, 60, "v.mp4")


def test_null_and_nan_are_absent(tmp_path: Path) -> None:
    one = pose()
    one["keypoints"][0], one["keypoints"][1] = [None, 4], [float("nan"), 4]
    found = cgv.read(save(tmp_path, [record(0, one)]), 4, (1920, 1080))
    assert np.isnan(found.xy[0, :2]).all() and not found.score[0, :2].any()
