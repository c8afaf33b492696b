"""TV-L1 in PyTorch: the same steps as `_tvl1_numba`, for a batch of pairs at once, on whatever device PyTorch knows.

Tensors are (pairs, height, width) float32. Nothing is reordered between pairs, so a pair's flow does not depend on the
others of its batch; it differs from the CPU's by rounding.
"""

from collections.abc import Callable
from importlib.util import find_spec
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch.nn.functional import pad

from gaitloom.backends import CPU, Device
from gaitloom.backends._torch import device_of
from gaitloom.backends.flow._tvl1_schedule import BITS, FLAT, Parameters, cubic, linear, sizes

PAD = 4  # zero pixels around the warped picture: all that cubic weights ever reach
Tensor = torch.Tensor


class Solver:
    """Solves batches of pairs."""

    def __init__(self, parameters: Parameters, device: Device = CPU):
        self._parameters, self._device = parameters, device_of(device)
        self._factors = tuple(float(f) for f in parameters.factors)
        self._step = fastest(self._device)
        self._cubic = torch.from_numpy(cubic()).to(self._device)

    @torch.inference_mode()
    def __call__(self, pairs: list[tuple[np.ndarray, np.ndarray]], start: np.ndarray | None = None) -> list[np.ndarray]:
        """(h, w, 2) float32 displacement in pixels for every pair of (h, w) uint8 or float32 of 0..255, in order.

        `start` is a flow (h, w, 2) that the coarsest level of every pair begins with, instead of none.
        """
        flows: list[np.ndarray] = []
        for _, alike in groupby(pairs, lambda pair: pair[0].shape):
            flows += list(self._solve([*alike], start).cpu().numpy())
        return flows

    def _solve(self, pairs: list[tuple[np.ndarray, np.ndarray]], start: np.ndarray | None) -> Tensor:
        p = self._parameters
        height, width = pairs[0][0].shape
        levels = [tuple(self._tensor(np.stack(side)) for side in zip(*pairs, strict=True))]
        for size in sizes(height, width, p)[1:]:
            levels.append(tuple(self._resize(i, *size, 1 / p.scale_step) for i in levels[-1]))
        u = torch.zeros(2, *levels[-1][0].shape, device=self._device)
        if start is not None:
            import cv2

            h, w = levels[-1][0].shape[1:]
            small = cv2.resize(start, (w, h), interpolation=cv2.INTER_AREA)
            u += self._tensor(np.moveaxis(small, 2, 0) * np.float32(w / width))[:, None]
        for i0, i1 in reversed(levels):
            if u.shape[1:] != i0.shape:
                u = torch.stack([self._resize(c, *i0.shape[1:]) for c in u]) * (1 / p.scale_step)
            u = self._level(i0, i1, u, p.iterations(i0 is levels[0][0]))
        return u.permute(1, 2, 3, 0).contiguous()

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self._device)

    def _level(self, i0: Tensor, i1: Tensor, u: Tensor, iterations: int) -> Tensor:
        p = self._parameters
        threshold = float(p.threshold(*i0.shape[1:]))
        dual = u.new_zeros(2, *u.shape)  # of u1 and u2: across, down
        mixed = torch.stack([i1, _central(i1, 2), _central(i1, 1)])
        for _ in range(p.warps):
            warped, gradient = self._warp(mixed, u)
            norm = (gradient * gradient).sum(0)
            inverse = torch.where(norm > float(FLAT), 1 / norm, 0)
            rho = warped - (gradient * u).sum(0) - i0
            going = torch.ones(len(i0), dtype=torch.bool, device=self._device)
            for _ in range(p.outer_iterations):
                if p.median_filtering > 1:
                    u = torch.where(going[:, None, None], _median(u, p.median_filtering), u)
                for _ in range(iterations):
                    after, dual_after = self._step(u, dual, gradient, inverse, rho, self._factors)
                    if threshold < 0:
                        u, dual = after, dual_after
                        continue
                    # A pair that has settled stays as it is while others go on.
                    change = ((after - u) ** 2).sum(dim=(0, 2, 3))
                    u = torch.where(going[:, None, None], after, u)
                    dual = torch.where(going[:, None, None], dual_after, dual)
                    going = going & (change > threshold)
                    if not going.any():
                        break
                if not going.any():
                    break
        return u

    def _warp(self, mixed: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """I1 and its gradient (2, ...) at x + u, as `_tvl1_numba.warp`."""
        _, pairs, height, width = mixed.shape
        x = torch.arange(width, device=self._device) + u[0]
        y = torch.arange(height, device=self._device)[:, None] + u[1]
        fx = (x.clamp(1 - PAD, width + 1) * (1 << BITS)).round().long()
        fy = (y.clamp(1 - PAD, height + 1) * (1 << BITS)).round().long()
        line = width + 2 * PAD
        source = pad(mixed, (PAD,) * 4).flatten(2)
        corner = ((fy >> BITS) + PAD - 1) * line + (fx >> BITS) + PAD - 1
        wx, wy = (self._cubic[f & ((1 << BITS) - 1)] for f in (fx, fy))
        found = torch.zeros_like(mixed)
        for j in range(4):
            for i in range(4):
                at = (corner + j * line + i).reshape(1, pairs, -1).expand(3, -1, -1)
                found += source.gather(2, at).view_as(mixed) * (wy[..., j] * wx[..., i])
        return found[0], found[1:]

    def _resize(self, image: Tensor, height: int, width: int, step: float | None = None) -> Tensor:
        """Bilinear, as `_tvl1_numba.resize`."""
        h, w = image.shape[1:]
        rows = linear(h, height, step or h / height)
        left, right, bx = (torch.from_numpy(a).to(self._device) for a in linear(w, width, step or w / width))
        top, bottom, by = (torch.from_numpy(a).to(self._device) for a in rows)
        image = torch.lerp(image[:, :, left], image[:, :, right], bx)
        return torch.lerp(image[:, top], image[:, bottom], by[:, None])


def step(
    u: Tensor, p: Tensor, gradient: Tensor, inverse: Tensor, rho: Tensor, factors: tuple[float, float, float]
) -> tuple[Tensor, Tensor]:
    """One iteration: u ← u + TH(u) + θ div p, then p ← (p + τ/θ ∇u) / (1 + τ/θ |∇u|).

    u and gradient (2, pairs, h, w); p (2, 2, pairs, h, w), across and down of u1 and u2; inverse (1 / |∇I1|²) and rho
    (pairs, h, w); factors λθ, θ and τ/θ.
    """
    data, theta, tau = factors
    f = ((rho + (gradient * u).sum(0)) * inverse).clamp(-data, data)
    across, down = p
    divergence = across - pad(across, (1, 0))[..., :-1] + down - pad(down, (0, 0, 1, 0))[..., :-1, :]
    u = u - f * gradient + theta * divergence
    slope = torch.stack([pad(u.diff(dim=3), (0, 1)), pad(u.diff(dim=2), (0, 0, 0, 1))])
    return u, (p + tau * slope) / (1 + tau * (slope * slope).sum(0).sqrt())


def fastest(device: torch.device) -> Callable[..., tuple[Tensor, Tensor]]:
    """`step`, on a GPU as one kernel where there is Triton, which PyTorch for CUDA brings along on Linux."""
    if device.type != "cuda" or find_spec("triton") is None:
        return step
    from gaitloom.backends.flow import _tvl1_triton

    return _tvl1_triton.step


def _central(image: Tensor, axis: int) -> Tensor:
    """Central differences; half differences at the border."""
    index = torch.arange(image.shape[axis], device=image.device)
    after, before = (index + 1).clamp(max=len(index) - 1), (index - 1).clamp(min=0)
    return 0.5 * (image.index_select(axis, after) - image.index_select(axis, before))


def _median(u: Tensor, size: int) -> Tensor:
    """The median in squares of `size`; beyond the border its own values are repeated."""
    u = pad(u, (size // 2,) * 4, mode="replicate")
    windows: Any = u.unfold(2, size, 1).unfold(3, size, 1)
    return windows.flatten(4).median(dim=4).values
