"""One file a modality: what its nodes hold, which others they read, and how a backend's stream becomes arrays.

A modality module offers, all light to import (the planner does so while the workflow is parsed):

- `VERSION`: bumped whenever the module's output changes; part of every recipe.
- `READS`: the modalities it reads, besides `video`.
- `Options`: a strict table of its options.
- `ARRAYS`: array name → dimension names, what `verify` holds every node against.
- `OPTIONAL`: the same for arrays that only some of its nodes have.
- `derive(job)`: fill the staged node (see `gaitloom.derive.Job`).
"""

import importlib
from pathlib import Path
from types import ModuleType

NAMES = tuple(sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_")))


def find(name: str) -> ModuleType:
    """Import the module of one modality."""
    return importlib.import_module(f"gaitloom.modalities.{name}")
