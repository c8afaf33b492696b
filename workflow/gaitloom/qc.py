"""Quality control: a few figures a clip that tell whether it is worth analysing. They travel in the clip's group."""

from fractions import Fraction
from typing import Any

import numpy as np

from gaitloom.clips import Clip
from gaitloom.config import modality_of
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.plan import Plan
from gaitloom.store import Node, Store

COLUMNS = {
    "frames": "frames on the time axis",
    "seconds": "time from the first to the last frame",
    "fps": "true mean frame rate, Hz",
    "tracked": "share of the frames in which the subject was seen",
    "gaps": "times that the subject was lost and found again",
    "bystanders": "others seen in at least a tenth of the frames",
    "whole_body": "share of the frames that show the subject from head to toe, off the borders",
    "gait_cycles": "full gait cycles seen (two steps each)",
    "swaps": "frames at which left and right legs changed places",
    "sharpness": "median variance of the Laplacian of the subject; low is blurred",
}
BODY = [WHOLEBODY_23.points.index(p) for p in ("nose", "left_heel", "right_heel", "left_big_toe", "right_big_toe")]


def quality(plan: Plan, store: Store, clip: Clip, nodes: dict[str, str]) -> dict[str, Any]:
    """The QC row of one clip, from those of its nodes that exist; a figure without its node is left out."""
    row: dict[str, Any] = {}
    shown = plan.shown
    if "video" in nodes:
        node = store.open(plan.key(clip, "video"))
        time, rate = node.load("time"), Fraction(node.attributes["fps"])
        row |= {"frames": len(time), "seconds": round(float(time[-1]), 3), "fps": round(float(rate), 4)}
    track, keypoints = (_node(shown, nodes, modality) for modality in ("track", "keypoints"))
    if track:
        row |= _tracking(store.open(plan.key(clip, track)))
    if track and keypoints and "video" in nodes:
        picture = store.open(plan.key(clip, "video")).attributes
        box = store.open(plan.key(clip, track)).load("box")
        row |= _posing(store.open(plan.key(clip, keypoints)), box, picture["width"], picture["height"])
    return row


def _node(shown: dict[str, str], nodes: dict[str, str], modality: str) -> str | None:
    """The node to judge: the one that the preview shows, else the first of that modality."""
    chosen = shown.get(modality)
    return chosen if chosen in nodes else next((n for n in nodes if modality_of(n) == modality), None)


def _tracking(node: Node) -> dict[str, Any]:
    valid, people = node.load("valid"), node.load("person_id")
    seen = np.flatnonzero(valid)
    gaps = int((np.diff(seen) > 1).sum())
    others = people[people != node.attributes["subject_id"]]
    often = np.unique(others, return_counts=True)[1] >= 0.1 * len(valid)
    return {"tracked": round(float(valid.mean()), 4), "gaps": gaps, "bystanders": int(often.sum())}


def _posing(node: Node, box: np.ndarray, width: int, height: int) -> dict[str, Any]:
    xy, valid, time = (node.load(name) for name in ("xy_23", "valid", "time"))
    body = xy[:, BODY]
    inside = ((body >= 0) & (body <= (width - 1, height - 1))).all(axis=(1, 2)) & valid
    off_border = ((box[:, :2] > 1).all(axis=1)) & (box[:, 2] < width - 2) & (box[:, 3] < height - 1)
    sharp = node.load("sharpness")
    return {
        "whole_body": round(float((inside & off_border).mean()), 4),
        "gait_cycles": gait_cycles(xy, valid, time, box[:, 3] - box[:, 1]),
        "swaps": int(node.load("swap").sum()),
        "sharpness": round(float(np.nanmedian(sharp)), 1) if np.isfinite(sharp).any() else None,
    }


def gait_cycles(xy: np.ndarray, valid: np.ndarray, time: np.ndarray, height: np.ndarray) -> int:
    """Full gait cycles seen: half the intervals between successive widest openings of the ankles.

    `xy` (T, 23, 2) pixels, `valid` (T,), `time` (T,) s, `height` (T,) pixels. The ankles' offset from its median, in
    heights, opens once a step (seen from the side along x, from the front along y, beside a steady step width);
    openings are peaks at least 0.25 s apart that stand out by 0.05 heights. Short steps seen from the front do not.
    """
    from scipy.signal import find_peaks

    left, right = (WHOLEBODY_23.points.index(f"{s}_ankle") for s in ("left", "right"))
    if valid.sum() < 3:
        return 0
    apart = xy[valid, left] - xy[valid, right]
    opening = np.linalg.norm(apart - np.nanmedian(apart, axis=0), axis=1) / np.nanmedian(height[valid])
    rate = (valid.sum() - 1) / (time[valid][-1] - time[valid][0])
    width = max(1, round(0.1 * rate))
    smooth = np.convolve(np.pad(opening, width // 2, mode="edge"), np.ones(width) / width, "same")[width // 2 :][
        : len(opening)
    ]
    peaks, _ = find_peaks(smooth, distance=max(1, round(0.25 * rate)), prominence=0.05)
    return max(0, len(peaks) - 1) // 2
