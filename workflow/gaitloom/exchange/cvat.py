"""CVAT's "CVAT for video 1.1" XML: what annotators correct, and what ProGait's annotations come in.

A skeleton is a track with a `skeleton` in each frame and its `points` inside, by name or numbered from 1. A mask is a
track of one frame, since CVAT keeps only the first frame of a mask track; run lengths go row by row inside a window of
inclusive `left`, `top`, `width`, `height` and begin with those of zero. Sources: CVAT's XML documentation and
cvat/apps/dataset_manager (formats/cvat.py, annotation.py); pittisl/ProGait, utils.py.

CVAT reads coordinates in full but writes two decimals, forgets frames with keyframe="0" when it reads, and calls
every track's source "file" that it has read. So the points that a person moved are those that `changed` tells, not
those of a source.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from gaitloom.errors import GaitloomError
from gaitloom.exchange import Person, _common
from gaitloom.keypoint_formats import WHOLEBODY_23


def changed(base: np.ndarray, xy: np.ndarray, tolerance: float = 0.005) -> np.ndarray:
    """(…,) bool: points of `xy` (…, 2) that are not where `base` has them, or that appeared or vanished.

    CVAT's two decimals move a coordinate by up to `tolerance` px, and float32 by its own spacing; that is no change.
    """
    spacing = 2 * np.spacing(np.abs(np.nan_to_num(base)).astype(np.float32))
    moved = (np.abs(xy.astype(np.float64) - base) > tolerance + spacing).any(axis=-1)  # False where either is NaN
    return moved | (np.isnan(base[..., 0]) != np.isnan(xy[..., 0]))


def read_keypoints(
    path: Path,
    length: int,
    size: tuple[int, int],
    names: tuple[str, ...] = WHOLEBODY_23.points,
    label: str | None = None,
    track: str | None = None,
) -> Person:
    """The points of one skeleton, whose elements are called `names`, or "1" to "K" in their order; all K must be there.

    `label` says which skeleton where there are several, `track` (its id) which person. Several tracks without `track`
    are one person's, as CVAT writes skeletons drawn frame by frame; no frame may then hold two. Coordinates of every
    frame given are taken as they are, keyframe or not. Between given frames points go linearly, after the last they
    stay, as CVAT has them, unless they are `outside`: then they are absent. Gives score 1 where a point is, `occluded`,
    and `source`: the point's, else its skeleton's, else its track's.
    """
    root, start = _parse(path, length, size)
    tracks = [t for t in root.iter("track") if t.find("skeleton") is not None and track in (None, t.get("id"))]
    tracks = _labelled(path, tracks, label, "skeleton")
    if not tracks:
        raise GaitloomError(f"{path}: there is no such skeleton track; check the label and the track's id.")
    number = {name: i for i, name in enumerate(names)} | {str(i + 1): i for i in range(len(names))}
    xy = np.full((length, len(names), 2), np.nan)
    occluded = np.zeros(xy.shape[:2], bool)
    source = np.full(xy.shape[:2], "", object)
    firm = np.zeros(xy.shape[:2], bool)
    missing = set(range(len(names)))
    for each in tracks:
        places: dict[int, dict[int, tuple[float, float, bool, bool, str]]] = {i: {} for i in range(len(names))}
        for skeleton in each.iter("skeleton"):
            frame = _frame(path, skeleton, start, length)
            for point in skeleton.iter("points"):
                i = number.get(point.get("label", ""))
                if i is None or frame in places[i]:
                    why = "none of the points expected" if i is None else "there twice"
                    raise GaitloomError(
                        f"{path}: frame {frame}: point {point.get('label')!r} is {why}; check the labels."
                    )
                by = next((e.get("source") for e in (point, skeleton, each) if e.get("source")), "")
                x, y = _pair(path, frame, point.get("points", ""))
                places[i][frame] = x, y, point.get("outside") == "1", point.get("occluded") == "1", by or ""
        for i, shapes in places.items():
            if shapes:
                missing.discard(i)
                _lay(path, shapes, xy[:, i], occluded[:, i], source[:, i], firm[:, i])
    if missing:
        raise GaitloomError(
            f"{path}: the skeleton lacks {', '.join(names[i] for i in sorted(missing))}; give the skeleton of "
            f"{len(names)} points."
        )
    there = np.isfinite(xy[..., 0])
    return Person(
        xy.astype(np.float32), there.astype(np.float32), names, occluded=occluded & there, source=source.astype(str)
    )


def read_masks(path: Path, length: int, size: tuple[int, int], label: str | None = None) -> Iterator[np.ndarray]:
    """(H, W) bool for every frame: the masks of one label, several in a frame united.

    A mask holds in its own frame only. ProGait's encoder leaves the last run away: what is missing from the window is
    the run that would come next.
    """
    root, start = _parse(path, length, size)
    tracks = _labelled(path, [t for t in root.iter("track") if t.find("mask") is not None], label, "mask")
    shapes: dict[int, list[ElementTree.Element]] = {}
    for shape in (shape for track in tracks for shape in track.iter("mask")):
        if shape.get("outside") != "1":
            shapes.setdefault(_frame(path, shape, start, length), []).append(shape)

    def frames() -> Iterator[np.ndarray]:
        for frame in range(length):
            full = np.zeros(size[::-1], bool)
            for shape in shapes.get(frame, ()):
                left, top, mask = _decode(path, frame, shape, size)
                full[top : top + mask.shape[0], left : left + mask.shape[1]] |= mask
            yield full

    return frames()


def write(
    path: Path,
    length: int,
    size: tuple[int, int],
    person: Person | None = None,
    masks: Iterable[np.ndarray] | None = None,
    skeleton_label: str = "body-foot",
    mask_label: str = "person",
    numbered: bool = True,
    source: str = "auto",
    task: str = "gaitloom",
) -> None:
    """Write a skeleton, masks, or both, with every frame a keyframe and coordinates in full.

    Points are labelled "1" to "K" (`numbered`, as ProGait) or by their names; labels must be those of the CVAT task.
    An absent point is `outside`, placed where its neighbours in time would have it (or in the picture's middle), so
    that an annotator who shows it finds it near. Frames without a mask get none.
    """
    names = person.names if person else ()
    labels = [str(i + 1) for i in range(len(names))] if numbered else list(names)
    with _common.writing(path) as file:

        def put(text: str) -> None:
            file.write(text.encode())

        put('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        put(_meta(task, length, size, labels, skeleton_label, mask_label if masks is not None else None))
        if person:
            _common.check_length(path, len(person.xy), length)
            put(f'<track id="0" label={quoteattr(skeleton_label)} source={quoteattr(source)}>\n')
            for frame, places in enumerate(_placed(person.xy, size)):
                put(f'<skeleton frame="{frame}" keyframe="1" z_order="0">\n')
                for i, (x, y) in enumerate(places):
                    flags = f'outside="{int(np.isnan(person.xy[frame, i, 0]))}"'
                    flags += f' occluded="{int(person.occluded is not None and person.occluded[frame, i])}"'
                    if person.source is not None and person.source[frame, i]:
                        flags += f" source={quoteattr(str(person.source[frame, i]))}"
                    at = f'points="{_text(x)},{_text(y)}"'
                    put(f'<points label={quoteattr(labels[i])} keyframe="1" {flags} {at}/>\n')
                put("</skeleton>\n")
            put("</track>\n")
        for frame, mask in enumerate(_common.counted(path, masks, length, size) if masks is not None else ()):
            sides = _common.sides(mask)
            if sides:
                left, top, right, bottom = sides
                window = f'left="{left}" top="{top}" width="{right - left + 1}" height="{bottom - top + 1}"'
                rle = ", ".join(map(str, _encode(mask[top : bottom + 1, left : right + 1])))
                put(f'<track id="{frame + 1}" label={quoteattr(mask_label)} source={quoteattr(source)}>\n')
                put(f'<mask frame="{frame}" keyframe="1" outside="0" occluded="0" rle="{rle}" {window} z_order="0"/>\n')
                put("</track>\n")
        put("</annotations>\n")


class _Plain(ElementTree.TreeBuilder):
    """Builds a tree of a document that declares no entities: annotations have no use for them, attackers do."""

    def doctype(self, *_: object) -> None:
        raise ValueError("it declares a document type")


def _parse(path: Path, length: int, size: tuple[int, int]) -> tuple[ElementTree.Element, int]:
    """The tree, held to the clip where its meta says the task's size, and the number of its first frame."""
    try:
        root = ElementTree.parse(path, ElementTree.XMLParser(target=_Plain())).getroot()
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise GaitloomError(
            f"{path}: this is no CVAT XML ({error}); export it from CVAT as CVAT for video 1.1."
        ) from None
    meta = root.find("meta")
    if root.tag != "annotations" or root.find("image") is not None:
        raise GaitloomError(f"{path}: this is not CVAT for video; export it from CVAT as CVAT for video 1.1.")
    said: dict[str, int] = {}
    for tag in ("size", "start_frame", "original_size/width", "original_size/height") if meta is not None else ():
        found = {(e.text or "").strip() for e in root.findall(f"meta//{tag}")}
        if len(found) > 1 or not all(f.isdecimal() for f in found):
            raise GaitloomError(f"{path}: {tag} is {_common.either(found)}; export the one task that is the clip.")
        said.update((tag, int(f)) for f in found)
    if any((e.text or "").replace("step=1", "").strip() for e in root.iterfind("meta//frame_filter")):
        raise GaitloomError(f"{path}: the task leaves frames out; make it with a frame step of 1.")
    if "size" in said:
        _common.check_length(path, said["size"], length)
    if "original_size/width" in said:
        found = said["original_size/width"], said.get("original_size/height")
        _common.check_size(path, "original_size", found, size)
    return root, said.get("start_frame", 0)


def _labelled(path: Path, tracks: list[ElementTree.Element], label: str | None, kind: str) -> list[ElementTree.Element]:
    """The tracks of that label, or of the only one there is."""
    there = {t.get("label", "") for t in tracks}
    if (label is None and len(there) > 1) or (label is not None and there and label not in there):
        raise GaitloomError(f"{path}: its {kind} labels are {_common.either(there)}; say which is meant.")
    return [t for t in tracks if label in (None, t.get("label"))]


def _frame(path: Path, shape: ElementTree.Element, start: int, length: int) -> int:
    text = shape.get("frame", "")
    if not text.isdecimal():
        raise GaitloomError(f"{path}: a {shape.tag} has the frame {text!r}; check what wrote the file.")
    return _common.frame_index(path, int(text), length, start)


def _pair(path: Path, frame: int, text: str) -> tuple[float, float]:
    where = f"frame {frame}: points={text!r}"
    try:
        x, y = _common.numbers(path, where, [float(part) for part in text.split(",")], (2,))
        if not x - y == x - y:
            raise ValueError
    except ValueError:
        raise GaitloomError(f"{path}: {where} is not one x,y pair; check what wrote the file.") from None
    return float(x), float(y)


def _lay(
    path: Path,
    shapes: dict[int, tuple[float, float, bool, bool, str]],
    xy: np.ndarray,
    occluded: np.ndarray,
    source: np.ndarray,
    firm: np.ndarray,
) -> None:
    """Lay one point of one track over the clip's frames. CVAT ends a skeleton of one frame in the next, but not where
    that is the clip's last: what only stays there gives way to what another track puts there."""
    frames = np.array(sorted(shapes))
    place = np.array([shapes[f][:2] for f in frames.tolist()])
    hidden, covered = (np.array([shapes[f][n] for f in frames.tolist()], bool) for n in (2, 3))
    time = np.arange(len(xy))
    before = np.searchsorted(frames, time, side="right") - 1
    after = np.minimum(before + 1, len(frames) - 1)
    share = (time - frames[before]) / np.maximum(frames[after] - frames[before], 1)
    share[before == after] = 0
    there = (before >= 0) & ~hidden[before]
    ours = there & ((time < len(xy) - 1) | np.isin(time, frames))
    twice = there & np.isfinite(xy[:, 0]) & (ours == firm)
    if twice.any():
        raise GaitloomError(f"{path}: frame {twice.argmax()} shows two skeletons; say by track which is meant.")
    there &= ours | ~firm
    firm |= ours
    xy[there] = (place[before] + (place[after] - place[before]) * share[:, None])[there]
    occluded[there] = covered[before][there]
    source[there] = [shapes[int(frames[b])][4] for b in before[there]]


def _placed(xy: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(T, K, 2) float32 like `xy`, with a place for absent points."""
    out = xy.copy()
    time = np.arange(len(xy))
    for i in range(xy.shape[1]):
        there = np.isfinite(xy[:, i, 0])
        for axis in (0, 1):
            middle = (size[axis] - 1) / 2
            out[~there, i, axis] = np.interp(time[~there], time[there], xy[there, i, axis]) if there.any() else middle
    return out


def _meta(
    task: str, length: int, size: tuple[int, int], labels: list[str], skeleton_label: str, mask_label: str | None
) -> str:
    def label(name: str, kind: str, parent: str = "") -> str:
        inside = f"<parent>{escape(parent)}</parent>" if parent else ""
        return f"<label><name>{escape(name)}</name><type>{kind}</type><attributes></attributes>{inside}</label>\n"

    all_labels = [label(mask_label, "mask")] if mask_label is not None else []
    all_labels += [label(skeleton_label, "skeleton")] if labels else []
    all_labels += [label(name, "points", skeleton_label) for name in labels]
    return (
        f"<meta>\n<task>\n<name>{escape(task)}</name>\n<size>{length}</size>\n<mode>interpolation</mode>\n"
        f"<overlap>0</overlap>\n<start_frame>0</start_frame>\n<stop_frame>{length - 1}</stop_frame>\n"
        f"<frame_filter></frame_filter>\n<labels>\n{''.join(all_labels)}</labels>\n"
        f"<segments><segment><id>0</id><start>0</start><stop>{length - 1}</stop></segment></segments>\n"
        f"<original_size><width>{size[0]}</width><height>{size[1]}</height></original_size>\n</task>\n</meta>\n"
    )


def _text(value: np.float32) -> str:
    """The shortest decimal that is this float32 and no other."""
    return np.format_float_positional(value, trim="0")


def _encode(window: np.ndarray) -> list[int]:
    """Run lengths row by row, the first of zeros, the last written."""
    flat = window.ravel()
    bounds = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], bounds, [flat.size]]))
    return [0] * bool(flat[0]) + counts.tolist()


def _decode(path: Path, frame: int, shape: ElementTree.Element, size: tuple[int, int]) -> tuple[int, int, np.ndarray]:
    """The window's left and top, and its mask."""
    try:
        left, top, width, height = (int(shape.get(key, "")) for key in ("left", "top", "width", "height"))
        runs = [int(run) for run in shape.get("rle", "").split(",")]
    except ValueError:
        raise GaitloomError(
            f"{path}: frame {frame}: its mask is not whole numbers; check what wrote the file."
        ) from None
    missing = width * height - sum(runs)
    inside = 0 <= left <= size[0] - width and 0 <= top <= size[1] - height and min(width, height) > 0
    if missing < 0 or min(runs) < 0 or not inside:
        raise GaitloomError(
            f"{path}: frame {frame}: its mask does not fit its window {width}x{height} at {left},{top} of the picture "
            f"{size[0]}x{size[1]}; check what wrote the file."
        )
    runs += [missing] if missing else []
    return left, top, np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
