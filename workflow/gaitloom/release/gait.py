"""Gait parameters of a release: `data/gait.tsv`, as results/gait.tsv has them, under released names, of the clips and
nodes that the tier holds."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from gaitloom.clips import Clip
from gaitloom.gait import summary
from gaitloom.release import tables
from gaitloom.release.consent import MISSING
from gaitloom.release.dataset import Dataset, Source
from gaitloom.release.participants import ABOUT as PARTICIPANTS
from gaitloom.release.participants import INDEX

NAME = "gait"
TALL = re.compile(r"\btall\b|body height")  # reasons that may hold somebody's height
ABOUT: dict[str, dict[str, Any]] = {
    INDEX: PARTICIPANTS[INDEX],
    "session": {"LongName": "Session", "Description": "As in the clips' names: ses-…"},
    "condition": {"LongName": "Condition", "Description": "What clips.tsv has as condition and speed."},
    "node": {"LongName": "Node", "Description": "The node of the clips; provenance.tsv says how it was made."},
    "side": {
        "LongName": "Side",
        "Description": "Whose steps.",
        "Levels": {"both": "all steps", "left": "of the left foot", "right": "of the right foot"},
    },
    "parameter": {
        "LongName": "Parameter",
        "Description": "Measured in the videos, not by an instrument; the node says by which method.",
        "Levels": {
            "step_time": "from the other foot's contact to this one's",
            "step_length": "the same along the walk",
            "stride_time": "from contact to contact of one foot",
            "stride_length": "the same along the walk",
            "cadence": "60 s / mean step time",
            "speed": "way of all strides / their time",
            "stance_time": "contact to off",
            "swing_time": "off to contact",
            "stance_share": "stance / (stance + swing)",
            "initial_double_support": "contact to the other foot's off",
            "double_support": "both overlaps of a stride",
            "single_support": "the other foot's swing",
            "step_width": "across the walk",
        },
    },
    "unit": {"LongName": "Unit", "Description": "Unit of mean and sd, as UDUNITS has it; 1 is a share."},
    "mean": {"LongName": "Mean", "Description": "Mean over clips, weighted by their steps."},
    "sd": {"LongName": "Standard deviation", "Description": "Over all steps."},
    "n": {"LongName": "Steps", "Description": "Number of steady steps or strides."},
    "clips": {"LongName": "Clips", "Description": "Number of clips that they are from."},
    "scale": {
        "LongName": "Scale",
        "Description": "What pixels were turned into metres by; clips of different kinds are not thrown together.",
    },
    "reason": {"LongName": "Reason", "Description": "Why there is no mean."},
}
COLUMNS = tuple(ABOUT)


def without_height(value: Any) -> Any:
    """An attribute's value; where a text in it may hold somebody's height, without it."""
    if isinstance(value, dict):
        return {k: without_height(v) for k, v in value.items()}
    return "its scale is not known well enough" if isinstance(value, str) and TALL.search(value) else value


def released(dataset: Dataset) -> pd.DataFrame:
    """The table: index the pseudonym (`subject`), the other `COLUMNS`, text; no rows where the tier holds no gait.

    Raises:
        GaitloomError: a gait node is missing or stale.
    """
    names = {node for entry in dataset.entries for node in entry.of("gait")}
    rows = [
        {**row, "node": node, **{c: f"{row[c]:.6g}" for c in ("mean", "sd")}, "reason": without_height(row["reason"])}
        for node in sorted(names)
        for row in summary.report(_nodes(dataset.sources(), node))
    ]
    rows.sort(key=lambda row: (row["subject"], row["session"], row["condition"]))  # a stable sort: nodes stay in order
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(str)
    return table.replace({"": MISSING, "nan": MISSING}).set_index(INDEX)


def _nodes(sources: Iterable[Source], node: str) -> Iterator[tuple[dict[str, str], Any]]:
    """Of every clip that has it, whose and which walk it is, and its node."""
    for source in sources:
        entry = source.entry
        if node in entry.nodes:
            session = source.names.clip(Clip(entry.clip.subject, session=entry.clip.session))
            what = {"subject": entry.subject, "session": session if entry.clip.session else ""}
            yield {**what, "condition": summary.condition(entry.columns)}, source.open(node)


def write(dataset: Dataset, folder: Path) -> None:
    """Write `gait.tsv` and its sidecar into a folder, where the tier holds any gait.

    Raises:
        GaitloomError: as `released`.
    """
    table = released(dataset)
    if len(table):
        tables.write(table, folder / f"{NAME}.tsv", ABOUT)
