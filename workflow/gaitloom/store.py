"""The Zarr store: the only module that imports zarr.

`{root}/{subject}/{clip}/{node}` is a Zarr v3 group. A node is written into `.staging` beside the store and published by
one rename, so nothing half-written is ever visible. Frames are chunks of one in shards of `SHARD`. A node's group
carries its recipe, the SHA-256 of each of its files, and a seal over its own metadata.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import socket
import uuid
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zarr
from zarr.codecs import BloscCodec, BloscShuffle

from gaitloom.clips import NodeKey
from gaitloom.errors import GaitloomError
from gaitloom.provenance import Recipe, canonical, digest

SHARD = 64  # frames a shard: 300 frames of any modality are 5 files
PIECE = 256 * 1024  # bytes of a file that lies in the store as it is, read at a time
BLOCK = 512 * 1024  # Blosc's block: masks and labels are a third smaller than with its own choice
METADATA = "zarr.json"

# Zarr warns that consolidated metadata is not in the v3 specification yet; that is known, and everyone's readers cope.
warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")


class Store:
    """The store of one results folder."""

    def __init__(self, results: Path):
        # Absolute, since a missing chunk reads as fill values: a change of folder must not look like an empty node.
        self.root = results.absolute() / "store.zarr"
        self.staging = results.absolute() / ".staging"

    def path(self, key: NodeKey) -> Path:
        """The node's folder."""
        return self.root / str(key)

    def attributes(self, key: NodeKey) -> dict[str, Any] | None:
        """The node's attributes, read without zarr; None where there is no readable node."""
        return _attributes(self.path(key))

    def digest(self, key: NodeKey) -> str | None:
        """The digest of the recipe that made the node, None where there is none."""
        return (self.attributes(key) or {}).get("recipe_digest")

    def open(self, key: NodeKey) -> "Node":
        """Open a node for reading.

        Raises:
            GaitloomError: there is no such node.
        """
        if not (self.path(key) / METADATA).is_file():
            raise GaitloomError(f"{key} is not in the store; run snakemake to make it.")
        return Node(zarr.open_group(self.path(key), mode="r", zarr_format=3))

    def alike(self, key: NodeKey, recipe_digest: str) -> list[NodeKey]:
        """The clip's other nodes that were made by this recipe, sorted."""
        modality = key.node.split("_")[0]
        others = (NodeKey(key.subject, key.name, p.name) for p in (self.root / key.clip).glob(f"{modality}*"))
        return sorted(other for other in others if other != key and self.digest(other) == recipe_digest)

    def list(self) -> list[NodeKey]:
        """Everything that stands where a node belongs, sorted; empty folders, which Snakemake makes ahead, apart."""
        return sorted(
            NodeKey(*path.relative_to(self.root).parts)
            for path in self.root.glob("*/*/*")
            if path.is_dir() and any(path.iterdir())
        )

    def stage(self, key: NodeKey) -> "Staged":
        """Begin a node. What dead processes of this host left in the staging folder is removed."""
        for left in self.staging.glob("*~*~*~*"):
            _, host, pid, _ = left.name.rsplit("~", 3)
            if host == socket.gethostname() and not psutil.pid_exists(int(pid)):
                shutil.rmtree(left, ignore_errors=True)
                left.unlink(missing_ok=True)
        return Staged(self, key)

    def aside(self, name: str) -> Path:
        """A path in the staging folder that nobody else uses, and that tells whose it is."""
        self.staging.mkdir(parents=True, exist_ok=True)
        return self.staging / f"{name}~{socket.gethostname()}~{os.getpid()}~{uuid.uuid4().hex[:8]}"

    def drop(self, key: NodeKey) -> None:
        """Remove a node: its clip's index first, since a deleted node that is still indexed reads as fill values."""
        (self.root / key.clip / METADATA).unlink(missing_ok=True)
        self._remove(self.path(key))

    def clear(self, key: NodeKey) -> None:
        """Remove what is left of a node without metadata: before a job, Snakemake deletes that file alone."""
        if not (self.path(key) / METADATA).is_file():
            self._remove(self.path(key))

    def withdraw_index(self, key: NodeKey, planned: str) -> None:
        """Remove the clip's index where it describes another making of this node than the planned one."""
        index = self.index(key.clip)
        if index is not None and index.get("nodes", {}).get(key.node, planned) != planned:
            (self.root / key.clip / METADATA).unlink(missing_ok=True)

    def index(self, clip: str) -> dict[str, Any] | None:
        """The attributes of a clip's group, None where it has not been indexed."""
        return _attributes(self.root / clip)

    def write_index(self, clip: str, attributes: dict[str, Any], nodes: Sequence[str]) -> None:
        """Make the clip's group over its nodes, with their metadata consolidated into it (never the whole store's:
        a root that held every clip's would cost seconds to open).

        Raises:
            GaitloomError: one of `nodes` is missing.
        """
        folder = self.root / clip
        for node in nodes:
            if not (folder / node / METADATA).is_file():
                raise GaitloomError(f"{clip}/{node} is not in the store; run snakemake to make it.")
        members: dict[str, Any] = {}
        for node in nodes:
            document = json.loads((folder / node / METADATA).read_text())
            inside = document.pop("consolidated_metadata")["metadata"]
            members[node] = {**document, "consolidated_metadata": _consolidated({})}
            members |= {f"{node}/{name}": metadata for name, metadata in inside.items()}
        self._write(folder, _group(attributes, members))

    def write_root(self, attributes: dict[str, Any]) -> None:
        """Make the store's root and its subjects' groups, which hold no arrays."""
        self.root.mkdir(parents=True, exist_ok=True)
        for subject in sorted(p for p in self.root.iterdir() if p.is_dir()):
            if any(subject.glob(f"*/{METADATA}")):
                self._write(subject, _group({"subject": subject.name}, None))
        self._write(self.root, _group(attributes, None))

    def root_attributes(self) -> dict[str, Any] | None:
        """The attributes of the store's root, None where there is none."""
        return _attributes(self.root)

    def _write(self, folder: Path, document: dict[str, Any]) -> None:
        """Put a group's metadata in place by one rename."""
        draft = self.aside("metadata")
        draft.write_text(json.dumps(document, indent=1, ensure_ascii=False))
        draft.replace(folder / METADATA)

    def _remove(self, folder: Path) -> None:
        if folder.exists():
            aside = self.aside("removed")
            folder.rename(aside)
            shutil.rmtree(aside)


