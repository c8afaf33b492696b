"""The one function that makes a node. Every executor calls it; it knows nothing of who called."""

import contextlib
import json
import shutil
import time as clock
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gaitloom import backends, modalities
from gaitloom.clips import Clip, NodeKey, write_if_changed
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.progress import say, warn
from gaitloom.provenance import Recipe, digest, run_record, software
from gaitloom.store import Node, Staged, Store


class Job:
    """What a modality sees while it fills a node: the clip, its frames, the nodes it reads, and where to write.

    `files` are those from which the node is made, by what they are, for backends that have some (`Spec.files`).
    `sibling` is the node of another clip that this one reads, where there is one.
    `loaded` keeps backends from one job to the next, by the model part of their recipes.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        key: NodeKey,
        recipe: Recipe,
        staged: Staged,
        loaded: dict[str, Any] | None = None,
    ):
        self.clip: Clip = plan.accepted[key.clip]
        self.recipe, self.staged = recipe, staged
        self._loaded = {} if loaded is None else loaded
        self.video = Path(self.clip.video)
        self.done = 0
        self._settings, self._node = plan.config, key.node
        self._store, self._reads = (
            store,
            {m: NodeKey(key.subject, key.name, n) for m, n in plan.reads[key.node].items()},
        )
        self.sibling = plan.sibling(key.clip, key.node)
        self.files = plan.files(self.clip, key.node)
        self._said = clock.monotonic()

    @property
    def reads(self) -> list[str]:
        """The modalities that this node reads."""
        return list(self._reads)

    def read(self, modality: str) -> Node:
        """The clip's node of another modality, open for reading."""
        return self._store.open(self._reads[modality])

    def read_sibling(self) -> Node:
        """The other clip's node, open for reading.

        Raises:
            GaitloomError: it is not there as planned.
        """
        if self.sibling is None or self._store.digest(self.sibling) != self.recipe["inputs"]["gait"]:
            raise GaitloomError(f"{self.sibling} is missing or stale; run snakemake to make it.")
        return self._store.open(self.sibling)

    @cached_property
    def time(self) -> np.ndarray:
        """(T,) float64 s: the clip's time axis."""
        return self.read("video").load("time")

    @property
    def length(self) -> int:
        """T, the clip's number of frames."""
        return len(self.time)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture in pixels."""
        attributes = self.read("video").attributes
        return attributes["width"], attributes["height"]

    def frames(self) -> Iterator[Any]:
        """The clip's frames (`gaitloom.video.Frame`), exactly those of the time axis, decoded ahead in a thread."""
        from gaitloom.video import clip_frames

        pts = self.read("video").load("pts").tolist()
        for frame in clip_frames(self.video, pts, self.clip.start or 0):
            yield frame
            self.advance()

    @cached_property
    def options(self) -> Any:
        """The options of the modality, as the recipe has them."""
        return modalities.find(self.recipe["modality"]).Options(**self.recipe["options"])

    @cached_property
    def backend(self) -> Any:
        """The backend that the recipe names, its weights verified and its model loaded, here or for an earlier clip: a
        backend may look back within a stream of frames, never beyond."""
        model = {k: self.recipe[k] for k in ("modality", "backend", "backend_version", "backend_options", "weights")}
        name = digest({**model, "device": str(self.device)})
        if name in self._loaded:
            return self._loaded[name]
        for weight in self._settings.weights_of(self._node):
            weight.verify()
        options = self._settings.backend_options_of(self._node)
        backend = backends.load(self.recipe["modality"], self.recipe["backend"], options, self.device)
        self._loaded[name] = backend
        return backend

    @property
    def from_files(self) -> bool:
        """Whether the backend takes its output from the clip's `files`, not from its pixels."""
        return backends.find(self.recipe["modality"], self.recipe["backend"]).SPEC.files is not None

    @property
    def device(self) -> backends.Device:
        """Where the backend's model runs."""
        return backends.CPU if self._node == "video" else self._settings.device_of(self._node)

    def put_time(self, time: np.ndarray) -> None:
        """Write the node's own copy of the time axis, (T,) float64 s."""
        self.staged.put(
            "time", time, ("time",), units="s", standard_name="time", long_name="time from the clip's first frame"
        )

    def put_valid(self, valid: np.ndarray, long_name: str) -> None:
        """Write `valid` (T,) bool: which frames hold something."""
        self.staged.put(
            "valid",
            valid.astype(bool),
            ("time",),
            long_name=long_name,
            flag_values=[0, 1],
            flag_meanings="invalid valid",
        )

    def advance(self) -> None:
        """Count a finished frame; long jobs say how far they are every half minute."""
        self.done += 1
        if clock.monotonic() - self._said > 30:
            self._said = clock.monotonic()
            say(f"{self.done} frames")


