"""Gate e: wherever a person finder that is not the pipeline's own sees a person, a head is covered."""

from collections.abc import Iterator

import numpy as np

from gaitloom.deidentify.audit.agreement import Hits, confirmed, often
from gaitloom.deidentify.audit.gate import Finding, Gate, Heads, most, verdict
from gaitloom.deidentify.audit.ledger import Ledger
from gaitloom.deidentify.mosaic import SQUINT

SURE = 0.5  # least score of a person
# Winter, Biomechanics and Motor Control of Human Movement, 4th ed., fig. 4.1: share of stature.
HEAD = 0.130
LEAST = SQUINT[0] / HEAD  # px; heads of smaller people are below the sizes at which anything is judged
ZONE = 0.35  # of a standing person's box: its upper part, where the head is, arms raised or not
SPARE = 0.15  # of a box's longer side: finders leave crowns out, and hands raised beside them
BORDER = 0.02  # of the picture's size
COVERED = 0.8  # of that zone: then whatever is in it is covered


def heads(people: Hits, ledger: Ledger) -> Gate:
    """Red where a confirmed person has no region at the head in 3 of 5 frames. `people` are the second finder's.

    A region counts whose middle lies where the head must be: in the upper part of who stands, else anywhere in the box;
    so does a whole cover of that part. Of people whom the picture's border cuts and who do not stand, and of those cut
    at the top, nobody knows whether the head is in the picture: they are listed, and counted as `cut`, for a human to
    look at. Listed are also those in single frames, since finders' boxes tremble, and those whose head is smaller than
    8 px.
    """
    sure = people.only(people.score >= SURE)
    found: Heads = {}
    findings: list[Finding] = []
    tracks, cut = confirmed(sure), 0
    for number, rows in enumerate(tracks):
        tall = float(np.median(sure.box[rows, 3] - sure.box[rows, 1]))
        owners = [next(_heads_of(int(sure.frame[r]), sure.box[r].astype(float), ledger), None) for r in rows]
        bare = rows[[owner is None for owner in owners]]
        known = bare[[not _cut(sure.box[r], ledger.size) for r in bare]]
        cut += len(bare) - len(known)
        red = tall >= LEAST and often(sure.frame[known])
        if red or len(bare) < len(rows):
            whose = most(owners, f"person {number}")
            found[whose] = found.get(whose, False) or red
        for row in bare if red else bare[:1]:
            missed = red and row in known
            findings.append(Finding(int(sure.frame[row]), sure.box[row], -1, float(sure.score[row]), missed))
    return verdict(findings, {"people": len(sure.frame), "tracks": len(tracks), "cut": cut}, found)


def _stands(box: np.ndarray) -> bool:
    return bool(box[2] - box[0] <= 0.6 * (box[3] - box[1]))


def _cut(box: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether the head of this box (4,) may be out of the picture of (width, height)."""
    room = np.concatenate([box[:2] / size, (np.array(size) - box[2:]) / size])
    return bool(room[1] <= BORDER or (room.min() <= BORDER and not _stands(box)))


def _heads_of(t: int, box: np.ndarray, ledger: Ledger) -> Iterator[int]:
    """Whose regions cover the head of a person with this box (4,)."""
    (x0, y0, x1, y1), (wide, tall) = box, box[2:] - box[:2]
    stands, spare = _stands(box), SPARE * max(wide, tall)
    low, high = y0 - spare, y0 + ZONE * tall if stands else y1 + spare
    zone = np.array([x0, y0, x1, min(high, y1)])
    rows = ledger.rows(t)
    for region, track in zip(ledger.regions.box[rows], ledger.regions.track[rows].tolist(), strict=True):
        x, y = (region[:2] + region[2:]) / 2
        large = region[3] - region[1] >= 0.8 * HEAD * tall or not stands
        if large and x0 - spare <= x <= x1 + spare and low <= y <= high:
            yield track
    if ledger.inside(t, zone) >= COVERED:
        yield ledger.owner(t, zone)
