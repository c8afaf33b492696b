"""Decoding: every frame of a clip with its real time stamp, upright, as 8-bit RGB or grey.

The one place that imports PyAV. Frames are never dropped or invented: a clip's time stamps are fixed once, by the
`video` node, and every later pass must meet exactly those.
"""

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import TypeVar

import av
import av.container
import av.error
import av.filter
import numpy as np
from av.video.reformatter import VideoReformatter

from gaitloom.errors import GaitloomError

T = TypeVar("T")
MARGIN = 8  # pixels around a part of a picture; a multiple of the chroma's subsampling
PARTED = {f"yuv{full}{sampling}p" for full in ("", "j") for sampling in (420, 422, 444)}
AHEAD = 8  # frames decoded ahead of the model
SEEK_EARLY = 1  # s before a segment, since some containers seek by decoding time, or not exactly
SLACK = Fraction(1, 500), Fraction(1, 10)  # s that may be missing at the end: with a frame count in the header, without
DAMAGED = "copy it again or end the segment before"
NO_PTS = int(np.iinfo(np.int64).min)  # what FFmpeg calls AV_NOPTS_VALUE


@dataclass(frozen=True)
class Header:
    """What a file's header says, before anything is decoded; sizes in pixels, before any rotation."""

    width: int
    height: int
    codec: str
    frames: int  # 0 where the header does not say
    about: int  # frames too, else duration times frame rate; for estimates only
    time_base: Fraction  # seconds a unit of `pts`


Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in upright pixels, the last two exclusive


