"""Text that stays in its place on the picture, such as burnt-in time stamps and names, from looks at some frames."""

from collections.abc import Sequence

import numpy as np

from gaitloom.tracking import iou

EVERY = 1.0  # s between looks
FEWEST = 4  # looks at a clip, however short
SAME = 0.5  # IoU from which text in two looks is one; whoever walks by in a printed shirt is elsewhere a second later
MISSED = 2  # looks later it may be found again


def looks(time: np.ndarray) -> list[int]:
    """The frames at which to look, for a clip with times (T,) s: evenly spread, both ends among them."""
    count = max(FEWEST, int(np.ceil((time[-1] - time[0]) / EVERY)) + 1)
    return np.unique(np.linspace(0, len(time) - 1, count).round().astype(int)).tolist()


def lasting(frames: Sequence[int], found: Sequence[np.ndarray]) -> list[tuple[int, int, np.ndarray]]:
    """What was found at the same place in two looks or more, as (first frame, last frame, box (4,)).

    `found` holds the boxes (N, 4) xyxy that were found in each of `frames`. A text may have come and gone anywhere
    between two looks, so it counts from the look before its first to the look after its last, and as large as it ever
    was. What was found only once is a cloth, a fence or a wheel more often than text.
    """
    chains: list[list[tuple[int, np.ndarray]]] = []
    for look, boxes in enumerate(found):
        for box in boxes:
            alive = [c for c in chains if 0 < look - c[-1][0] <= MISSED]
            overlaps = [float(iou(c[-1][1][None], box[None])[0, 0]) for c in alive]
            if overlaps and max(overlaps) >= SAME:
                alive[int(np.argmax(overlaps))].append((look, box))
            else:
                chains.append([(look, box)])
    kept = []
    for chain in chains:
        if len(chain) > 1:
            boxes = np.array([box for _, box in chain])
            first, last = frames[max(chain[0][0] - 1, 0)], frames[min(chain[-1][0] + 1, len(frames) - 1)]
            kept.append((first, last, np.hstack([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])))
    return kept
