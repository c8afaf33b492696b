"""Figures of the technical validation: the same bytes again, every name once and legible, marks where figures are."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from gaitloom.release import evgs
from gaitloom.technical_validation import embeddings, figures, identity, scores
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

LEARNERS = (("gait", "trees"), ("gait", "perceptron"))
ITEMS = [f"{item}_{side}" for item in evgs.ITEMS for side in ("left", "right")]
NOTHING = dict.fromkeys(("value", "low", "high", "baseline", "permuted", "p"), float("nan"))
TOO_FEW = "1 of the rarest class are tested, which is not enough to say anything at all; 5 are needed"


def told(target: str, item: str, measures: Any, reason: str = "") -> list[dict[str, Any]]:
    """Rows of every learner, the second a little better than the first."""
    rows = []
    for number, (node, learner) in enumerate(LEARNERS):
        about = {"target": target, "item": item, "input": node, "learner": learner, "reason": reason}
        for measure, value in measures.items():
            v = value + 0.02 * number
            numbers = {
                "value": v,
                "low": v - 0.1,
                "high": v + 0.05,
                "baseline": v - 0.2,
                "permuted": v - 0.25,
                "p": 0.05,
            }
            rows.append(
                dict.fromkeys(scores.COLUMNS, "") | about | {"measure": measure} | (NOTHING if reason else numbers)
            )
    return rows


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Sex and 34 items as classes, one without figures; age and weight as numbers."""
    found = told("sex", "sex", {"accuracy": 0.7, "balanced_accuracy": 0.6, "macro_f1": 0.55})
    for number, item in enumerate(ITEMS):
        value = 0.4 + 0.01 * number
        few = TOO_FEW if item == "HVV_left" else ""
        found += told("evgs", item, {"accuracy": value, "balanced_accuracy": value, "macro_f1": value - 0.1}, few)
    found += told("age", "age", {"mae": 8.5, "r2": 0.3}) + told("weight_kg", "weight_kg", {"mae": 11.5, "r2": 0.2})
    return found


@pytest.fixture
def found() -> list[dict[str, Any]]:
    """Rank 1 of three nodes, one of which is not measured."""
    numbers = {"value": 0.61, "low": 0.5, "high": 0.7, "baseline": 0.02, "permuted": 0.03}
    empty = dict.fromkeys(identity.COLUMNS, "")
    why = NOTHING | {"input": "faces", "reason": f"not measured: {embeddings.NOT_MEASURED['faces']}"}
    return [empty | numbers | {"input": "silhouette"}, empty | numbers | {"input": "flow_tvl1"}, empty | why]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figures that are saved from now on, by name."""
    kept: dict[str, Figure] = {}
    save = Figure.savefig

    def keep(figure: Figure, path: Path, **options: Any) -> None:
        kept[path.name] = figure
        save(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return kept


def names_of(figure: Figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def texts_of(figure: Figure) -> list[Text]:
    """Everything that is written, the legend's too, without ticks that lie outside an axis."""
    outside: set[Text] = set()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        outside |= {label for label in axes.get_xticklabels() if not low <= label.get_position()[0] <= high}
    texts = [t for t in figure.findobj(Text) if isinstance(t, Text) and t.get_visible()]
    return [t for t in texts if t.get_text().strip() and t not in outside]


def test_the_same_tables_give_the_same_bytes_whatever_is_set(tmp_path: Path, rows: Any, found: Any) -> None:
    figures.write(tmp_path / "one", rows, found)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        captions = figures.write(tmp_path / "two", rows, found)
    assert len(captions) == 4
    assert sorted(captions) == sorted(p.name for p in (tmp_path / "one").iterdir())
    for name in captions:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_every_item_has_its_line_and_every_learner_its_colour(rows: Any, drawn: Any, tmp_path: Path) -> None:
    figures.write(tmp_path, rows, [])
    assert names_of(drawn["technical_validation_evgs.png"]) == [i.replace("_", " ") for i in ITEMS]
    assert names_of(drawn["technical_validation_classes.png"]) == ["sex"]
    legend = drawn["technical_validation_evgs.png"].legends[0]
    shown = [t.get_text() for t in legend.get_texts()]
    assert shown == ["gait, trees", "gait, perceptron", "most frequent class", "permuted targets"]
    assert len({line.get_color() for line in legend.get_lines()[:2]}) == 2


def test_marks_are_where_the_figures_are(rows: Any, found: Any, drawn: Any, tmp_path: Path) -> None:
    figures.write(tmp_path, rows, found)
    accuracy, f1 = drawn["technical_validation_classes.png"].axes
    for axes, value in ((accuracy, 0.7), (f1, 0.55)):
        points = [line for line in axes.lines if line.get_marker() == "o"]
        assert np.concatenate([p.get_xdata() for p in points]) == pytest.approx([value, value + 0.02])
        bars = [line.get_xdata() for line in axes.lines if line.get_marker() == "None"]
        assert bars[0] == pytest.approx([value - 0.1, value + 0.05])
        for mark, less in (("|", 0.2), ("x", 0.25)):
            chance = [line for line in axes.lines if line.get_marker() == mark]
            assert chance[0].get_xdata() == pytest.approx([value - less])
    (rank,) = drawn["technical_validation_identity.png"].axes
    points = [line for line in rank.lines if line.get_marker() == "o" and np.isfinite(line.get_xdata()[0])]
    assert [(p.get_xdata()[0], p.get_ydata()[0]) for p in points] == [(0.61, 0), (0.61, 1)]


def test_numbers_of_different_units_share_no_axis(rows: Any, drawn: Any, tmp_path: Path) -> None:
    figures.write(tmp_path, rows, [])
    age, weight = drawn["technical_validation_numbers.png"].axes
    assert age.get_xlabel().endswith("age") and weight.get_xlabel().endswith("weight kg")
    assert age.get_xlim()[0] == weight.get_xlim()[0] == 0
    assert age.get_xlim()[1] < 11.5 < weight.get_xlim()[1]


def test_what_has_no_figure_says_why(rows: Any, found: Any, drawn: Any, tmp_path: Path) -> None:
    figures.write(tmp_path, rows, found)
    items = [" ".join(t.get_text().split()) for t in drawn["technical_validation_evgs.png"].axes[0].texts]
    assert items == [TOO_FEW]
    rank = [" ".join(t.get_text().split()) for t in drawn["technical_validation_identity.png"].axes[0].texts]
    assert rank == [f"not measured: {embeddings.NOT_MEASURED['faces']}"]


def test_nothing_is_written_over_anything_nor_outside(rows: Any, found: Any, drawn: Any, tmp_path: Path) -> None:
    figures.write(tmp_path, rows, found)
    for name, figure in drawn.items():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts_of(figure)]
        inside = figure.bbox.padded(1)
        for i, (text, box) in enumerate(boxes):
            assert inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1), (name, text)
            over = [other for other, b in boxes[i + 1 :] if box.overlaps(b)]
            assert not over, (name, text, over)
        assert min(float(t.get_fontsize()) for t in texts_of(figure)) >= 6


def test_nothing_told_nothing_drawn(tmp_path: Path) -> None:
    assert figures.write(tmp_path, [], []) == {}
    assert not list(tmp_path.iterdir())


def test_captions_say_that_a_low_figure_is_a_lower_bound(found: Any, tmp_path: Path) -> None:
    captions = figures.write(tmp_path, [], found)
    assert "lower bound" in captions["technical_validation_identity.png"]
