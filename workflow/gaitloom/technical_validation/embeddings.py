"""A clip's gait as one vector, without training: what a simple attack would compare to tell people apart.

Each function takes a node and the subject's box (T, 4) from the clip's track, and gives a vector (D,) float32 of the
same length for every clip of its kind, NaN where a number is unknown; None where nobody can be seen. A walk to the
picture's left is turned round, so that the direction does not decide; where nobody moves across the picture (a frontal
view, a camera that follows), pictures stay as they are.
"""

import warnings
from collections.abc import Callable, Iterator

import numpy as np

from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.part_labels import COARSE, fine_to_coarse
from gaitloom.store import Node

FRAMES = 60  # of a clip that are looked at; a GEI needs a few gait cycles
PICTURES = 8  # of a film, each of which costs the decoding of its fragment
ROWS, COLUMNS = 64, 44  # OpenGait's, and those of most gait energy images since
CROSSED = 0.5  # heights by which somebody must move across the picture for the direction to be known
MOVING = 0.05  # heights a second by which a window must move on average; a walker fills a third of it
FEET = 0.03  # statures that feet must point sideways, as in gait.course
STRIPES, BINS = 6, 16

BODY = ("head", "torso", "upper_arm", "lower_arm", "hand", "upper_leg", "lower_leg", "foot")
LIMBS = (
    ("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("heel", "big_toe"),
    ("shoulder", "hip"), ("ear", "shoulder"),
)  # fmt: skip


def silhouette(node: Node, box: np.ndarray | None) -> np.ndarray | None:
    """The gait energy image (Han & Bhanu, IEEE TPAMI 2006;28:316-322): the mean of the silhouettes, 64 rows high, 44
    columns about their middle; 0 to 1."""
    from gaitloom.exchange import opengait

    frames = _aligned(node, "mask", opengait.silhouette, _turned(box))
    return _vector(frames.mean(axis=0) / 255) if len(frames) else None


def parts(node: Node, box: np.ndarray | None) -> np.ndarray | None:
    """The same of each of `BODY`, 32x22, both sides in one, since the near leg is the right one on one way and the left
    one on the other."""
    from gaitloom.exchange import opengait

    groups = _body_parts()[fine_to_coarse()] if node.attributes["label_space"] == "densepose_fine_24" else _body_parts()
    frames = _aligned(node, "label", lambda label: opengait.parsing(groups[label]), _turned(box))
    if not len(frames):
        return None
    shown = frames[:, None] == np.arange(1, len(BODY) + 1)[:, None, None]
    energy = shown.mean(axis=0).reshape(len(BODY), ROWS // 2, 2, COLUMNS // 2, 2).mean(axis=(2, 4))
    return _vector(energy)


def flow(node: Node, box: np.ndarray | None) -> np.ndarray | None:
    """Gait flow images (after Lam, Cheung & Liu, Pattern Recognition 2011;44:973-987, but with the flow's size instead
    of a threshold): mean horizontal and vertical speed in the person's window, in heights a second, less what the
    background does."""
    from gaitloom.modalities.flow import STEPS

    if box is None:
        return None
    frames = _chosen(node, np.isfinite(box[:, 0]))
    region, scale = np.array(node.attributes["region"][:2]), np.array(node.attributes["scale"])
    time, found = node.load("time"), []
    for t, stored in zip(frames, _read(node, "flow", frames), strict=True):
        window = _window(box[t], region, scale)
        moved = (stored / np.float32(STEPS) - _background(stored, box[t], region, scale) / STEPS) / scale
        tall, seconds = box[t, 3] - box[t, 1], time[t + 1] - time[t]
        found.append(_warped(moved, window) / (tall * seconds))
    if not found:
        return None
    speed = np.array(found)
    size = np.abs(speed).mean(axis=0)
    return _vector(size[:, ::-1] if speed[..., 0].mean() < -MOVING else size)


def keypoints(node: Node, box: np.ndarray | None) -> np.ndarray | None:
    """Mean, standard deviation and range (5 to 95 %) of all points about the hips, and limb lengths, in statures.

    Of points in pairs, the sides' mean and how far they are apart: left and right change places with the direction.
    """
    from gaitloom.gait.course import UnfitError, stature_of

    xy = node.load("xy_23")[node.load("valid")].astype(float)
    try:
        xy /= stature_of(xy)
    except UnfitError:
        return None
    at = {name: xy[:, i] for i, name in enumerate(WHOLEBODY_23.points)}
    hips = (at["left_hip"] + at["right_hip"]) / 2
    foot = np.mean([at[f"{s}_big_toe"][:, 0] - at[f"{s}_heel"][:, 0] for s in ("left", "right")], axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # points that are never seen
        facing = np.nanmedian(foot)
        turned = facing < 0 if abs(facing) > FEET else _leftwards(hips[:, 0], 1.0)
        about = (xy - hips[:, None]) * (-1 if turned else 1, 1)
        low, high = np.nanpercentile(about, (5, 95), axis=0)
        statistics = np.stack([np.nanmean(about, axis=0), np.nanstd(about, axis=0), high - low], axis=1)  # (23, 3, 2)
        limbs = [np.nanmedian([np.linalg.norm(at[f"{s}_{a}"] - at[f"{s}_{b}"], axis=1) for s in ("left", "right")])
                 for a, b in LIMBS]  # fmt: skip
    left, right = np.array(WHOLEBODY_23.swaps()).T
    pairs = statistics[left], statistics[right]
    return _vector(statistics[0], np.add(*pairs) / 2, np.abs(np.subtract(*pairs)), limbs)


def gait(node: Node, box: np.ndarray | None) -> np.ndarray | None:
    """The gait parameters and joint angles from which targets are told; see `features`."""
    from gaitloom.technical_validation.features import features

    found = _vector(list(features(node).values()))
    return found if np.isfinite(found).any() else None


def track(node: Node, box: np.ndarray | None) -> np.ndarray | None:
    """Statistics of the subject's box: width by height (mean, standard deviation, 5 and 95 %), height and ground in
    pixels (a camera that stays tells statures), how the height varies, and speed in heights a second."""
    seen = np.flatnonzero(node.load("valid"))
    if len(seen) < 2:
        return None
    x0, y0, x1, y1 = node.load("box")[seen].astype(float).T
    tall, time = y1 - y0, node.load("time")[seen]
    shape, speed = (x1 - x0) / tall, np.abs(np.diff((x0 + x1) / 2) / np.diff(time)) / tall[1:]
    numbers = [shape.mean(), shape.std(), *np.percentile(shape, (5, 95)), np.log(np.median(tall))]
    return _vector([*numbers, np.median(y1), (tall / np.median(tall)).std(), np.median(speed)])


def deidentified(node: Node, box: np.ndarray | None) -> np.ndarray | None:
    """Colours and texture of six stripes of the person's box, from head to toe (after Gray & Tao, ECCV 2008, 262-275):
    histograms of luma, red and blue chroma and the luma's gradient, as square roots, so that their distance is
    Hellinger's. Clothes tell who somebody is; the covered head's colours are part of it."""
    import cv2

    from gaitloom.lazy_video import LazyVideo

    if box is None:
        return None
    film, found = LazyVideo.of(node), []
    for t in _chosen(node, np.isfinite(box[:, 0]), PICTURES):
        x0, y0, x1, y1 = box[t]
        x0, x1 = x0 + (x1 - x0) / 4, x1 - (x1 - x0) / 4  # less of what is behind
        crop = film.frame(int(t))[max(0, round(y0)) : max(0, round(y1)), max(0, round(x0)) : max(0, round(x1))]
        if min(crop.shape[:2]) < STRIPES:
            continue
        colours = cv2.cvtColor(crop, cv2.COLOR_RGB2YCrCb)
        luma = colours[..., 0].astype(np.float32)
        edges = np.hypot(cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)) / 4
        channels = np.dstack([colours, np.clip(edges, 0, 255).astype(np.uint8)])
        found.append([_histograms(stripe) for stripe in np.array_split(channels, STRIPES)])
    return _vector(np.sqrt(np.mean(found, axis=0))) if found else None


EMBEDDINGS: dict[str, Callable[[Node, np.ndarray | None], np.ndarray | None]] = {
    "silhouette": silhouette,
    "parts": parts,
    "flow": flow,
    "keypoints": keypoints,
    "gait": gait,
    "track": track,
    "deidentified": deidentified,
}
OF_ONE_UNIT = (
    "silhouette",
    "parts",
    "flow",
    "deidentified",
    "keypoints",
)  # compared as they are; others in standard deviations
NOT_MEASURED = {
    "video": "it holds time stamps and the size of the picture, which are the camera's",
    "faces": "it holds where faces are, and the track says that of the whole person; faces themselves are in no node",
    "audit": "it holds where gates found something; the figures are of the deidentified node",
}
UNKNOWN = "it has no embedding in gaitloom.technical_validation.embeddings"


def _vector(*numbers: object) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(n, np.float32)) for n in numbers])


