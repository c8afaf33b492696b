"""A node's frames as the channels of a sample."""

from collections.abc import Callable, Iterator

import numpy as np

from gaitloom.lazy_video import LazyVideo
from gaitloom.loaders import shards
from gaitloom.loaders.grid import Fit
from gaitloom.loaders.options import Input
from gaitloom.modalities.flow import STEPS
from gaitloom.part_labels import COLOURS, fine_to_coarse
from gaitloom.store import Node

ARRAY = {"silhouette": "mask", "parts": "label", "flow": "flow"}


def fill(
    out: np.ndarray,
    node: Node,
    taken: Input,
    frames: np.ndarray,
    fit: Fit,
    where: str,
    draw: Callable[[np.ndarray, slice], np.ndarray] | None = None,
) -> None:
    """Fill `out` (n, *size, C) float32 or uint8 with a node's frames (n,), rising, resized.

    Silhouettes and pictures go from 0 to 1, or 255. Labels are the numbers of parts. Flow is in full-frame pixels, 0
    outside its region. `where` is what errors call the node; `draw` takes (m, *size, 3) uint8 RGB and which of the
    frames they are, and gives what is to be seen instead.
    """
    full, at = 255 if out.dtype == np.uint8 else 1, 0
    for block in _blocks(node, taken.modality, frames, where):
        part = slice(at, at + len(block))
        values, one = _resized(node, taken, block, fit)
        if draw is not None:
            grey = np.rint(values * np.float32(255 / one)).astype(np.uint8)
            values, one = draw(np.broadcast_to(grey, out[part].shape), part), 255
        values = np.multiply(values, np.float32(full / one if one else 1), out=None if full > 1 else out[part])
        if full > 1:
            out[part] = np.rint(values)
        at = part.stop


def _resized(node: Node, taken: Input, block: np.ndarray, fit: Fit) -> tuple[np.ndarray, int]:
    """(m, *size, C) float32, where C may be 1 for three equal channels, and what is white in them; 0 in labels and
    flow, which keep their values."""
    if taken.modality == "parts" and taken.rgb:
        fine = node.attributes["label_space"] == "densepose_fine_24"
        return fit.pictures((COLOURS[fine_to_coarse()] if fine else COLOURS)[block]), 255
    if taken.modality == "parts":
        return fit.labels(block)[..., None].astype(np.float32), 0
    if taken.modality == "flow":
        scale = np.asarray(node.attributes["scale"], np.float32)
        return fit.pictures(block, node.attributes["region"]) / (STEPS * scale), 0
    if taken.modality == "silhouette":
        return fit.pictures(block.view(np.uint8)[..., None]), 1
    return fit.pictures(block), 255


def _blocks(node: Node, modality: str, frames: np.ndarray, where: str) -> Iterator[np.ndarray]:
    if modality == "deidentified":
        video = LazyVideo.of(node, where)
        yield from (video.frame(int(t))[None] for t in frames)
    else:
        yield from shards.read(node.arrays[ARRAY[modality]], frames)


def points(node: Node, frames: np.ndarray, fit: Fit) -> np.ndarray:
    """(n, 23, 3) float32: x, y in pixels of the sample's picture, and score, of COCO-WholeBody's first 23 points.
    A point that is not known is NaN, NaN, 0, also where the frame is not valid."""
    xy, score = node.load("xy_23")[frames], node.load("score_23")[frames]
    there = np.isfinite(xy).all(axis=2) & node.load("valid")[frames, None]
    found = np.concatenate([fit.points(xy), score[..., None]], axis=2)
    return np.where(there[..., None], found, np.array([np.nan, np.nan, 0])).astype(np.float32)
