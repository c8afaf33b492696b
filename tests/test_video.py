"""Decoding: every frame of every kind of file, upright and at its own time, or one sentence that says what is wrong."""

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import footage
import numpy as np
import pytest
from footage import number, picture
from gaitloom import video
from gaitloom.errors import GaitloomError
from gaitloom.modalities.video import stream_time
from walker import Walk

LENGTH = 60


def numbers(frames: Iterator[video.Frame]) -> list[int]:
    return [number(f.grey()) for f in frames]


def stamps(path: Path) -> list[int]:
    return [f.pts for f in video.decode(path)]


def refusal(path: Path, end: int | None = None) -> str:
    """What `probe` says of a file, else what decoding it does."""
    with pytest.raises(GaitloomError) as caught:
        video.probe(path)
        list(video.decode(path, 0, end))
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


# One file of each container and codec that cameras and converters write: name → (codec, other arguments).
KINDS = {
    "h264.mp4": ("libx264", {}),
    "h264.mov": ("libx264", {}),
    "h264.mkv": ("libx264", {}),
    "h264.mts": ("libx264", {"format": "mpegts"}),
    "h264.avi": ("libx264", {"b_frames": 0}),
    "h264_b.avi": ("libx264", {}),
    "mpeg4.mp4": ("mpeg4", {}),
    "mpeg4.avi": ("mpeg4", {"b_frames": 0}),
    "mpeg4_b.avi": ("mpeg4", {}),
    "mjpeg.avi": ("mjpeg", {"pix_fmt": "yuvj420p", "b_frames": 0}),
    "mpeg2.mpg": ("mpeg2video", {}),
    "vp8.webm": ("libvpx", {"b_frames": 0}),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one video of every kind, of LENGTH numbered frames, a key frame every 12."""
    folder = tmp_path_factory.mktemp("library")
    for name, (codec, more) in KINDS.items():
        footage.write(folder / name, LENGTH, codec, **more)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_comes_once_and_in_order(library: Path, kind: str):
    assert numbers(video.decode(library / kind)) == list(range(LENGTH))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("start", "end"), [(0, 60), (1, 5), (11, 20), (12, 14), (13, 40), (47, 49), (58, 60)])
def test_a_segment_is_exactly_its_frames_at_every_pass(library: Path, kind: str, start: int, end: int):
    """The first pass counts from the beginning, later ones seek; around the key frames is where they would differ."""
    first = list(video.decode(library / kind, start, end))
    assert numbers(iter(first)) == list(range(start, end))
    again = list(video.clip_frames(library / kind, [f.pts for f in first], start))
    assert numbers(iter(again)) == list(range(start, end))
    assert [f.index for f in first] == [f.index for f in again] == list(range(end - start))


@pytest.mark.parametrize("kind", ["h264.mp4", "h264.mkv", "mpeg4.avi"])
@pytest.mark.parametrize(("start", "end"), [(0, 61), (50, 70), (60, 62), (70, 80)])
def test_a_segment_beyond_the_end_is_refused(library: Path, kind: str, start: int, end: int):
    with pytest.raises(GaitloomError, match=f"has only 60 frames, but its segment ends at {end}; correct the clip"):
        list(video.decode(library / kind, start, end))


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Walk, Path]:
    walk = Walk(frames=10, size=(320, 180), noise=0)
    path = tmp_path_factory.mktemp("walk") / "walk.mp4"
    walk.write(path, crf=4)
    return walk, path


def test_pixels_are_those_that_were_filmed(walk: tuple[Walk, Path]):
    """Chroma is coded at half size, so colours are compared away from edges: by the median over the picture."""
    truth, path = walk
    for t, frame in enumerate(video.decode(path)):
        there, rgb = truth.frame(t).astype(int), frame.rgb()
        assert rgb.shape == there.shape
        assert rgb.dtype == np.uint8
        assert rgb.flags.c_contiguous
        assert np.abs(rgb - there).mean() < 2.5
        assert np.all(np.abs(np.median(rgb, (0, 1)) - np.median(there, (0, 1))) <= 2)
        luma = there @ (0.299, 0.587, 0.114)
        assert frame.grey().shape == luma.shape
        assert np.abs(frame.grey() - luma).mean() < 2


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_a_variable_frame_rate_keeps_every_time_stamp(tmp_path: Path, suffix: str):
    steps = np.random.default_rng(3).integers(10, 900, 39) * 90  # whole milliseconds, which Matroska can hold
    truth = [0, *np.cumsum(steps).tolist()]
    path = footage.write(tmp_path / f"a.{suffix}", 40, pts=truth)
    seconds, rate = stream_time(stamps(path), video.probe(path).time_base)
    np.testing.assert_allclose(seconds, np.array(truth) / 90_000, rtol=0, atol=1e-12)
    assert rate == Fraction(39 * 90_000, truth[-1])
    assert numbers(video.decode(path)) == list(range(40))


def quadrants(size: tuple[int, int] = (96, 64)) -> np.ndarray:
    """Red and green above blue and white."""
    width, height = size
    image = np.full((height, width, 3), 255, np.uint8)
    image[: height // 2, : width // 2] = (255, 0, 0)
    image[: height // 2, width // 2 :] = (0, 255, 0)
    image[height // 2 :, : width // 2] = (0, 0, 255)
    return image


@pytest.mark.parametrize("turn", [0, 90, 180, 270, -90])
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_a_rotated_video_comes_out_upright(tmp_path: Path, turn: int, suffix: str):
    """The camera lay on its side: what it wrote is the upright picture, turned back."""
    upright = quadrants()
    path = footage.write(tmp_path / f"a.{suffix}", [np.rot90(upright, -turn // 90)] * 3, rotation=turn)
    header = video.probe(path)
    assert (header.width, header.height) == ((96, 64) if turn % 180 == 0 else (64, 96))  # as coded
    for frame in video.decode(path):
        assert (frame.width, frame.height, frame.rotation) == (96, 64, turn % 360)
        assert frame.rgb().shape == (64, 96, 3)
        assert frame.rgb().flags.c_contiguous
        for row in (16, 48):
            for column in (24, 72):
                assert np.abs(frame.rgb()[row, column].astype(int) - upright[row, column]).max() < 12
                luma = upright[row, column] @ (0.299, 0.587, 0.114)
                assert abs(frame.grey()[row, column] - luma) < 12


@pytest.mark.parametrize("name", [*sorted(video.PARTED), "yuv420p10le", "yuv411p", "nv12", "rgb24"])
def test_a_part_of_a_picture_is_that_part_of_the_whole(name: str):
    """Grey of a box, to the bit, also where FFmpeg makes it from colour (BT.709), for even and odd sizes."""
    rng = np.random.default_rng(4)
    for size in ((134, 90), (133, 89)):
        for colour, full in ((1, 1), (5, 1), (2, 2), (9, 2)):
            frame = av.VideoFrame(*size, name)
            frame.colorspace, frame.color_range = colour, full
            for plane in frame.planes:
                plane.update(rng.integers(0, 256, plane.buffer_size, dtype=np.uint8).tobytes())
            convert = video.Converter()
            whole = video.Frame(0, frame, convert).grey()
            for x0, y0, x1, y1 in ((0, 0, *size), (1, 3, 40, 50), (37, 20, 60, 21), (100, 70, *size)):
                part = video.Frame(0, frame, convert).grey((x0, y0, x1, y1))
                assert part.flags.c_contiguous
                np.testing.assert_array_equal(part, whole[y0:y1, x0:x1])
                if x0:
                    assert not np.array_equal(part, whole[y0:y1, x0 - 1 : x1 - 1])


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_part_of_a_turned_picture_is_upright(tmp_path: Path, turn: int):
    path = footage.write(tmp_path / "a.mp4", [quadrants()] * 3, rotation=turn)
    for frame in video.decode(path):
        np.testing.assert_array_equal(frame.grey((5, 11, 50, 60)), frame.grey()[11:60, 5:50])


def test_a_crooked_rotation_is_refused(tmp_path: Path):
    assert "45" in refusal(footage.write(tmp_path / "a.mp4", 3, rotation=45))


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mp4", "libx264", "yuv444p"),
        ("a.mkv", "ffv1", "bgr0"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.avi", "mjpeg", "yuvj444p"),
    ],
)
def test_odd_sizes(tmp_path: Path, name: str, codec: str, pix_fmt: str):
    path = footage.write(tmp_path / name, [picture(i, (321, 181)) for i in range(5)], codec, pix_fmt, b_frames=0)
    frames = list(video.decode(path))
    assert numbers(iter(frames)) == list(range(5))
    for frame in frames:
        assert (frame.width, frame.height) == (321, 181)
        assert (frame.rgb().shape, frame.grey().shape) == ((181, 321, 3), (181, 321))
        assert np.abs(frame.rgb()[:, ::20].astype(int) - picture(frame.index, (321, 181))[:, ::20]).mean() < 12


def snow(path: Path, **mux: str) -> Path:
    """A video of 30 frames of noise: nearly all of its bytes are pictures."""
    images = np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), np.uint8)
    codec = {".webm": "libvpx", ".avi": "mpeg4", ".mpg": "mpeg2video"}.get(path.suffix, "libx264")
    return footage.write(path, list(images), codec, b_frames=0, **mux)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("name", ["end.mp4", "front.mp4", "a.mkv", "a.webm", "a.avi"])
def test_a_video_that_was_cut_off_is_refused(tmp_path: Path, name: str, share: float):
    """The header comes at the end, in front, or with a length alone."""
    mux = {"movflags": "+faststart"} if name == "front.mp4" else {}
    whole = snow(tmp_path / f"whole{Path(name).suffix}", **mux)
    assert len(stamps(whole)) == 30
    sentence = refusal(footage.cut(whole, tmp_path / name, share))
    assert "copy" in sentence
    assert sentence.startswith(("is cut off", "is damaged", "cannot be decoded", "is not a readable video"))


@pytest.mark.parametrize(("name", "share"), [("a.mp4", 0.99), ("a.avi", 0.98)])
def test_half_a_last_frame_is_refused(tmp_path: Path, name: str, share: float):
    mux = {"movflags": "+faststart"} if name == "a.mp4" else {}
    sentence = refusal(footage.cut(snow(tmp_path / f"b{Path(name).suffix}", **mux), tmp_path / name, share))
    assert sentence.startswith("is damaged at 1.16 s; copy it again")


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_a_video_that_was_trimmed_without_encoding_is_whole(library: Path, tmp_path: Path, suffix: str):
    """Phones and lossless cutters hide the frames before the cut; the header counts them still."""
    path = footage.remux(library / "h264.mp4", tmp_path / f"a.{suffix}", shift=17 * 512)
    assert video.probe(path).frames == LENGTH
    assert numbers(video.decode(path)) == list(range(17, LENGTH))


def test_a_video_with_fewer_pictures_than_sound_is_whole(library: Path, tmp_path: Path):
    """A Matroska file's length is that of its longest stream."""
    path = tmp_path / "a.mkv"
    sound = footage.sound(tmp_path / "a.mp4")
    footage.join(library / "h264.mkv", sound, path, packets=6)
    assert len(stamps(path)) == 6


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: p.write_bytes(b""), "is empty; copy it again"),
        (lambda p: p.write_text("no video at all\n" * 20), "is not a readable video"),
        (lambda p: p.write_bytes(bytes(range(256)) * 40), "is not a readable video"),
        (footage.sound, "holds no video stream; remove it from the folder"),
        (lambda p: footage.remux(footage.write(p.with_name("b.mp4")), p, packets=0), "holds no video stream"),
    ],
    ids=["empty", "text", "bytes", "sound", "no frames"],
)
def test_what_is_no_video_says_what_it_is(tmp_path: Path, make: Callable[[Path], object], says: str):
    path = tmp_path / "a.mp4"
    make(path)
    assert refusal(path).startswith(says)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mpg"])
