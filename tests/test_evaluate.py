"""`gaitloom evaluate` on small nodes made by hand: every figure against a truth that the test knows by itself."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gaitloom import config
from gaitloom.agreement import MEASURES, MIRROR, SIGMAS, Pair, Tally, oks
from gaitloom.cli import app
from gaitloom.clips import Clip, NodeKey, write_sheet
from gaitloom.errors import GaitloomError
from gaitloom.evaluate import FIGURES, evaluate
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.plan import Plan
from gaitloom.store import Node, Store
from typer.testing import CliRunner
from walker import GAITS, Walk

DIMS = {"mask": ("time", "y", "x"), "label": ("time", "y", "x"), "flow": ("time", "row", "column", "axis")}
Maker = Callable[..., Node]


def stage(store: Store, key: NodeKey, recipe: dict[str, Any], attributes: dict[str, Any], **arrays: np.ndarray) -> None:
    staged = store.stage(key)
    for name, values in arrays.items():
        if name in DIMS:
            scale = {"scale_factor": 1 / 64} if name == "flow" else {}
            stream = staged.stream(name, values.shape, values.dtype, DIMS[name], **scale)
            for frame in values:
                stream.append(frame)
        else:
            staged.put(name, values, ("time", "point", "axis")[: values.ndim])
    staged.publish(recipe, attributes)


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """Publish a node of these arrays and attributes, valid throughout where nothing else is said, and open it."""
    store = Store(tmp_path / "results")
    names = iter(range(1000))

    def node(attributes: dict[str, Any] | None = None, **arrays: np.ndarray) -> Node:
        key = NodeKey("P1", "clip", f"n{next(names)}")
        arrays.setdefault("valid", np.ones(len(next(iter(arrays.values()))), bool))
        stage(store, key, {}, attributes or {}, **arrays)
        return store.open(key)

    return node


def figures(modality: str, a: Node, b: Node, **others: Node) -> dict[str, float]:
    tally = MEASURES[modality](Pair("P1/clip", a, b, **others))
    return {name: figure(tally) for name, figure in FIGURES[modality].items()}


def tally_of(modality: str, a: Node, b: Node, **others: Node) -> Tally:
    return MEASURES[modality](Pair("P1/clip", a, b, **others))


# silhouette, parts, track


def squares(*left: int) -> np.ndarray:
    """A square of 10 x 10 a frame, whose left side stands at `left`."""
    mask = np.zeros((len(left), 20, 60), bool)
    for t, x in enumerate(left):
        mask[t, 5:15, x : x + 10] = True
    return mask


def test_masks(make: Maker) -> None:
    """Squares apart by 0, 5 and 10 columns overlap by 1, 50/150 and 0."""
    found = figures("silhouette", make(mask=squares(20, 25, 30)), make(mask=squares(20, 20, 20)))
    assert found["iou"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert found["iou_median"] == pytest.approx(1 / 3)
    assert found["iou_p5"] == pytest.approx(np.percentile([1, 1 / 3, 0], 5))


def test_frames_of_one_alone_are_counted_not_compared(make: Maker) -> None:
    mask = np.tile(squares(20), (5, 1, 1))
    a = make(mask=mask, valid=np.array([1, 1, 0, 0, 1], bool))
    b = make(mask=mask, valid=np.array([1, 0, 1, 0, 1], bool))
    tally = tally_of("silhouette", a, b)
    assert tally.frames.tolist() == [1, 1, 1, 2]
    assert tally.series["iou"].tolist() == [1, 1]


def test_masks_over_more_than_a_shard(make: Maker) -> None:
    left = np.arange(150) % 20
    tally = tally_of("silhouette", make(mask=squares(*left)), make(mask=squares(*np.zeros(150, int))))
    shared = np.maximum(0, 10 - left)
    np.testing.assert_allclose(tally.series["iou"], shared / (20 - shared))


def test_labels(make: Maker) -> None:
    """Label 1 is right; of label 2 half is found; label 3 is not in the reference."""
    b = np.zeros((2, 4, 8), np.uint8)
    b[:, :, :2], b[:, :, 2:6] = 1, 2
    a = b.copy()
    a[:, :, 4:6] = 3
    assert figures("parts", make(label=a), make(label=b))["iou"] == pytest.approx((1 + 0.5) / 2)
    with pytest.raises(GaitloomError, match="do not use the same labels"):
        figures("parts", make({"label_space": "fine"}, label=a), make({"label_space": "coarse"}, label=b))


def test_boxes(make: Maker) -> None:
    b = np.tile(np.array([0, 0, 10, 20], np.float32), (3, 1))
    a = b + np.array([[0, 0, 0, 0], [5, 0, 5, 0], [50, 0, 50, 0]], np.float32)
    tally = tally_of("track", make(box=a), make(box=b, valid=np.array([1, 1, 0], bool)))
    np.testing.assert_allclose(tally.series["iou"], [1, 1 / 3])
    assert tally.frames.tolist() == [0, 1, 0, 2]


# keypoints

WALK = Walk(GAITS["normal"], frames=12, fps=12, size=(640, 360))
TRUTH = WALK.keypoints.astype(np.float32)
HEIGHT = np.ptp(TRUTH[..., 1], axis=1)
LEGS = [i for i, n in enumerate(WHOLEBODY_23.points) if n.split("_", 1)[-1] in ("knee", "ankle", "heel", "big_toe")]


def posed(make: Maker, xy: np.ndarray, **more: np.ndarray) -> Node:
    return make(xy_23=xy.astype(np.float32), **more)


def by_hand(xy: np.ndarray, truth: np.ndarray, area: float) -> float:
    """COCO's sum, a point at a time, with its published constants for the body in tenths."""
    body = [.26, .25, .25, .35, .35, .79, .79, .72, .72, .62, .62, 1.07, 1.07, .87, .87, .89, .89]  # fmt: skip
    sigmas = [s / 10 for s in body] + [0.068, 0.066, 0.066, 0.092, 0.094, 0.094]
    total = count = 0.0
    for (x, y), (u, v), sigma in zip(xy, truth, sigmas, strict=True):
        if np.isfinite(u):
            count += 1
            total += np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * area * (2 * sigma) ** 2)) if np.isfinite(x) else 0
    return total / count


