"""All that judges see in one series of pictures: the clip as it was, its output, or a control."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gaitloom.deidentify.audit import squint
from gaitloom.deidentify.audit.agreement import Hits
from gaitloom.deidentify.audit.application import deviations
from gaitloom.deidentify.audit.ledger import Ledger
from gaitloom.deidentify.audit.looking import Judges, Watch
from gaitloom.deidentify.audit.squint import Squint
from gaitloom.deidentify.audit.time import Merger
from gaitloom.face_search import Window


@dataclass(frozen=True)
class Seen:
    """Faces; people (None without a finder); how far each of the ledger's regions is from its pattern (N, 2), NaN where
    that was not judged; heads when squinting; and merged heads."""

    hits: Hits
    people: Hits | None
    deviation: np.ndarray
    squints: list[Squint] = field(default_factory=list)
    merges: list[Squint] = field(default_factory=list)


class Look:
    """Gathers what is seen, frame by frame, in bounded memory."""

    def __init__(
        self, judges: Judges, ledger: Ledger, time: np.ndarray, frames: range, merged: bool = True, watched: bool = True
    ):
        """Of these frames of the ledger's; `merged` and `watched`: whether heads are merged, and faces looked for."""
        self._judges, self._ledger = judges, ledger
        self._watch = Watch(judges, ledger, time) if watched else None
        self._merger = Merger(ledger, judges) if merged else None
        self._chosen = set(squint.chosen(ledger, frames.start, frames.stop))
        self._squints: list[Squint] = []
        self._deviation = np.full((len(ledger.patterns), 2), np.nan)

    def add(self, t: int, image: np.ndarray, people: Sequence[Window] = (), painted: bool = True) -> None:
        """Take frame `t`, (H, W, 3) uint8, in; `people` are windows on heads that the track knows. Its regions are held
        against the ledger where it is said to be `painted`."""
        rows = self._ledger.rows(t)
        if self._watch:
            self._watch.add(t, image, people)
        if self._merger:
            self._merger.add(t, image)
        for row in sorted(self._chosen & set(range(rows.start, rows.stop))):
            self._squints.append(squint.look(image, self._ledger, row, self._judges))
        if painted:
            self._deviation[rows] = deviations(image, self._ledger, t)

    def seen(self, people: Hits | None = None) -> Seen:
        """All of it, once every frame is in."""
        hits = self._watch.hits if self._watch else Hits.of([])
        return Seen(hits, people, self._deviation, self._squints, self._merger.end() if self._merger else [])
