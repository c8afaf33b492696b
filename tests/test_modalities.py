"""Each modality, from a real file to a published node, with backends that know the truth: what the walker says is what
the store must hold, in full-frame pixels, on the clip's own frames."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from gaitloom import backends, keypoint_formats, modalities
from gaitloom.backends import Spec
from gaitloom.derive import derive
from gaitloom.errors import GaitloomError
from gaitloom.modalities.flow import Options as FlowOptions
from gaitloom.modalities.flow import region_of, scaled
from gaitloom.plan import Plan
from gaitloom.store import Node, Store
from gaitloom.strict import Strict
from gaitloom.tracking import People
from walker import GAITS, KEYPOINTS, Walk

LENGTH, FPS = 14, 10.0
EVEN, ODD = (160, 120), (161, 119)
CLIP = "P1/trial-1"


class NoOptions(Strict):
    """A stub has none."""


class Truth:
    """A walk, its file, and what stub backends say of it; a stub knows a frame by its looks, never by its number.

    `unseen`: frames in which the finder sees nobody; `blind`: those in which the other backends do not.
    """

    def __init__(self, size: tuple[int, int]):
        self.walk = Walk(GAITS["normal"], frames=LENGTH, fps=FPS, size=size, seed=2)
        self.images = np.stack([self.walk.frame(t) for t in range(LENGTH)]).astype(np.int16)
        self.greys = np.rint(self.images @ [0.299, 0.587, 0.114]).astype(np.int16)
        self.box = self.walk.box.astype(np.float32)
        self.unseen: set[int] = set()
        self.blind: set[int] = set()
        self.scale = 1.0  # of the flow
        self.other: np.ndarray | None = None  # somebody else's box, in every frame
        self.empty = False  # nobody at all

    def write(self, path: Path) -> None:
        """Without loss, at any size."""
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=Fraction(10))
            stream.width, stream.height = self.walk.size
            stream.pix_fmt = "bgr0"
            for image in self.walk.frames():
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())

    def number(self, image: np.ndarray) -> int:
        """Which frame a picture is."""
        known = self.images if image.ndim == 3 else self.greys
        apart = np.abs(known - image.astype(np.int16)).mean(axis=tuple(range(1, known.ndim)))
        assert apart.min() < 1, "not a picture of the clip, or its colours are wrong"
        return int(apart.argmin())

    def people(self, images: Iterable[np.ndarray]) -> Iterator[People]:
        for image in images:
            t = self.number(image)
            boxes = [] if t in self.unseen or self.empty else [self.box[t]]
            boxes += [self.other] if self.other is not None else []
            yield People(np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.5 + t / 100, np.float32))

    def points(self, people: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray | None]:
        for image, box in people:
            t = self.number(image)
            assert np.abs(box - self.box[t]).max() < 12, "the box is another frame's"
            points = np.column_stack([self.walk.keypoints[t], np.full(23, 0.25 + t / 100)]).astype(np.float32)
            yield None if t in self.blind else points

    def masks(
        self, people: Iterable[tuple[np.ndarray, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, tuple[int, int]] | None]:
        for image, _ in people:
            t = self.number(image)
            x0, y0, x1, y1 = self.walk.box[t].astype(int)
            yield None if t in self.blind else (self.walk.silhouette(t)[y0:y1, x0:x1], (x0, y0))

    def flows(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        for before, after in pairs:
            assert self.number(after) == self.number(before) + 1
            yield self.walk.flow(self.number(before)) * np.float32(self.scale)

    def backend(self) -> Any:
        """The class that a backend's file would hold."""
        truth = self

        class Backend:
            format = keypoint_formats.WHOLEBODY_23
            score_kind = "truth"
            colour = False

            def __init__(self, options: NoOptions):
                for method in ("people", "points", "masks", "flows"):
                    setattr(self, method, getattr(truth, method))

        return Backend


