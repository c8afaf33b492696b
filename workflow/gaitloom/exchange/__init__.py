"""Other people's files: one module an external layout, pure functions between files and arrays.

No store, no configuration, no job: import backends, corrections by hand and exporters build on these. Every reader is
told the clip's `length` in frames (and `size`, (width, height) in pixels, where the layout says it or pictures do) and
fails with one `GaitloomError` sentence that names the file and the frame. Every writer gives the same bytes for the
same arrays (no dates, no machine's name), and its file appears whole or not at all; a folder's files one by one.

The common vocabulary is `Person` for keypoints, and for masks an iterator of (H, W) bool pictures, one for each frame
of the clip, all False where the person is not seen.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Person:
    """One person's keypoints over a clip of T frames.

    `xy` (T, K, 2) float32 full-frame pixels, NaN where a point is absent; `score` (T, K) float32, 0 where it is absent;
    `names` of the K points (see `gaitloom.keypoint_formats`). Where a layout has them: `box` (T, 4) float32 xyxy pixels
    and `box_score` (T,) float32, NaN where there is none; `occluded` (T, K) bool, placed although hidden; `source`
    (T, K) str, who placed the point ("manual", "auto", "file" …), "" where it is absent.

    Raises ValueError where shapes disagree, or a point is half absent, infinite, or absent with a score.
    """

    xy: np.ndarray
    score: np.ndarray
    names: tuple[str, ...]
    box: np.ndarray | None = None
    box_score: np.ndarray | None = None
    occluded: np.ndarray | None = None
    source: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = (len(self.xy), len(self.names))
        shapes = {"xy": (*shape, 2), "score": shape, "box": (len(self.xy), 4), "box_score": shape[:1]}
        for name, expected in (shapes | {"occluded": shape, "source": shape}).items():
            array = getattr(self, name)
            if array is not None and array.shape != expected:
                raise ValueError(f"{name} has the shape {array.shape} instead of {expected}")
        absent = np.isnan(self.xy)
        if np.isinf(self.xy).any() or not np.isfinite(self.score).all():
            raise ValueError("a point or score is not finite")
        if (absent[..., 0] != absent[..., 1]).any() or self.score[absent[..., 0]].any():
            raise ValueError("a point is half absent, or absent with a score")

    @property
    def valid(self) -> np.ndarray:
        """(T,) bool: frames in which any point is there."""
        return np.asarray(np.isfinite(self.xy[..., 0]).any(axis=1))
