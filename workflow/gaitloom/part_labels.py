"""DensePose's label spaces: 24 fine surface parts and 14 coarse body parts. Left and right are the person's.

Source: detectron2, projects/DensePose (densepose_base.py and the data documentation); 0 is background in both.
"""

import numpy as np

COARSE = (
    "background", "torso", "right_hand", "left_hand", "left_foot", "right_foot", "right_upper_leg", "left_upper_leg",
    "right_lower_leg", "left_lower_leg", "left_upper_arm", "right_upper_arm", "left_lower_arm", "right_lower_arm",
    "head",
)  # fmt: skip

# Fine parts of each coarse one, in the order of COARSE.
FINE_OF_COARSE = (
    (0,), (1, 2), (3,), (4,), (5,), (6,), (7, 9), (8, 10), (11, 13), (12, 14), (15, 17), (16, 18), (19, 21), (20, 22),
    (23, 24),
)  # fmt: skip

# Fine parts are named after their coarse one; of those that share it, by their number too (DensePose names them no
# further: which is front and which is back is not documented there).
_NAMES = {
    part: name if len(fine) == 1 else f"{name}_{part}"
    for name, fine in zip(COARSE, FINE_OF_COARSE, strict=True)
    for part in fine
}
FINE = tuple(_NAMES[part] for part in range(25))

# RGB of each coarse part, as Health&Gait colours them.
COLOURS = np.array(
    [
        (0, 0, 0), (255, 0, 0), (0, 0, 255), (0, 255, 0), (255, 255, 0), (128, 0, 0), (128, 128, 0), (0, 128, 128),
        (128, 0, 128), (128, 128, 128), (255, 128, 0), (255, 0, 128), (255, 128, 255), (128, 255, 128), (255, 255, 255),
    ],
    np.uint8,
)  # fmt: skip


def fine_to_coarse() -> np.ndarray:
    """(25,) uint8: the coarse part of each fine one; index a fine label map with it."""
    table = np.zeros(25, np.uint8)
    for coarse, fine in enumerate(FINE_OF_COARSE):
        table[list(fine)] = coarse
    return table
