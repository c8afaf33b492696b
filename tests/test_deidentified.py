"""The deidentified node, from a real file to a published video, with finders that know the truth: every head's pixels
are covered in the decoded pictures, everything else is as it was, and the ledger says why."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import footage
import gaitloom
import numpy as np
import pytest
from conftest import SHARED
from gaitloom import backends, fragments, keypoint_formats
from gaitloom.deidentify import mosaic
from gaitloom.deidentify.heads import WHY
from gaitloom.derive import derive
from gaitloom.errors import GaitloomError
from gaitloom.faces import Faces
from gaitloom.modalities import deidentified
from gaitloom.plan import Plan
from gaitloom.store import Node, Store
from gaitloom.strict import Strict
from gaitloom.tracking import People
from gaitloom.verify import faults
from gaitloom.video import decode
from walker import GAITS, PARTS, Walk

LENGTH, FPS = 16, 10.0
EVEN, ODD = (240, 180), (241, 179)
CLIP = "P1/trial-1"
FURNITURE = np.array([190, 130, 225, 175.0])
CHAIN = ("video", "track", "keypoints", "faces", "deidentified")


class NoOptions(Strict):
    """A stub has none."""


@cache
def known(size: tuple[int, int]) -> tuple[Walk, np.ndarray, np.ndarray]:
    """A walk, its pictures (T, H, W, 3), and its head's pixels down to the chin (T, H, W)."""
    walk = Walk(GAITS["normal"], frames=LENGTH, fps=FPS, size=size, seed=2)
    heads = np.stack([walk.parts(t) == PARTS["head"] for t in range(LENGTH)])
    for head in heads:
        rows = np.flatnonzero(head.any(axis=1))
        head[rows[round(0.87 * len(rows)) :]] = False  # the neck
    return walk, np.stack(list(walk.frames())), heads


