"""Tables that people wrote by hand: read as text, checked as a whole, and written with a sidecar as BIDS has it."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from gaitloom.errors import GaitloomError
from gaitloom.release import consent

SHOWN = 3  # faults that are written out

# Column → LongName, Description, Units, Levels (bids-specification.readthedocs.io, "Tabular files").
Sidecar = Mapping[str, Mapping[str, Any]]


def read(path: Path, needed: tuple[str, ...], key: str) -> pd.DataFrame:
    """The table as text, NaN where it says nothing (empty or n/a); the index is the line in the file. `key` is where
    the configuration names it.

    Raises:
        GaitloomError: it cannot be read, or a column is missing.
    """
    rows = consent.rows(path, needed, key)
    if not rows:
        raise GaitloomError(f"{path} has no rows; write some, or take it out of {key} in the configuration.")
    table = pd.DataFrame([row for _, row in rows], index=[number for number, _ in rows], dtype="str")
    return table.replace("", None)


def number(low: float, high: float, unit: str = "") -> pa.Column:
    """A column of numbers in a range; its ends are part of it."""
    fault = f"is not a number from {low:g} to {high:g}{f' ({unit})' if unit else ''}"
    return _column(lambda values: pd.to_numeric(values, errors="coerce").between(low, high), fault)


def one_of(*values: str) -> pa.Column:
    """A column of a few values."""
    return _column(lambda found: found.isin(values), f"is none of {', '.join(values)}")


def text() -> pa.Column:
    """A column of anything."""
    return pa.Column(str, nullable=True)


def _column(holds: Callable[[pd.Series], pd.Series], fault: str) -> pa.Column:
    return pa.Column(str, pa.Check(holds, error=fault), nullable=True)


def rule(column: str, holds: Callable[[pd.DataFrame], pd.Series], fault: str) -> pa.Check:
    """A rule on whole rows; where it does not hold, `column` is said to have the `fault`."""
    return pa.Check(holds, error=f"{column}\0{fault}", ignore_na=False)


def given(column: str) -> pa.Check:
    """Every row has a value in a column."""
    return rule(column, lambda table: table[column].notna(), "is empty; give a value")


def once(column: str, *others: str) -> pa.Check:
    """No two rows have the same values in these columns, whatever their case."""

    def holds(table: pd.DataFrame) -> pd.Series:
        return ~table[[column, *others]].apply(lambda c: c.str.casefold()).duplicated()

    what = f" with the same {', '.join(others)}" if others else ""
    return rule(column, holds, f"is there twice{what}; remove one row")


def check(table: pd.DataFrame, columns: dict[str, pa.Column], rules: Iterable[pa.Check], path: Path) -> None:
    """Check those columns that the table has, and rules on whole rows.

    Raises:
        GaitloomError: something is wrong; the sentence has row, column and value of the first few faults, and how many
            more there are.
    """
    known = {name: column for name, column in columns.items() if name in table}
    try:
        pa.DataFrameSchema(known, checks=list(rules)).validate(table, lazy=True)
    except SchemaErrors as errors:
        raise GaitloomError(faults(path, _faults(table, errors.failure_cases))) from None


def _faults(table: pd.DataFrame, cases: pd.DataFrame) -> list[tuple[int, str, str]]:
    """Row, column, and what is wrong, in the table's order."""
    found = set()
    for column, fault, row in cases[["column", "check", "index"]].itertuples(index=False):
        of, _, rest = str(fault).rpartition("\0")
        if of in ("", column):
            value: Any = table.at[row, column]
            found.add((int(row), str(column), f"'{'' if pd.isna(value) else value}' {rest}"))
    order = list(table.columns)
    return sorted(found, key=lambda f: (f[0], order.index(f[1]), f[2]))


def faults(path: Path, found: list[tuple[int, str, str]]) -> str:
    """One sentence of what is wrong with a table: row, column, and the fault of the first few."""
    shown = "; ".join(f"row {row}, column {column}: {what}" for row, column, what in found[:SHOWN])
    return f"{path} {shown}{f'; and {len(found) - SHOWN} more' if len(found) > SHOWN else ''}."


def names(table: pd.DataFrame) -> list[str]:
    """The table's columns."""
    return [str(c) for c in table.columns]


def numeric(values: pd.Series) -> pd.Series:
    """float64 of a checked column of numbers; NaN where it says nothing."""
    return pd.to_numeric(values).astype(float)


def told(value: Any) -> str:
    """A number as short as it can be without loss; "n/a" for what is missing."""
    if pd.isna(value):
        return consent.MISSING
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def write(table: pd.DataFrame, path: Path, about: Sidecar) -> None:
    """Write the table, its index first, as `path` with "n/a" for what is missing, and beside it the sidecar of those
    columns that it has. Same table, same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = table.map(told)
    path.write_text(values.to_csv(sep="\t", lineterminator="\n"), encoding="utf-8")
    names = [*table.index.names, *table.columns]
    sidecar = {name: dict(about[name]) for name in names if name in about}
    path.with_suffix(".json").write_text(json.dumps(sidecar, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
