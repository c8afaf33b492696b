"""Encoded videos: exact in time, equal in bytes, read by strangers, and never trusted."""

import hashlib
import os
import pickle
import re
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import footage
import gaitloom
import numpy as np
import pytest
import xarray as xr
import zarr
from gaitloom import fragments
from gaitloom.clips import NodeKey
from gaitloom.errors import GaitloomError
from gaitloom.fragments import CODECS, Encoded
from gaitloom.lazy_video import LazyVideo
from gaitloom.store import Store

ROOT = Path(__file__).parents[1]
BASE = Fraction(1, 15_360)
LENGTH = 21  # two whole fragments and a part of one
PTS = [5_000 + 512 * t + 37 * (t % 3) for t in range(LENGTH)]  # a variable rate that begins late
SIZE = 63, 117  # both odd
CLIP = "P001/ses-01_trial-01_cam-sagittal"


def moving(length: int = LENGTH, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(T, H, W, 3): coloured hills that move on, and each frame's number in bars at its top."""
    y, x = np.mgrid[: size[0], : size[1]]
    waves = [[np.sin(x / 13 + t / 5 + c) * np.cos(y / 9 - c) for c in range(3)] for t in range(length)]
    out = (128 + 100 * np.moveaxis(np.array(waves), 1, -1)).astype(np.uint8)
    for t in range(length):
        out[t, :24] = footage.picture(t, (size[1], 24))
    return out


FRAMES = moving()


def encoded(codec: str = "h264", frames: np.ndarray = FRAMES, pts: Any = PTS, base: Fraction = BASE) -> Encoded:
    return fragments.encode(iter(frames), pts, base, codec)


@pytest.fixture(scope="module")
def h264() -> Encoded:
    return encoded()


@pytest.fixture(scope="module", params=CODECS)
def any_codec(request: pytest.FixtureRequest) -> Encoded:
    return encoded(request.param)


def lazy(video: Encoded, **other: Any) -> LazyVideo:
    parts = {
        "mp4": video.mp4,
        "fragment_offset": video.fragment_offset,
        "fragment_frame": video.fragment_frame,
        "size": (video.attributes["height"], video.attributes["width"]),
        "fragment_crc32": video.fragment_crc32,
    }
    return LazyVideo(**{**parts, **other})


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.mean((a.astype(float) - b) ** 2), 1e-9)))


def numbers(pictures: Any) -> list[int]:
    return [footage.number(p[:24, :, 1]) for p in pictures]


class Counting:
    """An array of bytes that keeps account of what was read."""

    def __init__(self, data: np.ndarray):
        self.data, self.shape, self.reads = data, data.shape, []

    def __getitem__(self, key: slice) -> np.ndarray:
        self.reads.append((key.start, key.stop))
        return self.data[key]


def published(results: Path, video: Encoded) -> Path:
    """A store of one clip with one node; returns the node's folder."""
    store, key = Store(results), NodeKey.parse(f"{CLIP}/deidentified")
    staged = store.stage(key)
    length = int(video.fragment_frame[-1])
    staged.put("time", np.arange(length) / 30, ("time",), units="s")
    video.put(staged)
    staged.publish({"modality": "deidentified"}, {})
    store.write_index(CLIP, {}, ["deidentified"])
    store.write_root({})
    return store.path(key)


# What is written.


def test_pictures_come_back_at_their_true_size(any_codec: Encoded) -> None:
    video = lazy(any_codec)
    assert video.shape == np.asarray(video).shape == FRAMES.shape
    assert numbers(video) == list(range(LENGTH))
    if any_codec.attributes["codec"] == "ffv1":
        assert np.array_equal(video, FRAMES)
    else:
        assert psnr(np.asarray(video), FRAMES) > 30
        assert psnr(np.asarray(video)[..., ::-1], FRAMES) < 20  # that comparison sees exchanged channels
        assert psnr(np.asarray(video)[1:], FRAMES[:-1]) < 25  # and a shift by a frame


