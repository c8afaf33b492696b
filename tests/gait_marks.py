"""Events that were marked by eye on filmed people (gait_events.json), against those that gait finds."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gaitloom.backends.keypoints import blazepose as poser
from gaitloom.gait.course import Walk
from gaitloom.gait.measure import gait
from gaitloom.keypoint_formats import view
from gaitloom.video import decode
from test_accuracy import Seen, find, pictures
from walker import SIDES

WALKS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "gait_events.json").read_text())["walks"]
KINDS = ("contact", "off")
EDGE = 4  # frames at either end of a piece in which half of what shows an event is missing


@dataclass(frozen=True)
class Found:
    """Frames from each mark to the nearest event of that foot, by kind, NaN where none is within 5; and from the marked
    to the found time of each step."""

    contact: np.ndarray
    off: np.ndarray
    step: np.ndarray


@cache
def compared(path: Path, number: int, which: str = "time") -> Found:
    """One of `WALKS`, its clip at `path`; `which` moments: `time`, or a detector's own, `zeni` or `desailly`."""
    marks, pieces = WALKS[number]["marks"], list(_pieces(path, number))
    found: dict[tuple[int, int], list[float]] = {}
    for first, walk in pieces:
        events = gait(walk).events
        moments = getattr(events, which)
        for foot, kind, frame in zip(
            events.foot.tolist(), events.kind.tolist(), (first + 30 * moments).tolist(), strict=True
        ):
            found.setdefault((foot, kind), []).append(frame)
    apart: dict[str, list[float]] = {"contact": [], "off": [], "step": []}
    for first, walk in pieces:
        contacts = []
        for mark in marks:
            frame = np.mean(mark["frames"]) - 0.5  # a mark is the first frame after the event
            if len(pieces) > 1 and not first + EDGE <= frame <= first + len(walk.time) - EDGE:
                continue
            mine = np.array(found.get((SIDES.index(mark["foot"]), KINDS.index(mark["event"])), [np.nan])) - frame
            near = mine[np.nanargmin(np.abs(mine))] if np.isfinite(mine).any() else np.nan
            apart[mark["event"]].append(float(near if abs(near) <= 5 else np.nan))
            contacts += apart["contact"][-1:] if mark["event"] == "contact" else []
        apart["step"] += np.diff(contacts).tolist()
    return Found(*(np.array(apart[name]) for name in ("contact", "off", "step")))


def _pieces(path: Path, number: int) -> Iterator[tuple[int, Walk]]:
    """First frame and keypoints of every piece in which the walker is alone, 30 frames a second."""
    xy, size = posed(path, number)
    for first, end in WALKS[number].get("alone", [(0, len(xy))]):
        yield first, Walk(np.arange(end - first) / 30, xy[first:end], size)


@cache
def posed(path: Path, number: int) -> tuple[np.ndarray, tuple[int, int]]:
    """(T, 23, 2) px by the embedded backends, the picture's size; boxes drawn by hand where there are some."""
    count = sum(1 for _ in decode(path, 0, None))
    if "boxes" in WALKS[number]:
        table = np.array(WALKS[number]["boxes"], float)
        seen = np.arange(int(table[0, 0]), int(table[-1, 0]) + 1)
        boxes = np.stack([np.interp(seen, table[:, 0], column) for column in table[:, 1:].T], axis=1)
        frames = zip(list(pictures(path))[seen[0] : seen[-1] + 1], boxes, strict=True)
    else:
        subject = Seen(find(pictures(path)), np.arange(count) / 30)
        seen, frames = np.flatnonzero(subject.seen), subject.of(pictures(path))
    xy = np.full((count, 23, 2), np.nan)
    for t, found in zip(seen, poser.Backend(poser.Options()).points(iter(frames)), strict=True):
        if found is not None:
            xy[t] = view(found[None, :, :2], found[None, :, 2], poser.Backend.format.points)[0][0]
    height, width = next(iter(pictures(path))).shape[:2]
    return xy, (width, height)
