"""People by BlazePose: its detector on overlapping squares, then its landmarks for a tight box around each.

Whoever was found shortly before and is not now is looked for once more, from nearer: in a small picture of a wide
scene the detector overlooks who jumps, bends, or stands against the light.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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
    version=3,
    options=Options,
    packages=_blazepose.PACKAGES,
    licence=_blazepose.LICENCE,
    weights=(_blazepose.DETECTOR, _blazepose.LANDMARKS),
)

ROI_SIDE = 2.5  # region's side in circle radii: MediaPipe's own 1.25 x the circle's diameter
SAME_PERSON = 0.35  # circles whose hips are nearer than this many radii are one person seen in two squares
NEARER = (2.75, 3.5, 2.0)  # sides of the squares, in radii, in which somebody is looked for once more
MOVED = 0.75  # radii from where the person was last found
SURE = 0.75  # whoever is found with less confidence is looked for once more as well, and the surer one counts
AGAIN = 10  # frames for which somebody is looked for


@dataclass(frozen=True)
class Found:
    """A person: the detector's circle (5,), as `Finder` gives it, with the tight box and the head (4,)."""

    circle: np.ndarray
    box: np.ndarray
    head: np.ndarray

    def at(self, other: "Found", most: float) -> bool:
        """Whether another's hips are so near, in radii."""
        return bool(np.hypot(*(self.circle[:2] - other.circle[:2])) <= most * other.circle[2])


class Backend:
    """Finds everyone in each frame; of the frames before, it knows where somebody was."""

    temporal = True

    def __init__(self, options: Options):
        self._options = options
        self._find, self._pose = _blazepose.Finder(), _blazepose.Poser()

    def people(self, images: Iterable[np.ndarray]) -> Iterator[People]:
        """For every RGB image (H, W, 3) uint8: tight boxes, heads and scores of everyone in it."""
        missed: list[tuple[Found, int]] = []  # with how many frames ago that was
        for image in images:
            found: list[Found] = []
            for circle in self._circles(image):
                person = self._posed(image, circle)
                again = self._nearer(image, person) if person and circle[4] < SURE else None
                self._add(found, max((p for p in (person, again) if p), key=lambda p: p.circle[4], default=None))
            for person, _ in missed:
                if not any(f.at(person, SAME_PERSON) for f in found):
                    self._add(found, self._nearer(image, person))
            gone = [(p, age + 1) for p, age in missed if age < AGAIN and not any(f.at(p, SAME_PERSON) for f in found)]
            missed = [*((f, 1) for f in found), *gone]
            box, head = (np.array([getattr(f, n) for f in found], np.float32).reshape(-1, 4) for n in ("box", "head"))
            yield People(box, np.array([f.circle[4] for f in found], np.float32), head=head)

    @staticmethod
    def _add(found: list[Found], person: Found | None) -> None:
        if person and not any(iou(person.box[None], f.box[None]) >= 0.6 or f.at(person, SAME_PERSON) for f in found):
            found.append(person)

    def _posed(self, image: np.ndarray, circle: np.ndarray) -> Found | None:
        x, y, radius, tilt, _ = circle
        posed = self._pose(image, (x, y), ROI_SIDE * radius, tilt)
        size = image.shape[1], image.shape[0]
        box = None if posed is None else body_box(posed.points, *size)
        return None if posed is None or box is None else Found(circle, box, head_box(posed.points, box, *size))

    def _nearer(self, image: np.ndarray, person: Found) -> Found | None:
        """The person again, found in squares just around where it was last, the surest of these."""
        x, y, radius = person.circle[:3]
        best = None
        for side in NEARER:
            half = side * radius / 2
            low, high = (np.clip((x + d, y + d), 0, image.shape[1::-1]).astype(int) for d in (-half, half))
            crop = image[low[1] : high[1], low[0] : high[0]]
            for circle in self._find(np.ascontiguousarray(crop)) if min(crop.shape[:2]) > 8 else ():
                circle[:2] += low
                if circle[4] >= max(self._options.min_score, best.circle[4] if best else 0):
                    again = self._posed(image, circle)
                    if again and again.at(person, MOVED) and 0.6 < circle[2] / radius < 1.6:
                        best = again
        return best

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
