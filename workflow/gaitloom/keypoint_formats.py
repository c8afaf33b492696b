"""Keypoint orders by name, and the one view that every backend maps to: COCO-WholeBody's first 23.

Left and right are the person's. Sources: COCO-WholeBody (Jin et al., ECCV 2020) for order and edges; MediaPipe's pose
landmark documentation for BlazePose's 33; Halpe-FullBody (Fang et al., TPAMI 2022) for the order of its 26, rtmlib for
their edges.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class KeypointFormat:
    """A set of keypoints: names in order, and edges between them by index."""

    name: str
    points: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]

    def swaps(self) -> list[tuple[int, int]]:
        """Index pairs (left, right) of the same point on either side."""
        return [
            (i, self.points.index(name.replace("left_", "right_", 1)))
            for i, name in enumerate(self.points)
            if name.startswith("left_")
        ]


WHOLEBODY_23 = KeypointFormat(
    "coco_wholebody_23",
    (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
    ),
    (
        (0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10), (5, 11),
        (6, 12), (11, 12), (11, 13), (12, 14), (13, 15), (14, 16), (15, 17), (15, 18), (15, 19), (16, 20), (16, 21),
        (16, 22),
    ),
)  # fmt: skip

BLAZEPOSE_33 = KeypointFormat(
    "blazepose_33",
    (
        "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
        "left_ear", "right_ear", "left_mouth", "right_mouth", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
        "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
        "left_heel", "right_heel", "left_foot_index", "right_foot_index",
    ),
    (
        (0, 2), (2, 7), (0, 5), (5, 8), (9, 10), (11, 12), (11, 13), (13, 15), (15, 17), (15, 19), (15, 21), (17, 19),
        (12, 14), (14, 16), (16, 18), (16, 20), (16, 22), (18, 20), (11, 23), (12, 24), (23, 24), (23, 25), (25, 27),
        (27, 29), (29, 31), (27, 31), (24, 26), (26, 28), (28, 30), (30, 32), (28, 32),
    ),
)  # fmt: skip

# COCO's keypoints (Lin et al., ECCV 2014) are the body of COCO-WholeBody, which adds the feet.
COCO_17 = KeypointFormat("coco_17", WHOLEBODY_23.points[:17], tuple(e for e in WHOLEBODY_23.edges if max(e) < 17))

# Left and right of the feet alternate here; COCO-WholeBody has each foot's three points together.
HALPE_26 = KeypointFormat(
    "halpe_26",
    (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle", "head", "neck", "hip", "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe",
        "left_heel", "right_heel",
    ),
    (
        (15, 13), (13, 11), (11, 19), (16, 14), (14, 12), (12, 19), (17, 18), (18, 19), (18, 5), (5, 7), (7, 9),
        (18, 6), (6, 8), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (15, 20), (15, 22), (15, 24),
        (16, 21), (16, 23), (16, 25),
    ),
)  # fmt: skip

# OpenPose's COCO model (Cao et al., CVPR 2017): COCO's 17 with a neck, the right side first.
OPENPOSE_18 = KeypointFormat(
    "openpose_18",
    (
        "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
        "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
        "right_ear", "left_ear",
    ),
    (
        (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
        (0, 14), (14, 16), (0, 15), (15, 17),
    ),
)  # fmt: skip


def of(names: tuple[str, ...]) -> KeypointFormat:
    """The format that has these points in this order; one without a name or edges where none is known."""
    every = (value for value in globals().values() if isinstance(value, KeypointFormat))
    return next((f for f in every if f.points == names), KeypointFormat("other", names, ()))


# BlazePose's foot index is the tip of the foot: near the big toe, the best that it has for it.
STANDS_FOR = {"left_big_toe": "left_foot_index", "right_big_toe": "right_foot_index"}


def view(xy: np.ndarray, score: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Any backend's points as COCO-WholeBody's 23, by name.

    `xy` (T, K, 2) pixels and `score` (T, K) of points `names`; gives (T, 23, 2) and (T, 23). A point that the backend
    does not have is NaN with score 0.
    """
    seen = {name: i for i, name in enumerate(names)}
    out_xy = np.full((len(xy), len(WHOLEBODY_23.points), 2), np.nan, np.float32)
    out_score = np.zeros(out_xy.shape[:2], np.float32)
    for target, name in enumerate(WHOLEBODY_23.points):
        source = seen.get(name, seen.get(STANDS_FOR.get(name, "")))
        if source is not None:
            out_xy[:, target], out_score[:, target] = xy[:, source], score[:, source]
    return out_xy, out_score


def swapped(xy: np.ndarray, valid: np.ndarray, height: np.ndarray) -> np.ndarray:
    """(T,) bool: at this frame the legs' left and right changed places against the frame before.

    `xy` (T, 23, 2) pixels in COCO-WholeBody's order, `valid` (T,), `height` (T,) the person's in pixels. Knees, ankles,
    heels and toes are expected where constant velocity puts them; the frame is a swap where exchanging left and right
    fits that expectation much better (less than half the distance, and by more than 5 % of the height on average).
    Frames without two valid ones before them cannot be judged and are not flagged.
    """
    legs = [
        (WHOLEBODY_23.points.index(f"left_{p}"), WHOLEBODY_23.points.index(f"right_{p}"))
        for p in ("knee", "ankle", "heel", "big_toe")
    ]
    left, right = ([pair[side] for pair in legs] for side in (0, 1))
    order = np.array(left + right)
    mirror = np.array(right + left)
    flags = np.zeros(len(xy), bool)
    for t in range(2, len(xy)):
        if not valid[t - 2 : t + 1].all():
            continue
        # Positions before, as they were named at t - 1: a swap there must not repeat itself here.
        earlier = xy[t - 2][mirror if flags[t - 1] else order]
        expected = 2 * xy[t - 1][order] - earlier
        apart = np.stack([np.linalg.norm(xy[t][names] - expected, axis=1) for names in (order, mirror)])
        known = np.isfinite(apart).all(axis=0)
        if not known.any():
            continue
        kept, exchanged = apart[:, known].mean(axis=1)
        flags[t] = exchanged < 0.5 * kept and kept - exchanged > 0.05 * height[t]
    return flags
