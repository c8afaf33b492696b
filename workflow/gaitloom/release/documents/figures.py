"""Figures of a release, from what the tier holds and may tell; the same bytes for the same release."""

from typing import Any

from gaitloom.release.contents import Contents
from gaitloom.release.documents import told
from gaitloom.release.documents.facts import Facts

FOLDER = "figures"
COLOUR, WIDTH, HEIGHT = "#33658a", 6.0, 3.2
STEPS = [1, 2, 5, 10]  # between ticks
SHOWN = ("speed", "cadence", "step_length", "double_support")
BY_AGE = SHOWN[:3]
# The least and the greatest would each be somebody's.
BOX: dict[str, Any] = {"whis": (5, 95), "showfliers": False}  # codespell:ignore whis
PARTITIONS = 5  # most that are drawn


def write(contents: Contents, facts: Facts) -> dict[str, str]:
    """Write them into figures/; path in the release → caption."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    folder = contents.folder / FOLDER
    folder.mkdir(exist_ok=True)
    least = contents.dataset.settings.k(contents.dataset.tier)
    drawn = {
        "frames": _frames,
        "valid": _valid,
        "people": _people,
        "gait": _gait,
        "gait_by_age": _gait_by_age,
        "splits": _splits,
    }
    captions: dict[str, str] = {}
    with mpl.rc_context():
        mpl.rcdefaults()  # whatever somebody has set on this machine
        for name, draw in drawn.items():
            figure = Figure((WIDTH, HEIGHT), layout="constrained")
            if caption := draw(figure, contents, facts, least):
                figure.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})
                captions[f"{FOLDER}/{name}.png"] = caption
    return captions


def _frames(figure: Any, contents: Contents, facts: Facts, least: int) -> str:
    from matplotlib.ticker import MaxNLocator

    frames = [part.frames for part in contents.parts]
    axes = figure.subplots()
    low, high = min(frames), max(frames)
    axes.hist(frames, bins=min(20, high - low + 1), range=(low - 0.5, high + 0.5), color=COLOUR)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=STEPS))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, steps=STEPS))
    axes.set(xlabel="frames of a clip", ylabel="clips")
    return "How many frames clips have."


def _valid(figure: Any, contents: Contents, facts: Facts, least: int) -> str:
    shares = {name: 100 * node.share for name, node in facts.nodes.items() if node.share is not None}
    if not shares:
        return ""
    figure.set_figheight(1 + 0.3 * len(shares))
    axes = figure.subplots()
    axes.barh(list(shares), list(shares.values()), color=COLOUR)
    axes.set(xlabel="frames that hold something (%)", xlim=(0, 100))
    axes.invert_yaxis()
    return "Share of the frames in which each node holds something."


def _people(figure: Any, contents: Contents, facts: Facts, least: int) -> str:
    from matplotlib.ticker import MaxNLocator

    counts = {c: told.counts(facts.people, c, least) for c in ("age", "sex") if c in facts.people}
    counts = {c: found for c, found in counts.items() if set(found) - {told.OTHERS}}
    if not counts:
        return ""
    widths = [max(3, len(found)) for found in counts.values()]
    for axes, (column, found) in zip(
        figure.subplots(1, len(counts), squeeze=False, width_ratios=widths)[0], counts.items(), strict=True
    ):
        axes.bar(list(found), list(found.values()), color=COLOUR)
        axes.set(xlabel=f"{column} (years)" if column == "age" else column, ylabel="people")
        axes.tick_params(axis="x", rotation=45 if column == "age" else 0)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, steps=STEPS))
    return f"People by {' and '.join(counts)}."


def _gait(figure: Any, contents: Contents, facts: Facts, least: int) -> str:
    rows = told.by_condition(facts.gait, facts.units, least)
    shown = [p for p in SHOWN if any(r["parameter"] == p for r in rows)]
    if not shown:
        return ""
    figure.set_figwidth(max(WIDTH, 2.2 * len(shown)))
    for axes, parameter in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        mine = [r for r in rows if r["parameter"] == parameter]
        axes.boxplot([r["values"] for r in mine], medianprops={"color": COLOUR}, **BOX)
        labels = [f"{r['condition']} (n = {r['people']})" for r in mine]
        axes.set_xticks(range(1, len(mine) + 1), labels, rotation=45, ha="right")
        axes.set(title=parameter.replace("_", " "), ylabel=mine[0]["unit"])
    return "Gait parameters of n people by condition: median, quartiles, 5th and 95th percentile of people's means."


def _gait_by_age(figure: Any, contents: Contents, facts: Facts, least: int) -> str:
    rows = told.by_age(facts.gait, facts.units, facts.people, least)
    shown = [p for p in BY_AGE if any(r["parameter"] == p for r in rows)]
    if not shown:
        return ""
    bands = [b for b in told.counts(facts.people, "age", 1) if any(r["age"] == b for r in rows)]
    conditions = sorted({r["condition"] for r in rows})
    figure.set_size_inches(max(WIDTH, (1 + 0.4 * len(bands) * len(conditions)) * len(shown)), HEIGHT)
    for axes, parameter in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        mine = [r for r in rows if r["parameter"] == parameter]
        for number, condition in enumerate(conditions):
            own = [r for r in mine if r["condition"] == condition]
            at = [bands.index(r["age"]) + 0.6 * ((number + 0.5) / len(conditions) - 0.5) for r in own]
            spread = [r["sd"] if r["sd"] == r["sd"] else 0.0 for r in own]
            axes.errorbar(at, [r["mean"] for r in own], spread, fmt="o", capsize=2, label=condition)
            for x, row in zip(at, own, strict=True):
                axes.annotate(str(row["people"]), (x, row["mean"]), (3, 3), textcoords="offset points", fontsize=6)
        axes.set_xticks(range(len(bands)), bands, rotation=45)
        axes.set(title=parameter.replace("_", " "), ylabel=mine[0]["unit"], xlabel="age (years)")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7)
    return "Gait parameters by age: mean and standard deviation between people, beside each how many they are."


def _splits(figure: Any, contents: Contents, facts: Facts, least: int) -> str:
    """A panel a column: of every part, the shares of its classes; how many people there are, where none is told."""
    found = facts.splits[:PARTITIONS]
    if not found:
        return ""
    parts = [(f"{number} {part}", len(people)) for number, split in enumerate(found) for part, people in split.items()]
    classes = {c: told.composition(facts.people, c, facts.splits, least) for c in facts.classes}
    panels = {c: cells for c, cells in classes.items() if cells} or {"": {"": [size for _, size in parts]}}
    figure.set_size_inches(max(WIDTH, 3 * len(panels)), 1.5 + 0.22 * len(parts))
    for axes, (column, cells) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        before = [0.0] * len(parts)
        for value, counts in cells.items():
            own = counts[: len(parts)]
            widths = [100 * n / max(1, size) for n, (_, size) in zip(own, parts, strict=True)] if column else own
            axes.barh(range(len(parts)), widths, left=before, label=value, **({} if column else {"color": COLOUR}))
            before = [b + w for b, w in zip(before, widths, strict=True)]
        axes.set_yticks(range(len(parts)), [f"{name} (n = {size})" for name, size in parts], fontsize=7)
        axes.invert_yaxis()
        axes.set(xlabel=f"{column}: share of the people (%)" if column else "people")
        if column:
            axes.legend(fontsize=6, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    more = f" The first {PARTITIONS} of {len(facts.splits)} partitions." if len(facts.splits) > PARTITIONS else ""
    return f"People trained on, validated on and tested on, by partition.{more}"
