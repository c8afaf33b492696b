"""Which frames a sample is made of, and how a store is asked for just these."""

from collections.abc import Iterator

import numpy as np

from gaitloom.loaders.options import Options

BLOCK = 8  # frames read at a time: 4 MB of 540p masks, so that they are still near when they are resized


def choose(usable: np.ndarray, options: Options, random: np.random.Generator | None = None) -> np.ndarray | None:
    """(n,) int64 frames, never falling, of the `usable` ones (N,) of a clip, rising; None where it is too short and
    left out.

    Health&Gait's rule (`frames_from_video_file` in its `train_MoviNet_*`): s = int(0.15 N) are skipped at either end
    and every ((N - 2 s) // n)-th taken, from the first. Its folders hold the frames that show the person: `usable` are
    those. Where fewer than n are left, its step is 0. `random` is needed for random starts.
    """
    n, skipped = options.frames, int(len(usable) * options.skip)
    left = len(usable) - 2 * skipped
    step = left // n if options.stride == "even" else options.stride
    slack = left - 1 - (n - 1) * step  # how much later the first one may be
    if left < 1 or (options.short == "leave_out" and (step < 1 or slack < 0)):
        return None
    if step < 1 or slack < 0:
        at = np.zeros(n, np.int64) if options.short == "first" else np.arange(n) * left // n
    else:
        later = int(random.integers(slack + 1)) if options.start == "random" and random is not None else 0
        at = later + step * np.arange(n)
    return np.asarray(usable, np.int64)[skipped + at]


def slices(frames: np.ndarray) -> Iterator[slice]:
    """Rising frames as slices of one step each, of `BLOCK` frames at most: a slice costs zarr the chunks in it, where a
    list of the same frames costs it fifty times as much."""
    at = 0
    while at < len(frames):
        step = int(frames[at + 1] - frames[at]) if at + 1 < len(frames) else 1
        steps = np.flatnonzero(np.diff(frames[at : at + BLOCK]) != step)
        count = int(steps[0]) + 1 if len(steps) else len(frames[at : at + BLOCK])
        yield slice(int(frames[at]), int(frames[at + count - 1]) + 1, step)
        at += count
