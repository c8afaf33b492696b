"""The table of participants: checked, completed, and as a tier gives it.

In the laboratory: tab-separated, one row a subject, named as the clips name them. Released: under pseudonyms, with the
tier's columns alone, in its precision, and generalised until k people look alike (`generalise`).
"""

from pathlib import Path
from typing import Any

import pandas as pd

from gaitloom.errors import GaitloomError
from gaitloom.progress import warn
from gaitloom.release import consent, free_text, generalise, tables
from gaitloom.release.consent import MISSING
from gaitloom.release.dataset import Dataset
from gaitloom.release.generalise import EXACT, Generalised
from gaitloom.release.settings import Precision, Release

NAME = "participants"
INDEX = "subject"
NUMBERS: dict[str, tuple[float, float, str]] = {  # lowest and highest that are believed, and the unit
    "age": (0, consent.OLDEST, "years"),
    "height_cm": (30, 250, "cm"),
    "weight_kg": (0.5, 400, "kg"),
    "leg_length_cm": (10, 150, "cm"),
    "bmi": (5, 100, "kg/m2"),
}
ROUNDED = 0.05  # share by which a given BMI may differ from height and weight, which may be rounded
# Clip columns that the laboratory's protocol sets; the others describe a person on that day.
PROTOCOL = ("speed", "view")
ABOUT: dict[str, dict[str, Any]] = {
    INDEX: {"LongName": "Subject", "Description": "Pseudonym; the same in every version of this tier."},
    "sex": {
        "LongName": "Sex",
        "Description": "Sex as recorded.",
        "Levels": {"F": "female", "M": "male", "O": "other"},
    },
    "age": {"LongName": "Age", "Description": "Age when recorded, in completed years where in bands.", "Units": "year"},
    "height_cm": {"LongName": "Height", "Description": "Body height.", "Units": "cm"},
    "weight_kg": {"LongName": "Weight", "Description": "Body weight.", "Units": "kg"},
    "leg_length_cm": {"LongName": "Leg length", "Description": "Length of the leg.", "Units": "cm"},
    "bmi": {"LongName": "Body mass index", "Description": "Weight / height².", "Units": "kg/m^2"},
    "diagnosis": {"LongName": "Diagnosis", "Description": "Diagnosis as recorded."},
    "patient": {
        "LongName": "Patient",
        "Description": "Whether the person takes part as a patient.",
        "Levels": {"yes": "a patient", "no": "not a patient"},
    },
    "family": {"LongName": "Family", "Description": "Code; people of one family have the same."},
}


def read(settings: Release) -> pd.DataFrame:
    """The laboratory's table, checked: index the subject's name; numbers float64, all else text, NaN where it says
    nothing; `bmi` completed from height and weight, to 0.1.

    Raises:
        GaitloomError: something is wrong with it; the sentence has row, column and value of the first few faults.
    """
    path = settings.participants
    consent.read(settings)
    table = tables.read(path, (INDEX,), "release.participants")
    columns = {c: tables.number(*limits) for c, limits in NUMBERS.items()}
    columns |= {"sex": tables.one_of("F", "M", "O")}
    tables.check(table, columns, [], path)
    tables.check(table, {}, [r for needed, r in _rules() if needed <= set(table)], path)
    table = table.assign(**{c: tables.numeric(table[c]) for c in NUMBERS if c in table})
    if "patient" in table:
        words = {**dict.fromkeys(consent.YES, "yes"), **dict.fromkeys(consent.NO, "no")}
        table["patient"] = table["patient"].str.casefold().map(words)
    if {"height_cm", "weight_kg"} <= set(table):
        given = table["bmi"] if "bmi" in table else pd.Series(float("nan"), index=table.index)
        table["bmi"] = given.fillna(_bmi(table).round(1))
    return table.set_index(INDEX)


def _bmi(table: pd.DataFrame) -> pd.Series:
    return tables.numeric(table["weight_kg"]) / (tables.numeric(table["height_cm"]) / 100) ** 2


