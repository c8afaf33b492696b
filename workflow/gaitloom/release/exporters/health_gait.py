"""Health&Gait's tree: `pose`, `silhouette`, `semantic_segmentation`, `optical_flow`, one archive each, and its tables.

Folders are its own, `silhouette/{subject}/UGS/NW-WJ_1_YOLOV8/013.jpg`; subjects are the release's pseudonyms, which its
loaders join by text alone, and which stay when people are added. A clip's place follows from its columns `speed` (NW or
UGS, FW or FGS) and `clothing` (WJ, WoJ) and from the way it goes in the picture; one without them has none, and
`refused` says so. Where a person has several walks of a condition and direction, `health_gait_trials` adds session,
trial and camera after the clothing, where its loaders do not look: `NW-WJ-ses1-trial3_1_YOLOV8`.

A tool's name stands on what that tool made (or a human corrected of it) and on nothing else. Silhouettes are JPEG, as
its loaders' users know them; every pixel stays on its side of 127. `gait_parameters.csv` is from our events, not from
an instrument; `gait_parameters_estimation.csv` from its own estimator, where the configuration has such a node.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gaitloom import backends
from gaitloom.config import modality_of
from gaitloom.errors import GaitloomError
from gaitloom.exchange import health_gait
from gaitloom.exchange.health_gait import SPEEDS, Folder
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.modalities.flow import STEPS
from gaitloom.part_labels import fine_to_coarse
from gaitloom.release.dataset import Dataset, Entry, Source
from gaitloom.release.exporters import _health_gait_tables, _made

VERSION = "1"
# Modality → the folder, and the tool's name by the backends that may bear it. health_gait reads its published files.
TOOLS = {
    "keypoints": ("pose", {"alphapose": "AlphaPose", "alphapose_results": "AlphaPose", "health_gait": "AlphaPose"}),
    "silhouette": ("silhouette", {"yolov8_seg": "YOLOV8", "health_gait": "YOLOV8"}),
    "parts": ("semantic_segmentation", {"densepose": "DensePose", "health_gait": "DensePose"}),
    "flow": ("optical_flow", {"tvl1": "TVL1", "tvl1_opencv": "TVL1", "gmflow": "GMFLOW"}),
}
CLOTHING = ("WJ", "WoJ")
FAR = 1.0  # widths of the person's box that a walk across the picture passes at least


def clip(source: Source, folder: Path) -> None:
    """Write the clip's files where it has a place, of those nodes that the layout's tools made."""
    place = _place(source)
    if isinstance(place, str):
        return
    for node, tool in _chosen(source).items():
        within = folder / TOOLS[modality_of(node)][0]
        _write(source, node, within / _path(source.entry, place, node, tool))


def dataset(dataset: Dataset, folder: Path) -> None:
    """Write the tables.

    Raises:
        GaitloomError: two clips would have one place.
    """
    places: dict[str, str] = {}
    for source in dataset.sources():
        if isinstance(place := _place(source), Folder):
            where = f"{source.entry.subject}/{place.group}/{place}"
            if where in places:
                raise GaitloomError(
                    f"In Health&Gait's layout {places[where]} and {source.entry.clip.path} would both be {place}; set "
                    f"release.tiers.{dataset.tier}.health_gait_trials to true."
                )
            places[where] = source.entry.clip.path
    _health_gait_tables.write(dataset, folder / "data")


def refused(dataset: Dataset) -> dict[str, str]:
    """Clips without a place, and nodes that bear none of its tools' names; of one clip, or of all."""
    found: dict[str, str] = {}
    nodes: dict[str, dict[str, str]] = {}
    for source in dataset.sources():
        if isinstance(place := _place(source), str):
            found[source.entry.path] = place
        chosen = _chosen(source)
        for node in source.entry.nodes:
            if (modality := modality_of(node)) in TOOLS:
                stands = " and ".join(n for n in chosen if modality_of(n) == modality)
                why = "" if node in chosen else _unfit(source, node) or f"{stands} stands for it"
                nodes.setdefault(node, {})[source.entry.path] = why
    for node, reasons in nodes.items():
        if len(set(reasons.values())) == 1:
            reasons = {"": next(iter(reasons.values()))}
        found |= {f"{path}/{node}".strip("/"): why for path, why in reasons.items() if why}
    return found


def _chosen(source: Source) -> dict[str, str]:
    """Node → the name of its tool: of each tool, the corrected node before the plain one before variants."""
    found: dict[str, str] = {}
    for modality, (_, tools) in TOOLS.items():
        preferred = source.preferred(modality)
        for node in sorted(source.entry.of(modality), key=lambda n: (n != preferred, n)):
            if not _unfit(source, node) and (tool := tools[_made.method(source, node)]) not in found.values():
                found[node] = tool
    return found


