"""Gate d: no confirmed face is left outside the regions of the output."""

import numpy as np

from gaitloom.deidentify.audit.agreement import HITS, INSIDE, SAME, Hits, confirmed, linked
from gaitloom.deidentify.audit.gate import Finding, Gate, verdict
from gaitloom.deidentify.audit.ledger import Ledger
from gaitloom.tracking import iou


def outside(output: Hits, original: Hits, ledger: Ledger) -> Gate:
    """Red where a confirmed face of the output lies less than nine tenths inside the regions, and at least one judge
    sees it in the original too, in 3 frames: what appears only beside a painted head is made by the paint.

    Anything else outside is listed, once for every row of hits: single hits, and what one judge sees alone.
    """
    share = np.array([ledger.inside(t, box) for t, box in zip(output.frame.tolist(), output.box, strict=True)])
    bare = output.only(share < INSIDE)
    faces = bare.only(bare.agreed)
    findings, real, seen = [], 0, set()
    for rows in confirmed(faces):
        there = [_seen(original, int(faces.frame[r]), faces.box[r]) for r in rows]
        red = bool(sum(there) >= HITS)
        real += red
        shown = rows if red else rows[[int(faces.score[rows].argmax())]]
        findings += [_finding(faces, int(r), ledger, red) for r in shown]
        seen |= {(int(faces.frame[r]), *faces.box[r].tolist()) for r in rows}
    new = [(t, *box) not in seen for t, box in zip(bare.frame.tolist(), bare.box.tolist(), strict=True)]
    rest = bare.only(np.array(new, bool))
    findings += [_finding(rest, int(rows[rest.score[rows].argmax()]), ledger, False) for rows in linked(rest)]
    return verdict(findings, {"tracks": real, "hits": len(output.frame), "hits_outside": len(bare.frame)})


def _seen(hits: Hits, t: int, box: np.ndarray) -> bool:
    near = hits.box[hits.frame == t]
    return bool((iou(box[None], near) > SAME).any())


def _finding(hits: Hits, row: int, ledger: Ledger, red: bool) -> Finding:
    t, box = int(hits.frame[row]), hits.box[row]
    return Finding(t, box, ledger.owner(t, box), float(hits.score[row]), red)