def _rules() -> list[tuple[set[str], Any]]:
    """Rules between columns, with the columns that they need; what is not known is not wrong."""

    def agree(table: pd.DataFrame) -> pd.Series:
        return ~((tables.numeric(table["bmi"]) / _bmi(table) - 1).abs() > ROUNDED)

    def believable(table: pd.DataFrame) -> pd.Series:
        return _bmi(table).between(*NUMBERS["bmi"][:2]) | _bmi(table).isna()

    def shorter(table: pd.DataFrame) -> pd.Series:
        return ~(tables.numeric(table["leg_length_cm"]) >= 0.7 * tables.numeric(table["height_cm"]))

    body = {"height_cm", "weight_kg"}
    return [
        (body, tables.rule("weight_kg", believable, "does not go with height_cm; correct one of them")),
        ({*body, "bmi"}, tables.rule("bmi", agree, "is not weight_kg / height_cm²; correct or remove one")),
        ({"leg_length_cm", "height_cm"}, tables.rule("leg_length_cm", shorter, "is too long for height_cm")),
    ]


def unmatched(dataset: Dataset) -> list[str]:
    """Subjects who have a row and no clip, or clips and no row, a sentence each kind; no error, but worth a look."""
    path = dataset.settings.participants
    listed = {row[INDEX] for _, row in consent.rows(path, (INDEX,), "release.participants")}
    filmed = {clip.subject for clip in dataset.plan.accepted.values()}
    kinds = (listed - filmed, "have a row but no clip"), (filmed - listed, "have clips but no row: not released")
    return [f"{path}: {len(names)} subjects {what} ({_few(names)})" for names, what in kinds if names]


def _few(names: set[str]) -> str:
    shown = sorted(names)[: tables.SHOWN]
    return ", ".join(shown) + (", …" if len(names) > len(shown) else "")


def columns(dataset: Dataset, table: pd.DataFrame) -> dict[str, Precision]:
    """The columns that a tier gives of the laboratory's table, with their precision.

    Raises:
        GaitloomError: the configuration names one that never leaves, or that the table does not have.
    """
    chosen = dataset.settings.columns(dataset.tier)
    key = f"release.tiers.{dataset.tier}.columns"
    for column in chosen:
        if column in (INDEX, *consent.COLUMNS):
            raise GaitloomError(f"{key}: {column} never leaves the laboratory; remove it.")
        if column not in table and dataset.settings.tiers[dataset.tier].columns is not None:
            raise GaitloomError(f"{key}: {dataset.settings.participants} has no column '{column}'; remove it.")
    return {c: p for c, p in chosen.items() if c in table}


def held(dataset: Dataset) -> pd.DataFrame:
    """The people whom the tier holds, as `read` has them but under their pseudonyms and in the order of these, with the
    tier's columns, not yet in its precision. `family` is a code.

    Raises:
        GaitloomError: as `read`; or a text names a subject, a column to be told in bands is not of numbers, or two
            subjects differ in case alone.
    """
    everybody = read(dataset.settings)
    given = columns(dataset, everybody)
    real: dict[str, str] = {}
    for entry in dataset.entries:
        if real.setdefault(entry.subject, entry.clip.subject) != entry.clip.subject:
            raise GaitloomError(
                f"The subjects {entry.clip.subject} and {real[entry.subject]} would have one pseudonym; name them "
                "alike if they are one person, else rename one."
            )
    pseudonyms = sorted(real)
    table = everybody.loc[[real[p] for p in pseudonyms], list(given)]
    texts = [c for c in given if c == "diagnosis" or c not in ABOUT]
    lines = _lines(dataset.settings)
    numbered = table.set_axis(pd.Index([lines[s] for s in table.index]), axis=0)
    free_text.check(numbered, texts, free_text.names(dataset, everybody.index), dataset.settings.participants)
    banded = [c for c, precision in given.items() if c not in NUMBERS and precision != EXACT]
    tables.check(numbered, dict.fromkeys(banded, tables.number(-1e9, 1e9)), [], dataset.settings.participants)
    table = table.assign(**{c: tables.numeric(table[c]) for c in banded})
    if "family" in table:
        table["family"] = table["family"].map(
            lambda f: f"F{dataset.names.digest(f'family/{f}')[:8]}", na_action="ignore"
        )
    return table.set_axis(pd.Index(pseudonyms, name=INDEX), axis=0)


