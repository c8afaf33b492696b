"""Health&Gait's files: pose, silhouettes, coloured parts, flow pictures and names."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from gaitloom.exchange import health_gait
from gaitloom.exchange.health_gait import Folder
from gaitloom.keypoint_formats import BLAZEPOSE_33, COCO_17, WHOLEBODY_23, KeypointFormat

from .people import LENGTH, SIZE, masks, person, refused, same

# FORMATS section 2: coarse label → RGB in Health&Gait's pictures.
PALETTE = """0,0,0 255,0,0 0,0,255 0,255,0 255,255,0 128,0,0 128,128,0 0,128,128 128,0,128 128,128,128 255,128,0
255,0,128 255,128,255 128,255,128 255,255,255"""
RGB = [tuple(map(int, c.split(","))) for c in PALETTE.split()]


@pytest.mark.parametrize(
    ("name", "folder", "group"),
    [
        ("NW-WJ_1_AlphaPose", Folder("NW", "WJ", 1, "AlphaPose"), "UGS"),
        ("FW-WoJ_2", Folder("FW", "WoJ", 2), "FGS"),
        ("FW-WoJ_1_YOLOV8", Folder("FW", "WoJ", 1, "YOLOV8"), "FGS"),
        ("FW-WoJ-ses1-trial3_1_YOLOV8", Folder("FW", "WoJ", 1, "YOLOV8", "ses1-trial3"), "FGS"),
    ],
)
def test_names(name: str, folder: Folder, group: str) -> None:
    assert Folder.parse(name) == folder and str(folder) == name and folder.group == group


@pytest.mark.parametrize(
    "name", ["NW-WJ", "NW-WJ_3", "SW-WJ_1", "NW-wj_1", "NW-WJ_1_", "NW-WJ_1_a/b", "NW_WJ_1", "NW-WJ_1\n", "NW-WJ-_1"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(Exception, match="no name of Health&Gait"):
        Folder.parse(name)


def save(tmp_path: Path, data: Any) -> Path:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(data))
    return path


def test_pose_by_hand(tmp_path: Path) -> None:
    """The two names that its code reads; a frame of null; a joint of null, or without an x."""
    data = [
        {"frame": 1, "joints": None},
        {
            "frame": 0,
            "joints": {"l_ankle": {"x": 3, "y": 4.5}, "r_ankle": {"x": 7, "y": 8, "score": 0.25}, "nose": None},
        },
        {"frame": 2, "joints": {"l_ankle": {"x": None, "y": 4}}},
    ]
    found = health_gait.read_pose(save(tmp_path, data), 3)
    assert found.names == COCO_17.points and found.valid.tolist() == [True, False, False]
    assert found.xy[0, 15].tolist() == [3, 4.5] and found.xy[0, 16].tolist() == [7, 8]
    assert found.score[0, 14:].tolist() == [0, 1, 0.25]


@pytest.mark.parametrize("form", [COCO_17, WHOLEBODY_23], ids=lambda f: f.name)
def test_pose_round_trip(tmp_path: Path, form: KeypointFormat) -> None:
    given, path = person(form.points), tmp_path / "p.json"
    health_gait.write_pose(path, given)
    same(health_gait.read_pose(path, LENGTH), given)
    data = json.loads(path.read_text())
    assert [e["frame"] for e in data] == list(range(LENGTH)) and data[2]["joints"] is None
    assert {"l_ankle", "r_ankle"} <= set(data[0]["joints"]) and not any("left" in n for n in data[0]["joints"])
    swapped = path.read_text().replace('"l_', '"?').replace('"r_', '"l_').replace('"?', '"r_')
    path.write_text(swapped)
    assert not np.array_equal(health_gait.read_pose(path, LENGTH).xy, given.xy, equal_nan=True)
    with refused("p.json", "COCO-17"):
        health_gait.write_pose(path, person(BLAZEPOSE_33.points))


HERE = {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "not a list"),
        ([{"frame": 0}, {"frame": 2}], "frame 1 is missing"),
        ([{"frame": 0}, {"frame": 1}], "frame 2 is missing"),
        ([{"frame": i} for i in range(4)], "frame 3"),
        ([{"frame": 0}, {"frame": 0}, {"frame": 1}], "frame 0 is there twice"),
        ([{"joints": None}], "'frame'"),
        ([{"frame": i, "joints": {"tail": {"x": 1, "y": 1}}} for i in range(3)], "'tail'"),
        ([{"frame": i, "joints": {"l_hip": HERE, "left_hip": HERE}} for i in range(3)], "two names"),
        ([{"frame": i, "joints": {"nose": {"x": "a", "y": 1}}} for i in range(3)], "frame 0: nose"),
        ([{"frame": i, "joints": {"nose": [1, 2]}} for i in range(3)], "frame 0: nose"),
        ([{"frame": i, "joints": []} for i in range(3)], "frame 0: 'joints'"),
    ],
)  # fmt: skip
def test_bad_poses_get_one_sentence(tmp_path: Path, data: Any, says: str) -> None:
    with refused("p.json", says):
        health_gait.read_pose(save(tmp_path, data), 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_silhouettes_round_trip(tmp_path: Path, suffix: str) -> None:
    """Speckle is the hardest that JPEG can be given; every pixel stays on its side of 127."""
    health_gait.write_silhouettes(tmp_path, iter(masks()), LENGTH, SIZE, suffix)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{i:03d}{suffix}" for i in (0, 1, 3, 4)]
    np.testing.assert_array_equal(list(health_gait.read_silhouettes(tmp_path, LENGTH, SIZE)), masks())
    picture = cv2.imread(str(tmp_path / f"003{suffix}"), cv2.IMREAD_UNCHANGED)
    assert picture is not None and picture.ndim == 2
    first = (tmp_path / f"003{suffix}").read_bytes()
    health_gait.write_silhouettes(tmp_path, masks(), LENGTH, SIZE, suffix)
    assert (tmp_path / f"003{suffix}").read_bytes() == first


def test_the_jpeg_bound(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    size = (256, 256)
    noise = [rng.random(size) < share for share in (0.1, 0.5, 0.9)]
    health_gait.write_silhouettes(tmp_path, noise, 3, size)
    for i, mask in enumerate(noise):
        picture = cv2.imread(str(tmp_path / f"{i:03d}.jpg"), cv2.IMREAD_GRAYSCALE)
        assert picture is not None and np.abs(picture.astype(int) - mask * 255).max() < 50
    np.testing.assert_array_equal(list(health_gait.read_silhouettes(tmp_path, 3, size)), noise)


def test_silhouettes_by_hand(tmp_path: Path) -> None:
    """The frame is in the name; 127 is background, 128 the person; colour pictures count by their grey."""
    grey = np.full((32, 48), 127, np.uint8)
    grey[3, 5] = 128
    cv2.imwrite(str(tmp_path / "003.png"), np.dstack([grey] * 3))
    found = list(health_gait.read_silhouettes(tmp_path, LENGTH, SIZE))
    assert [m.any() for m in found] == [False, False, False, True, False]
    assert np.argwhere(found[3]).tolist() == [[3, 5]]


def test_bad_picture_folders_get_one_sentence(tmp_path: Path) -> None:
    good = np.zeros((32, 48), np.uint8)
    with refused("none", "no such folder"):
        health_gait.read_silhouettes(tmp_path / "none", LENGTH, SIZE)
    for name, says in (
        ("005.png", "frame 5"),
        ("3.png", "named by their frame"),
        ("Thumbs.db", "named by their frame"),
    ):
        cv2.imwrite(str(tmp_path / "a.png"), good)
        (tmp_path / "a.png").rename(tmp_path / name)
        with refused(name, says):
            health_gait.read_silhouettes(tmp_path, LENGTH, SIZE)
        (tmp_path / name).unlink()
    for name in ("003.png", "003.jpg"):
        cv2.imwrite(str(tmp_path / name), good)
    with refused("003.png", "003.jpg", "twice"):
        health_gait.read_silhouettes(tmp_path, LENGTH, SIZE)
    (tmp_path / "003.jpg").unlink()
    with refused("003.png", "48x32", "32x48"):
        list(health_gait.read_silhouettes(tmp_path, LENGTH, (32, 48)))
    for content in (b"", b"\x89PNG broken"):
        (tmp_path / "003.png").write_bytes(content)
        with refused("003.png", "no picture"):
            list(health_gait.read_silhouettes(tmp_path, LENGTH, SIZE))
    with refused("mask 1"):
        health_gait.write_silhouettes(tmp_path, [masks()[0], masks()[1].T], 2, SIZE)


def labels() -> list[np.ndarray]:
    """Blocks of every part, and an empty map."""
    out = [np.zeros(SIZE[::-1], np.uint8) for _ in range(LENGTH)]
    for n, label in enumerate(out):
        for part in range(1, 15) if n != 2 else ():
            row, column = divmod(part + n, 8)
            label[2 + 10 * row : 8 + 10 * row, 6 * column : 6 * column + 5] = part
    return out


def test_parts_round_trip(tmp_path: Path) -> None:
    health_gait.write_parts(tmp_path, labels(), LENGTH, SIZE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000.png", "001.png", "003.png", "004.png"]
    np.testing.assert_array_equal(list(health_gait.read_parts(tmp_path, LENGTH, SIZE)), labels())
    picture = cv2.imread(str(tmp_path / "000.png"), cv2.IMREAD_COLOR)
    assert picture is not None
    np.testing.assert_array_equal(picture[..., ::-1], np.array(RGB, np.uint8)[labels()[0]])


def test_smoothed_edges_go_to_the_nearest_colour(tmp_path: Path) -> None:
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[8:24, 10:30] = RGB[14]
    picture[8:24, 9], picture[8:24, 30] = (40, 40, 40), (250, 240, 250)
    cv2.imwrite(str(tmp_path / "000.png"), picture[..., ::-1])
    found = next(health_gait.read_parts(tmp_path, 1, SIZE))
    expected = np.zeros((32, 48), np.uint8)
    expected[8:24, 10:31] = 14
    np.testing.assert_array_equal(found, expected)


def test_red_and_blue_exchanged_are_refused(tmp_path: Path) -> None:
    """The left foot's yellow would be cyan, which is no part's."""
    cv2.imwrite(str(tmp_path / "000.png"), np.array(RGB, np.uint8)[labels()[0]])  # OpenCV takes it for BGR
    with refused("000.png", "(0, 255, 255)"):
        next(health_gait.read_parts(tmp_path, 1, SIZE))


@pytest.mark.parametrize(("colour", "side"), [((0, 255, 255), 1), ((60, 60, 200), 8), ((200, 60, 60), 8)])
def test_other_colours_are_refused(tmp_path: Path, colour: tuple[int, ...], side: int) -> None:
    """One pixel that no two of the palette mix to; an area that is near none."""
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[4 : 4 + side, 4 : 4 + side] = colour
    cv2.imwrite(str(tmp_path / "002.png"), picture[..., ::-1])
    with refused("002.png", str(colour)):
        list(health_gait.read_parts(tmp_path, LENGTH, SIZE))


def test_other_label_maps_are_not_written(tmp_path: Path) -> None:
    for fault in (labels()[0].astype(int), labels()[0].T, labels()[0] + np.uint8(10)):
        with refused("label map 1"):
            health_gait.write_parts(tmp_path, [labels()[0], fault], 2, SIZE)
    with refused("4 frames"):
        health_gait.write_parts(tmp_path, labels()[:-1], LENGTH, SIZE)


def test_flow_pictures(tmp_path: Path) -> None:
    """Hue in degrees is the direction with y down, leftwards 180; value spans the frame's own magnitudes."""
    flow = np.zeros((2, 3, 2), np.float32)
    flow[0] = [(3, 0), (0, 3), (-3, 0)]
    flow[1] = [(0, -1), (1, 0), (2, 0)]
    health_gait.write_flow(tmp_path, [flow, None, np.ones((2, 3, 2))], 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000.png", "002.png"]
    bgr = cv2.imread(str(tmp_path / "000.png"), cv2.IMREAD_COLOR)
    assert bgr is not None
    directions = [[255, 0, 0], [128, 255, 0], [0, 255, 255]]  # 0°, 90°, 180° at full value
    np.testing.assert_allclose(bgr[0, :, ::-1], directions, atol=1)
    assert bgr[1].max(axis=1).tolist() == [0, 0, 128]  # least magnitude black, half way 128
    even = cv2.imread(str(tmp_path / "002.png"))
    assert even is not None and not even.any()
    for fault in (np.full((2, 3, 2), np.nan), np.zeros((2, 3))):
        with refused("frame 0"):
            health_gait.write_flow(tmp_path, [fault], 1)
