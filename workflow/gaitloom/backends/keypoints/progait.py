"""ProGait's annotated points: an existing `<ID>_keypoints.npy.gz` of each clip."""

from typing import TYPE_CHECKING

from pydantic import Field

from gaitloom.backends import Spec, _files
from gaitloom.modalities.keypoints import Recording

if TYPE_CHECKING:
    from gaitloom.derive import Job


class Options(_files.Options):
    """Where the points lie."""

    file: str = Field("annotations/{subject}_{trial}_keypoints.npy.gz", exclude=True, description=_files.FILE)


SPEC = Spec(
    version=1,
    options=Options,
    packages=("numpy",),
    licence="as the data are (ProGait: CC BY-NC-SA 4.0)",
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
        from gaitloom.exchange import progait

        person = progait.read_keypoints(existing(job.files["file"]), job.length)
        return _files.recording(person, "ProGait's confidence")
