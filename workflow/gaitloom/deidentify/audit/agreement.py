"""What counts as a face: two judges that know nothing of each other, and time.

A single hit is no face: elbows and flowers reach 0.78, even by both judges; at 0.8 and above they go half blind to real
faces (both measured). So two must agree on one box, and again within a few frames.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gaitloom.faces import Faces
from gaitloom.tracking import iou

SURE = 0.6  # least score
SAME = 0.3  # IoU from which two judges mean the same
HITS, OF = 3, 5  # frames of consecutive ones in which a face is seen
RATIO = 1.6  # of sizes, that of one thing from look to look
INSIDE = 0.9  # share of a face that is covered


@dataclass(frozen=True)
class Hits:
    """What was seen, sorted by frame: `frame` (N,) int32, `box` (N, 4), `score` (N,), and `agreed` (N,) bool: by both
    judges (the mean box, the lesser score), not by one alone."""

    frame: np.ndarray
    box: np.ndarray
    score: np.ndarray
    agreed: np.ndarray

    @classmethod
    def of(cls, rows: list[tuple[int, np.ndarray, float, bool]]) -> "Hits":
        """Of rows of frame, box, score, agreed."""
        rows = sorted(rows, key=lambda row: row[0])
        frame, box, score, agreed = ([row[i] for row in rows] for i in range(4))
        boxes = np.array(box, np.float32).reshape(-1, 4)
        return cls(np.array(frame, np.int32), boxes, np.array(score, np.float32), np.array(agreed, bool))

    def only(self, kept: np.ndarray) -> "Hits":
        """These rows (bool or indices)."""
        return Hits(self.frame[kept], self.box[kept], self.score[kept], self.agreed[kept])

    def within(self, first: int, last: int) -> "Hits":
        """Those of the frames [first, last)."""
        return self.only((self.frame >= first) & (self.frame < last))

    def spliced(self, other: "Hits", frames: range) -> "Hits":
        """These, but in some frames another's."""
        mine, theirs = ~np.isin(self.frame, frames), np.isin(other.frame, frames)
        parts = ((getattr(self, n)[mine], getattr(other, n)[theirs]) for n in ("frame", "box", "score", "agreed"))
        frame, box, score, agreed = (np.concatenate(part) for part in parts)
        return Hits(frame, box, score, agreed).only(np.argsort(frame, kind="stable"))


def agree(one: Faces, other: Faces) -> tuple[list[tuple[np.ndarray, float]], list[tuple[np.ndarray, float]]]:
    """Box (4,) and score of the faces that both judges surely see in a picture, and of those that one sees alone."""
    (a, sure_a), (b, sure_b) = ((f.box[f.score >= SURE].astype(float), f.score[f.score >= SURE]) for f in (one, other))
    overlap = iou(a, b)
    pairs = []
    while overlap.size and overlap.max() > SAME:
        i, j = np.unravel_index(int(overlap.argmax()), overlap.shape)
        pairs.append((int(i), int(j)))
        overlap[i], overlap[:, j] = 0, 0
    both = [((a[i] + b[j]) / 2, float(min(sure_a[i], sure_b[j]))) for i, j in pairs]
    left = [(a[i], float(sure_a[i])) for i in range(len(a)) if i not in {i for i, _ in pairs}]
    right = [(b[j], float(sure_b[j])) for j in range(len(b)) if j not in {j for _, j in pairs}]
    return both, left + right


def linked(hits: Hits) -> list[np.ndarray]:
    """Rows (K,) of hits that are one thing, a hit a frame: the next lies less than `OF` frames later, with its middle
    no farther than its own size, and of much the same size. The nearest go together first, so that a flower beside a
    face does not take its place."""
    tracks: list[list[int]] = []
    for t in np.unique(hits.frame).tolist():
        new = np.flatnonzero(hits.frame == t).tolist()
        last = [i for i, track in enumerate(tracks) if t - hits.frame[track[-1]] < OF]
        pairs = [
            (apart, i, row)
            for i in last
            for row in new
            if (apart := _apart(hits.box[tracks[i][-1]], hits.box[row])) <= 1
        ]
        for _, i, row in sorted(pairs):
            if i in last and row in new:
                tracks[i].append(row)
                last.remove(i)
                new.remove(row)
        tracks += [[row] for row in new]
    return [np.array(track) for track in tracks]


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """Distance of two boxes' (4,) middles in the larger one's size; infinite where their sizes contradict."""
    small, large = sorted(float((box[2:] - box[:2]).max()) for box in (a, b))
    return float(np.linalg.norm((a[:2] + a[2:] - b[:2] - b[2:]) / 2)) / large if large <= RATIO * small else np.inf


def confirmed(hits: Hits) -> list[np.ndarray]:
    """The tracks of `linked` that are seen in 3 of 5 consecutive frames at least once."""
    return [rows for rows in linked(hits) if often(hits.frame[rows])]


def often(frames: np.ndarray) -> bool:
    """Whether 3 of these frames (N,), sorted, lie within 5."""
    return any(b - a < OF for a, b in zip(frames, frames[HITS - 1 :], strict=False))


def runs(frames: np.ndarray, length: int) -> list[range]:
    """Every run of that many consecutive frames in sorted, distinct frames (N,)."""
    starts = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(frames.tolist())) if b != a + 1)]
    ends = [*starts[1:], len(frames)]
    firsts = [t for a, b in zip(starts, ends, strict=True) for t in frames[a : b - length + 1].tolist() if b > a]
    return [range(t, t + length) for t in firsts]