def test_fragments_are_closed_groups_and_the_header_holds_no_pictures(any_codec: Encoded) -> None:
    assert any_codec.fragment_frame.tolist() == [0, 8, 16, LENGTH]
    assert any_codec.fragment_offset[0] < 1000
    assert all(a.dtype == np.int64 for a in (any_codec.fragment_offset, any_codec.fragment_frame))


@pytest.mark.parametrize(
    ("pts", "base"),
    [
        (PTS, BASE),
        (range(LENGTH), Fraction(1001, 30_000)),
        (range(90_000, 90_000 + LENGTH), Fraction(1, 25)),
        ([t * t + 1 for t in range(LENGTH)], Fraction(1, 1000)),
        ([7 + t * 3_000_000 for t in range(LENGTH)], Fraction(1, 90_000_000)),
        (range(-600, 1500, 100), Fraction(1, 2500)),
        ([(1 << 40) + t for t in range(LENGTH)], Fraction(1, 500)),
    ],
)
def test_time_stamps_are_exact(pts: Any, base: Fraction) -> None:
    video = encoded(pts=list(pts), base=base)
    found = fragments.probe(video.mp4)
    assert [p * found.time_base for p in found.pts.tolist()] == [p * base for p in pts]
    assert found.time_base == Fraction(video.attributes["time_base"])


def test_every_codec_keeps_time_and_size(any_codec: Encoded) -> None:
    found = fragments.probe(any_codec.mp4)
    assert found.frames == LENGTH and found.pts.tolist() == PTS and found.time_base == BASE
    assert found.size == (64, 118)
    for ours, theirs in zip(lazy(any_codec), fragments.decode(any_codec.mp4, SIZE), strict=True):
        assert np.array_equal(ours, theirs)


def test_one_frame_is_a_video() -> None:
    video = encoded(frames=FRAMES[:1], pts=[3])
    assert lazy(video).shape == (1, *SIZE, 3) and fragments.probe(video.mp4).pts.tolist() == [3]


@pytest.mark.parametrize("pts", [[], [1, 1], [2, 1]])
def test_time_stamps_that_do_not_rise_are_refused(pts: list[int]) -> None:
    with pytest.raises(GaitloomError, match="time stamps"):
        encoded(frames=FRAMES[: len(pts)], pts=pts)


def test_a_gap_that_no_mp4_can_say_is_refused() -> None:
    with pytest.raises(GaitloomError, match="gap in time"):
        encoded(frames=FRAMES[:3], pts=[0, 1, 1 << 33])


def test_wrong_calls_are_refused() -> None:
    for frames in (FRAMES[:-1], FRAMES[..., :2], FRAMES.astype(float), [*FRAMES[:-1], FRAMES[0, 1:]]):
        with pytest.raises(ValueError):
            encoded(frames=frames)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lossless"):
        fragments.encode(FRAMES, PTS, BASE, "ffv1", crf=3)


def test_a_size_that_an_encoder_refuses_is_said() -> None:
    with pytest.raises(GaitloomError, match="cannot be encoded as h264"):
        encoded(frames=np.zeros((LENGTH, 2, 20_000, 3), np.uint8))


def test_crf_decides_quality() -> None:
    fine, coarse = (fragments.encode(FRAMES, PTS, BASE, crf=crf) for crf in (10, 35))
    assert len(fine.mp4) > 2 * len(coarse.mp4)


def test_frames_are_encoded_as_they_come_and_errors_pass() -> None:
    def failing() -> Any:
        yield from FRAMES[:10]
        raise GaitloomError("is gone")

    with pytest.raises(GaitloomError, match="is gone"):
        fragments.encode(failing(), PTS, BASE)


@pytest.mark.parametrize("codec", CODECS)
def test_no_frame_is_kept(codec: str) -> None:
    seen: list[weakref.ref] = []

    def fresh() -> Any:
        for frame in FRAMES:
            copy = frame.copy()
            seen.append(weakref.ref(copy))
            assert sum(r() is not None for r in seen) <= 3
            yield copy

    fragments.encode(fresh(), PTS, BASE, codec)


