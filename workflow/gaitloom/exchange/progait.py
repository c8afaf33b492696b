"""ProGait's arrays: gzipped `.npy`, one file a clip: `<ID>_keypoints.npy.gz` (T, 23, 3) x, y, confidence of
COCO-WholeBody's first 23 points in pixels, and `<ID>_masks.npy.gz` (T, H, W, 1).

Source: the data set's README and metadata (ericyxy98/ProGait; pittisl/ProGait). An absent point is written, and read,
as three zeros, since that data set's own code leaves out by confidence alone. Nothing pickled is ever loaded, and masks
pass frame by frame.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from gaitloom.errors import GaitloomError
from gaitloom.exchange import Person, _common
from gaitloom.keypoint_formats import WHOLEBODY_23

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_keypoints(path: Path, length: int) -> Person:
    """The clip's points; any floating type. `box`, `occluded` and `source` are not there."""
    with _opened(path) as file:
        shape, dtype = _header(path, file)
        if len(shape) != 3 or shape[1:] != (23, 3) or dtype.kind != "f":
            raise GaitloomError(f"{path}: it holds {dtype} {shape}, not floats (T, 23, 3); give the keypoints' file.")
        _common.check_length(path, shape[0], length)
        rows = [np.frombuffer(_exactly(path, file, 69 * dtype.itemsize, t), dtype) for t in range(length)]
        _finish(path, file, length)
    values = np.array(rows, np.float64).reshape(length, 23, 3)
    if np.isinf(values).any():
        raise GaitloomError(f"{path}: frame {np.isinf(values).any(axis=(1, 2)).argmax()} has an infinite number.")
    found = _common.points(values)
    return Person(found[..., :2], found[..., 2], WHOLEBODY_23.points)


def write_keypoints(path: Path, person: Person) -> None:
    """Write the points of COCO-WholeBody's first 23 as float32."""
    if person.names != WHOLEBODY_23.points:
        raise GaitloomError(f"{path}: ProGait's layout holds COCO-WholeBody's first 23 points; write that view.")
    values = _common.zeros_for_nan(person)
    with _written(path) as file:
        _put_header(file, values.shape, values.dtype)
        file.write(np.ascontiguousarray(values).data)


def read_masks(path: Path, length: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """(H, W) bool for every frame, from bool or whole numbers; what is not 0 is the person. The header is checked at
    once, the rest as it passes."""
    with _opened(path) as file:
        shape, dtype = _header(path, file)
    if len(shape) != 4 or shape[3] != 1 or dtype.kind not in ("b", "u", "i"):
        raise GaitloomError(f"{path}: it holds {dtype} {shape}, not whole numbers (T, H, W, 1); give the masks' file.")
    _common.check_length(path, shape[0], length)
    _common.check_size(path, "its picture", (shape[2], shape[1]), size)

    def frames() -> Iterator[np.ndarray]:
        with _opened(path) as file:
            _header(path, file)
            for t in range(length):
                data = _exactly(path, file, size[0] * size[1] * dtype.itemsize, t)
                yield np.frombuffer(data, dtype).reshape(size[::-1]) != 0
            _finish(path, file, length)

    return frames()


def write_masks(path: Path, masks: Iterable[np.ndarray], length: int, size: tuple[int, int]) -> None:
    """Write (H, W) bool masks as uint8 0 and 1, which ProGait's own code multiplies pictures with."""
    with _written(path) as file:
        _put_header(file, (length, size[1], size[0], 1), np.dtype(np.uint8))
        for mask in _common.counted(path, masks, length, size):
            file.write(np.ascontiguousarray(mask, np.uint8).data)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with gzip.open(path, "rb") as file:
            yield cast(BinaryIO, file)
    except (OSError, EOFError, zlib.error) as error:
        raise GaitloomError(f"{path}: it cannot be unpacked ({error}); copy the file again.") from None


@contextmanager
def _written(path: Path) -> Iterator[gzip.GzipFile]:
    """Without a name and time in the header, so that the same arrays give the same bytes."""
    with _common.writing(path) as raw, gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as file:
        yield file


def _header(path: Path, file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    """The array's shape and type; its frames must follow each other."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"version {version}")
        shape, fortran, dtype = HEADERS[version](file)
    except ValueError as error:
        raise GaitloomError(f"{path}: it holds no .npy array ({error}); give a .npy.gz file.") from None
    if dtype.hasobject or fortran:
        kind = "pickled objects, which may run code" if dtype.hasobject else "frames in Fortran order"
        raise GaitloomError(f"{path}: it holds {kind}; save a plain array in C order.")
    return shape, dtype


def _put_header(file: gzip.GzipFile, shape: tuple[int, ...], dtype: np.dtype) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(cast(BinaryIO, file), header)


def _exactly(path: Path, file: BinaryIO, count: int, frame: int) -> bytes:
    try:
        data = file.read(count)
    except (EOFError, zlib.error, OSError) as error:
        raise GaitloomError(f"{path}: frame {frame} cannot be unpacked ({error}); copy the file again.") from None
    if len(data) < count:
        raise GaitloomError(f"{path}: it ends within frame {frame}; copy the file again.")
    return data


def _finish(path: Path, file: BinaryIO, length: int) -> None:
    """Read to the end, where gzip compares its checksum."""
    if file.read(1):
        raise GaitloomError(f"{path}: more follows after its {length} frames; check what wrote the file.")