@pytest.fixture(params=[EVEN], ids=["even"])
def truth(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Truth:
    truth = Truth(request.param)
    stub = SimpleNamespace(SPEC=Spec(1, NoOptions, ("numpy",), "none"), Backend=truth.backend())
    monkeypatch.setattr(backends, "find", lambda modality, name: stub)
    return truth


both_sizes = pytest.mark.parametrize("truth", [EVEN, ODD], indirect=True, ids=["even", "odd"])
Make = Callable[..., Node]


@pytest.fixture
def make(truth: Truth, tmp_path: Path) -> Make:
    """Derive a node and what it reads, in a project of one clip: `make("flow", region="frame")`."""
    (tmp_path / "data").mkdir()

    def run(wanted: str, sheet: str | None = None, **options: Any) -> Node:
        truth.write(tmp_path / "data" / "P1_1.mkv")
        values: dict[str, Any] = {
            "results": tmp_path / "results",
            "clips": {"folders": [tmp_path / "data"], "pattern": "{subject}_{trial}"},
            "nodes": {m: {"backend": "stub"} for m in ("track", "keypoints", "silhouette", "flow")},
        }
        values["nodes"][wanted]["options"] = options
        if sheet is not None:
            (tmp_path / "clips.tsv").write_text(sheet)
            values["clips"]["sheet"] = tmp_path / "clips.tsv"
        plan = Plan.load(values, scan=True)
        clip = plan.clip(CLIP)
        for node in dict.fromkeys(["video", "track", wanted]):
            derive(plan, plan.key(clip, node), plan.digests_of(CLIP)[node])
        node = Store(plan.config.results).open(plan.key(clip, wanted))
        lengths = {a: node.arrays[a].shape[0] for a, d in modalities.find(wanted).ARRAYS.items() if d[0] == "time"}
        assert set(lengths.values()) == {LENGTH}, lengths
        video = Store(plan.config.results).open(plan.key(clip, "video"))
        np.testing.assert_array_equal(node.load("time"), video.load("time"))
        np.testing.assert_allclose(video.load("time"), np.arange(LENGTH) / FPS, atol=1e-3)
        assert (video.attributes["width"], video.attributes["height"]) == truth.walk.size
        return node

    return run


def times(frames: Iterable[int]) -> np.ndarray:
    return np.isin(np.arange(LENGTH), list(frames))


@both_sizes
def test_track_is_the_walkers_box(truth: Truth, make: Make) -> None:
    node = make("track")
    np.testing.assert_array_equal(node.load("box"), truth.box)
    np.testing.assert_allclose(node.load("score"), 0.5 + np.arange(LENGTH) / 100)
    assert node.load("valid").all()
    np.testing.assert_array_equal(node.load("person_box"), truth.box)
    assert node.load("person_frame").tolist() == list(range(LENGTH))
    assert set(node.load("person_id")) == {node.attributes["subject_id"]}


def test_track_bridges_short_gaps_and_says_so(truth: Truth, make: Make) -> None:
    """Frames of 0.1 s: 3 and 4 are a gap of 0.3 s, 7 to 11 one of 0.6 s."""
    truth.unseen = {0, 3, 4, 7, 8, 9, 10, 11}
    node = make("track", max_gap_s=0.35)
    box = node.load("box")
    assert node.load("valid").tolist() == (~times(truth.unseen)).tolist()
    assert np.isfinite(box).all(axis=1).tolist() == (~times(truth.unseen - {3, 4})).tolist()
    np.testing.assert_allclose(box[3], (2 * truth.box[2] + truth.box[5]) / 3, rtol=1e-5)
    assert (node.load("score")[[3, 4]] == 0).all()
    assert node.load("person_frame").tolist() == sorted(set(range(LENGTH)) - truth.unseen)


def test_track_keeps_everyone_apart(truth: Truth, make: Make) -> None:
    truth.other = np.array([2, 4, 12, 30], np.float32)
    node = make("track")
    np.testing.assert_array_equal(node.load("box"), truth.box)
    mine = node.load("person_id") == node.attributes["subject_id"]
    assert (mine.sum(), (~mine).sum()) == (LENGTH, LENGTH)
    np.testing.assert_array_equal(node.load("person_box")[~mine], np.tile(truth.other, (LENGTH, 1)))


SHEET = "video\tsubject\ttrial\tbox\nP1_1.mkv\tP1\t1\t{}\n"


def test_the_sheets_box_chooses_the_subject(truth: Truth, make: Make) -> None:
    truth.other = np.array([2, 4, 12, 30], np.float32)
    node = make("track", sheet=SHEET.format("1,3,12,29"))
    np.testing.assert_array_equal(node.load("box"), np.tile(truth.other, (LENGTH, 1)))


def test_nobody_in_the_sheets_box_is_a_fault_of_the_sheet(truth: Truth, make: Make, tmp_path: Path) -> None:
    with pytest.raises(GaitloomError, match=r"P1_1.mkv has nobody at the box .* correct the clip sheet\."):
        make("track", sheet=SHEET.format("0,0,5,5"))
    assert not (tmp_path / "results/store.zarr" / CLIP / "track").exists()
    assert list((tmp_path / "results/.staging").iterdir()) == []


@both_sizes
def test_keypoints_are_the_walkers(truth: Truth, make: Make) -> None:
    node = make("keypoints")
    for name in ("xy", "xy_23"):
        np.testing.assert_allclose(node.load(name), truth.walk.keypoints, rtol=1e-6)
    np.testing.assert_allclose(node.load("score"), np.tile(0.25 + np.arange(LENGTH)[:, None] / 100, (1, 23)), rtol=1e-6)
    assert node.load("valid").all()
    assert not node.load("swap").any()
    assert node.attributes["keypoint_names"] == node.attributes["keypoint_23_names"] == list(KEYPOINTS)
    assert node.attributes["score_kind"] == "truth"


def test_keypoints_where_seen_posed_and_bridged(truth: Truth, make: Make) -> None:
    """0: never tracked; 4: bridged, so posed; 6: tracked, but the backend sees nobody."""
    truth.unseen, truth.blind = {0, 4}, {6}
    node = make("keypoints")
    gone = times({0, 6})
    assert node.load("valid").tolist() == (~gone).tolist()
    assert np.isnan(node.load("xy")[gone]).all() and np.isnan(node.load("xy_23")[gone]).all()
    assert (node.load("score")[gone] == 0).all()
    np.testing.assert_allclose(node.load("xy")[~gone], truth.walk.keypoints[~gone], rtol=1e-6)
    assert np.isfinite(node.load("sharpness")).tolist() == (~times({0})).tolist()


def test_sharpness_tells_blur(truth: Truth, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    sharp = make("keypoints").load("sharpness")
    frame = Walk.frame
    monkeypatch.setattr(Walk, "frame", lambda walk, t: cv2.GaussianBlur(frame(walk, t), (0, 0), 2))
    monkeypatch.setattr(truth, "number", lambda image: 0)
    monkeypatch.setattr(truth, "people", lambda images: Truth.people(truth, (truth.images[0] for _ in images)))
    monkeypatch.setattr(truth, "box", np.tile(truth.box[:1], (LENGTH, 1)))
    assert (make("keypoints").load("sharpness") < 0.2 * sharp).all()


@both_sizes
def test_silhouettes_are_the_walkers(truth: Truth, make: Make) -> None:
    node = make("silhouette")
    np.testing.assert_array_equal(node.load("mask"), [truth.walk.silhouette(t) for t in range(LENGTH)])
    assert node.load("mask").dtype == bool
    assert node.load("valid").all()
    assert (node.attributes["width"], node.attributes["height"]) == truth.walk.size


def test_silhouettes_where_seen_and_bridged(truth: Truth, make: Make) -> None:
    truth.unseen, truth.blind = {0, 4}, {6}
    node = make("silhouette")
    gone = times({0, 6})
    assert node.load("valid").tolist() == (~gone).tolist()
    expected = [truth.walk.silhouette(t) & ~gone[t] for t in range(LENGTH)]
    np.testing.assert_array_equal(node.load("mask"), expected)


def decoded(node: Node) -> np.ndarray:
    """The flow in pixels of the scaled region, as the array's own attributes say."""
    array = node.arrays["flow"]
    return node.load("flow") * array.attrs["scale_factor"]  # type: ignore[operator]


@both_sizes
def test_flow_of_the_full_frame_is_the_walkers(truth: Truth, make: Make) -> None:
    node = make("flow", region="frame", longest_side=None)
    width, height = truth.walk.size
    assert node.attributes["region"] == [0, 0, width, height]
    assert node.attributes["scale"] == [1.0, 1.0]
    assert node.load("flow").dtype == np.int16
    for t in range(LENGTH - 1):
        np.testing.assert_allclose(decoded(node)[t], truth.walk.flow(t), atol=1 / 128 + 1e-5)
    assert (node.load("flow")[-1] == 0).all()
    assert node.load("valid").tolist() == [True] * (LENGTH - 1) + [False]
    assert (node.load("saturated") == 0).all()


def test_flow_beyond_the_range_is_clipped_and_counted(truth: Truth, make: Make) -> None:
    """int16 at 1/64 px ends at 32767/64 = 511.98 px."""
    truth.scale = 100.0
    node = make("flow", region="frame", longest_side=None)
    beyond = 0
    for t in range(LENGTH - 1):
        flow = truth.walk.flow(t) * np.float32(100)
        np.testing.assert_allclose(decoded(node)[t], np.clip(flow, -32767 / 64, 32767 / 64), atol=1 / 128 + 1e-4)
        count = int((np.abs(np.rint(flow * 64)) > 32767).sum())
        assert node.load("saturated")[t] == count
        beyond += count
    assert beyond > 100
    assert node.load("saturated")[-1] == 0


@both_sizes
def test_the_region_is_one_for_the_clip_and_holds_the_subject(truth: Truth, make: Make) -> None:
    """The backend gets that region of every frame, scaled; column and row map back to full-frame pixels."""
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def flows(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        for pair in pairs:
            seen.append(pair)
            rows, columns = np.indices(pair[0].shape)
            yield np.dstack([columns, rows]).astype(np.float32)

    truth.flows = flows  # type: ignore[method-assign]
    node = make("flow", longest_side=64, margin=0.1)
    x0, y0, x1, y1 = node.attributes["region"]
    width, height = truth.walk.size
    assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
    margin = 0.1 * (truth.box[:, 3] - truth.box[:, 1]).max()
    low, high = truth.box[:, :2].min(axis=0) - margin, truth.box[:, 2:].max(axis=0) + margin
    np.testing.assert_allclose([x0, y0], np.maximum(low, 0), atol=1)
    np.testing.assert_allclose([x1, y1], np.minimum(high, truth.walk.size), atol=1)
    h, w = node.arrays["flow"].shape[1:3]
    assert max(h, w) == 64
    assert h / w == pytest.approx((y1 - y0) / (x1 - x0), abs=1 / 64)
    assert node.attributes["scale"] == [w / (x1 - x0), h / (y1 - y0)]
    # x = x0 + (column + 0.5) / scale[0] - 0.5: the scaled picture must look like the frame at those places.
    stored = decoded(node)
    scale = node.attributes["scale"]
    x = x0 + (stored[3, ..., 0] + 0.5) / scale[0] - 0.5
    y = y0 + (stored[3, ..., 1] + 0.5) / scale[1] - 0.5
    assert x.min() == pytest.approx(x0 - 0.5 + 0.5 / scale[0]) and x.max() == pytest.approx(x1 - 0.5 - 0.5 / scale[0])
    import cv2

    smooth = cv2.boxFilter(truth.greys[3].astype(np.float32), -1, (3, 3))
    looks = cv2.remap(smooth, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
    aside = cv2.remap(smooth, x.astype(np.float32) + 2, y.astype(np.float32), cv2.INTER_LINEAR)
    apart, moved = (np.abs(picture - seen[3][0].astype(float)).mean() for picture in (looks, aside))
    assert apart < 0.5 * moved


@pytest.mark.parametrize("longest", [16, 50, 64, None])
def test_scaled_flow_maps_back_to_the_walkers(truth: Truth, make: Make, longest: int | None) -> None:
    """What a reader does with the attributes gives the walker's own displacement at the pixel they name."""

    def flows(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        for before, after in pairs:
            t = next(times)
            assert before.shape == after.shape
            h, w = before.shape
            x = x0 + (np.arange(w) + 0.5) * (x1 - x0) / w - 0.5
            y = y0 + (np.arange(h) + 0.5) * (y1 - y0) / h - 0.5
            whole = truth.walk.flow(t)[np.rint(y).astype(int).clip(0)][:, np.rint(x).astype(int).clip(0)]
            yield whole * np.array([w / (x1 - x0), h / (y1 - y0)], np.float32)

    times = iter(range(LENGTH - 1))
    x0, y0, x1, y1 = region_of(truth.box, *EVEN, FlowOptions(longest_side=longest))  # type: ignore[call-arg]
    truth.flows = flows  # type: ignore[method-assign]
    node = make("flow", longest_side=longest)
    (left, top, _, _), scale = node.attributes["region"], node.attributes["scale"]
    rows, columns = np.indices(node.arrays["flow"].shape[1:3])
    x = np.rint(left + (columns + 0.5) / scale[0] - 0.5).astype(int).clip(0)
    y = np.rint(top + (rows + 0.5) / scale[1] - 0.5).astype(int).clip(0)
    for t in range(LENGTH - 1):
        back = decoded(node)[t] / scale
        assert np.mean(np.abs(back - truth.walk.flow(t)[y, x]).max(axis=2) < 0.6 / 64 / min(scale)) > 0.98
        assert np.abs(back).max() > 2


@pytest.mark.parametrize(
    ("box", "size", "options", "expected"),
    [
        ([[10, 20, 30, 60], [50, 22, 70, 58]], (200, 100), {"margin": 0.1}, (6, 16, 74, 64)),
        ([[10.6, 20.2, 30.1, 60.7]], (200, 100), {"margin": 0}, (10, 20, 31, 61)),
        ([[1, 1, 199, 99]], (200, 100), {}, (0, 0, 200, 100)),
        ([[10, 20, 30, 60]], (200, 100), {"region": "frame"}, (0, 0, 200, 100)),
        ([[np.nan] * 4], (201, 99), {}, (0, 0, 201, 99)),
        ([[np.nan] * 4, [10, 20, 30, 60]], (200, 100), {"margin": 0}, (10, 20, 30, 60)),
    ],
)
def test_region_of(box: list, size: tuple[int, int], options: dict[str, Any], expected: tuple) -> None:
    assert region_of(np.array(box, float), *size, FlowOptions(**options)) == expected


@pytest.mark.parametrize(
    ("region", "longest", "shape"),
    [
        ((0, 0, 640, 360), 320, (180, 320)),
        ((0, 0, 360, 640), 320, (320, 180)),
        ((10, 10, 110, 60), 320, (50, 100)),  # never enlarged
        ((10, 10, 110, 60), None, (50, 100)),
        ((0, 0, 161, 119), 100, (74, 100)),
        ((0, 0, 1000, 3), 16, (1, 16)),
    ],
)
def test_scaled(region: tuple[int, int, int, int], longest: int | None, shape: tuple[int, int]) -> None:
    assert scaled(region, longest) == shape


@both_sizes
@pytest.mark.parametrize("modality", ["track", "keypoints", "silhouette", "flow"])
def test_a_clip_without_a_person_has_every_node(truth: Truth, make: Make, modality: str) -> None:
    truth.empty = True
    node = make(modality, **({"longest_side": None} if modality == "flow" else {}))
    if modality == "flow":
        assert node.attributes["region"] == [0, 0, *truth.walk.size]
        return
    assert not node.load("valid").any()
    empty = {"track": "box", "keypoints": "xy_23", "silhouette": "mask"}[modality]
    assert np.isnan(node.load(empty)).all() if modality != "silhouette" else not node.load(empty).any()
    if modality == "track":
        assert node.attributes["subject_id"] == -1
        assert node.load("person_box").shape == (0, 4)


def test_nothing_is_published_when_a_backend_fails(truth: Truth, make: Make, tmp_path: Path) -> None:
    def masks(people: Iterable[Any]) -> Iterator[Any]:
        yield next(Truth.masks(truth, people))
        raise RuntimeError("the model\nbroke")

    truth.masks = masks  # type: ignore[method-assign]
    with pytest.raises(GaitloomError, match=f"{CLIP}/silhouette failed: RuntimeError: the model broke"):
        make("silhouette")
    assert not (tmp_path / "results/store.zarr" / CLIP / "silhouette").exists()
    assert list((tmp_path / "results/.staging").iterdir()) == []