def test_nothing_but_pictures_gets_in(any_codec: Encoded) -> None:
    data = any_codec.mp4.tobytes()
    for name in (b"Lavf", b"Lavc", b"x264", b"SVT", b"encoder", str(ROOT).encode()):
        assert name not in data
    assert b"\0\0\0\x08ilst" in data  # the list of tags, empty
    # Times of making are zero: in mvhd, tkhd and mdhd, behind version and flags.
    for box in (b"mvhd", b"tkhd", b"mdhd"):
        at = data.index(box) + 8
        assert data[at : at + 8] == bytes(8)


def test_the_search_for_names_finds_them(tmp_path: Path) -> None:
    data = footage.write(tmp_path / "plain.mp4").read_bytes()
    assert b"Lavf" in data and b"x264" in data


@pytest.mark.parametrize("codec", CODECS)
def test_equal_frames_give_equal_bytes_under_load_and_from_threads(codec: str) -> None:
    expected = encoded(codec).mp4.tobytes()
    done = threading.Event()

    def burn() -> None:
        while not done.is_set():
            np.sort(np.random.default_rng(0).random(20_000))

    with ThreadPoolExecutor(4) as pool:
        pool.submit(burn)
        try:
            assert [r.mp4.tobytes() for r in pool.map(encoded, [codec] * 4)] == [expected] * 4
        finally:
            done.set()
    assert encoded(codec, FRAMES[::-1]).mp4.tobytes() != expected


def written_elsewhere(codec: str, fill: str, video: Path | None = None) -> str:
    """SHA-256 of our frames, or a clip's first four, from a process in which glibc fills what it allocates."""
    code = """
import hashlib, itertools, pathlib, sys
sys.path.insert(0, sys.argv[1])
from gaitloom import fragments, video
import test_fragments as t
chosen = t.FRAMES, t.PTS
if sys.argv[3]:
    chosen = [f.rgb() for f in itertools.islice(video.decode(pathlib.Path(sys.argv[3])), 4)], range(4)
print(hashlib.sha256(fragments.encode(*chosen, t.BASE, sys.argv[2]).mp4).hexdigest())
"""
    command = [sys.executable, "-c", code, str(Path(__file__).parent), codec, str(video or "")]
    environment = {**os.environ, "MALLOC_PERTURB_": fill}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert run.stderr == ""
    return run.stdout.strip()


def test_equal_frames_give_equal_bytes_in_another_process(any_codec: Encoded) -> None:
    expected = hashlib.sha256(any_codec.mp4).hexdigest()
    assert written_elsewhere(any_codec.attributes["codec"], "170") == expected


def test_equal_frames_give_equal_bytes_whatever_was_in_memory(demo_clip: Path) -> None:
    """With x264's macroblock tree these two differ; smaller pictures do not show it."""
    assert written_elsewhere("h264", "0", demo_clip) == written_elsewhere("h264", "1", demo_clip)


def test_no_thread_keeps_real_time_priority() -> None:
    seen: set[int] = set()

    def frames() -> Any:
        for frame in FRAMES:
            yield frame
            seen.update(os.sched_getscheduler(int(t.name)) for t in Path("/proc/self/task").iterdir())

    fragments.encode(frames(), PTS, BASE, "av1")
    assert seen == {os.SCHED_OTHER}


# How it is read.


@pytest.mark.parametrize(
    "key",
    [
        3,
        -1,
        np.int64(9),
        slice(None, None, -3),
        slice(4, 4),
        [5, 20, 6, 5],
        np.arange(LENGTH) % 2 == 0,
        (Ellipsis, 1),
        (slice(2, 5), slice(10, 40), slice(None, None, 7)),
        (slice(3), 5, 6, 2),
        ([2, 9], slice(60, None), slice(None), slice(None)),
        (Ellipsis, slice(4), slice(4), slice(4), slice(2)),
    ],
)
def test_it_is_indexed_like_an_array(h264: Encoded, key: Any) -> None:
    video = lazy(h264)
    assert np.array_equal(video[key], np.asarray(video)[key])


