"""The vocabulary's own rules, and what all layouts share."""

import json
from pathlib import Path

import numpy as np
import pytest
from gaitloom.exchange import Person, _common
from gaitloom.keypoint_formats import COCO_17, HALPE_26, OPENPOSE_18, WHOLEBODY_23

from .people import LENGTH, SIZE, masks, person, refused


def test_a_person_is_valid_where_any_point_is_there() -> None:
    assert person(COCO_17.points).valid.tolist() == [True, True, False, True, True]


@pytest.mark.parametrize(
    "fault",
    [
        lambda p: {"score": p.score[:, :-1]},
        lambda p: {"score": np.ones_like(p.score)},
        lambda p: {"names": p.names[:-1]},
        lambda p: {"box": np.zeros((2, 4), np.float32)},
        lambda p: {"xy": np.where(np.arange(2) == 0, p.xy, np.nan)},
        lambda p: {"xy": np.full_like(p.xy, np.inf)},
    ],
)
def test_a_person_that_does_not_hang_together_is_a_mistake(fault) -> None:
    good = person(COCO_17.points)
    with pytest.raises(ValueError):
        Person(**({"xy": good.xy, "score": good.score, "names": good.names} | fault(good)))


def test_openpose_is_the_order_of_its_documentation() -> None:
    """Nose, neck, then right before left; FORMATS: OpenPose/COCO-18."""
    order = "nose neck rshoulder relbow rwrist lshoulder lelbow lwrist rhip rknee rankle lhip lknee lankle reye leye"
    short = [n.replace("right_", "r").replace("left_", "l") for n in OPENPOSE_18.points]
    assert short == [*order.split(), "rear", "lear"]
    mirror = {a: b for pair in OPENPOSE_18.swaps() for a, b in (pair, pair[::-1])}
    edges = {frozenset(edge) for edge in OPENPOSE_18.edges}
    assert {frozenset(mirror.get(i, i) for i in edge) for edge in edges} == edges
    assert len(edges) == 17 and len(OPENPOSE_18.swaps()) == 8


@pytest.mark.parametrize(
    ("label", "frame"),
    [("12.jpg", 12), ("frame_000012.png", 12), ("0001-0001_backward_203-514_000007.jpg", 7), ("007", 7), (4, 4)],
)
def test_frames_are_numbered_by_the_end_of_the_name(label: str | int, frame: int) -> None:
    assert _common.frame_number(Path("x"), label) == frame


@pytest.mark.parametrize("label", ["clip.mp4", "12_left.jpg", "", None, True, 1.0])
def test_names_without_a_number_are_refused(label: object) -> None:
    with refused("x", "frame number"):
        _common.frame_number(Path("x"), label)


def test_counts_find_their_format() -> None:
    found = {n: _common.format_of(Path("x"), n).name for n in (17, 18, 23, 26, 33, 133, 136)}
    assert found[133] == WHOLEBODY_23.name and found[136] == HALPE_26.name
    assert [found[n] for n in (17, 18, 23, 26, 33)] == [
        "coco_17", "openpose_18", "coco_wholebody_23", "halpe_26", "blazepose_33",
    ]  # fmt: skip
    with refused("x", "21 points", "coco_17 (17 points)"):
        _common.format_of(Path("x"), 21)
    with refused("x", "called 'goliath_308'"):
        _common.format_of(Path("x"), 17, "goliath_308")


def test_the_subject_is_the_one_of_greatest_overlap() -> None:
    one, two, box = np.array([0, 0, 10, 10]), np.array([20, 0, 30, 10]), np.array([[19.0, 0, 30, 10], [np.nan] * 4])
    assert _common.choose(Path("x"), 0, [one, two], box) == 1
    assert _common.choose(Path("x"), 0, [one], box) is None  # a bystander alone is not the subject
    assert _common.choose(Path("x"), 1, [one, two], box) is None
    assert _common.choose(Path("x"), 0, [], None) is None
    assert _common.choose(Path("x"), 0, [np.full(4, np.nan)], box) is None
    with refused("x", "frame 3", "2 people"):
        _common.choose(Path("x"), 3, [one, two], None)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    with pytest.raises(RuntimeError), _common.writing(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert list(path.parent.iterdir()) == []
    with _common.writing(path) as file:
        file.write(b"whole")
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("text", ["{", "", "[1,]", "[" * 100_000, "\x00", "1 2"])
def test_what_is_not_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with refused(path, "not JSON"):
        _common.load_json(path)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with refused(tmp_path / "none"):
        _common.load_json(tmp_path / "none")
    (tmp_path / "latin").write_bytes(b'"\xff"')
    with refused(tmp_path / "latin"):
        _common.load_json(tmp_path / "latin")


@pytest.mark.parametrize("values", [[1, 2], [1, 2, "a"], "123", {"a": 1}, [1, 2, float("inf")], [1, 2, 1e300], None])
def test_numbers_are_numbers(values: object) -> None:
    with refused("x", "there", "not 3 numbers"):
        _common.numbers(Path("x"), "there", values, (3,))
    assert np.isnan(_common.numbers(Path("x"), "there", [1, None, float("nan")], (3,))[1:]).all()


@pytest.mark.parametrize("fault", ["few", "many", "type", "shape"])
def test_masks_are_held_to_number_type_and_shape(fault: str) -> None:
    given: list[np.ndarray] = masks()
    if fault in ("few", "many"):
        given = given[:-1] if fault == "few" else [*given, given[0]]
    else:
        given[3] = given[3].astype(np.uint8) if fault == "type" else given[3].T
    with refused("x", "mask 3" if fault in ("type", "shape") else f"has {len(given)} frames"):
        list(_common.counted(Path("x"), given, LENGTH, SIZE))


def test_json_that_we_write_has_no_nan() -> None:
    with pytest.raises(ValueError):
        _common.dumps([float("nan")])
    value = float(np.float32(0.1))
    assert np.float32(json.loads(_common.dumps(value))) == np.float32(0.1)
