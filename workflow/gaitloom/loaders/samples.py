"""The core: clips as samples of NumPy arrays, and batches of them. PyTorch's and tf.data's loaders are thin on top."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gaitloom.errors import GaitloomError
from gaitloom.loaders import inputs, views
from gaitloom.loaders.frames import choose
from gaitloom.loaders.grid import Fit
from gaitloom.loaders.options import Input, Options
from gaitloom.loaders.source import SUBJECT, Source, table_of

Sample = dict[str, Any]
Key = tuple[int, int]  # epoch and number of a sample: together with the seed, all that it depends on
NOTHING = ("", "n/a", None)


class Samples:
    """The clips of a store, one sample each; see `Options`.

    `samples[i]` and `samples[epoch, i]` are a dict of:

    - `video` (n, H, W, C) float32 or uint8: the inputs' channels;
    - `points` (n, 23, 3) float32: x, y, score in the video's pixels, where a keypoints node is among the inputs;
    - `kept` (n / 2, H / 16, W / 16) bool: which tubelets hold the person, where `patches` are asked for;
    - `target`: float32 or int64, where there is one;
    - `frame` (n,) int64: which frames of the clip; `index` int64: which of `paths`.

    Attributes: `paths`: the clips `{subject}/{clip}`; `left_out`: those that give no sample → why; `classes`: the names
    of the target's numbers, empty where they are numbers themselves. Nothing that is open is kept, so an instance goes
    to other processes by fork or pickle.
    """

    def __init__(self, source: str | Path | Source, options: Options):
        """Raises GaitloomError where no clip is left, or the split or table does not fit."""
        self.options, self.source = options, source if isinstance(source, Source) else Source(source)
        self.left_out: dict[str, str] = {}
        self._nodes = list(dict.fromkeys(taken.node for taken in options.taken))
        targets, self.classes = self._targets()
        part = self._part()
        self.paths: list[str] = []
        self._usable: list[np.ndarray] = []
        self._sizes: dict[str, tuple[int, int]] = {}
        self._targets_of: list[np.generic] = []
        for path, row in self.source.clips.items():
            if part is not None and row["subject"] not in part:
                continue
            if any(str(row.get(column, "")) not in values for column, values in options.where.items()):
                continue
            found = self._frames_of(path) if options.target is None or path in targets else "it has no target"
            if isinstance(found, str):
                self.left_out[path] = found
                continue
            self.paths.append(path)
            self._usable.append(found)
            self._sizes[path] = self.source.size(path)
            self._targets_of += [targets[path]] if options.target is not None else []
        if not self.paths:
            why = next((f"{p}: {reason}" for p, reason in self.left_out.items()), "split and where leave none")
            raise GaitloomError(f"No clip of {self.source.path} gives a sample ({why}); change the options.")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: int | Key) -> Sample:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        path = self.paths[index]  # an IndexError ends iteration
        index %= len(self)
        random = np.random.default_rng([self.options.seed, epoch, index])
        frames = choose(self._usable[index], self.options, random)
        assert frames is not None, "clips that are too short are left out"
        sample = self._views(path, frames)
        if self.options.target is not None:
            sample["target"] = self._targets_of[index]
        return {**sample, "frame": frames, "index": np.int64(index)}

    def keys(
        self,
        epoch: int = 0,
        shuffle: bool = True,
        shard: int = 0,
        shards: int = 1,
        uneven: Literal["keep", "drop", "repeat"] = "keep",
    ) -> list[Key]:
        """The samples of an epoch in their order, those of one shard of several: every n-th one from its own number on.

        `uneven` is about the last ones, which not every shard gets: `keep` them, `drop` them, or `repeat` the first
        ones until all shards have as many (as distributed training needs).
        """
        if not 0 <= shard < shards:
            raise GaitloomError(f"There is no shard {shard} of {shards}; count them from 0.")
        order = np.arange(len(self))
        if shuffle:
            order = np.random.default_rng([self.options.seed, epoch]).permutation(len(self))
        if uneven == "drop":
            order = order[: len(order) // shards * shards]
        if uneven == "repeat":
            order = np.resize(order, math.ceil(len(order) / shards) * shards)
        return [(epoch, int(index)) for index in order[shard::shards]]

    def batches(
        self, size: int, epoch: int = 0, shuffle: bool = True, shard: int = 0, shards: int = 1, drop_last: bool = False
    ) -> Iterator[Sample]:
        """An epoch's samples, `size` at a time: a dict of arrays with a first axis more."""
        keys = self.keys(epoch, shuffle, shard, shards)
        for first in range(0, len(keys), size):
            if len(batch := [self[key] for key in keys[first : first + size]]) == size or not drop_last:
                yield {name: np.stack([sample[name] for sample in batch]) for name in batch[0]}

    def spec(self) -> dict[str, tuple[tuple[int | None, ...], np.dtype]]:
        """Shape and type of what a sample holds, read from the options alone; None is a length that clips differ in."""
        options, n = self.options, self.options.frames
        found: dict[str, tuple[tuple[int | None, ...], Any]] = {}
        if count := sum(taken.channels for taken in options.taken):
            found["video"] = (n, *(options.size or (None, None)), count), options.dtype
        if any(taken.modality == "keypoints" for taken in options.taken):
            found["points"] = (n, 23, 3), np.float32
        if options.patches:
            grid = zip((n, *(options.size or ())), options.patches.tubelet, strict=True)
            found["kept"] = tuple(length // patch for length, patch in grid), bool
        if options.target is not None:
            found["target"] = (), np.int64 if self.classes else np.float32
        found |= {"frame": ((n,), np.int64), "index": ((), np.int64)}
        return {name: (shape, np.dtype(dtype)) for name, (shape, dtype) in found.items()}

    def _views(self, path: str, frames: np.ndarray) -> Sample:
        """What the inputs, prompts and patches give of these frames, each of which is read once."""
        options, fit = self.options, Fit.of(self._sizes[path], self.options.size)
        once, again = np.unique(frames, return_inverse=True)
        sample: Sample = {}
        count, at = sum(taken.channels for taken in options.taken), 0
        video = np.empty((len(once), *fit.size, count), options.dtype)
        for taken in options.taken:
            node = self.source.node(path, taken.node)
            if taken.modality == "keypoints":
                sample["points"] = inputs.points(node, frames, fit)
                continue
            out = video[..., at : at + taken.channels]
            draw = self._pen(path, once, fit) if options.prompts and taken.rgb else None
            inputs.fill(out, node, taken, once, fit, f"{path}/{taken.node}/mp4", draw)
            at += taken.channels
        if count:
            sample["video"] = video if len(once) == len(frames) else video[again]
        if options.patches:
            node = options.patches.node
            masks = np.empty((len(once), *fit.size, 1), np.float32)
            inputs.fill(masks, self.source.node(path, node), Input.parse(node), once, fit, f"{path}/{node}")
            sample["kept"] = views.tubelets(masks[again, ..., 0] >= 0.5, options.patches)
            if not sample["kept"].any():
                raise GaitloomError(f"{path}: no patch holds enough of the person; lower patches.threshold.")
        return sample

    def _pen(self, path: str, frames: np.ndarray, fit: Fit) -> Callable[[np.ndarray, slice], np.ndarray]:
        """Draws the skeletons of these frames on pictures of a part of them."""
        prompts = self.options.prompts
        assert prompts is not None
        found = inputs.points(self.source.node(path, prompts.node), frames, fit)
        return lambda pictures, part: views.draw_skeleton(pictures, found[part, :, :2], found[part, :, 2], prompts)

    def _frames_of(self, path: str) -> np.ndarray | str:
        """The frames of a clip that are valid in every input, or why there is no sample of it."""
        needed = [*self._nodes, *([self.options.patches.node] if self.options.patches else [])]
        try:
            opened = [self.source.node(path, node) for node in needed]
            if self.options.prompts:
                self.source.node(path, self.options.prompts.node)
        except GaitloomError as error:
            return str(error)
        usable = np.flatnonzero(np.logical_and.reduce([node.load("valid") for node in opened]))
        if choose(usable, self.options) is None:
            return f"{len(usable)} of its frames are valid, which is too few"
        return usable

    def _targets(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Clip → its target, of those clips that have one, and the names of the classes."""
        column, table = self.options.target, self.options.table
        if column is None:
            return {}, ()
        values = {path: row.get(column) for path, row in self.source.clips.items()}
        if table is not None:
            rows = table_of(table)
            key = next(name for name in ("path", *SUBJECT) if name in rows[0])
            given = {row[key]: row.get(column) for row in rows}
            values = {p: given.get(p if key == "path" else r["subject"]) for p, r in self.source.clips.items()}
        texts = {path: str(value).strip() for path, value in values.items() if value not in NOTHING}
        if not texts:
            raise GaitloomError(f"No clip has a value in the column '{column}'; choose another target or table.")
        if self.options.classes is None and all(map(_is_number, texts.values())):
            return {path: np.float32(text) for path, text in texts.items()}, ()
        classes = self.options.classes or tuple(sorted(set(texts.values())))
        return {p: np.int64(classes.index(text)) for p, text in texts.items() if text in classes}, classes

    def _part(self) -> set[str] | None:
        """The subjects of the part of the split."""
        split, part = self.options.split, self.options.part
        if split is None or part is None:
            return None
        if isinstance(split, Path):
            split = _read_split(split)
        if part not in split:
            raise GaitloomError(f"The split has no part '{part}'; it has {', '.join(split)}.")
        from gaitloom.splits import leaks  # here, since it loads pandas

        if found := leaks(split):
            raise GaitloomError(f"The split leaks: {found[0]}; make it anew with `gaitloom splits`.")
        if not set(split[part]) & {row["subject"] for row in self.source.clips.values()}:
            raise GaitloomError(f"Nobody in the split's part '{part}' is in {self.source.path}; is it another's split?")
        return set(split[part])


def _read_split(path: Path) -> dict[str, tuple[str, ...]]:
    try:
        return {part: tuple(map(str, subjects)) for part, subjects in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        raise GaitloomError(f"{path} is no split; give a JSON file of part → list of subjects.") from None


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
