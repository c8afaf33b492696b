"""Single frames of a (T, ...) array, each chunk read and decoded by itself.

The store's frame arrays are chunks of one frame in shards. zarr takes 0.7 ms of a processor for each of a 540p mask,
decoding alone 0.2, so on the local disk such shards are read here: the index at a shard's end has offset and length of
each chunk (Zarr v3, "Sharding codec"), a chunk is one Blosc buffer. Whatever is laid out otherwise, zarr reads.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs.blosc import decompress
from zarr.storage import LocalStore

from gaitloom.errors import GaitloomError
from gaitloom.loaders.frames import BLOCK, slices

NOTHING = 2**64 - 1  # offset of a chunk of fill values


def read(array: zarr.Array, frames: np.ndarray) -> Iterator[np.ndarray]:
    """Rising `frames` (n,) of an array, (BLOCK, ...) or fewer at a time; a block may be overwritten by the next.

    Raises:
        GaitloomError: a shard is damaged where it is read.
    """
    if not (isinstance(array.store, LocalStore) and _is_ours(array)):
        yield from (np.asarray(array[part]) for part in slices(frames))
        return
    assert array.shards is not None
    folder, length = Path(array.store.root) / array.path, array.shards[0]
    block = np.empty((min(BLOCK, len(frames)), *array.shape[1:]), array.dtype)
    for first in range(0, len(frames), BLOCK):
        these = frames[first : first + BLOCK]
        for shard in np.unique(these // length):
            here = np.flatnonzero(these // length == shard)
            file = folder.joinpath("c", str(shard), *"0" * (array.ndim - 1))
            try:
                _read(file, length, [(int(these[at] % length), block[at]) for at in here])
            except (ValueError, RuntimeError, OverflowError, OSError) as error:
                name = "/".join(folder.parts[-4:])
                raise GaitloomError(
                    f"{name} is damaged ({error}); `gaitloom verify --drop` removes its node."
                ) from None
        yield block[: len(these)]


def _read(file: Path, length: int, wanted: list[tuple[int, np.ndarray]]) -> None:
    """Decode chunks, by their numbers, of a shard of so many into arrays; 0 where the shard or the chunk is not."""
    if not file.is_file():
        for _, out in wanted:
            out[...] = 0
        return
    handle = os.open(file, os.O_RDONLY)
    try:
        size = 16 * length
        tail = os.pread(handle, size + 4, max(0, os.fstat(handle).st_size - size - 4))
        if google_crc32c.value(tail[:size]) != int.from_bytes(tail[size:], "little"):
            raise ValueError("its index")
        index = np.frombuffer(tail, "<u8", 2 * length).reshape(length, 2)
        for number, out in wanted:
            offset, count = index[number].tolist()
            if offset == NOTHING:
                out[...] = 0
                continue
            data = os.pread(handle, count, offset)
            if int.from_bytes(data[4:8], "little") != out.nbytes:  # Blosc's header: bytes before compression
                raise ValueError(f"chunk {number}")
            decompress(data, out)
    finally:
        os.close(handle)


def _is_ours(array: zarr.Array) -> bool:
    """Whether it is laid out as `Store.stream` does."""
    document: dict[str, Any] = array.metadata.to_dict()
    if array.shards is None or array.fill_value != 0 or len(document["codecs"]) > 1 or sys.byteorder != "little":
        return False
    how = document["codecs"][0]["configuration"]
    return (
        array.chunks == (1, *array.shape[1:])
        and array.shards[1:] == array.shape[1:]
        and [codec["name"] for codec in how["codecs"]] == ["bytes", "blosc"]
        and how["codecs"][0].get("configuration") in (None, {"endian": "little"})
        and [codec["name"] for codec in how["index_codecs"]] == ["bytes", "crc32c"]
        and how["index_location"] == "end"
        and document["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "/"}}
    )
