"""Proposing segments: where the subject walks in one direction across the picture, from the track."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gaitloom.clips import Clip
from gaitloom.plan import Plan
from gaitloom.store import Store

COLUMNS = ("video", "subject", "session", "trial", "camera", "segment", "start", "end", "direction", "speed_heights_s")


def one_direction(
    box: np.ndarray, time: np.ndarray, slowest: float = 0.2, shortest: float = 1.0
) -> list[tuple[int, int, float]]:
    """Spans of a track in which the person moves steadily one way.

    `box` (T, 4) xyxy pixels (NaN where unseen), `time` (T,) s. Speed is that of the box's centre along x, in the
    person's heights a second, over a 0.5 s window. Gives (first frame, end frame exclusive, mean signed speed) of every
    span faster than `slowest` heights a second for at least `shortest` seconds.
    """
    seen = np.flatnonzero(np.isfinite(box[:, 0]))
    if len(seen) < 3:
        return []
    height = np.median(box[seen, 3] - box[seen, 1])
    x = (box[seen, 0] + box[seen, 2]) / 2
    half = 0.25
    before = np.interp(time[seen] - half, time[seen], x)
    after = np.interp(time[seen] + half, time[seen], x)
    span = np.minimum(time[seen] + half, time[seen][-1]) - np.maximum(time[seen] - half, time[seen][0])
    speed = (after - before) / np.maximum(span, 1e-6) / max(height, 1e-6)
    way = np.where(np.abs(speed) >= slowest, np.sign(speed), 0)
    cuts = np.flatnonzero((np.diff(way) != 0) | (np.diff(time[seen]) > 0.5)) + 1
    found = []
    for part in np.split(np.arange(len(seen)), cuts):
        if way[part[0]] and time[seen[part[-1]]] - time[seen[part[0]]] >= shortest:
            found.append((int(seen[part[0]]), int(seen[part[-1]]) + 1, float(speed[part].mean())))
    return found


def propose(plan: Plan, paths: Sequence[str]) -> str:
    """Rows for the hand-written sheet (TSV text), one a walk; start and end count the video's own frames.

    Raises:
        GaitloomError: a named clip is not planned, or has no track.
    """
    node = plan.nodes_of("track")[0]
    clips = [plan.clip(p) for p in paths] or [c for p, c in plan.accepted.items() if node in plan.nodes_of_clip(p)]
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(COLUMNS)
    for clip in clips:
        table.writerows(_rows(plan, clip, node))
    return text.getvalue()


def _rows(plan: Plan, clip: Clip, track: str) -> list[list]:
    key = plan.key(clip, track)
    plan.digest(key)
    node = Store(plan.config.results).open(key)
    box, time = node.load("box"), node.load("time")
    folders = plan.config.clips.folders
    video = next(Path(clip.video).relative_to(f).as_posix() for f in folders if Path(clip.video).is_relative_to(f))
    first = clip.start or 0
    return [
        [
            *(video, clip.subject, clip.session, clip.trial, clip.camera, f"{clip.segment}{number}"),
            *(start + first, end + first, "right" if speed > 0 else "left", f"{abs(speed):.2f}"),
        ]
        for number, (start, end, speed) in enumerate(one_direction(box, time), 1)
    ]
