"""Handing nodes out for correction by hand: what `gaitloom correct` writes, for the `manual` backends to take back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from gaitloom.backends import _corrections
from gaitloom.clips import Clip, write_if_changed
from gaitloom.config import modality_of
from gaitloom.errors import GaitloomError
from gaitloom.exchange import coco, cvat, progait
from gaitloom.export import person, person_23, stored
from gaitloom.plan import Plan
from gaitloom.progress import say, warn
from gaitloom.store import Node

Layout = Literal["cvat", "coco", "progait"]
ENDING = {"cvat": ".xml", "coco": ".json", "progait": ".npy.gz"}


def correct(plan: Plan, node: str, paths: list[str], layout: Layout) -> None:
    """Write what a manual node reads, of every clip named (of all where none is), as files to correct, with a note of
    the recipe that they are of. A clip that has been corrected already is left alone.

    Raises:
        GaitloomError: the node is not made by the backend `manual`, or no clip has what it reads.
    """
    if node not in plan.nodes or node == "video" or plan.config.nodes[node].backend != "manual":
        raise GaitloomError(
            f"'{node}' is not a manual node here; add one to the nodes, such as keypoints_manual: {{backend: manual}}."
        )
    modality = modality_of(node)
    folder = plan.config.backend_options_of(node).folder
    base = plan.reads[node][modality]
    written = 0
    for clip, found in stored(plan, base, paths):
        if node in plan.withheld(clip.path):
            warn(f"{clip.path} has no {node}: consent was withdrawn.")
            continue
        if plan.files(clip, node):
            warn(f"{clip.path} has been corrected; to begin anew, move {folder / clip.path} away.")
            continue
        target = _corrections.place(folder, clip, modality, f".exported{ENDING[layout]}")
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(plan, clip, found, modality, layout, target)
        about = _corrections.About(base=found.attributes["recipe_digest"])
        text = json.dumps(about.model_dump(), indent=1) + "\n"
        write_if_changed(_corrections.place(folder, clip, modality, ".about.json"), text)
        written += 1
    say(f"{written} clips are in {folder}: save each corrected as {modality}{ENDING[layout]} beside its export")


def _write(plan: Plan, clip: Clip, node: Node, modality: str, layout: Layout, target: Path) -> None:
    from gaitloom.store import Store

    video = Store(plan.config.results).open(plan.key(clip, "video")).attributes
    length, size = video["frames"], (video["width"], video["height"])
    if modality == "silhouette":
        masks = _masks(node, length)
        if layout == "progait":
            progait.write_masks(target, masks, length, size)
        else:
            (cvat if layout == "cvat" else coco).write(target, length, size, masks=masks)
    elif layout == "progait":
        progait.write_keypoints(target, person_23(node))
    else:
        (cvat if layout == "cvat" else coco).write(target, length, size, person(node))


def _masks(node: Node, length: int) -> Iterator[np.ndarray]:
    mask = node.arrays["mask"]
    return (np.asarray(mask[t]) for t in range(length))
