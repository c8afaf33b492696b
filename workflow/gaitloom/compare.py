"""`gaitloom compare`: a gait node held against an instrument, as means of each subject and condition."""

from collections import Counter
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from gaitloom import instruments
from gaitloom.clips import write_if_changed
from gaitloom.config import modality_of
from gaitloom.errors import GaitloomError
from gaitloom.gait import summary
from gaitloom.gait.paired import Agreement, agreement
from gaitloom.plan import Plan
from gaitloom.progress import warn
from gaitloom.status import tsv
from gaitloom.store import Store

ALIKE = (2 / 3, 1.5)  # median ratio of node and table beyond which a unit or a column is doubted
SHIFTED = 0.5  # how much better a table must fit moved by one row before it is doubted; 0.5: half the error
LEAST_SHIFTED = 6  # people, for that
COLUMNS = ("parameter", "unit", "condition", *(f.name for f in fields(Agreement)), "doubt")
ABOUT = """Node minus table, means of each subject and condition. `mae` mean absolute error; `bias` mean difference and
its 95 % interval; `lower`, `upper` 95 % limits of agreement (bias ± 1.96 SD; each ± `limits_error` at 95 %; Bland and
Altman 1999); `icc` ICC(2,1), absolute agreement, and its 95 % interval (Shrout and Fleiss 1979; McGraw and Wong 1996).
Empty where there are fewer than 3 pairs. People may be in several conditions, so no line throws these together.
"""


@dataclass(frozen=True)
class Line:
    """One parameter at one condition: the pairs (table in `row` order), their agreement, and what is doubtful."""

    parameter: str
    condition: str
    node: np.ndarray
    table: np.ndarray
    agreement: Agreement
    doubt: str


def compare(plan: Plan, table: Path, node: str, mapped: list[str]) -> None:
    """Compare the gait node `node` with an instrument's table, write TSV, MD and plots into `results/compare/{node}/`,
    and print the TSV.

    Raises:
        GaitloomError: `node` is no gait node, the table is at fault, or no pair is to be had.
    """
    if node not in plan.nodes or modality_of(node) != "gait":
        gaits = ", ".join(plan.nodes_of("gait")) or "none is configured"
        raise GaitloomError(f"'{node}' is not a gait node; choose from: {gaits}.")
    keys = ["session", *plan.config.clips.columns]
    theirs = instruments.read(table, mapped, keys)
    used = [k for k in keys if k in theirs]
    paired, missing = pairs(theirs, measured(plan, node, used), used)
    if paired.empty:
        reasons = "; ".join(f"{reason} ({n})" for reason, n in missing.most_common(3))
        raise GaitloomError(f"Nothing of {table} can be compared with {node}: {reasons}.")
    found = lines(paired)
    folder = plan.config.results / "compare" / node
    text = tsv(COLUMNS, [_row(line) for line in found])
    write_if_changed(folder / "agreement.tsv", text)
    write_if_changed(folder / "agreement.md", _page(node, found, missing))
    for old in folder.glob("*.png"):
        old.unlink()
    for parameter in dict.fromkeys(line.parameter for line in found):
        _plot(folder / f"{parameter}.png", parameter, [line for line in found if line.parameter == parameter])
    for line in found:
        if line.doubt:
            warn(f"{line.parameter} {line.condition}: {line.doubt}".replace("  ", " "))
    if missing:
        warn(f"{missing.total()} values of the table are not compared; {folder / 'agreement.md'} says why")
    print(text, end="")


def measured(plan: Plan, node: str, keys: list[str]) -> pd.DataFrame:
    """The node's means of both sides by subject, the columns `keys` and parameter: `mean`, NaN with its `reason`. Of
    clips with different kinds of scale, those of most clips."""
    store = Store(plan.config.results)
    nodes = []
    for clip in plan.accepted.values():
        key = plan.key(clip, node)
        if store.digest(key) is None or store.digest(key) != plan.planned(key):
            continue
        values = [(clip.session if k == "session" else clip.extra.get(k, "")).casefold() for k in keys]
        opened = store.open(key)
        read = {f"summary_{name}": opened.load(f"summary_{name}") for name in ("mean", "sd", "n")}
        once = SimpleNamespace(attributes=opened.attributes, load=read.__getitem__)  # the report asks for each number
        nodes.append(({"subject": clip.subject, "condition": "\t".join(values)}, once))
    if not nodes:
        raise GaitloomError(f"No clip has the node {node} as planned; run snakemake to make it.")
    best: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in summary.report(nodes):
        key = row["subject"], row["condition"], row["parameter"]
        if row["side"] == "both" and (key not in best or row["clips"] > best[key]["clips"]):
            best[key] = row
    about = ("subject", "parameter", "mean", "reason")
    rows = [
        {**dict(zip(keys, condition.split("\t"), strict=False)), **{c: row[c] for c in about}}
        for (_, condition, _), row in best.items()
    ]
    return pd.DataFrame(rows)


