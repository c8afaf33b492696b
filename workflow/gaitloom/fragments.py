"""Pictures as a fragmented MP4 in a byte array. Imports PyAV, as `video` does.

A fragment is one closed group of pictures: it decodes by itself behind the header, the bytes ahead of the first one. So
any frame costs the header and one fragment (`lazy_video` reads them so).
All three codecs share one container (FFV1 has a registered place in MP4), so the reader does not care which it was.
"""

import io
import os
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, cast

import av
import av.container
import av.error
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from gaitloom.errors import GaitloomError

GROUP = 8  # frames a fragment: a random frame decodes 4.5 of them on average
MUXER = {  # `frag_discont` keeps the clip's own first time stamp, where others begin at 0
    "movflags": "frag_keyframe+empty_moov+default_base_moof+frag_discont",
    "avoid_negative_ts": "disabled",
    "use_editlist": "0",
    "fflags": "+bitexact",
}
RATES = Fraction(1), Fraction(240)  # Hz that all encoders accept; it steers them only, time stamps are written apart
READ_AT_ONCE = 1 << 20
ANY_SIZE = 8192, 8192
REMEDY = "make the node again"
UNREADABLE = "cannot be decoded to its end"
SEI = "filter_units=remove_types=6"  # x264 writes its settings there (ITU-T H.264, table 7-1); no decoder needs them


@dataclass(frozen=True)
class Codec:
    """How pictures are encoded; `options` make groups closed and independent of threads."""

    encoder: str
    pixels: str
    options: dict[str, str]
    crf: int | None = None  # the default constant rate factor; None is lossless
    filters: str | None = None  # of the bit stream


CODECS = {
    "h264": Codec(
        "libx264",
        "yuv420p",
        # x264's macroblock tree reads memory that it never wrote: with it, equal frames give other bytes now and then.
        # Eight frames hold nothing that would need a lookahead.
        {"preset": "veryfast", "bf": "0", "sc_threshold": "0", "x264-params": "open-gop=0:mbtree=0:rc-lookahead=0"},
        crf=20,
        filters=SEI,
    ),
    # Low delay is what AV1 calls having no frames out of order.
    "av1": Codec("libsvtav1", "yuv420p", {"preset": "8", "svtav1-params": "lp=1:pred-struct=1"}, crf=25),
    # Packed RGB, since any YUV would round; a checksum in each slice.
    "ffv1": Codec("ffv1", "bgr0", {"level": "3", "slices": "4", "slicecrc": "1"}),
}


@dataclass(frozen=True)
class Encoded:
    """A video as arrays. Fragment f holds frames [fragment_frame[f], fragment_frame[f + 1]) in the bytes
    [fragment_offset[f], fragment_offset[f + 1]); the header is [0, fragment_offset[0])."""

    mp4: np.ndarray  # (bytes,) uint8, a map of a file that is gone when the array is
    fragment_offset: np.ndarray  # (F + 1,) int64
    fragment_frame: np.ndarray  # (F + 1,) int64
    fragment_crc32: np.ndarray  # (F,) uint32, of the header followed by the fragment
    attributes: dict[str, Any]  # `width` and `height` before padding, `codec`, `time_base`

    def put(self, staged: Any) -> None:
        """Write the arrays into a `gaitloom.store.Staged` node."""
        about = "a fragmented MP4: write the bytes to a file to play it"
        staged.put_bytes("mp4", self.mp4, ("byte",), long_name=about, **self.attributes)
        staged.put("fragment_offset", self.fragment_offset, ("fragment_edge",), units="byte")
        staged.put("fragment_frame", self.fragment_frame, ("fragment_edge",))
        staged.put("fragment_crc32", self.fragment_crc32, ("fragment",), long_name="CRC-32 of header and fragment")


