"""What several layouts need of a node: how it was made, in words that may be released, and its points as a person."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np

from gaitloom import backends, export, modalities
from gaitloom.config import modality_of
from gaitloom.exchange import Person
from gaitloom.release.dataset import Source
from gaitloom.strict import Strict


def method(source: Source, node: str) -> str:
    """The backend whose method a node carries: of one corrected by hand, that of what was corrected."""
    while source.backend(node) == "manual":
        node = source.reads(node)[modality_of(node)]
    return source.backend(node)


def provenance(source: Source, node: str) -> dict[str, Any]:
    """How a node was made: backend, options, weights by SHA-256, licences, software. `digest` and those of `inputs` are
    keyed: equal where the makings are, else of no use. Nothing in it was named by the laboratory, or is about a person
    or camera.
    """
    attributes = source.attributes(node)
    recipe = attributes["recipe"]
    modality = modalities.find(recipe["modality"]).Options
    backend = backends.find(recipe["modality"], recipe["backend"]).SPEC.options
    return {
        "digest": source.names.digest(attributes["recipe_digest"]),
        "inputs": {m: source.names.digest(d) for m, d in recipe.get("inputs", {}).items()},
        **{k: recipe[k] for k in ("modality", "modality_version", "backend", "backend_version")},
        "options": _ours(recipe["options"], modality),
        "backend_options": _ours(recipe["backend_options"], backend),
        **{k: recipe[k] for k in ("weights", "licence", "weight_licences") if k in recipe},
        "software": attributes.get("software", {}),
    }


def _ours(values: dict[str, Any], options: type[Strict]) -> dict[str, Any]:
    """Numbers, and texts that we wrote: the choices that an option has, and defaults. All else (names of cameras and
    columns, paths) a laboratory may have written."""
    told: dict[str, Any] = {}
    for name, field in options.model_fields.items():
        name = field.alias or name
        value = values.get(name)
        if isinstance(value, dict) and isinstance(field.annotation, type) and issubclass(field.annotation, Strict):
            told[name] = _ours(value, field.annotation)
        elif name in values and (_numbers(value) or value == field.default or value in _choices(field.annotation)):
            told[name] = value
    return told


def _numbers(value: Any) -> bool:
    return all(map(_numbers, value)) if isinstance(value, list) else isinstance(value, (int, float, type(None)))


def _choices(annotation: Any) -> tuple[Any, ...]:
    within = get_args(annotation)
    return within if get_origin(annotation) is Literal else tuple(c for part in within for c in _choices(part))


def person(source: Source, node: str, names: tuple[str, ...] | None = None) -> Person:
    """A keypoints node's own points, or of COCO-WholeBody's first 23 the first `names`, with the boxes and scores of
    the track that it was made on where the tier holds that. Frames that are not valid hold nothing."""
    found = source.open(node)
    who = export.person(found) if names is None else export.person_23(found, names)
    there = found.load("valid") & who.valid
    xy, score = np.where(there[:, None, None], who.xy, np.nan), np.where(there[:, None], who.score, 0)
    who = Person(xy.astype(np.float32), score.astype(np.float32), who.names)
    tracked = _track(source, node)
    if tracked is None:
        return who
    box, sure = source.open(tracked).load("box"), source.open(tracked).load("score")
    box = np.where(there[:, None], box, np.nan).astype(np.float32)
    return replace(who, box=box, box_score=np.where(there, sure, np.nan).astype(np.float32))


def _track(source: Source, node: str) -> str | None:
    """The track below a node, if the tier holds it; for points that were read from a file, the clip's own."""
    reads = source.reads(node)
    while "track" not in reads and modality_of(node) in reads:
        node = reads[modality_of(node)]
        reads = source.reads(node)
    tracked = reads.get("track") or source.preferred("track")
    return tracked if tracked in source.entry.nodes else None


def index(source: Source, file: str, nodes: list[str]) -> dict[str, Any]:
    """A clip's line in the index of a layout that has one file a clip."""
    width, height = source.size
    return {
        "subject": source.entry.subject,
        "clip": source.entry.name,
        "file": file,
        "frames": source.length,
        "fps": str(source.fps),
        "width": width,
        "height": height,
        "columns": source.entry.columns,
        "nodes": {node: provenance(source, node) for node in nodes},
    }


def write_index(folder: Path, rows: list[dict[str, Any]], **more: Any) -> None:
    """Write `index.json`: the clips' lines, and what holds for all; nothing where there is none."""
    if rows:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**more, "clips": rows}, indent=1, allow_nan=False)
        (folder / "index.json").write_text(text + "\n", encoding="utf-8")
