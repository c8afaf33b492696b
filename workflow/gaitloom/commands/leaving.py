"""Commands by which something leaves: for other tools, for a release, or for good."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gaitloom.commands import CONFIG, ConfigFile
from gaitloom.plan import Plan

app = typer.Typer()


@app.command()
def export(
    node: Annotated[str, typer.Argument(help="Name of a keypoints node.")],
    clip: Annotated[list[str] | None, typer.Argument(help="subject/clip; all clips where none is named.")] = None,
    config: ConfigFile = CONFIG,
    form: Annotated[
        Literal["coco", "cmu", "open", "trc"],
        typer.Option("--as", help="AlphaPose's format, or TRC in pixels, for Sports2D.", show_default=True),
    ] = "coco",
    to: Annotated[Path, typer.Option(help="Folder to write to.", metavar="FOLDER")] = Path("export"),
) -> None:
    """Write a keypoints node as AlphaPose's results or as a TRC file, one a clip."""
    from gaitloom import export as exporting

    exporting.export(Plan.read(config), node, clip or [], form, to)


@app.command()
def correct(
    node: Annotated[str, typer.Argument(help="Name of a manual node, such as keypoints_manual.")],
    clip: Annotated[list[str] | None, typer.Argument(help="subject/clip; all clips where none is named.")] = None,
    config: ConfigFile = CONFIG,
    layout: Annotated[
        Literal["cvat", "coco", "progait"], typer.Option("--as", help="Layout of the files.", show_default=True)
    ] = "cvat",
) -> None:
    """Hand a node out for correction by hand: files for CVAT, COCO's tools or ProGait's."""
    from gaitloom import correct as correcting

    correcting.correct(Plan.read(config), node, clip or [], layout)


@app.command()
def withdraw(
    subject: Annotated[str, typer.Argument(help="Who withdrew consent.")],
    config: ConfigFile = CONFIG,
    session: Annotated[str | None, typer.Option(help="Only this session of theirs.")] = None,
    node: Annotated[
        list[str] | None,
        typer.Option("--node", help="Only this node, or modality, and what is made from it; may be repeated."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove, do not only list.")] = False,
) -> None:
    """Remove everything made of a person who withdrew consent, or one kind of it, and refuse it from now on."""
    from gaitloom import withdraw as withdrawing

    withdrawing.withdraw(config, subject, session, yes, node or [])


releases = typer.Typer(name="release", help="What leaves the laboratory.", no_args_is_help=True)
app.add_typer(releases)
TierOption = Annotated[Literal["open", "registered", "controlled"], typer.Option(help="Who may have it.")]


@releases.command()
def part(
    clip: Annotated[str, typer.Argument(help="subject/clip")], tier: TierOption, config: ConfigFile = CONFIG
) -> None:
    """Export one clip for one tier (what the workflow's jobs call)."""
    from gaitloom.release import parts

    parts.make(Plan.read(config), clip, tier)


@releases.command()
def build(tier: TierOption, config: ConfigFile = CONFIG) -> None:
    """Build a tier's release from its parts, or go on where a build broke off (what `snakemake release` calls)."""
    from gaitloom.release import build as building

    print(building.build(Plan.read(config), tier))


@releases.command()
def show(config: ConfigFile = CONFIG) -> None:
    """Show what each tier holds or would hold, and what is left out, and why."""
    from gaitloom.release import show as showing

    showing.show(Plan.read(config))


@releases.command("verify")
def verify_release(
    folder: Annotated[Path, typer.Argument(help="Folder of a release.", metavar="FOLDER")],
) -> None:
    """Check a release from its folder alone, without the store. Exit code 1 where something is wrong."""
    from gaitloom.release import verify as verifying

    raise typer.Exit(verifying.main(folder))
