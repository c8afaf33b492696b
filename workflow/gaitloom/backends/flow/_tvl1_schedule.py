"""TV-L1's presets, its pyramid, and the tables that its CPU and GPU forms share."""

from dataclasses import dataclass
from functools import cache

import numpy as np

# The names are those of OpenCV's DualTVL1OpticalFlow. `opencv` has OpenCV's defaults; how `fast` was found is in
# docs/tvl1.md.
PRESETS: dict[str, dict[str, float | int]] = {
    "opencv": {
        "tau": 0.25, "lambda": 0.15, "theta": 0.3, "scales": 5, "scale_step": 0.8, "warps": 5, "epsilon": 0.01,
        "inner_iterations": 30, "outer_iterations": 10, "median_filtering": 5,
    },
    "fast": {
        "tau": 0.25, "lambda": 0.15, "theta": 0.25, "scales": 8, "scale_step": 0.8, "warps": 4, "epsilon": 0.0,
        "inner_iterations": 35, "coarse_iterations": 15, "outer_iterations": 1, "median_filtering": 3,
    },
}  # fmt: skip
SMALLEST = 16  # px; OpenCV makes no level with a shorter side, unless it is the picture itself
BITS = 5  # OpenCV's remap knows 32 positions between two pixels
FLAT = np.float32(np.finfo(np.float32).eps)  # OpenCV's limit of |∇I|², below which it leaves the flow alone


@dataclass(frozen=True)
class Parameters:
    """The options of a solver as numbers. Lengths are pixels, intensities 0..255."""

    tau: float
    lambda_: float
    theta: float
    scales: int
    scale_step: float
    warps: int
    epsilon: float
    inner_iterations: int
    coarse_iterations: int
    outer_iterations: int
    median_filtering: int

    def iterations(self, finest: bool) -> int:
        """Iterations after each median filter, on the picture's own level or on a coarser one."""
        return self.inner_iterations if finest else self.coarse_iterations

    @property
    def factors(self) -> tuple[np.float32, np.float32, np.float32]:
        """λθ, θ and τ/θ as float32."""
        return np.float32(self.lambda_ * self.theta), np.float32(self.theta), np.float32(self.tau / self.theta)

    def threshold(self, height: int, width: int) -> np.float32:
        """The sum over a level of |Δu|² at and below which a warp's iterations end; negative where they never do."""
        return np.float32(self.epsilon**2 * height * width if self.epsilon else -1.0)


def sizes(height: int, width: int, parameters: Parameters) -> list[tuple[int, int]]:
    """(h, w) of every level, the picture's own first, as OpenCV rounds them."""
    found = [(height, width)]
    for _ in range(1, parameters.scales):
        height, width = round(height * parameters.scale_step), round(width * parameters.scale_step)
        if min(height, width) < SMALLEST:
            break
        found.append((height, width))
    return found


@cache
def cubic() -> np.ndarray:
    """(32, 4) float32 weights of the pixels -1, 0, 1, 2 at each 32nd of a pixel (Keys 1981; a = -0.75 as OpenCV's)."""
    a, x = -0.75, np.arange(1 << BITS) / (1 << BITS)

    def near(d: np.ndarray) -> np.ndarray:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: np.ndarray) -> np.ndarray:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return np.stack([far(x + 1), near(x), near(1 - x), far(2 - x)], axis=1).astype(np.float32)


def linear(source: int, target: int, step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `target` pixels its two neighbours among `source` pixels (int64) and the second's weight (float32).

    Centres at integers; `step` is source pixels a target pixel. Beyond the border the border's own value holds.
    """
    x = (np.arange(target) + 0.5) * step - 0.5
    low = np.floor(x).astype(np.int64)
    weight = np.where((low < 0) | (low >= source - 1), 0.0, x - low).astype(np.float32)
    low = np.clip(low, 0, source - 1)
    if 1 < source > target:  # OpenCV comes to the last pixel by a + 1 (b - a) here, which rounds
        weight[low == source - 1], low[low == source - 1] = 1.0, source - 2
    return low, np.minimum(low + 1, source - 1), weight
