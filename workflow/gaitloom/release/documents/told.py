"""What may be told of groups of people: none of fewer than the tier's k, nor one that follows from all others."""

import re
from typing import Any

import pandas as pd

from gaitloom.release import generalise
from gaitloom.release.consent import MISSING
from gaitloom.release.settings import COLUMNS, Precision

OTHERS = "not told"
GAIT = ("speed", "cadence", "step_length", "step_time", "stride_length", "stride_time", "double_support")
# Bands in which numbers are counted that a tier tells exactly.
BANDS: dict[str, Precision] = {c: COLUMNS["open"][c] for c in ("age", "bmi")}


def groups(members: dict[str, set[str]], least: int) -> tuple[list[str], set[str]]:
    """The groups that may be told, in order, and who is in those that may not: groups of fewer than `least`, with the
    smallest others until there are `least` in them, else their number would be the difference to the whole."""
    small = sorted(members, key=lambda name: (len(members[name]), name))
    hidden: set[str] = set()
    while small and (len(members[small[0]]) < least or 0 < len(hidden) < least):
        hidden |= members[small.pop(0)]
    return [name for name in members if name in small], hidden


def counts(people: pd.DataFrame, column: str, least: int) -> dict[str, int]:
    """How many people have each value of a column (text, index the pseudonym); `OTHERS` are those of small groups."""
    values = _banded(people[column])
    members = {value: set(values.index[values == value]) for value in sorted(set(values), key=_natural)}
    shown, hidden = groups(members, least)
    found = {value: len(members[value]) for value in shown}
    return {**found, OTHERS: len(hidden)} if hidden else found


def _banded(values: pd.Series) -> pd.Series:
    """In bands where they are numbers."""
    if values.name not in BANDS:
        return values
    numbers = pd.to_numeric(values.str.removesuffix("+"), errors="coerce")
    if (numbers.isna() & (values != MISSING)).any():
        return values  # in bands already
    column = str(values.name)
    return generalise.generalise(numbers.to_frame(), {column: BANDS[column]}, 0).table[column]


def _natural(text: str) -> tuple[bool, float, str]:
    """By the number with which a band begins, words last."""
    start = re.match(r"(<?)(\d+\.?\d*)", text)
    return start is None, float(start[2]) - bool(start[1]) / 2 if start else 0.0, text


def by_condition(gait: pd.DataFrame, units: dict[str, str], least: int) -> list[dict[str, Any]]:
    """Gait parameters by condition: people, clips, mean and standard deviation (NaN of one alone) between people's
    means. Conditions in which fewer than `least` people have a parameter are not told. `gait` has a row a clip:
    subject, condition, and the parameters."""
    rows: list[dict[str, Any]] = []
    for parameter in (p for p in GAIT if p in gait):
        known = gait.dropna(subset=[parameter])
        for condition, clips in known.groupby("condition"):
            means = clips.groupby("subject")[parameter].mean()
            if len(means) >= least:
                about = {"parameter": parameter, "unit": units[parameter], "condition": str(condition)}
                numbers = {"people": len(means), "clips": len(clips), "mean": means.mean(), "sd": means.std(ddof=1)}
                rows.append({**about, **numbers})
    return rows
