"""COCO: `annotations/{subject}/{clip}.json`, keypoints and segmentation of one clip, and `index.json` of all clips.

One file a clip, since COCO's tools read a file whole. Keypoints are COCO-WholeBody's first 23 whatever the backend has,
so that all clips have one category; a point without a source is not labelled (v = 0). COCO has no scores for labels:
ours stand in `keypoint_scores`. Images are those of the clip's frames, `{subject}/{clip}/000000.jpg` on; they
are not part of the layout.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gaitloom.agreement import SIGMAS
from gaitloom.exchange import coco
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.release.dataset import Dataset, Source
from gaitloom.release.exporters import _held, _made

VERSION = "1"
ARCHIVE = "data"
MODALITIES = ("keypoints", "silhouette")


def clip(source: Source, folder: Path) -> None:
    """Write the clip's annotations: one for every frame in which the person has a point or a mask."""
    keypoints, silhouette = map(source.preferred, MODALITIES)
    if keypoints is None and silhouette is None:
        return
    coco.write(
        folder / ARCHIVE / _file(source),
        source.length,
        source.size,
        None if keypoints is None else _made.person(source, keypoints, WHOLEBODY_23.points),
        None if silhouette is None else _masks(source, silhouette),
        file_name=f"{source.entry.path}/{{:06d}}.jpg",
        info={"description": f"{source.entry.path}: one walk, a person", "frames_a_second": str(source.fps)},
    )


def dataset(dataset: Dataset, folder: Path) -> None:
    """Write the index: which file is whose, how its labels were made, and the sigmas that COCO's evaluation of 23
    points needs."""
    rows = []
    for source in dataset.sources():
        nodes = [n for n in map(source.preferred, MODALITIES) if n is not None]
        if nodes:
            rows.append(_made.index(source, _file(source), nodes))
    _made.write_index(folder / ARCHIVE, rows, kpt_oks_sigmas=SIGMAS.tolist())


def refused(dataset: Dataset) -> dict[str, str]:
    """Nodes for which others stand."""
    return _held.second(dataset, MODALITIES)


def _file(source: Source) -> str:
    return f"annotations/{source.entry.path}.json"


def _masks(source: Source, node: str) -> Iterator[np.ndarray]:
    """(H, W) bool for every frame, nothing in those that are not valid."""
    found = source.open(node)
    return (mask & there for mask, there in zip(found.frames("mask"), found.load("valid"), strict=True))