def _unfit(source: Source, node: str) -> str:
    """Why a node bears none of the layout's names; empty where it does."""
    modality, made = modality_of(node), _made.method(source, node)
    tools = TOOLS[modality][1]
    if made not in tools:
        names = " or ".join(dict.fromkeys(tools.values()))
        return f"{node} was made by {made}; Health&Gait's {modality} bears the name {names}, which is another method"
    return _unfit_flow(source, node, tools[made]) if modality == "flow" else ""


def _unfit_flow(source: Source, node: str, tool: str) -> str:
    width, height = source.size
    attributes = source.attributes(node)
    if attributes["region"] != [0, 0, width, height] or attributes["scale"] != [1, 1]:
        return f"{node} is not of the full frame; its options need region: frame and longest_side: null"
    recipe = attributes["recipe"]
    options = backends.find("flow", recipe["backend"]).SPEC.options
    theirs = options(**({"schedule": "opencv"} if recipe["backend"] == "tvl1" else {}))
    if tool == "TVL1" and recipe["backend_options"] != theirs.model_dump(mode="json", by_alias=True):
        return f"{node} does not have OpenCV's schedule, which Health&Gait's TVL1 is; set backend_options.schedule"
    return ""


def _path(entry: Entry, place: Folder, node: str, tool: str) -> Path:
    group = Path(TOOLS[modality_of(node)][0]) / entry.subject / place.group
    if modality_of(node) == "flow":
        return group / tool / str(place)
    return group / f"{place}_{tool}"


def _write(source: Source, node: str, path: Path) -> None:
    found, modality = source.open(node), modality_of(node)
    valid = found.load("valid")
    if modality == "keypoints":
        health_gait.write_pose(path.with_name(f"{path.name}.json"), _made.person(source, node, WHOLEBODY_23.points))
    elif modality == "silhouette":
        masks = (mask & there for mask, there in zip(found.frames("mask"), valid, strict=True))
        health_gait.write_silhouettes(path, masks, source.length, source.size)
    elif modality == "parts":
        fine = found.attributes["label_space"] == "densepose_fine_24"
        table = fine_to_coarse() if fine else np.arange(15, dtype=np.uint8)
        labels = (table[label] * np.uint8(there) for label, there in zip(found.frames("label"), valid, strict=True))
        health_gait.write_parts(path, labels, source.length, source.size)
    else:
        stored = zip(found.frames("flow"), valid, strict=True)
        flows = (flow / np.float32(STEPS) if there else None for flow, there in stored)
        health_gait.write_flow(path, flows, source.length)


def _place(source: Source) -> Folder | str:
    """Where a clip belongs, or why nowhere."""
    columns = source.entry.columns
    speed, clothing = SPEEDS.get(columns.get("speed", "")), columns.get("clothing", "")
    if speed is None:
        return f"its column speed is '{columns.get('speed', '')}', none of {', '.join(SPEEDS)}"
    if clothing not in CLOTHING:
        return f"its column clothing is '{clothing}', none of {', '.join(CLOTHING)}"
    direction = _direction(source)
    if direction is None:
        return "it does not go across the picture, or nothing that the tier holds shows which way"
    trial = source.entry.name.replace("-", "").replace("_", "-") if source.tier.health_gait_trials else ""
    return Folder(speed, clothing, direction, trial=trial)


def _direction(source: Source) -> int | None:
    """1 from right to left, 2 from left to right; None where neither is sure."""
    for node in source.entry.of("gait"):
        if (said := source.attributes(node).get("direction")) is not None:
            return {"left": 1, "right": 2}[said]
    spans = _spans(source)
    spans = spans[np.isfinite(spans).all(axis=1)]
    if len(spans) < 2:
        return None
    few, centre = max(1, len(spans) // 10), spans.mean(axis=1)
    way = np.median(centre[-few:]) - np.median(centre[:few])
    if abs(way) < FAR * np.median(spans[:, 1] - spans[:, 0]):
        return None
    return 2 if way > 0 else 1


def _spans(source: Source) -> np.ndarray:
    """(T, 2) from where to where the person reaches across the picture, NaN where that is not known."""
    if node := source.preferred("track"):
        return source.open(node).load("box")[:, [0, 2]]
    if node := source.preferred("keypoints"):
        x = source.open(node).load("xy")[..., 0]
        x = x[:, np.isfinite(x).any(axis=0)]
        low, high = np.where(np.isnan(x), np.inf, x).min(axis=1), np.where(np.isnan(x), -np.inf, x).max(axis=1)
        return np.where(np.isfinite(low), [low, high], np.nan).T
    for modality, array in (("silhouette", "mask"), ("parts", "label")):
        if node := source.preferred(modality):
            return np.array(list(_reach(source.open(node).frames(array))), float)
    return np.zeros((0, 2))


def _reach(pictures: Iterator[np.ndarray]) -> Iterator[tuple[float, float]]:
    for picture in pictures:
        columns = np.flatnonzero(picture.any(axis=0))
        yield (columns[0], columns[-1] + 1) if len(columns) else (np.nan, np.nan)