def test_damage_in_the_middle_is_refused(tmp_path: Path, name: str):
    data = bytearray(snow(tmp_path / name).read_bytes())
    third = len(data) // 3
    data[third : 2 * third] = np.random.default_rng(0).bytes(third)
    path = tmp_path / name
    path.write_bytes(data)
    assert "copy it again" in refusal(path)


def test_time_stamps_that_do_not_rise_are_refused_with_the_way_out(library: Path):
    """H.264 with B-frames in AVI: the container cannot hold the order of presentation."""
    path = library / "h264_b.avi"
    with pytest.raises(GaitloomError, match=r"has no rising time stamps .* give capture_fps in the clip sheet"):
        stream_time(stamps(path), video.probe(path).time_base)


def test_ntsc_rates_are_exact():
    seconds, rate = stream_time([1001 * i for i in range(301)], Fraction(1, 30_000))
    assert rate == Fraction(30_000, 1001)
    assert seconds[0] == 0
    assert seconds[300] == 10.01


def test_a_size_that_changes_is_seen(tmp_path: Path):
    path = footage.resized(tmp_path / "a.mts", [(64, 48), (96, 80)])
    assert [(f.width, f.height) for f in video.decode(path)] == [(64, 48)] * 5 + [(96, 80)] * 5


@pytest.mark.parametrize("start", [0, 20])
@pytest.mark.parametrize("kind", ["h264.mp4", "h264_b.avi"])
@pytest.mark.parametrize("change", ["one", "last", "more"])
def test_another_video_than_the_ingested_is_refused(library: Path, kind: str, start: int, change: str):
    pts = stamps(library / kind)[start:50]
    if change == "more":
        pts = [*pts, *range(pts[-1] + 1, pts[-1] + 20)]
    else:
        pts[10 if change == "one" else -1] += 1
    with pytest.raises(GaitloomError, match=r"is not the video that was ingested|has only"):
        list(video.clip_frames(library / kind, pts, start))


