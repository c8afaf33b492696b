"""One inner iteration of TV-L1 as one kernel for the GPU, in Triton: what `_tvl1_torch.step` does in some thirty.

Every pixel computes the new u of itself, of its right and of its lower neighbour, and from these its own p. That is
three times the arithmetic, which costs little beside the memory. Old and new values lie apart, so that no pixel waits
for another.
"""

# pyright: reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false, reportIndexIssue=false, reportOperatorIssue=false
import torch
import triton
import triton.language as tl

ROWS, COLUMNS = 4, 128  # pixels of a program


@triton.jit
def _primal(x, y, at, inside, width, i1x, i1y, inverse, rho, u1, u2, p11, p12, p21, p22, data, theta):
    """u + TH(u) + θ div p of both components at pixels (x, y), which lie at offsets `at`; anything where not inside."""
    left, up = inside & (x > 0), inside & (y > 0)
    gx, gy = tl.load(i1x + at, inside, 0.0), tl.load(i1y + at, inside, 0.0)
    a, b = tl.load(u1 + at, inside, 0.0), tl.load(u2 + at, inside, 0.0)
    f = (tl.load(rho + at, inside, 0.0) + (gx * a + gy * b)) * tl.load(inverse + at, inside, 0.0)
    f = tl.minimum(tl.maximum(f, -data), data)
    div1 = tl.load(p11 + at, inside, 0.0) - tl.load(p11 + at - 1, left, 0.0)
    div1 = div1 + tl.load(p12 + at, inside, 0.0) - tl.load(p12 + at - width, up, 0.0)
    div2 = tl.load(p21 + at, inside, 0.0) - tl.load(p21 + at - 1, left, 0.0)
    div2 = div2 + tl.load(p22 + at, inside, 0.0) - tl.load(p22 + at - width, up, 0.0)
    return a - f * gx + theta * div1, b - f * gy + theta * div2


@triton.jit
def iterate(
    i1x, i1y, inverse, rho, u1, u2, p11, p12, p21, p22, u1_after, u2_after, p11_after, p12_after, p21_after, p22_after,
    height, width, data, theta, step, rows: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    """`rows` x `columns` pixels of one pair. All planes are (pairs, height, width) float32."""
    x = tl.program_id(0) * columns + tl.arange(0, columns)[None, :]
    y = tl.program_id(1) * rows + tl.arange(0, rows)[:, None]
    at = tl.program_id(2).to(tl.int64) * height * width + y * width + x
    inside = (x < width) & (y < height)
    right, below = inside & (x + 1 < width), inside & (y + 1 < height)
    a, b = _primal(x, y, at, inside, width, i1x, i1y, inverse, rho, u1, u2, p11, p12, p21, p22, data, theta)
    tl.store(u1_after + at, a, inside)
    tl.store(u2_after + at, b, inside)
    ax, bx = _primal(x + 1, y, at + 1, right, width, i1x, i1y, inverse, rho, u1, u2, p11, p12, p21, p22, data, theta)
    ay, by = _primal(
        x, y + 1, at + width, below, width, i1x, i1y, inverse, rho, u1, u2, p11, p12, p21, p22, data, theta
    )
    ax, bx = tl.where(right, ax - a, 0.0), tl.where(right, bx - b, 0.0)
    ay, by = tl.where(below, ay - a, 0.0), tl.where(below, by - b, 0.0)
    c, d = 1.0 + step * tl.sqrt(ax * ax + ay * ay), 1.0 + step * tl.sqrt(bx * bx + by * by)
    tl.store(p11_after + at, (tl.load(p11 + at, inside, 0.0) + step * ax) / c, inside)
    tl.store(p12_after + at, (tl.load(p12 + at, inside, 0.0) + step * ay) / c, inside)
    tl.store(p21_after + at, (tl.load(p21 + at, inside, 0.0) + step * bx) / d, inside)
    tl.store(p22_after + at, (tl.load(p22 + at, inside, 0.0) + step * by) / d, inside)


def step(
    u: torch.Tensor,
    p: torch.Tensor,
    gradient: torch.Tensor,
    inverse: torch.Tensor,
    rho: torch.Tensor,
    factors: tuple[float, float, float],
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `_tvl1_torch.step`, of contiguous tensors."""
    after, p_after = torch.empty_like(u), torch.empty_like(p)
    pairs, height, width = rho.shape
    grid = triton.cdiv(width, COLUMNS), triton.cdiv(height, ROWS), pairs
    iterate[grid](
        *gradient, inverse, rho, *u, *_by_component(p), *after, *_by_component(p_after), height, width, *factors,
        rows=ROWS, columns=COLUMNS,
    )  # fmt: skip
    return after, p_after


def _by_component(p: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """p11, p12, p21, p22: across and down of u1, then of u2."""
    return p[0, 0], p[1, 0], p[0, 1], p[1, 1]
