"""One file a way of computing: `backends/<modality>/<name>.py` holds a `SPEC` and a class `Backend`.

A backend module is imported while the workflow is parsed (for its `SPEC`), so heavy packages are imported inside
`Backend.__init__`, never at the top. `Backend(options)`, or `Backend(options, device)` where the `SPEC` says
`accelerated`, loads the model once; its one method turns a stream of inputs into a stream of outputs, one per frame and
in order, and may batch inside. Each modality says what goes in and out.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from gaitloom.clips import Clip
from gaitloom.errors import GaitloomError
from gaitloom.needs import USUAL, Needs
from gaitloom.strict import Strict
from gaitloom.weight_files import AnyWeight, Weight

__all__ = ["CPU", "Device", "Needs", "Spec", "Weight", "find", "load"]


@dataclass(frozen=True)
class Device:
    """Where a model runs: `name` is cpu, cuda or cuda:N; `batch` is how many frames it is given at once."""

    name: str = "cpu"
    batch: int = 1


CPU = Device()


@dataclass(frozen=True)
class Spec:
    """What the planner must know of a backend without loading it.

    `version` is bumped whenever the backend's output changes; it is part of every recipe. `packages` are the installed
    distributions that decide the output; their versions are written into each node. `reads` names the modalities that
    it needs, where they are not those that its modality reads by default. `weights` are the files that it always loads;
    one that the configuration may choose is among its options (`gaitloom.weights.Chosen`). `environment` is
    the file in envs/ that installs what it needs. `accelerated`: it runs on a GPU too. `files(options, clip)` names the
    files from which the backend takes a clip's output, by what they are; their hashes stand in the clip's recipe.
    `needs`: memory and time, for schedulers.
    """

    version: int
    options: type[Strict]
    packages: tuple[str, ...]
    licence: str
    weights: tuple[AnyWeight, ...] = ()
    reads: tuple[str, ...] | None = None
    environment: str = "core"
    accelerated: bool = False
    files: Callable[[Any, Clip], dict[str, Path]] | None = None
    needs: Needs = USUAL


def find(modality: str, name: str) -> ModuleType:
    """Import the module of one backend.

    Raises:
        GaitloomError: there is no such backend; the sentence lists those that exist.
    """
    folder = Path(__file__).parent / modality
    names = sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))
    if name not in names:
        raise GaitloomError(f"{modality} has no backend named '{name}'; choose one of: {', '.join(names) or 'none'}.")
    return importlib.import_module(f"gaitloom.backends.{modality}.{name}")


def load(modality: str, name: str, options: Any, device: Device = CPU) -> Any:
    """A backend with its model loaded, on the device if it can run elsewhere than on the CPU."""
    module = find(modality, name)
    return module.Backend(options, device) if module.SPEC.accelerated else module.Backend(options)
