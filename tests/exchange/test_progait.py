"""ProGait's gzipped arrays, against numpy's own reading and writing."""

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from gaitloom.exchange import progait
from gaitloom.keypoint_formats import COCO_17, HALPE_26, WHOLEBODY_23

from .people import LENGTH, SIZE, masks, person, refused, same


def save(path: Path, array: np.ndarray, cut: int = 0, more: bytes = b"", **how: bool) -> Path:
    data = io.BytesIO()
    np.save(data, array, **how)
    packed = gzip.compress(data.getvalue() + more)
    path.write_bytes(packed[: len(packed) - cut])
    return path


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, ">f4"])
def test_keypoints_by_numpy(tmp_path: Path, kind: str) -> None:
    values = np.arange(LENGTH * 69, dtype=kind).reshape(LENGTH, 23, 3) + 1
    values[1, 4], values[2], values[3, 0, 0] = 0, 0, np.nan
    found = progait.read_keypoints(save(tmp_path / "k.npy.gz", values), LENGTH)
    assert found.names == WHOLEBODY_23.points and found.xy.dtype == np.float32
    assert found.valid.tolist() == [True, True, False, True, True]
    absent = np.isnan(found.xy[..., 0])
    assert absent.sum() == 1 + 23 + 1 and not found.score[absent].any()
    np.testing.assert_array_equal(found.xy[~absent], values[~absent][:, :2].astype(np.float32))
    np.testing.assert_array_equal(found.score[~absent], values[~absent][:, 2].astype(np.float32))


def test_keypoints_round_trip(tmp_path: Path) -> None:
    given, path = person(WHOLEBODY_23.points), tmp_path / "k.npy.gz"
    progait.write_keypoints(path, given)
    same(progait.read_keypoints(path, LENGTH), given)
    with gzip.open(path) as file:
        array = np.load(file, allow_pickle=False)
    assert array.shape == (LENGTH, 23, 3) and array.dtype == np.float32
    np.testing.assert_array_equal(array, np.nan_to_num(np.dstack([given.xy, given.score[..., None]])))
    first = path.read_bytes()
    assert first[3] == 0 and first[4:8] == bytes(4)  # no name, no time
    progait.write_keypoints(tmp_path / "other.npy.gz", given)
    assert (tmp_path / "other.npy.gz").read_bytes() == first


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64])
def test_masks_by_numpy(tmp_path: Path, kind: type) -> None:
    values = np.stack(masks()).astype(kind)[..., None] * (1 if kind is bool else 255 if kind is np.uint8 else 1)
    found = list(progait.read_masks(save(tmp_path / "m.npy.gz", values), LENGTH, SIZE))
    assert found[0].dtype == bool
    np.testing.assert_array_equal(found, masks())


def test_masks_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "m.npy.gz"
    progait.write_masks(path, iter(masks()), LENGTH, SIZE)
    np.testing.assert_array_equal(list(progait.read_masks(path, LENGTH, SIZE)), masks())
    with gzip.open(path) as file:
        array = np.load(file, allow_pickle=False)
    assert array.shape == (LENGTH, SIZE[1], SIZE[0], 1) and set(np.unique(array)) == {0, 1}
    with refused(path, "6 frames"):
        progait.write_masks(path, [*masks(), masks()[0]], LENGTH, SIZE)


def test_masks_pass_one_by_one(tmp_path: Path) -> None:
    """The first comes without the rest being unpacked: a file cut after it gives it all the same."""
    rng = np.random.default_rng(0)
    values = rng.random((40, 60, 80, 1)) < 0.5
    path = save(tmp_path / "m.npy.gz", values, cut=200)
    stream = progait.read_masks(path, 40, (80, 60))
    np.testing.assert_array_equal(next(stream), values[0, ..., 0])
    with refused(path, "frame 39"):
        list(stream)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.ones((LENGTH - 1, 23, 3), np.float32), "4 frames"),
        (np.ones((LENGTH, 17, 3), np.float32), "(5, 17, 3)"),
        (np.ones((LENGTH, 23, 2), np.float32), "(5, 23, 2)"),
        (np.ones((LENGTH, 23, 3), int), "int64"),
        (np.full((LENGTH, 23, 3), np.inf), "frame 0"),
        (np.asfortranarray(np.ones((LENGTH, 23, 3))), "Fortran"),
        (np.array([{}] * LENGTH), "pickled"),
    ],
)
def test_keypoints_of_another_shape_are_refused(tmp_path: Path, array: np.ndarray, says: str) -> None:
    with refused("k.npy.gz", says):
        progait.read_keypoints(save(tmp_path / "k.npy.gz", array, allow_pickle=True), LENGTH)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.ones((LENGTH + 1, 32, 48, 1), bool), "6 frames"),
        (np.ones((LENGTH, 48, 32, 1), bool), "32x48"),
        (np.ones((LENGTH, 32, 48), bool), "(5, 32, 48)"),
        (np.ones((LENGTH, 32, 48, 1), np.float32), "float32"),
        (np.array([{}] * LENGTH), "pickled"),
    ],
)
def test_masks_of_another_shape_are_refused_at_once(tmp_path: Path, array: np.ndarray, says: str) -> None:
    with refused("m.npy.gz", says):
        progait.read_masks(save(tmp_path / "m.npy.gz", array, allow_pickle=True), LENGTH, SIZE)


@pytest.mark.parametrize("cut", [1, 8, 9, 60])
def test_a_truncated_file_is_refused(tmp_path: Path, cut: int) -> None:
    """Also one that lacks only its checksum."""
    rng = np.random.default_rng(0)
    with refused("k.npy.gz", "copy the file again"):
        progait.read_keypoints(save(tmp_path / "k.npy.gz", rng.random((LENGTH, 23, 3)), cut), LENGTH)
    with refused("m.npy.gz", "copy the file again"):
        path = save(tmp_path / "m.npy.gz", np.stack(masks())[..., None], cut)
        list(progait.read_masks(path, LENGTH, SIZE))


def test_broken_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "k.npy.gz"
    good = np.ones((LENGTH, 23, 3))
    packed = bytearray(save(path, np.random.default_rng(0).random((LENGTH, 23, 3))).read_bytes())
    packed[-6] ^= 1  # the checksum
    path.write_bytes(packed)
    with refused(path, "unpacked"):
        progait.read_keypoints(path, LENGTH)
    for content in (b"", b"plain", gzip.compress(b"no array"), gzip.compress(b"\x93NUMPY\x09\x00")):
        path.write_bytes(content)
        with refused(path):
            progait.read_keypoints(path, LENGTH)
        with refused(path):
            progait.read_masks(path, LENGTH, SIZE)
    with refused(path, "more follows"):
        progait.read_keypoints(save(path, good, more=b"x"), LENGTH)
    with refused(tmp_path / "none"):
        progait.read_keypoints(tmp_path / "none", LENGTH)


@pytest.mark.parametrize("form", [COCO_17, HALPE_26], ids=lambda f: f.name)
def test_only_its_own_points_are_written(tmp_path: Path, form: object) -> None:
    with refused("k.npy.gz", "first 23"):
        progait.write_keypoints(tmp_path / "k.npy.gz", person(form.points))  # type: ignore[attr-defined]
