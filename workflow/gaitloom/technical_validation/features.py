"""A gait node as one row of named numbers to learn from.

Parameters, their spread and symmetry stand as the node has them. Angles come from each side's mean gait cycle, with
what the Edinburgh Visual Gait Score looks at (Read et al., Journal of Pediatric Orthopaedics 2003;23:296-301): extremes
of stance and of swing, initial contact, and terminal swing. Nothing about the camera, the kind of scale or the number
of frames is a feature, for these tell laboratories and days apart rather than people; only which numbers are unknown
can be seen.
"""

from collections.abc import Iterable

import numpy as np

from gaitloom.gait.angles import CYCLE, CYCLE_NAMES
from gaitloom.gait.steps import STANCE
from gaitloom.gait.summary import PARAMETERS, SIDES
from gaitloom.store import Node

TERMINAL_SWING = 87  # % of the cycle from which on (Perry 1992)


def features(node: Node) -> dict[str, float]:
    """Name → value of a gait node, NaN where unknown; all nodes have the same names in the same order.

    `speed_both`, `speed_both_sd`, `speed_symmetry` (%) and so on for all `PARAMETERS` in their units, `knee_left_...`
    as `_curve` for all joints in degrees.
    """
    found: dict[str, float] = {}
    mean, sd, symmetry = (node.load(name) for name in ("summary_mean", "summary_sd", "symmetry"))
    for j, name in enumerate(PARAMETERS):
        for i, side in enumerate(SIDES):
            found |= {f"{name}_{side}": mean[i, j], f"{name}_{side}_sd": sd[i, j]}
        found[f"{name}_symmetry"] = symmetry[j]
    foot, cycle = node.load("cycle_foot"), node.load("cycle").astype(float)
    share = mean[:, list(PARAMETERS).index("stance_share")]
    for i, side in enumerate(SIDES[1:]):
        stance = share[i + 1] if np.isfinite(share[i + 1]) else STANCE
        off = int(np.clip(round(stance * (CYCLE - 1)), 1, CYCLE - 2))
        for joint, curves in zip(CYCLE_NAMES, np.moveaxis(cycle[foot == i], 1, 0), strict=True):
            whole = curves[np.isfinite(curves).all(axis=1)]
            told = _curve(whole.mean(axis=0) if len(whole) else np.full(CYCLE, np.nan), off)
            found |= {f"{joint}_{side}_{what}": value for what, value in told.items()}
    return {name: float(value) if np.isfinite(value) else float("nan") for name, value in found.items()}


def _curve(curve: np.ndarray, off: int) -> dict[str, float]:
    """What is told of a (101,) curve whose stance ends at the point `off`: degrees, and when the peak is as the sine
    and cosine of its phase, since the cycle's end is its beginning."""
    phase = 2 * np.pi * curve.argmax() / (CYCLE - 1) if np.isfinite(curve).all() else np.nan
    stance, swing = curve[: off + 1], curve[off:]
    return {
        "maximum": curve.max(),
        "minimum": curve.min(),
        "range": np.ptp(curve),
        "contact": curve[0],
        "peak_sine": np.sin(phase),
        "peak_cosine": np.cos(phase),
        "stance_maximum": stance.max(),
        "stance_minimum": stance.min(),
        "swing_maximum": swing.max(),
        "swing_minimum": swing.min(),
        "terminal_swing": curve[TERMINAL_SWING:].mean(),
    }


def matrix(nodes: Iterable[Node]) -> tuple[list[str], np.ndarray]:
    """Names (F) and (N, F) float64 of N gait nodes, in their order."""
    rows = [features(node) for node in nodes]
    names = list(rows[0]) if rows else []
    return names, np.array([[row[name] for name in names] for row in rows], float).reshape(len(rows), len(names))
