"""TV-L1 on the CPU: the kernels, and the solver that goes through the pyramid with them.

Symbols are those of docs/tvl1.md. Every quantity of a level is one flat float32 array, a *plane*: the level's rows with
one more above and below, each row with 16 unused values before it and at least 16 after its last full vector. What lies
around a picture is zero, which makes it the border of the divergence, but for u: its neighbours past the last column
and row are copies, which makes the gradient zero there. No kernel then has to tell the border from the inside.
"""

# pyright: reportCallIssue=false
from typing import Any

import cv2
import numpy as np
from numba import njit

from gaitloom.backends import _numba
from gaitloom.backends.flow import _tvl1_schedule, _tvl1_vector
from gaitloom.backends.flow._tvl1_schedule import BITS, FLAT, Parameters, cubic, linear, sizes
from gaitloom.backends.flow._tvl1_vector import (
    LANES,
    blend,
    data_step,
    fma,
    fold,
    hypot,
    inverse_above,
    lane0,
    lane1,
    lane2,
    least,
    load,
    most,
    root,
    splat,
    store,
)

F = np.float32
STRIP = 13  # iterations that follow each other a row apart, so that their rows are still in the cache
PAD = 4  # zero pixels around the warped picture: all that cubic weights ever reach

compiled = _numba.compiled(_numba.folder(__file__, *(str(m.__file__) for m in (_tvl1_schedule, _tvl1_vector))))
inline = njit(**_numba.FLAGS)


@inline
def _primal(o, n, stride, i1x, i1y, inverse, rho, u1, u2, p11, p12, p21, p22, low, high, theta):
    """One row of u ← u + TH(u) + θ div p."""
    for x in range(o, o + n, LANES):
        a, b, gx, gy = load(u1, x), load(u2, x), load(i1x, x), load(i1y, x)
        f = least(most((load(rho, x) + gx * a + gy * b) * load(inverse, x), low), high)
        store(u1, x, a - f * gx + theta * (load(p11, x) - load(p11, x - 1) + load(p12, x) - load(p12, x - stride)))
        store(u2, x, b - f * gy + theta * (load(p21, x) - load(p21, x - 1) + load(p22, x) - load(p22, x - stride)))


@inline
def _primal_as_opencv(
    o, n, stride, i1x, i1y, norm, rho, u1, u2, p11, p12, p21, p22, low, high, theta, flat, inside, first, squares, sums
):
    """The same, divided by |∇I1|² and rounded as OpenCV does; and the row's |Δu|², also in 16 sums."""
    for x in range(o, o + n, LANES):
        a, b, gx, gy = load(u1, x), load(u2, x), load(i1x, x), load(i1y, x)
        f = data_step(load(rho, x) + (gx * a + gy * b), load(norm, x), low, high, flat)
        div1 = load(p11, x) - load(p11, x - 1) + (load(p12, x) - load(p12, x - stride))
        div2 = load(p21, x) - load(p21, x - 1) + (load(p22, x) - load(p22, x - stride))
        if x == o:  # in the first column OpenCV adds in another order
            div1 = blend(first, load(p11, x) + load(p12, x) - load(p12, x - stride), div1)
            div2 = blend(first, load(p21, x) + load(p22, x) - load(p22, x - stride), div2)
        c, d = a - f * gx + theta * div1, b - f * gy + theta * div2
        store(u1, x, c)
        store(u2, x, d)
        square = (c - a) * (c - a) + (d - b) * (d - b)
        store(squares, x, square)
        sums = sums + load(inside, x - o) * square
    return sums


@inline
def _dual(o, n, stride, u1, u2, p11, p12, p21, p22, step, one):
    """One row of p ← (p + τ/θ ∇u) / (1 + τ/θ |∇u|); one division serves both components."""
    for x in range(o, o + n, LANES):
        a, b = load(u1, x), load(u2, x)
        ax, ay = load(u1, x + 1) - a, load(u1, x + stride) - a
        bx, by = load(u2, x + 1) - b, load(u2, x + stride) - b
        c, d = one + step * root(ax * ax + ay * ay), one + step * root(bx * bx + by * by)
        both = one / (c * d)
        r, s = both * d, both * c
        store(p11, x, (load(p11, x) + step * ax) * r)
        store(p12, x, (load(p12, x) + step * ay) * r)
        store(p21, x, (load(p21, x) + step * bx) * s)
        store(p22, x, (load(p22, x) + step * by) * s)


