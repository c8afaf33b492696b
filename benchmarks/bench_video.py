"""Encoded video: size and quality against compressed raw frames, and a random frame against seeking in a usual file.

The demo clip's frames, upright RGB as every backend gets them, are encoded by `gaitloom.fragments.encode` with each
codec at its defaults. The peer is what an array of raw frames costs: zstd, zarr's default, one frame a chunk, metadata
left out. PSNR is over the mean squared error of all RGB values of all frames, losses of 4:2:0 chroma included; the
lowest of a single frame stands beside. Processor seconds a frame hold the conversion of colours, encoding and muxing;
decoding the source, done in the same pass, is measured by itself and taken off. Goals for H.264: 38 dB or more, at most
1/50 of the bytes; for FFV1: exact.

A random frame at 1080p: the demo's frames, scaled, are written as byte arrays (zarr, chunks of 256 KiB), opened once;
60 frames in random order, none from the fragment of the one before, page cache warm. Goal: 80 ms by the clock. The peer
is PyAV, opening and seeking in an H.264 file with usual key frames (every 250). All give (H, W, 3) uint8.

Equal bytes: the clip is encoded twice with every codec, the second time beside a busy thread.

    python benchmarks/bench_video.py [--frames 230] [--scaled 96] [--rounds 5]
"""

import argparse
import tempfile
import threading
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import common
import cv2
import numpy as np
import zarr
from gaitloom import fragments
from gaitloom.fragments import CODECS, Encoded
from gaitloom.lazy_video import LazyVideo
from gaitloom.video import decode, probe
from numcodecs import Zstd

SIZE = (1920, 1080)
READS = 60
CHUNK = 256 * 1024


def pictures(video: Path, frames: int) -> Iterator[np.ndarray]:
    for frame in decode(video, 0, frames):
        yield frame.rgb()


def lazy(encoded: Encoded, mp4: Any = None) -> LazyVideo:
    size = encoded.attributes["height"], encoded.attributes["width"]
    index = encoded.fragment_offset, encoded.fragment_frame
    return LazyVideo(encoded.mp4 if mp4 is None else mp4, *index, size, encoded.fragment_crc32)


def zstd_bytes(video: Path, frames: int) -> int:
    codec = Zstd(level=0)
    return sum(len(codec.encode(np.ascontiguousarray(p))) for p in pictures(video, frames))


def decibels(error: float) -> float:
    """PSNR of a mean squared error; 99 for none."""
    return round(float(10 * np.log10(255**2 / error)), 2) if error else 99.0


def quality(video: Path, encoded: Encoded, frames: int) -> dict[str, Any]:
    """PSNR in dB over all frames and of the worst, and whether every value is the source's."""
    ours = lazy(encoded)
    errors = [
        float(np.mean(np.subtract(p, ours[t], dtype=np.int16).astype(np.int32) ** 2))
        for t, p in enumerate(pictures(video, frames))
    ]
    return {
        "psnr_db": decibels(float(np.mean(errors))),
        "lowest_psnr_db": decibels(max(errors)),
        "exact": not any(errors),
    }


def encodings(video: Path, frames: int) -> dict[str, Any]:
    pts = [f.pts for f in decode(video, 0, frames)]
    base = probe(video).time_base
    raw = zstd_bytes(video, frames)
    source = common.measure(lambda: sum(1 for _ in pictures(video, frames)))
    results: dict[str, Any] = {"frames": frames, "zstd_bytes": raw}
    for codec in CODECS:
        made: list[Encoded] = []
        cost = common.measure(lambda made=made, codec=codec: made.append(encode(video, frames, pts, base, codec)))
        (encoded,) = made
        done = threading.Event()
        busy = threading.Thread(target=burn, args=(done,))
        busy.start()
        again = encode(video, frames, pts, base, codec)
        done.set()
        busy.join()
        found = fragments.probe(encoded.mp4)
        results[codec] = {
            "bytes": len(encoded.mp4),
            "bytes_ratio": round(raw / len(encoded.mp4), 2),
            **quality(video, encoded, frames),
            "encode_cpu_s_per_frame": round((cost.cpu - source.cpu) / frames, 4),
            "same_bytes_twice": again.mp4.tobytes() == encoded.mp4.tobytes(),
            "same_times": [p * found.time_base for p in found.pts.tolist()] == [p * base for p in pts],
        }
        common.say(f"{codec} done")
    return results


