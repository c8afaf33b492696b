"""AlphaPose's results: one JSON file a clip.

`coco`, its default: a list, one object a person and picture, with `keypoints` [x, y, score, …] in full-frame pixels,
`box` [x, y, width, height], and `score` = mean + box score + 1.25 · maximum of the points' scores (parametric pose NMS,
Fang et al., ICCV 2017; not bounded by 1). `cmu` and `open`: an object by picture name, each person as OpenPose's 18
points, the neck in the middle of the shoulders. An absent point is written, and read, as three zeros. Sources:
MVIG-SJTU/AlphaPose, docs/output.md and write_json.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gaitloom.errors import GaitloomError
from gaitloom.exchange import Person, _common
from gaitloom.keypoint_formats import COCO_17, OPENPOSE_18

# The counts of a list. AlphaPose itself has no 23 and 33; our own exports of such nodes have, and read back. Halpe's 68
# and others leave no way to tell which they are.
FORMATS = ("coco_17", "halpe_26", "coco_wholebody_23", "blazepose_33", "coco_wholebody_133", "halpe_136")
DICTS = {"cmu": ("bodies", "joints"), "open": ("people", "pose_keypoints_2d")}
VERSION = "AlphaPose v0.3"


def read_results(
    path: Path, length: int, boxes: np.ndarray | None = None, idx: int | None = None, first: int = 0
) -> Person:
    """One person's points from `alphapose-results.json` in any of its three forms, told by what the file holds.

    Where a frame shows several people, the one is taken that carries `idx` (tracking must have been on), else the one
    that overlaps `boxes` (T, 4) xyxy. Pictures are named by their number, counted from `first`. COCO-WholeBody's 133
    points give its first 23 and Halpe's 136 its first 26. Gives `box` where the file has it; `occluded` and `source`
    never. Frames that the file leaves out are not valid.
    """
    data = _common.load_json(path)
    entries = list(_listed(path, data) if isinstance(data, list) else _by_name(path, data))
    counts = {len(entry["keypoints"]) for entry in entries}
    if len(counts) > 1:
        raise GaitloomError(f"{path}: people have {_common.either(counts)} numbers; give the results of one model.")
    count = counts.pop() // 3 if counts else (17 if isinstance(data, list) else 18)
    form = _common.format_of(path, count, among=FORMATS if isinstance(data, list) else (OPENPOSE_18.name,))

    frames: dict[int, list[dict[str, Any]]] = {}
    for entry in entries:
        frames.setdefault(_common.frame_index(path, entry["image_id"], length, first), []).append(entry)
    found = np.full((length, len(form.points), 3), np.nan, np.float32)
    box = np.full((length, 4), np.nan, np.float32)
    for frame, people in frames.items():
        poses = [_common.numbers(path, f"frame {frame}: keypoints", p["keypoints"], (count, 3)) for p in people]
        poses = [_common.points(pose[: len(form.points)]) for pose in poses]
        theirs = [_box(path, frame, person) for person in people]
        if idx is not None:
            mine = [i for i, person in enumerate(people) if idx in _flat(person.get("idx"))]
            if len(mine) > 1:
                raise GaitloomError(f"{path}: frame {frame} has idx {idx} more than once; choose by boxes.")
            chosen = mine[0] if mine else None
        else:
            around = [_common.extent(pose[:, :2]) if b is None else b for pose, b in zip(poses, theirs, strict=True)]
            chosen = _common.choose(path, frame, around, boxes)
        if chosen is not None:
            found[frame], box[frame] = poses[chosen], np.nan if theirs[chosen] is None else theirs[chosen]
    found = _common.points(found)
    return Person(found[..., :2], found[..., 2], form.points, box if np.isfinite(box).any() else None)


def write_results(
    path: Path, person: Person, fmt: Literal["coco", "cmu", "open"] = "coco", first: int = 0, separate: bool = False
) -> None:
    """Write the frames in which the person is valid, as pictures `0.jpg`, `1.jpg`, … counted from `first`.

    `cmu` and `open` are made from COCO-17 points only. The box's score counts as 0 where there is none. `separate` also
    writes what AlphaPose puts beside these two: `sep-json/0.json`, …
    """
    if fmt in DICTS:
        _write_by_name(path, person, fmt, first, separate)
        return
    if _common.format_named(path, person.names).name not in FORMATS:
        raise GaitloomError(f"{path}: AlphaPose's list does not hold these {len(person.names)} points; write `open`.")
    values = _common.zeros_for_nan(person).astype(float)
    with _common.writing(path) as file:
        file.write(b"[")
        for n, frame in enumerate(np.flatnonzero(person.valid)):
            score = values[frame, :, 2].mean() + 1.25 * values[frame, :, 2].max()
            entry = {"image_id": f"{frame + first}.jpg", "category_id": 1, "keypoints": values[frame].ravel().tolist()}
            if person.box_score is not None:
                score += float(np.nan_to_num(person.box_score[frame]))
            entry["score"] = float(score)
            if person.box is not None and np.isfinite(person.box[frame]).all():
                entry["box"] = _common.xywh(person.box[frame])
            file.write((",\n" if n else "").encode() + _common.dumps(entry).encode())
        file.write(b"]\n")


def _write_by_name(path: Path, person: Person, fmt: str, first: int, separate: bool) -> None:
    if person.names != COCO_17.points:
        raise GaitloomError(f"{path}: AlphaPose's {fmt!r} form holds COCO-17's points; write it from a node of those.")
    values = _common.zeros_for_nan(person).astype(float)
    shoulders = [COCO_17.points.index(f"{side}_shoulder") for side in ("left", "right")]
    both = np.asarray(np.isfinite(person.xy[:, shoulders]).all(axis=(1, 2)))
    neck = np.where(both[:, None], values[:, shoulders].mean(axis=1), 0)
    pose = np.stack(
        [neck if name == "neck" else values[:, COCO_17.points.index(name)] for name in OPENPOSE_18.points], axis=1
    )
    people, joints = DICTS[fmt]
    result = {
        f"{frame + first}.jpg": {"version": VERSION, people: [{joints: pose[frame].ravel().tolist()}]}
        for frame in np.flatnonzero(person.valid)
    }
    with _common.writing(path) as file:
        file.write(_common.dumps(result).encode())
    for name, one in result.items() if separate else ():
        with _common.writing(path.parent / "sep-json" / f"{Path(name).stem}.json") as file:
            file.write(_common.dumps(one).encode())


def _listed(path: Path, data: list[Any]) -> Iterator[dict[str, Any]]:
    for n, entry in enumerate(data):
        _common.get(path, f"entry {n}", entry, "keypoints", list)
        if "image_id" not in entry:
            raise GaitloomError(f"{path}: entry {n} has no 'image_id'; check what wrote the file.")
        yield entry


def _by_name(path: Path, data: Any) -> Iterator[dict[str, Any]]:
    for name, picture in _common.of(path, "the whole", dict, data).items():
        people, joints = DICTS["cmu" if "bodies" in _common.of(path, name, dict, picture) else "open"]
        for person in _common.get(path, name, picture, people, list):
            yield {"image_id": name, "keypoints": _common.get(path, name, person, joints, list)}


def _flat(idx: Any) -> list[Any]:
    """AlphaPose writes a number, or a list of those that were merged, each a number or a list of one."""
    return [one for part in idx for one in _flat(part)] if isinstance(idx, list) else [idx]


def _box(path: Path, frame: int, entry: dict[str, Any]) -> np.ndarray | None:
    if entry.get("box") is None:
        return None
    return _common.xyxy(_common.numbers(path, f"frame {frame}: box", entry["box"], (4,)))
