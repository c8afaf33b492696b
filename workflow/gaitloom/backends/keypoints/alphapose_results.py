"""Points that AlphaPose gave elsewhere: an existing `alphapose-results.json` of each clip."""

from typing import TYPE_CHECKING

from pydantic import Field

from gaitloom.backends import Spec, _files
from gaitloom.modalities.keypoints import Recording

if TYPE_CHECKING:
    from gaitloom.derive import Job


class Options(_files.Options):
    """Where the results lie."""

    file: str = Field("alphapose/{subject}/{clip}/alphapose-results.json", exclude=True, description=_files.FILE)
    first_image: int = Field(0, ge=0, description="The number in the name of the clip's first picture.")
    idx: int | None = Field(None, description="AlphaPose's number of the subject; else whoever overlaps the track.")


SPEC = Spec(
    version=1,
    options=Options,
    packages=("numpy",),
    licence="AlphaPose (non-commercial)",
    files=_files.files,
)


class Backend:
    """Reads; computes nothing."""

    def __init__(self, options: Options):
        self._options = options

    def recorded(self, job: "Job") -> Recording:
        """The subject's points: of the people in the file, the one who overlaps the track's box.

        Raises:
            GaitloomError: the file is missing, or is not of this clip.
        """
        from gaitloom.clip_files import existing
        from gaitloom.exchange import alphapose

        boxes = job.read("track").load("box")
        options = self._options
        file = existing(job.files["file"])
        person = alphapose.read_results(file, job.length, boxes, options.idx, options.first_image)
        return _files.recording(person, "AlphaPose's score (heat-map peak)")
