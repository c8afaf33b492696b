"""Gait against Sports2D, an independent published implementation, on the very same keypoints (`peer_sports2d.py`).

Ours: track and keypoints of a clip by the default backends, then `gaitloom.gait`; the peer gets these keypoints. Three
comparisons of the angles:

`as_they_are`: each with its own cleaning and filter. `same_cleaning`: the peer gets the points that ours were put
right, bridged and cut to. `definitions`: these too, and nobody filters or takes out outliers; what is left is the
formulas.

Events and steps are compared as they are and with the same cleaning. Rendered walkers add the truth.

    PATH=$PATH:$PWD/peer/bin python benchmarks/gait_peer.py [--clip VIDEO=CENTIMETRES ...] [--walkers]
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import common
import numpy as np
import peer_sports2d
from gaitloom.gait import angles, signals
from gaitloom.gait.course import Course, prepare
from gaitloom.gait.course import Walk as GaitWalk
from gaitloom.gait.events import KINDS, SIDES
from gaitloom.gait.measure import Gait, gait
from gaitloom.gait.scene import Scene
from peer_sports2d import VERSIONS, Peer, missing
from walker import GAITS, Walk

BARE = {"filter": "false", "reject_outliers": "false", "correct_segment_angles_with_floor_angle": "false"}
SAME = 0.25  # s within which two events are one
NEAR = 2 / 30  # s, two frames of the filmed clips
EVENTS = [(foot, kind) for foot in (0, 1) for kind in (0, 1)]
Events = dict[tuple[int, int], np.ndarray]  # (foot, kind) → s


def apart(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """Of angles (T, n) in degrees, over what both have: ours minus theirs."""
    both = np.isfinite(ours) & np.isfinite(theirs)
    a, b = ours[both], theirs[both]
    off = a - b
    return {
        "frames": int(both.any(axis=1).sum()),
        "offset": round(float(off.mean()), 2),
        "mean_abs": round(float(np.abs(off).mean()), 2),
        "median_abs": round(float(np.median(np.abs(off))), 2),
        "r": round(float(np.corrcoef(a, b)[0, 1]), 3),
    }


def by_joint(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """`apart` of hip, knee and ankle, both sides together, and of the trunk."""
    columns = {j: [i for i, n in enumerate(angles.NAMES) if n.endswith(j)] for j in ("hip", "knee", "ankle", "trunk")}
    return {joint: apart(ours[:, c], theirs[:, c]) for joint, c in columns.items()}


def matched(ours: Events, theirs: Events) -> dict[str, Any]:
    """Of contacts and of offs: how many both have, how many one alone, and ours minus theirs in seconds."""
    table = {}
    for kind, name in enumerate(("contacts", "offs")):
        off, alone = [], [0, 0]
        for foot in (0, 1):
            a, b = ours[foot, kind], theirs[foot, kind]
            gap = np.abs(a[:, None] - b[None]) if len(a) and len(b) else np.full((len(a), len(b)), np.inf)
            pairs = [(i, int(gap[i].argmin())) for i in range(len(a)) if len(b) and gap[i].min() <= SAME]
            off += [float(a[i] - b[j]) for i, j in pairs]
            alone = [alone[0] + len(a) - len(pairs), alone[1] + len(b) - len({j for _, j in pairs})]
        far = {"offset_s": off, "mean_abs_s": np.abs(off)} if off else {}
        table[name] = {"both": len(off), "ours_alone": alone[0], "theirs_alone": alone[1]}
        table[name]["within_67_ms"] = int((np.abs(off) <= NEAR).sum())
        table[name] |= {k: _mean(v) for k, v in far.items()}
    return table


def steps(ours: Gait, peer: Peer, rate: float) -> dict[str, Any]:
    """Means over the steady steps and strides of which both saw both contacts, in seconds and metres; the peer's by the
    definitions of docs/gait.md, from its own contacts and heels."""
    foot, at = ours.steps.foot.astype(int), np.full(len(ours.steps.foot), np.nan)
    for row, (side, time) in enumerate(zip(foot.tolist(), ours.steps.time.tolist(), strict=True)):
        near = peer.events[side, 0] - time
        if len(near) and np.abs(near).min() <= SAME:
            at[row] = peer.events[side, 0][np.abs(near).argmin()]
    heels = [peer.metres[name] for name in ("LHeel", "RHeel")]
    place = np.array([np.interp(t * rate, np.arange(len(heels[f])), heels[f]) for f, t in zip(foot, at, strict=True)])
    place = place if peer.direction == "right" else -place
    found = {}
    for name, back, values in (
        ("step_time", 1, at), ("step_length", 1, place), ("stride_time", 2, at), ("stride_length", 2, place),
    ):  # fmt: skip
        mine, theirs = ours.steps.column(name), np.full(len(at), np.nan)
        theirs[back:] = values[back:] - values[:-back]
        both = ours.steps.steady & np.isfinite(mine) & np.isfinite(theirs)
        if both.any():
            found[name] = {"n": int(both.sum()), "ours": _mean(mine[both]), "theirs": _mean(theirs[both])}
            found[name]["mean_abs"] = _mean(np.abs(mine - theirs)[both])
    return found


def _mean(values: Any) -> float:
    return round(float(np.mean(values)), 3)


def unfiltered(course: Course) -> np.ndarray:
    """Our angles (N, 7) of the course's points as they are."""
    with mock.patch.object(signals, "filtered", lambda values, *_: values):
        return angles.angles(course)


