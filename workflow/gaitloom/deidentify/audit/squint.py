"""Gate c: no head of the output is a face again when it is reduced and enlarged."""

from dataclasses import dataclass

import numpy as np

from gaitloom.deidentify import mosaic
from gaitloom.deidentify.audit.gate import Finding, Gate, verdict
from gaitloom.deidentify.audit.ledger import Ledger
from gaitloom.deidentify.audit.looking import Judges, on

SPREAD, SUREST = 12, 4  # frames of a head that are squinted at: evenly spread, and those where a face was surest


@dataclass(frozen=True)
class Squint:
    """One head in one frame, or over many: the ledger's row, and the score at which both judges see a face on it at
    some size, 0 for none."""

    row: int
    score: float


def chosen(ledger: Ledger, first: int = 0, last: int | None = None) -> list[int]:
    """The ledger's rows of heads to squint at, of the frames [first, last)."""
    where = ledger.regions
    rows = np.flatnonzero(ledger.is_head & (where.frame >= first) & (where.frame < (last or ledger.length)))
    found: set[int] = set()
    for track in np.unique(where.track[rows]):
        mine = rows[where.track[rows] == track]
        found |= set(mine[np.unique(np.linspace(0, len(mine) - 1, SPREAD).round().astype(int))].tolist())
        found |= set(mine[np.argsort(-where.confidence[mine], kind="stable")[:SUREST]].tolist())
    return sorted(found)


def look(image: np.ndarray, ledger: Ledger, row: int, judges: Judges) -> Squint:
    """Squint at one head of a picture (H, W, 3) uint8."""
    view = mosaic.view(image, mosaic.edges(ledger.regions.box[row], ledger.size))
    return Squint(row, seen(view, judges))


def seen(view: mosaic.View, judges: Judges) -> float:
    """The score at which both judges see a face on a view's region, at any of the sizes; 0 for none."""
    pictures, boxes = zip(*mosaic.squints(view, None), strict=True)
    return max(on(judges.faces(iter(pictures)), boxes))


def squint(output: list[Squint], original: list[Squint], ledger: Ledger) -> Gate:
    """Red where both judges see a face on a head of the output; `original` is the same of the clip as it was."""
    where = ledger.regions
    findings = [
        Finding(int(where.frame[s.row]), where.box[s.row], int(where.track[s.row]), s.score, True)
        for s in output
        if s.score
    ]
    tracks = [set(where.track[[s.row for s in found]].tolist()) for found in (output, [s for s in original if s.score])]
    numbers = {"views": len(output), "seen": len(findings), "seen_bare": sum(s.score > 0 for s in original)}
    return verdict(findings, {**numbers, "tracks": len(tracks[0]), "tracks_seen_bare": len(tracks[1])})
