"""Videos in a release against the laboratory's own: nothing that the ledger of regions covers may show.

A mosaic of at most three blocks across leaves nothing of what is finer than a block. So both pictures lose their coarse
part (the mean of each of 3 x 3 blocks), and what is left of the raw one is looked for in the released one: the slope of
the released detail on the raw one is 1 where the region is as it was, and 0 where it is covered. (Measured on 324 heads
of five clips, marked by hand and encoded anew: 0.81 to 1.01 uncovered, at most 0.02 covered.)
"""

import io
import json
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np

from gaitloom.errors import GaitloomError
from gaitloom.release.checks import stamps
from gaitloom.release.checks.holdings import PSEUDONYM, Holdings
from gaitloom.release.dataset import Dataset, Entry
from gaitloom.store import Node
from gaitloom.video import clip_frames, decode

SHOWS = 0.6  # slope from which a region shows what it covers
DETAIL = 3.0  # grey levels of detail below which a region shows nothing
BLOCKS = 3  # across a head: the finest mosaic
LOOKED = 8  # frames of a clip that are compared
LEAST = 8  # px: smaller regions are not compared
SAME = 0.5  # slope of whole frames from which a video is of a clip


def videos(archive: zipfile.ZipFile) -> Iterator[tuple[str, IO[bytes]]]:
    """Every MP4 of an archive, also those that are arrays, by its member (an array's `zarr.json`)."""
    names = archive.namelist()
    chunks: dict[str, list[str]] = {}
    for name in names:
        head, inside, number = name.partition("/mp4/c/")
        if inside and number.isdigit():
            chunks.setdefault(head, []).append(name)
        elif _mp4(archive, name):
            yield name, archive.open(name)
    for head, found in chunks.items():
        found.sort(key=lambda n: int(n.rpartition("/")[2]))
        about = json.loads(archive.read(f"{head}/mp4/zarr.json"))
        pieces = b"".join(_inner(archive.read(n), about) for n in found)
        yield f"{head}/mp4/zarr.json", io.BytesIO(pieces[: about["shape"][0]])


def _mp4(archive: zipfile.ZipFile, name: str) -> bool:
    if name.endswith((".json", ".png", ".jpg", ".tsv", ".csv")) or "/c/" in name:
        return name.endswith(".mp4")
    with archive.open(name) as file:
        return file.read(8)[4:] == b"ftyp"


def _inner(data: bytes, about: dict) -> bytes:
    """The bytes of a chunk, or of the chunks in a shard (Zarr's sharding codec: an index of offsets at the end)."""
    shard = next((c for c in about["codecs"] if c["name"] == "sharding_indexed"), None)
    if shard is None:
        return data
    count = about["chunk_grid"]["configuration"]["chunk_shape"][0] // shard["configuration"]["chunk_shape"][0]
    index = struct.unpack(f"<{2 * count}Q", data[-16 * count - 4 : -4])
    return b"".join(data[at : at + size] for at, size in zip(index[::2], index[1::2], strict=True) if at != 2**64 - 1)


