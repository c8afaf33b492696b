"""Health&Gait's silhouettes: an existing folder of pictures of each clip."""

from typing import TYPE_CHECKING

from pydantic import Field

from gaitloom.backends import Spec, _files
from gaitloom.modalities.silhouette import Recording

if TYPE_CHECKING:
    from gaitloom.derive import Job


class Options(_files.Options):
    """Where the masks lie."""

    file: str = Field("silhouette/{subject}/{speed}/{clip}_YOLOV8", exclude=True, description=_files.FILE)


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
        """The clip's masks as they are there.

        Raises:
            GaitloomError: they are missing, or are not of this clip.
        """
        from gaitloom.clip_files import existing
        from gaitloom.exchange import health_gait

        return Recording(health_gait.read_silhouettes(existing(job.files["file"]), job.length, job.size))
