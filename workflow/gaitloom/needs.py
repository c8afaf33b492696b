"""What a clip's jobs need of a machine: cores, memory and time, from the size of its pictures and their number.

For schedulers only: no recipe's part, so nothing is remade when an estimate changes. The figures are on the safe side;
those of the default backends were measured on clips of 320x180 and 1920x1080, on one core.
"""

from dataclasses import dataclass
from math import ceil

from gaitloom.clips import Clip

UNKNOWN = (1920, 1080, 18_000)  # width, height and frames of a video whose header does not say: ten minutes of HD
SAFETY = 4  # a shared node is slower than the one that was measured
LEAST_MINUTES = 15
SEEK = 0.02  # s for each frame before a segment, for files in which one cannot seek
GPU_SPEED = 10  # how much quicker a model is there, at least
GPU_MEMORY_MB = 3000  # of the host, for CUDA's own libraries


@dataclass(frozen=True)
class Needs:
    """Cores, `memory_mb` with `memory_mb_mpx` more for each megapixel of a frame, and one core's time for a frame:
    `seconds` with `seconds_mpx` more for each megapixel that is looked at."""

    threads: int = 1
    memory_mb: int = 1000
    memory_mb_mpx: int = 400
    seconds: float = 0.1
    seconds_mpx: float = 0.05

    def memory(self, clip: Clip, gpu: bool = False, attempt: int = 1) -> int:
        """MB that a clip's job is given; each further attempt is given as much again."""
        width, height, _ = shape(clip)
        needed = self.memory_mb + self.memory_mb_mpx * width * height / 1e6 + (GPU_MEMORY_MB if gpu else 0)
        return attempt * ceil(needed)

    def minutes(self, clip: Clip, gpu: bool = False, attempt: int = 1, longest_side: int | None = None) -> int:
        """Minutes that a clip's job is given. `longest_side`: pixels to which its pictures are scaled down, if so."""
        width, height, frames = shape(clip)
        scale = min(1, longest_side / max(width, height)) if longest_side else 1
        frame = self.seconds + self.seconds_mpx * width * height * scale**2 / 1e6
        first, last = clip.start or 0, clip.end or frames
        seconds = max(last - first, 1) * frame / (GPU_SPEED if gpu else 1) + first * SEEK
        return attempt * (LEAST_MINUTES + ceil(SAFETY * seconds / 60))


def shape(clip: Clip) -> tuple[int, int, int]:
    """Width, height (px) and frames of a clip's video."""
    width, height, frames = UNKNOWN
    return clip.width or width, clip.height or height, clip.frames or frames


USUAL = Needs()
VIDEO = Needs(seconds=0.02, seconds_mpx=0.02)
INDEX = Needs(memory_mb=1000, memory_mb_mpx=0, seconds=0.01, seconds_mpx=0)
PREVIEW = Needs(seconds=0.05, seconds_mpx=0.05)
PART = Needs(seconds=0.2, seconds_mpx=0.3)
