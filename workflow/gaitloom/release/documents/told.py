"""What may be told of groups of people: none of fewer than the tier's k, nor one that follows from all others."""

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from gaitloom.release import generalise
from gaitloom.release.consent import MISSING
from gaitloom.release.settings import COLUMNS, Precision
from gaitloom.splits import Split

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


def composition(people: pd.DataFrame, column: str, found: Sequence[Split], least: int) -> dict[str, list[int]]:
    """How many people of each class of a column (as `counts` tells them) are in each part, partition by partition.
    Told are numbers of `least` and more, and none; classes that have a smaller one anywhere are one, `OTHERS`, with as
    many others as it takes. Nothing, where no class is left."""
    values = _banded(people[column])
    classes = counts(people, column, least)
    members = {value: set(values.index[values == value]) for value in classes if value != OTHERS}
    hidden: set[str] = set(values.index) - set().union(*members.values())
    parts = [set(names) for split in found for names in split.values()]

    def cells(group: set[str]) -> list[int]:
        return [len(group & part) for part in parts]

    def small(group: set[str]) -> bool:
        return any(0 < n < least for n in cells(group))

    rest = sorted(members, key=lambda value: (not small(members[value]), len(members[value])))
    while rest and (small(members[rest[0]]) or small(hidden)):
        hidden |= members.pop(rest.pop(0))
    told = {value: cells(group) for value, group in members.items()}
    return {**told, OTHERS: cells(hidden)} if told and hidden else told


def parts(people: pd.DataFrame, columns: Sequence[str], found: Sequence[Split], least: int) -> list[list[Any]]:
    """Rows of a table, its head first: of every part of every partition, how many people and how many of each class."""
    classes = [(c, v, n) for c in columns for v, n in composition(people, c, found, least).items()]
    rows = [(number, part, len(names)) for number, split in enumerate(found) for part, names in split.items()]
    head = ["partition", "part", "people", *(f"{column}: {value}" for column, value, _ in classes)]
    return [head, *([*row, *(n[i] for *_, n in classes)] for i, row in enumerate(rows))]


def by_condition(gait: pd.DataFrame, units: dict[str, str], least: int) -> list[dict[str, Any]]:
    """Gait parameters by condition: people, clips, mean and standard deviation (NaN of one alone) between people's
    means, and these as `values`. Conditions in which fewer than `least` people have a parameter are not told. `gait`
    has a row a clip: subject, condition, and the parameters."""
    rows: list[dict[str, Any]] = []
    for parameter in (p for p in GAIT if p in gait):
        known = gait.dropna(subset=[parameter])
        for condition, clips in known.groupby("condition"):
            about = {"parameter": parameter, "unit": units[parameter], "condition": str(condition)}
            if clips["subject"].nunique() >= least:
                rows.append({**about, **_between(clips, parameter)})
    return rows


def by_age(gait: pd.DataFrame, units: dict[str, str], people: pd.DataFrame, least: int) -> list[dict[str, Any]]:
    """The same by condition and age band (`age`): of bands that are not told there are none, or `least` people
    together, since who is left is the difference to the condition's mean."""
    if "age" not in people or set(people["age"]) == {MISSING}:
        return []
    bands = _banded(people["age"])
    rows: list[dict[str, Any]] = []
    for parameter in (p for p in GAIT if p in gait):
        known = gait.dropna(subset=[parameter]).assign(age=lambda clips: clips["subject"].map(bands))
        for condition, clips in known.groupby("condition"):
            members = {
                age: set(clips["subject"][clips["age"] == age]) for age in sorted(set(clips["age"]), key=_natural)
            }
            about = {"parameter": parameter, "unit": units[parameter], "condition": str(condition)}
            for age in groups(members, least)[0]:
                rows.append({**about, "age": age, **_between(clips[clips["age"] == age], parameter)})
    return rows


def _between(clips: pd.DataFrame, parameter: str) -> dict[str, Any]:
    means = clips.groupby("subject")[parameter].mean()
    numbers = {"people": len(means), "clips": len(clips), "mean": means.mean(), "sd": means.std(ddof=1)}
    return {**numbers, "values": means.tolist()}
