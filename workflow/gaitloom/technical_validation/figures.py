"""Figures of the technical validation, from its tables; the same bytes for the same tables."""

import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

PREFIX = "technical_validation"
MANY = 6  # items of a target from which on they have a figure of their own
COLOURS = ("#33658a", "#d1603d", "#4a8c5f", "#8a5a9e", "#b8912f", "#5f6b75")
GREY, WIDTH, ROW, MARGIN = "#5c5c5c", 7.0, 0.24, 1.25  # inches: width of a figure, height of a row and of the rest
LETTERS = 100  # of a reason that fit into a figure's width
LINE, SHARE = 0.7, (-0.02, 1.02)  # share of a line's height over which its points spread; of an axis from 0 to 1
POINT: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1.4}
TICK: dict[str, Any] = {"marker": "|", "markersize": 7, "markeredgewidth": 1.4, "color": "black", "linestyle": ""}
CROSS: dict[str, Any] = {"marker": "x", "markersize": 4, "markeredgewidth": 0.9, "color": GREY, "linestyle": ""}
MEASURES = {"accuracy": "accuracy", "macro_f1": "mean F1 of the classes"}
FOUND = {"classes": "told", "numbers": "told", "identity": "found"}
BASELINE = {"classes": "most frequent class", "numbers": "mean of the others", "identity": "clips drawn at random"}
PERMUTED = {"classes": "permuted targets", "numbers": "permuted targets", "identity": "permuted people"}

Row = dict[str, Any]


