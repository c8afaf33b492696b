"""OpenGait's inputs (`exchange.opengait`): below `pkl/{subject}/{type}/{view}/` one pickle a modality, to unzip over
each other.

All pickles of a folder have the same frames: those that OpenGait's own rule keeps of the silhouettes (of the parsing,
of the poses, where the tier holds no silhouettes). `frames/{subject}/{type}/{view}.json` says which frames of the clip
they are, which are dropped, and which of them a modality does not have: there it is black, and a pose zeros, as absent
points are. The view is the clip's camera, the type the rest of its name.

`partition.json` is the configuration's split, without one a rule of ours; of several, each is `partition_0.json`, ….
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gaitloom import splits
from gaitloom.exchange import _common, opengait
from gaitloom.keypoint_formats import COCO_17
from gaitloom.part_labels import fine_to_coarse
from gaitloom.release import partitions
from gaitloom.release.dataset import Dataset, Source
from gaitloom.release.exporters import _held, _made

VERSION = "1"
MODALITIES = ("silhouette", "parts", "keypoints")  # the first that a clip has says which frames are kept
TRAIN = 0.6  # share of the subjects, as CASIA-B's 74 of 124, where the configuration has no splits

Frames = list[np.ndarray | None]  # of the whole clip; None where there is nobody


def clip(source: Source, folder: Path) -> None:
    """Write a clip's pickles, and which of its frames they hold."""
    found = _frames(source)
    if not found:
        return
    leading = next(iter(found.values()))
    kept = [t for t, frame in enumerate(leading) if frame is not None]
    place, files = sequence(source.entry.subject, source.entry.name), []
    for modality, frames in found.items() if kept else ():
        for archive, file, array in _arrays(modality, frames, kept, source.tier.opengait_width):
            opengait.write(folder / archive / "pkl" / place / file, array)
            files.append(file)
    about = {
        "frames": source.length,
        "kept": kept,
        "dropped": [t for t, frame in enumerate(leading) if frame is None],
        "seconds": source.time[kept].tolist(),
        "missing": {m: [t for t in kept if frames[t] is None] for m, frames in found.items()},
        "backends": {m: _made.method(source, source.preferred(m) or m) for m in found},
        "files": sorted(files),
    }
    _write(folder / "index" / "frames" / f"{place}.json", about)


def dataset(dataset: Dataset, folder: Path) -> None:
    """Write `partition.json`, or several.

    Raises:
        GaitloomError: the splits are not made, or leak.
    """
    found = [splits.opengait(split) for split in partitions.released(dataset)] or [partition(dataset)]
    for number, split in enumerate(found):
        _write(folder / "index" / (f"partition_{number}.json" if len(found) > 1 else "partition.json"), split)


def refused(dataset: Dataset) -> dict[str, str]:
    """Nodes for which another of their modality stands."""
    return _held.second(dataset, MODALITIES)


def partition(dataset: Dataset) -> dict[str, list[str]]:
    """Subjects to train on and to test on, by a hash of each one's pseudonym: who joins or leaves moves nobody else."""
    sets: dict[str, list[str]] = {"TRAIN_SET": [], "TEST_SET": []}
    for subject in sorted({e.subject for e in dataset.entries}):
        mark = hashlib.sha256(f"opengait/{subject}".encode()).digest()
        sets["TRAIN_SET" if int.from_bytes(mark[:4], "big") < TRAIN * 2**32 else "TEST_SET"].append(subject)
    return sets


def sequence(subject: str, name: str) -> str:
    """`{subject}/{type}/{view}` of a clip by its released name: `P.../ses-01_trial-2/sagittal`."""
    views = [part.removeprefix("cam-") for part in name.split("_") if part.startswith("cam-")]
    rest = [part for part in name.split("_") if not part.startswith("cam-")]
    return f"{subject}/{'_'.join(rest) or 'clip'}/{views[0] if views else '000'}"


def _frames(source: Source) -> dict[str, Frames]:
    """Modality → its frames, aligned; only what the tier holds."""
    found: dict[str, Frames] = {}
    if node := source.preferred("silhouette"):
        found["silhouette"] = _aligned(source, node, "mask", opengait.silhouette)
    if node := source.preferred("parts"):
        fine = source.open(node).attributes["label_space"] == "densepose_fine_24"
        table = opengait.gps()[fine_to_coarse()] if fine else opengait.gps()
        found["parts"] = _aligned(source, node, "label", lambda label: opengait.parsing(table[label]))
    if node := source.preferred("keypoints"):
        pose = _common.zeros_for_nan(_made.person(source, node, COCO_17.points))
        found["keypoints"] = [frame if frame.any() else None for frame in pose]
    return found


def _aligned(source: Source, node: str, array: str, align: Callable[[np.ndarray], np.ndarray | None]) -> Frames:
    opened = source.open(node)
    return [align(x) if v else None for x, v in zip(opened.frames(array), opened.load("valid"), strict=True)]


def _arrays(modality: str, frames: Frames, kept: list[int], width: int) -> Iterator[tuple[str, str, np.ndarray]]:
    """A modality's archives, with the name and content of the pickle in each; names sort as SkeletonGait++ has them."""
    nobody = next((np.zeros_like(f) for f in frames if f is not None), None)
    if nobody is None:
        return
    array = np.stack([nobody if (frame := frames[t]) is None else frame for t in kept])
    if modality == "silhouette":
        yield "silhouette", "1_sil.pkl", array if width == opengait.SIZE else opengait.cut(array)
    elif modality == "parts":
        yield "parsing", "2_parsing.pkl", array
    else:
        yield "heatmap", "0_heatmap.pkl", opengait.heatmaps(array)
        yield "pose", "3_pose.pkl", array


def _write(path: Path, value: dict) -> None:
    with _common.writing(path) as file:
        file.write(f"{_common.dumps(value)}\n".encode())
