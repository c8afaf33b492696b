"""OpenGait's inputs (`exchange.opengait`): below `pkl/{subject}/{type}/{view}/` one pickle a modality, to unzip over each
other.

All pickles of a folder have the same frames: those that OpenGait's own rule keeps of the silhouettes (of the parsing,
of the poses, where the tier holds no silhouettes). `frames/{subject}/{type}/{view}.json` says which frames of the clip
they are, which are dropped, and which of the kept ones a modality does not have: there it is black, or zeros, as poses
have absent points. The view is the clip's camera, the type the rest of its name.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gaitloom.exchange import _common, opengait
from gaitloom.export import person_23
from gaitloom.keypoint_formats import COCO_17
from gaitloom.part_labels import fine_to_coarse
from gaitloom.release.dataset import Dataset, Source
from gaitloom.release.exporters import _held

VERSION = "1"
MODALITIES = ("silhouette", "parts", "keypoints")
TRAIN = 0.6  # share of subjects to train on, as CASIA-B's 74 of 124


def clip(source: Source, folder: Path) -> None:
    """Write a clip's pickles, and which of its frames they hold."""
    found = _frames(source)
    if not found:
        return
    leading = next(iter(found.values()))
    kept = [t for t, frame in enumerate(leading) if frame is not None]
    place = sequence(source.entry.subject, source.entry.name)
    missing: dict[str, list[int]] = {}
    files: list[str] = []
    for what, frames in found.items():
        if not kept:
            break
        missing[what] = [t for t in kept if frames[t] is None]
        first = next((f for f in frames if f is not None), None)
        if first is None:
            continue
        stacked = np.stack([np.zeros_like(first) if f is None else f for f in (frames[t] for t in kept)])
        for archive, name, array in _pickles(what, stacked, source.tier.opengait_width):
            opengait.write(folder / archive / "pkl" / place / name, array)
            files.append(name)
    about = {
        "frames": source.length,
        "kept": kept,
        "dropped": sorted(set(range(source.length)) - set(kept)),
        "seconds": [float(t) for t in source.time[kept]],
        "missing": missing,
        "backends": {m: source.backend(n) for m in MODALITIES if (n := source.preferred(m)) is not None},
        "files": sorted(files),
    }
    with _common.writing(folder / "index" / "frames" / f"{place}.json") as file:
        file.write(f"{_common.dumps(about)}\n".encode())


def dataset(dataset: Dataset, folder: Path) -> None:
    """Write `partition.json`."""
    with _common.writing(folder / "index" / "partition.json") as file:
        file.write(f"{_common.dumps(partition(dataset))}\n".encode())


def refused(dataset: Dataset) -> dict[str, str]:
    """Nodes for which another of their modality stands."""
    return _held.second(dataset, MODALITIES)


def partition(dataset: Dataset) -> dict[str, list[str]]:
    """Subjects to train on and to test on, by a hash of each one's pseudonym: whoever joins or leaves moves nobody."""
    sets: dict[str, list[str]] = {"TRAIN_SET": [], "TEST_SET": []}
    for subject in sorted({e.subject for e in dataset.entries}):
        mark = hashlib.sha256(f"opengait/{subject}".encode()).digest()
        sets["TRAIN_SET" if int.from_bytes(mark[:4]) < TRAIN * 2**32 else "TEST_SET"].append(subject)
    return sets


def sequence(subject: str, name: str) -> str:
    """`{subject}/{type}/{view}` of a clip by its released name, such as ses-01_trial-2_cam-sagittal."""
    parts = name.split("_")
    cameras = [p for p in parts if p.startswith("cam-")]
    return "/".join([subject, "_".join(p for p in parts if p not in cameras) or "clip", *cameras] or [])


def _frames(source: Source) -> dict[str, list[np.ndarray | None]]:
    """Modality → one array a frame of the clip, None where there is nobody; the first says which frames are kept."""
    found: dict[str, list[np.ndarray | None]] = {}
    if node := source.preferred("silhouette"):
        found["silhouette"] = _aligned(source, node, "mask", opengait.silhouette)
    if node := source.preferred("parts"):
        coarse = (
            np.arange(15) if source.open(node).attributes["label_space"] != "densepose_fine_24" else fine_to_coarse()
        )
        table = opengait.gps()[coarse]
        found["parts"] = _aligned(source, node, "label", lambda label: opengait.parsing(table[label]))
    if node := source.preferred("keypoints"):
        pose = _common.zeros_for_nan(person_23(source.open(node), COCO_17.points))
        found["keypoints"] = [frame if frame.any() else None for frame in pose]
    return found
