"""OpenGait's inputs: silhouettes, parsing and heat maps of 64 rows, and the pickles that hold them.

Each is one array (T, ...) a sequence. Sources, for what is done to pictures and poses: ShiqiYu/OpenGait,
datasets/pretreatment.py (silhouettes), datasets/Gait3D-Parsing/pretreatment_gps.py (parsing),
datasets/pretreatment_heatmap.py with configs/skeletongait/pretreatment_heatmap.yaml (heat maps, after Fan et al., AAAI
2024, and Duan et al., CVPR 2022), opengait/data/transform.py (the cut to 44 columns).
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from gaitloom.exchange import _common
from gaitloom.keypoint_formats import COCO_17
from gaitloom.part_labels import COARSE

SIZE = 64
LEAST = 10000  # sum of an 8-bit picture up to which nobody is in it: 39 white pixels

# Labels of Gait3D's parsing, as OpenGait's ParsingGait numbers them; "dress" has nothing in DensePose.
GPS = (
    "background", "head", "torso", "left_arm", "right_arm", "left_hand", "right_hand", "left_leg", "right_leg",
    "left_foot", "right_foot", "dress",
)  # fmt: skip

CANVAS, SIGMA, EPSILON = 128, 8.0, 1e-3  # pixels in which heat maps are drawn; least score that is drawn
TALL = CANVAS // 1.5  # the pose's height in them
NEIGHBOURS = 4
LIMBS = np.array(
    [(0, 1), (0, 2), (1, 3), (2, 4), (0, 5), (5, 7), (7, 9), (0, 6), (6, 8), (8, 10), (5, 11), (11, 13), (13, 15),
     (6, 12), (12, 14), (14, 16), (11, 12)]
)  # fmt: skip
HIPS = [COCO_17.points.index(f"{side}_hip") for side in ("left", "right")]
# A peak of 0..1 as OpenGait's colour map and its rounding down give it.
GREY = (np.linspace(0, 1, 256) * 255).astype(np.uint8)


def silhouette(mask: np.ndarray) -> np.ndarray | None:
    """A mask (H, W) bool of the full frame as (64, 64) uint8, the person as tall as the picture and in its middle; None
    where the rule drops the frame: of less than 40 pixels, or without a centre.

    It is not binarised again: bicubic scaling leaves greys at the edge.
    """
    import cv2

    shown = mask.astype(np.uint8) * 255
    return _aligned(shown, shown, cv2.INTER_CUBIC)


def parsing(label: np.ndarray) -> np.ndarray | None:
    """GPS labels (H, W) uint8 of the full frame as (64, 64) uint8, aligned by themselves as silhouettes are."""
    import cv2

    return _aligned(label, (label > 0).astype(np.uint8) * 255, cv2.INTER_NEAREST)


def cut(frames: np.ndarray) -> np.ndarray:
    """(..., 64, 64) without ten columns on either side, (..., 64, 44): what OpenGait's cutting transform leaves."""
    return frames[..., 10:-10]


def gps() -> np.ndarray:
    """(15,) uint8: the GPS label of each of DensePose's coarse parts; index a coarse label map with it."""
    table = np.zeros(len(COARSE), np.uint8)
    for part, name in enumerate(COARSE):
        table[part] = GPS.index(name.replace("upper_", "").replace("lower_", ""))
    return table


def _aligned(picture: np.ndarray, shown: np.ndarray, how: int) -> np.ndarray | None:
    """`picture` scaled and cropped by where `shown`, of the same shape and 0 or 255, has anything."""
    import cv2

    if shown.sum() <= LEAST:
        return None
    rows = np.flatnonzero(shown.any(axis=1))
    picture, shown = (p[rows[0] : rows[-1] + 1] for p in (picture, shown))
    size = int(SIZE * (picture.shape[1] / picture.shape[0])), SIZE
    picture, shown = (cv2.resize(p, size, interpolation=how) for p in (picture, shown))
    columns = shown.sum(axis=0).cumsum()
    centre = int((columns > columns[-1] / 2).argmax())
    if not centre:  # also where the first column is the centre: that is the rule
        return None
    half = SIZE // 2
    return np.pad(picture, ((0, 0), (half, half)))[:, centre : centre + SIZE]