def encode(
    frames: Iterable[np.ndarray],
    pts: Sequence[int],
    time_base: Fraction,
    codec: str = "h264",
    crf: int | None = None,
    group: int = GROUP,
    folder: Path | None = None,
) -> Encoded:
    """Encode (H, W, 3) uint8 RGB frames as they come, with exactly the time stamps `pts` in units of `time_base` s.

    Equal frames give equal bytes. Odd sizes are padded at the right and lower edge. Nothing else gets in: no sound, no
    tags, no encoder's name. The encoded bytes wait in an unnamed file in `folder` (the system's temporary one).

    Raises:
        GaitloomError: the time stamps do not rise, or leave a gap of 2^31 units; the encoder refuses the size.
        ValueError: frames and `pts` differ in number, or a frame in shape; `crf` was given to a lossless codec.
    """
    kind = CODECS[codec]
    stamps = [int(p) for p in pts]
    if not stamps or any(a >= b for a, b in pairwise(stamps)):
        raise GaitloomError("has no rising time stamps to encode; give capture_fps in the clip sheet")
    steps = [(b - a) * time_base.numerator for a, b in pairwise(stamps)]
    if max(time_base.denominator, *steps, 1) >= 1 << 31:
        raise GaitloomError("has a gap in time that no MP4 can hold; give capture_fps in the clip sheet")
    if crf is not None and kind.crf is None:
        raise ValueError(f"{codec} is lossless and takes no crf")
    options = {**kind.options, "threads": "1", "g": str(group), "keyint_min": str(group), "flags": "+bitexact"}
    if kind.crf is not None:
        options["crf"] = str(kind.crf if crf is None else crf)
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            size = _write(file, frames, stamps, Fraction(time_base), kind, options)
        except av.error.FFmpegError as error:
            raise GaitloomError(f"cannot be encoded as {codec} ({error.strerror}); choose another codec") from None
        offsets, edges = _index(file, stamps, Fraction(time_base))
        file.flush()
        mp4 = np.memmap(file, np.uint8, "r")
    header = zlib.crc32(read_bytes(mp4, 0, offsets[0]))
    sums = [zlib.crc32(read_bytes(mp4, a, b), header) for a, b in pairwise(offsets)]
    about = {"codec": codec, "width": size[1], "height": size[0], "time_base": str(Fraction(1, time_base.denominator))}
    return Encoded(mp4, np.array(offsets), np.array(edges), np.array(sums, np.uint32), about)


def _write(
    file: IO[bytes],
    frames: Iterable[np.ndarray],
    pts: list[int],
    time_base: Fraction,
    kind: Codec,
    options: dict[str, str],
) -> tuple[int, int]:
    """Encode into a file; returns the height and width before padding."""
    os.environ.setdefault("SVT_LOG", "1")  # errors alone: SVT-AV1 greets on stderr otherwise
    steps = [b - a for a, b in pairwise(pts)]
    steps.append(steps[-1] if steps else max(1, round(Fraction(1, 25) / time_base)))
    rate = min(max(Fraction(len(pts)) / (sum(steps) * time_base), RATES[0]), RATES[1]).limit_denominator(1001)
    lossy = kind.crf is not None
    colours: dict[str, Any] = {"dst_colorspace": Colorspace.ITU601, "dst_color_range": ColorRange.MPEG} if lossy else {}
    shape = (0, 0, 0)
    muxed = 0
    reformatter = VideoReformatter()
    timescale = {"video_track_timescale": str(time_base.denominator)}
    with av.open(file, "w", format="mp4", options={**MUXER, **timescale}) as container:
        stream = cast(av.VideoStream, container.add_stream(kind.encoder, rate=rate, options=options))
        stream.pix_fmt, stream.time_base = kind.pixels, time_base
        if lossy:  # BT.601, said and not implied: tools that look for it and tools that assume it are both right
            stream.codec_context.colorspace, stream.codec_context.color_range = Colorspace.ITU601, ColorRange.MPEG
        filters = BitStreamFilterContext(kind.filters, stream) if kind.filters else None

        def mux(packets: list[av.Packet]) -> None:
            # The encoder counts frames. Without frames out of order, the nth packet is the nth frame.
            nonlocal muxed
            for packet in packets:
                packet.time_base, packet.pts, packet.dts = time_base, pts[muxed], pts[muxed]
                packet.duration = steps[muxed]
                muxed += 1
                container.mux(filters.filter(packet) if filters else packet)

        for index, (pixels, _) in enumerate(zip(frames, pts, strict=True)):
            if index == 0:
                shape = pixels.shape
                stream.height, stream.width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
            if pixels.shape != shape or pixels.dtype != np.uint8 or shape[2:] != (3,):
                raise ValueError(f"frame {index} is {pixels.dtype} {pixels.shape}, not uint8 (H, W, 3) like the first")
            padded = np.pad(pixels, ((0, shape[0] % 2), (0, shape[1] % 2), (0, 0)), "edge")
            frame = reformatter.reformat(av.VideoFrame.from_ndarray(padded, "rgb24"), format=kind.pixels, **colours)
            frame.pts, frame.time_base = index, 1 / rate
            mux(stream.encode(frame))
            if index == 0:
                _calm()
        mux(stream.encode())
    return shape[0], shape[1]


