"""Each audit shows on a few frames of its own clip that it notices faults: the clip unprotected, a hole of three
frames, and an empty scene in which there is nothing to notice."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gaitloom.deidentify.audit.agreement import Hits, confirmed, runs
from gaitloom.deidentify.audit.application import application
from gaitloom.deidentify.audit.coverage import coverage
from gaitloom.deidentify.audit.gate import GREEN, NOT_RUN, RED, Gate, not_run
from gaitloom.deidentify.audit.heads import heads
from gaitloom.deidentify.audit.ledger import Ledger
from gaitloom.deidentify.audit.outside import outside
from gaitloom.deidentify.audit.seeing import Seen
from gaitloom.deidentify.audit.squint import squint
from gaitloom.deidentify.audit.time import time

MOST = 24  # frames
HOLE = 3
EMPTY = 6  # frames of the empty scene: more than those in which a face is confirmed
BLIND = "blind"  # there was nothing to notice


def gates(original: Seen, output: Seen, ledger: Ledger, wrong: list[str]) -> dict[str, Gate]:
    """All six; `wrong` as `application.faults` gives it."""
    return {
        "coverage": coverage(original.hits, ledger),
        "application": application(output.deviation, ledger, wrong),
        "squint": squint(output.squints, original.squints, ledger),
        "outside": outside(output.hits, original.hits, ledger),
        "heads": not_run("there is no second person finder")
        if original.people is None
        else heads(original.people, ledger),
        "time": time(output.merges, ledger),
    }


def excerpt(original: Seen, ledger: Ledger) -> range:
    """Up to `MOST` consecutive frames: those with the most confirmed faces, or heads where there are none."""
    faces = original.hits.only(original.hits.agreed)
    rows = [r for rows in confirmed(faces) for r in rows]
    count = np.bincount(faces.frame[rows], minlength=ledger.length) * 1000.0
    count += np.bincount(ledger.regions.frame[ledger.is_head], minlength=ledger.length)
    length = min(MOST, ledger.length)
    sums = np.convolve(count, np.ones(length), "valid")
    first = int(sums.argmax())
    return range(first, first + length)


def unprotected(bare: Seen, again: Seen, ledger: Ledger, frames: range) -> dict[str, str]:
    """What each gate says of the excerpt as it was, encoded again: `bare` is what judges saw in the clip before, of
    these frames, `again` what they saw after."""
    nothing = ledger.without(range(ledger.length))
    rows = np.isin(ledger.regions.frame, frames)
    said = {
        "coverage": coverage(bare.hits, nothing),
        "application": application(np.where(rows[:, None], again.deviation, np.nan), ledger, []),
        "squint": squint(again.squints, [], ledger),
        "outside": outside(again.hits, bare.hits, nothing),
        "time": time(again.merges, ledger),
    }
    visible = {
        "coverage": said["coverage"].result == RED,
        "application": bool(rows.any()),
        "squint": any(s.score for s in bare.squints),
        "outside": said["coverage"].result == RED,
        "time": any(m.score for m in bare.merges),
    }
    if bare.people is not None:
        said["heads"] = heads(bare.people, nothing)
        visible["heads"] = said["heads"].result == RED
    return {name: gate.result if visible[name] else BLIND for name, gate in said.items()}


def hole(original: Seen, output: Seen, again: Seen, ledger: Ledger, frames: range) -> dict[str, str]:
    """What each gate says where three frames of the excerpt are as they were, and nothing is declared there."""
    result = {}
    if (place := next(_confirmed_runs(original.hits, again.hits, frames), None)) is not None:
        open_ledger = ledger.without(place)
        result["coverage"] = coverage(original.hits, open_ledger).result
        result["outside"] = outside(output.hits.spliced(again.hits, place), original.hits, open_ledger).result
    inside = np.isin(ledger.regions.frame, place or frames[:HOLE])
    result["application"] = application(np.where(inside[:, None], again.deviation, output.deviation), ledger, []).result
    if not inside.any():
        result["application"] = BLIND
    if original.people is not None:
        # Who is cut by the border is not missed, so people are tried until a hole is noticed.
        frames_of = (original.people.frame[rows] for rows in sorted(confirmed(original.people), key=len, reverse=True))
        tried = [next(iter(runs(seen, HOLE)[len(runs(seen, HOLE)) // 2 :]), None) for seen in frames_of]
        said = [heads(original.people, ledger.without(gap)).result for gap in tried if gap]
        result["heads"] = RED if RED in said else (GREEN if said else BLIND)
    known = ("coverage", "application", "outside", *(("heads",) if original.people is not None else ()))
    return {name: result.get(name, BLIND) for name in known}


def _confirmed_runs(original: Hits, again: Hits, frames: range) -> Iterator[range]:
    """Three consecutive frames of the excerpt in which both judges see a confirmed face before and after."""
    faces = original.only(original.agreed)
    after = again.frame[again.agreed]
    for rows in sorted(confirmed(faces), key=len, reverse=True):
        there = [t for t in faces.frame[rows].tolist() if t in frames and t in after]
        yield from runs(np.array(there, int), HOLE)


def scene(size: tuple[int, int], ledger: Ledger) -> tuple[list[np.ndarray], Ledger]:
    """Frames of a soft background without anybody, (width, height), and a ledger that declares nothing there but grey
    rectangles where the clip's widest regions are, which are painted."""
    import cv2

    from gaitloom.deidentify import mosaic
    from gaitloom.deidentify.audit.ledger import COLUMNS
    from gaitloom.deidentify.heads import Regions

    coarse = np.random.default_rng(0).integers(60, 200, (4, 6, 3), np.uint8)
    image = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    extent = (ledger.regions.box[:, 2:] - ledger.regions.box[:, :2]).min(axis=1)  # a line is nothing but edges
    rows = np.sort(np.argsort(-extent, kind="stable")[:2])
    frame = np.repeat(np.arange(EMPTY, dtype=np.int32), len(rows))
    others = (np.concatenate([getattr(ledger.regions, name)[rows]] * EMPTY) for name in COLUMNS[1:])
    grey = np.full((1, 1, 3), mosaic.GREY, np.uint8)
    box, track, why, confidence = others
    empty = Ledger(Regions(frame, box, track, why, confidence), [grey] * len(frame), EMPTY, size)
    painted = mosaic.paint(image, ledger.regions.box[rows], [grey] * len(rows))
    return [painted] * EMPTY, empty


def settled(found: dict[str, Gate], controls: dict[str, dict[str, str]]) -> dict[str, Gate]:
    """The gates, those that missed a fault or saw one where there is none as not run; a red one stays so. `proven`: the
    gate was shown to notice the clip's own heads unprotected."""
    done = {}
    for name, gate in found.items():
        faults = [
            *(f"does not notice {what}" for what in ("unprotected", "hole") if controls[what].get(name) == GREEN),
            *(["is red on an empty scene"] if controls["empty"].get(name) == RED else []),
        ]
        proven = controls["unprotected"].get(name) == RED
        if gate.result == NOT_RUN:
            done[name] = gate
        elif faults and gate.result == GREEN:
            reason = "it " + " and ".join(faults)
            done[name] = replace(gate, result=NOT_RUN).noting(reason=reason, proven=False)
        else:
            done[name] = gate.noting(proven=proven)
    return done
