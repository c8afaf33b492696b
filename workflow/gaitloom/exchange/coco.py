"""COCO JSON: `images`, `categories`, and one annotation a person and picture, with keypoints, a segmentation, or both.

Keypoints are [x, y, v, …] under the category's own names, v 0 not labelled, 1 labelled though hidden, 2 labelled and
seen. Boxes are [x, y, width, height]. A segmentation is run lengths column by column, plain or compressed, or polygons.
A picture's frame is its `frame_index`, else the number that its `file_name` ends with, else its `id`. COCO has no
scores for labels: ours are kept in `keypoint_scores`, which other readers pass over. Source:
cocodataset.org/#format-data; pycocotools, whose code reads and makes the segmentations here.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gaitloom.errors import GaitloomError
from gaitloom.exchange import Person, _common
from gaitloom.keypoint_formats import of


def read_keypoints(
    path: Path,
    length: int,
    size: tuple[int, int],
    boxes: np.ndarray | None = None,
    category: str | None = None,
    first: int = 0,
) -> Person:
    """One person's labelled points: the only one in each picture, or the one that overlaps `boxes` (T, 4) xyxy.

    `category` is its name, where several have keypoints. Pictures are numbered from `first`. Gives score 1 for each
    labelled point where the file has no `keypoint_scores`; `occluded` (v = 1); `box`. Pictures that are not there are
    frames that are not valid.
    """
    data, frames = _load(path, length, size, first)
    which, names = _category(path, data, category)
    found = np.full((length, len(names), 3), np.nan, np.float32)
    occluded = np.zeros(found.shape[:2], bool)
    box = np.full((length, 4), np.nan, np.float32)
    of_frame = _annotations(path, data, frames, lambda a: a.get("category_id") == which and "keypoints" in a)
    for frame, annotations in of_frame.items():
        people = [_points(path, frame, annotation, len(names)) for annotation in annotations]
        theirs = [_box(path, frame, annotation) for annotation in annotations]
        around = [_common.extent(p[0]) if b is None else b for p, b in zip(people, theirs, strict=True)]
        chosen = _common.choose(path, frame, around, boxes)
        if chosen is not None:
            xy, score, occluded[frame] = people[chosen]
            found[frame] = np.column_stack([xy, score])
            box[frame] = np.nan if theirs[chosen] is None else theirs[chosen]
    score = np.nan_to_num(found[..., 2])
    return Person(found[..., :2], score, names, box if np.isfinite(box).any() else None, occluded=occluded)


def read_masks(
    path: Path,
    length: int,
    size: tuple[int, int],
    boxes: np.ndarray | None = None,
    category: str | None = None,
    first: int = 0,
) -> Iterator[np.ndarray]:
    """(H, W) bool for every frame: one person's segmentation, chosen as in `read_keypoints`."""
    data, frames = _load(path, length, size, first)
    ids = {_common.get(path, "a category", c, "id", int): c.get("name") for c in data["categories"]}
    if category is not None and category not in ids.values():
        raise GaitloomError(
            f"{path}: there is no category {category!r}; it has {_common.either(map(str, ids.values()))}."
        )
    of_frame = _annotations(
        path, data, frames, lambda a: category in (None, ids.get(a.get("category_id"))) and bool(a.get("segmentation"))
    )

    def masks() -> Iterator[np.ndarray]:
        for frame in range(length):
            found = [_decode(path, frame, a["segmentation"], size) for a in of_frame.get(frame, ())]
            sides = [_common.sides(mask) for mask in found]
            around = [np.full(4, np.nan) if s is None else np.array([s[0], s[1], s[2] + 1, s[3] + 1]) for s in sides]
            chosen = _common.choose(path, frame, around, boxes)
            yield np.zeros(size[::-1], bool) if chosen is None else found[chosen]

    return masks()


