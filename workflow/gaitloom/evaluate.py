"""Two nodes of one modality against each other: what one looks at before accepting an upgrade.

B is the reference; it need not be the truth. Figures are of the frames in which both are valid, unless they say more;
those in which only one is are counted beside them. Over several clips every frame weighs the same.
"""

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gaitloom.agreement import MEASURES, STEP, THRESHOLDS, Pair, Tally
from gaitloom.clips import KEY, Clip
from gaitloom.config import modality_of
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.progress import track, warn
from gaitloom.store import Node, Store

Figure = Callable[[Tally], float]
LINES = 12  # a plot of more lines than this shows only the one of all clips


def _of(name: str, reduce: Callable[[np.ndarray], float] = np.mean) -> Figure:
    """A figure of one value a frame; nan where there is none."""

    def figure(tally: Tally) -> float:
        values = tally.series[name][np.isfinite(tally.series[name])]
        return float(reduce(values)) if len(values) else float("nan")

    return figure


def _pixels(name: str, share: float) -> Figure:
    """The error that this share of all pixels does not exceed."""

    def figure(tally: Tally) -> float:
        reached = np.cumsum(tally.pixels[name])
        return float(np.searchsorted(reached, share * reached[-1]) * STEP) if reached[-1] else float("nan")

    return figure


def _average_precision(similarity: np.ndarray) -> float:
    return float((similarity[:, None] >= THRESHOLDS).mean())


OVERLAP = {
    "iou": _of("iou"),
    "iou_median": _of("iou", lambda values: float(np.median(values))),
    "iou_p5": _of("iou", lambda values: float(np.percentile(values, 5))),
}
FIGURES: dict[str, dict[str, Figure]] = {
    "silhouette": OVERLAP,
    "parts": OVERLAP,
    "track": OVERLAP,
    "keypoints": {
        "oks": _of("oks"),
        "oks_ap": _of("oks_or_miss", _average_precision),
        "pck_0.1": _of("pck_0.1"),
        "pck_0.05": _of("pck_0.05"),
        "distance_px": _of("distance"),
        "exchanged": _of("exchanged"),
        "legs_exchanged": _of("legs_exchanged"),
        "points": _of("points"),
    },
    "flow": {
        "epe_px": _of("epe"),
        "epe_p95_px": _pixels("epe", 0.95),
        "subject_frames": lambda tally: len(tally.series["subject"]),
        "subject_epe_px": _of("subject"),
        "subject_epe_p95_px": _pixels("subject", 0.95),
    },
}
PLOTTED = {
    "silhouette": ("iou", "IoU of the masks"),
    "parts": ("iou", "mean IoU of the labels"),
    "track": ("iou", "IoU of the boxes"),
    "keypoints": ("oks", "object keypoint similarity"),
    "flow": ("epe", "mean end-point error of the frame, px"),
}
COUNTS = ("clips", "frames", "compared", "only_a", "only_b", "agreement")


def evaluate(plan: Plan, first: str, second: str, by: str | None, tsv: bool, plot: Path | None) -> None:
    """Compare the nodes named `first` (A) and `second` (B) on every clip that has both, and print the figures of each
    clip, of each value of the column `by` and of all clips: as a table, or as TSV; `plot` takes a picture.

    Raises:
        GaitloomError: a node or column is not known, the nodes are of different modalities, or no clip has both.
    """
    modality = _modality(plan, first, second)
    groups = _groups(plan, by)
    tallies = compare(plan, modality, first, second)
    rows = dict(tallies)
    for value in sorted({groups[path] for path in tallies} - {""}):
        rows[value] = Tally.together([tally for path, tally in tallies.items() if groups[path] == value])
    chosen = {name: tally for name, tally in rows.items() if not by or name not in tallies}
    rows["all"] = Tally.together(list(tallies.values()))
    table = [["of", *COUNTS, *FIGURES[modality]], *([name, *row_of(modality, tally)] for name, tally in rows.items())]
    if tsv:
        csv.writer(sys.stdout, delimiter="\t", lineterminator="\n").writerows(table)
    else:
        _show(table, f"{first} (A) against {second} (B, the reference)")
    if plot:
        shown = chosen if len(chosen) <= LINES else {"all": rows["all"]}
        _plot(plot, modality, shown, f"{first} against {second}")


