"""Health&Gait's body parts: an existing folder of DensePose's coarse labels as coloured pictures of each clip."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from gaitloom.backends import Spec, _files
from gaitloom.part_labels import COARSE

if TYPE_CHECKING:
    from gaitloom.derive import Job


class Options(_files.Options):
    """Where the pictures lie."""

    file: str = Field("semantic_segmentation/{subject}/{speed}/{clip}_DensePose", exclude=True, description=_files.FILE)


SPEC = Spec(
    version=1,
    options=Options,
    packages=("numpy", "opencv-contrib-python-headless"),
    licence="as the data are (Health&Gait: non-commercial)",
    files=_files.files,
    reads=(),
)


class Backend:
    """Reads; computes nothing."""

    labels = COARSE
    learned = True

    def __init__(self, options: Options):
        pass

    def recorded(self, job: "Job") -> Iterator[np.ndarray]:
        """The clip's label maps as they are there.

        Raises:
            GaitloomError: they are missing, or are not of this clip.
        """
        from gaitloom.clip_files import existing
        from gaitloom.exchange import health_gait

        return health_gait.read_parts(existing(job.files["file"]), job.length, job.size)
