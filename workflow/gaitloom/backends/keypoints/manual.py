"""Points that people corrected by hand, over those of another node."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaitloom import keypoint_formats
from gaitloom.backends import Spec, _corrections
from gaitloom.errors import GaitloomError
from gaitloom.keypoint_formats import WHOLEBODY_23, KeypointFormat
from gaitloom.modalities.keypoints import Recording

if TYPE_CHECKING:
    from gaitloom.derive import Job
    from gaitloom.exchange import Person

SPEC = Spec(
    version=1,
    options=_corrections.Options,
    packages=("numpy",),
    licence="the corrections' own",
    reads=("keypoints",),
    files=partial(_corrections.files, modality="keypoints"),
)


class Backend:
    """Takes the base as it is, and what the human changed of it."""

    def __init__(self, options: _corrections.Options):
        pass

    def recorded(self, job: "Job") -> Recording:
        """The base's points, and in their place those that differ from what was handed out for correction.

        Without the export, every point that the corrected file holds is the human's. A file of 23 points makes the node
        one of COCO-WholeBody's first 23, whatever the base has.

        Raises:
            GaitloomError: the corrections cannot be read, or are not of this clip.
        """
        from gaitloom.exchange import cvat

        node = job.read("keypoints")
        names = tuple(node.attributes["keypoint_names"])
        form = KeypointFormat(node.attributes["keypoint_format"], names, tuple(map(tuple, node.attributes["edges"])))
        xy, score = node.load("xy").astype(np.float32), node.load("score").astype(np.float32)
        corrections = _corrections.read(job.files, "keypoints")
        moved = np.zeros(score.shape, bool)
        attributes = {}
        if corrections is not None:
            ours = _read(corrections.corrected, job, names)
            if ours.names != names:
                if ours.names != WHOLEBODY_23.points:
                    raise GaitloomError(
                        f"{corrections.corrected} holds neither the base's points nor COCO-WholeBody's first 23; "
                        "correct what `gaitloom correct` hands out."
                    )
                form = WHOLEBODY_23
                xy, score = keypoint_formats.view(xy, score, names)
            if corrections.exported is None:
                moved = np.isfinite(ours.xy[..., 0])
            else:
                moved = cvat.changed(_read(corrections.exported, job, names).xy, ours.xy)
            xy, score = np.where(moved[..., None], ours.xy, xy), np.where(moved, np.isfinite(ours.xy[..., 0]), score)
            attributes = corrections.attributes(job.recipe["inputs"]["keypoints"])
        points = np.concatenate([xy, score[..., None]], axis=2).astype(np.float32)
        meaning = f"{node.attributes['score_kind']}; 1 where a human set the point"
        return Recording(points, form, meaning, node.load("sharpness"), moved, attributes)


def _read(path: "Path", job: "Job", names: tuple[str, ...]) -> "Person":
    """A file of the base's points or of COCO-WholeBody's first 23, whichever it holds."""
    from gaitloom.exchange import coco, cvat, progait

    if path.name.endswith(".npy.gz"):
        return progait.read_keypoints(path, job.length)
    if path.suffix == ".json":
        return coco.read_keypoints(path, job.length, job.size)
    return cvat.read_keypoints(path, job.length, job.size, names)