class Node:
    """A node opened for reading."""

    def __init__(self, group: zarr.Group):
        self.attributes: dict[str, Any] = dict(group.attrs)
        self.arrays: dict[str, zarr.Array] = dict(sorted(group.arrays()))

    def load(self, name: str) -> np.ndarray:
        """A whole array, in memory."""
        return np.asarray(self.arrays[name][...])

    def frames(self, name: str) -> Iterator[np.ndarray]:
        """The frames of a (T, ...) array in order, read a shard at a time."""
        array = self.arrays[name]
        for first in range(0, array.shape[0], SHARD):
            yield from np.asarray(array[first : first + SHARD])


class Staged:
    """A node in the making, outside the store until `publish`."""

    def __init__(self, store: Store, key: NodeKey):
        self.store, self.key = store, key
        self.folder = store.aside(str(key).replace("/", "."))
        self.folder.mkdir()
        try:
            self._group = zarr.create_group(self.folder, zarr_format=3)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self._streams: list[FrameStream] = []

    @property
    def digest(self) -> str | None:
        """The digest of the recipe that made the node, None while it is in the making."""
        return (_attributes(self.folder) or {}).get("recipe_digest")

    def put(self, name: str, data: np.ndarray, dims: Sequence[str], **attributes: Any) -> None:
        """Write a small array whole, as one chunk; `dims` names its dimensions."""
        array = self._group.create_array(
            name,
            shape=data.shape,
            dtype=data.dtype,
            chunks=tuple(max(1, n) for n in data.shape),
            dimension_names=dims,
            attributes=attributes,
            fill_value=_fill(data.dtype),
        )
        array[...] = data

    def put_bytes(self, name: str, data: np.ndarray, dims: Sequence[str], **attributes: Any) -> None:
        """Write bytes (N,) uint8 as they are (they are compressed already), in pieces, so that a few cost little."""
        piece = max(1, min(PIECE, len(data)))
        array = self._group.create_array(
            name,
            shape=data.shape,
            dtype=data.dtype,
            chunks=(piece,),
            shards=(SHARD * piece,) if len(data) > piece else None,
            compressors=None,
            dimension_names=dims,
            attributes=attributes,
            fill_value=0,
        )
        array[...] = data

    def stream(
        self, name: str, shape: Sequence[int], dtype: Any, dims: Sequence[str], **attributes: Any
    ) -> "FrameStream":
        """An array of `shape` (T, ...) that is filled frame by frame; see `FrameStream`."""
        dtype = np.dtype(dtype)
        array = self._group.create_array(
            name,
            shape=tuple(shape),
            dtype=dtype,
            chunks=(1, *shape[1:]),
            shards=(SHARD, *shape[1:]),
            compressors=BloscCodec(
                typesize=dtype.itemsize,
                cname="zstd",
                clevel=5 if dtype.itemsize == 1 else 1,  # flow at 5 is as large, and a fifth of its job is compression
                shuffle=BloscShuffle.bitshuffle,
                blocksize=BLOCK,
            ),
            dimension_names=dims,
            attributes=attributes,
            fill_value=_fill(dtype),
        )
        stream = FrameStream(array)
        self._streams.append(stream)
        return stream

    def publish(self, recipe: Recipe, attributes: dict[str, Any]) -> bool:
        """Seal the node and rename it into the store; a node of the same recipe that is there already stays.

        Returns whether ours is the one in the store. Raises ValueError where a stream lacks frames.
        """
        for stream in self._streams:
            stream.close()
        arrays = {n: json.loads((self.folder / n / METADATA).read_text()) for n in sorted(self._group.array_keys())}
        checksums = {
            path.relative_to(self.folder).as_posix(): file_sha256(path)
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path != self.folder / METADATA
        }
        stamp = {"recipe": recipe, "recipe_digest": digest(recipe), "checksums": checksums}
        document = _group({"Conventions": "CF-1.11", **attributes, **stamp}, arrays)
        document["attributes"]["seal"] = seal_of(document)
        self.store._write(self.folder, document)
        return self.move_in(stamp["recipe_digest"])

    def move_in(self, ours: str) -> bool:
        """Rename the sealed node, made by the recipe with the digest `ours`, into the store, as `publish` does."""
        target = self.store.path(self.key)
        target.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                self.folder.rename(target)
                return True
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            if self.store.digest(self.key) == ours:
                self.discard()
                return False
            with contextlib.suppress(FileNotFoundError):  # someone else moved it aside first
                self.store._remove(target)

    def discard(self) -> None:
        """Forget the node."""
        for stream in self._streams:
            stream.abandon()
        shutil.rmtree(self.folder, ignore_errors=True)


