"""ChildGait-Video's frame records, as JSON: a list, or one record a line.

A record has `frame_index` from 0, `video_info` {video_name, width, height, fps, total_frames}, and `instance_info`: a
list of people with `keypoints` [[x, y], …] in pixels; as in MMPose's and Sapiens' dumps that it mirrors also
`keypoint_scores`, `bbox` [[x0, y0, x1, y1]] and `bbox_score`. Sources: the data set's card (PediaMedAI/ChildGait) for
the first, open-mmlab/mmpose and facebookresearch/sapiens for the rest. How many points the data set has is not
published; `keypoint_format`, which we write, says it here.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from gaitloom.errors import GaitloomError
from gaitloom.exchange import Person, _common


def read(path: Path, length: int, size: tuple[int, int], boxes: np.ndarray | None = None) -> Person:
    """One person's points: the only one in each record, or the one that overlaps `boxes` (T, 4) xyxy.

    The format is the one that `keypoint_format` names, else the only known one with so many points; 133 give
    COCO-WholeBody's first 23. A point at exactly 0, 0 without a score, or scored 0, is absent; points without scores
    get 1. Gives `box` and `box_score` where the file has them. Frames without a record are not valid.
    """
    people: dict[int, list[Any]] = {}
    kinds: set[tuple[int, str | None]] = set()
    for n, record in enumerate(_records(path)):
        frame = _common.frame_index(path, _common.get(path, f"record {n}", record, "frame_index", int), length)
        if frame in people:
            raise GaitloomError(f"{path}: frame {frame} is there twice; give the records of one video.")
        info = record.get("video_info", {})
        if "total_frames" in _common.of(path, f"frame {frame}: 'video_info'", dict, info):
            _common.check_length(path, info["total_frames"], length)
        if "width" in info or "height" in info:
            _common.check_size(path, f"frame {frame}", (info.get("width"), info.get("height")), size)
        people[frame] = _common.get(path, f"frame {frame}", record, "instance_info", list)
        declared = record.get("keypoint_format")
        for person in people[frame]:
            kinds.add((len(_common.get(path, f"frame {frame}", person, "keypoints", list)), declared))
    if len(kinds) > 1:
        raise GaitloomError(
            f"{path}: people differ in their points, {_common.either(map(str, kinds))}; split the file."
        )
    count, declared = kinds.pop() if kinds else (23, None)
    form = _common.format_of(path, count, declared)

    found = np.full((length, len(form.points), 3), np.nan, np.float32)
    box = np.full((length, 4), np.nan, np.float32)
    box_score = np.full(length, np.nan, np.float32)
    for frame, seen in people.items():
        poses = [_pose(path, frame, person, count)[: len(form.points)] for person in seen]
        theirs = [_box(path, frame, person) for person in seen]
        around = [_common.extent(p[:, :2]) if b is None else b for p, b in zip(poses, theirs, strict=True)]
        chosen = _common.choose(path, frame, around, boxes)
        if chosen is not None:
            found[frame], box[frame] = poses[chosen], np.nan if theirs[chosen] is None else theirs[chosen]
            scored = seen[chosen].get("bbox_score")
            box_score[frame] = _common.numbers(path, f"frame {frame}: bbox_score", scored, ())
    found = _common.points(found)
    return Person(
        found[..., :2],
        found[..., 2],
        form.points,
        box if np.isfinite(box).any() else None,
        box_score if np.isfinite(box_score).any() else None,
    )


def records(
    person: Person,
    size: tuple[int, int],
    fps: float | Fraction,
    video_name: str,
    time: np.ndarray | None = None,
) -> Iterator[dict[str, Any]]:
    """A record for every frame, its people empty where the person is not valid.

    `fps` is a whole number where it is one. Given as a fraction, it is always a float, and beside it stands
    `fps_exact` ("30000/1001"): the data set's own whole numbers are cut off. `time` (T,) seconds adds `time`.
    """
    declared = _common.format_named(Path(video_name), person.names).name
    info: dict[str, Any] = {"video_name": video_name, "width": size[0], "height": size[1]}
    if isinstance(fps, Fraction):
        info |= {"fps": float(fps), "fps_exact": f"{fps.numerator}/{fps.denominator}"}
    else:
        info["fps"] = int(fps) if float(fps).is_integer() else float(fps)
    info["total_frames"] = len(person.xy)
    values, valid = _common.zeros_for_nan(person).astype(float), person.valid
    for frame in range(len(person.xy)):
        seen: list[dict[str, Any]] = []
        if valid[frame]:
            seen.append({"keypoints": values[frame, :, :2].tolist(), "keypoint_scores": values[frame, :, 2].tolist()})
            if person.box is not None and np.isfinite(person.box[frame]).all():
                seen[0]["bbox"] = [person.box[frame].astype(float).tolist()]
            if person.box_score is not None and np.isfinite(person.box_score[frame]):
                seen[0]["bbox_score"] = float(person.box_score[frame])
        when = {} if time is None else {"time": float(time[frame])}
        about = {"keypoint_format": declared, "frame_index": frame, **when}
        yield {**about, "video_info": info, "instance_info": seen}


def write(
    path: Path,
    person: Person,
    size: tuple[int, int],
    fps: float | Fraction,
    video_name: str,
    lines: bool = False,
    time: np.ndarray | None = None,
) -> None:
    """Write `records`: a list, or one a line with `lines`."""
    _common.format_named(path, person.names)  # before the file is opened
    with _common.writing(path) as file:
        start, between, end = (b"", b"\n", b"\n") if lines else (b"[", b",\n", b"]\n")
        for frame, record in enumerate(records(person, size, fps, video_name, time)):
            file.write((between if frame else start) + _common.dumps(record).encode())
        file.write(end if len(person.xy) else start + end)


def _records(path: Path) -> Iterator[Any]:
    """A list's records, each line's, or the one that the file is."""
    text = _common.read_text(path)
    if text.lstrip()[:1] == "[":
        yield from _common.of(path, "the whole", list, _common.parse_json(path, text))
        return
    rows = [line for line in text.splitlines() if line.strip()]
    if rows and rows[0].strip() == "{":  # one record, over several lines
        rows = [text]
    yield from (_common.of(path, "a record", dict, _common.parse_json(path, row)) for row in rows)


def _pose(path: Path, frame: int, person: Any, count: int) -> np.ndarray:
    xy = _common.numbers(path, f"frame {frame}: keypoints", person["keypoints"], (count, 2))
    scores = person.get("keypoint_scores")
    if scores is None:
        score = np.where(np.isfinite(xy).all(axis=1) & xy.any(axis=1), 1.0, 0.0)
    else:
        score = _common.numbers(path, f"frame {frame}: keypoint_scores", scores, (count,))
    return _common.points(np.column_stack([xy, score]))


def _box(path: Path, frame: int, person: Any) -> np.ndarray | None:
    box = person.get("bbox")
    return None if box is None else _common.numbers(path, f"frame {frame}: bbox", box, (4,)).astype(np.float32)
