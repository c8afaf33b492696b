"""Commands that make the store: the workflow's jobs call most of them."""

import sys
from typing import Annotated

import typer

from gaitloom.clips import NodeKey
from gaitloom.commands import CONFIG, ConfigFile
from gaitloom.plan import Plan

app = typer.Typer()


@app.command()
def scan(config: ConfigFile = CONFIG) -> None:
    """Bring the clip sheet up to date with the input folders (snakemake does so by itself)."""
    from gaitloom import config as settings
    from gaitloom import scan as scanning

    loaded = settings.load(config)
    scanning.scan(loaded)
    print(loaded.results / "clips.tsv")


@app.command()
def passes(
    config: ConfigFile = CONFIG,
    clip: Annotated[list[str] | None, typer.Argument(help="subject/clip; all clips where none is named.")] = None,
) -> None:
    """Propose one-direction walks from the tracks, as rows for the hand-written sheet."""
    from gaitloom import passes as proposing

    sys.stdout.write(proposing.propose(Plan.read(config), clip or []))


@app.command()
def derive(
    node: Annotated[str, typer.Argument(help="subject/clip/node")],
    recipe: Annotated[str, typer.Option(help="Digest of the planned recipe.")],
    config: ConfigFile = CONFIG,
) -> None:
    """Make one node of the store (what the workflow's jobs call)."""
    from gaitloom.derive import derive as make

    make(Plan.read(config), NodeKey.parse(node), recipe)


@app.command()
def index(
    clip: Annotated[str | None, typer.Argument(help="subject/clip; the store's root where none is named.")] = None,
    config: ConfigFile = CONFIG,
) -> None:
    """Consolidate one clip, or write the store's root over all clips that exist."""
    from gaitloom import index as indexing

    plan = Plan.read(config)
    if clip:
        indexing.index_clip(plan, clip)
    else:
        indexing.index_root(plan)


@app.command()
def preview(
    clip: Annotated[str, typer.Argument(help="subject/clip")],
    config: ConfigFile = CONFIG,
    raw: Annotated[
        bool, typer.Option("--raw", help="Over the raw pictures, into preview_raw/: for local eyes only.")
    ] = False,
) -> None:
    """Render a clip's overlay video, and its line of the contact sheet, over the de-identified pictures."""
    from gaitloom import preview as rendering

    rendering.render(Plan.read(config), clip, raw)


@app.command()
def report(config: ConfigFile = CONFIG) -> None:
    """Write ledger, tables, contact sheet, audits' figures and review page of what is there (snakemake does so)."""
    from gaitloom import report as reporting

    reporting.write(Plan.read(config))


@app.command()
def weights(config: ConfigFile = CONFIG) -> None:
    """Fetch and check the weight files that the configuration needs (what `snakemake weights` calls)."""
    from gaitloom import config as settings
    from gaitloom import weights as files

    files.prepare(settings.load(config))


@app.command()
def reconcile(
    config: ConfigFile = CONFIG,
    prune: Annotated[bool, typer.Option("--prune", help="Also remove what is no longer planned.")] = False,
) -> None:
    """Make Snakemake's records agree with the store: drop stale nodes, keep and record the others."""
    from gaitloom import reconcile as reconciling

    reconciling.reconcile(config, prune)


@app.command()
def unlock(config: ConfigFile = CONFIG) -> None:
    """Release Snakemake's lock where the run that took it is dead."""
    from gaitloom import reconcile as reconciling

    reconciling.unlock(config)


@app.command()
def schema() -> None:
    """Print the configuration's JSON Schema, for editors."""
    from gaitloom.config import schema_text

    sys.stdout.write(schema_text())
