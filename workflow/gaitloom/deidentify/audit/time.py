"""Gate f: many frames of a head together show no more than one."""

from dataclasses import dataclass, field

import numpy as np

from gaitloom.deidentify import mosaic
from gaitloom.deidentify.audit.gate import Finding, Gate, verdict
from gaitloom.deidentify.audit.ledger import Ledger
from gaitloom.deidentify.audit.looking import Judges, on
from gaitloom.deidentify.audit.squint import Squint

FRAMES = 25  # of a head that are merged; a track's last ones go with those before
KEPT = 96  # the region's height in a merge, in pixels


@dataclass
class _Sum:
    row: int  # the ledger's, of the first frame
    count: int = 0
    aligned: np.ndarray = field(default_factory=lambda: np.zeros(()))
    still: np.ndarray = field(default_factory=lambda: np.zeros(()))


class Merger:
    """Sums over the frames of every head, aligned by its region and in place, judged whenever `FRAMES` are together."""

    def __init__(self, ledger: Ledger, judges: Judges):
        self._ledger, self._judges = ledger, judges
        where = ledger.regions
        mine = {int(i): where.frame[ledger.is_head & (where.track == i)] for i in np.unique(where.track)}
        self._left = {i: len(np.unique(frames)) for i, frames in mine.items()}
        self._sums: dict[int, _Sum] = {}
        self.found: list[Squint] = []

    def add(self, t: int, image: np.ndarray) -> None:
        """Take frame `t`, (H, W, 3) uint8, in."""
        where, rows = self._ledger.regions, range(*self._ledger.rows(t).indices(self._ledger.is_head.size))
        surest = sorted((r for r in rows if self._ledger.is_head[r]), key=lambda r: (where.confidence[r], -r))
        for track, row in {int(where.track[r]): r for r in surest}.items():
            one = self._sums.setdefault(track, _Sum(row))
            one.aligned = one.aligned + _shown(image, where.box[row])
            one.still = one.still + _shown(image, where.box[one.row])
            one.count += 1
            self._left[track] -= 1
            if one.count >= FRAMES and self._left[track] >= FRAMES:
                self._judge(self._sums.pop(track))

    def end(self) -> list[Squint]:
        """Every merge, once all frames are in."""
        for track in sorted(self._sums):
            self._judge(self._sums.pop(track))
        return self.found

    def _judge(self, one: _Sum) -> None:
        for total in (one.aligned, one.still):
            picture = np.round(total / one.count).astype(np.uint8)
            side = len(picture)
            low, high = round(side / 2 * (1 - 1 / mosaic.AROUND)), round(side / 2 * (1 + 1 / mosaic.AROUND))
            view = mosaic.View(picture, np.array([low, low, high, high]))
            pictures, boxes = zip((picture, view.box), *mosaic.squints(view, None), strict=True)
            self.found.append(Squint(one.row, max(on(self._judges.faces(iter(pictures)), boxes))))


def _shown(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(S, S, 3) float32: a region with its surroundings, always of one size; beyond the picture, its edge goes on."""
    import cv2

    side = round(KEPT * mosaic.AROUND)
    scale = (box[2:] - box[:2]) * mosaic.AROUND / side
    low = (box[:2] + box[2:]) / 2 - scale * side / 2 + scale / 2 - 0.5
    matrix = np.array([[scale[0], 0, low[0]], [0, scale[1], low[1]]], np.float64)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (side, side), flags=how, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)


def time(merges: list[Squint], ledger: Ledger) -> Gate:
    """Red where both judges see a face on a head's merge, at any size."""
    where = ledger.regions
    findings = [
        Finding(int(where.frame[m.row]), where.box[m.row], int(where.track[m.row]), m.score, True)
        for m in merges
        if m.score
    ]
    return verdict(findings, {"merges": len(merges), "seen": len(findings)})
