"""Gait parameters that an instrument measured: a table with units, checked, in the gait node's units.

Nothing is guessed: every column of numbers says its unit, values that no walk has are refused, and so is a table whose
columns contradict each other.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gaitloom import spreadsheets
from gaitloom.errors import GaitloomError
from gaitloom.gait.summary import PARAMETERS
from gaitloom.progress import say

# The node's unit → what instruments write, and how much of the node's unit it is.
UNITS: dict[str, dict[str, float]] = {
    "m": {"m": 1, "cm": 0.01, "mm": 0.001},
    "s": {"s": 1, "sec": 1, "ms": 0.001},
    "m s-1": {"m/s": 1, "m s-1": 1, "cm/s": 0.01, "mm/s": 0.001, "km/h": 1 / 3.6},
    "min-1": {"steps/min": 1, "step/min": 1, "min-1": 1, "1/min": 1, "strides/min": 2},
    "1": {"1": 1, "%": 0.01, "percent": 0.01},
}
# What people of all ages and gaits may show, in the node's units: wide, so that only a wrong unit or column is outside.
BELIEVED: dict[str, tuple[float, float]] = {
    "step_time": (0.2, 3),
    "step_length": (0.03, 1.3),
    "stride_time": (0.4, 6),
    "stride_length": (0.06, 2.6),
    "speed": (0.03, 4),
    "stance_time": (0.15, 5),
    "swing_time": (0.1, 2),
    "initial_double_support": (0, 2),
    "double_support": (0, 4),
    "single_support": (0.1, 2),
    "step_width": (0, 0.6),
    "cadence": (20, 250),
    "stance_share": (0.3, 0.95),
}
FITS = (0.8, 1.25)  # median ratio of what a table says twice


@dataclass(frozen=True)
class Column:
    """A column of a table: what it measures, in which unit, and at which condition (`speed` → `usual`), if it says."""

    parameter: str
    unit: str
    condition: tuple[tuple[str, str], ...] = ()


def read(path: Path, mapped: Iterable[str], keys: Iterable[str]) -> pd.DataFrame:
    """The instrument's values: one row a value, with `row` (line in the file), `subject`, those of `keys` (`session`,
    and the columns of the clip sheet) that the table has, `parameter` and `value` in the node's unit.

    `mapped` says what columns are: `ID=subject`, `Step_UGS=step_length:cm@speed=usual`. Unmapped columns are known by a
    key's name, or by a parameter's with its unit: `step_length_cm`, `Step length (cm)`, `speed [m/s]`.

    Raises:
        GaitloomError: a column, unit or value is at fault; the sentence names it.
    """
    keys = list(keys)
    table = spreadsheets.read(path)
    columns, names = _columns(path, list(map(str, table.columns)), mapped, keys)
    table = table.rename(columns=names)
    if "subject" not in table:
        raise GaitloomError(f"{path} has no column 'subject'; say which it is, as in --map ID=subject.")
    given = [k for k in ("subject", *keys) if k in table]
    for key in given:
        for row, value in table[key].items():
            if pd.isna(value) or (key in PARAMETERS and re.fullmatch(r"[\d.,]+", str(value))):
                said = "it is empty; fill it in" if pd.isna(value) else f"'{value}' is a number; give the unit"
                raise GaitloomError(f"{path} row {row}, column {key}: {said}.")
    if not columns:
        raise GaitloomError(f"{path} has no gait parameter; name columns as in step_length_cm, or use --map.")
    parts = []
    for name, column in columns.items():
        part = table[given].assign(row=table.index, parameter=column.parameter, **dict(column.condition))
        part["value"] = [_value(path, row, name, column, text) for row, text in table[name].items()]
        parts.append(part.dropna(subset=["value"]))
    found = pd.concat(parts, ignore_index=True)
    for key in found.columns.intersection(keys):
        if found[key].isna().any():
            raise GaitloomError(f"{path}: some columns have a {key} and others not; give all of them one with --map.")
    _agree(path, found)
    return found


def _columns(
    path: Path, header: list[str], mapped: Iterable[str], keys: list[str]
) -> tuple[dict[str, Column], dict[str, str]]:
    """Header → the column, of parameters; header → key, of the others that are one."""
    columns: dict[str, Column] = {}
    names: dict[str, str] = {}
    for text in mapped:
        name, _, target = text.partition("=")
        if name not in header:
            raise GaitloomError(f"--map {text}: {path} has no column '{name}'; it has: {', '.join(header)}.")
        match = re.fullmatch(r"(\w+):([^@]+)(?:@(\w+)=(.+))?", target)
        if target in ("subject", *keys):
            names[name] = target
        elif match and match[1] in PARAMETERS and match[3] in (None, *keys):
            columns[name] = Column(match[1], _unit(path, name, match[1], match[2]), _at(match[3], match[4]))
        else:
            raise GaitloomError(
                f"--map {text}: write COLUMN=subject, COLUMN=PARAMETER:UNIT or COLUMN=PARAMETER:UNIT@KEY=VALUE with a "
                f"parameter ({', '.join(PARAMETERS)}) and keys ({', '.join(keys)})."
            )
    for name in header:
        if name in columns or name in names:
            continue
        text, bracket = re.fullmatch(r"(.*?)\s*(?:[\[(](.*)[\])])?", name.strip().casefold()).groups()  # type: ignore[union-attr]
        plain = re.sub(r"[\s-]+", "_", text)
        if bracket is None and plain in ("subject", *keys):
            names[name] = plain
        elif plain in PARAMETERS:
            columns[name] = Column(plain, _unit(path, name, plain, bracket or ""))
        elif bracket is None:
            columns.update((name, found) for p in PARAMETERS if (found := _suffixed(plain, p)))
    if passed := [name for name in header if name not in columns and name not in names]:
        say(f"{path}: not used: {', '.join(passed)}")
    what = [*names.values(), *((c.parameter, c.condition) for c in columns.values())]
    if again := [w for w in what if what.count(w) > 1]:
        raise GaitloomError(
            f"{path} has two columns for {again[0] if isinstance(again[0], str) else again[0][0]}; keep one."
        )
    return columns, names


def _suffixed(name: str, parameter: str) -> Column | None:
    """The column of a name such as `speed_m_s`."""
    unit = name.removeprefix(f"{parameter}_").replace("_", "/")
    return Column(parameter, unit) if unit != name and unit in UNITS[PARAMETERS[parameter]] else None


def _at(key: str | None, value: str | None) -> tuple[tuple[str, str], ...]:
    return ((key, value or ""),) if key else ()


def _unit(path: Path, name: str, parameter: str, unit: str) -> str:
    known = UNITS[PARAMETERS[parameter]]
    unit = unit.strip().casefold()
    if unit not in known:
        said = f"'{unit}' is no unit of {parameter}" if unit else "it has no unit"
        raise GaitloomError(
            f"{path}, column {name}: {said}; write {' or '.join(list(known)[:3])} into the header, as in "
            f"'{parameter} ({next(iter(known))})', use --map, or take the column out."
        )
    return unit


def _value(path: Path, row: object, name: str, column: Column, text: Any) -> float:
    """In the node's unit; NaN where there is none."""
    if pd.isna(text):
        return float("nan")
    try:
        number = spreadsheets.number(str(text))
    except ValueError:
        raise GaitloomError(f"{path} row {row}, column {name}: '{text}' is not a number; correct it.") from None
    low, high = BELIEVED[column.parameter]
    units = UNITS[PARAMETERS[column.parameter]]
    if not low <= number * units[column.unit] <= high:
        better = [u for u, factor in units.items() if low <= number * factor <= high]
        hint = f"it would be one in {better[0]}" if better else "is it this column?"
        raise GaitloomError(
            f"{path} row {row}, column {name}: {text} {column.unit} is no {column.parameter} of a walk; {hint}; "
            "correct the unit or the value."
        )
    return number * units[column.unit]


