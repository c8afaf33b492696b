"""Faces in a picture: what every detector gives, and the last steps that they share."""

from dataclasses import dataclass

import numpy as np

from gaitloom.tracking import iou


@dataclass(frozen=True)
class Faces:
    """The faces in one image, the surest first, in that image's pixels.

    `box` (N, 4) float32 xyxy, inside the image; `score` (N,) float32, by the detector's own measure; `landmarks`
    (N, 5, 2) float32 of the person's right eye, left eye, nose, right and left corner of the mouth, or None where the
    detector has no such points.
    """

    box: np.ndarray
    score: np.ndarray
    landmarks: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        box: np.ndarray,
        score: np.ndarray,
        landmarks: np.ndarray | None,
        size: tuple[int, int],
        overlap: float = np.inf,
    ) -> "Faces":
        """A detector's candidates in an image of `size` (width, height): cut at its borders, each face once.

        `box` (N, 4), `score` (N,), `landmarks` (N, 5, 2) or None. Candidates of which nothing lies inside are left out,
        and so are those that `distinct` takes for doubles, where `overlap` is given.
        """
        cut = np.clip(box, 0, (*size, *size)).astype(np.float32)
        rows = np.flatnonzero((cut[:, 2:] > cut[:, :2]).all(axis=1))
        rows = rows[distinct(cut[rows], score[rows], overlap)]
        points = None if landmarks is None else landmarks[rows].astype(np.float32)
        return cls(cut[rows], score[rows].astype(np.float32), points)


def distinct(box: np.ndarray, score: np.ndarray, overlap: float) -> np.ndarray:
    """Non-maximum suppression: the rows (K,) of boxes (N, 4) that no surer one overlaps by an IoU of `overlap` or more,
    the surest first, of equals the first."""
    left = np.argsort(-score, kind="stable")
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        left = left[iou(box[best][None], box[left])[0] < overlap]
    return np.array(kept, int)
