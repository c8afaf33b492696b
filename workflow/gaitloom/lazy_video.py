"""An encoded video as an array of pictures, decoded where they are looked at."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gaitloom.errors import GaitloomError
from gaitloom.fragments import REMEDY, Fragment, read_bytes

if TYPE_CHECKING:
    from gaitloom.store import Node


class LazyVideo:
    """The pictures (T, H, W, 3) uint8 RGB of a fragmented MP4, see `fragments`.

    `mp4` is (bytes,) uint8, anything with a shape that slices (numpy, zarr, xarray); only the header and the fragments
    of the frames asked for are read. Indices are ints, slices, lists of ints or of bools, each axis by itself, as in
    xarray. The fragment looked at last is kept, so frames in order are decoded once each. Threads may share it.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        mp4: Any,
        fragment_offset: np.ndarray,
        fragment_frame: np.ndarray,
        size: Sequence[int],
        fragment_crc32: np.ndarray | None = None,
        name: str = "mp4",
    ):
        """`size` is height and width, `name` what errors call it; without `fragment_crc32` damage is found only where
        it breaks the decoding.

        Raises:
            GaitloomError: the index cannot belong to these bytes.
        """
        offsets, edges = (np.asarray(a).astype(np.int64) for a in (fragment_offset, fragment_frame))
        if not (
            offsets.ndim == 1
            and offsets.shape == edges.shape
            and len(offsets) > 1
            and 0 < offsets[0] <= offsets[-1] <= mp4.shape[0]
            and edges[0] == 0
            and (offsets[1:] > offsets[:-1]).all()  # differences may overflow
            and (edges[1:] > edges[:-1]).all()
            and (np.diff(edges) <= np.diff(offsets)).all()  # no frame takes less than a byte
            and (fragment_crc32 is None or len(fragment_crc32) == len(offsets) - 1)
        ):
            raise GaitloomError(f"{name} has {mp4.shape[0]} bytes, which its fragment index does not fit; {REMEDY}.")
        self.shape = (int(edges[-1]), int(size[0]), int(size[1]), 3)
        self._mp4, self._offsets, self._edges, self._crc32, self._name = mp4, offsets, edges, fragment_crc32, name
        self._forget()

    @classmethod
    def of(cls, node: "Node", name: str = "mp4") -> "LazyVideo":
        """The pictures of a node of the store that holds an encoded video."""
        offset, frame, crc32 = (node.load(f"fragment_{what}") for what in ("offset", "frame", "crc32"))
        size = node.attributes["height"], node.attributes["width"]
        return cls(node.arrays["mp4"], offset, frame, size, crc32, name)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._header: bytes | None = None
        self._last: tuple[int, Fragment] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("_lock", "_header", "_last")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<LazyVideo {self.shape} uint8>"

    def frame(self, index: int) -> np.ndarray:
        """Frame `index`, counted from 0, (H, W, 3) uint8 RGB.

        Raises:
            GaitloomError: its bytes are damaged, or not where the index says.
        """
        number = int(np.searchsorted(self._edges, index, "right")) - 1
        with self._lock:
            try:
                if self._last is None or self._last[0] != number:
                    self._last = None  # freed before the next is made
                    self._last = number, self._fragment(number)
                return self._last[1].frame(index - int(self._edges[number]))
            except GaitloomError as error:
                raise GaitloomError(f"{self._name} {error}.") from None

    def _fragment(self, number: int) -> Fragment:
        if self._header is None:
            self._header = read_bytes(self._mp4, 0, int(self._offsets[0]))
        body = read_bytes(self._mp4, int(self._offsets[number]), int(self._offsets[number + 1]))
        frames = int(self._edges[number + 1] - self._edges[number])
        crc32 = None if self._crc32 is None else int(self._crc32[number])
        return Fragment(self._header, body, number, frames, self.shape[1:3], crc32)

    def __getitem__(self, key: Any) -> np.ndarray:
        keys = _four(key)
        times = np.arange(len(self))[keys[0]]
        if times.ndim == 0:
            return _pick(self.frame(int(times)), keys[1:]).copy()
        if times.ndim > 1:
            raise IndexError("frames are chosen by a list of one dimension")
        nothing = np.broadcast_to(np.uint8(0), self.shape[1:])
        if len(times):
            self.frame(int(times.min()))  # a wrong size is said before memory is taken for it
        out = np.empty((len(times), *_pick(nothing, keys[1:]).shape), np.uint8)
        for position in np.argsort(times, kind="stable"):
            out[position] = _pick(self.frame(int(times[position])), keys[1:])
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("frames are decoded, so they cannot be had without a copy")
        return self[:].astype(dtype or np.uint8, copy=False)


def _four(key: Any) -> tuple[Any, ...]:
    """One index for each of the four axes."""
    keys = key if isinstance(key, tuple) else (key,)
    dots = [position for position, k in enumerate(keys) if k is Ellipsis]
    first = dots[0] if dots else len(keys)
    keys = (*keys[:first], *[slice(None)] * (4 - len(keys) + len(dots)), *keys[first + 1 :])
    if len(dots) > 1 or len(keys) != 4 or any(k is None for k in keys):
        raise IndexError("a video has the four axes time, y, x, channel; give each an int, a slice or a list")
    return keys


def _pick(picture: np.ndarray, keys: Sequence[Any]) -> np.ndarray:
    """Index each axis by itself, the last one first, since an int takes its axis away."""
    for axis in reversed(range(len(keys))):
        picture = picture[(slice(None),) * axis + (keys[axis],)]
    return picture
