"""Health&Gait's points: an existing `…_AlphaPose.json` of each clip."""

from typing import TYPE_CHECKING

from pydantic import Field

from gaitloom.backends import Spec, _files
from gaitloom.modalities.keypoints import Recording

if TYPE_CHECKING:
    from gaitloom.derive import Job


class Options(_files.Options):
    """Where the points lie."""

    file: str = Field("pose/{subject}/{speed}/{clip}_AlphaPose.json", exclude=True, description=_files.FILE)


SPEC = Spec(
    version=1,
    options=Options,
    packages=("numpy",),
    licence="as the data are (Health&Gait: non-commercial)",
    files=_files.files,
    reads=(),
)


class Backend:
    """Reads; computes nothing."""

    def __init__(self, options: Options):
        pass

    def recorded(self, job: "Job") -> Recording:
        """The clip's points as they are in the file.

        Raises:
            GaitloomError: the file is missing, or is not of this clip.
        """
        from gaitloom.clip_files import existing
        from gaitloom.exchange import health_gait

        person = health_gait.read_pose(existing(job.files["file"]), job.length)
        return _files.recording(person, "1 where the file has a point")
