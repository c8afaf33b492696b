"""The command line: argument parsing only; every command is one call into the package."""

import sys
import traceback
from pathlib import Path
from typing import Annotated, Literal

import typer

import gaitloom
from gaitloom.clips import NodeKey
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.progress import say

app = typer.Typer(
    name="gaitloom",
    help="Weaves raw gait videos into one verified Zarr store. `snakemake` runs these commands; call them yourself to "
    "look, check and repair.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
DEBUG = False

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.", metavar="FILE")]
CONFIG = Path("config/config.yaml")


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Options of every command."""
    global DEBUG
    DEBUG = debug
    if version:
        print(gaitloom.__version__)
        raise typer.Exit


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
def reconcile(
    config: ConfigFile = CONFIG,
    prune: Annotated[bool, typer.Option("--prune", help="Also remove what is no longer planned.")] = False,
) -> None:
    """Make Snakemake's records agree with the store: drop stale nodes, keep and record the others."""
    from gaitloom import reconcile as reconciling

    reconciling.reconcile(config, prune)


@app.command()
def status(
    config: ConfigFile = CONFIG,
    tsv: Annotated[bool, typer.Option("--tsv", help="Print the whole ledger as TSV.")] = False,
) -> None:
    """Show the ledger: what every clip and node is, and why."""
    from gaitloom import status as showing

    showing.status(Plan.read(config), tsv)


@app.command()
def report(config: ConfigFile = CONFIG) -> None:
    """Write ledger, tables, contact sheet, audits' figures and review page of what is there (snakemake does so)."""
    from gaitloom import report as reporting

    reporting.write(Plan.read(config))


@app.command()
def view(
    clip: Annotated[str | None, typer.Argument(help="subject/clip; lists the clips where none is named.")] = None,
    config: ConfigFile = CONFIG,
) -> None:
    """Show what the store holds: its clips, or one clip's nodes with their arrays, units and making."""
    from gaitloom import view as viewing

    viewing.view(Plan.read(config), clip)


@app.command()
def evaluate(
    a: Annotated[str, typer.Argument(help="Name of a node, such as keypoints_strict.", metavar="A")],
    b: Annotated[str, typer.Argument(help="The node to hold it against: the reference.", metavar="B")],
    config: ConfigFile = CONFIG,
    by: Annotated[str | None, typer.Option("--by", help="Also one line a value of this column or key part.")] = None,
    tsv: Annotated[bool, typer.Option("--tsv", help="Print TSV.")] = False,
    plot: Annotated[Path | None, typer.Option("--plot", help="Also draw the distribution.", metavar="PNG")] = None,
) -> None:
    """Compare two nodes of one modality on every clip that has both: before an upgrade is accepted."""
    from gaitloom import evaluate as evaluating

    evaluating.evaluate(Plan.read(config), a, b, by, tsv, plot)


@app.command()
def accept(
    variant: Annotated[str, typer.Argument(help="Name of a node beside an old one, such as keypoints_next.")],
    config: ConfigFile = CONFIG,
    over: Annotated[
        str | None, typer.Option(help="In whose place, if not that of its modality's name.", metavar="NODE")
    ] = None,
) -> None:
    """Report what changes if a variant takes a node's place, and print the lines of the configuration that do it."""
    from gaitloom import accept as accepting

    accepting.accept(Plan.read(config), variant, over)


@app.command()
def splits(
    config: ConfigFile = CONFIG,
    table: Annotated[
        Path | None,
        typer.Option(help="CSV or TSV, a row a subject; else participants and clip sheet.", metavar="FILE"),
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Folder; else results/splits.", metavar="FOLDER")] = None,
    folds: Annotated[int | None, typer.Option(help="So many folds, each tested once.", metavar="K")] = None,
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="Each subject (or family) is tested once.")
    ] = False,
    shares: Annotated[
        str | None, typer.Option(help="One split: shares of train, validation, test.", metavar="0.7,0.1,0.2")
    ] = None,
    preset: Annotated[Literal["health_gait"] | None, typer.Option(help="A published recipe.")] = None,
    validation: Annotated[
        float | None, typer.Option(help="Its share of all people, with --folds (0.1) and --leave-one-out (0).")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Column whose classes are shared out; age:18,35,50 in bands. May be repeated."),
    ] = None,
    family: Annotated[str, typer.Option(help="Column of those who stay together.")] = "family",
    seed: Annotated[int, typer.Option(help="Another seed, another split.")] = 0,
) -> None:
    """Say who is trained on and who is tested on; whoever is in an earlier split stays."""
    from gaitloom import split_files

    way = split_files.Way(preset, folds, leave_one_out, shares, validation, by or (), family, seed)
    split_files.write(config, table, to, way)


@app.command()
def compare(
    table: Annotated[Path, typer.Argument(help="CSV or TSV of an instrument (OptoGait, walkway).", metavar="TABLE")],
    node: Annotated[str, typer.Option(help="Name of a gait node.")] = "gait",
    mapped: Annotated[
        list[str] | None,
        typer.Option("--map", help="COLUMN=subject, COLUMN=step_length:cm or ...:cm@usual. May be repeated."),
    ] = None,
    config: ConfigFile = CONFIG,
) -> None:
    """Compare a gait node with an instrument: errors, limits of agreement, ICC, Bland-Altman plots."""
    from gaitloom import compare as comparing

    comparing.compare(Plan.read(config), table, node, mapped or [])


@app.command()
def export(
    node: Annotated[str, typer.Argument(help="Name of a keypoints node.")],
    clip: Annotated[list[str] | None, typer.Argument(help="subject/clip; all clips where none is named.")] = None,
    config: ConfigFile = CONFIG,
    form: Annotated[
        Literal["coco", "cmu", "open"], typer.Option("--as", help="AlphaPose's format.", show_default=True)
    ] = "coco",
    to: Annotated[Path, typer.Option(help="Folder to write to.", metavar="FOLDER")] = Path("export"),
) -> None:
    """Write a keypoints node as AlphaPose's results, one JSON file a clip."""
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


@app.command()
def unlock(config: ConfigFile = CONFIG) -> None:
    """Release Snakemake's lock where the run that took it is dead."""
    from gaitloom import reconcile as reconciling

    reconciling.unlock(config)


@app.command()
def weights(config: ConfigFile = CONFIG) -> None:
    """Fetch and check the weight files that the configuration needs (what `snakemake weights` calls)."""
    from gaitloom import config as settings
    from gaitloom import weights as files

    files.prepare(settings.load(config))


@app.command()
def schema() -> None:
    """Print the configuration's JSON Schema, for editors."""
    from gaitloom.config import schema_text

    sys.stdout.write(schema_text())


def main() -> None:
    """Entry point: errors are one sentence and exit code 1, a traceback only with --debug."""
    try:
        app()
    except GaitloomError as error:
        if DEBUG:
            traceback.print_exc()
        say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
    except Exception as error:
        if DEBUG:
            raise
        say(f"error: {type(error).__name__}: {error}; this should not happen: `gaitloom --debug ...` shows where.")
        sys.exit(1)
