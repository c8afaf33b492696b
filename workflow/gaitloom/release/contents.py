"""A release in the making, as those see it who write its metadata."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gaitloom.release.dataset import Dataset
from gaitloom.release.parts import Part

CLIPS = "clips.tsv"
COLUMNS = ("subject", "clip", "nodes", "frames", "fps", "width", "height", "content")


@dataclass(frozen=True)
class Archive:
    """One archive: `name` of its file in data/, which `exporter`'s, `what` it holds of that layout, how many `files`,
    with which `suffixes`, its `bytes` and `sha256`."""

    name: str
    exporter: str
    what: str
    files: int
    suffixes: tuple[str, ...]
    bytes: int
    sha256: str


@dataclass
class Contents:
    """What the release in `folder` holds; `data/` is complete when metadata is written. `previous` is the folder of the
    tier's release before this one, where there is one here."""

    dataset: Dataset
    folder: Path
    parts: tuple[Part, ...]
    previous: Path | None
    archives: list[Archive] = field(default_factory=list)

    @property
    def data(self) -> Path:
        """What is released: archives and tables."""
        return self.folder / "data"

    def write_clips(self) -> None:
        """Write data/clips.tsv: one row a clip; `content` is the digest of its files: versions are compared by it."""
        extra = sorted({c for part in self.parts for c in part.columns})
        rows = [[*map(_text, _row(part)), *(part.columns.get(c, "n/a") for c in extra)] for part in self.parts]
        (self.data / CLIPS).write_text(_tsv([[*COLUMNS, *extra], *rows]))


def _row(part: Part) -> Iterable[Any]:
    return part.subject, part.clip, " ".join(part.nodes), part.frames, part.fps, part.width, part.height, part.content


def _text(value: Any) -> str:
    return str(value) or "n/a"


def _tsv(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(rows)
    return text.getvalue()


def read_clips(folder: Path) -> list[dict[str, str]]:
    """The rows of a finished release's data/clips.tsv."""
    with (folder / "data" / CLIPS).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))
