"""Between Snakemake's records and the store: the guard at the start of a run, and the way back where they disagree.

Snakemake reruns a job when its recorded param (the recipe's digest) changes. Where its records are gone, a changed
recipe would go unnoticed, so a run refuses to begin beside a store that its records do not belong to.
"""

import contextlib
import fcntl
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import IO, Any

from gaitloom import config as settings
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.progress import say
from gaitloom.provenance import differences

RECORDS = Path(".snakemake/metadata")
MARKER = RECORDS / ".gaitloom"  # names the store that the records belong to, and is lost with them
SNAKEFILE = Path(__file__).parents[2] / "Snakefile"
_HELD: list[IO[str]] = []  # the run's lock, released by the kernel when this process ends, however it ends


def begin(values: dict[str, Any], workflow: Any) -> Plan:
    """What the Snakefile calls first: scan (in the main process only), plan, and refuse a store without its records.

    Raises:
        WorkflowError: the configuration, the sheet or a folder is at fault, or the records are missing.
    """
    from snakemake.exceptions import WorkflowError

    try:
        source = " and ".join(str(f) for f in workflow.configfiles) or "the configuration"
        plan = Plan.load(values, scan=workflow.is_main_process, source=source)
        if workflow.is_main_process:
            _hold(plan.config.results)
            _guard(plan.config.results)
            _guard_kept(plan)
        return plan
    except GaitloomError as error:
        raise WorkflowError(str(error)) from None


def _hold(results: Path) -> None:
    """Hold the lock that tells `unlock` that a run is alive; where another holds it, Snakemake's own lock decides."""
    file = (results / ".run.lock").open("w")
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _HELD.append(file)


def _guard(results: Path) -> None:
    """Stop where nodes exist that Snakemake's records know nothing of."""
    identity = results / ".id"
    if identity.is_file() and MARKER.is_file() and identity.read_text() == MARKER.read_text():
        return
    if any((results / "store.zarr").glob("*/*/*/zarr.json")):
        raise GaitloomError(
            f"{results}/store.zarr holds nodes that Snakemake's records in {RECORDS} know nothing of (copied, or the "
            f"records were removed); run `gaitloom reconcile`, which keeps what is up to date."
        )
    _mark(results)


def _guard_kept(plan: Plan) -> None:
    """Stop where a node that is kept, since it cannot be made again, is not as planned: it would be deleted first.

    A clip whose video or segment changed is let go: its node is of other content, and the ledger will say so.

    Raises:
        GaitloomError: there is one; the sentence names it, and in what it differs.
    """
    if not plan.kept:
        return
    from gaitloom.store import Store

    store = Store(plan.config.results)
    for node in plan.kept:
        for clip in plan.accepted.values():
            key = plan.key(clip, node)
            stored, planned = store.attributes(key), plan.planned(key)
            if stored is None or planned in (None, stored.get("recipe_digest")) or store.alike(key, planned):
                continue
            changed = differences(stored.get("recipe"), plan.recipes(clip)[node])
            if "inputs.video" not in changed:
                raise GaitloomError(
                    f"nodes.{node}.kept: {key} could not be made again, and it was made with another "
                    f"{', '.join(changed)}; undo what changed that, or remove that key (docs/upgrading.md)."
                )


def _mark(results: Path) -> None:
    identity = results / ".id"
    if not identity.is_file():
        identity.write_text(f"store-{uuid.uuid4().hex}")
    RECORDS.mkdir(parents=True, exist_ok=True)
    RECORDS.with_name("incomplete").mkdir(exist_ok=True)  # without it, Snakemake takes the records for old ones
    MARKER.write_text(identity.read_text())


def reconcile(config_file: Path, prune: bool) -> None:
    """Drop nodes that are not what the plan says, and have Snakemake record the others as done.

    With `prune`, nodes, previews and run records of clips and nodes that are not planned any more go too.

    Raises:
        GaitloomError: a run is alive, or Snakemake could not record.
    """
    from gaitloom.store import Store

    results = settings.load(config_file).results
    with alone(results):
        plan = Plan.load(settings.load(config_file).model_dump(mode="json"), scan=True)
        _guard_kept(plan)
        store = Store(results)
        kept = 0
        for key in store.list():
            planned = plan.planned(key)
            if planned is None and not prune:
                say(f"{key} is not planned any more; `gaitloom reconcile --prune` removes it")
            elif planned is None or store.digest(key) != planned:
                say(f"dropping {key}, which is {'not planned any more' if planned is None else 'stale'}")
                store.drop(key)
                _forget(results, str(key))
            else:
                kept += 1
        _drop_stale_indexes(plan, store, prune)
        shutil.rmtree(store.staging, ignore_errors=True)
        (results / ".reported").unlink(missing_ok=True)
        _mark(results)
    _record(config_file, kept)


def _drop_stale_indexes(plan: Plan, store: Any, prune: bool) -> None:
    """Remove indexes and previews of clips that are not what the plan says."""
    for index in store.root.glob("*/*/zarr.json"):
        path = index.parent.relative_to(store.root).as_posix()
        if path not in plan.accepted:
            if prune:
                index.unlink()
        elif (store.index(path) or {}).get("index_digest") != plan.index_digest(path):
            index.unlink()
    for preview in (plan.config.results / "preview").glob("*/*.*"):
        path = preview.relative_to(plan.config.results / "preview").with_suffix("").as_posix()
        if not (store.root / path / "zarr.json").is_file():
            preview.unlink()
    for folder in sorted(store.root.glob("*/*"), reverse=True) + sorted(store.root.glob("*"), reverse=True):
        if folder.is_dir() and not any(p.name != "zarr.json" for p in folder.iterdir()):
            shutil.rmtree(folder)


def _forget(results: Path, key: str) -> None:
    for kind in ("provenance", "failures"):
        (results / kind / f"{key}.json").unlink(missing_ok=True)


def _record(config_file: Path, kept: int) -> None:
    """Have Snakemake record what is there: `--touch` writes its records without running anything."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--touch", "--forceall", "--keep-going", "--cores", "1", "--no-hooks"),
            *("--quiet", "all", "--snakefile", str(SNAKEFILE), "--configfile", str(config_file)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        MARKER.unlink(missing_ok=True)
        raise GaitloomError(
            f"Snakemake could not record the nodes: {' '.join((done.stdout + done.stderr).split())[-500:]}"
        )
    say(f"{kept} nodes are up to date and recorded; run snakemake for the others")


@contextlib.contextmanager
def alone(results: Path) -> Any:
    """Hold the run's lock.

    Raises:
        GaitloomError: a run holds it.
    """
    results.mkdir(parents=True, exist_ok=True)
    with (results / ".run.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GaitloomError(f"A run is working on {results}; wait for it, or stop it, and try again.") from None
        yield


def unlock(config_file: Path) -> None:
    """Release Snakemake's lock if the process that took it is dead; a live run keeps it.

    Raises:
        GaitloomError: a run is alive.
    """
    locks = list((RECORDS.parent / "locks").glob("*"))
    if not locks:
        return
    with alone(settings.load(config_file).results):
        for lock in locks:
            lock.unlink()
    say("released the lock of a run that is no longer alive")