def test_similarity_is_cocos() -> None:
    rng = np.random.default_rng(0)
    xy, area = TRUTH + rng.normal(0, 8, TRUTH.shape), rng.uniform(3e3, 3e4, len(TRUTH))
    xy[2, 5], truth = np.nan, TRUTH.copy()
    truth[3, [4, 17]] = np.nan
    expected = [by_hand(*frame) for frame in zip(xy, truth, area, strict=True)]
    np.testing.assert_allclose(oks(xy, truth, area), expected, rtol=1e-6)
    assert 0.2 < np.min(expected) < np.max(expected) < 0.95


def test_similarity_is_pycocotools() -> None:
    """COCOeval's own sum with all 23 sigmas, where pycocotools happens to be installed."""
    evaluation = pytest.importorskip("pycocotools.cocoeval").COCOeval(iouType="keypoints")
    evaluation.params.kpt_oks_sigmas, evaluation.params.imgIds, evaluation.params.catIds = SIGMAS, [1], [1]
    xy, truth, area = TRUTH[0] + 6.0, TRUTH[0], 9000.0
    flat = [np.concatenate([p, np.full((23, 1), 2)], axis=1).ravel().tolist() for p in (xy, truth)]
    evaluation._gts[1, 1] = [{"keypoints": flat[1], "area": area, "bbox": [0, 0, 90, 100]}]
    evaluation._dts[1, 1] = [{"keypoints": flat[0], "score": 1.0}]
    expected = evaluation.computeOks(1, 1)[0, 0]
    assert oks(xy[None], truth[None], np.array([area]))[0] == pytest.approx(expected, rel=1e-6)


def test_the_same_points(make: Maker) -> None:
    found = figures("keypoints", posed(make, TRUTH), posed(make, TRUTH))
    assert {k: found[k] for k in ("oks", "oks_ap", "pck_0.1", "pck_0.05", "points")} == {
        "oks": 1, "oks_ap": 1, "pck_0.1": 1, "pck_0.05": 1, "points": 23,
    }  # fmt: skip
    assert found["distance_px"] == found["exchanged"] == found["legs_exchanged"] == 0


def test_distances_by_hand(make: Maker) -> None:
    """Every point 3 px right and 4 px down; every other one besides by 0.08 of the height."""
    xy = TRUTH + np.float32([3, 4])
    assert figures("keypoints", posed(make, xy), posed(make, TRUTH))["distance_px"] == pytest.approx(5, rel=1e-5)
    xy = TRUTH.copy()
    xy[:, ::2, 0] += 0.08 * HEIGHT[:, None]
    found = figures("keypoints", posed(make, xy), posed(make, TRUTH))
    assert found["pck_0.1"] == 1
    assert found["pck_0.05"] == pytest.approx(11 / 23)
    assert figures("keypoints", posed(make, TRUTH + 1.5 * (xy - TRUTH)), posed(make, TRUTH))["pck_0.1"] < 0.5
    assert found["distance_px"] == pytest.approx(12 / 23 * 0.08 * HEIGHT.mean(), rel=1e-4)


