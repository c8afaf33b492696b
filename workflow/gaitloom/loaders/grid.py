"""Resizing with the aspect kept and padding, as TensorFlow's `resize_with_pad`: bilinear, half-pixel centres."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Fit:
    """A full frame of (height, width) px, resized to `inner` (rows, columns) at `corner` (top, left) of `size`."""

    frame: tuple[int, int]
    size: tuple[int, int]
    inner: tuple[int, int]
    corner: tuple[int, int]

    @classmethod
    def of(cls, frame: tuple[int, int], size: tuple[int, int] | None) -> "Fit":
        """How a frame (height, width) fits into `size`; None: as it is."""
        if size is None:
            return cls(frame, frame, frame, (0, 0))
        # In single precision and rounded down, as TensorFlow has it: a pixel more or less hangs on the last bit.
        own, wanted = np.array(frame, np.float32), np.array(size, np.float32)
        scaled = own / (own / wanted).max()
        inner = np.maximum(1, np.floor(scaled).astype(int))
        corner = np.maximum(0, np.floor((wanted - scaled) / 2).astype(int))
        return cls(frame, size, (int(inner[0]), int(inner[1])), (int(corner[0]), int(corner[1])))

    def points(self, xy: np.ndarray) -> np.ndarray:
        """Full-frame pixels (..., 2) x, y as pixels of the sample's picture."""
        scale = np.array([self.inner[1] / self.frame[1], self.inner[0] / self.frame[0]])
        return ((xy + 0.5) * scale - 0.5 + self.corner[::-1]).astype(np.float32)

    def pictures(self, images: np.ndarray, region: tuple[int, int, int, int] | None = None) -> np.ndarray:
        """(n, h, w, C) images of a region x0, y0, x1, y1 in full-frame pixels (of the full frame where none is given),
        as (n, *size, C) float32, bilinear between pixel centres and 0 outside."""
        (y0, y1, v, rows), (x0, x1, u, columns) = self._axes(images, region)
        v, u = v[:, None, None], u[:, None]
        # np.take is several times as quick as indexing; only the rows that are needed are looked at.
        top, bottom = (np.take(images, y, axis=1) for y in (y0, y1))
        left, right = (_mixed(np.take(top, x, axis=2), np.take(bottom, x, axis=2), v) for x in (x0, x1))
        return self._placed(_mixed(left, right, u), rows, columns)

    def labels(self, images: np.ndarray) -> np.ndarray:
        """(n, h, w) labels of the full frame as (n, *size) of the same type, each the nearest pixel's."""
        (y0, y1, v, rows), (x0, x1, u, columns) = self._axes(images, None)
        picked = np.take(np.take(images, np.where(v < 0.5, y0, y1), axis=1), np.where(u < 0.5, x0, x1), axis=2)
        return self._placed(picked, rows, columns)

    def _axes(self, images: np.ndarray, region: tuple[int, int, int, int] | None) -> tuple["_Axis", "_Axis"]:
        x0, y0, x1, y1 = region or (0, 0, self.frame[1], self.frame[0])
        return (
            _axis(self.inner[0], self.frame[0], y0, y1, images.shape[1]),
            _axis(self.inner[1], self.frame[1], x0, x1, images.shape[2]),
        )

    def _placed(self, inner: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        if inner.shape[1:3] == self.size:
            return inner
        out = np.zeros((len(inner), *self.size, *inner.shape[3:]), inner.dtype)
        (top, left), (height, width) = self.corner, self.inner
        out[:, top : top + height, left : left + width][:, rows, columns] = inner
        return out


_Axis = tuple[np.ndarray, np.ndarray, np.ndarray, slice]


def _axis(inner: int, frame: int, start: int, end: int, pixels: int) -> _Axis:
    """Along one axis, of those pixels of the inner picture that the region covers: the image's pixel below and above,
    how far it is from one to the other, and which they are."""
    full = (np.arange(inner) + 0.5) * (frame / inner)  # from the frame's edge, not from a pixel's centre
    there = np.flatnonzero((full > start) & (full < end))
    at = (full[there] - start) * (pixels / (end - start)) - 0.5
    below = np.floor(at)
    low, high = (np.clip(v, 0, pixels - 1).astype(np.intp) for v in (below, below + 1))
    return low, high, (at - below).astype(np.float32), slice(*(there[[0, -1]] + [0, 1])) if len(there) else slice(0)


def _mixed(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """a + (b - a) share, float32."""
    a = a.astype(np.float32)
    return a + (b.astype(np.float32) - a) * share
