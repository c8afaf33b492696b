"""Steps by foot events: Zeni's (2008) and Desailly's (2009) detectors together; see `gaitloom.gait`."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gaitloom.backends import Needs, Spec
from gaitloom.strict import Strict

if TYPE_CHECKING:
    from gaitloom.gait.course import Walk
    from gaitloom.gait.measure import Gait


class Options(Strict):
    """The method has no options."""


SPEC = Spec(
    version=2,
    options=Options,
    packages=("numpy", "scipy"),
    licence="MIT",
    needs=Needs(memory_mb=600, memory_mb_mpx=0, seconds=0.01, seconds_mpx=0),
)


class Backend:
    """Every walk by itself."""

    def __init__(self, options: Options):
        pass

    def gaits(self, walks: Iterable["Walk"]) -> Iterator["Gait"]:
        """What there is in each walk."""
        from gaitloom.gait.measure import gait

        return (gait(walk) for walk in walks)
