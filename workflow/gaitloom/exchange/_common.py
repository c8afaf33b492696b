"""What the layouts share: reading strictly, writing whole files, and finding the one person among several."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gaitloom.errors import GaitloomError
from gaitloom.exchange import Person
from gaitloom.keypoint_formats import BLAZEPOSE_33, COCO_17, HALPE_26, OPENPOSE_18, WHOLEBODY_23, KeypointFormat
from gaitloom.tracking import iou

# COCO-WholeBody's 133 and Halpe-FullBody's 136 begin with the body and feet that we have formats for (their READMEs).
LEADING = {"coco_wholebody_133": (133, WHOLEBODY_23), "halpe_136": (136, HALPE_26)}
FORMATS = {f.name: (len(f.points), f) for f in (COCO_17, OPENPOSE_18, WHOLEBODY_23, HALPE_26, BLAZEPOSE_33)} | LEADING

# Below this overlap a person in a file is not the one that the clip's box shows.
MIN_IOU = 0.3


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name only when it is complete; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_json(path: Path) -> Any:
    """A JSON file's content."""
    return parse_json(path, read_text(path))


def parse_json(path: Path, text: str) -> Any:
    """The content of a file's text, or of a line of it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GaitloomError(f"{path}: this is not JSON ({error}); export the file again.") from None


def read_text(path: Path) -> str:
    """A text file's content."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GaitloomError(f"{path}: the file cannot be read ({error}); check the path.") from None


def dumps(value: Any) -> str:
    """Compact JSON; NaN is refused, since JSON has none."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def of(path: Path, where: str, kind: type, value: Any) -> Any:
    """`value` if it is a `list`, `dict`, `int` or `str`; a bool is no int."""
    if not isinstance(value, kind) or isinstance(value, bool):
        names = {list: "a list", dict: "an object", int: "a whole number", str: "a text"}
        raise GaitloomError(f"{path}: {where} is {_short(value)}, not {names[kind]}; check what wrote the file.")
    return value


def get(path: Path, where: str, entry: Any, key: str, kind: type) -> Any:
    """An object's value, which must be there."""
    if key not in of(path, where, dict, entry):
        raise GaitloomError(f"{path}: {where} has no {key!r}; check what wrote the file.")
    return of(path, f"{where}: {key!r}", kind, entry[key])


