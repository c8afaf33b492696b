"""Who is who from frame to frame, who of them is the subject, and where gaps are short enough to bridge."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class People:
    """Everyone seen in one frame: `box` (N, 4) float32 xyxy pixels, `score` (N,) float32, `identity` (N,) int32 where
    the backend follows people itself, else None, and `head` (N, 4) float32, the box of the whole head, NaN where it is
    not known, or None where the backend does not see heads."""

    box: np.ndarray
    score: np.ndarray
    identity: np.ndarray | None = None
    head: np.ndarray | None = None


def collect(people: Iterable[People]) -> list[People]:
    """Everyone in every frame, held in three flat buffers while the frames pass: thousands of small arrays in between
    the decoder's large ones would fragment the heap."""
    counts, boxes, scores, identities, heads = array("l"), array("f"), array("f"), array("i"), array("f")
    named = headed = True
    for seen in people:
        counts.append(len(seen.box))
        boxes.extend(seen.box.ravel().tolist())
        scores.extend(seen.score.tolist())
        named = named and seen.identity is not None
        identities.extend([] if seen.identity is None else seen.identity.tolist())
        headed = headed and seen.head is not None
        heads.extend([] if seen.head is None else seen.head.ravel().tolist())
    ends = np.cumsum(counts)[:-1].astype(int)
    box = np.split(np.array(boxes, np.float32).reshape(-1, 4), ends)
    score = np.split(np.array(scores, np.float32), ends)
    identity = np.split(np.array(identities, np.int32), ends) if named else [None] * len(counts)
    head = np.split(np.array(heads, np.float32).reshape(-1, 4), ends) if headed else [None] * len(counts)
    return [People(*row) for row in zip(box, score, identity, head, strict=True)]


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of `a` (N, 4) with every box of `b` (M, 4), xyxy: (N, M)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    area_a, area_b = (np.prod(x[:, 2:] - x[:, :2], axis=1) for x in (a, b))
    return shared / np.maximum(area_a[:, None] + area_b[None, :] - shared, 1e-9)


class _Track:
    def __init__(self, identity: int, box: np.ndarray, when: float):
        self.identity, self.box, self.when = identity, box.astype(float), when
        self.velocity = np.zeros(2)  # of the box's centre, pixels a second

    def at(self, when: float) -> np.ndarray:
        return self.box + np.tile(self.velocity * (when - self.when), 2)

    def update(self, box: np.ndarray, when: float) -> None:
        step = (_centres(box[None])[0] - _centres(self.box[None])[0]) / max(when - self.when, 1e-6)
        self.velocity = 0.7 * self.velocity + 0.3 * step
        self.box, self.when = box.astype(float), when


def associate(people: Sequence[People], time: np.ndarray, lost_after: float = 1.0) -> list[np.ndarray]:
    """Give everyone an identity, frame by frame: boxes are matched to where each track is expected (constant velocity)
    by the assignment of least total distance, in the person's heights. A track unseen for `lost_after` seconds ends.

    Returns one (N,) int32 array a frame, in the order of its people.
    """
    from scipy.optimize import linear_sum_assignment

    tracks: list[_Track] = []
    count = 0
    identities = []
    for seen, when in zip(people, time, strict=True):
        tracks = [t for t in tracks if when - t.when <= lost_after]
        found = np.full(len(seen.box), -1, np.int32)
        if tracks and len(seen.box):
            cost = _distance(np.array([t.at(when) for t in tracks]), seen.box)
            # Heights; a longer absence, a wider search. What is out of reach must not decide who gets what is not.
            reach = np.array([0.35 + 0.5 * (when - t.when) for t in tracks])[:, None]
            for row, column in zip(*linear_sum_assignment(np.where(cost <= reach, cost, 1e3)), strict=True):
                if cost[row, column] <= reach[row]:
                    tracks[row].update(seen.box[column], when)
                    found[column] = tracks[row].identity
        for column in np.flatnonzero(found < 0):
            tracks.append(_Track(count, seen.box[column], when))
            found[column] = count
            count += 1
        identities.append(found)
    return identities


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance of centres plus difference of heights, in mean heights: (N, M)."""
    tall_a, tall_b = (x[:, 3] - x[:, 1] for x in (a, b))
    scale = np.maximum((tall_a[:, None] + tall_b[None, :]) / 2, 1e-6)
    apart = np.linalg.norm(_centres(a)[:, None] - _centres(b)[None, :], axis=2)
    return (apart + 0.5 * np.abs(tall_a[:, None] - tall_b[None, :])) / scale


def _centres(box: np.ndarray) -> np.ndarray:
    return (box[:, :2] + box[:, 2:]) / 2


def walked(box: np.ndarray, time: np.ndarray, window: float = 0.5) -> float:
    """Length of the path of a box's centre in the person's own heights.

    `box` (N, 4) at `time` (N,) s. The path is taken between means over `window` seconds, so that trembling and waving
    arms add nothing.
    """
    bins = np.floor((time - time[0]) / window).astype(int)
    centres = np.array([_centres(box[bins == b]).mean(axis=0) for b in np.unique(bins)])
    height = np.median(box[:, 3] - box[:, 1])
    return float(np.linalg.norm(np.diff(centres, axis=0), axis=1).sum() / max(height, 1e-6))


def subject(
    people: Sequence[People], identities: Sequence[np.ndarray], time: np.ndarray, box: Sequence[float] | None = None
) -> int | None:
    """The identity of the subject: whoever stands in `box` first (within the first second), else whoever walked
    farthest, of equals whoever was seen longest. None where nobody fits."""
    if box is not None:
        for seen, names, when in zip(people, identities, time, strict=True):
            if when - time[0] > 1.0:
                return None
            overlap = iou(np.array([box], float), seen.box)[0] if len(seen.box) else np.zeros(0)
            if overlap.max(initial=0) > 0.2:
                return int(names[int(overlap.argmax())])
        return None
    paths = trajectories(people, identities)
    scores = {name: (round(walked(boxes, time[frames]), 2), len(frames)) for name, (frames, boxes, _) in paths.items()}
    return max(scores, key=lambda name: (*scores[name], -name), default=None)


def trajectories(
    people: Sequence[People], identities: Sequence[np.ndarray]
) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Identity → frames (N,), boxes (N, 4), scores (N,)."""
    rows: dict[int, list[tuple[int, np.ndarray, float]]] = {}
    for frame, (seen, names) in enumerate(zip(people, identities, strict=True)):
        for box, score, name in zip(seen.box, seen.score, names, strict=True):
            rows.setdefault(int(name), []).append((frame, box, float(score)))
    return {
        name: (np.array([r[0] for r in found]), np.array([r[1] for r in found]), np.array([r[2] for r in found]))
        for name, found in sorted(rows.items())
    }


def bridge(box: np.ndarray, time: np.ndarray, longest: float) -> np.ndarray:
    """Fill gaps of at most `longest` seconds between two seen boxes (T, 4; NaN where unseen) on a straight line."""
    filled = box.copy()
    seen = np.flatnonzero(np.isfinite(box[:, 0]))
    for before, after in pairwise(seen):
        if after - before > 1 and time[after] - time[before] <= longest:
            share = ((time[before + 1 : after] - time[before]) / (time[after] - time[before]))[:, None]
            filled[before + 1 : after] = box[before] * (1 - share) + box[after] * share
    return filled