def workers() -> set[threading.Thread]:
    return set(threading.enumerate())


def test_ahead_passes_everything_in_order():
    assert list(video.ahead(iter(range(100)), depth=3)) == list(range(100))
    assert list(video.ahead([])) == []
    assert list(video.ahead([None, None])) == [None, None]


@pytest.mark.parametrize("error", [GaitloomError("is damaged"), ValueError("x"), KeyboardInterrupt()])
def test_ahead_raises_an_error_in_its_place(error: BaseException):
    def items() -> Iterator[int]:
        yield from range(5)
        raise error

    before, got = workers(), []
    with pytest.raises(type(error)) as caught:
        for item in video.ahead(items(), depth=2):
            got.append(item)
    assert caught.value is error
    assert got == list(range(5))
    assert workers() == before


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_ahead_leaves_nothing_behind_when_the_consumer_stops(taken: int):
    before, made = workers(), []

    def items() -> Iterator[int]:
        for i in range(10**9):
            made.append(i)
            yield i

    frames = video.ahead(items(), depth=4)
    assert list(islice(frames, taken)) == list(range(taken))
    frames.close()  # type: ignore[attr-defined]
    assert workers() == before
    assert len(made) <= taken + 4 + 2  # and it was never farther ahead than asked for


@pytest.mark.parametrize("start", [0, 20])
def test_a_clip_that_is_left_early_leaves_no_thread_and_no_open_file(library: Path, start: int):
    def opened() -> int:
        return sum(p.resolve().name == "h264.mp4" for p in Path("/proc/self/fd").iterdir())

    before = workers()
    pts = stamps(library / "h264.mp4")[start:]
    frames = video.clip_frames(library / "h264.mp4", pts, start)
    assert number(next(frames).grey()) == start
    frames.close()  # type: ignore[attr-defined]
    del frames
    assert workers() == before
    assert opened() == 0


@pytest.mark.parametrize(
    "time",
    [
        [Fraction(i * 1001, 30_000) for i in range(20)],
        [Fraction(int(t), 1000) for t in np.cumsum([0, *np.random.default_rng(1).integers(5, 300, 19)])],
    ],
    ids=["ntsc", "variable"],
)
def test_what_is_encoded_has_its_times_and_pictures_and_the_same_bytes(tmp_path: Path, time: list[Fraction]):
    pictures = [picture(i) for i in range(20)]
    for name in ("a.mp4", "b.mp4"):
        video.encode(tmp_path / name, pictures, time)
    path = tmp_path / "a.mp4"
    assert path.read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert b"Lavf" not in path.read_bytes()  # nor do they name the version that wrote them
    base = video.probe(path).time_base
    assert [p * base for p in stamps(path)] == [Fraction(round(t * 90_000), 90_000) for t in time]
    assert numbers(video.decode(path)) == list(range(20))


@pytest.mark.parametrize("count", [4, 6])
def test_encode_wants_a_time_for_every_picture(tmp_path: Path, count: int):
    with pytest.raises(ValueError, match="zip"):
        video.encode(tmp_path / "a.mp4", [picture(0)] * count, [Fraction(i, 25) for i in range(5)])
