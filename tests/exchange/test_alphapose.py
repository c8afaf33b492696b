"""AlphaPose's three forms, from files written by hand and back from our own."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from gaitloom.exchange import alphapose
from gaitloom.keypoint_formats import BLAZEPOSE_33, COCO_17, HALPE_26, OPENPOSE_18, WHOLEBODY_23, KeypointFormat, view

from .people import LENGTH, boxes, person, refused, same


def entry(image: str | int, count: int = 17, at: float = 10.0, **more: Any) -> dict[str, Any]:
    """A person whose point i lies at (at + i, 2 · (at + i)) with score i + 1."""
    keypoints = [v for i in range(count) for v in (at + i, 2 * (at + i), i + 1)]
    return {"image_id": image, "category_id": 1, "keypoints": keypoints, "score": 3.0, **more}


def write(path: Path, data: object) -> Path:
    path.write_text(json.dumps(data))
    return path


def test_a_list_by_hand(tmp_path: Path) -> None:
    data = [entry("3.jpg", box=[1.5, 2.0, 10.25, 20.0]), entry(1), {**entry("frame_000.png"), "idx": 1}]
    found = alphapose.read_results(write(tmp_path / "r.json", data), 5)
    assert found.names == COCO_17.points
    assert found.valid.tolist() == [True, True, False, True, False]
    assert found.xy[3, 9].tolist() == [19, 38] and found.score[3, 9] == 10
    assert found.box is not None and found.box[3].tolist() == [1.5, 2, 11.75, 22]
    assert np.isnan(found.box[[0, 1, 2, 4]]).all()


@pytest.mark.parametrize(("count", "form"), [(17, COCO_17), (26, HALPE_26), (133, WHOLEBODY_23), (136, HALPE_26)])
def test_points_by_their_count(tmp_path: Path, count: int, form: KeypointFormat) -> None:
    found = alphapose.read_results(write(tmp_path / "r.json", [entry("0.jpg", count)]), 1)
    assert found.names == form.points
    np.testing.assert_array_equal(found.score[0], np.arange(len(form.points)) + 1)


def test_halpe_alternates_left_and_right_of_the_feet(tmp_path: Path) -> None:
    """Halpe-26 → WholeBody-23 by index (FORMATS 1.2); read as if grouped, the sides of the feet would be mixed."""
    found = alphapose.read_results(write(tmp_path / "r.json", [entry("0.jpg", 26)]), 1)
    _, score = view(found.xy, found.score, found.names)
    order = [*range(17), 20, 22, 24, 21, 23, 25]
    np.testing.assert_array_equal(score[0], np.array(order) + 1)
    grouped = [*range(17), *range(20, 26)]
    assert (score[0] != np.array(grouped) + 1).sum() == 4  # the order that the bug gives is told apart


@pytest.mark.parametrize("count", [18, 21, 68, 94])
def test_other_counts_are_refused_with_the_list(tmp_path: Path, count: int) -> None:
    with refused("r.json", f"{count} points", "coco_17 (17 points)", "halpe_26 (26 points)"):
        alphapose.read_results(write(tmp_path / "r.json", [entry("0.jpg", count)]), 1)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("text", "the whole"),
        (3, "the whole"),
        ([entry("5.jpg")], "frame 5"),
        ([entry("-1.jpg"), entry("1.jpg")], "frame 1 shows 2 people"),
        ([{"image_id": "1.jpg"}], "'keypoints'"),
        ([{"keypoints": [1.0] * 51}], "'image_id'"),
        ([entry("0.jpg"), entry("1.jpg", 26)], "51 or 78"),
        ([{**entry("1.jpg"), "keypoints": [1.0] * 50}], "points"),
        ([{**entry("1.jpg"), "keypoints": ["a"] * 51}], "frame 1"),
        ([{**entry("1.jpg"), "box": [1, 2, 3]}], "frame 1: box"),
        ([entry("first.jpg")], "frame number"),
        ([4], "entry 0"),
        ({"0.jpg": {"version": "x"}}, "'people'"),
        ({"0.jpg": {"bodies": [{"joints": [1.0] * 51}]}}, "17 points"),
        ({"9.jpg": {"people": [{"pose_keypoints_2d": [1.0] * 54}]}}, "frame 9"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path: Path, data: object, says: str) -> None:
    with refused("r.json", says):
        alphapose.read_results(write(tmp_path / "r.json", data), 5)


def test_the_subject_among_several(tmp_path: Path) -> None:
    near, far = (
        entry("0.jpg", at=10, box=[0, 0, 30, 60], idx=1),
        entry("0.jpg", at=300, box=[300, 600, 20, 40], idx=[[7.0]]),
    )
    path = write(tmp_path / "r.json", [far, near])
    with refused(path, "frame 0 shows 2 people"):
        alphapose.read_results(path, 1)
    assert alphapose.read_results(path, 1, idx=1).xy[0, 0, 0] == 10
    assert alphapose.read_results(path, 1, idx=7).xy[0, 0, 0] == 300
    assert not alphapose.read_results(path, 1, idx=2).valid.any()
    box = np.array([[298, 600, 322, 641]], np.float32)
    assert alphapose.read_results(path, 1, boxes=box).xy[0, 0, 0] == 300
    assert not alphapose.read_results(path, 1, boxes=box - 200).valid.any()
    assert not alphapose.read_results(path, 1, boxes=np.full((1, 4), np.nan, np.float32)).valid.any()
    bare = write(tmp_path / "bare.json", [{k: v for k, v in p.items() if k != "box"} for p in (far, near)])
    assert alphapose.read_results(bare, 1, boxes=np.array([[10, 20, 26, 52]])).xy[0, 0, 0] == 10  # by its points
    with refused("idx 1 more than once"):
        alphapose.read_results(write(tmp_path / "two.json", [near, near]), 1, idx=1)


@pytest.mark.parametrize("form", [COCO_17, HALPE_26, WHOLEBODY_23, BLAZEPOSE_33], ids=lambda f: f.name)
def test_round_trip(tmp_path: Path, form: KeypointFormat) -> None:
    given = person(form.points, box=boxes(), box_score=np.full(LENGTH, 0.7, np.float32))
    path = tmp_path / "r.json"
    alphapose.write_results(path, given)
    same(alphapose.read_results(path, LENGTH), given, "box")
    data = json.loads(path.read_text())
    assert [e["image_id"] for e in data] == ["0.jpg", "1.jpg", "3.jpg", "4.jpg"]
    scores = np.array(data[0]["keypoints"]).reshape(-1, 3)[:, 2]
    assert data[0]["score"] == pytest.approx(scores.mean() + 0.7 + 1.25 * scores.max())
    assert {e["category_id"] for e in data} == {1}
    first = path.read_bytes()
    alphapose.write_results(path, given)
    assert path.read_bytes() == first
    alphapose.write_results(path, given, first=100)
    same(alphapose.read_results(path, LENGTH, first=100), given, "box")
    with refused(path, "frame 100"):
        alphapose.read_results(path, LENGTH)


@pytest.mark.parametrize("fmt", ["cmu", "open"])
def test_eighteen_points_with_the_neck(tmp_path: Path, fmt: Literal["cmu", "open"]) -> None:
    given = person(COCO_17.points)
    path = tmp_path / "r.json"
    alphapose.write_results(path, given, fmt, separate=True)
    data = json.loads(path.read_text())
    assert list(data) == ["0.jpg", "1.jpg", "3.jpg", "4.jpg"]
    assert json.loads((tmp_path / "sep-json" / "3.json").read_text()) == data["3.jpg"]
    people, joints = {"cmu": ("bodies", "joints"), "open": ("people", "pose_keypoints_2d")}[fmt]
    # AlphaPose's own index list into its flat COCO-17 values with the neck behind them (write_json).
    flat = np.nan_to_num(np.dstack([given.xy, given.score[..., None]])).astype(float)[4]
    flat = np.concatenate([flat.ravel(), (flat[5] + flat[6]) / 2])
    order = [0, 51, 18, 24, 30, 15, 21, 27, 36, 42, 48, 33, 39, 45, 6, 3, 12, 9]
    assert data["4.jpg"][people][0][joints] == [flat[i + n] for i in order for n in range(3)]

    found = alphapose.read_results(path, LENGTH)
    assert found.names == OPENPOSE_18.points
    for i, name in enumerate(COCO_17.points):
        np.testing.assert_array_equal(found.xy[:, OPENPOSE_18.points.index(name)], given.xy[:, i])
        np.testing.assert_array_equal(found.score[:, OPENPOSE_18.points.index(name)], given.score[:, i])


def test_the_neck_needs_both_shoulders(tmp_path: Path) -> None:
    given = person(COCO_17.points)
    given.xy[0, 5], given.score[0, 5] = np.nan, 0
    alphapose.write_results(tmp_path / "r.json", given, "open")
    found = alphapose.read_results(tmp_path / "r.json", LENGTH)
    assert np.isnan(found.xy[0, 1]).all() and np.isfinite(found.xy[1, 1]).all()


def test_only_its_own_points_are_written(tmp_path: Path) -> None:
    for form, fmt in ((HALPE_26, "cmu"), (WHOLEBODY_23, "open")):
        with refused("r.json", "COCO-17"):
            alphapose.write_results(tmp_path / "r.json", person(form.points), fmt)  # type: ignore[arg-type]
    for names in (OPENPOSE_18.points, COCO_17.points[::-1]):  # known but not in a list; as many but in another order
        with refused("r.json", f"{len(names)} points"):
            alphapose.write_results(tmp_path / "r.json", person(names))
    assert list(tmp_path.iterdir()) == []


def test_nan_and_zeros_are_absent_points(tmp_path: Path) -> None:
    one = entry("0.jpg")
    one["keypoints"][:6] = [float("nan"), 4.0, 0.5, 0.0, 0.0, 0.0]
    found = alphapose.read_results(write(tmp_path / "r.json", [one]), 1)
    assert np.isnan(found.xy[0, :2]).all() and not found.score[0, :2].any() and np.isfinite(found.xy[0, 2:]).all()


def test_nobody_at_all(tmp_path: Path) -> None:
    for data in ([], {}):
        assert not alphapose.read_results(write(tmp_path / "r.json", data), 4).valid.any()