def compared(walk: GaitWalk, metres: float, events: Events, angle: np.ndarray | None = None) -> dict[str, Any]:
    """Both on a walk's points; and against true or marked `events`, and the true `angle`, where there are any."""
    ours, course = gait(walk), prepare(walk)
    rate, found = course.rate, {}
    first = int(np.flatnonzero(ours.used)[0])
    cleaned = np.full_like(walk.xy, np.nan)
    cleaned[first : first + len(course.xy)] = course.xy
    bare = np.full((len(walk.xy), len(angles.NAMES)), np.nan)
    bare[first : first + len(course.xy)] = unfiltered(course)
    peer = {
        "as_they_are": peer_sports2d.run(walk.xy, rate, walk.size, metres),
        "same_cleaning": peer_sports2d.run(cleaned, rate, walk.size, metres),
        "definitions": peer_sports2d.run(cleaned, rate, walk.size, metres, **BARE),
    }
    mine = {"event_time": ours.events.time, "event_zeni": ours.events.zeni}
    for name, theirs in peer.items():
        found[name] = {"angles": by_joint(bare if name == "definitions" else ours.angle, theirs.angle)}
        if name != "definitions":
            found[name] |= {which: matched(by_foot(ours, t), theirs.events) for which, t in mine.items()}
            found[name]["steps"] = steps(ours, theirs, rate)
        if angle is not None:
            found[name]["peer_to_truth"] = by_joint(theirs.angle, angle)
    if angle is not None:
        found["ours_to_truth"] = by_joint(ours.angle, angle)
    if events:
        found["events_to_truth"] = {
            "ours": matched(by_foot(ours, ours.events.time), events),
            **{f"peer_{name}": matched(peer[name].events, events) for name in ("as_they_are", "same_cleaning")},
        }
    found["direction"] = {"ours": ours.notes["direction"], "theirs": peer["as_they_are"].direction}
    found["stature_px"] = {"ours": round(course.stature, 1), "theirs": peer["as_they_are"].stature}
    found["legs_exchanged"] = ours.notes["legs_exchanged"]
    return found


def by_foot(ours: Gait, time: np.ndarray) -> Events:
    """Events by (foot, kind), at these times of theirs, s."""
    events = ours.events
    chosen = {(f, k): time[(events.foot == f) & (events.kind == k)] for f, k in EVENTS}
    return {key: times[np.isfinite(times)] for key, times in chosen.items()}


