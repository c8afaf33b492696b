"""Proving that the store is what it says: every node against schema, time axis, checksums, recipe and plan."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gaitloom import modalities
from gaitloom.clips import NodeKey
from gaitloom.plan import Plan
from gaitloom.progress import say, track
from gaitloom.provenance import digest
from gaitloom.remains import Remains
from gaitloom.store import METADATA, Store, dimensions, file_sha256, seal_of


def faults(store: Store, key: NodeKey) -> list[str]:
    """Everything wrong with one node by itself, read without consolidated metadata of anything above it."""
    return damage(store.path(key)) or list(_schema(store, key, store.attributes(key) or {}))


def damage(folder: Path) -> list[str]:
    """Everything in a node's folder that is not as it was sealed."""
    try:
        document = json.loads((folder / METADATA).read_bytes())
        attributes = document["attributes"]
        sealed, recipe, checksums = attributes["seal"], attributes["recipe"], attributes["checksums"]
    except FileNotFoundError:
        return [f"has no {METADATA}: it is not a node"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"has an unreadable {METADATA} ({type(error).__name__})"]
    if seal_of(document) != sealed:
        return [f"has a changed {METADATA}: its seal does not match"]
    found = list(_changed(folder, checksums))
    if digest(recipe) != attributes["recipe_digest"]:
        found.append("has a recipe that does not match its digest")
    return found


def _changed(folder: Path, checksums: dict[str, str]) -> Iterator[str]:
    """Files that are missing, changed or extra."""
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    for path in sorted(there - set(checksums) - {METADATA}):
        yield f"has a file that does not belong to it: {path}"
    for path, expected in sorted(checksums.items()):
        if path not in there:
            yield f"lacks {path}"
        elif file_sha256(folder / path) != expected:
            yield f"has a changed {path}: its SHA-256 does not match"


def _schema(store: Store, key: NodeKey, attributes: dict[str, Any]) -> Iterator[str]:
    """Arrays that are missing, extra or shaped otherwise than their modality and the clip's time axis say."""
    node = store.open(key)
    if attributes.get("modality") not in modalities.NAMES:
        yield f"is of the unknown modality {attributes.get('modality')}"
        return
    modality = modalities.find(attributes["modality"])
    arrays = node.arrays
    expected = {**modality.ARRAYS, **{n: d for n, d in modality.OPTIONAL.items() if n in arrays}}
    for name in sorted(set(expected) ^ set(arrays)):
        yield f"{'lacks' if name in expected else 'has an unknown'} array {name}"
    length = arrays["time"].shape[0] if "time" in arrays else -1
    for name, array in arrays.items():
        dims = dimensions(array)
        if name in expected and dims != expected[name]:
            yield f"array {name} has the dimensions {dims}, not {expected[name]}"
        if dims[:1] == ("time",) and array.shape[0] != length:
            yield f"array {name} has {array.shape[0]} frames, the time axis {length}"
    if key.node == "video":
        return
    video = NodeKey(key.subject, key.name, "video")
    if not any(store.path(video).glob("*")):
        yield "stands without its clip's video node"
    elif not faults(store, video) and not np.array_equal(node.load("time"), store.open(video).load("time")):
        yield "has another time axis than its clip's video node"  # a bad video node has its own fault


def index_faults(store: Store, path: str) -> list[str]:
    """What a clip's index says otherwise than the nodes below it."""
    try:
        members = json.loads((store.root / path / METADATA).read_bytes())["consolidated_metadata"]["metadata"]
        names = sorted({m.split("/")[0] for m in members})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [f"has an unreadable index ({type(error).__name__})"]
    found = []
    for name in names:
        try:
            expected = _consolidated(store.root / path, name)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            found.append(f"index lists {name}, which is not there")
            continue
        if {m: metadata for m, metadata in members.items() if m.split("/")[0] == name} != expected:
            found.append(f"index describes another {name} than the one that is there")
    return found


def _consolidated(folder: Path, name: str) -> dict[str, Any]:
    """What the index of a clip should hold of one of its nodes and the arrays in it."""
    node = json.loads((folder / name / METADATA).read_bytes())
    inside = node["consolidated_metadata"]
    arrays = {f"{name}/{array}": metadata for array, metadata in inside["metadata"].items()}
    return {name: {**node, "consolidated_metadata": {**inside, "metadata": {}}}, **arrays}


def main(plan: Plan, drop: bool) -> int:
    """Check everything; print each fault; with `drop`, remove what is bad. Returns the exit code."""
    store, remains = Store(plan.config.results), Remains(plan)
    bad: list[tuple[NodeKey, list[str]]] = []
    keys, forbidden = store.list(), set(remains.nodes())
    for key in track(keys, "verifying nodes"):
        found = ["is there, though consent for it, or for what it was made from, was withdrawn"]
        found = found if key in forbidden else faults(store, key)
        planned = plan.planned(key)
        if not found and planned is not None and store.digest(key) != planned:
            found = ["is stale: the plan has another recipe for it"]
        if found:
            bad.append((key, found))
    for key, found in bad:
        for fault in found:
            print(f"{key} {fault}")
        if drop:
            store.drop(key)
            (plan.config.results / ".reported").unlink(missing_ok=True)
    broken = _indexes(store, drop)
    left = [*map(str, remains.files()), *remains.rows()]
    for name in left:
        print(f"{name} is of what was withdrawn")
    if left:
        say(f"{len(left)} files and rows are left of what was withdrawn; run `gaitloom withdraw` again")
    if not bad and not broken:
        say(f"{len(keys)} nodes are sound")
        return int(bool(left))
    if drop:
        say(f"dropped {len(bad)} nodes and {broken} indexes; run snakemake to make them again")
    else:
        say(f"{len(bad)} nodes and {broken} indexes are bad; `gaitloom verify --drop` removes them")
    return 1


def _indexes(store: Store, drop: bool) -> int:
    """How many clip indexes do not fit their nodes; each is printed."""
    broken = 0
    for metadata in sorted(store.root.glob(f"*/*/{METADATA}")):
        path = metadata.parent.relative_to(store.root).as_posix()
        found = index_faults(store, path)
        for fault in found:
            print(f"{path} {fault}")
        if found:
            broken += 1
            if drop:
                metadata.unlink()
    return broken