class Truth:
    """A walk, its file, and what stub backends say of it; a stub knows a frame by its looks, never by its number.

    `unseen`, `unposed`, `blind`: frames in which finder, pose and face detector fail; `raises`: the detector does.
    `misposed`: frames in which finder and pose take a piece of furniture for the person. `others`: somebody else's box
    by frame.
    """

    def __init__(self, size: tuple[int, int]):
        self.text = np.zeros((0, 4), np.float32)
        self.walk, self.images, self.heads = known(size)
        self.small = self.images[:, ::4, ::4].astype(np.int16)
        self.unseen: set[int] = set()
        self.unposed: set[int] = set()
        self.blind: set[int] = set()
        self.misposed: set[int] = set()
        self.others: dict[int, np.ndarray] = {}
        self.raises = False

    def write(self, path: Path) -> None:
        """Without loss, at any size."""
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=Fraction(10))
            stream.height, stream.width = self.images.shape[1:3]
            stream.pix_fmt = "bgr0"
            for image in self.images:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())

    def number(self, image: np.ndarray) -> int:
        apart = np.abs(self.small - image[::4, ::4]).mean(axis=(1, 2, 3))
        assert apart.min() < 6, "not a picture of the clip"
        return int(apart.argmin())

    def people(self, images: Iterable[np.ndarray]) -> Iterator[People]:
        for image in images:
            t = self.number(image)
            boxes = [] if t in self.unseen else [FURNITURE if t in self.misposed else self.walk.box[t]]
            boxes += [self.others[t]] if t in self.others else []
            yield People(np.array(boxes, np.float32).reshape(-1, 4), np.ones(len(boxes), np.float32))

    def points(self, people: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray | None]:
        for image, _ in people:
            t = self.number(image)
            points = self.walk.keypoints[t]
            if t in self.misposed:
                low, high = self.walk.box[t][:2], self.walk.box[t][2:]
                points = FURNITURE[:2] + (points - low) / (high - low) * (FURNITURE[2:] - FURNITURE[:2])
            points = np.column_stack([points, np.ones(23)]).astype(np.float32)
            yield None if t in self.unposed else points

    def faces(self, images: Iterable[np.ndarray]) -> Iterator[Faces]:
        for image in images:
            if self.raises:
                raise RuntimeError("the detector broke")
            whole = image.shape == self.images.shape[1:]
            t = self.number(image) if whole else -1
            boxes = [self.face(t)] if whole and t not in self.blind else []
            yield Faces(np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.9, np.float32))

    def face(self, t: int) -> np.ndarray:
        y, x = np.nonzero(self.heads[t])
        tall, wide = 0.92 * (y.max() - y.min()), x.max() - x.min()
        return np.array([x.min() + 0.45 * wide, y.min() + 0.25 * tall, x.max() + 1, y.min() + tall])

    def texts(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for _ in images:
            yield self.text

    def patterns(self, looks: Iterable[mosaic.Look]) -> Iterator[np.ndarray]:
        for look in looks:
            yield mosaic.pattern(look.mean, 3)

    def backend(self) -> Any:
        """The class that a backend's file would hold."""
        truth = self

        class Backend:
            format = keypoint_formats.WHOLEBODY_23
            score_kind = "truth"

            def __init__(self, options: NoOptions):
                for method in ("people", "points", "faces", "patterns", "texts"):
                    setattr(self, method, getattr(truth, method))

        return Backend


@pytest.fixture(params=[EVEN], ids=["even"])
def truth(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Truth:
    truth = Truth(request.param)
    stub = SimpleNamespace(SPEC=backends.Spec(1, NoOptions, ("numpy",), "none"), Backend=truth.backend())
    monkeypatch.setattr(backends, "find", lambda modality, name: stub)
    return truth


Make = Callable[..., Node]


@pytest.fixture
def make(truth: Truth, tmp_path: Path) -> Make:
    """Derive the node and what it reads, in a project of one clip: `make(codec="ffv1")`; `file` is the clip's."""

    def run(file: Path | None = None, sheet: str | None = None, results: str = "results", **options: Any) -> Node:
        (tmp_path / "data").mkdir(exist_ok=True)
        if file is None and not any((tmp_path / "data").iterdir()):
            truth.write(tmp_path / "data" / "P1_1.mkv")
        values: dict[str, Any] = {
            "results": tmp_path / results,
            "clips": {"folders": [tmp_path / "data"], "pattern": "{subject}_{trial}"},
            "nodes": {m: {"backend": "stub"} for m in CHAIN[1:]},
        }
        values["nodes"]["faces"]["options"] = {"every": 1, "longest_side": None}
        values["nodes"]["deidentified"]["options"] = {"codec": "ffv1", **options}
        if sheet is not None:
            (tmp_path / "clips.tsv").write_text(sheet)
            values["clips"]["sheet"] = tmp_path / "clips.tsv"
        plan = Plan.load(values, scan=True)
        clip = plan.clip(CLIP)
        for node in CHAIN:
            derive(plan, plan.key(clip, node), plan.digests_of(CLIP)[node])
        key = plan.key(clip, "deidentified")
        store = Store(plan.config.results)
        assert faults(store, key) == []
        return store.open(key)

    return run


def pictures(node: Node) -> np.ndarray:
    """(T, H, W, 3): what any player shows, cut to the true size."""
    size = node.attributes["height"], node.attributes["width"]
    return np.stack(list(fragments.decode(node.load("mp4"), size)))


def covered(node: Node, t: int) -> np.ndarray:
    """(H, W) bool: what the ledger says is covered in a frame."""
    out = np.zeros((node.attributes["height"], node.attributes["width"]), bool)
    for x0, y0, x1, y1 in node.load("region_box")[node.load("region_frame") == t]:
        out[int(np.floor(y0)) : int(np.ceil(y1)), int(np.floor(x0)) : int(np.ceil(x1))] = True
    return out


def why(node: Node, t: int) -> list[str]:
    return sorted(WHY[w] for w in node.load("region_why")[node.load("region_frame") == t])


def bare(node: Node, truth: Truth) -> dict[int, float]:
    """Frame → share of the head's pixels, that look as before, where it is more than it may be."""
    shown = pictures(node)
    same = {t: float((shown[t] == truth.images[t]).all(axis=2)[truth.heads[t]].mean()) for t in range(LENGTH)}
    return {t: s for t, s in same.items() if s > 0.05}


@pytest.mark.parametrize("truth", [EVEN, ODD], indirect=True, ids=["even", "odd"])
def test_heads_are_gone_and_the_rest_is_there(truth: Truth, make: Make) -> None:
    """Without loss in coding, every pixel is either the clip's own or the declared pattern's."""
    node = make()
    shown = pictures(node)
    assert shown.shape == truth.images.shape
    assert bare(node, truth) == {}
    heads = dict(zip(node.load("pattern_track").tolist(), node.load("pattern"), strict=True))
    (colours,) = heads.values()
    assert len(np.unique(colours.reshape(-1, 3), axis=0)) <= 9 and (colours % 16 == 0).all()
    for t in range(LENGTH):
        inside = covered(node, t)
        assert inside[truth.heads[t]].mean() >= 0.95
        np.testing.assert_array_equal(shown[t][~inside], truth.images[t][~inside])
        ((box,),) = [node.load("region_box")[node.load("region_frame") == t]]
        x0, y0, x1, y1 = mosaic.edges(box, truth.walk.size)
        np.testing.assert_array_equal(shown[t][y0:y1, x0:x1], mosaic.blocks(colours[::4, ::4], x1 - x0, y1 - y0))
        assert why(node, t) == ["face"]
    assert (node.load("region_level") == 3).all() and not node.load("covered").any() and node.load("valid").all()
    assert not node.attributes["flagged"] and node.attributes["whole_person_or_frame_share"] == 0


def test_the_check_of_heads_sees_a_single_bare_frame(truth: Truth, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    paint = mosaic.paint
    calls: list[int] = []

    def forgetful(image: np.ndarray, boxes: np.ndarray, *rest: Any) -> np.ndarray:
        calls.append(0)
        return paint(image, boxes if len(calls) != 8 else boxes[:0], rest[0] if len(calls) != 8 else [], *rest[1:])

    monkeypatch.setattr(mosaic, "paint", forgetful)
    assert list(bare(make(), truth)) == [7]


def test_two_runs_are_equal_byte_by_byte(truth: Truth, make: Make, tmp_path: Path) -> None:
    for results in ("a", "b"):
        make(results=results, codec="h264")

    def files(results: str) -> dict[str, bytes]:
        folder = tmp_path / results / "store.zarr" / CLIP / "deidentified"
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    assert files("a") == files("b") and len(files("a")) > 10


def test_time_is_the_clips_own(truth: Truth, make: Make, tmp_path: Path) -> None:
    """A variable rate, to the microsecond, by the bytes alone."""
    (tmp_path / "data").mkdir()
    stamps = [9000 + 7500 * t + 311 * (t % 3) for t in range(LENGTH)]
    footage.write(tmp_path / "data" / "P1_1.mp4", list(truth.images), pts=stamps, b_frames=0, crf="4")
    node = make()
    found = fragments.probe(node.load("mp4"))
    seconds = [float((p - found.pts[0]) * found.time_base) for p in found.pts.tolist()]
    np.testing.assert_allclose(seconds, node.load("time"), atol=1e-9)
    np.testing.assert_allclose(np.diff(seconds), np.diff(stamps) / 90_000, atol=1e-6)


def test_a_capture_rate_from_the_sheet_is_the_videos(truth: Truth, make: Make) -> None:
    node = make(sheet="video\tsubject\ttrial\tcapture_fps\nP1_1.mkv\tP1\t1\t120\n")
    found = fragments.probe(node.load("mp4"))
    assert np.diff(found.pts * float(found.time_base)) == pytest.approx(1 / 120)
    np.testing.assert_allclose(node.load("time"), np.arange(LENGTH) / 120)


def test_nothing_else_gets_into_the_file(truth: Truth, make: Make, tmp_path: Path) -> None:
    node = make(codec="h264")
    data = node.load("mp4").tobytes()
    for word in (b"P1", b"trial", b"Lavf", b"x264", str(tmp_path).encode()):
        assert word not in data
    assert "P1_1" not in str(node.attributes)
    tree: Any = gaitloom.open(tmp_path / "results" / "store.zarr" / CLIP / "deidentified")
    np.testing.assert_array_equal(tree["picture"][5].values, pictures(node)[5])


def test_h264_keeps_the_blocks(truth: Truth, make: Make) -> None:
    node = make(codec="h264")
    shown, exact = pictures(node).astype(int), pictures(make(results="exact")).astype(int)
    for t in range(LENGTH):
        apart = np.abs(shown[t] - exact[t])[covered(node, t)]
        assert apart.mean() < 6
    mse = ((shown - exact) ** 2).mean()
    assert 10 * np.log10(255**2 / mse) > 30  # the walker's sensor noise is not worth its bits


@pytest.mark.parametrize("silent", ["detector", "pose", "both", "finder and all"])
@pytest.mark.parametrize("frames", [range(6, 7), range(3, 13), range(LENGTH)], ids=["one", "ten", "all"])
def test_nothing_gets_through_and_the_ledger_says_why(truth: Truth, make: Make, silent: str, frames: range) -> None:
    truth.blind = set(frames) if silent != "pose" else set()
    truth.unposed = set(frames) if silent != "detector" else set()
    truth.unseen = set(frames) if silent == "finder and all" else set()
    node = make()
    assert bare(node, truth) == {}
    said = {reason for t in frames for reason in why(node, t)}
    if silent == "detector":
        assert said == {"pose"}
    elif silent == "pose":
        assert said == {"face"}
    elif silent == "both":
        assert said == ({"between"} if len(frames) == 1 else {"person"})
    elif len(frames) == LENGTH:
        assert said == {"frame"} and node.load("covered").all() and not node.load("valid").any()
        assert node.attributes["whole_frame_share"] == 1 and node.attributes["flagged"]
        assert (pictures(node) == mosaic.GREY).all()
    else:
        assert said <= {"between", "before_or_after", "person", "frame"}


@pytest.mark.parametrize("frames", [range(7, 8), range(5, 10)], ids=["one", "five"])
def test_a_false_pose_on_furniture_is_nobodys_end(truth: Truth, make: Make, frames: range) -> None:
    """Between two true ones, with no face to tell; the way between the true ones is covered."""
    truth.misposed, truth.blind = set(frames), set(range(LENGTH))
    node = make()
    assert bare(node, truth) == {}
    for t in frames:
        assert "pose" not in why(node, t) and {"between", "person", "frame"} & set(why(node, t))
        assert painted_at(node, t, FURNITURE)


def test_who_comes_in_over_the_border_is_covered_from_there(truth: Truth, make: Make) -> None:
    """A second person, found only when it is a third of its height inside."""
    left = 12.0 * np.arange(LENGTH) - 30
    body = np.column_stack([left, np.full(LENGTH, 30), left + 30, np.full(LENGTH, 120)])
    truth.others = {t: np.clip(body[t], 0, None).astype(np.float32) for t in range(5, LENGTH)}
    node = make()
    other = next(i for i in np.unique(node.load("region_track")) if i != 0)
    for t in range(LENGTH):
        head = np.clip(body[t] + [4, 0, -4, -72], 0, 240)
        assert head[2] <= 0 or painted_at(node, t, head)
        if t in (3, 4):
            rows = (node.load("region_frame") == t) & (node.load("region_track") == other)
            assert [WHY[w] for w in node.load("region_why")[rows]] == ["before_or_after"]


def painted_at(node: Node, t: int, box: np.ndarray) -> bool:
    """Whether the ledger covers nine tenths of a box."""
    x0, y0, x1, y1 = box.astype(int)
    return bool(covered(node, t)[y0:y1, x0:x1].mean() >= 0.9)


def test_a_detector_that_raises_fails_the_clip(truth: Truth, make: Make, tmp_path: Path) -> None:
    truth.raises = True
    with pytest.raises(GaitloomError, match="P1/trial-1/faces failed: RuntimeError: the detector broke"):
        make()
    assert not (tmp_path / "results" / "store.zarr" / CLIP / "deidentified").exists()


def test_a_turned_clip_is_covered_upright(truth: Truth, make: Make, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    turned = [np.ascontiguousarray(np.rot90(image, -1)) for image in truth.images]
    footage.write(tmp_path / "data" / "P1_1.mp4", turned, rate=10, rotation=90, b_frames=0)
    node = make()
    assert (node.attributes["width"], node.attributes["height"]) == EVEN
    shown = pictures(node).astype(int)
    for t in range(LENGTH):
        inside = covered(node, t)
        assert inside[truth.heads[t]].mean() >= 0.95
        assert np.abs(shown[t] - truth.images[t])[~inside].mean() < 6


def test_fixed_rectangles_are_always_covered(truth: Truth, make: Make) -> None:
    node = make(fixed={"*": [[200, -5, 300, 20]], "cam-9": [[0, 0, 10, 10]]})
    shown = pictures(node)
    assert (shown[:, :20, 200:] == mosaic.GREY).all()
    assert not (shown[:, :10, :10] == mosaic.GREY).all()
    assert all(why(node, t) == ["face", "fixed"] for t in range(LENGTH))
    assert not node.attributes["flagged"]


def test_text_that_stays_is_covered_unless_told_otherwise(truth: Truth, make: Make) -> None:
    truth.text = np.array([[200, 0, 240, 20]], np.float32)
    node = make()
    assert (pictures(node)[:, :20, 200:] == mosaic.GREY).all()
    assert all(why(node, t) == ["face", "text"] for t in range(LENGTH))
    assert not (pictures(make(text=False))[:, :20, 200:] == mosaic.GREY).all()


def test_a_rectangle_over_the_whole_picture_is_whole_cover(truth: Truth, make: Make) -> None:
    node = make(fixed={"*": [[-5, -5, 300, 300]]})
    assert node.load("covered").all() and not node.load("valid").any() and node.attributes["flagged"]
    assert (pictures(node) == mosaic.GREY).all()


def test_a_fixed_rectangle_outside_the_picture_is_a_fault(truth: Truth, make: Make) -> None:
    with pytest.raises(GaitloomError, match=r"has nothing at the fixed rectangle .*; correct the option fixed"):
        make(fixed={"*": [[240, 0, 300, 20]]})


def test_with_nobody_a_rectangle_alone_is_not_enough(truth: Truth, make: Make) -> None:
    truth.unseen = truth.blind = set(range(LENGTH))
    assert make(fixed={"*": [[0, 0, 9, 9]]}).load("covered").all()


@pytest.mark.parametrize("bystanders", ["head", "whole"])
def test_bystanders(truth: Truth, make: Make, bystanders: str) -> None:
    """Somebody in the background whose pose nobody follows: the upper part of the box, or all of it."""
    truth.others = dict.fromkeys(range(LENGTH), np.array([10, 20, 40, 110], np.float32))
    node = make(bystanders=bystanders)
    shown = pictures(node)
    for t in range(LENGTH):
        assert covered(node, t)[20:45, 10:40].all()
        assert covered(node, t)[60:110, 10:40].all() == (bystanders == "whole")
        assert not (shown[t] == truth.images[t]).all(axis=2)[20:45, 10:40].mean() > 0.02
        assert "person" in why(node, t) and "face" in why(node, t)
    assert bare(node, truth) == {}


def test_every_option_is_described() -> None:
    assert all(field.description for field in deidentified.Options.model_fields.values())


@pytest.mark.parametrize("clip", ["egoblur_gen2_test_face_video.mp4"], indirect=True)
def test_two_real_faces_are_gone(clip: Path, tmp_path: Path) -> None:
    """Two people at a table, with the real backends: a detector that took no part sees both in the clip, and none in
    the output."""
    weights = SHARED / "weights" / "face_detection_yunet_2023mar.onnx"
    if not weights.is_file():
        pytest.skip("YuNet's weights are not on this machine")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "P1_1.mp4").symlink_to(clip)
    names = {"track": "blazepose", "keypoints": "blazepose", "faces": "centerface", "deidentified": "mosaic"}
    values: dict[str, Any] = {
        "results": tmp_path / "results",
        "clips": {"folders": [tmp_path / "data"], "pattern": "{subject}_{trial}"},
        "nodes": {m: {"backend": b} for m, b in names.items()},
    }
    plan = Plan.load(values, scan=True)
    for node in CHAIN:
        derive(plan, plan.key(plan.clip(CLIP), node), plan.digests_of(CLIP)[node])
    node = Store(plan.config.results).open(plan.key(plan.clip(CLIP), "deidentified"))
    assert node.attributes["whole_person_or_frame_share"] == 0
    module = backends.find("faces", "yunet")
    judge = module.Backend(module.Options(weights=str(weights), min_score=0.75))
    frames = [0, 6, 13]
    before = [frame.rgb() for frame in decode(clip) if frame.index in frames]
    assert [len(found.box) for found in judge.faces(reduced(before))] == [2, 2, 2]
    assert [len(found.box) for found in judge.faces(reduced(pictures(node)[frames]))] == [0, 0, 0]


def reduced(images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Half the size, the part with the people."""
    return (np.ascontiguousarray(image[300:1400:2, 600:2100:2]) for image in images)