def _true_angles(walk: Walk) -> np.ndarray:
    points = walk.keypoints
    course = prepare(GaitWalk(walk.times, points, (100 * walk.size[0], 100 * walk.size[1])))
    none = np.zeros(0)
    clean = Course(walk.times, course.rate, points, course.forward, course.stature, none, none, none, course.view)
    return unfiltered(clean)


def posed(video: Path) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Time axis, the 23 points in px where the track sees the subject, and the picture's size, as gait gets them."""
    with tempfile.TemporaryDirectory() as name:
        nodes = {"track": {"backend": "blazepose"}, "keypoints": {"backend": "blazepose"}}
        plan = common.one_clip(Path(name), video, nodes=nodes)
        made = {node: common.make(plan, node) for node in plan.nodes}
        store = common.Store(plan.config.results)
        video_node, track, keypoints = (store.open(made[n]) for n in ("video", "track", "keypoints"))
        xy = keypoints.load("xy_23").astype(float)
        xy[~keypoints.load("valid") | ~np.isfinite(track.load("box")[:, 0])] = np.nan
        return keypoints.load("time"), xy, (video_node.attributes["width"], video_node.attributes["height"])


def marked(name: str, time: np.ndarray) -> Events:
    """What was marked by eye on a clip of one walker, if anything. A mark is the first frame after the event."""
    walks = json.loads((common.ROOT / "tests" / "gait_events.json").read_text())["walks"]
    marks = [mark for walk in walks if walk["clip"] == name and "boxes" not in walk for mark in walk["marks"]]
    found: dict[tuple[int, int], list[float]] = {key: [] for key in EVENTS} if marks else {}
    for mark in marks:
        key = SIDES.index(mark["foot"]), KINDS.index(mark["event"])
        found[key].append(float(np.interp(np.mean(mark["frames"]) - 0.5, np.arange(len(time)), time)))
    return {key: np.array(times) for key, times in found.items()}


def of_clip(video: Path, centimetres: float) -> dict[str, Any]:
    """A filmed walk."""
    time, xy, size = posed(video)
    walk = GaitWalk(time, xy, size, Scene("sagittal", height_cm=centimetres))
    return compared(walk, centimetres / 100, marked(video.name, time))


def of_walker(kind: str, direction: Any, seed: int) -> dict[str, Any]:
    """A rendered one: 5 s at 60 frames a second."""
    walk = Walk(GAITS[kind], direction=direction, frames=300, fps=60.0, size=(1280, 720), seed=seed)
    with tempfile.TemporaryDirectory() as name:
        walk.write(Path(name) / "walk.mp4")
        time, xy, size = posed(Path(name) / "walk.mp4")
    height = walk.gait.height
    true = {(f, k): np.array([t for t, s, e in walk.events if (s, e) == (SIDES[f], KINDS[k])]) for f, k in EVENTS}
    posed_walk = GaitWalk(time, xy, size, Scene("sagittal", height_cm=100 * height))
    return compared(posed_walk, height, true, _true_angles(walk))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", action="append", default=[], metavar="VIDEO=CENTIMETRES", help="and body height")
    parser.add_argument("--walkers", action="store_true", help="the five gaits, rendered")
    given = parser.parse_args()
    if why := missing():
        raise SystemExit(why)
    clips = given.clip or ([] if given.walkers else [f"{common.DEMO}=165"])
    found = {}
    for video, _, height in (text.rpartition("=") for text in clips):
        common.say(video)
        found[Path(video).stem] = of_clip(Path(video), float(height))
    for seed, kind in enumerate(GAITS if given.walkers else ()):
        common.say(kind)
        found[kind] = of_walker(kind, ("right", "left")[seed % 2], seed)
    common.report("gait_peer", {}, peer=VERSIONS, **found)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
