"""Masks that people corrected by hand, over those of another node."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaitloom.backends import Spec, _corrections
from gaitloom.modalities.silhouette import Recording

if TYPE_CHECKING:
    from gaitloom.derive import Job
    from gaitloom.store import Node

SPEC = Spec(
    version=1,
    options=_corrections.Options,
    packages=("numpy",),
    licence="the corrections' own",
    reads=("silhouette",),
    files=partial(_corrections.files, modality="silhouette"),
)


class Backend:
    """Takes the base as it is, and what the human changed of it."""

    def __init__(self, options: _corrections.Options):
        pass

    def recorded(self, job: "Job") -> Recording:
        """The base's masks, and in their place those that differ from what was handed out for correction.

        Without the export, every mask that the corrected file holds is the human's.

        Raises:
            GaitloomError: the corrections cannot be read, or are not of this clip.
        """
        base = job.read("silhouette")
        corrections = _corrections.read(job.files, "silhouette")
        drawn = np.zeros(job.length, bool)
        if corrections is None:
            return Recording(_stored(base, job.length), drawn)
        ours = _read(corrections.corrected, job)
        theirs = _read(corrections.exported, job) if corrections.exported else None
        attributes = corrections.attributes(job.recipe["inputs"]["silhouette"])
        return Recording(_corrected(_stored(base, job.length), ours, theirs, drawn), drawn, attributes)


def _stored(node: "Node", length: int) -> Iterator[np.ndarray | None]:
    mask, valid = node.arrays["mask"], node.load("valid")
    return (np.asarray(mask[t]) if valid[t] else None for t in range(length))


def _corrected(
    base: Iterator[np.ndarray | None],
    ours: Iterator[np.ndarray],
    theirs: Iterator[np.ndarray] | None,
    drawn: np.ndarray,
) -> Iterator[np.ndarray | None]:
    for t, (mask, mine) in enumerate(zip(base, ours, strict=True)):
        drawn[t] = mine.any() if theirs is None else not np.array_equal(mine, next(theirs))
        yield mine if drawn[t] else mask


def _read(path: Path, job: "Job") -> Iterator[np.ndarray]:
    from gaitloom.exchange import coco, cvat, progait

    if path.name.endswith(".npy.gz"):
        return progait.read_masks(path, job.length, job.size)
    read = coco.read_masks if path.suffix == ".json" else cvat.read_masks
    return read(path, job.length, job.size)
