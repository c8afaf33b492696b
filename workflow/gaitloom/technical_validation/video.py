"""Telling targets from pictures: a small video model, learned afresh for each fold."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gaitloom.backends import Device
from gaitloom.backends._batches import ran_out
from gaitloom.backends._torch import device_of
from gaitloom.errors import GaitloomError
from gaitloom.technical_validation import train
from gaitloom.technical_validation.learning import Rows
from gaitloom.technical_validation.settings import VideoModel
from gaitloom.technical_validation.windows import Windows


class Video:
    """A `Learner` on the silhouettes, parts, flow or pictures of N clips.

    Classes count alike, however many clips each has; one that nothing is learned of has probability 0. Numbers are
    learned in standard deviations from the mean. A clip that gives no window is told NaN.

    Attributes: `devices`: those that train together; `left_out`: clips that give no window → why.
    """

    name = "video"

    def __init__(self, store: str | Path, paths: Sequence[str], node: str, settings: VideoModel, device: str = "cpu"):
        """`paths`: the clips `{subject}/{clip}` of the N rows.

        Raises:
            GaitloomError: the node has no pictures, or there are fewer GPUs than `settings.gpus`.
        """
        self._windows, self._settings, self._node = Windows(store, paths, node, settings), settings, node
        self.devices, self.left_out = _devices(device, settings.gpus), self._windows.left_out

    def tell(self, rows: Rows, target: np.ndarray, classes: int, seed: int) -> np.ndarray:
        """See `Learner`. On a GPU, the same arguments give nearly the same answer.

        Raises:
            GaitloomError: training failed.
        """
        there = self._windows.there
        usable = there & (target >= 0 if classes else np.isfinite(target))
        learned, asked = rows.train[usable[rows.train]], there[rows.test]
        told = np.full((len(rows.test), classes or 1), np.nan)
        if len(learned) and asked.any():
            known = np.unique(target[learned]).astype(int) if classes else np.zeros(1, int)
            usable &= np.isin(target, known) if classes else True
            stopped_by = rows.validation[usable[rows.validation]]
            told[asked] = 0
            told[np.ix_(asked, known)] = self._told(learned, stopped_by, rows.test[asked], target, known, classes, seed)
        return told if classes else told[:, 0]

    def _told(
        self,
        learned: np.ndarray,
        stopped_by: np.ndarray,
        asked: np.ndarray,
        target: np.ndarray,
        known: np.ndarray,
        classes: int,
        seed: int,
    ) -> np.ndarray:
        """(n, known classes) float64, or (n, 1)."""
        middle, spread, weight = 0.0, 1.0, np.ones(len(target), np.float32)
        if classes:
            wanted = np.searchsorted(known, target).clip(max=len(known) - 1)
            weight = (len(learned) / len(known) / np.bincount(wanted[learned]))[wanted].astype(np.float32)
        else:
            middle, spread = target[learned].mean(), target[learned].std() or 1.0
            wanted = ((target - middle) / spread).astype(np.float32)
        task = train.Task(
            self._windows, self._settings, learned, stopped_by, wanted, weight, len(known) if classes else 0, seed
        )
        self._windows.fill()
        try:
            network = train.learn(task, self.devices)
            found = train.tell(network, task, asked, self.devices[0])
        except RuntimeError as error:
            if not ran_out(error):
                raise
            raise GaitloomError(
                f"Learning from {self._node} does not fit into memory; lower technical_validation.video.batch."
            ) from None
        if not np.isfinite(found).all():
            raise GaitloomError(f"Learning from {self._node} came to no number; is a flow in it without bounds?")
        return found * spread + middle


def _devices(device: str, gpus: int) -> tuple[str, ...]:
    if device == "cpu":
        return (device,)
    first = int(device.partition(":")[2] or 0)
    return tuple(str(device_of(Device(f"cuda:{first + i}"))) for i in range(gpus))
