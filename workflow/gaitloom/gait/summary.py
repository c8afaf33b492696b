"""A clip's parameters with their spread, their symmetry, and what is missing with the reason; then subjects' tables."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaitloom.gait.steps import COLUMNS, Steps

LEAST = 4  # steady steps (van Bloemendaal et al. 2019: fewer are not reliable)
LEAST_SIDE = 2  # of one foot
SIDES = ("both", "left", "right")
PARAMETERS = {**COLUMNS, "cadence": "min-1", "stance_share": "1"}
# Robinson, Herzog & Nigg, Journal of Manipulative and Physiological Therapeutics 1987;10:172-176.
SYMMETRY = "100 % x 2 (left - right) / (left + right) of the sides' means; 0 is symmetric"


@dataclass(frozen=True)
class Summary:
    """In the order of `SIDES` and `PARAMETERS`: `n` (3, P), `mean` and `sd` (3, P), NaN where unknown; `symmetry` (P,)
    in %; `reasons` parameter → why both sides' mean is NaN."""

    n: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    symmetry: np.ndarray
    reasons: dict[str, str]


def empty(reason: str) -> Summary:
    """Nothing, and why."""
    shape = (len(SIDES), len(PARAMETERS))
    nothing = np.full(shape, np.nan)
    return Summary(
        np.zeros(shape, np.int32), nothing, nothing.copy(), nothing[0].copy(), dict.fromkeys(PARAMETERS, reason)
    )


def of(steps: Steps, lengths: str, width: str) -> Summary:
    """The summary over steady steps; `lengths` and `width` say why there are none, where there are none."""
    steady = int(steps.steady.sum())
    if steady < LEAST:
        return empty(f"{steady} steady steps; {LEAST} are needed")
    found = empty("")
    rows = {"both": steps.steady, "left": steps.steady & (steps.foot == 0), "right": steps.steady & (steps.foot == 1)}
    for i, side in enumerate(SIDES):
        for j, name in enumerate(PARAMETERS):
            values = _values(steps, name)[rows[side]]
            values = values[np.isfinite(values)]
            found.n[i, j] = len(values)
            if len(values) >= LEAST_SIDE:
                found.mean[i, j] = _mean(steps, name, rows[side], values)
                found.sd[i, j] = values.std(ddof=1)
    left, right = found.mean[1], found.mean[2]
    for name in ("step_time", "step_length", "cadence"):  # one step more of a limping foot must not count
        j = list(PARAMETERS).index(name)
        if np.isfinite(left[j] + right[j]):
            found.mean[0, j] = 2 / (1 / left[j] + 1 / right[j]) if name == "cadence" else (left[j] + right[j]) / 2
    found.symmetry[:] = 200 * (left - right) / (left + right)
    reasons = {}
    for j, name in enumerate(PARAMETERS):
        if not np.isfinite(found.mean[0, j]):
            wide, long = name == "step_width", name in ("step_length", "stride_length", "speed")
            reasons[name] = width if wide else lengths if long and lengths else "its events were not found"
    return Summary(found.n, found.mean, found.sd, found.symmetry, reasons)


def _values(steps: Steps, name: str) -> np.ndarray:
    """(S,) a parameter of each step."""
    if name == "cadence":
        return 60 / steps.column("step_time")
    if name == "stance_share":
        return steps.column("stance_time") / (steps.column("stance_time") + steps.column("swing_time"))
    return steps.column(name)


def _mean(steps: Steps, name: str, rows: np.ndarray, values: np.ndarray) -> float:
    """Cadence is 60 over the mean step time, speed the strides' whole way over their whole time; others are means."""
    if name == "cadence":
        return float(60 / np.nanmean(steps.column("step_time")[rows]))
    if name == "speed":
        known = rows & np.isfinite(steps.column("speed"))
        return float(steps.column("stride_length")[known].sum() / steps.column("stride_time")[known].sum())
    return float(values.mean())


REPORT = ("subject", "session", "condition", "side", "parameter", "unit", "mean", "sd", "n", "clips", "scale", "reason")


CONDITIONS = ("condition", "speed")  # columns of the clip sheet by which gait is told apart


def condition(columns: Mapping[str, str]) -> str:
    """In what condition a clip was walked, by its columns; "" where they do not say."""
    return ", ".join(columns[c] for c in CONDITIONS if columns.get(c))


def report(nodes: Iterable[tuple[dict[str, str], Any]]) -> list[dict[str, Any]]:
    """Rows of a table by subject, session and condition (`REPORT`): each parameter's mean over clips weighted by their
    steps, the spread over all steps, and the numbers of both.

    `nodes`: of each clip, what it is (`subject`, `session`, `condition`) and its gait node (`gaitloom.store.Node`).
    Clips whose scale is of another kind are not thrown together: `scale` names it. Where nothing was found, one row a
    parameter with the first clip's reason. What a frontal clip has from the sagittal one counts once: with that one.
    """
    groups: dict[tuple[str, str, str, str], list[tuple[dict[str, Any], dict[str, np.ndarray]]]] = {}
    for what, node in nodes:
        subject, session, condition = (what.get(k, "") for k in ("subject", "session", "condition"))
        key = (subject, session, condition, node.attributes["scale"])
        found = {a: node.load(f"summary_{a}") for a in ("mean", "sd", "n")}
        groups.setdefault(key, []).append((node.attributes, found))
    rows = []
    for (subject, session, condition, scale), every in sorted(groups.items(), key=lambda group: group[0]):
        for j, (name, unit) in enumerate(PARAMETERS.items()):
            members = [m for m in every if name == "step_width" or m[0].get("view") != "frontal"]
            for i, side in enumerate(SIDES if members else ()):
                cells = [(m["mean"][i, j], m["sd"][i, j], m["n"][i, j]) for _, m in members]
                mean, sd, n, clips = _pooled(cells)
                row = {"subject": subject, "session": session, "condition": condition, "side": side}
                row |= {"parameter": name, "unit": unit, "mean": mean, "sd": sd, "n": n, "clips": clips, "scale": scale}
                reasons = [about["reasons"].get(name, "") for about, _ in members]
                row["reason"] = "" if n else next((r for r in reasons if r), "")
                if n or side == "both":
                    rows.append(row)
    return rows


def _pooled(cells: list[tuple[float, float, int]]) -> tuple[float, float, int, int]:
    """Mean, standard deviation, number of steps and of clips, of groups given by the same."""
    known = [(float(m), float(s), int(n)) for m, s, n in cells if np.isfinite(m)]
    total = sum(n for _, _, n in known)
    if not total:
        return float("nan"), float("nan"), 0, 0
    mean = sum(m * n for m, _, n in known) / total
    square = sum((n - 1) * s**2 + n * (m - mean) ** 2 for m, s, n in known)
    return mean, float((square / max(total - 1, 1)) ** 0.5), total, len(known)
