"""Samples for learners from a store or a release: `Samples` (NumPy), `pytorch.Clips`, `tf_data.dataset`.

All take the same `Options`. Only the frames of a sample are read.
"""

from gaitloom.loaders.options import HEALTH_GAIT, Options, Patches, Prompts
from gaitloom.loaders.samples import Samples

__all__ = ["HEALTH_GAIT", "Options", "Patches", "Prompts", "Samples"]
