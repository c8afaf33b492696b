"""The commands by theme: argument parsing only; every command is one call into the package."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.", metavar="FILE")]
CONFIG = Path("config/config.yaml")
