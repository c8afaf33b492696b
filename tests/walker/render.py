"""Drawing of the layers, their label maps, and the exact flow between frames.

Every layer has one affine map per frame from its canvas to the picture; picture, labels and flow all
use these same maps. Image coordinates: pixels, x right, y down, pixel centres at integers.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Camera
from .gait import Floats
from .layers import FloatImage, Layer

# A bone that points at the camera keeps this share of its length in the picture, so that its map
# stays invertible.
LEAST_FORESHORTENING = 0.12
SUPERSAMPLING = 2
Region = tuple[int, int, int, int]  # x0, y0, x1, y1 px, half-open


def layer_maps(layers: list[Layer], joints: dict[str, Floats], camera: Camera, pan: Floats,
               mirror: float) -> tuple[Floats, Floats]:  # fmt: skip
    """Canvas-to-image maps (T,L,2,3) and depths (T,L) in metres.

    joints: name -> (T,3) world metres; pan: (T,2) px shift of the picture; mirror: +1 or -1, the
    sense of a layer's r axis.
    """
    frames = len(pan)
    maps, depths = np.empty((frames, len(layers), 2, 3)), np.empty((frames, len(layers)))
    for i, layer in enumerate(layers):
        start, end = joints[layer.start], joints[layer.end]
        length = layer.length or float(np.linalg.norm(end[0] - start[0]))
        middle = camera.depth(0.5 * (start + end))
        scale = camera.fx / middle  # px per metre at the bone's middle
        a, b = camera.project(start) + pan, camera.project(end) + pan
        bone = b - a
        size = np.maximum(np.linalg.norm(bone, axis=1), 1e-9)
        unit = bone / size[:, None]
        along = unit * np.maximum(size / length, LEAST_FORESHORTENING * scale)[:, None]  # px per metre
        across = mirror * scale[:, None] * np.stack([unit[:, 1], -unit[:, 0]], axis=1)
        u0, v0 = layer.origin
        maps[:, i, :, 0], maps[:, i, :, 1] = across / layer.resolution, along / layer.resolution
        maps[:, i, :, 2] = a - maps[:, i, :, 0] * u0 - maps[:, i, :, 1] * v0
        depths[:, i] = middle - layer.nearer
    return maps, depths


def invert(affine: Floats) -> Floats:
    """Inverse (2,3) of an affine map (2,3)."""
    linear: Floats = np.linalg.inv(affine[:, :2]).astype(np.float64)
    return np.column_stack([linear, -linear @ affine[:, 2]])


class Renderer:
    """Draws frames of one clip. layers: see Layer; maps, depths: from layer_maps.

    background (Hb,Wb,3) float32; pixel p of frame t shows its point p - pan[t] + corner, pan (T,2).
    """

    def __init__(self, layers: list[Layer], maps: Floats, depths: Floats, background: FloatImage,
                 corner: tuple[float, float], pan: Floats, size: tuple[int, int]) -> None:  # fmt: skip
        self.layers, self.maps, self.depths = layers, maps, depths
        self.background, self.corner, self.pan, self.size = background, corner, pan, size
        self.lut = np.array([0] + [layer.label for layer in layers], np.uint8)
        # Bound to the instance, so that the cache goes with it.
        self.ids = lru_cache(maxsize=8)(self._ids)

    def order(self, t: int) -> NDArray[np.intp]:
        """Layer indices of frame t, farthest first. (L,)"""
        return np.argsort(-self.depths[t], kind="stable")

    def region(self, t: int, i: int) -> Region | None:
        """The part of frame t that layer i's canvas can touch, or None."""
        height, width = self.layers[i].canvas.shape[:2]
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64) - 0.5
        seen = corners @ self.maps[t, i, :, :2].T + self.maps[t, i, :, 2]
        x0, y0 = np.maximum(np.floor(seen.min(axis=0)), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(seen.max(axis=0)) + 1, self.size).astype(int)
        return (int(x0), int(y0), int(x1), int(y1)) if x1 > x0 and y1 > y0 else None

    def backdrop(self, t: int) -> FloatImage:
        """Background of frame t, (H,W,3) float32."""
        dx, dy = self.corner[0] - self.pan[t, 0], self.corner[1] - self.pan[t, 1]
        width, height = self.size
        if float(dx).is_integer() and float(dy).is_integer():
            return self.background[int(dy) : int(dy) + height, int(dx) : int(dx) + width].copy()
        shift = np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(self.background, shift, self.size, flags=flags).astype(np.float32)

    def clean(self, t: int) -> FloatImage:
        """Frame t without noise, (H,W,3) float32 RGB 0..255."""
        image = self.backdrop(t)
        regions = {int(i): r for i in self.order(t) if (r := self.region(t, int(i))) is not None}
        if not regions:
            return image
        boxes = np.array(list(regions.values()))
        left, top = (int(x) for x in boxes[:, :2].min(axis=0))
        right, bottom = (int(x) for x in boxes[:, 2:].max(axis=0))
        n = SUPERSAMPLING
        sheet = np.zeros(((bottom - top) * n, (right - left) * n, 4), np.float32)
        for i, (x0, y0, x1, y1) in regions.items():
            # Sub-pixel X of a crop from x0 lies at x0 + (X + 0.5) / n - 0.5.
            move = self.maps[t, i] * n
            move[:, 2] += 0.5 * (n - 1) - n * np.array([x0, y0])
            piece = cv2.warpAffine(self.layers[i].canvas, move, ((x1 - x0) * n, (y1 - y0) * n))
            part = sheet[(y0 - top) * n : (y1 - top) * n, (x0 - left) * n : (x1 - left) * n]
            part *= 1.0 - piece[..., 3:]
            part += piece
        small = cv2.resize(sheet, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        part = image[top:bottom, left:right]
        part *= 1.0 - small[..., 3:]
        part += small[..., :3]
        return image

    def _ids(self, t: int) -> NDArray[np.int8]:
        """(H,W): 0 background, else 1 + index of the front layer at the pixel's centre."""
        ids = np.zeros((self.size[1], self.size[0]), np.int8)
        for i in self.order(t):
            region = self.region(t, int(i))
            if region is None:
                continue
            x0, y0, x1, y1 = region
            move = self.maps[t, i].copy()
            move[:, 2] -= (x0, y0)
            alpha = cv2.warpAffine(self.layers[i].canvas[..., 3], move, (x1 - x0, y1 - y0))
            ids[y0:y1, x0:x1][alpha >= 0.5] = i + 1
        ids.setflags(write=False)
        return ids

    def flow(self, t: int) -> FloatImage:
        """(H,W,2) float32 px from frame t to t + 1."""
        ids = self.ids(t)
        flow = np.empty((*ids.shape, 2), np.float32)
        flow[:] = self.pan[t + 1] - self.pan[t]
        for i in range(len(self.layers)):
            ys, xs = np.nonzero(ids == i + 1)
            if len(xs) == 0:
                continue
            back, there = invert(self.maps[t, i]), self.maps[t + 1, i]
            linear = there[:, :2] @ back[:, :2]
            offset = there[:, :2] @ back[:, 2] + there[:, 2]
            points = np.stack([xs, ys], axis=1).astype(np.float64)
            flow[ys, xs] = points @ linear.T + offset - points
        return flow

    def _covers(self, t: int, i: int, points: Floats) -> NDArray[np.bool_]:
        """(N,) whether layer i covers the picture's points (N,2) in frame t."""
        back = invert(self.maps[t, i])
        where = (points @ back[:, :2].T + back[:, 2]).astype(np.float32)
        alpha = np.ascontiguousarray(self.layers[i].canvas[..., 3])
        found = cv2.remap(alpha, where[:, None, :], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)  # pyright: ignore[reportCallIssue, reportArgumentType]
        return found[:, 0] >= 0.5

    def visible(self, t: int) -> NDArray[np.bool_]:
        """(H,W): the point seen at a pixel of frame t is inside frame t + 1 and nothing covers it."""
        ids, after = self.ids(t), self.ids(t + 1)
        height, width = ids.shape
        flow = self.flow(t)
        x = np.arange(width, dtype=np.float64) + flow[..., 0]
        y = np.arange(height, dtype=np.float64)[:, None] + flow[..., 1]
        seen = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        # Where all four pixels around the target show the same layer, so does the target; elsewhere,
        # which is along edges only, ask every layer in front.
        x0, y0 = np.clip(x, 0, width - 1).astype(np.intp), np.clip(y, 0, height - 1).astype(np.intp)
        x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
        same = np.ones_like(seen)
        for ys, xs in ((y0, x0), (y0, x1), (y1, x0), (y1, x1)):
            same &= after[ys, xs] == ids
        rank = np.empty(len(self.layers) + 1, np.intp)
        rank[0] = 0
        rank[1 + self.order(t + 1)] = np.arange(1, len(self.layers) + 1)
        ys, xs = np.nonzero(seen & ~same)
        points = np.stack([x[ys, xs], y[ys, xs]], axis=1)
        own = rank[ids[ys, xs]]
        hidden = np.zeros(len(xs), np.bool_)
        for i in range(len(self.layers)):
            ask = np.nonzero((own < rank[i + 1]) & ~hidden)[0]
            if len(ask):
                hidden[ask] = self._covers(t + 1, i, points[ask])
        seen[ys[hidden], xs[hidden]] = False
        return seen