def test_the_scale_is_the_tracks_box_else_that_of_the_points(make: Maker) -> None:
    xy = TRUTH + 5
    own = np.prod(np.ptp(TRUTH, axis=1), axis=1)
    nodes = posed(make, xy), posed(make, TRUTH)
    np.testing.assert_allclose(tally_of("keypoints", *nodes).series["oks"], oks(xy, TRUTH, own), rtol=1e-5)
    box = np.tile(np.float32([0, 0, 100, 200]), (12, 1))
    box[4] = np.nan
    found = tally_of("keypoints", *nodes, track=make(box=box)).series["oks"]
    expected = oks(xy, TRUTH, np.where(np.arange(12) == 4, own, 20000))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_average_precision_counts_misses(make: Maker) -> None:
    """Nine perfect frames, one far off, two that A lacks; and a frame that only A has takes nothing away."""
    xy = TRUTH.copy()
    xy[3] += 1000
    valid = np.ones(12, bool)
    valid[[5, 6]] = False
    found = figures("keypoints", posed(make, xy, valid=valid), posed(make, TRUTH))
    assert found["oks_ap"] == pytest.approx(9 / 12)
    assert found["oks"] == pytest.approx(9 / 10)
    without_0 = np.arange(12) > 0
    tally = tally_of("keypoints", posed(make, xy, valid=valid), posed(make, TRUTH, valid=without_0))
    assert tally.frames.tolist() == [0, 1, 2, 9]
    assert FIGURES["keypoints"]["oks_ap"](tally) == pytest.approx(8 / 11)


def test_average_precision_by_thresholds(make: Maker) -> None:
    """A similarity of 0.72 passes .50 to .70: five of ten thresholds."""
    area = float(np.prod(np.ptp(TRUTH[0], axis=0)))
    xy = TRUTH[:1].copy()
    xy[0, :, 0] += np.sqrt(-2 * np.log(0.72) * area) * 2 * SIGMAS  # every point at the same similarity
    found = figures("keypoints", posed(make, xy), posed(make, TRUTH[:1]))
    assert found["oks"] == pytest.approx(0.72, abs=1e-3)
    assert found["oks_ap"] == pytest.approx(0.5)


def test_nobody_found_is_a_miss_everywhere(make: Maker) -> None:
    none = np.full_like(TRUTH, np.nan)
    found = figures("keypoints", posed(make, none, valid=np.zeros(12, bool)), posed(make, TRUTH))
    assert found["oks_ap"] == 0
    assert np.isnan(found["oks"])


def test_exchanged_sides_are_caught(make: Maker) -> None:
    """A planted fault: left for right in a third of the frames."""
    rng = np.random.default_rng(1)
    xy = TRUTH + rng.normal(0, 1, TRUTH.shape)
    before = figures("keypoints", posed(make, xy), posed(make, TRUTH))
    xy[:4] = xy[:4, MIRROR]
    after = figures("keypoints", posed(make, xy), posed(make, TRUTH))
    assert before["exchanged"] == before["legs_exchanged"] == 0
    assert after["exchanged"] == after["legs_exchanged"] == pytest.approx(4 / 12)
    assert after["oks"] < before["oks"] - 0.05


def test_exchanged_legs_alone_are_caught(make: Maker) -> None:
    xy = TRUTH.copy()
    xy[:6, LEGS] = TRUTH[:6][:, MIRROR[LEGS]]
    assert figures("keypoints", posed(make, xy), posed(make, TRUTH))["legs_exchanged"] == pytest.approx(0.5)
    truth = TRUTH.copy()
    truth[:, 1:13:2, 0] += 300  # face, arms and hips: the left ones far from the right ones
    xy = truth.copy()
    xy[:6, 1:13] = truth[:6, MIRROR[1:13]]
    found = figures("keypoints", posed(make, xy), posed(make, truth))
    assert (found["legs_exchanged"], found["exchanged"]) == (0, 0.5)


