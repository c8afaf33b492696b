"""Gait Variable Scores: how far a person's joint angles lie from those of a reference cohort over the gait cycle.

Baker et al., Gait & Posture 2009;30:265-269: the root mean square of the difference to the cohort's mean curve. Here of
the four angles of the `gait` node, in the picture's plane: not the nine of the Gait Profile Score, and comparable only
with a cohort that was measured in the same way.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gaitloom.gait.angles import CYCLE, CYCLE_NAMES
from gaitloom.release import tables
from gaitloom.release.dataset import Dataset, Source

NAME = "gvs"
SIDES = ("L", "R")  # `cycle_foot` 0 and 1
COLUMNS = {
    "joint": tables.one_of(*CYCLE_NAMES),
    "percent": tables.one_of(*map(str, range(CYCLE))),
    "mean": tables.number(-180, 180, "degrees"),
}
ABOUT: dict[str, dict[str, Any]] = {
    "side": {"LongName": "Side", "Description": "Whose gait cycle.", "Levels": {"L": "left", "R": "right"}},
    "cycles": {"LongName": "Gait cycles", "Description": "Number of cycles of that side."},
    **{
        joint: {
            "LongName": f"Gait Variable Score, {joint}",
            "Description": "Mean over the cycles of the root mean square deviation from the reference cohort.",
            "Units": "degree",
        }
        for joint in CYCLE_NAMES
    },
}


def read(path: Path) -> np.ndarray:
    """(4, 101) degrees, the cohort's mean curves in the order of `gait.angles.CYCLE_NAMES`; NaN for joints that the
    file does not have.

    Raises:
        GaitloomError: it is malformed, or a joint lacks a point of the cycle.
    """
    table = tables.read(path, tuple(COLUMNS), "release.reference")

    def whole(table: pd.DataFrame) -> pd.Series:
        return table.groupby("joint")["percent"].transform("size") == CYCLE

    rules = [*(tables.given(c) for c in COLUMNS), tables.once("joint", "percent")]
    tables.check(table, COLUMNS, rules, path)
    tables.check(table, {}, [tables.rule("joint", whole, f"does not have all points from 0 to {CYCLE - 1} %")], path)
    curves = np.full((len(CYCLE_NAMES), CYCLE), np.nan)
    joint = table["joint"].map({name: i for i, name in enumerate(CYCLE_NAMES)}).to_numpy(int)
    curves[joint, table["percent"].to_numpy(int)] = tables.numeric(table["mean"])
    return curves


def scores(cycles: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(4,) degrees: the scores of (C, 4, 101) cycles of one side against the (4, 101) reference."""
    return np.sqrt(((cycles - reference) ** 2).mean(axis=2)).mean(axis=0)


def released(dataset: Dataset) -> pd.DataFrame:
    """The scores of all clips whose gait the tier holds: index subject; clip, side, cycles, one column a joint. A side
    without a cycle has no row.

    Raises:
        GaitloomError: as `read`, or a gait node is missing or stale.
    """
    path = dataset.settings.reference
    rows: list[dict[str, Any]] = []
    if path is not None:
        reference = read(path)
        for source in dataset.sources():
            rows += _rows(source, reference)
    columns = ["subject", "clip", "side", "cycles", *CYCLE_NAMES]
    return pd.DataFrame(rows, columns=columns).set_index("subject")


def _rows(source: Source, reference: np.ndarray) -> list[dict[str, Any]]:
    node = source.preferred("gait")
    if node is None:
        return []
    gait = source.open(node)
    cycles, foot = gait.load("cycle").astype(float), gait.load("cycle_foot")
    rows = []
    for number, side in enumerate(SIDES):
        own = cycles[foot == number]
        if len(own):
            found = dict(zip(CYCLE_NAMES, scores(own, reference).round(3).tolist(), strict=True))
            where = {"subject": source.entry.subject, "clip": source.entry.name, "side": side}
            rows.append({**where, "cycles": str(len(own)), **found})
    return rows