def _chosen(node: Node, also: np.ndarray | bool = True, most: int = FRAMES) -> np.ndarray:
    """Up to `most` of the node's valid frames in their order, spread by the golden ratio: even steps could fall in with
    the walker's."""
    seen = np.flatnonzero(node.load("valid") & also)
    if len(seen) <= most:
        return seen
    return seen[np.unique((np.arange(most) * (np.sqrt(5) - 1) / 2 % 1 * len(seen)).astype(int))]


def _read(node: Node, name: str, frames: np.ndarray) -> Iterator[np.ndarray]:
    """The frames of an array one by one; each may be overwritten by later ones."""
    from gaitloom.loaders import shards

    for block in shards.read(node.arrays[name], frames):
        yield from block


def _aligned(node: Node, name: str, align: Callable[[np.ndarray], np.ndarray | None], turned: bool) -> np.ndarray:
    """(n, 64, 44) uint8, frames turned round and aligned. Whoever touches the border may be half outside, so those
    count only where there are no others."""
    from gaitloom.exchange import opengait

    whole, cut = [], []
    for frame in _read(node, name, _chosen(node)):
        if (found := align(frame[:, ::-1] if turned else frame)) is not None:
            edges = frame[0].any() or frame[-1].any() or frame[:, 0].any() or frame[:, -1].any()
            (cut if edges else whole).append(opengait.cut(found))
    return np.array(whole or cut).reshape(-1, ROWS, COLUMNS)


