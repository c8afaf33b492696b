"""Small videos of every kind for the tests: each picture carries its number, so that frames can be told apart."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (160, 48)
BITS = 8


def picture(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) uint8: `number` in binary, as upright bars, the lowest bit on the left."""
    width, height = size
    bits = [number >> (x * BITS // width) & 1 for x in range(width)]
    return np.repeat(np.where(bits, 230, 20).astype(np.uint8)[None, :, None], height, 0).repeat(3, 2)


def number(grey: np.ndarray) -> int:
    """The number that a picture (H, W) carries, as it survives coding."""
    centres = [round((k + 0.5) * grey.shape[1] / BITS) for k in range(BITS)]
    return sum(1 << k for k, x in enumerate(centres) if grey[:, x - 2 : x + 3].mean() > 128)


def write(
    path: Path,
    pictures: int | Iterable[np.ndarray] = 10,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    pts: Sequence[int] | None = None,
    rotation: int | None = None,
    b_frames: int = 2,
    format: str | None = None,
    **mux: str,
) -> Path:
    """Encode pictures, or as many numbered ones. `pts` in 1/90000 s replaces the even spacing; `rotation` is the
    counter-clockwise turn in degrees that a player shall apply; `mux` goes to the container."""
    if isinstance(pictures, int):
        pictures = [picture(i) for i in range(pictures)]
    base = Fraction(1, 90_000) if pts else Fraction(1, rate)
    with av.open(str(path), "w", format=format, options=mux) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        context.time_base, context.gop_size, context.max_b_frames, context.thread_count = base, 12, b_frames, 1
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for i, image in enumerate(pictures):
            if not context.is_open:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = pts[i] if pts else i, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def remux(source: Path, target: Path, shift: int = 0, packets: int | None = None) -> Path:
    """Copy the first `packets` packets into a new file without encoding; frames `shift` units early are hidden by an
    edit list, as trimming tools do it."""
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(source)) as old, av.open(str(target), "w", options=options) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        new.start_encoding()
        for count, packet in enumerate(old.demux(old.streams.video[0])):
            if packet.pts is None or (packets is not None and count >= packets):
                continue
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
            new.mux(packet)
    return target


def join(pictures: Path, sound: Path, target: Path, packets: int) -> Path:
    """The first `packets` pictures of one file with the sound of another, not encoded anew."""
    with av.open(str(pictures)) as a, av.open(str(sound)) as b, av.open(str(target), "w") as new:
        streams = [(a, a.streams.video[0], packets), (b, b.streams.audio[0], 1000)]
        pairs = [(new.add_stream_from_template(s), c, s, n) for c, s, n in streams]
        for stream, container, source, most in pairs:
            for packet in [p for p in container.demux(source) if p.pts is not None][:most]:
                packet.stream = stream
                new.mux(packet)
    return target


def cut(source: Path, target: Path, share: float) -> Path:
    """The first `share` of a file's bytes: a copy that was broken off."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def sound(path: Path) -> Path:
    """A file with an audio stream alone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        stream.layout = "mono"
        for i in range(10):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.rate, frame.pts = 16_000, i * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def resized(path: Path, sizes: Sequence[tuple[int, int]], each: int = 5) -> Path:
    """An MPEG transport stream whose picture size changes after every `each` frames."""
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *sizes[0], "yuv420p"
        for part, size in enumerate(sizes):
            encoder = av.CodecContext.create("libx264", "w")
            encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
            encoder.time_base, encoder.framerate, encoder.max_b_frames = Fraction(1, 25), Fraction(25), 0
            packets = []
            for i in range(each):
                frame = av.VideoFrame.from_ndarray(picture(i, size), "rgb24")
                frame.pts, frame.time_base = part * each + i, Fraction(1, 25)
                packets += encoder.encode(frame)
            for packet in [*packets, *encoder.encode()]:
                packet.stream, packet.time_base = stream, Fraction(1, 25)
                container.mux(packet)
    return path
