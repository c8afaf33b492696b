"""Recipes, their digests, and the run records that say when, where and with what a node was made."""

import hashlib
import importlib.metadata
import json
import platform
import socket
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import gaitloom

Recipe = dict[str, Any]

# The layout of nodes (attributes, chunking, axes); part of every recipe.
SCHEMA = 1

# The parts of a recipe that another version of GaitLoom may write otherwise for the same configuration.
KEPT = ("modality_version", "backend_version", "options", "backend_options", "weights", "licence")


def canonical(document: Any) -> str:
    """JSON with sorted keys and no spaces: the same document gives the same text."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(document: Any) -> str:
    """SHA-256 of a document's canonical JSON, in hex. Of a recipe, it is the node's identity."""
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def changes(old: Any, new: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted key → old and new value, for every key in which two recipes differ; None where one has no such key."""
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return {} if old == new else {prefix: (old, new)}
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted({*old, *new}):
        found |= changes(old.get(key), new.get(key), f"{prefix}.{key}".strip("."))
    return found


def differences(old: Any, new: Any) -> list[str]:
    """The dotted keys in which two recipes differ, sorted."""
    return list(changes(old, new))


def keeping(old: Recipe, new: Recipe) -> str:
    """What `nodes.<node>.kept` has to say, as YAML, for nodes made by `old` to stay where `new` is planned, because an
    earlier version of GaitLoom made them; empty where they differ in more than that."""
    import yaml

    kept = {k: old[k] for k in KEPT if k in old and old[k] != new.get(k)}
    if not any(k.endswith("_version") for k in kept) or {**new, **kept} != old:
        return ""
    return yaml.safe_dump(kept, default_flow_style=True, width=10**6).strip()


def software(packages: Iterable[str]) -> dict[str, str]:
    """Versions of GaitLoom, Python and the packages that decide a node's content."""
    versions = {p: importlib.metadata.version(p) for p in sorted({*packages, "numpy", "zarr", "numcodecs"})}
    return {"gaitloom": gaitloom.__version__, "python": platform.python_version(), **versions}


@cache
def commit() -> dict[str, Any]:
    """The commit of the checkout that runs, and whether it has local changes; empty outside a checkout."""
    here = Path(__file__).parent

    def git(*args: str) -> str:
        done = subprocess.run(["git", "-C", str(here), *args], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        head = git("rev-parse", "HEAD")
        return {"commit": head, "dirty": bool(git("status", "--porcelain"))} if head else {}
    except FileNotFoundError:
        return {}


def run_record(
    recipe_digest: str, packages: Iterable[str], device: str, started: str, finished: str, frames: int
) -> dict:
    """Facts of one derivation: kept beside the store, never in it, since they differ from run to run."""
    return {
        "recipe_digest": recipe_digest,
        "started": started,
        "finished": finished,
        "frames": frames,
        "device": device,
        "host": socket.gethostname(),
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "software": software(packages),
        **commit(),
    }