def numbers(path: Path, where: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """float64 numbers of that shape (-1 for any count); null counts as NaN, infinity is refused."""
    try:
        array = np.array(values, np.float64)
        if isinstance(values, (str, dict)) or (np.abs(array) > np.finfo(np.float32).max).any():
            raise ValueError
        return array.reshape(shape)
    except (ValueError, TypeError):
        wanted = "numbers" if -1 in shape or not shape else f"{math.prod(shape)} numbers"
        raise GaitloomError(
            f"{path}: {where} is not {wanted} but {_short(values)}; check what wrote the file."
        ) from None


def either(values: Iterable[Any]) -> str:
    """`17 or 26`, sorted."""
    return " or ".join(map(str, sorted(values)))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"


def frame_number(path: Path, label: Any) -> int:
    """The number that a picture's name ends with (`frame_000012.jpg` → 12), or the number itself."""
    if isinstance(label, int) and not isinstance(label, bool):
        return label
    found = re.search(r"[0-9]+$", Path(label).stem) if isinstance(label, str) else None
    if not found:
        raise GaitloomError(f"{path}: {_short(label)} does not end with a frame number; name pictures like 12.jpg.")
    return int(found[0])


def frame_index(path: Path, label: Any, length: int, first: int = 0) -> int:
    """The frame, counted from 0, that a picture named after its number (from `first` on) shows."""
    frame = frame_number(path, label) - first
    if not 0 <= frame < length:
        raise GaitloomError(
            f"{path}: {_short(label)} is frame {frame} of a clip that has {length}; give the file that belongs to the "
            "clip, and the number that its first frame has."
        )
    return frame


def check_size(path: Path, where: str, found: tuple[Any, Any], size: tuple[int, int]) -> None:
    """Pictures in the file are as large as the clip's."""
    if tuple(found) != tuple(size):
        raise GaitloomError(
            f"{path}: {where} is {found[0]}x{found[1]} where the clip's frames are {size[0]}x{size[1]}; give the file "
            "made from this very video."
        )


def check_length(path: Path, found: Any, length: int) -> None:
    """The file has as many frames as the clip."""
    if found != length:
        raise GaitloomError(f"{path}: it has {found} frames where the clip has {length}; give the file of this clip.")


def format_of(path: Path, count: int, declared: str | None = None, among: Iterable[str] = FORMATS) -> KeypointFormat:
    """The format of `count` points `among` those of `FORMATS`, by its declared name or by the count alone."""
    for name in among:
        if FORMATS[name][0] == count and declared in (None, name):
            return FORMATS[name][1]
    known = ", ".join(f"{name} ({FORMATS[name][0]} points)" for name in among)
    said = f" called {declared!r}" if declared else ""
    raise GaitloomError(f"{path}: {count} points a person{said} are none of the formats known here: {known}.")


def format_named(path: Path, names: tuple[str, ...]) -> KeypointFormat:
    """The format whose points these are."""
    for _, form in FORMATS.values():
        if form.points == names:
            return form
    raise GaitloomError(f"{path}: these {len(names)} points are none of the formats {', '.join(FORMATS)}.")


def points(found: np.ndarray) -> np.ndarray:
    """float32 x, y, score (…, 3) as the project has them. The layouts write an absent point as zeros, which in a
    picture would be the very corner with no confidence; NaN is taken for the same."""
    out = found.astype(np.float32)
    absent = np.isnan(out).any(axis=-1) | ~out.any(axis=-1)
    out[absent] = (np.nan, np.nan, 0)
    return out


def zeros_for_nan(person: Person) -> np.ndarray:
    """(T, K, 3) float32 x, y, score with zeros for absent points."""
    return np.nan_to_num(np.dstack([person.xy, person.score[..., None]])).astype(np.float32)


def extent(xy: np.ndarray) -> np.ndarray:
    """(4,) the xyxy box around (K, 2) points, NaN without any."""
    there = xy[np.isfinite(xy).all(axis=1)]
    return np.concatenate([there.min(axis=0), there.max(axis=0)]) if len(there) else np.full(4, np.nan)


def xywh(box: np.ndarray) -> list[float]:
    """A box as its corner and size; exact, and back, for the values that pictures have."""
    x0, y0, x1, y1 = map(float, box)
    return [x0, y0, x1 - x0, y1 - y0]


def xyxy(box: np.ndarray) -> np.ndarray:
    """(4,) float32 of a corner and size."""
    return np.concatenate([box[:2], box[:2] + box[2:]]).astype(np.float32)


def choose(path: Path, frame: int, found: Sequence[np.ndarray], boxes: np.ndarray | None) -> int | None:
    """Which of the people `found` (boxes (4,) xyxy) in a frame is the clip's subject, `boxes` (T, 4): the one of
    greatest overlap, at least `MIN_IOU`; without `boxes` the only one. None where nobody is."""
    if not found or (boxes is not None and not np.isfinite(boxes[frame]).all()):
        return None
    if boxes is None:
        if len(found) > 1:
            raise GaitloomError(f"{path}: frame {frame} shows {len(found)} people; say by boxes who is meant.")
        return 0
    overlap = np.nan_to_num(iou(np.array(found, float), boxes[frame][None].astype(float))[:, 0])
    best = int(overlap.argmax())
    return best if overlap[best] >= MIN_IOU else None


def counted(path: Path, masks: Iterable[np.ndarray], length: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """The masks, held to their number, size and type as they pass."""
    count = 0
    for mask in masks:
        if count < length and (mask.dtype != bool or mask.shape != size[::-1]):
            raise GaitloomError(f"{path}: mask {count} is {mask.dtype} {mask.shape}, not bool {size[::-1]}.")
        count += 1
        if count <= length:
            yield mask
    check_length(path, count, length)


def sides(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """The first and last column and row (x0, y0, x1, y1, inclusive) of a mask; None where it is empty."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])) if len(rows) else None


def numbered_files(folder: Path, length: int, suffixes: Iterable[str]) -> dict[int, Path]:
    """A folder's pictures by frame: names are frame numbers of three digits or more, and nothing else lies there."""
    if not folder.is_dir():
        raise GaitloomError(f"{folder}: there is no such folder; give the one that holds the pictures.")
    files: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if not re.fullmatch(rf"[0-9]{{3,}}({'|'.join(map(re.escape, suffixes))})", path.name):
            raise GaitloomError(f"{path}: pictures are named by their frame, like 013{next(iter(suffixes))}.")
        frame = frame_index(path, path.name, length)
        if frame in files:
            raise GaitloomError(f"{path}: frame {frame} is there twice, beside {files[frame].name}.")
        files[frame] = path
    return files
