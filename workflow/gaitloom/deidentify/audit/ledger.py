"""What a deidentified node declares: its regions, and how each is painted."""

from collections.abc import Container
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from gaitloom.deidentify import mosaic
from gaitloom.deidentify.heads import HEADS, Regions

COLUMNS = ("frame", "box", "track", "why", "confidence")


@dataclass(frozen=True)
class Ledger:
    """Regions sorted by frame and by the order of painting, the pattern (n, n, 3) uint8 of each, and the clip's length
    and (width, height)."""

    regions: Regions
    patterns: list[np.ndarray]
    length: int
    size: tuple[int, int]

    @classmethod
    def of(cls, node: Any) -> "Ledger":
        """That of a node."""
        order = np.argsort(node.load("region_frame"), kind="stable")
        regions = Regions(*(node.load(f"region_{name}")[order] for name in COLUMNS))
        level = node.load("region_level")[order]
        heads = {}
        for track, colours in zip(node.load("pattern_track").tolist(), node.load("pattern"), strict=True):
            mine = level[(regions.track == track) & np.isin(regions.why, HEADS)]
            step = max(1, len(colours) // max(1, int(mine.max(initial=1))))
            heads[track] = colours[::step, ::step]
        size = node.attributes["width"], node.attributes["height"]
        return cls(regions, mosaic.patterns_of(regions, heads), len(node.load("covered")), size)

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.searchsorted(self.regions.frame, np.arange(self.length + 1))

    def rows(self, t: int) -> slice:
        """The regions of a frame."""
        return slice(int(self._starts[t]), int(self._starts[t + 1]))

    @cached_property
    def is_head(self) -> np.ndarray:
        """(N,) bool: which regions are one head's, not a whole person's or frame's."""
        return np.isin(self.regions.why, HEADS)

    def without(self, frames: Container[int]) -> "Ledger":
        """The same with nothing declared in these frames."""
        kept = np.array([t not in frames for t in self.regions.frame.tolist()], bool)
        regions = Regions(*(getattr(self.regions, name)[kept] for name in COLUMNS))
        return replace(self, regions=regions, patterns=[p for p, k in zip(self.patterns, kept, strict=True) if k])

    def inside(self, t: int, box: np.ndarray) -> float:
        """Share of a box (4,) that lies in the union of a frame's regions, by pixels; what the picture cuts is none."""
        x0, y0, x1, y1 = mosaic.edges(box, self.size)
        covered = np.zeros((max(0, y1 - y0), max(0, x1 - x0)), bool)
        for region in self.regions.box[self.rows(t)]:
            a, b, c, d = mosaic.edges(region, self.size)
            covered[max(0, b - y0) : max(0, d - y0), max(0, a - x0) : max(0, c - x0)] = True
        return float(covered.mean()) if covered.size else 1.0

    def owner(self, t: int, box: np.ndarray) -> int:
        """The track whose region overlaps a box (4,) most in a frame; -1 where none does."""
        rows = self.rows(t)
        boxes = self.regions.box[rows]
        shared = np.prod(
            np.clip(np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2]), 0, None), axis=1
        )
        return int(self.regions.track[rows][int(shared.argmax())]) if shared.max(initial=0) > 0 else -1
