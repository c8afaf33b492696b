"""What is left of a clip: covering everything is no way to pass."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gaitloom.deidentify.audit.agreement import Hits, confirmed
from gaitloom.deidentify.audit.ledger import Ledger
from gaitloom.deidentify.heads import FRAME, PERSON, of_face

NEAR = 0.1  # of the person's height, that of the box of the original's points, as `gaitloom evaluate` has it
KNOWN = 0.5  # least score of a point in the original
NECK = 5  # of COCO's points, those before are the head's


def covered(ledger: Ledger) -> dict[str, Any]:
    """Shares of frames in which a whole person, or all, is covered, and mean share of the picture that is."""
    where, whole = ledger.regions, (0, 0, *ledger.size)
    frames, persons = (set(where.frame[np.isin(where.why, w)].tolist()) for w in ((FRAME,), (FRAME, PERSON)))
    share = [ledger.inside(t, np.array(whole, float)) for t in range(0, ledger.length, max(1, ledger.length // 100))]
    return {
        "whole_frame_share": round(len(frames) / ledger.length, 4),
        "whole_person_or_frame_share": round(len(persons) / ledger.length, 4),
        "covered_share": round(float(np.mean(share)), 4),
    }


def area_ratio(faces: Hits, ledger: Ledger) -> float | None:
    """Area of heads' regions over that of the heads in them, by the confirmed faces of the original (a head reaches
    from a face to hair, ears and nape as `heads.of_face` has it); None without any."""
    seen = faces.only(faces.agreed)
    ours = theirs = 0.0
    for row in [r for rows in confirmed(seen) for r in rows]:
        rows = ledger.rows(t := int(seen.frame[row]))
        mine = ledger.regions.box[rows][
            (ledger.regions.track[rows] == ledger.owner(t, seen.box[row])) & ledger.is_head[rows]
        ]
        if len(mine):
            head = np.clip(of_face(seen.box[row], 1).box, 0, (*ledger.size, *ledger.size))
            ours, theirs = ours + _area(mine), theirs + _area(head[None])
    return round(ours / theirs, 2) if theirs else None


def _area(boxes: np.ndarray) -> float:
    return float(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).sum())


def below_neck(original: Sequence[np.ndarray], output: Sequence[np.ndarray]) -> dict[str, Any]:
    """PCK@0.1 of the points below the neck in the output against those of the original, posed alike: (23, 3) x, y and
    score a frame, NaN where nobody is seen; None where nothing is known in the original. Of
    `frames_posed` there, nobody is seen in the output in `frames_lost`."""
    near: list[bool] = []
    frames = lost = 0
    for truth, found in zip(original, output, strict=True):
        known = np.isfinite(truth[:, 0]) & (truth[:, 2] >= KNOWN)
        if not known.any():
            continue
        tall = float(np.ptp(truth[np.isfinite(truth[:, 0]), 1]))
        apart = np.linalg.norm(found[:, :2] - truth[:, :2], axis=1)
        known[:NECK] = False
        frames, lost = frames + 1, lost + int(not np.isfinite(found[:, 0]).any())
        near += (apart <= NEAR * tall)[known].tolist()  # NaN is not near
    return {
        "below_neck_pck_0.1": round(float(np.mean(near)), 4) if near else None,
        "below_neck_points": len(near),
        "frames_posed": frames,
        "frames_lost": lost,
    }