def heatmaps(pose: np.ndarray) -> np.ndarray:
    """(T, 2, 64, 64) uint8, limbs and joints, of a pose (T, 17, 3) x, y, score in COCO's order, absent points zeros.

    The pose is put with its hips in the middle, as tall in every frame, and each channel cropped to what it shows. An
    absent point is where it is in the four most similar frames, weighted by 1 / distance; that counts for height and
    middle, it is not drawn. Here we differ: a point that no frame has counts for nothing (OpenGait takes it to be in
    the corner of the picture); a frame without any point, or whose hips no frame has, is black.
    """
    out = np.zeros((len(pose), 2, SIZE, SIZE), np.uint8)
    seen = np.flatnonzero(pose.any(axis=(1, 2)))
    score = pose[seen, :, 2].astype(float)
    places = _imputed(np.where(pose[seen, :, :2].any(axis=2, keepdims=True), pose[seen, :, :2], np.nan).astype(float))
    if np.isnan(places[:, HIPS]).any():
        return out
    places -= places[:, HIPS].mean(axis=1, keepdims=True)
    for t, xy, peak in zip(seen, places, score, strict=True):
        tall = np.ptp(xy[np.isfinite(xy[:, 1]), 1])
        if tall > 0:
            xy = xy * (TALL / tall) + CANVAS // 2
            joints = np.repeat(np.arange(len(xy))[:, None], 2, axis=1)
            out[t] = [_cropped(_drawn(xy[ends], peak[ends])) for ends in (LIMBS, joints)]
    return out


def _imputed(xy: np.ndarray) -> np.ndarray:
    """`xy` (T, K, 2), NaN where a point is absent, with absent numbers from the most similar frames that have them."""
    flat = xy.reshape(len(xy), -1)
    there = np.isfinite(flat)
    out = flat.copy()
    for t in np.flatnonzero(~there.all(axis=1)):
        both = there & there[t]
        with np.errstate(invalid="ignore", divide="ignore"):
            squares = np.where(both, flat - flat[t], 0) ** 2
            distance = np.sqrt(squares.sum(axis=1) * flat.shape[1] / both.sum(axis=1))  # NaN: nothing in common
        for column in np.flatnonzero(~there[t]):
            donors = np.flatnonzero(there[:, column])
            near = donors[np.argsort(distance[donors], kind="stable")[:NEIGHBOURS]]
            near = near[np.isfinite(distance[near])]
            if len(near):
                weights = 1 / distance[near] if distance[near].all() else distance[near] == 0
                out[t, column] = np.average(flat[near, column], weights=weights)
            elif len(donors):
                out[t, column] = flat[donors, column].mean()
    return out.reshape(xy.shape)


def _drawn(lines: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(128, 128) float64: the brightest of Gaussians around lines from start to end, (N, 2, 2) px, `scores` (N, 2). The
    lower score is the peak; a line of less than a pixel is its start. Each reaches 3 sigma from the box around it."""
    out = np.zeros((CANVAS, CANVAS))
    for (start, end), score in zip(lines, scores, strict=True):
        if score.min() < EPSILON:
            continue
        along, peak = end - start, score.min()
        if along @ along < 1:
            end, along, peak = start, np.zeros(2), score[0]
        first = np.clip(np.trunc(np.minimum(start, end) - 3 * SIGMA), 0, CANVAS).astype(int)
        last = np.clip(np.trunc(np.maximum(start, end) + 3 * SIGMA) + 1, 0, CANVAS).astype(int)
        window = np.s_[first[1] : last[1], first[0] : last[0]]
        y, x = np.mgrid[window]
        share = ((x - start[0]) * along[0] + (y - start[1]) * along[1]) / max(along @ along, 1)
        share = np.clip(share, 0, 1)
        squares = (x - start[0] - share * along[0]) ** 2 + (y - start[1] - share * along[1]) ** 2
        out[window] = np.maximum(out[window], peak * np.exp(-squares / 2 / SIGMA**2))
    return out


def _cropped(drawn: np.ndarray) -> np.ndarray:
    """(64, 64) uint8: the rows that show anything, and as many columns around the middle."""
    import cv2

    grey = GREY[np.minimum(drawn * 256, 255).astype(int)]
    rows = np.flatnonzero(grey.any(axis=1))
    if not len(rows):
        return np.zeros((SIZE, SIZE), np.uint8)
    half, middle = (rows[-1] - rows[0] + 1) // 2, CANVAS // 2
    square = grey[rows[0] : rows[-1] + 1, middle - half : middle + half + 1]
    scaled = cv2.resize(square / 255.0, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return (scaled * 255).astype(np.uint8)


class _Pickler(pickle.Pickler):
    """Writes arrays by numpy's public name alone: the private ones that numpy pickles by moved with numpy 2, and what
    it writes does not load with the versions before 1.26 that OpenGait is often run with."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, np.ndarray):
            return np.ndarray, ((0,),), obj.__reduce__()[2]  # an empty array, then the state that numpy itself writes
        return NotImplemented


def write(path: Path, array: np.ndarray) -> None:
    """Write a pickled array (T, ...), as OpenGait's loader reads it."""
    with _common.writing(path) as file:
        _Pickler(file, protocol=3).dump(array)