def write(folder: Path, told: Sequence[Row], identity: Sequence[Row]) -> dict[str, str]:
    """Draw them as PNG into `folder`, which is made; name → caption. Nothing to draw, no figure.

    `told` are rows with `scores.COLUMNS` and target, item, input; `identity` such with `identity.COLUMNS`. What has no
    figure stands there with its reason.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    captions: dict[str, str] = {}
    with mpl.rc_context():
        mpl.rcdefaults()  # whatever somebody has set on this machine
        mpl.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
        for name, (caption, draw) in _planned(told, identity).items():
            figure = Figure((WIDTH, MARGIN), layout="constrained")  # `_finish` sets the height
            draw(figure)
            figure.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})
            captions[f"{name}.png"] = caption
    return captions


def _planned(told: Sequence[Row], identity: Sequence[Row]) -> dict[str, tuple[str, Callable[[Any], None]]]:
    """Name → caption and what draws it."""
    marks = "Points: what was {}, with 95 % intervals over people; ticks: {}; crosses: {}."
    about = {kind: marks.format(FOUND[kind], BASELINE[kind], PERMUTED[kind]) for kind in FOUND}
    classes = [r for r in told if r["measure"] in MEASURES]
    numbers = [r for r in told if r["measure"] == "mae"]
    items = {t: [i for of, i in _values(classes, "target", "item") if of == t] for (t,) in _values(classes, "target")}
    found: dict[str, tuple[str, Callable[[Any], None]]] = {}
    few = [r for r in classes if len(items[r["target"]]) < MANY]
    if few:
        caption = f"Classes that are told. {about['classes']}"
        found[f"{PREFIX}_classes"] = caption, partial(_classes, rows=few)
    for target in (t for t, names in items.items() if len(names) >= MANY):
        rows = [r for r in classes if r["target"] == target]
        found[f"{PREFIX}_{target}"] = f"{target}, item by item. {about['classes']}", partial(_classes, rows=rows)
    if numbers:
        caption = f"Mean absolute error of numbers that are told, the less the better. {about['numbers']}"
        found[f"{PREFIX}_numbers"] = caption, partial(_numbers, rows=numbers)
    if identity:
        caption = f"How often the nearest other clip is the same person's (rank 1), by node. {about['identity']} "
        caption += "A lower bound of what each node gives away: trained models find more."
        found[f"{PREFIX}_identity"] = caption, partial(_identity, rows=identity)
    return found


def _classes(figure: Any, rows: Sequence[Row]) -> None:
    """Two panels, accuracy and F1; a line an item, on it a point for each input and learner."""
    places, series = _values(rows, "target", "item"), _series(rows)
    panels = figure.subplots(1, len(MEASURES), sharey=True)
    for axes, (measure, label) in zip(panels, MEASURES.items(), strict=True):
        marks = []
        for row in (r for r in rows if r["measure"] == measure):
            number = list(series).index((row["input"], row["learner"]))
            shift = LINE * ((number + 0.5) / len(series) - 0.5)
            marks.append((places.index((row["target"], row["item"])), shift, series[row["input"], row["learner"]], row))
        _forest(axes, marks)
        axes.set(xlabel=label, xlim=SHARE)
    _finish(figure, panels, [_words(item) for _, item in places], series, "classes")


def _numbers(figure: Any, rows: Sequence[Row]) -> None:
    """A panel a number, since their units differ; a line an input and learner."""
    items, series = _values(rows, "target", "item"), _series(rows)
    places = list(series)
    panels = figure.subplots(1, len(items), sharey=True, squeeze=False)[0]
    for axes, (target, item) in zip(panels, items, strict=True):
        mine = [r for r in rows if (r["target"], r["item"]) == (target, item)]
        of = [(r["input"], r["learner"]) for r in mine]
        _forest(axes, [(places.index(key), 0.0, COLOURS[0], row) for key, row in zip(of, mine, strict=True)])
        axes.set(xlabel=f"mean absolute error\n{_words(item)}")
        axes.set_xlim(left=0)
    figure.set_figwidth(max(WIDTH, 2 + 2 * len(items)))
    _finish(figure, panels, [_words(", ".join(key)) for key in places], {}, "numbers")


def _identity(figure: Any, rows: Sequence[Row]) -> None:
    axes = figure.subplots()
    _forest(axes, [(place, 0.0, COLOURS[0], row) for place, row in enumerate(rows)])
    axes.set(xlabel="probes whose nearest neighbour is the same person (rank 1)", xlim=SHARE)
    _finish(figure, [axes], [row["input"] for row in rows], {}, "identity")


def _forest(axes: Any, marks: Sequence[tuple[int, float, str, Row]]) -> None:
    """Points with intervals: line, shift from its middle, colour, row. A line without any point says why."""
    for place in {place for place, *_ in marks}:
        there = [row for at, _, _, row in marks if at == place]
        if place % 2:
            axes.axhspan(place - 0.5, place + 0.5, color="#f3f3f3", linewidth=0, zorder=0)
        if not any(np.isfinite(row["value"]) for row in there):
            where = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 6, "color": GREY}
            axes.text(0.02, place, textwrap.fill(str(there[0]["reason"]), LETTERS // len(axes.figure.axes)), **where)
    for place, shift, colour, row in marks:
        y = place + shift
        axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=1.4, solid_capstyle="butt")
        axes.plot(row["baseline"], y, zorder=3, **TICK)
        axes.plot(row["permuted"], y, zorder=3, **CROSS)
        axes.plot(row["value"], y, zorder=4, color=colour, **POINT)
    axes.grid(axis="x", color="#d8d8d8", linewidth=0.6)
    axes.set_axisbelow(True)


def _finish(
    figure: Any, panels: Sequence[Any], names: Sequence[str], series: dict[tuple[str, str], str], kind: str
) -> None:
    """Names of the lines, legend, and a height that fits both."""
    from matplotlib.lines import Line2D

    shown = [Line2D([], [], color=c, label=_words(", ".join(key)), **POINT) for key, c in series.items()]
    shown = shown or [Line2D([], [], color=COLOURS[0], label=f"{FOUND[kind]}, 95 % interval", **POINT)]
    shown += [Line2D([], [], label=BASELINE[kind], **TICK), Line2D([], [], label=PERMUTED[kind], **CROSS)]
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    for axes in panels:
        axes.tick_params(axis="y", length=0)
    figure.legend(handles=shown, loc="outside upper left", ncols=3, frameon=False)
    lines = len(names) * (ROW + 0.05 * max(0, len(series) - 2))
    figure.set_figheight(MARGIN + 0.18 * (len(shown) // 3) + max(lines, 3 * ROW))


def _series(rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    """(input, learner) → colour."""
    return {key: COLOURS[i % len(COLOURS)] for i, key in enumerate(_values(rows, "input", "learner"))}


def _values(rows: Sequence[Row], *columns: str) -> list[Any]:
    """The tuples of these columns that there are, in the order in which they come."""
    return list(dict.fromkeys(tuple(r[c] for c in columns) for r in rows))


def _words(name: str) -> str:
    return name.replace("_", " ")