def pairs(theirs: pd.DataFrame, ours: pd.DataFrame, keys: list[str]) -> tuple[pd.DataFrame, Counter[str]]:
    """The instrument's means (`instruments.read`) joined with the node's (`measured`): `subject`, `condition` (its
    values of the `keys`, without the session, joined by ", "), `parameter`, `node`, `table`, in the table's order; and
    why values have no partner. Upper and lower case of conditions are the same."""
    by = ["subject", *keys, "parameter"]
    theirs = theirs.assign(**{key: theirs[key].str.casefold() for key in keys})
    means = theirs.groupby(by, sort=False).agg(table=("value", "mean"), row=("row", "min")).reset_index()
    joined = means.merge(ours, on=by, how="left", indicator="from")
    known = set(ours["subject"])
    missing: Counter[str] = Counter()
    for row in joined[joined["mean"].isna()].to_dict("records"):
        if row["from"] == "both":
            missing[f"{row['parameter']}: {row['reason'] or 'not measured'}"] += 1
        elif row["subject"] in known:
            missing["the subject has no clip with the node at this session or condition"] += 1
        else:
            missing["no clip with the node is of this subject"] += 1
    joined = joined[joined["mean"].notna()].rename(columns={"mean": "node"}).sort_values("row", kind="stable")
    labels = [k for k in keys if k != "session"]
    joined["condition"] = [", ".join(v) for v in joined[labels].itertuples(index=False)] if labels else ""
    return joined[["subject", "condition", "parameter", "node", "table"]].reset_index(drop=True), missing


def lines(paired: pd.DataFrame) -> list[Line]:
    """The agreement by parameter, in the node's order, and condition."""
    found = []
    for parameter in summary.PARAMETERS:
        of = paired[paired["parameter"] == parameter]
        for condition in sorted(of["condition"].unique()):
            part = of[of["condition"] == condition]
            a, b = part["node"].to_numpy(float), part["table"].to_numpy(float)
            found.append(Line(parameter, condition, a, b, agreement(a, b), doubt(a, b)))
    return found


def doubt(node: np.ndarray, table: np.ndarray) -> str:
    """What (n,) values of both suggest to be wrong with the table or the node; '' for nothing."""
    ratio = float(np.median(node[table != 0] / table[table != 0])) if (table != 0).any() else 1.0
    if not ALIKE[0] <= ratio <= ALIKE[1]:
        return f"the node is {ratio:.3g} times the table: look at units, columns and the scale"
    if len(node) >= LEAST_SHIFTED:
        own, *moved = (float(np.abs(node - np.roll(table, by)).mean()) for by in (0, 1, -1))
        if min(moved) < SHIFTED * own:
            return "the table fits better when its values are moved by one row: look at whose they are"
    return ""


def _row(line: Line) -> list[str]:
    values = [str(v) if isinstance(v, int) else "" if v != v else f"{v:.6g}" for v in astuple(line.agreement)]
    return [line.parameter, summary.PARAMETERS[line.parameter], line.condition, *values, line.doubt]


def _page(node: str, found: list[Line], missing: Counter[str]) -> str:
    shown = ("n", "mae", "bias", "lower", "upper", "icc", "icc_low", "icc_high")
    text = [f"# `{node}` against an instrument", "", ABOUT, f"| parameter | unit | condition | {' | '.join(shown)} |"]
    text.append("|---" * (3 + len(shown)) + "|")
    for line in found:
        values = [getattr(line.agreement, name) for name in shown]
        cells = [str(v) if isinstance(v, int) else "" if v != v else f"{v:.3g}" for v in values]
        unit = summary.PARAMETERS[line.parameter]
        text.append(f"| {line.parameter} | {unit} | {line.condition} | {' | '.join(cells)} |")
    doubts = [f"- {line.parameter} {line.condition}: {line.doubt}" for line in found if line.doubt]
    left = [f"- {n} values: {reason}" for reason, n in sorted(missing.items())]
    text += ["", "## Doubtful", "", *doubts] if doubts else []
    text += ["", "## Not compared", "", *left] if left else []
    names = dict.fromkeys(line.parameter for line in found)
    return "\n".join([*text, "", "## Plots", "", *(f"![{name}]({name}.png)\n" for name in names)]).rstrip() + "\n"


def _plot(path: Path, parameter: str, found: list[Line]) -> None:
    """Bland and Altman's plot, one panel a condition: the difference over the mean, with bias and limits."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    unit = summary.PARAMETERS[parameter]
    picture = Figure(figsize=(4.5 * len(found), 4), layout="constrained")
    FigureCanvasAgg(picture)
    for axes, line in zip(np.atleast_1d(picture.subplots(1, len(found), sharey=True)), found, strict=True):
        axes.scatter((line.node + line.table) / 2, line.node - line.table, s=16, alpha=0.7)
        whole = line.agreement
        for value, style in ((whole.bias, "-"), (whole.lower, "--"), (whole.upper, "--")):
            if np.isfinite(value):
                axes.axhline(value, color="black", linewidth=1, linestyle=style)
                axes.annotate(f"{value:.3g}", (1, value), xycoords=("axes fraction", "data"), ha="right", va="bottom")
        axes.set(title=f"{line.condition or parameter} (n = {whole.n})", xlabel=f"mean of both ({unit})")
    axes = picture.axes[0]
    axes.set_ylabel(f"node − table: {parameter} ({unit})")
    picture.savefig(path, dpi=110, metadata={"Software": None})
