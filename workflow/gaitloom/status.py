"""The ledger: what became of every clip and node, and why."""

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaitloom.clips import OK, Clip
from gaitloom.gate import releasable
from gaitloom.plan import Plan
from gaitloom.provenance import differences, keeping
from gaitloom.store import Store

STATES = ("done", "failed", "waiting", "missing", "stale", "withdrawn", "rejected", "excluded", "unplanned")


@dataclass(frozen=True)
class Row:
    """One line of the ledger; `node` is empty where the whole clip is meant."""

    clip: str
    node: str
    state: str
    reason: str


def ledger(plan: Plan) -> list[Row]:
    """One row a clip and node, whatever became of it; made of what exists, so it is true after failures too."""
    store = Store(plan.config.results)
    rows: list[Row] = []
    for clip in plan.clips:
        if clip.status == OK:
            rows += _nodes(plan, store, clip)
        else:
            name = clip.path if clip.subject else Path(clip.video).name
            rows.append(Row(name, "", clip.status, clip.reason))
    planned = set(plan.accepted)  # what was withdrawn has a row already
    rows += [
        Row(
            key.clip,
            key.node,
            "unplanned",
            "in the store, but not in the plan any more; `gaitloom reconcile --prune` removes it",
        )
        for key in store.list()
        if key.clip not in planned or key.node not in plan.nodes
    ]
    return rows


def _nodes(plan: Plan, store: Store, clip: Clip) -> Iterator[Row]:
    state: dict[str, str] = {}
    audit = plan.audited[0] if plan.audited else None
    recipes = plan.recipes(clip)
    for node, planned in plan.digests_of(clip.path).items():
        key = plan.key(clip, node)
        stored = store.attributes(key)
        waits = [n for n in plan.reads[node].values() if state[n] != "done"]
        if (other := plan.sibling(clip.path, node)) and store.digest(other) != plan.planned(other):
            waits.append(str(other))
        reason = ""
        if stored and stored.get("recipe_digest") == planned:
            against = releasable(plan, store, clip, "basic") if node == audit else []
            state[node], reason = "done", "; ".join(against) or stored.get("note", "")
        elif stored:
            state[node] = "stale"
            reason = f"made with another {', '.join(differences(stored.get('recipe'), recipes[node]))}"
            if kept := keeping(stored.get("recipe", {}), recipes[node]):
                reason += f", by an earlier version of GaitLoom; `kept: {kept}` in nodes.{node} keeps it"
        elif failure := _failure(plan.config.results / "failures" / f"{key}.json", planned):
            state[node], reason = "failed", failure
        elif waits:
            state[node], reason = "waiting", f"needs {', '.join(waits)}"
        else:
            state[node], reason = "missing", f"not made; logs/{node}/{clip.path}.log says more if it was tried"
        yield Row(clip.path, node, state[node], reason)
    for node in plan.withheld(clip.path):
        there = store.attributes(plan.key(clip, node)) is not None
        reason = (
            "but it is in the store; run `gaitloom withdraw` again" if there else "consent for it, or for what it reads"
        )
        yield Row(clip.path, node, "withdrawn", reason)


def _failure(path: Path, planned: str) -> str | None:
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return record["reason"] if record.get("recipe_digest") == planned else None


def status(plan: Plan, as_tsv: bool) -> None:
    """Print the ledger as a table, or all of it as TSV."""
    rows = ledger(plan)
    if as_tsv:
        sys.stdout.write(tsv(["clip", "node", "state", "reason"], [list(vars(r).values()) for r in rows]))
    else:
        _show(plan, rows)


def tsv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as tab-separated text."""
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerows([header, *rows])
    return text.getvalue()


def _show(plan: Plan, rows: list[Row], most: int = 40) -> None:
    """Counts a node and state, then the rows that are not done."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    counts = Counter((r.node or "(clip)", r.state) for r in rows)
    nodes = [n for n in ("(clip)", *plan.nodes) if any(n == c[0] for c in counts)]
    states = [s for s in STATES if any(s == c[1] for c in counts)]
    table = Table("node", *states)
    for node in nodes:
        table.add_row(node, *(str(counts[node, s] or "") for s in states))
    console.print(table)
    left = [r for r in rows if r.state != "done" or r.reason]
    if left:
        details = Table()
        for column in ("clip", "node", "state", "reason"):
            details.add_column(column, overflow="fold")
        for row in left[:most]:
            details.add_row(row.clip, row.node, row.state, row.reason)
        console.print(details)
    if len(left) > most:
        console.print(f"and {len(left) - most} more; `gaitloom status --tsv` lists all")
