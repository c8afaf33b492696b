"""Functions that numba compiles once for all jobs of one kind of machine."""

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
from numba.core import config as _config

from gaitloom.progress import say

FLAGS: dict[str, Any] = {"nogil": True, "boundscheck": False, "error_model": "numpy"}
config: Any = _config  # its names are made when it is loaded


def folder(*sources: str) -> Path:
    """Where compiled functions lie: below `$GAITLOOM_NUMBA`, or `~/.cache/gaitloom/numba`; jobs may share it.

    One folder for each kind of processor, each set of versions and each content of the `sources` (paths of the modules
    that the functions are made of): numba itself numbers the machine code of several processors within one index, which
    two jobs that start at once on different machines would do alike, and it looks for changes in one module only.
    """
    root = Path(os.environ.get("GAITLOOM_NUMBA") or "~/.cache/gaitloom/numba").expanduser().absolute()
    cpu = llvm.get_host_cpu_name()
    facts = [llvm.get_host_cpu_features().flatten(), platform.python_version(), llvmlite.__version__]
    content = [Path(source).read_text(encoding="utf-8") for source in sources]
    return root / f"{cpu}-{numba.__version__}-{hashlib.sha256(repr([facts, content]).encode()).hexdigest()[:16]}"


def compiled(cache: Path) -> Callable[[str], Callable[[Callable[..., Any]], Any]]:
    """A decorator that takes a signature and compiles the function at once, or loads it from the folder `cache`.

    One signature a function, so that jobs that compile at the same time write files of the same names and meaning,
    each by one rename. Where the folder cannot be used the function is compiled for this process alone. Rounding is
    IEEE's, operation by operation: nothing is reordered or contracted, and the result is the same on every processor.
    """
    usable = _usable(cache)

    def of(signature: str) -> Callable[[Callable[..., Any]], Any]:
        def decorate(function: Callable[..., Any]) -> Any:
            if usable:
                before, config.CACHE_DIR = config.CACHE_DIR, str(cache)
                try:
                    return numba.njit(signature, cache=True, **FLAGS)(function)
                except Exception as error:  # a damaged file raises whatever its bytes happen to mean
                    say(f"the compiled {function.__name__} in {cache} cannot be used ({type(error).__name__})")
                finally:
                    config.CACHE_DIR = before
            return numba.njit(signature, **FLAGS)(function)

        return decorate

    return of


def _usable(cache: Path) -> bool:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            return True
    except OSError as error:
        say(f"compiled functions are not kept, since {cache} cannot be written ({error.strerror})")
        return False