def test_lists_index_each_axis_by_itself(h264: Encoded) -> None:
    video = lazy(h264)
    expected = np.asarray(video)[np.ix_([4, 1], [0, 62, 5])]
    assert np.array_equal(video[[4, 1], [0, 62, 5]], expected)
    assert np.array_equal(video[7, :, [3, 1]], np.asarray(video)[7][:, [3, 1]])


@pytest.mark.parametrize("key", [LENGTH, -LENGTH - 1, (0, 63), (0, 0, 0, 0, 0), None, [[1]], (Ellipsis, Ellipsis)])
def test_what_is_not_there_is_an_index_error(h264: Encoded, key: Any) -> None:
    with pytest.raises(IndexError):
        lazy(h264)[key]


def test_a_frame_costs_the_header_and_one_fragment(h264: Encoded) -> None:
    counting = Counting(h264.mp4)
    video = lazy(h264, mp4=counting)
    offsets = h264.fragment_offset.tolist()
    assert counting.reads == []
    video[9]
    assert counting.reads == [(0, offsets[0]), (offsets[1], offsets[2])]
    video[15], video[8:16]
    assert len(counting.reads) == 2
    video[:]
    assert len(counting.reads) == 5  # in order: each once
    video[[20, 0, 19, 1]]
    assert len(counting.reads) == 7  # the chosen ones too


def test_it_reads_zarr_arrays(h264: Encoded, tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", shape=h264.mp4.shape, dtype="uint8", chunks=(1000,))
    array[:] = h264.mp4
    assert np.array_equal(lazy(h264, mp4=array), lazy(h264))
    assert fragments.probe(array).pts.tolist() == PTS


def test_threads_and_pickles_share_it(h264: Encoded) -> None:
    video = lazy(h264, mp4=np.array(h264.mp4))
    expected = np.asarray(video)
    order = np.random.default_rng(0).integers(0, LENGTH, 40).tolist()
    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(p, expected[t]) for t, p in zip(order, pool.map(video.frame, order), strict=True))
    assert np.array_equal(pickle.loads(pickle.dumps(video))[5], expected[5])