def write(
    path: Path,
    length: int,
    size: tuple[int, int],
    person: Person | None = None,
    masks: Iterable[np.ndarray] | None = None,
    category: str = "person",
    file_name: str = "{:06d}.jpg",
    first: int = 0,
    compressed: bool = True,
    info: dict[str, Any] | None = None,
) -> None:
    """Write all pictures of the clip, and an annotation for each in which the person has a point or a mask pixel.

    Pictures are called `file_name` after their number, counted from `first`; their ids are those numbers. An
    annotation's box is the person's, else the mask's, else the points'.
    """
    kind: dict[str, Any] = {"id": 1, "name": category, "supercategory": category}
    if person:
        _common.check_length(path, len(person.xy), length)
        kind |= {"keypoints": list(person.names), "skeleton": [[a + 1, b + 1] for a, b in of(person.names).edges]}
    stream = _common.counted(path, masks, length, size) if masks is not None else None
    with _common.writing(path) as file:
        images = (
            {"id": n, "file_name": file_name.format(n), "width": size[0], "height": size[1]}
            for n in range(first, first + length)
        )
        file.write(b'{"info":' + _common.dumps(info or {}).encode())
        file.write(b',\n"categories":[' + _common.dumps(kind).encode() + b'],\n"images":[')
        for n, image in enumerate(images):
            file.write((",\n" if n else "").encode() + _common.dumps(image).encode())
        file.write(b'],\n"annotations":[')
        count = 0
        for frame in range(length):
            mask = next(stream) if stream is not None else None
            annotation = _annotation(person, mask, frame, compressed)
            if annotation:
                count += 1
                head = {"id": count, "image_id": frame + first, "category_id": 1, "iscrowd": 0}
                file.write((",\n" if count > 1 else "").encode() + _common.dumps(head | annotation).encode())
        if stream is not None:
            next(stream, None)  # so that one mask too many is noticed
        file.write(b"]}\n")


def _annotation(person: Person | None, mask: np.ndarray | None, frame: int, compressed: bool) -> dict[str, Any]:
    """What one frame has; nothing where nobody is."""
    out: dict[str, Any] = {}
    box = None
    if person and person.valid[frame]:
        there = np.isfinite(person.xy[frame, :, 0])
        hidden = there & (False if person.occluded is None else person.occluded[frame])
        xy = np.nan_to_num(person.xy[frame]).astype(float)
        out["keypoints"] = [
            v for (x, y), t, h in zip(xy, there, hidden, strict=True) for v in (x, y, 2 * int(t) - int(h))
        ]
        out["num_keypoints"] = int(there.sum())
        out["keypoint_scores"] = person.score[frame].astype(float).tolist()
        box = _common.extent(person.xy[frame])
    sides = None if mask is None else _common.sides(mask)
    if mask is not None and sides:
        out["segmentation"] = _encode(mask, compressed)
        out["area"] = int(mask.sum())
        box = np.array([sides[0], sides[1], sides[2] + 1, sides[3] + 1])
    if person and person.box is not None and np.isfinite(person.box[frame]).all() and out:
        box = person.box[frame]
    if box is not None:
        out["bbox"] = _common.xywh(box)
        out.setdefault("area", out["bbox"][2] * out["bbox"][3])
    return out


def _load(path: Path, length: int, size: tuple[int, int], first: int) -> tuple[dict[str, Any], dict[int, int]]:
    """The document, and the frame of each picture's id."""
    data = _common.load_json(path)
    for key in ("images", "categories", "annotations"):
        _common.get(path, "the whole", data, key, list)
    frames: dict[int, int] = {}
    for n, image in enumerate(data["images"]):
        identity = _common.get(path, f"image {n}", image, "id", int)
        name = image.get("file_name")
        if image.get("frame_index") is not None:
            label = _common.get(path, f"image {n}", image, "frame_index", int)
        else:
            label = name if isinstance(name, str) and Path(name).stem[-1:].isdigit() else identity
        frame = _common.frame_index(path, label, length, first)
        if identity in frames or frame in frames.values():
            raise GaitloomError(f"{path}: frame {frame}, image {identity}, is there twice; give the file of one clip.")
        if "width" in image or "height" in image:
            _common.check_size(path, f"frame {frame}", (image.get("width"), image.get("height")), size)
        frames[identity] = frame
    return data, frames


def _category(path: Path, data: dict[str, Any], category: str | None) -> tuple[int, tuple[str, ...]]:
    """The id and point names of the category asked for, or of the only one that has any."""
    has = [c for c in data["categories"] if _common.of(path, "a category", dict, c).get("keypoints")]
    mine = [c for c in has if category in (None, c.get("name"))]
    if len(mine) != 1:
        known = _common.either(str(c.get("name")) for c in has) or "none"
        raise GaitloomError(f"{path}: its categories with keypoints are {known}; say which one is meant.")
    names = _common.get(path, "the category", mine[0], "keypoints", list)
    return _common.get(path, "the category", mine[0], "id", int), tuple(map(str, names))