def _agree(path: Path, found: pd.DataFrame) -> None:
    """Refuse a table that contradicts itself: by a wrong unit that is still believable, or columns exchanged."""
    keys = [c for c in found.columns if c not in ("parameter", "value")]
    wide = found.pivot_table(index=keys, columns="parameter", values="value", aggfunc="mean")
    rules = [
        ("stride_length", ("step_length",), lambda step: 2 * step, FITS),
        ("stride_time", ("step_time",), lambda step: 2 * step, FITS),
        ("cadence", ("step_time",), lambda step: 60 / step, FITS),
        ("cadence", ("stride_time",), lambda stride: 120 / stride, FITS),
        ("speed", ("step_length", "cadence"), lambda step, cadence: step * cadence / 60, FITS),
        ("speed", ("stride_length", "cadence"), lambda stride, cadence: stride * cadence / 120, FITS),
        ("speed", ("step_length", "step_time"), lambda step, time: step / time, FITS),
        ("speed", ("stride_length", "stride_time"), lambda stride, time: stride / time, FITS),
        ("stride_time", ("stance_time", "swing_time"), lambda stance, swing: stance + swing, FITS),
        ("stance_time", ("swing_time",), lambda swing: swing, (1.0, np.inf)),
        ("double_support", ("initial_double_support",), lambda initial: initial, (1.0, np.inf)),
    ]
    for name, others, formula, (low, high) in rules:
        if {name, *others} <= set(wide):
            ratio = (wide[name] / formula(*(wide[o] for o in others))).median()
            if not (pd.isna(ratio) or low <= ratio <= high):
                raise GaitloomError(
                    f"{path}: {name} is {ratio:.3g} times what {' and '.join(others)} make it; one of these columns "
                    "has another unit, or is another column: correct it."
                )