class Converter:
    """The pixels of decoded frames as arrays, full range.

    One a pass: a new one a frame is slower, and its small allocations fragment the heap without bound.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._crops: dict[tuple[object, ...], av.filter.Graph] = {}

    def __call__(self, raw: av.VideoFrame, pixel_format: str) -> np.ndarray:
        """All of them, (H, W, ...) uint8, as coded: not turned."""
        return self._reformatter.reformat(raw, format=pixel_format).to_ndarray()

    def part(self, raw: av.VideoFrame, box: Box, pixel_format: str) -> np.ndarray:
        """The same pixels within `box`, to the bit; of the usual formats no more is converted than that and a margin.

        Of odd sizes and other formats all is: there the conversion of a part may differ from that of the whole.
        """
        x0, y0, x1, y1 = box
        if raw.format.name not in PARTED or raw.width % 2 or raw.height % 2:
            return self(raw, pixel_format)[y0:y1, x0:x1]
        left, top = (max(0, v - MARGIN) // MARGIN * MARGIN for v in (x0, y0))
        right, bottom = (-(-v // MARGIN) * MARGIN + MARGIN for v in (x1, y1))
        key = left, top, min(raw.width, right) - left, min(raw.height, bottom) - top
        graph = self._crops.get((*key, raw.format.name, raw.width, raw.height))
        if graph is None:
            graph = av.filter.Graph()
            source = graph.add_buffer(
                width=raw.width, height=raw.height, format=raw.format, time_base=raw.time_base or Fraction(1)
            )
            crop = graph.add("crop", "x={}:y={}:w={}:h={}:exact=1".format(*key))
            sink = graph.add("buffersink")
            source.link_to(crop)
            crop.link_to(sink)
            graph.configure()
            self._crops[(*key, raw.format.name, raw.width, raw.height)] = graph
        graph.push(raw)
        return self(graph.pull(), pixel_format)[y0 - top : y1 - top, x0 - left : x1 - left]  # type: ignore[arg-type]


class Frame:
    """One decoded frame of a clip."""

    def __init__(self, index: int, raw: av.VideoFrame, converter: Converter):
        if raw.rotation % 90:
            raise GaitloomError(f"is to be shown turned by {raw.rotation} degrees; re-encode it upright")
        self.index = index  # on the clip's time axis
        self.pts = NO_PTS if raw.pts is None else int(raw.pts)  # in the stream's time base
        self.rotation = raw.rotation % 360  # degrees counter-clockwise that make it upright; already applied below
        turned = raw.rotation % 180 != 0
        self.width, self.height = (raw.height, raw.width) if turned else (raw.width, raw.height)
        self._raw, self._converter = raw, converter

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8, upright, C-contiguous."""
        return self._upright(self._converter(self._raw, "rgb24"))

    def grey(self, box: Box | None = None) -> np.ndarray:
        """(H, W) uint8, full range, upright, C-contiguous: the picture, or what of it is in `box`."""
        if box is None or self.rotation:
            x0, y0, x1, y1 = box or (0, 0, self.width, self.height)
            return np.ascontiguousarray(self._upright(self._converter(self._raw, "gray"))[y0:y1, x0:x1])
        return np.ascontiguousarray(self._converter.part(self._raw, box, "gray"))

    def _upright(self, pixels: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(pixels, self.rotation // 90)) if self.rotation else pixels


def probe(path: Path) -> Header:
    """Read a file's header.

    Raises:
        GaitloomError: it is not a video that can be decoded; the sentence says what it is instead.
    """
    if path.stat().st_size == 0:
        raise GaitloomError("is empty; copy it again")
    with _open(path) as container:
        stream = _stream(container)
        width, height = stream.codec_context.width, stream.codec_context.height
        if not width or not height:
            raise GaitloomError("has no picture size in its header; it is damaged, copy it again")
        seconds = (container.duration or 0) / av.time_base
        about = stream.frames or round(seconds * float(stream.average_rate or 0))
        base = Fraction(stream.time_base or 1)
        return Header(width, height, stream.codec_context.name, stream.frames, about, base)


def decode(path: Path, start: int = 0, end: int | None = None) -> Iterator[Frame]:
    """The frames [start, end) of a file in the order of presentation, from the very beginning of the file.

    `index` counts from 0 at `start`. Raises GaitloomError where the stream is damaged or ends before `end`.
    """
    with _open(path) as container:
        stream = _stream(container)
        stream.thread_type = "AUTO"
        converter = Converter()
        count = 0
        for raw in _decoded(_raw(container, stream)):
            if count >= start:
                yield Frame(count - start, raw, converter)
            count += 1
            if end is not None and count >= end:
                return
        _whole(path, stream, count, end)


def _raw(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise GaitloomError(f"is damaged at {float((packet.pts or 0) * packet.time_base):.2f} s; {DAMAGED}")
        yield from packet.decode()


def _decoded(raws: Iterable[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    try:
        for raw in raws:
            if raw.is_corrupt:
                raise GaitloomError(f"is damaged at {raw.time or 0:.2f} s; {DAMAGED}")
            yield raw
    except av.error.FFmpegError as error:
        raise GaitloomError(f"cannot be decoded to its end ({error.strerror}); copy it again") from None


def _whole(path: Path, stream: av.VideoStream, count: int, end: int | None) -> None:
    """Refuse a file that ended before its header, or the sheet, said.

    The header's frame count alone does not tell: a video that was trimmed without encoding it anew keeps hidden frames,
    and Matroska counts none. So time decides.
    """
    if end is not None:
        raise GaitloomError(f"has only {count} frames, but its segment ends at {end}; correct the clip sheet")
    if count >= stream.frames > 0:
        return
    with _open(path) as container:
        if not stream.frames and "matroska" not in container.format.name:  # its duration is an estimate, or none
            return
        promised = Fraction(container.duration or 0, 1_000_000)
        ends = ((p.pts + (p.duration or 0)) * p.time_base for p in container.demux() if p.pts is not None)
        there = max(ends, default=Fraction(0))
    if promised - there > SLACK[not stream.frames]:
        raise GaitloomError(
            f"is cut off: its header promises {float(promised):.2f} s and {float(there):.2f} s are there; copy it again"
        )


def clip_frames(path: Path, pts: Sequence[int], start: int) -> Iterator[Frame]:
    """A clip's frames again, decoded in a thread ahead of the caller; their time stamps must be exactly `pts`.

    Raises:
        GaitloomError: the video's frames are not those that the `video` node recorded.
    """
    wanted = [int(p) for p in pts]

    def checked() -> Iterator[Frame]:
        count = 0
        for frame in _again(path, wanted, start):
            if frame.pts != wanted[count]:
                break
            count += 1
            yield frame
        if count != len(wanted):
            raise GaitloomError("is not the video that was ingested; run snakemake again")

    return ahead(checked())


def _again(path: Path, pts: Sequence[int], start: int) -> Iterator[Frame]:
    """As many frames as there are `pts`, from `start`: by seeking to the key frame before it where the file can."""
    if start and pts[0] != NO_PTS and all(a < b for a, b in pairwise(pts)):
        with _open(path) as container:
            stream = _stream(container)
            stream.thread_type = "AUTO"
            raws = _from(container, stream, pts[0])
            if raws is not None:
                converter = Converter()
                for index, raw in enumerate(islice(_decoded(raws), len(pts))):
                    yield Frame(index, raw, converter)
                return
    yield from decode(path, start, start + len(pts))


def _from(container: av.container.InputContainer, stream: av.VideoStream, pts: int) -> Iterator[av.VideoFrame] | None:
    """The frames from `pts` on, decoded from a key frame at or before it; None where seeking does not lead there."""
    try:
        container.seek(pts - round(SEEK_EARLY / Fraction(stream.time_base or 1)), stream=stream, backward=True)
        raws = _raw(container, stream)
        keyed = False
        for raw in raws:
            keyed = keyed or bool(raw.key_frame)
            if raw.pts is None or raw.pts > pts:
                return None
            if keyed and raw.pts == pts:
                return chain([raw], raws)
    except (av.error.FFmpegError, GaitloomError):
        pass
    return None


def ahead(items: Iterable[T], depth: int = AHEAD) -> Iterator[T]:
    """Run an iterator in a thread, at most `depth` items ahead; its errors are raised in the item's place."""
    ready: queue.Queue = queue.Queue(depth)
    stop = threading.Event()
    end = object()

    def put(item: object) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(end)
        except BaseException as error:  # handed to the consumer, which raises it
            put(error)

    def consume() -> Iterator[T]:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            while (item := ready.get()) is not end:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            thread.join()

    return consume()


def _open(path: Path) -> closing[av.container.InputContainer]:
    try:
        return closing(av.open(str(path)))
    except av.error.FFmpegError as error:
        raise GaitloomError(f"is not a readable video ({error.strerror}); copy or convert it again") from None


def _stream(container: av.container.InputContainer) -> av.VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not streams:
        raise GaitloomError("holds no video stream; remove it from the folder")
    if streams[0].codec_context is None:
        raise GaitloomError("has a codec that this FFmpeg does not know; convert it to H.264")
    return streams[0]


def encode(path: Path, pictures: Iterable[np.ndarray], time: Sequence[Fraction], crf: int = 23) -> None:
    """Write (H, W, 3) uint8 RGB pictures of even size as an H.264 MP4, muxed bit-exactly.

    `time` holds each picture's seconds from the first; a 1/90000 s time base keeps variable rates.
    """
    options = {"fflags": "+bitexact", "movflags": "+faststart"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", options={"crf": str(crf), "threads": "1", "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90_000)
        for picture, when in zip(pictures, time, strict=True):
            if not stream.codec_context.is_open:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = round(when * 90_000), Fraction(1, 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
