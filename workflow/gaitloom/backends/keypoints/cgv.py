"""ChildGait-Video's frame records: an existing JSON file of each clip."""

from typing import TYPE_CHECKING

from pydantic import Field

from gaitloom.backends import Spec, _files
from gaitloom.modalities.keypoints import Recording

if TYPE_CHECKING:
    from gaitloom.derive import Job


class Options(_files.Options):
    """Where the points lie."""

    file: str = Field("keypoints/{subject}_{trial}.json", exclude=True, description=_files.FILE)


SPEC = Spec(
    version=1,
    options=Options,
    packages=("numpy",),
    licence="as the data are (ChildGait-Video: CC BY-NC 4.0)",
    files=_files.files,
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
        from gaitloom.exchange import cgv

        boxes = job.read("track").load("box")
        person = cgv.read(existing(job.files["file"]), job.length, job.size, boxes)
        return _files.recording(person, "the records' score; 1 where they have none")
