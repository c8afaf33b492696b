"""Gate b: the decoded output shows what the ledger declares, in every frame, at the store's own times."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from gaitloom.deidentify import mosaic
from gaitloom.deidentify.audit.gate import RED, Finding, Gate, verdict
from gaitloom.deidentify.audit.ledger import Ledger

MOST = 6.0  # grey levels, mean over a region, by which codecs change what was painted
WORST = 16.0  # the same of a region's worst block
EDGE = 2  # pixels along each block's border that are not judged: codecs halve the colours there, and soften
STAMP = 1e-6  # s
TIMES = "other time stamps"


@dataclass(frozen=True)
class Contents:
    """What the bytes hold: `frames`, (width, height), and each frame's time (T,) in s from the first."""

    frames: int
    size: tuple[int, int]
    time: np.ndarray


def faults(contents: Contents, time: np.ndarray, size: tuple[int, int]) -> list[str]:
    """What of frame count, size and time stamps is not the store's: `time` (T,) s, `size` (width, height)."""
    found = []
    if contents.frames != len(time):
        found.append(f"{contents.frames} frames instead of {len(time)}")
    elif np.abs(contents.time - time).max(initial=0) > STAMP:
        found.append(TIMES)
    if contents.size != tuple(n + n % 2 for n in size):  # as coded: padded to even
        found.append("another picture size")
    return found


def deviations(image: np.ndarray, ledger: Ledger, t: int) -> np.ndarray:
    """(R, 2) grey levels by which each region of frame `t` differs from its pattern in a picture (H, W, 3) uint8: the
    mean over the region, and over its worst block; NaN where nothing of it can be judged.

    Only what no later region covers is judged, and, of blocks that are large enough, only their middles.
    """
    rows = range(*ledger.rows(t).indices(len(ledger.patterns)))
    corners = [mosaic.edges(ledger.regions.box[row], ledger.size) for row in rows]
    out = np.full((len(rows), 2), np.nan)
    for i, (row, (x0, y0, x1, y1)) in enumerate(zip(rows, corners, strict=True)):
        pattern = ledger.patterns[row]
        apart = np.abs(image[y0:y1, x0:x1].astype(np.int16) - mosaic.blocks(pattern, x1 - x0, y1 - y0)).mean(axis=2)
        hidden = np.zeros(apart.shape, bool)
        for a, b, c, d in corners[i + 1 :]:
            # As wide around a later region as around a block: its colours run over too.
            hidden[max(0, b - EDGE - y0) : max(0, d + EDGE - y0), max(0, a - EDGE - x0) : max(0, c + EDGE - x0)] = True
        parts = [apart[p][~hidden[p]] for p in _middles(apart.shape, len(pattern))]
        parts = [p for p in parts if p.size]
        if parts:
            out[i] = np.concatenate(parts).mean(), max(p.mean() for p in parts if p.size >= min(16, parts[0].size))
    return out


def _middles(shape: tuple[int, ...], level: int) -> Iterator[tuple[slice, slice]]:
    """The blocks of a region of (height, width), their edges left out where more than these is left."""
    lines = []
    for n in shape[:2]:
        cuts = [-(-n * i // level) for i in range(level + 1)]
        rim = [(b - a > 3 * EDGE) * EDGE for a, b in pairwise(cuts)]
        lines.append([slice(a + r, b - r) for a, b, r in zip(cuts[:-1], cuts[1:], rim, strict=True)])
    return ((down, across) for down in lines[0] for across in lines[1])


def application(deviation: np.ndarray, ledger: Ledger, wrong: list[str]) -> Gate:
    """Red where a region of the output does not show its pattern, where one is finer than a head may be, and where
    `faults` found something. `deviation` (N, 2) as `deviations` gives it, of every region."""
    mean, worst = deviation.T
    level = np.array([len(p) for p in ledger.patterns], int)
    sides = ledger.regions.box[:, 2:] - ledger.regions.box[:, :2]
    most = np.where(sides.min(axis=1, initial=np.inf) < 2 * EDGE, WORST, MOST)  # a sliver at the border is all edge
    bad = np.flatnonzero((mean > most) | (worst > WORST) | (level > mosaic.FINEST))
    where = ledger.regions
    findings = [Finding(int(where.frame[r]), where.box[r], int(where.track[r]), float(mean[r]), True) for r in bad]
    extremes = {
        f"largest_{what}": round(float(np.nanmax(v, initial=0)), 2) for what, v in (("mean", mean), ("block", worst))
    }
    numbers = {"regions": len(mean), "judged": int(np.isfinite(mean).sum()), **extremes, "faults": wrong}
    gate = verdict(findings, numbers)
    return replace(gate, result=RED) if wrong else gate
