"""Label tables: what people said of subjects, sessions and clips, checked, and as a tier gives them.

Each is named under `release.labels` and leaves in the tiers that list it: tab-separated, `subject`, as many parts of
the clips' key as say what is meant, and columns. `evgs` and `progait` have columns of their own; others go as they are.
Names become the released ones, raters become codes, and no text may name anybody.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from gaitloom.clips import KEY, PREFIX, Clip
from gaitloom.errors import GaitloomError
from gaitloom.progress import warn
from gaitloom.release import consent, evgs, free_text, gvs, participants, tables
from gaitloom.release.dataset import Dataset, Entry
from gaitloom.release.participants import INDEX

T = TypeVar("T")
FOLDER = "labels"
RATER = "rater"
PROGAIT = ("deviation", "adjustment", "reason")  # the numbered lines of its texts
CHECKS = {
    "evgs": evgs.COLUMNS,
    "progait": {"category": tables.one_of(*map(str, range(1, 10)))},
}
NEEDED = {"evgs": (INDEX, "side", *evgs.ITEMS), "progait": (INDEX, "category", *PROGAIT)}
ABOUT: dict[str, dict[str, Any]] = {
    INDEX: participants.ABOUT[INDEX],
    "clip": {"LongName": "Clip", "Description": "Name of the clip, as in clips.tsv."},
    **{k: {"LongName": k.capitalize(), "Description": f"As in the clip's name: {PREFIX[k]}-…"} for k in KEY[1:]},
    RATER: evgs.ABOUT[RATER],
    "category": {"LongName": "Gait category", "Description": "ProGait's category (CCC), 1 to 9."},
    "deviation": {"LongName": "Deviation", "Description": "How the gait deviates."},
    "adjustment": {"LongName": "Adjustment", "Description": "What to change of the prosthesis."},
    "reason": {"LongName": "Reason", "Description": "Why."},
    "other": {"LongName": "Other", "Description": "Secondary issues."},
}


def read(dataset: Dataset, name: str) -> pd.DataFrame:
    """The laboratory's table, checked: text, NaN where it says nothing; the index is the line in the file.

    Raises:
        GaitloomError: something is wrong with it; the sentence has row, column and value of the first few faults.
    """
    path = dataset.settings.labels[name]
    table = tables.read(path, NEEDED.get(name, (INDEX,)), f"release.labels.{name}")
    for column in (*participants.ABOUT, *consent.COLUMNS):
        if column in table and column != INDEX:
            raise GaitloomError(
                f"{path}: the column {column} belongs into {dataset.settings.participants}, where tiers have its "
                "precision; move it there."
            )
    keys = keys_of(table)
    same = {"evgs": [*keys, "side", *(w for w in evgs.WHO if w in table)], "progait": keys}
    rules = [tables.given(INDEX), tables.once(*same.get(name, tables.names(table)))]
    if name == "evgs":
        rules.append(tables.given("side"))
    tables.check(table, CHECKS.get(name, {}), rules, path)
    return table


def keys_of(table: pd.DataFrame) -> list[str]:
    """The parts of the clips' key that a table has."""
    return [k for k in KEY if k in table]


def matches(row: "pd.Series[Any]", clip: Clip) -> bool:
    """Whether a row is about a clip: what it says of the clip's key is so."""
    return all(pd.isna(row[k]) or row[k] == getattr(clip, k) for k in KEY if k in row)


def unmatched(dataset: Dataset, name: str) -> str:
    """Rows of a table that are about no clip, in a sentence; no error, but worth a look."""
    about = _first(read(dataset, name), [(c, c) for c in dataset.plan.accepted.values()])
    lost = [str(line) for line, clip in about.items() if clip is None]
    where = f"{dataset.settings.labels[name]}: {len(lost)} rows are about no clip"
    return f"{where} (row {', '.join(lost[: tables.SHOWN])}{', …' if len(lost) > tables.SHOWN else ''})" if lost else ""


