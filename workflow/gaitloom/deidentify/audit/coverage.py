"""Gate a: faces that two judges confirm in the clip as it was lie inside what is declared."""

from gaitloom.deidentify.audit.agreement import INSIDE, Hits, confirmed
from gaitloom.deidentify.audit.gate import Finding, Gate, Heads, most, verdict
from gaitloom.deidentify.audit.ledger import Ledger


def coverage(original: Hits, ledger: Ledger) -> Gate:
    """Red where a confirmed face of the original lies less than nine tenths inside the union of its frame's regions."""
    faces = original.only(original.agreed)
    heads: Heads = {}
    findings: list[Finding] = []
    least, seen = 1.0, 0
    for number, rows in enumerate(tracks := confirmed(faces)):
        frames, boxes = faces.frame[rows].tolist(), faces.box[rows]
        inside = [ledger.inside(t, box) for t, box in zip(frames, boxes, strict=True)]
        owners = [ledger.owner(t, box) for t, box in zip(frames, boxes, strict=True)]
        whose = most(owners, f"face {number}")
        heads[whose] = heads.get(whose, False) or min(inside) < INSIDE
        least, seen = min(least, *inside), seen + len(rows)
        findings += [
            Finding(t, box, owner, float(sure), True)
            for t, box, owner, sure, share in zip(frames, boxes, owners, faces.score[rows], inside, strict=True)
            if share < INSIDE
        ]
    return verdict(findings, {"faces": seen, "tracks": len(tracks), "least_inside": round(least, 4)}, heads)