def _calm() -> None:
    """Give up real-time priority, which SVT-AV1 takes for its threads where it may: it starves the whole machine."""
    for task in Path("/proc/self/task").glob("*"):
        with suppress(OSError):  # the thread may have ended
            if os.sched_getscheduler(int(task.name)) == os.SCHED_FIFO:
                os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))


def _index(file: IO[bytes], pts: list[int], time_base: Fraction) -> tuple[list[int], list[int]]:
    """Offsets and first frames of the fragments, with both ends; every packet's time stamp is checked against `pts`."""
    offsets, at, end = [], 0, file.seek(0, io.SEEK_END)
    while at < end:
        file.seek(at)
        size, name = struct.unpack(">I4s", file.read(8))
        if name == b"moof" or (name == b"mfra" and offsets):
            offsets.append(at)
        at += size or end
    file.seek(0)
    with _open(file) as container:
        packets = [(p.pts, p.time_base, p.is_keyframe) for p in container.demux(video=0) if p.size]
    if [(p or 0) * base for p, base, _ in packets] != [p * time_base for p in pts]:
        raise RuntimeError("the MP4 does not hold the time stamps that it was given")
    edges = [index for index, (_, _, key) in enumerate(packets) if key] + [len(pts)]
    if len(edges) != len(offsets):
        raise RuntimeError(f"{len(edges) - 1} groups of pictures in {len(offsets) - 1} fragments")
    return offsets, edges


class Fragment:
    """One group of pictures, decoded as far as it was looked at."""

    def __init__(
        self, header: bytes, body: bytes, number: int, frames: int, size: Sequence[int], crc32: int | None = None
    ):
        """The fragment `number`, counted from 0, of `frames` frames; `size` is height and width before padding.

        Raises:
            GaitloomError: these bytes are not that; where `crc32` is given, no decoder sees damaged ones.
        """
        self._size, self._damaged = size, f"is damaged or wrongly indexed at fragment {number}"
        if not _is_fragment(body, number) or crc32 not in (None, zlib.crc32(body, zlib.crc32(header))):
            raise GaitloomError(f"{self._damaged}; {REMEDY}")
        self._decoded: list[av.VideoFrame] = []
        self._reformatter = VideoReformatter()
        with _faults(self._damaged), io.BytesIO(header + body) as file:
            container = _open(file)
            stream = container.streams.video[0]
            # A packet is a picture in all three codecs (for H.264: ISO/IEC 14496-15).
            packets = list(container.demux(stream))
            if sum(packet.size > 0 for packet in packets) != frames:
                raise GaitloomError(f"does not hold {frames} frames in fragment {number}; {REMEDY}")
            decoder = _decoder(stream.codec_context, size)
        self._raws = (raw for packet in packets for raw in decoder.decode(packet))

    def frame(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB of frame `index`, counted from 0 in the fragment.

        Raises:
            GaitloomError: it cannot be decoded.
        """
        with _faults(self._damaged):
            while len(self._decoded) <= index:
                self._decoded.append(_sound(next(self._raws, None), self._size))
            return _rgb(self._decoded[index], self._size, self._reformatter)


@dataclass(frozen=True)
class Contents:
    """What a video's bytes hold, by decoding all of them without the fragment index."""

    frames: int
    size: tuple[int, int]  # height and width as coded: even
    time_base: Fraction
    pts: np.ndarray  # (T,) int64


def probe(mp4: Any) -> Contents:
    """Decode the whole of `mp4`, (bytes,) uint8, as any player would, and say what is there.

    Raises:
        GaitloomError: it cannot be decoded to its end.
    """
    pts, size, base = [], (0, 0), Fraction(1)
    for raw in _raws(mp4):
        size, base = (raw.height, raw.width), Fraction(raw.time_base or 1)
        pts.append(raw.pts)
    return Contents(len(pts), size, base, np.array(pts, np.int64))


def decode(mp4: Any, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """All frames of `mp4`, (bytes,) uint8, in order as (H, W, 3) uint8 RGB, without the fragment index.

    `size` is height and width before padding. Raises GaitloomError where the bytes cannot be decoded to their end.
    """
    reformatter = VideoReformatter()
    with _faults(UNREADABLE):  # a damaged header may name colours that nothing converts
        for raw in _raws(mp4):
            yield _rgb(_sound(raw, size), size, reformatter)


def _raws(mp4: Any) -> Iterator[av.VideoFrame]:
    with _faults(UNREADABLE), _open(_Bytes(mp4)) as container:
        stream = container.streams.video[0]
        decoder = _decoder(stream.codec_context, ANY_SIZE)
        decoder.thread_type = "AUTO"
        promised = decoded = 0
        for packet in container.demux(stream):
            promised += packet.size > 0
            for raw in decoder.decode(packet):
                decoded += 1
                yield _sound(raw)
        if not decoded or promised != decoded:
            raise GaitloomError(f"holds {promised} frames of which {decoded} can be decoded; {REMEDY}")


class _Bytes:
    """An array of bytes as a file, so that PyAV reads a stored video piece by piece."""

    def __init__(self, data: Any):
        self._data, self._at = data, 0

    def read(self, size: int = -1) -> bytes:
        end = self._data.shape[0] if size < 0 else min(self._at + size, self._data.shape[0])
        piece = read_bytes(self._data, self._at, max(self._at, end))
        self._at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, (0, self._at, self._data.shape[0])[whence] + offset)
        return self._at

    def tell(self) -> int:
        return self._at


def read_bytes(data: Any, start: int, end: int) -> bytes:
    """The bytes [start, end) of an array of them."""
    return np.asarray(data[start:end]).tobytes()


def _open(file: Any) -> av.container.InputContainer:
    # Opening decodes a key frame to look at it, half the cost of a random frame, unless told to skip it.
    looks: dict[str, Any] = {"options": {"fpsprobesize": "0"}, "stream_options": [{"skip_frame": "all"}]}
    container = av.open(file, format="mp4", buffer_size=READ_AT_ONCE, metadata_errors="ignore", **looks)
    if len(container.streams) != 1 or not container.streams.video or container.streams.video[0].codec_context is None:
        raise GaitloomError(f"does not hold exactly one video stream; {REMEDY}")
    return container


def _decoder(stated: av.VideoCodecContext, size: Sequence[int]) -> av.VideoCodecContext:
    """A decoder of its own for what a header states: a stream's would live, threads and all, until Python finds the
    cycle that it hangs in."""
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(stated.codec, "r"))
    decoder.extradata, decoder.width, decoder.height = stated.extradata, stated.width, stated.height
    decoder.thread_count = 0  # as many as there are cores
    decoder.thread_type = "SLICE"  # threads over frames would decode ahead of the frame asked for
    # A damaged header may claim any size, and memory is taken for it; codecs round sizes up.
    most = (size[0] + 128) * (size[1] + 128)
    decoder.options = {"err_detect": "+crccheck+bitstream+buffer+explode", "max_pixels": str(most)}
    return decoder


