"""What the backends that read existing files of a clip share: the file's pattern, and that it is there."""

from pathlib import Path

import numpy as np
from pydantic import Field

from gaitloom.clip_files import place
from gaitloom.clips import Clip
from gaitloom.exchange import Person
from gaitloom.keypoint_formats import of
from gaitloom.modalities.keypoints import Recording
from gaitloom.strict import Strict

FILE = (
    "The file of a clip, relative to the folder of the run: fields in braces are the parts of its key, `clip` (its "
    "name), or columns of the clip sheet."
)


class Options(Strict):
    """Where each clip's file lies."""

    file: str = Field(description=FILE, exclude=True)


def files(options: Options, clip: Clip) -> dict[str, Path]:
    """The one file from which a clip's output comes."""
    return {"file": place(options.file, clip)}


def recording(person: Person, score_kind: str) -> Recording:
    """A person's points as the keypoints modality takes them."""
    points = np.concatenate([person.xy, person.score[..., None]], axis=2).astype(np.float32)
    points[~np.isfinite(person.xy[..., 0])] = np.nan
    return Recording(points, of(person.names), score_kind)
