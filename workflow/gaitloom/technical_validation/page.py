"""What the trials of a population and its re-identification come to: a page, one table, and figures."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from gaitloom.clips import write_if_changed
from gaitloom.plan import Plan
from gaitloom.technical_validation import figures, identity, run
from gaitloom.technical_validation.cases import Cases

PAGE = "TECHNICAL_VALIDATION.md"
TABLE = "technical_validation.tsv"
HEAD = ("target", "input", "learner", "measure", "found", "95 %", "by habit", "by chance", "p", "people", "clips")
MAIN = ("accuracy", "mae")  # the measure that stands for a trial; the others are in the table
HOW = """## How

- People, never clips, are dealt into the splits; everyone is tested once, by what was learned from others. The target
  of those who are tested is hidden from the learner.
- *trees* are gradient-boosted trees and *perceptron* is a small neural network, both on the numbers of the gait node;
  *video* is a small network on pictures, trained from nothing. They are plain on purpose: what they find is there, and
  what they do not find may still be there.
- *by habit*: the most frequent class, or the mean, of those who were learned from. *by chance*: the mean of runs whose
  targets were exchanged between people before learning; *p* counts those that were as good or better.
- Intervals are of 95 %, from a bootstrap over people.
"""


def write(plan: Plan, population: str) -> Path:
    """Write them into the population's folder; returns the page.

    Raises:
        GaitloomError: there is no such population.
    """
    cases = Cases.of(plan, population)
    folder = run.folder(plan, population)
    trials = together(folder, cases)
    who = run.read(folder / run.RE_IDENTIFICATION)
    write_if_changed(folder / TABLE, trials.to_csv(sep="\t", index=False, na_rep="n/a", float_format="%.6g"))
    for stale in folder.glob("*.png"):
        stale.unlink()
    drawn = figures.write(folder, _rows(trials), _rows(who))
    write_if_changed(folder / PAGE, text(cases, trials, who, drawn))
    return folder / PAGE


def together(folder: Path, cases: Cases) -> pd.DataFrame:
    """The tables of all trials in one, with the columns of `run.COLUMNS`."""
    tables = [run.read(folder / run.file_of(target, node)) for target, node in cases.trials()]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(run.COLUMNS))


def text(cases: Cases, trials: pd.DataFrame, who: pd.DataFrame, drawn: dict[str, str]) -> str:
    """The page; `drawn` has figures, by their files in the page's folder, and their captions."""
    people = len({clip.subject for clip in cases.clips.values()})
    whose = "All" if cases.dataset is None else f"The {cases.population} tier's"
    lines = ["# Technical validation", "", f"{whose} {len(cases.clips)} clips of {people} people.", ""]
    lines += ["## What can be told", "", *_told(trials), *_missing(cases)]
    of_identity = {file for file in drawn if "identity" in file}
    lines += [line for file in drawn if file not in of_identity for line in _figure(file, drawn[file])]
    lines += ["## Who can be told apart", "", *_apart(who), "", identity.LOWER_BOUND, ""]
    lines += [line for file in of_identity for line in _figure(file, drawn[file])]
    return "\n".join([*lines, HOW])


def _figure(file: str, caption: str) -> list[str]:
    return [f"![{caption}]({file})", "", f"*{caption}*", ""]


def _told(trials: pd.DataFrame) -> list[str]:
    """A table with a line for each trial; those of label tables are counted, since each has many items."""
    main = trials[trials["measure"].isin(MAIN)]
    single, lines = main[main["target"] == main["item"]], []
    if len(single):
        lines += _table(HEAD, (_line(row) for _, row in single.iterrows()))
        lines += [
            f"- {r['target']} from {r['input']}, {r['learner']}: {r['reason']}." for r in _rows(single) if r["reason"]
        ]
        lines.append("")
    for (target, node, learner), rows in main[main["target"] != main["item"]].groupby(["target", "input", "learner"]):
        known = rows[rows["value"].notna()]
        better = known[known["low"] > known[["baseline", "permuted"]].max(axis=1)]["item"]
        names = f" ({', '.join(better)})" if len(better) else ""
        lines.append(
            f"- {target} from {node}, {learner}: {len(known)} of {len(rows)} items have enough people; {len(better)} "
            f"are told better than by habit and by chance{names}, of which a few may be luck."
        )
    return [*lines, ""]


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{**row, "reason": row["reason"] if pd.notna(row["reason"]) else ""} for _, row in table.iterrows()]


def _line(row: "pd.Series[Any]") -> Iterable[str]:
    what = (row[c] for c in ("target", "input", "learner", "measure"))
    numbers = (_number(row[c]) for c in ("baseline", "permuted", "p"))
    counts = (f"{row[c]:.0f}" for c in ("people", "clips"))
    return (*what, _number(row["value"]), _between(row), *numbers, *counts)


def _missing(cases: Cases) -> list[str]:
    """What the configuration asks for and the population has not."""
    targets = [t for t in cases.settings.targets if t not in cases.targets()]
    inputs = [n for n in cases.settings.inputs if n not in cases.inputs()]
    lacks = [*(f"- {t}: nothing is known of it here." for t in targets), *(f"- {n}: not held here." for n in inputs)]
    return [*lacks, ""] if lacks else []


def _apart(who: pd.DataFrame) -> list[str]:
    head = ("input", "rank 1", "95 %", "at random", "by chance", "people", "probes", "against")
    rows = [
        (
            row["input"],
            _number(row["value"]),
            _between(row),
            _number(row["baseline"]),
            _number(row["permuted"]),
            f"{row['people']:.0f}",
            f"{row['probes']:.0f}",
            row["gallery"],
        )
        for _, row in who[who["value"].notna()].iterrows()
    ]
    return [*_table(head, rows), *(f"- {row['input']}: {row['reason']}." for row in _rows(who) if row["reason"])]


def _between(row: "pd.Series[Any]") -> str:
    return f"{_number(row['low'])} to {_number(row['high'])}" if pd.notna(row["low"]) else ""


def _number(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3g}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    columns = list(head)
    return [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)] + [""]
