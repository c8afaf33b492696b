"""A node in another tool's layout, one clip at a time: what `gaitloom export` writes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from gaitloom.clips import Clip
from gaitloom.config import modality_of
from gaitloom.errors import GaitloomError
from gaitloom.exchange import Person, alphapose, trc
from gaitloom.keypoint_formats import COCO_17, WHOLEBODY_23
from gaitloom.plan import Plan
from gaitloom.progress import say, track, warn
from gaitloom.store import Node, Store

Form = Literal["coco", "cmu", "open", "trc"]


def export(plan: Plan, node: str, paths: list[str], form: Form, folder: Path) -> None:
    """Write a keypoints node as AlphaPose's results, `{folder}/{subject}/{clip}/alphapose-results.json`, or as a TRC
    file in pixels, `keypoints_px.trc`.

    `coco` holds the backend's own points; `cmu` and `open` are OpenPose's 18, made from COCO-17's by name; `trc`,
    COCO-WholeBody's 23 for Sports2D and Pose2Sim.

    Raises:
        GaitloomError: it is not a keypoints node, or no clip has it.
    """
    if node not in plan.nodes or modality_of(node) != "keypoints":
        names = ", ".join(plan.nodes_of("keypoints")) or "none"
        raise GaitloomError(f"'{node}' is not a keypoints node of the plan; choose from: {names}.")
    for clip, found in track(list(stored(plan, node, paths)), "exporting"):
        if form == "trc":
            trc.write_trc(folder / clip.path / "keypoints_px.trc", person_23(found), found.load("time"))
            continue
        who = person(found) if form == "coco" else person_23(found, COCO_17.points)
        alphapose.write_results(folder / clip.path / "alphapose-results.json", _boxed(plan, node, clip, who), form)
    say(f"written to {folder}")


def stored(plan: Plan, node: str, paths: Iterable[str]) -> Iterable[tuple[Clip, Node]]:
    """The clips of these paths (all where none is named) that have the node, each with it; it warns of the others.

    Raises:
        GaitloomError: a path is no clip, or none of the clips has the node.
    """
    store = Store(plan.config.results)
    clips = [plan.clip(p) for p in paths] or list(plan.accepted.values())
    planned = {c.path: plan.planned(plan.key(c, node)) for c in clips}
    there = [c for c in clips if planned[c.path] and store.digest(plan.key(c, node)) == planned[c.path]]
    for clip in clips:
        if node in plan.withheld(clip.path):
            warn(f"{clip.path} has no {node}: consent was withdrawn.")
        elif clip not in there:
            warn(f"{clip.path} has no {node} of the present plan; run snakemake to make it.")
    if not there:
        raise GaitloomError(f"No clip has {node}; run snakemake to make it.")
    return ((clip, store.open(plan.key(clip, node))) for clip in there)


def person(node: Node) -> Person:
    """The backend's own points of a keypoints node."""
    return _person(node.load("xy"), node.load("score"), tuple(node.attributes["keypoint_names"]))


def person_23(node: Node, names: tuple[str, ...] = WHOLEBODY_23.points) -> Person:
    """COCO-WholeBody's first 23 points of a keypoints node, or the first of them."""
    return _person(node.load("xy_23")[:, : len(names)], node.load("score_23")[:, : len(names)], names)


def _person(xy: np.ndarray, score: np.ndarray, names: tuple[str, ...]) -> Person:
    there = np.asarray(np.isfinite(xy).all(axis=2))
    return Person(np.where(there[..., None], xy, np.nan), np.where(there, score, 0), names)


def _boxed(plan: Plan, node: str, clip: Clip, who: Person) -> Person:
    """The same with the track's boxes, where the node was made on a track."""
    tracked = plan.reads[node].get("track")
    store, key = Store(plan.config.results), plan.key(clip, tracked or "track")
    if tracked is None or store.digest(key) is None:
        return who
    box, score = store.open(key).load("box"), store.open(key).load("score")
    return Person(who.xy, who.score, who.names, box.astype(np.float32), score.astype(np.float32))