def released(dataset: Dataset, name: str) -> pd.DataFrame:
    """A table as the tier gives it: index the pseudonym (`subject`), the rows about clips that it holds, in the order
    of the released names.

    Raises:
        GaitloomError: as `read`; or a text names a subject, a rater or a date.
    """
    table = read(dataset, name)
    keys = keys_of(table)
    raters = table[RATER].dropna().unique() if RATER in table else ()
    words = free_text.names(dataset, participants.read(dataset.settings).index, *raters)
    about = _first(table, [(e, e.clip) for e in dataset.entries])
    table = table[[about[line] is not None for line in table.index]]
    own = {*keys, RATER, *CHECKS.get(name, ())}
    free_text.check(table, [c for c in tables.names(table) if c not in own], words, dataset.settings.labels[name])
    named = [_named(dataset, about[line], row, keys) for line, row in table.iterrows()]
    table = table.assign(**{k: pd.Series([n[k] for n in named], index=table.index, dtype="str") for k in keys})
    if RATER in table:
        table[RATER] = table[RATER].map(
            lambda r: f"R{dataset.names.digest(f'rater/{r.casefold()}')[:8]}", na_action="ignore"
        )
    if name == "evgs":
        table = evgs.completed(table)
    order = [c for c in (*keys, "side", RATER, "round") if c in table]
    return table.sort_values([*order, *(c for c in tables.names(table) if c not in order)]).set_index(INDEX)


def _first(table: pd.DataFrame, clips: Iterable[tuple[T, Clip]]) -> dict[Any, T | None]:
    """Line → the first of the clips, each with what stands for it, that a row is about."""
    by: dict[str, list[tuple[T, Clip]]] = {}
    for item, clip in clips:
        by.setdefault(clip.subject, []).append((item, clip))
    return {
        line: next((item for item, clip in by.get(row[INDEX], ()) if matches(row, clip)), None)
        for line, row in table.iterrows()
    }


def _named(dataset: Dataset, entry: Entry | None, row: "pd.Series[Any]", keys: list[str]) -> dict[str, str | None]:
    """The released names of what a row says of the clips' key: `ses-01` where it says session 01."""
    subject = entry.subject if entry else ""
    whole: dict[str, str | None] = {INDEX: subject}
    for key in keys[1:]:
        whole[key] = None if pd.isna(row[key]) else dataset.names.clip(Clip(row[INDEX], **{key: row[key]}))
    return whole


def texts(dataset: Dataset) -> dict[str, str]:
    """Clip as released → ProGait's text on it: `CCC: 4`, then numbered lines, then what else there is. Of several rows
    the one that says most of the clip's key; empty where the tier does not list `progait`."""
    if "progait" not in dataset.settings.tiers[dataset.tier].labels:
        return {}
    released(dataset, "progait")
    table = read(dataset, "progait")
    rows = [row for _, row in table.iterrows()]
    rows.sort(key=lambda row: -row[keys_of(table)].notna().sum())
    found = {}
    for entry in dataset.entries:
        row = next((r for r in rows if matches(r, entry.clip)), None)
        if row is not None:
            found[entry.path] = _text(row)
    return found


def _text(row: "pd.Series[Any]") -> str:
    lines = [f"CCC: {row['category']}"] if pd.notna(row["category"]) else []
    lines += [f"{number}) {row[c]}" for number, c in enumerate(PROGAIT, 1) if pd.notna(row[c])]
    other = row.get("other")
    return "\n".join([*lines, *(("", str(other)) if pd.notna(other) else ())])


def write(dataset: Dataset, folder: Path) -> None:
    """Write `labels/<name>.tsv` and its sidecar for every table that the tier lists; for `evgs` also `evgs_kappa`,
    where somebody scored twice; and `gvs`, where there is a reference cohort and the tier holds the gait.

    Raises:
        GaitloomError: as `released`; or two tables would have one name.
    """
    for name in dataset.settings.labels:
        if name in ("evgs_kappa", gvs.NAME):
            raise GaitloomError(f"release.labels: '{name}' is a table that GaitLoom makes; name yours otherwise.")
    for name in sorted(dataset.settings.tiers[dataset.tier].labels):
        if sentence := unmatched(dataset, name):
            warn(sentence)
        table = released(dataset, name)
        about = {**ABOUT, **(evgs.ABOUT if name == "evgs" else {})}
        _write(table, folder, name, about)
        if name == "evgs":
            found = table.reset_index()
            agreement = evgs.kappa(found, [*keys_of(found), "side"])
            _write(agreement.set_index("item"), folder, "evgs_kappa", evgs.KAPPA)
    _write(gvs.released(dataset), folder, gvs.NAME, {**ABOUT, **gvs.ABOUT})


def _write(table: pd.DataFrame, folder: Path, name: str, about: tables.Sidecar) -> None:
    """Write a table, if it has rows."""
    own = {c: {"LongName": c, "Description": "As the laboratory wrote it."} for c in table.columns if c not in about}
    if len(table):
        tables.write(table, folder / FOLDER / f"{name}.tsv", {**about, **own})
