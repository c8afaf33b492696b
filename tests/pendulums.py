"""Stores of bars that swing: how fast they do is all that tells them apart, and no one frame tells it."""

from collections.abc import Sequence
from pathlib import Path

import loaders_store
import numpy as np
from gaitloom.store import Store

SIDE, LENGTH = 24, 24
SWING = {"slow": 16, "fast": 6}  # frames of a swing


def pendulum(period: float, random: np.random.Generator) -> np.ndarray:
    """(24, 24, 24) bool: a bar that swings about the middle, from any phase."""
    y, x = np.mgrid[:SIDE, :SIDE]
    phase = random.random() * 2 * np.pi
    tilt = 0.7 * np.sin(2 * np.pi * np.arange(LENGTH) / period + phase)[:, None, None]
    width, middle = random.uniform(1.5, 2.5), random.uniform(9, 15)
    return np.abs(x - middle - tilt * (y - 3)) < width


def put(folder: Path, people: int, nodes: Sequence[str] = ("silhouette",)) -> Path:
    """A store of people with one clip each, P000/trial-1 on, slow and fast by turns; the column `swing` says which."""
    made, rows = Store(folder), []
    for i in range(people):
        label = ("slow", "fast")[i % 2]
        mask = pendulum(SWING[label], np.random.default_rng(i))
        rows.append(loaders_store.put_clip(made, f"P{i:03}", mask=mask, nodes=nodes, swing=label))
    return loaders_store.finish(made, rows)