@dataclass
class Raw:
    """A clip's raw video, and where its ledger covers something."""

    dataset: Dataset
    entry: Entry

    @cached_property
    def regions(self) -> dict[int, np.ndarray]:
        """Frame → boxes (N, 4) xyxy that are covered."""
        node = self._open(self.entry.of("deidentified")[0])
        frame, box = node.load("region_frame"), node.load("region_box")
        whole = np.array([[0, 0, node.attributes["width"], node.attributes["height"]]], np.float32)
        found = {int(t): box[frame == t] for t in np.unique(frame)}
        return {**found, **{int(t): whole for t in np.flatnonzero(node.load("covered"))}}

    @cached_property
    def frames(self) -> dict[int, np.ndarray]:
        """The frames that are compared, (H, W) grey: evenly over those in which something is covered."""
        pts = self._open("video").load("pts")
        times = sorted(self.regions) or range(len(pts))
        chosen = {times[i] for i in np.linspace(0, len(times) - 1, LOOKED).round().astype(int)}
        clip = self.entry.clip
        frames = clip_frames(Path(clip.video), pts.tolist(), clip.start or 0)
        return {f.index: f.grey() for f in frames if f.index in chosen}

    def _open(self, node: str) -> Node:
        return self.dataset.store.open(self.dataset.plan.key(self.entry.clip, node))

    @property
    def length(self) -> int:
        """T, the clip's frames."""
        return self.dataset.source(self.entry).length

    def like(self, pictures: Mapping[int, np.ndarray]) -> float:
        """How much of its detail released pictures (H, W) grey have, 1 all, 0 nothing: are they of this clip?"""
        slopes = [slope(*self._pair(t, p), _whole(p)) for t, p in pictures.items()]
        return float(np.median(slopes)) if slopes else 0.0

    def shown(self, pictures: Mapping[int, np.ndarray]) -> list[int]:
        """The frames in which a released picture (H, W) grey shows what is covered."""
        return [t for t, p in pictures.items() if t in self.regions and self._shown(t, p)]

    def _shown(self, time: int, picture: np.ndarray) -> bool:
        scale = np.tile(np.array(picture.shape[::-1]) / self.frames[time].shape[::-1], 2)
        raw, released = self._pair(time, picture)
        return any(slope(raw, released, box * scale) > SHOWS for box in self.regions[time])

    def _pair(self, time: int, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import cv2

        raw = self.frames[time]
        size = picture.shape[1], picture.shape[0]
        return raw if raw.shape == picture.shape else cv2.resize(raw, size, interpolation=cv2.INTER_AREA), picture


def _whole(picture: np.ndarray) -> np.ndarray:
    return np.array([0, 0, *picture.shape[::-1]], np.float32)


def slope(raw: np.ndarray, released: np.ndarray, box: np.ndarray) -> float:
    """How much of the raw detail in a box (4,) xyxy the released picture has, both (H, W) grey: 1 all, 0 nothing."""
    height, width = raw.shape
    x0, y0 = np.clip(np.floor(box[:2]), 0, (width, height)).astype(int)
    x1, y1 = np.clip(np.ceil(box[2:]), 0, (width, height)).astype(int)
    if min(x1 - x0, y1 - y0) < LEAST:
        return 0.0
    one, other = (_detail(p[y0:y1, x0:x1].astype(np.float32)) for p in (raw, released))
    power = float((one * one).sum())
    return float((one * other).sum()) / power if power > DETAIL**2 * one.size else 0.0


def _detail(part: np.ndarray) -> np.ndarray:
    """A part of a picture without the means of its blocks."""
    rows, columns = (np.arange(n) * BLOCKS // n for n in part.shape)
    block = rows[:, None] * BLOCKS + columns
    sums = np.bincount(block.ravel(), part.ravel(), BLOCKS**2)
    return part - (sums / np.maximum(np.bincount(block.ravel(), minlength=BLOCKS**2), 1)).astype(np.float32)[block]


def compared(dataset: Dataset, holdings: Holdings, archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """Member and what is wrong with it, of an archive's videos: tags, whose they are, and what they show."""
    raws = {e.path: Raw(dataset, e) for e in dataset.entries if e.of("deidentified")}
    with tempfile.TemporaryDirectory() as folder:
        for member, file in videos(archive):
            copy = Path(folder) / "video.mp4"
            with file, copy.open("wb") as out:
                shutil.copyfileobj(file, out)
            with copy.open("rb") as file:
                yield from ((member, what) for what in stamps.of_mp4(file))
            named = [raws[p] for p in holdings.clips_of(member) if p in raws]
            subjects = PSEUDONYM.findall(member)
            near = [r for p, r in raws.items() if p.split("/")[0] in subjects]
            yield from ((member, what) for what in _compare(named, near, copy))
            for raw in near:
                raw.__dict__.pop("frames", None)  # memory


def _compare(named: list[Raw], near: list[Raw], video: Path) -> Iterator[str]:
    """What is wrong with a video of one of the clips `named`, or `near` where its name names none."""
    try:
        count, pictures = _frames_of(video, {t for raw in named or near for t in raw.frames})
    except GaitloomError as error:
        yield str(error)
        return
    of = {raw.entry.path: {t: p for t, p in pictures.items() if t in raw.frames} for raw in named or near}
    best = max(named or near, key=lambda raw: raw.like(of[raw.entry.path]), default=None)
    if best is None or best.like(of[best.entry.path]) < SAME:
        yield f"is no video of {'that clip' if named else 'a clip that the tier holds'}"
        return
    if count != best.length:
        yield f"has {count} frames, and the clip {best.length}"
    if times := best.shown(of[best.entry.path]):
        yield f"shows a raw frame: what the ledger covers in frame {times[0]} is there"
    if reasons := best.dataset.unaudited(best.entry):
        yield f"is of a clip whose pictures may not be released ({reasons[0]})"


def _frames_of(video: Path, chosen: Container[int]) -> tuple[int, dict[int, np.ndarray]]:
    """How many frames a video has, and some of them as (H, W) grey."""
    found, count = {}, 0
    for frame in decode(video):
        if frame.index in chosen:
            found[frame.index] = frame.grey()
        count += 1
    return count, found
