"""Commands that say how good it is, and who learns from whom."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gaitloom.commands import CONFIG, ConfigFile
from gaitloom.plan import Plan

app = typer.Typer()


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
    """Say who is trained on and who is tested on; whoever is in an earlier split stays.

    Without a way of splitting, it is the one of the configuration's table splits.
    """
    from gaitloom import split_files

    ways = {"folds": folds, "leave_one_out": leave_one_out, "shares": shares, "validation": validation, "by": by}
    split_files.write(config, table, to, split_files.way(ways, preset, family, seed))


validation = typer.Typer(name="technical-validation", help="What can be told from the data.", no_args_is_help=True)
app.add_typer(validation)
Population = Annotated[str, typer.Argument(help="A tier of the release; all, where there is none.")]


@validation.command()
def trial(
    population: Population,
    target: Annotated[str, typer.Argument(help="A column, or a label table.")],
    node: Annotated[str, typer.Argument(help="The node from which it is told.")],
    config: ConfigFile = CONFIG,
) -> None:
    """Tell one target from one input, over the splits (what the workflow's jobs call)."""
    from gaitloom.technical_validation import run

    print(run.trial(Plan.read(config), population, target, node))


@validation.command("re-identification")
def re_identification(population: Population, config: ConfigFile = CONFIG) -> None:
    """Say how often each node tells who somebody is (what the workflow's jobs call)."""
    from gaitloom.technical_validation import run

    print(run.re_identification(Plan.read(config), population))


@validation.command()
def page(population: Population, config: ConfigFile = CONFIG) -> None:
    """Write page, tables and figures of a population (what `snakemake technical_validation` calls)."""
    from gaitloom.technical_validation import page as pages

    print(pages.write(Plan.read(config), population))
