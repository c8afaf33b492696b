"""Which leg is which: left and right put right again over time, and points that jumped taken out.

Pose models exchange the legs for a moment when one passes the other, and now and then put both on one leg.
"""

from itertools import product

import numpy as np

from gaitloom.gait import signals
from gaitloom.keypoint_formats import WHOLEBODY_23

PARTS = ("knee", "ankle", "heel", "big_toe")
LEFT, RIGHT = ([WHOLEBODY_23.points.index(f"{side}_{p}") for p in PARTS] for side in ("left", "right"))
MOST = 0.12  # statures of a point's jump; more costs no more, so that a single stray point decides nothing
SWAPPED = 0.03  # statures that it costs to call a frame exchanged: in doubt it is not
ASTRAY = 0.06  # statures off its course from which a point is not believed


def exchanged(xy: np.ndarray, stature: float, rate: float) -> np.ndarray:
    """(N,) bool: frames in which left and right leg are exchanged, as a whole.

    `xy` (N, 23, 2) px, NaN where unknown, `rate` Hz, `stature` px. Of all ways to name the legs, the one in which they
    move most evenly (least change of velocity, knee to toe) with the fewest exchanged frames, by dynamic programming.
    """
    legs = np.stack([xy[:, LEFT + RIGHT], xy[:, RIGHT + LEFT]]) / stature  # (name, N, point, axis)
    count = xy.shape[0]
    if count < 3:
        return np.zeros(count, bool)
    bends = np.zeros((count, 2, 2, 2))  # (N, name at t - 2, at t - 1, at t)
    for a, b, c in product((0, 1), repeat=3):
        jump = np.linalg.norm(legs[c, 2:] - 2 * legs[b, 1:-1] + legs[a, :-2], axis=2)
        known = np.isfinite(jump)
        bends[2:, a, b, c] = np.where(known, np.fmin(jump, MOST), 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    price = SWAPPED * 30 / rate * np.array([0, 1])
    cost = np.zeros((2, 2))  # by the names at t - 1 and t
    best = np.zeros((count, 2, 2), np.int8)
    for t in range(2, count):
        total = cost[:, :, None] + bends[t] + price
        best[t] = total.argmin(axis=0)
        cost = total.min(axis=0)
    names = np.zeros(count, np.int8)
    names[-2], names[-1] = np.unravel_index(int(cost.argmin()), (2, 2))
    for t in range(count - 1, 1, -1):
        names[t - 2] = best[t, names[t - 1], names[t]]
    return names.astype(bool)


def straightened(xy: np.ndarray, stature: float, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """The points (N, 23, 2) with legs named right and stray leg points NaN, and (N,) bool where legs were exchanged."""
    swap = exchanged(xy, stature, rate)
    out = xy.copy()
    frames = np.flatnonzero(swap)[:, None]
    out[frames, LEFT + RIGHT] = xy[frames, RIGHT + LEFT]
    for point in LEFT + RIGHT:
        out[signals.outliers(out[:, point], rate, ASTRAY * stature), point] = np.nan
    return out, swap