def _turned(box: np.ndarray | None) -> bool:
    """Whether the boxes (T, 4) cross the picture to the left."""
    return box is not None and _leftwards((box[:, 0] + box[:, 2]) / 2, float(np.nanmedian(box[:, 3] - box[:, 1])))


def _leftwards(x: np.ndarray, tall: float) -> bool:
    """Whether somebody who is `tall` goes to the left, by where they are (n,) in the same unit, in order of time."""
    x = x[np.isfinite(x)]
    fifth = max(1, len(x) // 5)
    return len(x) > 0 and bool(np.median(x[-fifth:]) - np.median(x[:fifth]) < -CROSSED * tall)


def _body_parts() -> np.ndarray:
    """(15,) uint8: the number in `BODY`, from 1, of each of DensePose's coarse parts."""
    names = [name.removeprefix("left_").removeprefix("right_") for name in COARSE]
    return np.array([BODY.index(n) + 1 if n in BODY else 0 for n in names], np.uint8)


def _window(box: np.ndarray, region: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(2, 3): where in the scaled region the pixels of a window of 64x44 lie that is as high as the box."""
    tall = box[3] - box[1]
    first = np.array([(box[0] + box[2] - tall * COLUMNS / ROWS) / 2, box[1]])
    step = tall / ROWS
    return np.column_stack([np.diag(step * scale), (first + step / 2 - region) * scale - 0.5])


def _warped(picture: np.ndarray, window: np.ndarray) -> np.ndarray:
    """(64, 44, 2): what a window shows, 0 outside the region."""
    import cv2

    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(np.ascontiguousarray(picture, np.float32), window, (COLUMNS, ROWS), flags=flags)


def _background(stored: np.ndarray, box: np.ndarray, region: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(2,) the median of the flow outside the box, 0 where the box fills the region."""
    x0, y0, x1, y1 = np.rint((box.reshape(2, 2) - region) * scale).astype(int).ravel()
    outside = np.ones(stored.shape[:2], bool)
    outside[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = False
    return np.median(stored[outside], axis=0) if outside.mean() > 0.05 else np.zeros(2)


def _histograms(stripe: np.ndarray) -> np.ndarray:
    """(4, BINS) shares of an (h, w, 4) uint8 stripe's pixels."""
    counts = [np.bincount(channel // (256 // BINS), minlength=BINS) for channel in stripe.reshape(-1, 4).T]
    return np.array(counts) / max(1, stripe[..., 0].size)