def _modality(plan: Plan, *nodes: str) -> str:
    for node in nodes:
        if node not in plan.nodes:
            raise GaitloomError(f"'{node}' is not a node of the plan; choose from: {', '.join(plan.nodes)}.")
    kinds = [modality_of(node) for node in nodes]
    if len(set(kinds)) > 1:
        text = " and ".join(f"{node} is {kind}" for node, kind in zip(nodes, kinds, strict=True))
        raise GaitloomError(f"{text}; name two nodes of one modality.")
    if kinds[0] not in MEASURES:
        raise GaitloomError(f"{kinds[0]} nodes cannot be compared; choose among: {', '.join(MEASURES)}.")
    return kinds[0]


def _groups(plan: Plan, by: str | None) -> dict[str, str]:
    """Clip → `column=value`, '' where no column is asked for."""
    known = (*KEY, *plan.config.clips.columns)
    if by and by not in known:
        raise GaitloomError(
            f"'{by}' is no part of a clip's key and no extra column; choose one of: {', '.join(known)}."
        )

    def value(clip: Clip) -> str:
        return (getattr(clip, by) if by in KEY else clip.extra.get(by, "")) or "(none)" if by else ""

    return {path: f"{by}={value(clip)}" if by else "" for path, clip in plan.accepted.items()}


def compare(plan: Plan, modality: str, first: str, second: str) -> dict[str, Tally]:
    """Clip → its tally, for every clip that has both nodes as they are planned."""
    store = Store(plan.config.results)
    pairs: list[tuple[Clip, Node, Node]] = []
    for clip in plan.accepted.values():
        a, b = (_open(plan, store, clip, node) for node in (first, second))
        if a and b:
            pairs.append((clip, a, b))
    if not pairs:
        raise GaitloomError(f"No clip has both {first} and {second} as planned; run snakemake to make them.")
    if len(pairs) < len(plan.accepted):
        missing = len(plan.accepted) - len(pairs)
        warn(f"{missing} of {len(plan.accepted)} clips are left out: they lack {first} or {second} as planned")
    others = {"track": plan.reads[second].get("track"), "silhouette": plan.shown.get("silhouette")}
    others["silhouette"] = others["silhouette"] or next(iter(plan.nodes_of("silhouette")), None)
    tallies = {}
    for clip, a, b in track(pairs, "comparing"):
        if a.arrays["valid"].shape != b.arrays["valid"].shape:
            raise GaitloomError(f"{first} and {second} of {clip.path} differ in length; `gaitloom verify` says more.")
        helpers = {name: _open(plan, store, clip, node) if node else None for name, node in others.items()}
        tallies[clip.path] = MEASURES[modality](Pair(clip.path, a, b, **helpers))
    return tallies


def _open(plan: Plan, store: Store, clip: Clip, node: str) -> Node | None:
    """A clip's node, None where the store does not have it as planned."""
    key = plan.key(clip, node)
    planned = plan.planned(key)
    return store.open(key) if planned and store.digest(key) == planned else None


def row_of(modality: str, tally: Tally) -> list[str]:
    """The values of a line: `COUNTS` and the modality's figures, '' for what there is none of."""
    neither, only_a, only_b, both = (int(n) for n in tally.frames)
    frames = neither + only_a + only_b + both
    compared = len(tally.series[PLOTTED[modality][0]])
    values = [tally.clips, frames, compared, only_a, only_b, (neither + both) / frames]
    values += [figure(tally) for figure in FIGURES[modality].values()]
    return [str(v) if isinstance(v, int) else f"{v:.4g}" if np.isfinite(v) else "" for v in values]


def _show(table: list[list[str]], title: str) -> None:
    """A table as wide as it needs to be: a terminal that is too narrow folds its lines, but nothing is cut off."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=title, box=None, title_justify="left")
    wide = [max(map(len, [*header.split("_"), *values])) for header, *values in zip(*table, strict=True)]
    for number, name in enumerate(table[0]):
        shown.add_column(name.replace("_", " "), width=wide[number], justify="right" if number else "left")
    for row in table[1:]:
        shown.add_row(*row)
    console = Console()
    Console(width=max(console.width, sum(wide) + 2 * len(wide))).print(shown)


def _plot(path: Path, modality: str, tallies: dict[str, Tally], title: str) -> None:
    """The share of the compared frames up to each value of the modality's main measure, one line a tally.

    Raises:
        GaitloomError: the picture cannot be written there.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    name, label = PLOTTED[modality]
    picture = Picture(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(picture)
    axes = picture.add_subplot(xlabel=label, ylabel="share of the compared frames", title=title, ylim=(0, 1))
    for text, tally in tallies.items():
        values = np.sort(tally.series[name][np.isfinite(tally.series[name])])
        axes.step(values, (np.arange(len(values)) + 1) / max(1, len(values)), where="post", label=text)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    try:
        picture.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise GaitloomError(f"The plot cannot be written to {path}: {error}; name another file.") from None
