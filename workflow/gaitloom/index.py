"""Indexing: one group a clip, its nodes' metadata consolidated into it with a QC row; and the store's root."""

from typing import Any

from gaitloom.plan import Plan
from gaitloom.qc import quality
from gaitloom.store import Store


def index_clip(plan: Plan, path: str) -> None:
    """Write the group of one clip over those of its planned nodes that exist.

    Raises:
        GaitloomError: the clip is not planned.
    """
    store = Store(plan.config.results)
    clip = plan.clip(path)
    nodes = {n: d for n, d in plan.digests_of(clip.path).items() if store.digest(plan.key(clip, n)) == d}
    attributes = {
        **plan.clip_attributes(clip),
        "nodes": nodes,
        "index_digest": plan.index_digest(path),
        "qc": quality(plan, store, clip, nodes),
    }
    store.write_index(path, attributes, list(nodes))


def index_root(plan: Plan) -> None:
    """Write the store's root with a table of the indexed clips: `pandas.DataFrame(**root.attrs["clips"])` reads it.

    A clip that some failure left without an index is indexed here, over what exists of it.
    """
    store = Store(plan.config.results)
    rows: list[dict[str, Any]] = []
    for path, clip in plan.accepted.items():
        if store.index(path) is None and any(store.digest(plan.key(clip, n)) for n in plan.nodes_of_clip(path)):
            index_clip(plan, path)
        if (index := store.index(path)) is not None:
            rows.append({"path": path, **_row(index)})
    columns = list(dict.fromkeys(c for row in rows for c in row))
    table = {"columns": columns, "data": [[row.get(c) for c in columns] for row in rows]}
    store.write_root({"Conventions": "CF-1.11", "title": "GaitLoom store", "clips": table})


def _row(index: dict[str, Any]) -> dict[str, Any]:
    keys = ("subject", "session", "trial", "camera", "segment", "sync_offset_s")
    return {
        **{k: index[k] for k in keys if k in index},
        **index.get("columns", {}),
        "nodes": " ".join(index["nodes"]),
        **index["qc"],
    }
