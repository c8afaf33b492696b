"""Figures of a release, from what the tier holds and may tell; the same bytes for the same release."""

from typing import Any

from gaitloom.release.contents import Contents
from gaitloom.release.documents import told
from gaitloom.release.documents.facts import Facts

FOLDER = "figures"
COLOUR, WIDTH, HEIGHT = "#33658a", 6.0, 3.2
STEPS = [1, 2, 5, 10]  # between ticks
SHOWN = ("speed", "cadence", "step_length", "double_support")


def write(contents: Contents, facts: Facts) -> dict[str, str]:
    """Write them into figures/; path in the release → caption."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    folder = contents.folder / FOLDER
    folder.mkdir(exist_ok=True)
    least = contents.dataset.settings.k(contents.dataset.tier)
    drawn = {"frames": _frames, "valid": _valid, "people": _people, "gait": _gait}
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
        spread = [r["sd"] if r["sd"] == r["sd"] else 0.0 for r in mine]
        axes.errorbar(range(len(mine)), [r["mean"] for r in mine], spread, fmt="o", capsize=3, color=COLOUR)
        axes.set_xticks(range(len(mine)), [r["condition"] for r in mine], rotation=45, ha="right")
        axes.set(title=parameter.replace("_", " "), ylabel=mine[0]["unit"], xlim=(-0.5, len(mine) - 0.5))
    return "Gait parameters by condition: mean and standard deviation between people."
