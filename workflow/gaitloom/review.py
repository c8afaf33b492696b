"""The review queue: which clips somebody has to look at, at what, and one static page that shows it.

Its pictures are de-identified. Raw ones are shown beside them only in `review/raw/`, which is written on request alone
and which no release reads.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gaitloom import decisions, review_page
from gaitloom.clips import write_if_changed
from gaitloom.errors import GaitloomError
from gaitloom.gate import Verdict, judge
from gaitloom.lazy_video import LazyVideo
from gaitloom.plan import Plan
from gaitloom.preview import raw_pictures
from gaitloom.review_page import Entry, Look
from gaitloom.store import Node, Store

SHOWN = 100  # clips on the page with pictures; the next ones follow when these are decided
FOUND, LOST, UNSURE, STILLS = 12, 4, 4, 6  # pictures a clip
AROUND, LEAST = 2.0, 64  # side of a crop in those of its box; in pixels at least
STILL_HEIGHT, CROP_HEIGHT = 270, 160
TOGETHER = 10  # frames between two findings that one row covers
WIDER = 0.1  # of such a row's box, on every side
NOT_COVERED = "application"  # the gate that no cover heals: what it shows is a fault, not a head


def queue(plan: Plan) -> list[Verdict]:
    """The clips against which something speaks, the red ones first, then by name; those apart of which there is nothing
    to look at, since consent for that was withdrawn."""
    store = Store(plan.config.results)
    clips = [c for path, c in plan.accepted.items() if not set(plan.audited or ()) & set(plan.withheld(path))]
    verdicts = [judge(plan, store, clip, "basic") for clip in clips]
    return sorted((v for v in verdicts if v.reasons), key=lambda v: (not v.red, v.audit is None, v.clip.path))


def write(plan: Plan, raw: bool = False) -> Path | None:
    """Write `review/index.html` and return its path; with `raw`, also a page a clip with the raw pictures in
    `review/raw/`. Nothing, and None, where the configuration makes no audit."""
    folder = plan.config.results / "review"
    if plan.audited is None:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    store, waiting = Store(plan.config.results), queue(plan)
    if raw:
        shutil.rmtree(folder / "raw", ignore_errors=True)
    entries = []
    for number, verdict in enumerate(waiting):
        entry = _entry(plan, store, verdict, pictured=number < SHOWN)
        entries.append(entry)
        if raw and entry.crops:
            page = review_page.raw(verdict.clip.path, _beside(plan, store, verdict, entry))
            write_if_changed(folder / "raw" / f"{verdict.clip.path}.html", page)
    write_if_changed(folder / "index.html", review_page.page(entries, plan.config.review.decisions))
    return folder / "index.html"


def _entry(plan: Plan, store: Store, verdict: Verdict, pictured: bool) -> Entry:
    """What the page says of a clip."""
    path = verdict.clip.path
    if verdict.audit is None or plan.audited is None:
        return Entry(path, verdict.reasons)
    audit, ledger = (store.open(plan.key(verdict.clip, n)) for n in plan.audited)
    rows = decisions.tsv(*_rows(verdict, list(findings(audit))))
    entry = Entry(path, verdict.reasons, verdict.audit["gates"], rows)
    if not pictured:
        return entry
    try:
        video = LazyVideo.of(ledger, f"{path}/{plan.audited[1]}")
        spread = np.unique(np.linspace(0, len(video) - 1, STILLS).round().astype(int)).tolist()
        stills = [(t, picture(video.frame(t), None)) for t in spread]
        crops = [(look, picture(video.frame(look.frame), look.box)) for look in looks(audit, ledger)]
    except GaitloomError as error:  # one damaged clip keeps no other from being looked at
        return replace(entry, reasons=(*verdict.reasons, str(error)))
    return replace(entry, stills=stills, crops=crops)


def findings(audit: Node) -> Iterator[Look]:
    """What the gates found, as the audit lists it."""
    columns = {name: audit.load(f"finding_{name}") for name in ("frame", "box", "gate", "track", "score", "red")}
    names = str(audit.arrays["finding_gate"].attrs["flag_meanings"]).split()
    for frame, box, gate, track, score, red in zip(*columns.values(), strict=True):
        what = f"{names[gate]}: {'red' if red else 'to look at'}, score {float(score):.2f}"
        yield Look(int(frame), box if np.isfinite(box).all() else None, what, names[gate], int(track), bool(red))


def looks(audit: Node, ledger: Node) -> list[Look]:
    """A bounded number of places to look at: red findings first, of each gate and track before more of the same; where
    people vanish; where it is least sure that what is covered is what was to be."""
    length = ledger.arrays["covered"].shape[0]
    nth: Counter[tuple[str, int]] = Counter()
    ranked = []
    for look in findings(audit):
        nth[look.gate, look.track] += 1
        ranked.append((not look.red, nth[look.gate, look.track], look.frame, look))
    found = [look for *_, look in sorted(ranked, key=lambda r: r[:3]) if 0 <= look.frame < length]
    return [*found[:FOUND], *_lost(ledger)[:LOST], *_unsure(ledger)[:UNSURE]]


def _lost(ledger: Node) -> list[Look]:
    frames, tracks, boxes = (ledger.load(f"region_{name}") for name in ("frame", "track", "box"))
    found = []
    for frame, track in ledger.attributes.get("lost", ()):
        rows = np.flatnonzero((frames == frame) & (tracks == track))
        box = boxes[rows[0]] if len(rows) else None
        found.append(Look(frame, box, "first or last seen in the middle of the picture", track=track))
    return found


def _unsure(ledger: Node) -> list[Look]:
    """The least sure region of each track, the least sure first."""
    frames, tracks, boxes, sure = (ledger.load(f"region_{name}") for name in ("frame", "track", "box", "confidence"))
    least: dict[int, int] = {}
    for row in np.argsort(sure, kind="stable").tolist():
        least.setdefault(int(tracks[row]), row)
    return [Look(int(frames[r]), boxes[r], f"covered with confidence {sure[r]:.2f}") for r in least.values()]


def _rows(verdict: Verdict, found: Iterable[Look]) -> Iterator[dict[str, Any]]:
    """Rows for the decision file: what would cover red findings, an acceptance where one could help, an exclusion. What
    has to be looked for first is a question mark, which the reader of the file refuses."""
    path = verdict.clip.path
    for covered in _together(f for f in found if f.red and f.gate != NOT_COVERED):
        yield {"clip": path, "decision": decisions.COVER, **covered}
    if not verdict.red and not verdict.accepted and (verdict.flags or verdict.stale):
        asked = dict.fromkeys(decisions.CHECKLIST, "?")
        yield {"clip": path, "decision": decisions.ACCEPT, "of": verdict.of[: decisions.SHORT], **asked}
    yield {"clip": path, "decision": decisions.EXCLUDE}


def _together(found: Iterable[Look]) -> Iterator[dict[str, Any]]:
    """Frames and box that cover findings of one track that follow each other."""
    runs: dict[tuple[str, int], list[list[Look]]] = {}
    for look in sorted(found, key=lambda f: f.frame):
        row = runs.setdefault((look.gate, look.track), [])
        if not row or look.frame - row[-1][-1].frame > TOGETHER:
            row.append([])
        row[-1].append(look)
    for run in (run for row in runs.values() for run in row):
        frames = {"start": run[0].frame, "end": run[-1].frame + 1} if run[0].frame >= 0 else {}
        if any(look.box is None for look in run):
            yield frames
            continue
        boxes = np.array([look.box for look in run])
        low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        more = WIDER * (high - low)
        corners = [*np.floor(np.maximum(low - more, 0)), *np.ceil(high + more)]
        yield {**frames, "box": ",".join(str(int(v)) for v in corners)}


def _beside(plan: Plan, store: Store, verdict: Verdict, entry: Entry) -> list[tuple[Look, bytes, bytes]]:
    """Every crop of an entry with the same of the raw picture: what it is, raw, covered."""
    wanted = {look.frame for look, _ in entry.crops}
    pts = store.open(plan.key(verdict.clip, "video")).load("pts")
    raw: dict[int, np.ndarray] = {}
    for t, image in enumerate(raw_pictures(verdict.clip, pts)):
        if t in wanted:
            raw[t] = image
        if t >= max(wanted):
            break
    return [(look, picture(raw[look.frame], look.box), shown) for look, shown in entry.crops]


def picture(image: np.ndarray, box: np.ndarray | None) -> bytes:
    """A JPEG of the picture (H, W, 3) uint8 RGB, or of the box (4,) in it with its surroundings, the box outlined."""
    import cv2

    crop, corner, scale = image, np.zeros(2), STILL_HEIGHT / image.shape[0]
    if box is not None:
        middle, half = (box[:2] + box[2:]) / 2, np.maximum((box[2:] - box[:2]) * AROUND, LEAST) / 2
        size = np.array(image.shape[1::-1])
        corner = np.clip(middle - half, 0, size - 1).astype(int)
        x1, y1 = np.clip(middle + half, corner + 1, size).astype(int)
        crop = image[corner[1] : y1, corner[0] : x1]
        scale = CROP_HEIGHT / crop.shape[0]
    width, height = (max(1, round(n * scale)) for n in crop.shape[1::-1])
    small = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if box is not None:
        a, b = (tuple(((p - corner) * scale).round().astype(int).tolist()) for p in (box[:2], box[2:]))
        cv2.rectangle(small, a, b, (255, 60, 200), 1)
    return cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
