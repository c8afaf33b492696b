"""Where judges look for faces in a series of pictures, and what they see there.

Crops around every head that is known, in every frame, and around what a scout sees in the full frame now and then; what
both judges agree on is looked for in the frames after. All answers come from crops: small faces are enlarged there.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from gaitloom import face_search
from gaitloom.deidentify.audit.agreement import Hits, agree
from gaitloom.deidentify.audit.ledger import Ledger
from gaitloom.face_search import Window
from gaitloom.faces import Faces, distinct

CROP = 256  # pixels of a crop's side
ROOM = 1.8  # a crop's side in those of a region, which is a head with room around it
LOST_S = 0.5  # s for which a face that is not seen is looked for where it is expected
OVERLAP = 0.4  # IoU from which one judge's answers in two crops are one

Pair = tuple[Faces, Faces]


class Judges(Protocol):
    """Backends of `audit`, see `gaitloom.modalities.audit.derive`."""

    every: int  # frames from one full frame that is looked over to the next

    def faces(self, images: Iterable[np.ndarray]) -> Iterator[Pair]:
        """What both judges see in each picture."""
        ...

    def scout(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Boxes (N, 4) of whatever may be a face in each full frame."""
        ...


class Watch:
    """One series of pictures, looked at frame by frame."""

    def __init__(self, judges: Judges, ledger: Ledger, time: np.ndarray):
        self._judges, self._ledger, self._time = judges, ledger, time
        self._followed: list[face_search.Followed] = []
        self._rows: list[tuple[int, np.ndarray, float, bool]] = []

    def add(self, t: int, image: np.ndarray, people: Sequence[Window] = ()) -> None:
        """Look at frame `t`, (H, W, 3) uint8, also where people's heads are."""
        size, when = self._ledger.size, float(self._time[t])
        rows = self._ledger.rows(t)
        heads = self._ledger.regions.box[rows][self._ledger.is_head[rows]]
        windows = _apart([*(_around(box, size) for box in heads), *people])
        windows += face_search.expected(self._followed, when, windows, size)
        if t % self._judges.every == 0:
            seen = next(iter(self._judges.scout([image])))
            new = [b for b in seen if not any(w.holds(b) for w in windows)]
            windows += _apart(_around(b, size, face_search.ROOM) for b in new)
        both, single = self._seen(image, windows)
        self._rows += [(t, box, score, True) for box, score in both] + [(t, box, score, False) for box, score in single]
        boxes = np.array([box for box, _ in both]).reshape(-1, 4)
        self._followed = face_search.follow(self._followed, boxes, when, LOST_S)

    def _seen(self, image: np.ndarray, windows: Sequence[Window]) -> tuple[list, list]:
        answers = list(self._judges.faces(window.of(image, CROP) for window in windows))
        one, other = (_together([pair[i] for pair in answers], windows, self._ledger.size) for i in (0, 1))
        return agree(one, other)

    @property
    def hits(self) -> Hits:
        """All that was seen so far."""
        return Hits.of(self._rows)


def _around(box: np.ndarray, size: tuple[int, int], room: float = ROOM) -> Window:
    return face_search.window((box[:2] + box[2:]) / 2, room * float((box[2:] - box[:2]).max()), size)


def _apart(windows: Iterable[Window]) -> list[Window]:
    """Without those that show what another shows, at much the same size."""
    kept: list[Window] = []
    for w in windows:
        same = (k for k in kept if max(k.side, w.side) <= 1.5 * min(k.side, w.side))
        if all(
            max(abs(k.x + k.side / 2 - w.x - w.side / 2), abs(k.y + k.side / 2 - w.y - w.side / 2)) > w.side / 5
            for k in same
        ):
            kept.append(w)
    return kept


def _together(answers: Sequence[Faces], windows: Sequence[Window], size: tuple[int, int]) -> Faces:
    """One judge's answers in crops, as faces of the full frame of (width, height), each once."""
    boxes, scores = [np.zeros((0, 4))], [np.zeros(0)]
    for faces, window in zip(answers, windows, strict=True):
        corner = np.array([window.x, window.y] * 2)
        boxes.append(np.clip(faces.box * (window.side / CROP) + corner, 0, (*size, *size)))
        scores.append(faces.score)
    box, score = np.concatenate(boxes), np.concatenate(scores)
    inside = np.flatnonzero((box[:, 2:] > box[:, :2]).all(axis=1))  # some lie on what continues the edge
    rows = inside[distinct(box[inside], score[inside], OVERLAP)]
    return Faces(box[rows].astype(np.float32), score[rows].astype(np.float32))


def on(pairs: Iterable[Pair], boxes: Iterable[np.ndarray]) -> Iterator[float]:
    """For each picture the score with which both judges see a face on a region (4,) of it, 0 where they do not: with
    its middle inside, and no less than a third of its height."""
    for (one, other), box in zip(pairs, boxes, strict=True):
        both, _ = agree(one, other)
        scores = [
            score
            for face, score in both
            if (face[:2] + face[2:] >= 2 * box[:2]).all()
            and (face[:2] + face[2:] <= 2 * box[2:]).all()
            and face[3] - face[1] >= (box[3] - box[1]) / 3
        ]
        yield max(scores, default=0.0)