def _annotations(path: Path, data: dict[str, Any], frames: dict[int, int], wanted: Any) -> dict[int, list[Any]]:
    """The annotations `wanted` of each frame."""
    out: dict[int, list[Any]] = {}
    for n, annotation in enumerate(data["annotations"]):
        image = _common.get(path, f"annotation {n}", annotation, "image_id", int)
        if image not in frames:
            raise GaitloomError(f"{path}: annotation {n} is of image {image}, which is not among the images.")
        if wanted(annotation):
            out.setdefault(frames[image], []).append(annotation)
    return out


def _points(path: Path, frame: int, annotation: Any, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(K, 2) xy, (K,) score and (K,) occluded of an annotation."""
    found = _common.numbers(path, f"frame {frame}: keypoints", annotation["keypoints"], (count, 3))
    flag = found[:, 2]
    if not np.isin(flag, (0, 1, 2)).all():
        raise GaitloomError(f"{path}: frame {frame} has a visibility other than 0, 1 and 2; give labels, not results.")
    labelled = flag > 0
    if np.isnan(found[labelled]).any():
        raise GaitloomError(f"{path}: frame {frame} has a labelled point without a place; check what wrote the file.")
    scores = annotation.get("keypoint_scores")
    where = f"frame {frame}: keypoint_scores"
    score = np.ones(count) if scores is None else np.nan_to_num(_common.numbers(path, where, scores, (count,)))
    return np.where(labelled[:, None], found[:, :2], np.nan), np.where(labelled, score, 0), flag == 1


def _box(path: Path, frame: int, annotation: Any) -> np.ndarray | None:
    if annotation.get("bbox") is None:
        return None
    return _common.xyxy(_common.numbers(path, f"frame {frame}: bbox", annotation["bbox"], (4,)))


def _encode(mask: np.ndarray, compressed: bool) -> dict[str, Any]:
    from pycocotools import mask as rle

    if compressed:
        encoded: Any = rle.encode(np.asfortranarray(mask, np.uint8))
        return {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")}
    flat = mask.ravel(order="F")
    bounds = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], bounds, [flat.size]])).tolist()
    return {"size": list(mask.shape), "counts": [0] * bool(flat[0]) + counts}


def _decode(path: Path, frame: int, segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    from pycocotools import mask as rle

    shape = list(size[::-1])
    try:
        if isinstance(segmentation, list):
            polygons = [_common.numbers(path, f"frame {frame}: a polygon", p, (-1, 2)) for p in segmentation]
            if not all(len(p) > 2 and np.isfinite(p).all() for p in polygons):
                raise ValueError("a polygon has three corners or more")
            return rle.decode(rle.merge(rle.frPyObjects(segmentation, *shape))).astype(bool)
        counts = _common.of(path, f"frame {frame}: segmentation", dict, segmentation)["counts"]
        if segmentation["size"] != shape:
            raise ValueError(f"its size is {segmentation['size']}, not {shape}")
        where = f"frame {frame}: counts"
        runs = _runs(counts) if isinstance(counts, str) else _common.numbers(path, where, counts, (-1,))
        if (runs < 0).any() or (runs % 1).any() or runs.sum() != size[0] * size[1]:
            raise ValueError("its runs do not add up to the picture")
        return np.repeat(np.arange(len(runs)) % 2 == 1, runs.astype(np.int64)).reshape(shape, order="F")
    except (ValueError, KeyError, OverflowError) as error:
        raise GaitloomError(f"{path}: frame {frame}: its segmentation does not decode ({error}).") from None


def _runs(text: str) -> np.ndarray:
    """The run lengths of COCO's compressed counts; pycocotools itself fills in what a string cut short leaves out.

    A character is 48 plus 5 bits of a number, lowest first, and 32 where more follow; the highest bit of the last is
    the sign. From the fourth number on it is the difference to the one before the last.
    """
    runs: list[int] = []
    value = bits = 0
    for code in (ord(c) - 48 for c in text):
        if not 0 <= code < 64:
            raise ValueError("its counts hold a foreign character")
        value |= (code & 31) << bits
        bits += 5
        if not code & 32:
            value -= (code & 16) << bits - 4
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = bits = 0
    if bits:
        raise ValueError("its counts are cut short")
    return np.array(runs, np.float64)
