"""Two views for learners, as functions on arrays: skeletons drawn on frames, and the patches that hold the person."""

import numpy as np

from gaitloom.errors import GaitloomError
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.loaders.options import Patches, Prompts

FRACTION = 4  # bits of a pixel's fraction that OpenCV draws with


def draw_skeleton(
    pictures: np.ndarray, xy: np.ndarray, score: np.ndarray, prompts: Prompts | None = None
) -> np.ndarray:
    """A copy of (n, H, W, 3) uint8 RGB pictures with the skeletons `xy` (n, 23, 2) px and `score` (n, 23) on them, in
    the order of COCO-WholeBody's first 23. Points that are NaN or below `min_score` are left out, with their lines."""
    import cv2

    prompts = prompts or Prompts()
    out = np.ascontiguousarray(pictures).copy()
    colours = [_colour(a, b, prompts) for a, b in WHOLEBODY_23.edges]
    seen = np.isfinite(xy).all(axis=2) & (score >= prompts.min_score)
    places = np.rint(np.where(seen[..., None], np.clip(xy, -1e5, 1e5), 0) * (1 << FRACTION)).astype(int).tolist()
    for canvas, there, place in zip(out, seen, places, strict=True):
        for (a, b), colour in zip(WHOLEBODY_23.edges, colours, strict=True):
            if there[a] and there[b]:
                cv2.line(canvas, place[a], place[b], colour, prompts.width, cv2.LINE_AA, FRACTION)
        for i in np.flatnonzero(there) if prompts.radius else ():
            cv2.circle(canvas, place[i], prompts.radius << FRACTION, prompts.joint, -1, cv2.LINE_AA, FRACTION)
    return out


def _colour(a: int, b: int, prompts: Prompts) -> tuple[int, int, int]:
    sides = {WHOLEBODY_23.points[i].split("_")[0] for i in (a, b)}
    return prompts.left if sides == {"left"} else prompts.right if sides == {"right"} else prompts.middle


def tubelets(masks: np.ndarray, patches: Patches | None = None) -> np.ndarray:
    """(n / 2, H / 16, W / 16) bool: which tubelets of masks (n, H, W) bool hold enough of the person.

    Flattened, it is in the order of the tokens of a Conv3d with stride = kernel = `patches.tubelet`, so
    `np.flatnonzero` gives the kept tokens' positions: each keeps its own position embedding.

    Raises:
        GaitloomError: the tubelet does not divide the masks.
    """
    patches = patches or Patches()
    shares = _cut(masks[..., None], patches.tubelet).mean(axis=(4, 5, 6), dtype=np.float64)
    combined = {"mean": shares.mean(axis=3), "any": shares.max(axis=3), "all": shares.min(axis=3)}[patches.combine]
    return combined >= patches.threshold


def tokens(video: np.ndarray, patches: Patches | None = None) -> np.ndarray:
    """(N, 2 * 16 * 16 * C): the pixels of each tubelet of a video (n, H, W, C), in the order of `tubelets`, flattened.

    Raises:
        GaitloomError: the tubelet does not divide the video.
    """
    cut = _cut(video, (patches or Patches()).tubelet)
    return cut.reshape(np.prod(cut.shape[:3]), -1)


def _cut(video: np.ndarray, tubelet: tuple[int, int, int]) -> np.ndarray:
    """(n, H, W, C) as (n / t, H / h, W / w, t, h, w, C)."""
    if any(n % p for n, p in zip(video.shape, tubelet, strict=False)):
        raise GaitloomError(f"Tubelets of {tubelet} do not divide frames of {video.shape[:3]}; choose another size.")
    (n, height, width, colours), (t, h, w) = video.shape, tubelet
    return video.reshape(n // t, t, height // h, h, width // w, w, colours).transpose(0, 2, 4, 1, 3, 5, 6)


def positions(kept: np.ndarray) -> np.ndarray:
    """(B, M) int64: the positions of each sample's kept tokens, rising, in a batch `kept` (B, t, h, w) bool; -1 behind
    those of a sample that keeps fewer than M, the most that one does."""
    flat = kept.reshape(len(kept), -1)
    count = flat.sum(axis=1)
    order = np.argsort(~flat, axis=1, kind="stable")[:, : count.max(initial=0)]
    return np.where(np.arange(order.shape[1]) < count[:, None], order, -1)


def savings(kept: np.ndarray) -> dict[str, float]:
    """What selection saves, of `kept` (B, t, h, w) bool: `tokens` of a sample before, `kept` of them on average, the
    `least` and the `most`, and the share `saved`."""
    flat = kept.reshape(len(kept), -1)
    count = flat.sum(axis=1)
    return {
        "tokens": flat.shape[1],
        "kept": float(count.mean()),
        "least": int(count.min()),
        "most": int(count.max()),
        "saved": float(1 - flat.mean()),
    }
