"""Loaders: Health&Gait's frames exactly, the same samples whoever asks, and nothing read that is not used."""

import json
import math
import shutil
import sys
import types
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import loaders_store
import numpy as np
import pytest
import zarr
from gaitloom.clips import NodeKey
from gaitloom.errors import GaitloomError
from gaitloom.lazy_video import LazyVideo
from gaitloom.loaders import HEALTH_GAIT, Options, Patches, Prompts, Samples, shards, tf_data
from gaitloom.loaders.frames import BLOCK, choose, slices
from gaitloom.loaders.grid import Fit
from gaitloom.part_labels import COLOURS
from gaitloom.store import Store
from pydantic import ValidationError

ALL = ("silhouette", "parts", "flow_dis", "keypoints", "deidentified")
SMALL = {"frames": 8, "size": (32, 32)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people, two clips each; one of them has every modality, one misses frames, one is short."""
    made, rows = Store(tmp_path_factory.mktemp("loaders")), []
    gaps = np.ones(100, bool)
    gaps[[0, 1, 2, 30, 31, 55, 99]] = False
    for number, subject in enumerate("ABCDEF"):
        extra = {"A": {"nodes": ALL, "length": 100}, "B": {"length": 100, "valid": gaps}, "C": {"length": 9}}
        for trial in (1, 2):
            columns = {"speed": ("NW", "FW")[trial - 1], "weight": 50.5 + number, "group": "qp"[number % 2]}
            rows.append(
                loaders_store.put_clip(made, subject, f"trial-{trial}", **{**extra.get(subject, {}), **columns})
            )
    return loaders_store.finish(made, rows)


def health_gait_rule(files: int, n: int = 40) -> list[int]:
    """FORMATS.md, section 3, in whole numbers: 15 % of the files skipped at either end (rounded down), then every k-th,
    k the even stride (rounded down), from the first."""
    skipped = files * 15 // 100
    k = (files - 2 * skipped) // n
    return [skipped + i * k for i in range(n)]


def test_frames_are_health_gaits_for_every_length() -> None:
    options = Options(**HEALTH_GAIT)
    for length in range(1, 1500):
        found = choose(np.arange(length), options)
        assert found is not None and found.tolist() == health_gait_rule(length), length
    assert health_gait_rule(112) == [16 + 2 * i for i in range(40)]  # by hand: 112 files, 16 skipped, 80 left


def test_its_frames_are_those_that_show_the_person(store: Path) -> None:
    """Its folders hold the detected frames alone: the rule counts files, which are our valid frames."""
    samples = Samples(store, Options(**HEALTH_GAIT))
    files = [t for t in range(100) if t not in (0, 1, 2, 30, 31, 55, 99)]
    sample = samples[samples.paths.index("B/trial-1")]
    assert sample["frame"].tolist() == [files[i] for i in health_gait_rule(93)]


def single(value: Fraction) -> Fraction:
    """The nearest number of single precision (24 bits), ties to even."""
    if value == 0:
        return value
    unit = Fraction(2) ** (math.floor(math.log2(value)) - 23)
    return round(value / unit) * unit


@pytest.mark.parametrize("frame", [(540, 960), (1080, 1920), (480, 640), (333, 217), (100, 100), (719, 1281)])
def test_resizing_pads_as_tensorflow_does(frame: tuple[int, int]) -> None:
    """resize_with_pad's documented arithmetic, in exact single precision: 540x960 lies one row above the middle."""
    ratio = max(single(Fraction(n, 224)) for n in frame)
    scaled = [single(n / ratio) for n in frame]
    corner = [max(0, math.floor(single(224 - s) / 2)) for s in scaled]
    inner = [math.floor(s) for s in scaled]
    fit = Fit.of(frame, (224, 224))
    assert fit.inner == tuple(inner) and fit.corner == tuple(corner)
    if frame == (540, 960):
        assert fit.inner == (126, 224) and fit.corner == (48, 0)
    images = np.random.default_rng(0).integers(0, 256, (2, *frame, 3), np.uint8)
    truth = np.zeros((2, 224, 224, 3), np.float32)
    for image, target in zip(images, truth, strict=True):  # OpenCV's bilinear is the same, in floating point
        placed = cv2.resize(image.astype(np.float32), inner[::-1], interpolation=cv2.INTER_LINEAR)
        target[corner[0] : corner[0] + inner[0], corner[1] : corner[1] + inner[1]] = placed
    np.testing.assert_allclose(fit.pictures(images), truth, atol=0.02)  # of 255


def test_a_sample_is_what_health_gaits_generator_reads(store: Path, tmp_path: Path) -> None:
    """The clip's masks as loose PNG files, read by its recipe, give the same array."""
    mask = loaders_store.masks(100)
    for t, one in enumerate(mask):
        cv2.imwrite(str(tmp_path / f"{t:03}.png"), one.astype(np.uint8) * 255)
    files = sorted(tmp_path.glob("*.png"))
    truth = []
    for i in health_gait_rule(len(files)):
        image = cv2.imread(str(files[i])).astype(np.float32) * np.float32(1 / 255)
        inner = cv2.resize(image, (224, 134), interpolation=cv2.INTER_LINEAR)  # 48x80 at 2.8
        truth.append(cv2.copyMakeBorder(inner, 44, 46, 0, 0, cv2.BORDER_CONSTANT))  # (224 - 134.4) / 2, rounded down
    sample = Samples(store, Options(**HEALTH_GAIT))[0]
    assert sample["video"].dtype == np.float32
    np.testing.assert_allclose(sample["video"], np.stack(truth)[..., ::-1], atol=1e-4)


def test_slices_are_the_frames_they_stand_for() -> None:
    random = np.random.default_rng(1)
    for _ in range(300):
        frames = np.sort(random.choice(200, random.integers(1, 60), replace=False))
        parts = list(slices(frames))
        assert np.concatenate([np.arange(200)[part] for part in parts]).tolist() == frames.tolist()
        assert all(len(range(200)[part]) <= BLOCK for part in parts)
    assert len(list(slices(18 + 2 * np.arange(40)))) == 5


@pytest.mark.parametrize("stride", ["even", 1, 3])
@pytest.mark.parametrize("start", ["first", "random"])
def test_frames_stay_inside_and_keep_their_stride(stride: Any, start: Any) -> None:
    options = Options(frames=8, skip=0.1, stride=stride, start=start, short="leave_out")
    usable = np.arange(100, 160)
    firsts = set()
    for seed in range(200):
        frames = choose(usable, options, np.random.default_rng(seed))
        assert frames is not None and frames[0] >= 106 and frames[-1] < 154
        assert set(np.diff(frames)) == {6 if stride == "even" else stride}
        firsts.add(int(frames[0]))
    last = 153 - 7 * (6 if stride == "even" else int(stride))
    assert firsts == (set(range(106, last + 1)) if start == "random" else {106})


def test_short_clips_do_what_was_asked(store: Path) -> None:
    def usable(n: int, **options: Any) -> Any:
        found = choose(np.arange(n), Options(frames=8, skip=0, **options))
        return None if found is None else found.tolist()

    assert usable(4, short="spread") == [0, 0, 1, 1, 2, 2, 3, 3]
    assert usable(4, short="first") == [0] * 8
    assert usable(4, short="leave_out") is None
    assert usable(20, stride=3, short="leave_out") is None  # 22 are needed
    assert usable(22, stride=3, short="leave_out") == list(range(0, 22, 3))
    assert usable(0) is None
    samples = Samples(store, Options(frames=16, size=(32, 32), short="leave_out"))
    assert set(samples.left_out) == {"C/trial-1", "C/trial-2"} and "9 of its frames" in samples.left_out["C/trial-1"]
    assert "C/trial-1" in Samples(store, Options(frames=16, size=(32, 32))).paths


def test_modalities_stack_on_one_grid(store: Path) -> None:
    """Every modality at a known place, against what the store was made from."""
    names = ("silhouette", "silhouette:rgb", "parts", "parts:rgb", "flow_dis", "deidentified", "keypoints")
    options = Options(inputs=names, frames=8, size=None, where={"speed": "NW"})
    samples = Samples(store, options)
    assert samples.paths == ["A/trial-1"] and len(samples.left_out) == 5
    sample = samples[0]
    video, at = sample["video"], sample["frame"]
    assert video.shape == (8, 48, 80, 1 + 3 + 1 + 3 + 2 + 3)
    mask = loaders_store.masks(100)[at]
    label = mask * (1 + np.arange(80) % 14)
    np.testing.assert_array_equal(video[..., 0], mask)
    np.testing.assert_array_equal(video[..., 1:4], np.repeat(mask[..., None], 3, axis=3))
    np.testing.assert_array_equal(video[..., 4], label)
    np.testing.assert_allclose(video[..., 5:8], COLOURS[label] / 255, atol=1e-6)
    x0, y0, x1, y1 = loaders_store.FLOW_REGION
    moved = np.zeros((8, 48, 80, 2))
    moved[:, y0:y1, x0:x1] = np.stack([np.full(8, 2.0), at / 32], axis=1)[:, None, None]  # full-frame pixels
    np.testing.assert_allclose(video[..., 8:10], moved, atol=1e-6)
    np.testing.assert_allclose(video[..., 10:13], loaders_store.pictures(100)[at] / 255, atol=1e-6)
    np.testing.assert_allclose(sample["points"][..., :2], loaders_store.points(100)[at], atol=1e-4)
    assert (sample["points"][..., 2] == np.float32(0.9)).all()
    assert at.max() < 99, "flow has none in the last frame, so no input has"


def test_points_and_pictures_are_resized_alike(store: Path) -> None:
    """A point on the edge of the bar stays on it."""
    fit = Fit.of((48, 80), (120, 60))
    image = np.zeros((1, 48, 80, 1), np.float32)
    image[0, 20, 30] = 1
    found = fit.pictures(np.repeat(np.repeat(image, 1, 1), 1, 2))
    y, x = np.unravel_index(found[0, ..., 0].argmax(), found.shape[1:3])
    assert np.abs(fit.points(np.array([30.0, 20.0])) - [x, y]).max() <= 0.5


def test_uint8_is_the_same_rounded(store: Path) -> None:
    names = ("silhouette", "deidentified")
    exact = Samples(store, Options(inputs=names, **SMALL))[0]["video"]
    small = Samples(store, Options(inputs=names, dtype="uint8", **SMALL))[0]["video"]
    assert small.dtype == np.uint8
    np.testing.assert_array_equal(small, np.rint(exact * np.float32(255)))


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """Everything zarr reads of masks, every chunk that is decoded without it, every frame of a video asked for."""
    seen: dict[str, list[Any]] = {"zarr": [], "chunks": [], "frames": []}
    get, frame, decompress = zarr.storage.LocalStore.get, LazyVideo.frame, shards.decompress

    async def counted(self: Any, key: str, prototype: Any, byte_range: Any = None) -> Any:
        if "mask/c/" in key:
            seen["zarr"].append((key, byte_range))
        return await get(self, key, prototype, byte_range)

    def decoded(data: bytes, out: np.ndarray) -> Any:
        seen["chunks"].append(data)
        return decompress(data, out)

    def asked(self: LazyVideo, index: int) -> np.ndarray:
        seen["frames"].append(index)
        return frame(self, index)

    monkeypatch.setattr(zarr.storage.LocalStore, "get", counted)
    monkeypatch.setattr(shards, "decompress", decoded)
    monkeypatch.setattr(LazyVideo, "frame", asked)
    return seen


def test_nothing_is_decoded_that_is_not_used(store: Path, looked_at: dict[str, list[Any]]) -> None:
    samples = Samples(store, Options(inputs=("silhouette", "deidentified"), frames=10, size=(32, 32)))
    assert not any(looked_at.values()), "making a list of clips reads no picture"
    frames = samples[0]["frame"].tolist()
    assert frames == [15 + 7 * i for i in range(10)]
    assert len(looked_at["chunks"]) == len(set(looked_at["chunks"])) == 10 and not looked_at["zarr"]
    assert looked_at["frames"] == frames


def test_repeated_frames_are_decoded_once(store: Path, looked_at: dict[str, list[Any]]) -> None:
    samples = Samples(store, Options(frames=16, size=(32, 32), where={"speed": "NW"}))
    sample = samples[samples.paths.index("C/trial-1")]
    frames = sample["frame"]
    assert len(frames) == 16 and len(looked_at["chunks"]) == len(set(frames.tolist())) == 7
    whole = Fit.of((48, 80), (32, 32)).pictures(loaders_store.masks(9)[..., None])
    np.testing.assert_array_equal(sample["video"], whole[frames])


def test_zarr_reads_what_is_laid_out_otherwise(
    store: Path, looked_at: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a zip, or by other codecs: the same sample, of each shard its index and the chunks of these frames."""
    options = Options(frames=10, size=None)
    ours = Samples(store, options)[0]
    monkeypatch.setattr(shards, "_is_ours", lambda _: False)
    looked_at["chunks"].clear()
    theirs = Samples(store, options)[0]
    np.testing.assert_array_equal(ours["video"], theirs["video"])
    assert not looked_at["chunks"] and None not in [how for _, how in looked_at["zarr"]], "a whole shard was read"
    chunks = [r for r in looked_at["zarr"] if type(r[1]).__name__ == "RangeByteRequest"]
    assert len(chunks) == len(set(chunks)) == 10


def test_arrays_of_any_type_and_length_read_as_zarr_reads_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number, (dtype, length) in enumerate([(bool, 1), (np.uint8, 64), (np.int16, 65), (bool, 200)]):
        values = random.integers(0, 2 if dtype is bool else 100, (length, 5, 7, 2)).astype(dtype)
        values[length // 3] = values[-1] = 0  # chunks that are not written
        values[64:128] = 0  # nor this shard
        staged = Store(tmp_path / str(number)).stage(NodeKey("A", "clip", "node"))
        stream = staged.stream("values", values.shape, values.dtype, ("time", "y", "x", "axis"))
        for value in values:
            stream.append(value)
        staged.publish({}, {})
        array = zarr.open_array(tmp_path / str(number) / "store.zarr/A/clip/node/values", mode="r")
        assert shards._is_ours(array)
        frames = np.unique(random.integers(0, length, 50))
        found = np.concatenate([block.copy() for block in shards.read(array, frames)])
        np.testing.assert_array_equal(found, values[frames])


def test_frames_that_are_not_used_may_be_damaged(store: Path, tmp_path: Path) -> None:
    """The same without a counter: chunks in between are overwritten, and the sample is what it was."""
    copied = shutil.copytree(store, tmp_path / "store.zarr")
    options = Options(frames=10, size=None)
    truth = Samples(store, options)[0]
    unused = [t for t in range(100) if t not in truth["frame"]]
    files = {n: copied / f"A/trial-1/silhouette/mask/c/{n}/0/0" for n in (0, 1)}
    data = {n: bytearray(file.read_bytes()) for n, file in files.items()}
    for t in unused:  # the index at a shard's end: offset and length of each chunk (zarr v3, sharding)
        index = np.frombuffer(bytes(data[t // 64][-(64 * 16 + 4) : -4]), "<u8").reshape(64, 2)
        offset, length = (int(v) for v in index[t % 64])
        data[t // 64][offset : offset + length] = b"\xff" * length
    for n, file in files.items():
        file.write_bytes(data[n])
    np.testing.assert_array_equal(Samples(copied, options)[0]["video"], truth["video"])
    with pytest.raises(GaitloomError, match="A/trial-1/silhouette/mask is damaged \\(chunk"):
        Samples(copied, Options(frames=100, skip=0, size=None))[0]
    data[0][-2] ^= 1
    files[0].write_bytes(data[0])
    with pytest.raises(GaitloomError, match="its index"):
        Samples(copied, options)[0]


def test_order_depends_on_seed_and_epoch_alone(store: Path) -> None:
    samples = Samples(store, Options(start="random", frames=4, size=(16, 16), seed=3))
    again = Samples(store, Options(start="random", frames=4, size=(16, 16), seed=3))
    other = Samples(store, Options(start="random", frames=4, size=(16, 16), seed=4))
    assert samples.keys(5) == again.keys(5) and samples.keys(5) != samples.keys(6) and samples.keys(5) != other.keys(5)
    assert sorted(samples.keys(5)) == [(5, i) for i in range(12)] == samples.keys(5, shuffle=False)
    same = [samples[5, 0]["frame"].tolist(), again[5, 0]["frame"].tolist()]
    assert same[0] == same[1] and len({tuple(samples[e, 0]["frame"].tolist()) for e in range(20)}) > 5
    batches = list(samples.batches(5, epoch=2))
    assert [len(b["index"]) for b in batches] == [5, 5, 2]
    assert [b["index"].tolist() for b in batches] == [
        [i for _, i in samples.keys(2)][a : a + 5] for a in range(0, 12, 5)
    ]
    assert [len(b["index"]) for b in samples.batches(5, drop_last=True)] == [5, 5]


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 7])
def test_shards_share_out_every_sample(store: Path, shards: int) -> None:
    samples = Samples(store, Options(**SMALL))
    for how, total in (("keep", 12), ("drop", 12 // shards * shards), ("repeat", -(-12 // shards) * shards)):
        parts = [samples.keys(1, True, shard, shards, how) for shard in range(shards)]  # type: ignore[arg-type]
        assert sum(map(len, parts)) == total
        together = {key for part in parts for key in part}
        assert len(together) == (12 if how != "drop" else total)
        if how != "keep":
            assert len({len(part) for part in parts}) == 1
    with pytest.raises(GaitloomError, match="count them from 0"):
        samples.keys(shard=2, shards=2)


def test_splits_of_both_forms_choose_whole_people(store: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
    ours.write_text(json.dumps({"train": ["A", "B", "Z"], "validation": ["C"], "test": ["D", "E", "F"]}))
    theirs.write_text(json.dumps({"TRAIN_SET": ["A", "B"], "TEST_SET": ["D"]}))
    parts = {p: Samples(store, Options(split=ours, part=p, **SMALL)).paths for p in ("train", "validation", "test")}
    assert {p: sorted({x[0] for x in paths}) for p, paths in parts.items()} == {
        "train": ["A", "B"],
        "validation": ["C"],
        "test": ["D", "E", "F"],
    }
    assert Samples(store, Options(split=theirs, part="TEST_SET", **SMALL)).paths == ["D/trial-1", "D/trial-2"]
    ours.write_text(json.dumps({"train": ["A", "B"], "test": ["B", "C"]}))
    with pytest.raises(GaitloomError, match="leaks"):
        Samples(store, Options(split=ours, part="train", **SMALL))
    for split, part, what in (({"a": ["A"]}, "b", "no part 'b'"), ({"a": ["nobody"]}, "a", "another's split")):
        with pytest.raises(GaitloomError, match=what):
            Samples(store, Options(split=split, part=part, **SMALL))


def test_targets_come_from_the_store_or_a_table(store: Path, tmp_path: Path) -> None:
    weights = Samples(store, Options(target="weight", **SMALL))
    assert not weights.classes and weights[0]["target"] == np.float32(50.5)
    groups = Samples(store, Options(target="group", split={"one": ["B"], "two": ["A"]}, part="one", **SMALL))
    assert groups.classes == ("p", "q") and groups[0]["target"] == 0, "numbers do not depend on the part"
    table = tmp_path / "people.csv"
    table.write_text("ID,sex\nA,F\nB,M\nC,\nD,x\n")
    sexes = Samples(store, Options(target="sex", table=table, classes=("M", "F"), **SMALL))
    assert {p[0]: int(sexes[i]["target"]) for i, p in enumerate(sexes.paths)} == {"A": 1, "B": 0}
    assert sexes.left_out["C/trial-1"] == sexes.left_out["D/trial-1"] == "it has no target"
    table.write_text("path\tfast\nA/trial-2\t1\nA/trial-1\t0\n")
    fast = Samples(store, Options(target="fast", table=table.rename(table.with_suffix(".tsv")), **SMALL))
    assert [(p, float(fast[i]["target"])) for i, p in enumerate(fast.paths)] == [("A/trial-1", 0), ("A/trial-2", 1)]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"inputs": ("video",)}, "neither pixels nor points"),
        ({"inputs": ("flow_dis:rgb",)}, "nothing else comes in two forms"),
        ({"inputs": ("flow_dis",), "dtype": "uint8"}, "float32"),
        ({"inputs": ("keypoints", "keypoints_b")}, "one keypoints node"),
        ({"stride": 0}, "from 1 on"),
        ({"skip": 0.5}, "less than 0.5"),
        ({"part": "train"}, "given together"),
        ({"prompts": {}}, "RGB pictures"),
        ({"patches": {}, "size": (100, 100)}, "must divide"),
        ({"frame": 3}, "Extra inputs"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        Options(**options)


def test_what_is_not_there_is_said(store: Path, tmp_path: Path) -> None:
    with pytest.raises(GaitloomError, match="is no store"):
        Samples(tmp_path, Options())
    with pytest.raises(GaitloomError, match="A/trial-1/parts_other is not in the store"):
        Samples(store, Options(inputs=("parts_other",)))
    with pytest.raises(GaitloomError, match="column 'nothing'"):
        Samples(store, Options(target="nothing"))
    table = tmp_path / "t.csv"
    table.write_text("name,sex\nA,F\n")
    with pytest.raises(GaitloomError, match="no column 'subject'"):
        Samples(store, Options(target="sex", table=table))
    copied = shutil.copytree(store, tmp_path / "store.zarr")
    shutil.rmtree(copied / "A/trial-1/silhouette")  # withdrawn, and still in the clip's index
    (copied / "A/trial-2/silhouette/mask/c/1/0/0").unlink()  # would read as nobody
    left_out = Samples(copied, Options(**SMALL)).left_out
    assert "run snakemake" in left_out["A/trial-1"] and "mask/c/1/0/0 is gone" in left_out["A/trial-2"]


def test_every_option_is_documented() -> None:
    text = (Path(__file__).parents[1] / "docs" / "loaders.md").read_text()
    for table in (Options, Prompts, Patches):
        assert not [name for name in table.model_fields if f"`{name}`" not in text]


class Tensors(types.ModuleType):
    """Stands for TensorFlow: holds what a generator yields against the signature, as `from_generator` does."""

    class TensorSpec:
        def __init__(self, shape: tuple[int | None, ...], dtype: str):
            self.shape, self.dtype = shape, dtype

    class data:  # noqa: N801
        class Dataset:
            @staticmethod
            def from_generator(generator: Any, output_signature: tuple[Any, ...]) -> Any:
                class Epochs:
                    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
                        for values in generator():
                            assert isinstance(values, tuple) and len(values) == len(output_signature)
                            for value, spec in zip(values, output_signature, strict=True):
                                assert np.asarray(value).dtype.name == spec.dtype
                                assert len(np.shape(value)) == len(spec.shape)
                                assert all(b in (None, a) for a, b in zip(np.shape(value), spec.shape, strict=True))
                            yield values

                return Epochs()


@pytest.mark.parametrize("size", [(32, 32), None])
def test_tf_data_yields_what_its_signature_says(store: Path, monkeypatch: pytest.MonkeyPatch, size: Any) -> None:
    """Without TensorFlow: the stand-in checks types and shapes, not that TensorFlow takes them."""
    monkeypatch.setitem(sys.modules, "tensorflow", Tensors("tensorflow"))
    samples = Samples(
        store, Options(inputs=("silhouette", "flow_dis", "keypoints"), target="group", frames=4, size=size)
    )
    data = tf_data.dataset(samples, ("video", "points", "target", "index"))
    epochs = [[int(values[3]) for values in data] for _ in range(6)]
    assert epochs == [[i for _, i in samples.keys(epoch)] for epoch in range(6)], "each call is the next epoch"
    with pytest.raises(GaitloomError, match="Samples have no 'kept'"):
        tf_data.dataset(samples, ("video", "kept"))


def test_a_sample_is_what_spec_says(store: Path) -> None:
    for options in (Options(**SMALL), Options(inputs=("keypoints", "parts"), target="weight", patches={}, **SMALL)):
        samples = Samples(store, options)
        found = {name: (value.shape, value.dtype) for name, value in samples[0].items()}
        assert found == samples.spec()