@inline
def _dual_as_opencv(o, n, stride, u1, u2, p11, p12, p21, p22, step, one):
    """The same, rounded as OpenCV does."""
    for x in range(o, o + n, LANES):
        a, b = load(u1, x), load(u2, x)
        ax, ay = load(u1, x + 1) - a, load(u1, x + stride) - a
        bx, by = load(u2, x + 1) - b, load(u2, x + stride) - b
        c, d = one + step * hypot(ax, ay), one + step * hypot(bx, by)
        store(p11, x, (load(p11, x) + step * ax) / c)
        store(p12, x, (load(p12, x) + step * ay) / c)
        store(p21, x, (load(p21, x) + step * bx) / d)
        store(p22, x, (load(p22, x) + step * by) / d)


@inline
def _copy_row(u, to, source, width):
    for x in range(width):
        u[to + x] = u[source + x]


PLANES = ", ".join(["f4[::1]"] * 10)


@compiled(f"void(i8, i8, i8, i8, {PLANES}, f4, f4, f4)")
def iterate(count, height, width, stride, i1x, i1y, inverse, rho, u1, u2, p11, p12, p21, p22, data, theta, step):
    """`count` iterations, each following the one before it down the picture one row behind."""
    n = (stride - 2 * LANES) // LANES * LANES
    low, high, theta_, step_, one = splat(-data), splat(data), splat(theta), splat(step), splat(F(1))
    for done in range(0, count, STRIP):
        strip = min(STRIP, count - done)
        for front in range(1, height + 1 + strip):
            for k in range(max(0, front - height - 1), min(strip, front)):
                y = front - k
                o = y * stride + LANES
                if y <= height:
                    _primal(o, n, stride, i1x, i1y, inverse, rho, u1, u2, p11, p12, p21, p22, low, high, theta_)
                    u1[o + width], u2[o + width] = u1[o + width - 1], u2[o + width - 1]
                else:
                    _copy_row(u1, o, o - stride, width)
                    _copy_row(u2, o, o - stride, width)
                if y > 1:
                    _dual(o - stride, n, stride, u1, u2, p11, p12, p21, p22, step_, one)


@compiled(f"f4(i8, f4, f4[::1], f4[::1], i8, i8, i8, {PLANES}, f4, f4, f4)")
def iterate_until(
    count, threshold, inside, squares, height, width, stride,
    i1x, i1y, norm, rho, u1, u2, p11, p12, p21, p22, data, theta, step,
):  # fmt: skip
    """Up to `count` iterations, until Σ|Δu|² of one is no more than the threshold; returns the last one's.

    OpenCV adds one pixel after the other in float32, which we do where that may decide.
    """
    n = (stride - 2 * LANES) // LANES * LANES
    low, high, theta_, step_, one = splat(-data), splat(data), splat(theta), splat(step), splat(F(1))
    lanes = np.zeros(LANES, np.float32)
    lanes[0] = 1
    first = load(lanes, 0)
    change = F(np.inf)
    for _ in range(count):
        sums = splat(F(0))
        for y in range(1, height + 2):
            o = y * stride + LANES
            if y <= height:
                sums = _primal_as_opencv(
                    o, n, stride, i1x, i1y, norm, rho, u1, u2, p11, p12, p21, p22,
                    low, high, theta_, splat(FLAT), inside, first, squares, sums,
                )  # fmt: skip
                u1[o + width], u2[o + width] = u1[o + width - 1], u2[o + width - 1]
            else:
                _copy_row(u1, o, o - stride, width)
                _copy_row(u2, o, o - stride, width)
            if y > 1:
                _dual_as_opencv(o - stride, n, stride, u1, u2, p11, p12, p21, p22, step_, one)
        store(lanes, 0, sums)
        change = lanes.sum()
        if abs(change - threshold) <= threshold * F(height * width * 2.0**-23):
            change = F(0)
            for y in range(1, height + 1):
                for x in range(y * stride + LANES, y * stride + LANES + width):
                    change += squares[x]
        if change <= threshold:
            break
    return change


