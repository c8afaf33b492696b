"""The store itself: an archive a modality, `/{subject}/{clip}/{node}`, which zarr and xarray open inside the zip.

    store = zarr.storage.ZipStore("zarr_silhouette.zip", mode="r")
    zarr.open_group(store, mode="r")["PXXXXXXXX/trial-1/silhouette/mask"][0]
    xarray.open_datatree(store, engine="zarr", consolidated=False)

Chunks are the store's own, byte for byte, after they were checked against what the node was sealed with. Metadata is
written anew: released names, and of a node's attributes only those that `ATTRIBUTES` lists, with `provenance` in place
of the recipe. Each clip's group has its nodes' metadata consolidated; the root and the subjects have not: what is in
the zip is what they list.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from gaitloom.config import modality_of
from gaitloom.errors import GaitloomError
from gaitloom.release import gait
from gaitloom.release.dataset import Dataset, Entry, Source
from gaitloom.release.exporters import _made
from gaitloom.store import METADATA
from gaitloom.verify import damage

VERSION = "1"
_GAIT = """reason reasons direction far_side view camera scale scale_error legs_exchanged filter symmetry_formula
least_steps side_names parameter_names parameter_units step_parameter_names step_parameter_units angle_names
joint_names"""
_KEYPOINTS = """keypoint_format keypoint_names edges keypoint_23_format keypoint_23_names edges_23 score_kind"""
_DEIDENTIFIED = """width height codec regions levels whole_frame_share whole_person_or_frame_share lost too_small_px
flagged"""
# Attributes of nodes that leave, by modality: those that describe arrays. Who corrected something, notes, and digests
# are not among them, nor is what a later version may add.
ATTRIBUTES = {
    "track": ("subject_id",),
    "keypoints": tuple(_KEYPOINTS.split()),
    "silhouette": ("width", "height"),
    "parts": ("width", "height", "label_names", "label_space", "learned"),
    "flow": ("region", "region_comment", "scale"),
    "gait": tuple(_GAIT.split()),
    "deidentified": tuple(_DEIDENTIFIED.split()),
}
COMMON = ("Conventions", "modality")


def clip(source: Source, folder: Path) -> None:
    """Copy the clip's nodes, each into its modality's archive, and make their group there.

    Raises:
        GaitloomError: a node is not as it was sealed.
    """
    for modality in sorted({modality_of(n) for n in source.entry.nodes}):
        place = folder / modality / source.entry.path
        members: dict[str, Any] = {}
        for node in source.entry.of(modality):
            members |= _copy(source, node, place / node)
        _write(place, _clip_attributes(source, modality), members)


def dataset(dataset: Dataset, folder: Path) -> None:
    """Write the groups above the clips: subjects, and the root with a table of the clips, which
    `pandas.DataFrame(**root.attrs["clips"])` reads."""
    settings = dataset.settings
    about = {"Conventions": "CF-1.11", "title": settings.title, "version": settings.version, "tier": dataset.tier}
    about["licence"] = settings.licence(dataset.tier)
    rows: dict[str, list[list[Any]]] = {}
    columns = sorted({c for e in dataset.entries for c in e.columns})
    for source in dataset.sources():
        for modality, nodes in _held(dataset, source.entry).items():
            entry, (width, height) = source.entry, source.size
            row = [entry.path, entry.subject, entry.name, " ".join(nodes), source.length, str(source.fps)]
            row += [width, height, *(entry.columns.get(c) for c in columns)]
            rows.setdefault(modality, []).append(row)
    names = ["path", "subject", "clip", "nodes", "frames", "fps", "width", "height", *columns]
    for modality, data in rows.items():
        _write(folder / modality, {**about, "modality": modality, "clips": {"columns": names, "data": data}}, None)
        for subject in sorted({row[1] for row in data}):
            _write(folder / modality / subject, {"subject": subject}, None)


def refused(dataset: Dataset) -> dict[str, str]:
    """Nothing: it holds every node."""
    return {}


def _held(dataset: Dataset, entry: Entry) -> dict[str, list[str]]:
    """Modality → the clip's nodes that are released: all, but for pictures that may not be."""
    found: dict[str, list[str]] = {}
    for node in entry.nodes:
        found.setdefault(modality_of(node), []).append(node)
    if "deidentified" in found and dataset.unaudited(entry):
        del found["deidentified"]
    return found


def _copy(source: Source, node: str, place: Path) -> dict[str, Any]:
    """Copy a node with its metadata written anew; returns that of its group and arrays, by path below the clip."""
    folder = source.folder(node)
    if found := damage(folder):
        raise GaitloomError(f"{source.entry.clip.path}/{node} {found[0]}; `gaitloom verify --drop` removes it.")
    document = json.loads((folder / METADATA).read_text())
    attributes, modality = document["attributes"], modality_of(node)
    kept = {k: gait.without_height(attributes[k]) for k in (*COMMON, *ATTRIBUTES[modality]) if k in attributes}
    arrays = document["consolidated_metadata"]["metadata"]
    group = _write(place, {**kept, "provenance": _made.provenance(source, node)}, arrays)
    for name, array in arrays.items():
        _put(place / name, array)
    for file in attributes["checksums"]:
        if not file.endswith(METADATA):
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            _place(folder / file, place / file)
    below = {f"{node}/{name}": array for name, array in arrays.items()}
    return {node: {**group, "consolidated_metadata": _consolidated({})}, **below}


def _clip_attributes(source: Source, modality: str) -> dict[str, Any]:
    entry, (width, height) = source.entry, source.size
    about = {"subject": entry.subject, "clip": entry.name, "columns": entry.columns, "nodes": entry.of(modality)}
    about |= {"frames": source.length, "fps": str(source.fps), "width": width, "height": height}
    offset = entry.clip.sync_offset_s
    return about if offset is None else {**about, "sync_offset_s": offset}


def _place(file: Path, target: Path) -> None:
    """The same file at another place: a second name where the file system has that, since it is packed and removed at
    once; else a copy."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def _write(folder: Path, attributes: dict[str, Any], members: dict[str, Any] | None) -> dict[str, Any]:
    """Write and return a group's metadata; `members` by path below it are consolidated into it."""
    document: dict[str, Any] = {"attributes": attributes, "zarr_format": 3, "node_type": "group"}
    if members is not None:
        document["consolidated_metadata"] = _consolidated(members)
    return _put(folder, document)


def _consolidated(members: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "inline", "must_understand": False, "metadata": members}


def _put(folder: Path, document: dict[str, Any]) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    (folder / METADATA).write_text(text, encoding="utf-8")
    return document