def derive(plan: Plan, key: NodeKey, recipe_digest: str, loaded: dict[str, Any] | None = None) -> None:
    """Make one node and publish it; or leave the store as it was, with the reason in `results/failures`.

    Where another of the clip's nodes was made by the same recipe, it is copied, and nothing is computed.

    A process that makes many nodes by one configuration hands in a dictionary, `loaded`, which keeps their backends.

    Raises:
        GaitloomError: it cannot be made; the sentence says why.
    """
    results = plan.config.results
    store = Store(results)
    failure = results / "failures" / f"{key}.json"
    try:
        recipe = plan.recipe(key, recipe_digest)
        store.withdraw_index(key, recipe_digest)
        store.clear(key)
        _same_content(plan.accepted[key.clip], results)
        record = _copy(store, key, recipe_digest, results) or _make(plan, store, key, recipe, recipe_digest, loaded)
    except Exception as error:
        reason = _reason(error, plan, key, results)
        with contextlib.suppress(OSError):  # a full disk cannot take the reason either; the log has it
            write_if_changed(failure, json.dumps({"recipe_digest": recipe_digest, "reason": reason}) + "\n")
        raise GaitloomError(reason) from error
    failure.unlink(missing_ok=True)
    write_if_changed(results / "provenance" / f"{key}.json", json.dumps(record, indent=1) + "\n")


def _copy(store: Store, key: NodeKey, recipe_digest: str, results: Path) -> dict[str, Any] | None:
    """The run record of a node that is published as a copy of another of its clip's, with what that one's record says
    of its making; None where no other was made by this recipe, or none is whole."""
    from gaitloom.verify import damage

    for other in store.alike(key, recipe_digest):
        staged = store.stage(key)
        try:  # with new time stamps: Snakemake looks at them. A copy, no link: one bad file shall not spoil two nodes
            shutil.copytree(store.path(other), staged.folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
            found = damage(staged.folder) or ["was made anew meanwhile"] * (staged.digest != recipe_digest)
            if not found:
                staged.move_in(recipe_digest)
        except OSError as error:
            found = [f"could not be copied ({type(error).__name__})"]
        finally:
            staged.discard()
        if not found:
            say(f"{key} is a copy of {other.node}, which was made by the same recipe")
            made = _record_of(results, other, recipe_digest)
            return {**made, "copied_from": other.node, "copied": datetime.now(UTC).isoformat()}
        warn(f"{key} is no copy of {other.node}, which {found[0]}; `gaitloom verify` says more")
    return None


def _record_of(results: Path, key: NodeKey, recipe_digest: str) -> dict[str, Any]:
    """A node's run record; where it is of another making, or lost, the digest alone."""
    try:
        record = json.loads((results / "provenance" / f"{key}.json").read_text())
    except (OSError, ValueError):
        record = {}
    return record if record.get("recipe_digest") == recipe_digest else {"recipe_digest": recipe_digest}


def _make(
    plan: Plan, store: Store, key: NodeKey, recipe: Recipe, recipe_digest: str, loaded: dict[str, Any] | None
) -> dict[str, Any]:
    started = datetime.now(UTC)
    if old := plan.kept.get(key.node):
        raise GaitloomError(
            f"{key} cannot be made: nodes.{key.node}.kept keeps what an earlier version of GaitLoom made "
            f"({', '.join(sorted(old))}); accept a variant of it, or remove that key (docs/upgrading.md)."
        )
    staged = store.stage(key)
    job = Job(plan, store, key, recipe, staged, loaded)
    try:
        modality = modalities.find(recipe["modality"])
        attributes = modality.derive(job)
        if key.node != "video":
            job.put_time(job.time)
        packages = (
            "av",
            *(backends.find(recipe["modality"], recipe["backend"]).SPEC.packages if "backend" in recipe else ()),
        )
        staged.publish(recipe, {**attributes, "modality": recipe["modality"], "software": software(packages)})
    except BaseException:
        staged.discard()
        raise
    finished = datetime.now(UTC)
    return run_record(recipe_digest, packages, job.device.name, started.isoformat(), finished.isoformat(), job.done)


def _same_content(clip: Clip, results: Path) -> None:
    """Refuse a video that is not the one the recipe names: gone, or changed since it was hashed."""
    import hashlib

    from gaitloom.scan import read_cache

    video = Path(clip.video)
    try:
        stat = video.stat()
    except FileNotFoundError:
        raise GaitloomError("is gone; put it back, or run snakemake again without it") from None
    seen = read_cache(results / "videos.tsv").get(clip.video)
    if seen and (seen.size, seen.mtime_ns, seen.sha256) == (stat.st_size, stat.st_mtime_ns, clip.sha256):
        return
    with video.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != clip.sha256:
            raise GaitloomError("changed since it was scanned; run snakemake again")


def _reason(error: Exception, plan: Plan, key: NodeKey, results: Path) -> str:
    """One sentence for the ledger."""
    clip = plan.accepted.get(key.clip)
    name = Path(clip.video).name if clip else str(key)
    if isinstance(error, GaitloomError):
        text = str(error)
        return text if text.endswith(".") else f"{name} {text}."
    if isinstance(error, OSError) and error.errno == 28:
        free = shutil.disk_usage(results).free >> 20
        return f"The disk of {results} is full ({free} MiB left) while making {key}; free some and run snakemake again."
    if isinstance(error, MemoryError):
        return f"Memory ran out while making {key}; give the job more (mem_mb in the profile)."
    return (
        f"{key} failed: {type(error).__name__}: {' '.join(str(error).split())}; `gaitloom --debug derive` shows where."
    )
