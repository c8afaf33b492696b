"""Health&Gait's files: pose JSON, silhouette and part pictures, flow pictures, and its folders' names.

Sources: AVAuco/healthgait (its loaders, media and gait_parameters_estimation.py) and Sci Data 12:1 (2025). Its pose
files name their joints `l_ankle`, `r_ankle`; the others are not published and taken to follow. Silhouettes and parts
are pictures named by their frame (`013.jpg`), from the first frame in which the person was found; parts are coloured as
`gaitloom.part_labels.COLOURS`, whose left and right are inferred there.

Flow is written only: its pictures show direction, and the magnitude between the frame's own least and greatest. How far
anything moved is not in them, so nothing can read it back; give readers the float flow.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gaitloom.errors import GaitloomError
from gaitloom.exchange import Person, _common
from gaitloom.keypoint_formats import COCO_17, WHOLEBODY_23
from gaitloom.part_labels import COLOURS

# Mixtures of two of the colours, as smoothed edges are, lie at most 142.3 from one of them; a colour farther away is
# none of theirs. Within 32 a pixel is plainly of its colour.
FARTHEST, NEAR = 143.0, 32.0
GROUPS = {"NW": "UGS", "FW": "FGS"}
SPEEDS = {name: speed for speed, group in GROUPS.items() for name in (speed, group)}  # by either name


@dataclass(frozen=True)
class Folder:
    """A trial's folder or file stem, `NW-WJ_1_AlphaPose`: `speed` NW (usual, in the folder UGS) or FW (fast, FGS),
    `clothing` WJ (with jacket) or WoJ, `direction` 1 (right to left) or 2, and the `tool`, which flow does not have.
    `trial`, letters and digits after the clothing (`NW-WJ-trial3_1`), is ours: its loaders pass over it."""

    speed: str
    clothing: str
    direction: int
    tool: str | None = None
    trial: str = ""

    @classmethod
    def parse(cls, name: str) -> "Folder":
        """Read a folder's name or a file's stem."""
        found = re.fullmatch(r"(NW|FW)-(WJ|WoJ)(?:-([a-zA-Z0-9-]+))?_([12])(?:_(\w+))?", name, re.ASCII)
        if not found:
            raise GaitloomError(f"{name}: this is no name of Health&Gait's; they are like NW-WJ_1 or FW-WoJ_2_YOLOV8.")
        return cls(found[1], found[2], int(found[4]), found[5], found[3] or "")

    def __str__(self) -> str:
        walk = "-".join(filter(None, (self.speed, self.clothing, self.trial)))
        return "_".join([walk, str(self.direction), *([self.tool] if self.tool else [])])

    @property
    def group(self) -> str:
        """The folder above it."""
        return GROUPS[self.speed]


def read_pose(path: Path, length: int) -> Person:
    """Points by name from a list of {"frame", "joints": null or {name: {"x", "y"}}}, one for every frame from 0.

    Names are COCO-17's, with `l_` and `r_` for left and right; with feet, COCO-WholeBody's first 23. A joint's `score`
    is kept, 1 where it has none; a joint that is null or left out is absent.
    """
    data = _common.of(path, "the whole", list, _common.load_json(path))
    poses: dict[int, dict[str, Any]] = {}
    for n, entry in enumerate(data):
        frame = _common.frame_index(path, _common.get(path, f"entry {n}", entry, "frame", int), length)
        if frame in poses:
            raise GaitloomError(f"{path}: frame {frame} is there twice; give the file of one clip.")
        joints = entry.get("joints")
        poses[frame] = {} if joints is None else _common.of(path, f"frame {frame}: 'joints'", dict, joints)
    missing = sorted(set(range(length)) - set(poses))
    if missing:
        raise GaitloomError(f"{path}: frame {missing[0]} is missing; the list must hold every frame of the clip.")
    used = {name for joints in poses.values() for name in joints}
    form = COCO_17 if used <= {_short(n) for n in COCO_17.points} | set(COCO_17.points) else WHOLEBODY_23
    number = {spelt: i for i, name in enumerate(form.points) for spelt in (name, _short(name))}
    found = np.full((length, len(form.points), 3), np.nan)
    for frame, joints in poses.items():
        for name, joint in joints.items():
            if name not in number:
                known = ", ".join(map(_short, form.points))
                raise GaitloomError(f"{path}: frame {frame} has a joint {name!r}; the names known are {known}.")
            if np.isfinite(found[frame, number[name], 0]):
                raise GaitloomError(f"{path}: frame {frame} has {_short(name)} by two names; keep one.")
            if joint is not None:
                where = f"frame {frame}: {name}"
                values = [_common.of(path, where, dict, joint).get(key) for key in ("x", "y")]
                found[frame, number[name]] = _common.numbers(path, where, [*values, joint.get("score", 1)], (3,))
    found[np.isnan(found).any(axis=-1)] = (np.nan, np.nan, 0)
    found = found.astype(np.float32)
    return Person(found[..., :2], found[..., 2], form.points)


def write_pose(path: Path, person: Person) -> None:
    """Write COCO-17's points, or COCO-WholeBody's first 23; joints is null where the person is not valid."""
    if person.names not in (COCO_17.points, WHOLEBODY_23.points):
        raise GaitloomError(
            f"{path}: Health&Gait's pose holds COCO-17's points, or those and the feet; write that view."
        )
    with _common.writing(path) as file:
        file.write(b"[")
        for frame, (xy, score) in enumerate(zip(person.xy.astype(float), person.score.astype(float), strict=True)):
            there = np.flatnonzero(np.isfinite(xy[:, 0]))
            joints = {_short(person.names[i]): {"x": xy[i, 0], "y": xy[i, 1], "score": score[i]} for i in there}
            entry = {"frame": frame, "joints": joints or None}
            file.write((",\n" if frame else "").encode() + _common.dumps(entry).encode())
        file.write(b"]\n")


def _short(name: str) -> str:
    return re.sub("^left_", "l_", re.sub("^right_", "r_", name))


def read_silhouettes(folder: Path, length: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """(H, W) bool for every frame: grey above 127 in its JPEG or PNG, nothing where there is no file."""
    import cv2

    files = _common.numbered_files(folder, length, (".jpg", ".png"))

    def masks() -> Iterator[np.ndarray]:
        for frame in range(length):
            file = files.get(frame)
            yield np.zeros(size[::-1], bool) if file is None else _picture(file, cv2.IMREAD_GRAYSCALE, size) > 127

    return masks()


def write_silhouettes(
    folder: Path, masks: Iterable[np.ndarray], length: int, size: tuple[int, int], suffix: str = ".jpg"
) -> None:
    """Write the frames that show the person, white on black, as `.jpg` or `.png`.

    JPEG of quality 95 keeps every pixel on its side of 127: all of its rounding together moves a grey value by less
    than 50 (an eighth of the sum of its quantisation table).
    """
    import cv2

    for frame, mask in enumerate(_common.counted(folder, masks, length, size)):
        if mask.any():
            _put(folder, frame, length, suffix, mask.astype(np.uint8) * 255, [cv2.IMWRITE_JPEG_QUALITY, 95])


def read_parts(folder: Path, length: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """(H, W) uint8 for every frame: DensePose's coarse labels by the nearest colour, 0 where there is no file.

    Smoothed edges go to the colour that they are nearest to. A colour that is no mixture of two of the palette, or that
    fills 5x5 pixels without being of it, is refused: then the picture is coloured by another table.
    """
    import cv2

    files = _common.numbered_files(folder, length, (".png",))

    def labels() -> Iterator[np.ndarray]:
        for frame in range(length):
            file = files.get(frame)
            if file is None:
                yield np.zeros(size[::-1], np.uint8)
            else:
                yield _label(file, _picture(file, cv2.IMREAD_COLOR_RGB, size))

    return labels()


def write_parts(folder: Path, labels: Iterable[np.ndarray], length: int, size: tuple[int, int]) -> None:
    """Write the frames that show the person, (H, W) uint8 of DensePose's coarse labels, as PNG in the palette."""
    count = -1
    for count, label in enumerate(labels):
        if label.dtype != np.uint8 or label.shape != size[::-1] or label.max() >= len(COLOURS):
            raise GaitloomError(
                f"{folder}: label map {count} is not uint8 {size[::-1]} of DensePose's 14 coarse parts."
            )
        if count < length and label.any():
            _put(folder, count, length, ".png", COLOURS[label][..., ::-1])
    _common.check_length(folder, count + 1, length)


