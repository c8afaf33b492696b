"""The command line: its options, and how errors are told. The commands stand in `commands/`."""

import sys
import traceback
from typing import Annotated

import typer

import gaitloom
from gaitloom.commands import judging, leaving, looking, making
from gaitloom.errors import GaitloomError
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

for commands in (making, looking, judging, leaving):
    app.add_typer(commands.app)


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
