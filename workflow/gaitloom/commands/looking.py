"""Commands that show and check what there is."""

from typing import Annotated, Literal

import typer

from gaitloom.commands import CONFIG, ConfigFile
from gaitloom.plan import Plan

app = typer.Typer()


@app.command()
def view(
    clip: Annotated[str | None, typer.Argument(help="subject/clip; lists the clips where none is named.")] = None,
    config: ConfigFile = CONFIG,
) -> None:
    """Show what the store holds: its clips, or one clip's nodes with their arrays, units and making."""
    from gaitloom import view as viewing

    viewing.view(Plan.read(config), clip)


@app.command()
def status(
    config: ConfigFile = CONFIG,
    tsv: Annotated[bool, typer.Option("--tsv", help="Print the whole ledger as TSV.")] = False,
) -> None:
    """Show the ledger: what every clip and node is, and why."""
    from gaitloom import status as showing

    showing.status(Plan.read(config), tsv)


@app.command()
def verify(
    config: ConfigFile = CONFIG,
    drop: Annotated[
        bool, typer.Option("--drop", help="Remove bad nodes, so that the next run makes them again.")
    ] = False,
) -> None:
    """Check every node of the store: schema, time axes, checksums, recipes. Exit code 1 where something is wrong."""
    from gaitloom import verify as verifying

    raise typer.Exit(verifying.main(Plan.read(config), drop))


@app.command()
def audit(
    clip: Annotated[str | None, typer.Argument(help="subject/clip; all clips where none is named.")] = None,
    config: ConfigFile = CONFIG,
    tier: Annotated[
        Literal["full", "basic"], typer.Option(help="What the release needs: open and registered ones, full.")
    ] = "full",
) -> None:
    """Show what the audits say, and what speaks against a release. Exit code 1 where something does."""
    from gaitloom import audit_report

    raise typer.Exit(audit_report.audit(Plan.read(config), clip, tier))


@app.command()
def review(
    config: ConfigFile = CONFIG,
    raw: Annotated[
        bool, typer.Option("--raw", help="Also show raw crops, in review/raw/: for local eyes only.")
    ] = False,
) -> None:
    """Write the page of clips that somebody has to look at, with rows for the decision file."""
    from gaitloom import review as reviewing

    print(reviewing.write(Plan.read(config), raw))