def write_flow(folder: Path, flows: Iterable[np.ndarray | None], length: int) -> None:
    """Write (H, W, 2) float flow, x right and y down, of each of `length` frames as HSV pictures; None, where there is
    no flow, is left out.

    Hue is the direction (0 right, 90° down), saturation full, value the magnitude from the frame's least (0) to its
    greatest (255): the published pictures, as far as they can be told, come from OpenCV's dense flow tutorial.
    """
    import cv2

    frame = -1
    for frame, flow in enumerate(flows):
        if flow is None:
            continue
        if flow.ndim != 3 or flow.shape[2] != 2 or not np.isfinite(flow).all():
            raise GaitloomError(f"{folder}: frame {frame}'s flow is not (H, W, 2) finite numbers.")
        magnitude, angle = cv2.cartToPolar(*np.moveaxis(flow.astype(np.float32), 2, 0), angleInDegrees=True)
        least, greatest = magnitude.min(), magnitude.max()
        hsv = np.full((*flow.shape[:2], 3), 255, np.uint8)
        hsv[..., 0] = np.rint(angle / 2).astype(int) % 180
        hsv[..., 2] = np.rint((magnitude - least) / max(greatest - least, 1e-12) * 255)
        _put(folder, frame, length, ".png", cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR))
    _common.check_length(folder, frame + 1, length)


