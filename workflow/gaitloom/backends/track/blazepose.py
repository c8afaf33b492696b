"""People by BlazePose: its detector on overlapping squares, then its landmarks for a tight box around each."""

from collections.abc import Iterable, Iterator

import numpy as np
from pydantic import Field

from gaitloom.backends import Spec, _blazepose
from gaitloom.deidentify import heads
from gaitloom.keypoint_formats import BLAZEPOSE_33, view
from gaitloom.strict import Strict
from gaitloom.tracking import People, iou


class Options(Strict):
    """How sure the finder must be."""

    min_score: float = Field(0.5, ge=0.5, le=1, description="Detections below this score are ignored.")


SPEC = Spec(
    version=2,
    options=Options,
    packages=_blazepose.PACKAGES,
    licence=_blazepose.LICENCE,
    weights=(_blazepose.DETECTOR, _blazepose.LANDMARKS),
)

ROI_SIDE = 2.5  # region's side in circle radii: MediaPipe's own 1.25 x the circle's diameter
SAME_PERSON = 0.35  # circles whose hips are nearer than this many radii are one person seen in two squares


class Backend:
    """Finds everyone in each frame by itself; it remembers nothing."""

    def __init__(self, options: Options):
        self._options = options
        self._find, self._pose = _blazepose.Finder(), _blazepose.Poser()

    def people(self, images: Iterable[np.ndarray]) -> Iterator[People]:
        """For every RGB image (H, W, 3) uint8: tight boxes, heads and scores of everyone in it."""
        for image in images:
            boxes, scores, found = [], [], []
            for x, y, radius, tilt, score in self._circles(image):
                posed = self._pose(image, (x, y), ROI_SIDE * radius, tilt)
                if posed is None:
                    continue
                box = body_box(posed.points, image.shape[1], image.shape[0])
                if box is not None and (not boxes or iou(box[None], np.array(boxes)).max() < 0.6):
                    boxes.append(box)
                    scores.append(score)
                    found.append(head_box(posed.points, box, image.shape[1], image.shape[0]))
            box, head = (np.array(rows, np.float32).reshape(-1, 4) for rows in (boxes, found))
            yield People(box, np.array(scores, np.float32), head=head)

    def _circles(self, image: np.ndarray) -> list[np.ndarray]:
        """(5,) a person: hip x, y, radius, tilt, score, over all squares, each person once, the surest first."""
        found = []
        for x, y, side in squares(image.shape[1], image.shape[0]):
            people = self._find(np.ascontiguousarray(image[y : y + side, x : x + side]))
            people[:, :2] += (x, y)
            found += [p for p in people if p[4] >= self._options.min_score]
        kept: list[np.ndarray] = []
        for person in sorted(found, key=lambda p: (-p[4], p[0], p[1])):
            if all(np.hypot(*(person[:2] - k[:2])) > SAME_PERSON * min(person[2], k[2]) for k in kept):
                kept.append(person)
        return kept


def squares(width: int, height: int) -> list[tuple[int, int, int]]:
    """(x, y, side) of squares as large as the picture allows that cover it, neighbours overlapping by half or more.

    The detector's input is square: a wide picture shrunk into it would leave people too small to find.
    """
    side, long = min(width, height), max(width, height)
    count = 1 if long == side else int(np.ceil((long - side) / (side / 2))) + 1
    starts = [round(i * (long - side) / max(1, count - 1)) for i in range(count)]
    return [(s, 0, side) if width >= height else (0, s, side) for s in starts]


def body_box(points: np.ndarray, width: int, height: int) -> np.ndarray | None:
    """(4,) float32 xyxy around BlazePose's landmarks (33, 3), crown included, cut at the picture's borders.

    None where less than a few pixels of it lie inside. The crown lies above the ears by 0.54 of the distance from
    shoulders to ears (tragion at 0.936, shoulder at 0.818 of stature: Winter 2009, fig. 4.1).
    """
    ears, shoulders = points[[7, 8], :2].mean(axis=0), points[[11, 12], :2].mean(axis=0)
    outline = np.vstack([points[:, :2], ears + 0.54 * (ears - shoulders)])
    low, high = outline.min(axis=0), outline.max(axis=0)
    margin = 0.02 * (high[1] - low[1])
    low = np.clip(low - margin, 0, (width, height))
    high = np.clip(high + margin, 0, (width, height))
    return np.array([*low, *high], np.float32) if (high - low).min() > 4 else None


def head_box(points: np.ndarray, box: np.ndarray, width: int, height: int) -> np.ndarray:
    """(4,) float32 xyxy of the whole head by BlazePose's landmarks (33, 3) of a person with this box, NaN where they do
    not say."""
    xy, score = view(points[None, :, :2], np.ones((1, len(points)), np.float32), BLAZEPOSE_33.points)
    found = heads.of_pose(xy[0], score[0], box, (width, height))
    return np.full(4, np.nan, np.float32) if found is None else found.box.astype(np.float32)
