"""Looking into the store from a terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from gaitloom.plan import Plan
from gaitloom.store import Store


def view(plan: Plan, path: str | None) -> None:
    """List the clips with their QC figures, or show one clip's nodes with their arrays, units and making.

    Raises:
        GaitloomError: there is no such clip.
    """
    console = Console()
    if path is None:
        console.print(_clips(plan))
    else:
        console.print(_clip(plan, path))
        for suffix in ("mp4", "jpg"):
            preview = plan.config.results / "preview" / f"{path}.{suffix}"
            if preview.is_file():
                console.print(f"preview: {preview}")


def _clips(plan: Plan) -> Table:
    from gaitloom.qc import COLUMNS

    store = Store(plan.config.results)
    table = Table("clip", *COLUMNS, box=None)
    table.columns[0].no_wrap = True
    for path in plan.accepted:
        quality = (store.index(path) or {}).get("qc", {})
        table.add_row(path, *(str(quality.get(c, "")) for c in COLUMNS))
    return table


def _clip(plan: Plan, path: str) -> Tree:
    store, clip = Store(plan.config.results), plan.clip(path)
    tree = Tree(path)
    for node in plan.withheld(path):
        tree.add(f"{node}: withdrawn")
    for node in plan.nodes_of_clip(path):
        key = plan.key(clip, node)
        attributes = store.attributes(key)
        if attributes is None:
            tree.add(f"{node}: not made yet")
            continue
        branch = tree.add(f"[bold]{node}[/bold]  {_making(attributes)}")
        for name, array in store.open(key).arrays.items():
            units = array.attrs.get("units", "")
            size = "x".join(map(str, array.shape))
            branch.add(f"{name}  {size} {array.dtype} {units}  [dim]{array.attrs.get('long_name', '')}[/dim]")
    return tree


def _making(attributes: dict[str, Any]) -> str:
    recipe = attributes["recipe"]
    by = f"by {recipe['backend']} {recipe['backend_version']}, " if "backend" in recipe else ""
    return f"{by}recipe {attributes['recipe_digest'][:12]}"