def test_points_that_one_never_gives_are_left_out_and_single_ones_are_missed(make: Maker) -> None:
    xy = TRUTH.copy()
    small = [i for i, name in enumerate(WHOLEBODY_23.points) if "small_toe" in name]
    xy[:, small] = np.nan
    found = figures("keypoints", posed(make, xy), posed(make, TRUTH))
    assert (found["oks"], found["points"], found["pck_0.1"]) == (1, 21, 1)
    xy[0, 9] = np.nan  # one wrist of one frame
    found = figures("keypoints", posed(make, xy), posed(make, TRUTH))
    assert found["oks"] == found["pck_0.1"] == pytest.approx(1 - 1 / 21 / 12)


# flow


def moving(make: Maker, field: Any, region: tuple[int, int, int, int], scale: float = 1.0, frames: int = 4) -> Node:
    """Flow whose displacement in full-frame pixels at (x, y) is `field(x, y)`; the last frame is invalid."""
    width, height = (round((region[i + 2] - region[i]) * scale) for i in (0, 1))
    # Where each column and row lies, as the data model says.
    x, y = (region[i] + (np.arange(n) + 0.5) / scale - 0.5 for i, n in ((0, width), (1, height)))
    moves = np.stack(np.broadcast_arrays(*field(x[None], y[:, None])), axis=-1) * scale
    stored = np.broadcast_to(np.rint(np.broadcast_to(moves, (height, width, 2)) * 64), (frames, height, width, 2))
    attributes = {"region": list(region), "scale": [width / (region[2] - region[0]), height / (region[3] - region[1])]}
    return make(attributes, flow=stored.astype(np.int16), valid=np.arange(frames) < frames - 1)


