"""One file a way of computing: `backends/<modality>/<name>.py` holds a `SPEC` and a class `Backend`.

A backend module is imported while the workflow is parsed (for its `SPEC`), so heavy packages are imported inside
`Backend.__init__`, never at the top. `Backend(options)` loads the model once; its one method turns a stream of inputs
into a stream of outputs, one per frame and in order, and may batch inside. Each modality says what goes in and out.
"""

import hashlib
import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from gaitloom.errors import GaitloomError
from gaitloom.strict import Strict


@dataclass(frozen=True)
class Weight:
    """A weight file carried inside an installed package: where it lies, and the SHA-256 it must have."""

    package: str
    path: str
    sha256: str

    def verify(self) -> Path:
        """Return the file's path after checking its hash; a backend calls this before it loads the model.

        Raises:
            GaitloomError: the file is missing or is not the one that the recipe names.
        """
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise GaitloomError(f"The package {self.package} is not installed; run `make env`.")
        file = Path(spec.submodule_search_locations[0]) / self.path
        if not file.is_file():
            raise GaitloomError(f"The weights {file} are missing; run `make env` to reinstall {self.package}.")
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != self.sha256:
            raise GaitloomError(
                f"The weights {file} have SHA-256 {found}, not {self.sha256}; "
                f"run `make env` to reinstall the pinned {self.package}."
            )
        return file


@dataclass(frozen=True)
class Spec:
    """What the planner must know of a backend without loading it.

    `version` is bumped whenever the backend's output changes; it is part of every recipe. `packages` are the installed
    distributions that decide the output; their versions are written into each node. `reads` names the modalities that
    it needs, where they are not those that its modality reads by default.
    """

    version: int
    options: type[Strict]
    packages: tuple[str, ...]
    licence: str
    weights: tuple[Weight, ...] = ()
    reads: tuple[str, ...] | None = None


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