def _lines(settings: Release) -> dict[str, int]:
    return {row[INDEX]: number for number, row in consent.rows(settings.participants, (INDEX,), "release.participants")}


def beside(dataset: Dataset) -> pd.DataFrame:
    """What released columns of the clip sheet say of each person: text, index the pseudonym, columns `clips.<column>`,
    each with all values of their clips. Columns of `PROTOCOL` say nothing of a person."""
    found: dict[str, dict[str, set[str]]] = {e.subject: {} for e in dataset.entries}
    for entry in dataset.entries:
        for column, value in entry.columns.items():
            if column not in PROTOCOL:
                found[entry.subject].setdefault(f"clips.{column}", set()).add(value)
    values = {s: {c: ", ".join(sorted(v)) for c, v in row.items()} for s, row in found.items()}
    table = pd.DataFrame.from_dict(values, orient="index", dtype="str").reindex(sorted(found)).fillna(MISSING)
    return table.rename_axis(INDEX).sort_index(axis=1)


def generalised(dataset: Dataset) -> Generalised:
    """Who the tier holds, as it tells it: open and registered releases are generalised until k is met, controlled ones
    are in the tier's precision, since exact values are what they are for. Whether k is met is for `refusal`."""
    table, settings = held(dataset), dataset.settings
    k = 0 if dataset.tier == "controlled" else settings.k(dataset.tier)
    sensitive = settings.tiers[dataset.tier].sensitive
    return generalise.generalise(table, columns(dataset, table), k, sensitive, beside(dataset))


def refusal(dataset: Dataset, found: Generalised) -> str:
    """Why the tier may not be released, by the size of its classes; "" where it may. Controlled releases may."""
    k = dataset.settings.k(dataset.tier)
    small = found.sizes < k
    if dataset.tier == "controlled" or not (small.any() or found.sizes.empty):
        return ""
    what = f"The {dataset.tier} release is refused: "
    if len(found.sizes) < k:
        return f"{what}it holds {len(found.sizes)} people, fewer than k = {k}; wait for more, or set its k."
    about = beside(dataset)
    classes = about[small].groupby(list(about.columns)).size()
    shown = [f"{dict(zip(about.columns, _tuple(v), strict=True))}: {n}" for v, n in classes.items()][: tables.SHOWN]
    return (
        f"{what}whatever is left out of participants, {len(classes)} classes of people who look alike have fewer than "
        f"k = {k} ({'; '.join(shown)}); take columns out of release.tiers.{dataset.tier}.clip_columns, or set its k."
    )


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def released(dataset: Dataset) -> pd.DataFrame:
    """The table of participants as the tier gives it: text, index the pseudonym (`subject`), bands such as "35-49",
    ages of 90 and more as "90+", "n/a" for what is missing or left out.

    Raises:
        GaitloomError: the table is at fault, or too few people look alike for an open or registered release.
    """
    found = generalised(dataset)
    if reason := refusal(dataset, found):
        raise GaitloomError(reason)
    return found.table


def write(dataset: Dataset, folder: Path) -> None:
    """Write `participants.tsv` and its sidecar `participants.json` into a folder.

    Raises:
        GaitloomError: as `released`.
    """
    for sentence in unmatched(dataset):
        warn(sentence)
    tables.write(released(dataset), folder / f"{NAME}.tsv", sidecar(generalised(dataset)))


def sidecar(found: Generalised) -> dict[str, dict[str, Any]]:
    """What the columns of a released table are."""
    about = {INDEX: ABOUT[INDEX]}
    for column, rung in found.rungs.items():
        known = ABOUT.get(column, {"LongName": column, "Description": "As the laboratory wrote it."})
        about[column] = {**known, "Description": f"{known['Description']} Told {rung.how}."}
        if rung.levels:
            about[column]["Levels"] = rung.levels
    return about