def _picture(path: Path, how: int, size: tuple[int, int]) -> np.ndarray:
    import cv2

    data = np.fromfile(path, np.uint8)
    picture = cv2.imdecode(data, how) if len(data) else None
    if picture is None:
        raise GaitloomError(f"{path}: this is no picture that can be read; copy the file again.")
    _common.check_size(path, "the picture", picture.shape[1::-1], size)
    return picture


def _put(
    folder: Path, frame: int, length: int, suffix: str, picture: np.ndarray, options: list[int] | None = None
) -> None:
    """Write a frame's picture, `013.png`; in clips of more than 1000 frames all names are longer, since its loaders
    sort them as text."""
    import cv2

    if suffix not in (".jpg", ".png"):
        raise GaitloomError(f"{folder}: pictures are written as .jpg or .png, not {suffix}.")
    _, data = cv2.imencode(suffix, picture, options or [])
    with _common.writing(folder / f"{frame:0{max(3, len(str(length - 1)))}d}{suffix}") as file:
        file.write(data.data)


def _label(path: Path, picture: np.ndarray) -> np.ndarray:
    """(H, W) uint8: the nearest of the palette's colours."""
    import cv2

    packed = picture.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    there, inverse = np.unique(packed, return_inverse=True)
    rgb = np.stack([there >> 16, there >> 8 & 255, there & 255], axis=1).astype(np.int64)
    distance = np.linalg.norm(rgb[:, None] - COLOURS[None].astype(np.int64), axis=2)
    nearest, far = distance.argmin(axis=1).astype(np.uint8), distance.min(axis=1)
    off = (far > NEAR)[inverse].reshape(packed.shape)
    if (far > FARTHEST).any() or cv2.erode(off.astype(np.uint8), np.ones((5, 5), np.uint8)).any():
        worst = rgb[far.argmax()]
        raise GaitloomError(f"{path}: the colour {tuple(worst.tolist())} is none of the 14 parts' colours.")
    return nearest[inverse].reshape(packed.shape)
