"""How well two nodes of one modality agree, frame by frame; B is the reference. `evaluate` makes figures of it.

Masks, labels and flow are streamed; one value a frame is kept.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np

from gaitloom.errors import GaitloomError
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.progress import warn
from gaitloom.store import Node

# How far apart people place a point, in roots of the object's area. Body: COCO's keypoint evaluation (Lin et al., ECCV
# 2014; cocodataset.org/#keypoints-eval), 17 points. Feet: COCO-WholeBody (Jin et al., ECCV 2020; its evaluation code).
SIGMAS = np.array([
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
    0.089, 0.068, 0.066, 0.066, 0.092, 0.094, 0.094,
])  # fmt: skip
THRESHOLDS = np.arange(50, 100, 5) / 100
MIRROR = np.arange(len(SIGMAS))
for _left, _right in WHOLEBODY_23.swaps():
    MIRROR[[_left, _right]] = _right, _left
SIDED = np.arange(len(SIGMAS)) != MIRROR
LEGS = np.array([name.endswith(("knee", "ankle", "heel", "toe")) for name in WHOLEBODY_23.points])
STEP = 0.01  # px: end-point errors of pixels are counted in steps of this


@dataclass(frozen=True)
class Pair:
    """One clip's nodes: A, the reference B, and those that help, where the store has them."""

    name: str
    a: Node
    b: Node
    track: Node | None = None
    silhouette: Node | None = None

    def valid(self) -> tuple[np.ndarray, np.ndarray]:
        """(T,) bool of A and of B."""
        return self.a.load("valid"), self.b.load("valid")

    def frames(self, array: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """A's and B's frames, streamed, where both are valid."""
        both = np.logical_and(*self.valid())
        streams = zip(both, self.a.frames(array), self.b.frames(array), strict=True)
        return ((a, b) for valid, a, b in streams if valid)


@dataclass(frozen=True)
class Tally:
    """What some clips gave: `frames` (4,) by who is valid (neither, only A, only B, both), one value a frame by name,
    and how many pixels had which end-point error, in `STEP`s."""

    frames: np.ndarray
    series: dict[str, np.ndarray]
    pixels: dict[str, np.ndarray] = field(default_factory=dict)
    clips: int = 1

    @classmethod
    def of(cls, a: np.ndarray, b: np.ndarray, series: dict[str, np.ndarray], **pixels: np.ndarray) -> "Tally":
        """A clip's tally; `a` and `b` (T,) bool say where A and B are valid."""
        return cls(np.bincount(a + 2 * b.astype(int), minlength=4), series, pixels)

    @classmethod
    def together(cls, tallies: list["Tally"]) -> "Tally":
        """The tally of several tallies."""
        pixels = {name: _sum([t.pixels[name] for t in tallies]) for name in tallies[0].pixels}
        series = {name: np.concatenate([t.series[name] for t in tallies]) for name in tallies[0].series}
        return cls(np.sum([t.frames for t in tallies], axis=0), series, pixels, sum(t.clips for t in tallies))


def _sum(counts: list[np.ndarray]) -> np.ndarray:
    """Counts of different lengths added up."""
    total = np.zeros(max(map(len, counts)), np.int64)
    for count in counts:
        total[: len(count)] += count
    return total


def _silhouette(pair: Pair) -> Tally:
    """Intersection over union of the masks, (H, W) bool."""
    overlap = [(a & b).sum() / max(1, (a | b).sum()) for a, b in pair.frames("mask")]
    return Tally.of(*pair.valid(), {"iou": np.array(overlap)})


def _parts(pair: Pair) -> Tally:
    """Mean intersection over union of the labels that the reference shows in the frame, background apart."""
    if pair.a.attributes.get("label_space") != pair.b.attributes.get("label_space"):
        raise GaitloomError(f"The two nodes of {pair.name} do not use the same labels; compare nodes that do.")
    overlap = []
    for a, b in pair.frames("label"):
        joint = np.bincount(a.ravel().astype(np.int32) * 256 + b.ravel(), minlength=65536).reshape(256, 256)
        shown = np.flatnonzero(joint.sum(axis=0)[1:]) + 1
        union = joint.sum(axis=0)[shown] + joint.sum(axis=1)[shown] - joint[shown, shown]
        overlap.append((joint[shown, shown] / union).mean() if len(shown) else np.nan)
    return Tally.of(*pair.valid(), {"iou": np.array(overlap)})


def _track(pair: Pair) -> Tally:
    """Intersection over union of the subject's boxes."""
    from gaitloom.tracking import iou

    boxes = pair.a.load("box"), pair.b.load("box")
    both = np.flatnonzero(np.logical_and(*pair.valid()))
    return Tally.of(*pair.valid(), {"iou": np.array([iou(*(box[[t]] for box in boxes))[0, 0] for t in both])})


def oks(xy: np.ndarray, truth: np.ndarray, area: np.ndarray) -> np.ndarray:
    """(T,) object keypoint similarity by COCO's definition: the mean of exp(-d² / (2 s² k²)), k = 2 sigma, over the
    points of `truth` (T, 23, 2) px; a point that `xy` (T, 23, 2) px lacks counts 0. `area` (T,) px² is s²."""
    squared = ((xy.astype(float) - truth) ** 2).sum(axis=2)
    scale = 2 * np.maximum(area, np.spacing(1))[:, None] * (2 * SIGMAS) ** 2
    return _mean(np.nan_to_num(np.exp(-squared / scale)), np.isfinite(truth[..., 0]))


def _keypoints(pair: Pair) -> Tally:
    """Similarity, distances and left-right exchange in the 23-point view. Points that A or B never gives are left out.

    s² is the area of the reference's track box where it has one, else of the box of its points (COCO takes the segment,
    about half of that, so these similarities are milder). OKS-AP is that of one detection a frame, all of one score:
    the mean over the thresholds .5:.05:.95 of the share of the reference's frames with at least that similarity;
    frames that A lacks are misses.
    """
    a, b = (np.where(node.load("valid")[:, None, None], node.load("xy_23"), np.nan) for node in (pair.a, pair.b))
    low, high = np.where(np.isfinite(b), b, np.inf).min(axis=1), np.where(np.isfinite(b), b, -np.inf).max(axis=1)
    a, b = _where_given(a, b), _where_given(b, a)
    a_valid, b_valid = _posed(a), _posed(b)
    width, height = (high - low)[b_valid].T
    area = width * height
    if pair.track:
        box = pair.track.load("box")[b_valid].astype(float)
        area = np.where(np.isfinite(box[:, 0]), np.prod(box[:, 2:] - box[:, :2], axis=1), area)
    similar, both = oks(a[b_valid], b[b_valid], area), a_valid[b_valid]
    a, b, height = a[b_valid][both], b[b_valid][both], height[both]
    distance, known = np.linalg.norm(a - b, axis=2), np.isfinite(b[..., 0])
    series = {
        "oks": similar[both],
        "oks_or_miss": similar,
        "distance": _mean(np.nan_to_num(distance), np.isfinite(distance)),
        "points": known.sum(axis=1),
        "exchanged": _exchanged(a, b, SIDED),
        "legs_exchanged": _exchanged(a, b, SIDED & LEGS),
    }
    for share in (0.1, 0.05):
        series[f"pck_{share}"] = _mean(distance <= share * height[:, None], known)
    return Tally.of(a_valid, b_valid, series)


def _where_given(xy: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`xy` (T, 23, 2) without the points that `other` gives in no frame, if it gives any at all."""
    given = np.isfinite(other[..., :1]).any(axis=0)
    return np.where(given, xy, np.nan) if given.any() else xy


def _posed(xy: np.ndarray) -> np.ndarray:
    """(T,) bool: frames that have a point."""
    return np.asarray(np.isfinite(xy[..., 0]).any(axis=1))


def _exchanged(a: np.ndarray, b: np.ndarray, which: np.ndarray) -> np.ndarray:
    """(T,) 1 where A's points `which` lie nearer to B's of the other side, else 0; nan where that cannot be told."""
    kept, crossed = (np.linalg.norm(a - other, axis=2) for other in (b, b[:, MIRROR]))
    known = np.isfinite(kept) & np.isfinite(crossed) & which
    near, far = (_mean(np.nan_to_num(d), known) for d in (kept, crossed))
    return np.where(known.any(axis=1), far < near, np.nan)


def _mean(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """(T,) mean of each row of (T, K) `values` over those `among`; nan where there are none."""
    count = among.sum(axis=1)
    return np.where(count, (values * among).sum(axis=1) / np.maximum(count, 1), np.nan)


@dataclass(frozen=True)
class Grid:
    """The cells of a picture, by their edges `x` (w + 1,) and `y` (h + 1,) in full-frame pixels."""

    x: np.ndarray
    y: np.ndarray

    @classmethod
    def of(cls, node: Node) -> "Grid":
        """The cells of a flow node; pixel n of the full frame reaches from n - 0.5 to n + 0.5."""
        _, height, width, _ = node.arrays["flow"].shape
        (x0, y0, _, _), scale = node.attributes["region"], node.attributes["scale"]
        return cls(x0 - 0.5 + np.arange(width + 1) / scale[0], y0 - 0.5 + np.arange(height + 1) / scale[1])

    @property
    def cell(self) -> float:
        """Area of a cell in px²."""
        return float((self.x[1] - self.x[0]) * (self.y[1] - self.y[0]))

    def within(self, other: "Grid") -> "Grid":
        """The cells that lie wholly in `other`; they are adjacent."""
        axes = ((self.x, other.x), (self.y, other.y))
        return Grid(*(edges[(edges > its[0] - 1e-6) & (edges < its[-1] + 1e-6)] for edges, its in axes))

    def onto(self, target: "Grid") -> tuple[Any, Any]:
        """Sparse weights (target's h, own h) and (target's w, own w): a target's cell is the mean of what it covers."""
        from scipy.sparse import csr_array

        weights = []
        for own, its in ((self.y, target.y), (self.x, target.x)):
            shared = np.minimum(its[1:, None], own[1:]) - np.maximum(its[:-1, None], own[:-1])
            shared = np.where(shared > 1e-6, shared, 0)
            weights.append(csr_array((shared / shared.sum(axis=1, keepdims=True)).astype(np.float32)))
        return weights[0], weights[1]


def _flow(pair: Pair) -> Tally:
    """End-point error in full-frame pixels on what both regions show, resampled to the coarser scale: the frame's mean,
    everywhere (`epe`) and on the silhouette (`subject`), and all pixels counted by theirs."""
    grid_a, grid_b = Grid.of(pair.a), Grid.of(pair.b)
    target = grid_b.within(grid_a) if grid_b.cell >= 0.999 * grid_a.cell else grid_a.within(grid_b)
    series: dict[str, list[float]] = {"epe": [], "subject": []}
    pixels = {name: np.zeros(1, np.int64) for name in series}
    if min(len(target.x), len(target.y)) < 2:
        warn(f"{pair.name}: the regions of the two flows share nothing, so that no frame of it is compared")
    else:
        onto_a, onto_b = grid_a.onto(target), grid_b.onto(target)
        both = np.logical_and(*pair.valid())
        streams = zip(both, pair.a.frames("flow"), pair.b.frames("flow"), _subject(pair, target), strict=False)
        for a, b, mask in ((a, b, mask) for valid, a, b, mask in streams if valid):
            error = np.linalg.norm(_moves(pair.a, a, onto_a) - _moves(pair.b, b, onto_b), axis=0)
            for name, values in (("epe", error.ravel()), ("subject", error[:0, 0] if mask is None else error[mask])):
                if len(values):
                    series[name].append(float(values.mean()))
                    pixels[name] = _sum([pixels[name], np.bincount(np.rint(values / STEP).astype(np.int64))])
    return Tally.of(*pair.valid(), {name: np.array(values) for name, values in series.items()}, **pixels)


def _moves(node: Node, flow: np.ndarray, onto: tuple[Any, Any]) -> np.ndarray:
    """(2, h, w) float32 displacement in full-frame pixels of a stored (H, W, 2) flow, resampled."""
    factor = node.arrays["flow"].attrs["scale_factor"] / np.array(node.attributes["scale"])
    rows, columns = onto
    return np.stack([rows @ (flow[..., i] * np.float32(factor[i])) @ columns.T for i in (0, 1)])


def _subject(pair: Pair, target: Grid) -> Iterator[np.ndarray | None]:
    """For every frame the cells (h, w) bool of which at least half is the subject; None where that is not known."""
    if pair.silhouette is None:
        yield from repeat(None)
        return
    _, height, width = pair.silhouette.arrays["mask"].shape
    rows, columns = Grid(np.arange(width + 1) - 0.5, np.arange(height + 1) - 0.5).onto(target)
    for valid, mask in zip(pair.silhouette.load("valid"), pair.silhouette.frames("mask"), strict=True):
        yield rows @ mask.astype(np.float32) @ columns.T >= 0.5 if valid else None


MEASURES: dict[str, Callable[[Pair], Tally]] = {
    "flow": _flow,
    "keypoints": _keypoints,
    "parts": _parts,
    "silhouette": _silhouette,
    "track": _track,
}
