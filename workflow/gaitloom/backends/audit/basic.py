"""The judges that need no download: BlazeFace and OpenCV's Haar cascades, on crops; no second person finder.

They are far blinder than YuNet and RetinaFace: of 111 places in five real clips where those two agree on a face,
BlazeFace saw 89 on crops, Haar 58, and both 50. BlazeFace also helps to choose the level of the mosaic, so the gates
squint and time are not disjoint from that.
"""

from pydantic import Field

from gaitloom.backends import Needs, Spec
from gaitloom.backends.audit import _judges
from gaitloom.backends.faces import blazeface, haar
from gaitloom.strict import Strict


class Options(Strict):
    """How sure the judges must be."""

    min_score: float = Field(0.5, gt=0, le=0.6, description="BlazeFace's; below 0.6 no face counts in the audit.")


SPEC = Spec(
    version=1,
    options=Options,
    packages=tuple(dict.fromkeys((*blazeface.SPEC.packages, *haar.SPEC.packages))),
    licence="Apache-2.0, Intel-BSD (the cascades)",
    weights=(*blazeface.SPEC.weights, *haar.SPEC.weights, _judges.POSE),
    needs=Needs(seconds=0.3, seconds_mpx=0.05),
)


class Backend(_judges.Judges):
    """BlazeFace, then Haar; Haar alone over full frames, in which BlazeFace sees nothing."""

    tier = "basic"
    judges = ("blazeface", "haar")
    disjoint = False
    every = 30  # frames between full frames: Haar takes a third of a second for one
    people = None

    def __init__(self, options: Options):
        first = blazeface.Backend(blazeface.Options(min_score=options.min_score))
        second, scout = haar.Options(), haar.Options(longest_side=640, least=0.07)  # pyright: ignore[reportCallIssue]
        super().__init__(first, haar.Backend(second), haar.Backend(scout), side=640)