@compiled(
    "void(b1, i8, i8, i8, f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1])"
)
def warp(invert, height, width, stride, mixed, across, down, i0, u1, u2, i1x, i1y, norm, rho):
    """I1, I1x and I1y at x + u, and from them what the iterations leave alone: |∇I1|², inverted or not, and ρ − ∇I1·u.

    Positions are rounded to 32nds of a pixel and what lies outside is zero, as in OpenCV's remap.
    """
    n = (stride - 2 * LANES) // LANES * LANES
    line = (width + 2 * PAD) * 4
    flat = splat(FLAT)
    for y in range(height):
        o = (y + 1) * stride + LANES
        for x in range(width):
            px = min(max(F(x) + u1[o + x], F(1 - PAD)), F(width + 1))
            py = min(max(F(y) + u2[o + x], F(1 - PAD)), F(height + 1))
            fx, fy = int(np.rint(px * F(1 << BITS))), int(np.rint(py * F(1 << BITS)))
            at = ((fy >> BITS) + PAD - 1) * line + ((fx >> BITS) + PAD - 1) * 4
            j, k = (fx & ((1 << BITS) - 1)) * LANES, (fy & ((1 << BITS) - 1)) * 4
            if 1 <= fx >> BITS < width - 2 and 1 <= fy >> BITS < height - 2:
                weights = load(across, j)
                found = fold(
                    load(mixed, at) * (weights * splat(down[k])),
                    load(mixed, at + line) * (weights * splat(down[k + 1])),
                    load(mixed, at + 2 * line) * (weights * splat(down[k + 2])),
                    load(mixed, at + 3 * line) * (weights * splat(down[k + 3])),
                )
                rho[o + x], i1x[o + x], i1y[o + x] = lane0(found), lane1(found), lane2(found)
            else:
                rho[o + x], i1x[o + x], i1y[o + x] = F(0), F(0), F(0)
                for i in range(16):  # at the border OpenCV adds in another order
                    weight, tap = across[j + i % 4 * 4] * down[k + i // 4], at + i // 4 * line + i % 4 * 4
                    rho[o + x] += mixed[tap] * weight
                    i1x[o + x] += mixed[tap + 1] * weight
                    i1y[o + x] += mixed[tap + 2] * weight
        for x in range(o, o + n, LANES):
            gx, gy = load(i1x, x), load(i1y, x)
            square = gx * gx + gy * gy
            store(norm, x, inverse_above(square, flat) if invert else square)
            store(rho, x, load(rho, x) - gx * load(u1, x) - gy * load(u2, x) - load(i0, x))


@compiled("void(i8, i8, i8, f4[::1], f4[::1])")
def mix(height, width, stride, i1, mixed):
    """I1, its central differences I1x and I1y, and nothing, side by side for `warp`; half differences at the border."""
    line = (width + 2 * PAD) * 4
    for y in range(height):
        o = (y + 1) * stride + LANES
        above, below = o - stride * min(y, 1), o + stride * min(height - 1 - y, 1)
        for x in range(width):
            at = (y + PAD) * line + (x + PAD) * 4
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            mixed[at] = i1[o + x]
            mixed[at + 1] = F(0.5) * (i1[o + right] - i1[o + left])
            mixed[at + 2] = F(0.5) * (i1[below + x] - i1[above + x])


@compiled("void(f4[::1], i8, i8[::1], i8[::1], f4[::1], f4[::1], i8, i8[::1], i8[::1], f4[::1], f4, f4[:,::1])")
def resize(source, stride, top, bottom, by, target, target_stride, left, right, bx, factor, rows):
    """Bilinear interpolation of one plane into another, times a factor; `rows` is scratch for two of the target's.

    Roundings are those of OpenCV's resize where the processor has fused multiplication and addition.
    """
    for y in range(len(top)):
        for k, line in enumerate((top[y], bottom[y])):
            o = (line + 1) * stride + LANES
            for x in range(len(left)):
                low = source[o + left[x]]
                rows[k, x] = fma(bx[x], source[o + right[x]] - low, low)
        o = (y + 1) * target_stride + LANES
        for x in range(len(left)):
            target[o + x] = fma(by[y], rows[1, x] - rows[0, x], rows[0, x]) * factor


class Level:
    """The planes of one level of the pyramid."""

    def __init__(self, height: int, width: int):
        self.height, self.width = height, width
        n = -(-width // LANES) * LANES
        self.stride = n + 2 * LANES
        self.i0, self.i1, self.squares, *planes = (_aligned((height + 2) * self.stride) for _ in range(13))
        self.constants, self.u, self.p = planes[:4], planes[4:6], planes[6:]
        self.mixed = _aligned((height + 2 * PAD) * (width + 2 * PAD) * 4)
        self.inside = (np.arange(n) < width).astype(F)
        self.filtered = np.empty((height, width), F)
        self.rows = np.empty((2, width), F)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, and values from one row of a plane to the next."""
        return self.height, self.width, self.stride

    def picture(self, plane: np.ndarray) -> np.ndarray:
        """A view (h, w) of a plane without what is around it."""
        return plane.reshape(-1, self.stride)[1:-1, LANES : LANES + self.width]

    def filter(self, size: int) -> None:
        """The median of both components of u."""
        for u in map(self.picture, self.u):
            u[...] = cv2.medianBlur(u, size, self.filtered)


class Solver:
    """Solves one pair after another, in memory that it keeps for pictures of the same size. Not for two threads."""

    def __init__(self, parameters: Parameters):
        self._parameters = parameters
        self._levels: list[Level] = []
        self._down = cubic().ravel()
        self._across = np.repeat(cubic(), 4, axis=1).ravel()

    def __call__(self, before: np.ndarray, after: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
        """(h, w, 2) float32 displacement in pixels from `before` to `after`, (h, w) uint8 or float32 of 0..255.

        `start` is a flow (h, w, 2) that the coarsest level begins with, instead of none.
        """
        shape = (int(before.shape[0]), int(before.shape[1]))
        if not self._levels or (self._levels[0].height, self._levels[0].width) != shape:
            self._levels = [Level(*size) for size in sizes(*shape, self._parameters)]
            self._tables: dict[Any, Any] = {}
        finest, coarsest = self._levels[0], self._levels[-1]
        finest.picture(finest.i0)[...], finest.picture(finest.i1)[...] = before, after
        for fine, coarse in zip(self._levels, self._levels[1:], strict=False):
            for name in ("i0", "i1"):
                self._resize(fine, getattr(fine, name), coarse, getattr(coarse, name), 1 / self._parameters.scale_step)
        if start is None:
            for u in coarsest.u:
                u.fill(0)
        else:
            size = (coarsest.width, coarsest.height)
            for u, given in zip(coarsest.u, np.moveaxis(start, 2, 0), strict=True):
                small = cv2.resize(np.ascontiguousarray(given), size, interpolation=cv2.INTER_AREA)
                coarsest.picture(u)[...] = small * F(coarsest.width / finest.width)
        for number in reversed(range(len(self._levels))):
            self._solve(self._levels[number])
            if number:
                self._enlarge(self._levels[number], self._levels[number - 1])
        return np.stack([finest.picture(u) for u in finest.u], axis=2)

    def _solve(self, level: Level) -> None:
        p = self._parameters
        mix(*level.shape, level.i1, level.mixed)
        for dual in level.p:
            dual.fill(0)
        threshold, iterations = p.threshold(level.height, level.width), p.iterations(level is self._levels[0])
        planes = (*level.shape, *level.constants, *level.u, *level.p, *p.factors)
        for _ in range(p.warps):
            warp(
                threshold < 0, *level.shape, level.mixed, self._across, self._down, level.i0, *level.u, *level.constants
            )
            for _ in range(p.outer_iterations):
                if p.median_filtering > 1:
                    level.filter(p.median_filtering)
                if threshold < 0:
                    iterate(iterations, *planes)
                elif iterate_until(iterations, threshold, level.inside, level.squares, *planes) <= threshold:
                    break

    def _enlarge(self, coarse: Level, fine: Level) -> None:
        for source, target in zip(coarse.u, fine.u, strict=True):
            self._resize(coarse, source, fine, target, None, 1 / self._parameters.scale_step)

    def _resize(
        self, at: Level, source: np.ndarray, to: Level, target: np.ndarray, step: float | None, factor: float = 1.0
    ) -> None:
        """By `step` source pixels a target pixel, or edge to edge where it is None, as OpenCV in either case."""
        key = at.shape, to.shape
        if key not in self._tables:
            self._tables[key] = (
                linear(at.height, to.height, step or at.height / to.height),
                linear(at.width, to.width, step or at.width / to.width),
            )
        rows, columns = self._tables[key]
        resize(source, at.stride, *rows, target, to.stride, *columns, F(factor), to.rows)


def _aligned(count: int) -> np.ndarray:
    """`count` float32 zeros that begin with a cache line."""
    room = np.zeros(count + LANES, F)
    return room[-(room.ctypes.data // 4) % LANES :][:count]