def test_other_tools_play_the_bytes(h264: Encoded, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(h264.mp4.tobytes())
    capture = cv2.VideoCapture(str(path))
    pictures = []
    while (read := capture.read())[0]:
        pictures.append(read[1][: SIZE[0], : SIZE[1], ::-1])
    assert numbers(pictures) == list(range(LENGTH))
    assert psnr(np.array(pictures), FRAMES) > 30  # colours too: the matrix is understood
    with av.open(str(path)) as container:
        container.seek(PTS[13], stream=container.streams.video[0])  # to the key frame before it
        assert next(container.decode(video=0)).pts == PTS[8]


# In the store.


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published node of 110 frames; the working folder of `docs/video.md` is four levels above its clip."""
    frames = np.concatenate([FRAMES] * 6)[:110]
    video = fragments.encode(frames, range(110), Fraction(1, 30))
    return published(tmp_path_factory.mktemp("work") / "results", video)


def test_xarray_opens_it_without_our_code(node: Path) -> None:
    code = "import sys, xarray; t = xarray.open_datatree(sys.argv[1], engine='zarr'); t.load(); \
assert 'gaitloom' not in sys.modules; print(sorted(t['deidentified'].data_vars), t['deidentified/mp4'].dtype)"
    run = subprocess.run([sys.executable, "-c", code, str(node.parent)], capture_output=True, text=True, check=True)
    names = ["fragment_crc32", "fragment_frame", "fragment_offset", "mp4"]
    assert run.stdout.strip() == f"{names} uint8"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("above", "inside"), [(0, ""), (1, "deidentified"), (3, f"{CLIP}/deidentified")])
def test_gaitloom_opens_a_store_a_clip_and_a_node(node: Path, above: int, inside: str) -> None:
    opened = gaitloom.open([node, *node.parents][above])
    assert isinstance(opened, xr.DataTree if inside else xr.Dataset)
    picture = opened[f"{inside}/picture"] if inside else opened["picture"]
    assert picture.dims == ("time", "y", "x", "channel") and picture.shape == (110, *SIZE, 3)
    assert numbers(picture.isel(time=[20, 3, 11]).values) == [20, 3, 11]
    assert np.array_equal(picture.sel(time=1.0, y=slice(5)).values, picture[30, :5].values)


def test_printing_and_slicing_decode_nothing(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LazyVideo, "frame", lambda *_: pytest.fail("a frame was decoded"))
    dataset = gaitloom.open(str(node))
    assert isinstance(dataset, xr.Dataset)
    print(dataset, dataset.picture.isel(time=slice(3, 50), y=[1, 2]), dataset.nbytes)


def test_gaitloom_says_what_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(GaitloomError, match="not a store"):
        gaitloom.open(tmp_path)


def test_planning_does_not_load_xarray_or_pyav() -> None:
    code = "import sys, gaitloom, gaitloom.plan; print({'xarray', 'av', 'zarr'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_the_page_shows_how_to_read_a_frame_without_gaitloom(node: Path) -> None:
    page = (ROOT / "docs" / "video.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in block.splitlines() if line]) <= 10 and "gaitloom" not in block
    code = f"{block}\nimport sys; assert 'gaitloom' not in sys.modules; np.save(sys.argv[1], picture)"
    saved = node.parents[4] / "picture.npy"
    subprocess.run([sys.executable, "-c", code, str(saved)], cwd=node.parents[4], check=True)
    dataset = gaitloom.open(node)
    assert np.array_equal(np.load(saved), dataset["picture"][100].values)


# Damage.


@pytest.mark.parametrize(
    "change",
    [
        lambda o, e: (o + 1, e),
        lambda o, e: (o - 8, e),
        lambda o, e: (np.delete(o, 1), np.delete(e, 1)),  # two fragments taken for one
        lambda o, e: (o[1:], e[1:] - e[1]),  # the first one lost
        lambda o, e: (o, np.array([0, 7, 16, 21])),
        lambda o, e: (o, np.array([0, 9, 16, 21])),
        lambda o, e: (o, e + 1),
        lambda o, e: (o, np.array([0, 8, 16, 1 << 40])),  # more frames than bytes
        lambda o, e: (o, np.array([0, 8, 16, -(1 << 63)])),  # differences overflow
        lambda o, e: (o[::-1], e),
        lambda o, e: (o * 10, e),
        lambda o, e: (o[:1], e[:1]),
        lambda o, e: (np.zeros(0), np.zeros(0)),
        lambda o, e: (o, e[:-1]),
    ],
)
@pytest.mark.parametrize("checked", [True, False])
def test_a_wrong_index_is_said(h264: Encoded, change: Any, checked: bool) -> None:
    offsets, edges = change(h264.fragment_offset, h264.fragment_frame)
    sums = h264.fragment_crc32[: max(0, len(offsets) - 1)] if checked else None
    with pytest.raises(GaitloomError, match=r"mp4 .*make the node again\.$"):
        np.asarray(lazy(h264, fragment_offset=offsets, fragment_frame=edges, fragment_crc32=sums))


def test_exchanged_fragments_are_said(h264: Encoded) -> None:
    a, b, c = h264.fragment_offset[:3]
    data = np.concatenate([h264.mp4[:a], h264.mp4[b:c], h264.mp4[a:b], h264.mp4[c:]])
    offsets = np.array([a, a + c - b, *h264.fragment_offset[2:]])
    with pytest.raises(GaitloomError, match="fragment 0"):
        lazy(h264, mp4=data, fragment_offset=offsets, fragment_crc32=None).frame(0)


def test_a_wrong_size_is_said(h264: Encoded) -> None:
    with pytest.raises(GaitloomError, match="118x64"):
        lazy(h264, size=(61, 117)).frame(0)
    with pytest.raises(GaitloomError, match="118x64"):
        list(fragments.decode(h264.mp4, (63, 119)))


def test_a_wrong_size_is_said_before_memory_is_taken_for_it(h264: Encoded) -> None:
    with pytest.raises(GaitloomError, match="118x64"):
        lazy(h264, size=(30_000, 30_000))[:]


def test_colours_that_nothing_converts_are_said() -> None:
    """Every bit of what H.264 says of the whole stream: one of them makes a matrix of colours that nobody defined."""
    video = encoded(frames=FRAMES[:2], pts=PTS[:2])
    start = video.mp4.tobytes().index(b"avcC") + 4
    said = []
    for bit in range(8 * start, 8 * (start + 50)):
        data = np.array(video.mp4)
        data[bit // 8] ^= 1 << bit % 8
        try:
            assert len(list(fragments.decode(data, SIZE))) <= 2
        except GaitloomError as error:
            said.append(str(error))
    assert any("not supported" in sentence for sentence in said)


def test_one_flipped_bit_is_said_before_any_decoder_sees_it(any_codec: Encoded, monkeypatch: Any) -> None:
    data = np.array(any_codec.mp4)
    data[any_codec.fragment_offset[1] + 900] ^= 1
    video = lazy(any_codec, mp4=data, name="P001/x/mp4")
    assert video.frame(2).shape == (*SIZE, 3)
    monkeypatch.setattr(fragments, "_open", lambda *_: pytest.fail("the decoder was called"))
    with pytest.raises(GaitloomError, match=r"^P001/x/mp4 is damaged .* at fragment 1; make the node again\.$"):
        video.frame(9)


@pytest.mark.parametrize("share", [0, 0.001, 0.02, 0.5, 0.9])
def test_a_stream_that_was_cut_off_is_said(any_codec: Encoded, share: float) -> None:
    data = any_codec.mp4[: int(len(any_codec.mp4) * share)]
    with pytest.raises(GaitloomError):
        lazy(any_codec, mp4=data)
    try:
        assert fragments.probe(data).frames < LENGTH
    except GaitloomError as error:
        assert "\n" not in str(error)


FUZZ = """
import pickle, resource, sys
import numpy as np
from gaitloom.errors import GaitloomError
from gaitloom import fragments
from gaitloom.lazy_video import LazyVideo

resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
offset, frame, size, mp4 = pickle.load(open(sys.argv[1], "rb"))
rng = np.random.default_rng(0)
outcome = {"said": 0, "decoded": 0}

def attempt(work):
    try:
        work()
        outcome["decoded"] += 1
    except GaitloomError as error:
        assert str(error) and chr(10) not in str(error), error
        outcome["said"] += 1

for variant in range(VARIANTS):
    data = mp4.copy()
    start, end = ((0, offset[0]), (offset[0], offset[1]), (0, len(data)))[variant % 3]
    for _ in range(rng.integers(1, 30)):
        at = rng.integers(start, end)
        data[at : at + rng.integers(1, 5)] = rng.integers(0, 256)
    if variant % 7 == 0:
        data = data[: rng.integers(offset[0], len(data))]
    attempt(lambda: LazyVideo(data, offset, frame, size).frame(int(rng.integers(0, frame[-1]))))
    attempt(lambda: fragments.probe(data))
print(outcome["said"], outcome["decoded"])
"""


def test_fuzzed_streams_never_crash_the_process(any_codec: Encoded, tmp_path: Path) -> None:
    """Without checksums, so that the decoders get everything."""
    parts = any_codec.fragment_offset, any_codec.fragment_frame, SIZE, np.array(any_codec.mp4)
    (tmp_path / "parts").write_bytes(pickle.dumps(parts))
    code = FUZZ.replace("VARIANTS", "150")
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "parts")], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    said, decoded = map(int, run.stdout.split())
    assert said + decoded == 300 and said > 100