def _is_fragment(data: bytes, number: int) -> bool:
    """Whether these are one whole `moof` and `mdat` box, of that number (ISO/IEC 14496-12, 8.8.4 and 8.8.5)."""
    if len(data) < 32:
        return False
    moof, a, _, b, _, sequence = struct.unpack_from(">I4sI4sII", data)
    if (a, b, sequence) != (b"moof", b"mfhd", number + 1) or moof + 8 > len(data):
        return False
    mdat, c = struct.unpack_from(">I4s", data, moof)
    return c == b"mdat" and moof + mdat == len(data)


def _sound(raw: av.VideoFrame | None, size: Sequence[int] | None = None) -> av.VideoFrame:
    """The frame, unless it is missing, damaged, or not of that size before padding."""
    if raw is None or raw.is_corrupt or raw.pts is None:
        raise GaitloomError(f"holds a damaged frame; {REMEDY}")
    if size is not None and (raw.height, raw.width) != (size[0] + size[0] % 2, size[1] + size[1] % 2):
        raise GaitloomError(f"holds frames of {raw.width}x{raw.height}, not {size[1]}x{size[0]}; {REMEDY}")
    return raw


def _rgb(raw: av.VideoFrame, size: Sequence[int], reformatter: VideoReformatter) -> np.ndarray:
    return reformatter.reformat(raw, format="rgb24").to_ndarray()[: size[0], : size[1]]


@contextmanager
def _faults(what: str) -> Iterator[None]:
    """Whatever PyAV makes of damaged bytes, as one sentence."""
    try:
        yield
    except (av.error.FFmpegError, ValueError, OverflowError, IndexError, TypeError, ArithmeticError) as error:
        raise GaitloomError(f"{what} ({getattr(error, 'strerror', None) or error}); {REMEDY}") from None
