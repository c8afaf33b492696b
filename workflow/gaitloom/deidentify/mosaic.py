"""How a region is painted: blocks that say nothing of the head below, pure functions on pictures.

A head gets one pattern for its whole track, since a mosaic that changes from frame to frame can be averaged back: the
mean colours of its blocks over all frames, in coarse steps. How many blocks it may have is found by squinting: the
finest pattern in which detectors see no face, however far the picture is reduced (measured: six across are a face to
them, four can be). Fixed sizes in pixels, blurs, and single pixels taken for blocks give more away.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gaitloom.deidentify.heads import FACE, HEADS, PERSON, POSE, Regions
from gaitloom.faces import Faces

FINEST = 3  # blocks across a head: with four, YuNet and RetinaFace together still saw a face in one of five clips
GRID = 12  # places across a head over which colours are gathered: divides into 1, 2 and 3 blocks
STEP = 16  # grey levels between the colours that blocks may have
GREY = 128  # of whole frames and of rectangles given by hand
VIEWS = 12  # frames of a track that are squinted at
AROUND = 2.5  # side of such a view in those of the region
KEPT = 64  # the region's height in it, in pixels
SQUINT = (8, 12, 16, 24, 32)  # to which heights a head is reduced, in pixels
SHOWN = 96  # and enlarged again


@dataclass(frozen=True)
class View:
    """A region with its surroundings, reduced: `image` (h, w, 3) uint8 RGB; `box` (4,) int, the region in it."""

    image: np.ndarray
    box: np.ndarray


@dataclass(frozen=True)
class Look:
    """How one head looks over its track: the mean colours of its `GRID` x `GRID` places (GRID, GRID, 3) float32, and
    some of its frames."""

    mean: np.ndarray
    views: tuple[View, ...]


def edges(box: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Whole pixels x0, y0, x1, y1 of a box (4,), half-open, with every pixel that it touches, in the frame."""
    low, high = np.floor(box[:2]), np.ceil(box[2:])
    (x0, y0), (x1, y1) = np.clip(low, 0, size).astype(int), np.clip(high, 0, size).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def blocks(pattern: np.ndarray, width: int, height: int) -> np.ndarray:
    """A pattern (n, n, 3) as a picture (height, width, 3) of blocks that are equal within a pixel."""
    rows, columns = (np.arange(n) * len(pattern) // n for n in (height, width))
    return pattern[rows[:, None], columns]


def pattern(mean: np.ndarray, level: int) -> np.ndarray:
    """(level, level, 3) uint8: the colours of that many blocks across, from means (GRID, GRID, 3), in steps."""
    size = GRID // level
    means = mean.reshape(level, size, level, size, 3).mean(axis=(1, 3))
    return np.clip(np.round(means / STEP) * STEP, 0, 255).astype(np.uint8)


def paint(
    image: np.ndarray, boxes: np.ndarray, patterns: Sequence[np.ndarray], out: np.ndarray | None = None
) -> np.ndarray:
    """The picture (H, W, 3) uint8 with each box (N, 4) filled with its pattern (n, n, 3), the later over the earlier;
    a copy, unless `out` is given."""
    painted = image.copy() if out is None else out
    for box, colours in zip(boxes, patterns, strict=True):
        x0, y0, x1, y1 = edges(box, (image.shape[1], image.shape[0]))
        painted[y0:y1, x0:x1] = blocks(colours, x1 - x0, y1 - y0)
    return painted


class Looks:
    """How every track's head looks, gathered frame by frame in bounded memory."""

    def __init__(self, regions: Regions, size: tuple[int, int]):
        self._regions, self._size = regions, size
        chosen = _telling(regions, size)
        tracks = np.unique(regions.track[chosen])
        self._viewed = {r for i in tracks for r in _spread(chosen[regions.track[chosen] == i], VIEWS)}
        self._rows: dict[int, list[int]] = {}
        for row in chosen.tolist():
            self._rows.setdefault(int(regions.frame[row]), []).append(row)
        self._sum = {int(i): np.zeros((GRID, GRID, 3)) for i in tracks}
        self._count = dict.fromkeys(self._sum, 0)
        self._views: dict[int, list[View]] = {i: [] for i in self._sum}

    def add(self, t: int, image: np.ndarray) -> None:
        """Take frame `t`, (H, W, 3) uint8 RGB, in."""
        for row in self._rows.get(t, ()):
            track = int(self._regions.track[row])
            box = edges(self._regions.box[row], self._size)
            self._sum[track] += _grid(image[box[1] : box[3], box[0] : box[2]])
            self._count[track] += 1
            if row in self._viewed and self._regions.why[row] in HEADS:
                self._views[track].append(view(image, box))

    def all(self) -> dict[int, Look]:
        """The look of every track that is somebody's, once all frames are in."""
        means = {i: (total / self._count[i]).astype(np.float32) for i, total in self._sum.items()}
        return {i: Look(mean, tuple(self._views[i])) for i, mean in means.items()}


def _telling(regions: Regions, size: tuple[int, int]) -> np.ndarray:
    """(K,) rows by which to judge how heads look: those of heads that were seen, whole in the picture; for tracks
    without such, whatever there is."""
    box, why = regions.box, regions.why
    inside = (box[:, :2] > 0).all(axis=1) & (box[:, 2:] < size).all(axis=1)
    rank = np.where(np.isin(why, (FACE, POSE)) & inside, 0, np.where(np.isin(why, HEADS), 1, 2))
    best = {i: rank[regions.track == i].min() for i in np.unique(regions.track) if i >= 0}
    return np.array([r for r, i in enumerate(regions.track) if i >= 0 and rank[r] == best[i]], int)


def _spread(rows: np.ndarray, most: int) -> list[int]:
    """At most so many of the rows, evenly spread."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, most).round().astype(int))].tolist()


def _grid(crop: np.ndarray) -> np.ndarray:
    """(GRID, GRID, 3) mean colours over all pixels of a crop (h, w, 3)."""
    import cv2

    area = cv2.INTER_AREA if min(crop.shape[:2]) >= GRID else cv2.INTER_LINEAR
    return cv2.resize(crop.astype(np.float32), (GRID, GRID), interpolation=area)


def view(image: np.ndarray, box: tuple[int, int, int, int]) -> View:
    """A region with as much around it as there is, reduced to `KEPT` pixels of height."""
    import cv2

    x0, y0, x1, y1 = box
    across, down = round((AROUND - 1) / 2 * (x1 - x0)), round((AROUND - 1) / 2 * (y1 - y0))
    left, top = max(0, x0 - across), max(0, y0 - down)
    crop = image[top : y1 + down, left : x1 + across]
    scale = min(1.0, KEPT / (y1 - y0))
    size = max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale))
    inner = np.array([x0 - left, y0 - top, x1 - left, y1 - top])
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA) if scale < 1 else crop.copy()
    return View(small, np.round(inner * scale).astype(int))


# What is found by squinting

Judge = Callable[[Iterable[np.ndarray]], Iterator[Faces]]


def squints(view: View, colours: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The view with its region painted (as it is, for None) at every size of `SQUINT`, enlarged again: pictures
    (h, w, 3) uint8 with the region's box (4,) in each."""
    import cv2

    shown = view.image if colours is None else paint(view.image, view.box[None], [colours])
    tall = view.box[3] - view.box[1]
    for size in SQUINT:
        reduced, scale = shown, min(1.0, size / tall)
        if scale < 1:
            least = [max(1, round(n * scale)) for n in shown.shape[1::-1]]  # what the border cuts may be a line
            reduced = cv2.resize(shown, least, interpolation=cv2.INTER_AREA)
        factor = SHOWN / tall
        wide, high = (max(32, round(n * factor)) for n in shown.shape[1::-1])
        picture = cv2.resize(reduced, (wide, high), interpolation=cv2.INTER_CUBIC)
        yield picture, view.box * np.tile(np.divide((wide, high), shown.shape[1::-1]), 2)


def seen(view: View, colours: np.ndarray | None, judges: Sequence[Judge], least: float) -> bool:
    """Whether all judges find a face of at least this score on the region, at one and the same size."""
    pictures = list(squints(view, colours))
    for judge in judges:  # each is asked about what is a face to all before it
        answers = judge(picture for picture, _ in pictures)
        pictures = [p for p, found in zip(pictures, answers, strict=True) if _on(found, p[1], least)]
    return bool(pictures)


def _on(found: Faces, box: np.ndarray, least: float) -> bool:
    """Whether a face lies with its middle in the box, and is no less than a third of its height."""
    middle = (found.box[:, :2] + found.box[:, 2:]) / 2
    inside = ((middle >= box[:2]) & (middle <= box[2:])).all(axis=1)
    tall = found.box[:, 3] - found.box[:, 1] >= (box[3] - box[1]) / 3
    return bool((inside & tall & (found.score >= least)).any())


def level(look: Look, judges: Sequence[Judge], finest: int, least: float) -> int:
    """The most blocks across, no more than `finest`, with which no face is seen in any view; 1, a solid colour, where
    there is none, or nothing to look at."""
    if not look.views:
        return 1
    for blocks_across in range(finest, 1, -1):
        if not any(seen(view, pattern(look.mean, blocks_across), judges, least) for view in look.views):
            return blocks_across
    return 1


def patterns_of(regions: Regions, heads: dict[int, np.ndarray]) -> list[np.ndarray]:
    """The pattern (n, n, 3) of every region, by the tracks' patterns: its own for a head; its mean for a whole person;
    grey for what is nobody's."""
    grey = np.full((1, 1, 3), GREY, np.uint8)
    solid = {i: pattern(_grid(colours), 1) for i, colours in heads.items()}
    chosen = []
    for track, why in zip(regions.track.tolist(), regions.why.tolist(), strict=True):
        chosen.append(heads.get(track, grey) if why in HEADS else solid.get(track, grey) if why == PERSON else grey)
    return chosen