def ramp(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A flow that differs everywhere: 1/8 px more a pixel."""
    return x / 8, -y / 8


def test_the_same_flow(make: Maker) -> None:
    node = moving(make, ramp, (10, 5, 50, 35))
    found = figures("flow", node, node)
    assert found["epe_px"] == found["epe_p95_px"] == 0
    assert np.isnan(found["subject_epe_px"])


def test_a_known_error_in_full_frame_pixels(make: Maker) -> None:
    """3 px right and 4 px down too much, whatever the scale of either node."""
    for scale_a, scale_b in ((1, 1), (0.5, 0.5), (1, 0.5), (0.5, 1), (0.25, 1)):
        a = moving(make, lambda x, y: (3 + 0 * x, 4 + 0 * y), (10, 4, 50, 36), scale_a)
        b = moving(make, lambda x, y: (0 * x, 0 * y), (10, 4, 50, 36), scale_b)
        tally = tally_of("flow", a, b)
        np.testing.assert_allclose(tally.series["epe"], [5, 5, 5], rtol=1e-5)
        cells = 40 * 32 * min(scale_a, scale_b) ** 2
        assert tally.pixels["epe"].sum() == 3 * cells
        assert FIGURES["flow"]["epe_p95_px"](tally) == pytest.approx(5)


def test_the_95th_percentile_is_of_pixels(make: Maker) -> None:
    """4 of 40 columns are wrong by 3 px, the others by 1; then only 1 of 40."""
    b = moving(make, lambda x, y: (0 * x, 0 * y), (0, 0, 40, 10))
    for columns, expected in ((4, 3), (1, 1)):
        a = moving(make, lambda x, y, n=columns: (np.where(x < n, 3.0, 1.0), 0 * y), (0, 0, 40, 10))
        assert figures("flow", a, b)["epe_p95_px"] == pytest.approx(expected)


@pytest.mark.parametrize(("scale_a", "scale_b"), [(1, 1), (1, 0.5), (0.5, 1), (0.75, 0.5), (0.5, 0.4)])
@pytest.mark.parametrize("region", [(10, 4, 50, 44), (14, 8, 54, 48), (17, 9, 57, 49), (20, 10, 40, 30)])
def test_other_regions_and_scales_of_the_same_flow(
    make: Maker, scale_a: float, scale_b: float, region: tuple[int, int, int, int]
) -> None:
    """The same motion seen in another region and at another scale is hardly an error: storing takes 1/128 px of the
    scaled picture, resampling a part of a cell's gradient. Half a cell's offset would give 1/8 px and more."""
    found = figures("flow", moving(make, ramp, region, scale_a), moving(make, ramp, (10, 4, 50, 44), scale_b))
    assert found["epe_px"] < 0.06


@pytest.mark.parametrize("shift", [1, 4])
def test_a_shifted_region_is_caught(make: Maker, shift: int) -> None:
    """A planted fault: the region that A states lies `shift` px beside the one that it was computed on."""
    a, b = moving(make, ramp, (20, 10, 60, 50)), moving(make, ramp, (20, 10, 60, 50))
    assert figures("flow", a, b)["epe_px"] == 0
    a.attributes["region"] = [20 + shift, 10, 60 + shift, 50]
    assert figures("flow", a, b)["epe_px"] == pytest.approx(shift / 8, abs=0.01)


@pytest.mark.parametrize("scale", [1, 0.5])
def test_error_on_the_subject(make: Maker, scale: float) -> None:
    """A is wrong by 2 px from column 30 on, which is the subject; where that is not valid, it is not counted."""
    a = moving(make, lambda x, y: (np.where(x >= 30, 2.0, 0.0), 0 * y), (10, 0, 50, 40), scale)
    b = moving(make, lambda x, y: (0 * x, 0 * y), (10, 0, 50, 40), scale)
    mask = np.zeros((4, 60, 80), bool)
    mask[:, :, 30:] = True
    node = make(mask=mask, valid=np.array([1, 0, 1, 1], bool))
    found = figures("flow", a, b, silhouette=node)
    assert found["epe_px"] == pytest.approx(1)
    assert (found["subject_frames"], found["subject_epe_px"], found["subject_epe_p95_px"]) == (2, 2, 2)


def test_regions_apart_are_said(make: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = moving(make, ramp, (0, 0, 20, 20)), moving(make, ramp, (30, 0, 50, 20))
    tally = tally_of("flow", a, b)
    assert tally.frames.tolist() == [1, 0, 0, 3]
    assert len(tally.series["epe"]) == 0
    assert "the regions of the two flows share nothing" in capsys.readouterr().err


# the command

NODES: dict[str, Any] = {
    "track": {"backend": "blazepose"},
    "silhouette": {"backend": "blazepose"},
    "silhouette_soft": {"backend": "blazepose", "backend_options": {"threshold": 0.3}},
}
CLIPS = [
    Clip("P1", trial="1", video="/nowhere/1.mp4", sha256="1" * 64, extra={"condition": "slow"}),
    Clip("P1", trial="2", video="/nowhere/2.mp4", sha256="2" * 64, extra={"condition": "fast"}),
    Clip("P2", trial="1", video="/nowhere/3.mp4", sha256="3" * 64, extra={"condition": "slow"}),
]
LEFT = {"P1/trial-1": [20, 20], "P1/trial-2": [25, 25], "P2/trial-1": [30, 30, 30, 20]}


def put(plan: Plan, clip: Clip, node: str, left: list[int], valid: list[int] | None = None) -> None:
    recipe, there = plan.recipes(clip)[node], np.array(valid or [1] * len(left), bool)
    stage(Store(plan.config.results), plan.key(clip, node), recipe, {}, mask=squares(*left), valid=there)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Three clips with both silhouettes: A's square beside that of B, which stands at 20."""
    results = tmp_path / "project"
    made = Plan(config.parse({"results": results, "clips": {"folders": ["data"]}, "nodes": NODES}), CLIPS)
    for clip in CLIPS:
        put(made, clip, "silhouette_soft", LEFT[clip.path])
        put(made, clip, "silhouette", [20] * len(LEFT[clip.path]))
    return made


def table(text: str) -> dict[str, dict[str, str]]:
    return {row["of"]: row for row in csv.DictReader(io.StringIO(text), delimiter="\t")}


def test_every_clip_every_value_and_all(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(plan, "silhouette_soft", "silhouette", "condition", True, None)
    rows = table(capsys.readouterr().out)
    assert list(rows) == [*LEFT, "condition=fast", "condition=slow", "all"]
    expected = {
        "P1/trial-1": 1, "P1/trial-2": 1 / 3, "P2/trial-1": 1 / 4, "condition=fast": 1 / 3,
        "condition=slow": 3 / 6, "all": (3 + 2 / 3) / 8,
    }  # fmt: skip
    assert {name: float(row["iou"]) for name, row in rows.items()} == pytest.approx(expected, rel=1e-3)
    assert rows["condition=slow"]["clips"] == "2"
    assert rows["all"] | {"clips": "3", "frames": "8", "compared": "8", "only_a": "0", "agreement": "1"} == rows["all"]


def test_who_is_valid_stands_in_the_table(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """Of ten frames two are nobody's, one is A's alone, three are B's alone and four are both's."""
    for node, valid in (("silhouette_soft", [0, 0, 1, 0, 0, 0, 1, 1, 1, 1]), ("silhouette", [0] * 3 + [1] * 7)):
        Store(plan.config.results).drop(plan.key(CLIPS[0], node))
        put(plan, CLIPS[0], node, [20] * 10, valid)
    evaluate(plan, "silhouette_soft", "silhouette", None, True, None)
    row = table(capsys.readouterr().out)["P1/trial-1"]
    counts = {"frames": "10", "compared": "4", "only_a": "1", "only_b": "3", "agreement": "0.6", "iou": "1"}
    assert row | counts == row


def test_by_a_part_of_the_key_and_as_a_table(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(plan, "silhouette_soft", "silhouette", "subject", False, None)
    shown = capsys.readouterr().out
    assert "silhouette_soft (A) against silhouette (B, the reference)" in shown
    assert "subject=P1" in shown and "subject=P2" in shown


def test_from_the_command_line(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(plan.config.model_dump_json())  # JSON is YAML
    write_sheet(plan.config.results / "clips.tsv", plan.clips)
    arguments = ["silhouette_soft", "silhouette", "--config", str(tmp_path / "config.yaml"), "--by", "condition"]
    done = CliRunner().invoke(app, ["evaluate", *arguments, "--tsv", "--plot", str(tmp_path / "out.png")])
    assert done.exit_code == 0, done.output
    assert list(table(done.stdout)) == [*LEFT, "condition=fast", "condition=slow", "all"]
    assert (tmp_path / "out.png").is_file()


def test_a_clip_without_a_value_has_a_line_too(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(plan, "silhouette_soft", "silhouette", "speed", True, None)
    assert list(table(capsys.readouterr().out)) == [*LEFT, "speed=(none)", "all"]


@pytest.mark.parametrize("by", [None, "condition"])
def test_the_plot(plan: Plan, tmp_path: Path, by: str | None) -> None:
    path = tmp_path / "out.png"
    evaluate(plan, "silhouette_soft", "silhouette", by, True, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(GaitloomError, match="The plot cannot be written to"):
        evaluate(plan, "silhouette_soft", "silhouette", by, True, tmp_path / "nowhere" / "out.png")


def test_clips_that_lack_one_are_left_out_loudly(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """One node is gone, another was made by a recipe that is not planned."""
    store = Store(plan.config.results)
    store.drop(plan.key(CLIPS[0], "silhouette"))
    store.drop(plan.key(CLIPS[1], "silhouette"))
    stage(store, plan.key(CLIPS[1], "silhouette"), {"old": 1}, {}, mask=squares(20, 20), valid=np.ones(2, bool))
    evaluate(plan, "silhouette_soft", "silhouette", None, True, None)
    captured = capsys.readouterr()
    assert list(table(captured.out)) == ["P2/trial-1", "all"]
    assert "2 of 3 clips are left out: they lack silhouette_soft or silhouette as planned" in captured.err
    store.drop(plan.key(CLIPS[2], "silhouette"))
    with pytest.raises(GaitloomError, match=r"No clip has both silhouette_soft and silhouette as planned; run"):
        evaluate(plan, "silhouette_soft", "silhouette", None, True, None)


@pytest.mark.parametrize(
    ("names", "by", "sentence"),
    [
        (("silhouette_sotf", "silhouette"), None, "'silhouette_sotf' is not a node of the plan; choose from: video, "),
        (("silhouette", "track"), None, "silhouette is silhouette and track is track; name two nodes of one modality"),
        (("video", "video"), None, "video nodes cannot be compared; choose among: flow, "),
        (
            ("silhouette", "silhouette_soft"),
            "colour",
            "'colour' is no part of a clip's key and no extra column",
        ),
    ],
)
def test_what_cannot_be_compared(plan: Plan, names: tuple[str, str], by: str | None, sentence: str) -> None:
    with pytest.raises(GaitloomError, match=sentence) as caught:
        evaluate(plan, *names, by, True, None)
    assert "\n" not in str(caught.value)


def test_other_lengths_are_refused(plan: Plan) -> None:
    Store(plan.config.results).drop(plan.key(CLIPS[0], "silhouette"))
    put(plan, CLIPS[0], "silhouette", [20] * 3)
    with pytest.raises(GaitloomError, match=r"P1/trial-1 differ in length"):
        evaluate(plan, "silhouette_soft", "silhouette", None, True, None)