class FrameStream:
    """Frames appended in order, written a shard at a time by a thread behind the caller: memory is two shards."""

    def __init__(self, array: zarr.Array):
        self._array = array
        self._length = array.shape[0]
        self._next = 0
        self._free = [np.empty((min(SHARD, self._length), *array.shape[1:]), array.dtype) for _ in range(2)]
        self._buffer = self._free.pop()
        self._writer = ThreadPoolExecutor(1)
        self._pending: Future[np.ndarray] | None = None

    def append(self, frame: np.ndarray) -> None:
        """Add the next frame, of the array's shape without T; it is copied."""
        if self._next >= self._length:
            raise ValueError(f"{self._array.path} has {self._length} frames; one more was appended")
        self._buffer[self._next % SHARD] = frame
        self._next += 1
        if self._next % SHARD == 0 or self._next == self._length:
            self._flush()

    def _flush(self) -> None:
        if self._pending is not None:
            self._free.append(self._pending.result())
        first = (self._next - 1) // SHARD * SHARD
        self._pending = self._writer.submit(self._write, first, self._next, self._buffer)
        self._buffer = self._free.pop() if self._free else np.empty_like(self._buffer)

    def _write(self, first: int, last: int, frames: np.ndarray) -> np.ndarray:
        self._array[first:last] = frames[: last - first]
        return frames

    def close(self) -> None:
        """Wait until everything is written.

        Raises:
            ValueError: fewer frames were appended than the time axis has.
        """
        if self._pending is not None:
            self._pending.result()
        self._writer.shutdown()
        if self._next != self._length:
            raise ValueError(f"{self._array.path} got {self._next} of {self._length} frames")

    def abandon(self) -> None:
        """Stop writing."""
        self._writer.shutdown(cancel_futures=True)


def dimensions(array: zarr.Array) -> tuple[str, ...]:
    """The names of an array's dimensions."""
    return tuple(str(name) for name in getattr(array.metadata, "dimension_names", None) or ())


def seal_of(document: dict[str, Any]) -> str:
    """The seal of a group's metadata: SHA-256 of its canonical JSON without the seal."""
    attributes = {k: v for k, v in document["attributes"].items() if k != "seal"}
    return hashlib.sha256(canonical({**document, "attributes": attributes}).encode()).hexdigest()


def _attributes(folder: Path) -> dict[str, Any] | None:
    try:
        document = json.loads((folder / METADATA).read_bytes())
        return dict(document["attributes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _consolidated(members: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "inline", "must_understand": False, "metadata": members}


def _group(attributes: dict[str, Any], members: dict[str, Any] | None) -> dict[str, Any]:
    """A group's metadata document; `members` (relative path → metadata) are consolidated into it."""
    document: dict[str, Any] = {"attributes": attributes, "zarr_format": 3, "node_type": "group"}
    return document if members is None else {**document, "consolidated_metadata": _consolidated(members)}


def _fill(dtype: np.dtype) -> Any:
    return np.nan if dtype.kind == "f" else np.zeros((), dtype)[()]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
