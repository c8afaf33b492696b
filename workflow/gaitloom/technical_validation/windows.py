"""Clips as the video model sees them: a few short windows of each, read through the loaders and kept small."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from gaitloom.errors import GaitloomError
from gaitloom.loaders import Options, Samples
from gaitloom.loaders.options import PICTURES, Input
from gaitloom.loaders.source import Source
from gaitloom.technical_validation.settings import VideoModel

FULL = 255  # white in what is kept as uint8


class _Place(NamedTuple):
    """Where a clip's windows come from: which samples, which of them; its pictures a second and the frame's height."""

    stride: int
    number: int
    fps: float
    height: int


class Windows(Dataset[torch.Tensor]):
    """`settings.windows` windows of each of N clips, of `settings.frames` frames over about `settings.seconds`.

    They begin at random places, always the same. `windows[row, n]` is (C, frames, size, size): uint8, 0 to 255, of
    silhouettes, parts (in colours) and pictures; of flow float16, in heights of the full frame a second, so that it
    says the same at any rate and resolution.

    Attributes: `there` (N,) bool: the clip gives windows; `left_out`: the others' paths → why; `channels`.
    """

    def __init__(self, store: str | Path, paths: Sequence[str], node: str, settings: VideoModel):
        """Raises GaitloomError where the node has no pictures, or the store cannot be read."""
        taken = Input.parse(node)
        if taken.modality not in PICTURES:
            raise GaitloomError(f"The video model cannot learn from {node}; give it one of: {', '.join(PICTURES)}.")
        if taken.modality == "parts":  # a label's number is no quantity
            taken = Input.parse(f"{node}:rgb")
        self.settings, self.channels, self._is_flow = settings, taken.channels, taken.modality == "flow"
        self.left_out: dict[str, str] = {}
        self.cache: np.ndarray | None = None  # (clips that are there, windows, C, frames, size, size)
        source, rates, rows = Source(store, paths), {}, {path: row for row, path in enumerate(paths)}
        for path in paths:
            try:
                rates[path] = _rate(source, path, node)
            except GaitloomError as error:
                self.left_out[path] = str(error)
        groups: dict[int, list[str]] = defaultdict(list)
        for path, rate in rates.items():
            groups[max(1, round(rate * settings.seconds / settings.frames))].append(path)
        self._samples: dict[int, Samples] = {}
        self._places: dict[int, _Place] = {}  # row → where it comes from
        for stride, group in sorted(groups.items()):
            options = Options(
                inputs=(node if taken.form == "" else f"{node}:{taken.form}",),
                frames=settings.frames,
                stride=stride,
                start="random",
                size=(settings.size, settings.size),
                dtype="float32" if self._is_flow else "uint8",
                where={"path": tuple(group)},
            )
            try:
                samples = Samples(source, options)
            except GaitloomError as error:  # not one of them gives a sample
                self.left_out |= dict.fromkeys(group, str(error))
                continue
            self._samples[stride] = samples
            self.left_out |= samples.left_out
            for number, path in enumerate(samples.paths):
                self._places[rows[path]] = _Place(stride, number, rates[path], source.size(path)[0])
        self._slots = {row: slot for slot, row in enumerate(sorted(self._places))}
        self.there = np.isin(np.arange(len(paths)), list(self._places))

    def __getitem__(self, key: tuple[int, int]) -> torch.Tensor:
        row, window = key
        place = self._places[int(row)]
        video = self._samples[place.stride][int(window), place.number]["video"].transpose(3, 0, 1, 2)
        if self._is_flow:
            video = (video * np.float32(place.fps / place.height)).astype(np.float16)
        return torch.from_numpy(np.ascontiguousarray(video))

    def batches(self, rows: np.ndarray, windows: np.ndarray, size: int) -> Iterator[torch.Tensor]:
        """Those windows of those clips (n,), `size` at a time: (size, C, frames, height, width) float32.

        Each comes from the memory if all of them fit into `settings.cache_gb`; else it is read again.
        """
        if self.cache is None:
            loader = self._loader(list(zip(rows.tolist(), windows.tolist(), strict=True)), size)
            yield from (self._ready(batch) for batch in loader)
            return
        slots = np.array([self._slots[row] for row in rows.tolist()], np.int64)
        for at in range(0, len(rows), size):
            yield self._ready(torch.from_numpy(self.cache[slots[at : at + size], windows[at : at + size]]))

    def fill(self) -> None:
        """Read everything once, if it fits; a second call does nothing."""
        count, kept = self.settings.windows, np.float16 if self._is_flow else np.uint8
        shape = (len(self._slots), count, self.channels, self.settings.frames, *2 * (self.settings.size,))
        if self.cache is not None or np.prod(shape, dtype=np.int64) * np.dtype(kept).itemsize > (
            self.settings.cache_gb * 1e9
        ):
            return
        cache = np.empty(shape, kept)
        keys = [(row, window) for row in self._slots for window in range(count)]
        for (row, window), batch in zip(keys, self._loader(keys, 1), strict=True):
            cache[self._slots[row], window] = batch[0].numpy()
        self.cache = cache

    def _ready(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.float() if self._is_flow else batch.float() / FULL

    def _loader(self, keys: list[tuple[int, int]], size: int) -> Any:
        workers = self.settings.threads if self.settings.threads > 1 else 0
        parts = [keys[at : at + size] for at in range(0, len(keys), size)]
        own = torch.Generator()  # else it would draw from everybody's
        return DataLoader(self, batch_sampler=parts, num_workers=workers, generator=own)


def _rate(source: Source, path: str, node: str) -> float:
    """A clip's frames a second.

    Raises:
        GaitloomError: it lacks the node, or has one frame.
    """
    if path not in source.clips:
        raise GaitloomError(f"{path} is not in the store's table; run snakemake to make it.")
    time = source.node(path, node).load("time")
    if len(time) < 2:
        raise GaitloomError(f"{path} has {len(time)} frames, which is too few.")
    return float(1 / np.median(np.diff(time)))