def encode(video: Path, frames: int, pts: list[int], base: Fraction, codec: str) -> Encoded:
    return fragments.encode(pictures(video, frames), pts, base, codec)


def burn(done: threading.Event) -> None:
    values = np.random.default_rng(0).random(100_000)
    while not done.is_set():
        np.sort(values)


def scaled(video: Path, frames: int) -> Iterator[np.ndarray]:
    for picture in pictures(video, frames):
        yield cv2.resize(picture, SIZE, interpolation=cv2.INTER_CUBIC)


def random_frames(video: Path, frames: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Wall and processor milliseconds of a random 1080p frame, for each codec and for seeking in a usual file."""
    usual = folder / "usual.mp4"
    common.write_video(usual, scaled(video, frames))
    shuffled = np.random.default_rng(0).permutation(frames).tolist()
    order = [t for a, t in pairwise(shuffled) if a // fragments.GROUP != t // fragments.GROUP][:READS]
    readers: dict[str, Any] = {}
    for codec in CODECS:
        encoded = fragments.encode(scaled(video, frames), range(frames), Fraction(1, 30), codec)
        store = folder / f"{codec}.zarr"
        array = zarr.create_array(store, shape=encoded.mp4.shape, dtype="uint8", chunks=(CHUNK,), compressors=None)
        array[:] = encoded.mp4
        readers[codec] = lazy(encoded, zarr.open_array(store, mode="r")).frame

    def seek(index: int) -> np.ndarray:
        with av.open(str(usual)) as container:
            stream = container.streams.video[0]
            wanted = round(index / 30 / Fraction(stream.time_base or 1))
            container.seek(wanted, stream=stream)
            return next(f for f in container.decode(stream) if (f.pts or 0) >= wanted).to_ndarray(format="rgb24")

    readers["usual_file"] = seek
    works = {name: lambda read=read: [read(t) for t in order] for name, read in readers.items()}
    costs = common.in_turn(works, rounds)
    each = {name: common.median(c) for name, c in costs.items()}
    return {
        "frames": frames,
        "size": list(SIZE),
        **{f"{n}_ms": round(c.wall / len(order) * 1000, 1) for n, c in each.items()},
        **{f"{n}_cpu_ms": round(c.cpu / len(order) * 1000, 1) for n, c in each.items()},
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--frames", type=int, default=230, help="of the clip, to encode")
    arguments.add_argument("--scaled", type=int, default=96, help="frames of 1080p, to read from")
    arguments.add_argument("--rounds", type=int, default=5, help="rounds of random reads")
    arguments.add_argument("--video", type=Path, default=common.DEMO, help="the clip; `make data/demo.mp4` fetches it")
    chosen = arguments.parse_args()
    encoded = encodings(chosen.video, chosen.frames)
    with tempfile.TemporaryDirectory() as name:
        random = random_frames(chosen.video, chosen.scaled, chosen.rounds, Path(name))
    goals = {
        "h264_psnr_db": common.at_least(encoded["h264"]["psnr_db"], 38),
        "h264_zstd_raw_against_it": common.at_least(encoded["h264"]["bytes_ratio"], 50),
        "ffv1_exact": common.at_least(encoded["ffv1"]["exact"], 1),
        "random_frame_1080p_ms": common.at_most(random["h264_ms"], 80),
        "same_bytes_twice": common.at_least(all(encoded[c]["same_bytes_twice"] for c in CODECS), 1),
    }
    common.report("video", goals, encoded=encoded, random_frame=random)


if __name__ == "__main__":
    main()
