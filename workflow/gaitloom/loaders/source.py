"""Where samples come from: a store, or a release's `zarr_*.zip` archives. Imports zarr, as `store` does.

Nothing that is open goes from one process to another: nodes are opened for each sample, archives once a process.
"""

import csv
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import zarr
from zarr.storage import ZipStore

from gaitloom.errors import GaitloomError
from gaitloom.store import METADATA, Node

SUBJECT = ("subject", "ID", "participant_id")
Row = dict[str, Any]


class Source:
    """The clips of a store's folder, of one archive of a release, or of a release.

    Attributes: `clips`: path `{subject}/{clip}` → its columns, in the order of the paths.
    """

    def __init__(self, path: str | Path, paths: Iterable[str] | None = None):
        """Of a store, `paths` are its clips without columns, whether or not its table lists them yet.

        Raises:
            GaitloomError: nothing of that kind is there.
        """
        self.path = Path(path)
        folder = paths is not None or (self.path / METADATA).is_file()
        self._archives = [] if folder else _archives(self.path)
        if not folder and not self._archives:
            raise GaitloomError(f"{path} is no store and holds no zarr_*.zip; give results/store.zarr or a release.")
        clips: dict[str, Row] = {p: {"path": p, "subject": p.partition("/")[0]} for p in paths or ()}
        self._where: dict[str, Path] = {}  # {subject}/{clip}/{node} → its archive
        for place in self._archives or [self.path] * (paths is None):
            for row in _table(place, self._root(place)):
                clips.setdefault(row["path"], {}).update(row)
        for archive in self._archives:
            for name in _names(archive, os.getpid()):
                if name.count("/") == 3 and name.endswith(f"/{METADATA}"):
                    self._where[name.removesuffix(f"/{METADATA}")] = archive
        self.clips = dict(sorted(clips.items()))

    def node(self, clip: str, node: str) -> Node:
        """One node of a clip, opened for reading.

        Raises:
            GaitloomError: it is not there, or has lost a file.
        """
        name = f"{clip}/{node}"
        if self._archives:
            if name not in self._where:
                raise GaitloomError(f"{name} is not among what was released; choose another node.")
            store = _archive(self._where[name], os.getpid())
            return Node(zarr.open_group(store, path=name, mode="r", zarr_format=3))
        folder = self.path / name
        if not (folder / METADATA).is_file():  # a clip's index may still list what was withdrawn
            raise GaitloomError(f"{name} is not in the store; run snakemake to make it.")
        found = Node(zarr.open_group(folder, mode="r", zarr_format=3))
        for file in found.attributes.get("checksums", ()):  # what is not there would read as nobody
            if not (folder / file).is_file():
                raise GaitloomError(f"{name}/{file} is gone; `gaitloom verify --drop` removes its node.")
        return found

    def size(self, clip: str) -> tuple[int, int]:
        """Height and width of a clip's full frame in pixels."""
        row = self.clips[clip]
        about = row if "width" in row else self.node(clip, "video").attributes
        return int(about["height"]), int(about["width"])

    def _root(self, place: Path) -> dict[str, Any]:
        if place.is_dir():
            return json.loads((place / METADATA).read_bytes())["attributes"]
        try:
            return dict(zarr.open_group(_archive(place, os.getpid()), mode="r", zarr_format=3).attrs)
        except (OSError, ValueError, BadZipFile):  # no zip, or none of ours
            return {}


def _archives(path: Path) -> list[Path]:
    """The archive itself, or those of a folder, or of a release's folder, which has them in `data`."""
    if path.is_file():
        return [path]
    return sorted(path.glob("zarr_*.zip")) or sorted(path.glob("data/zarr_*.zip"))


def _table(place: Path, attributes: dict[str, Any]) -> list[Row]:
    try:
        table = attributes["clips"]
        return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    except (KeyError, TypeError, ValueError):
        raise GaitloomError(f"{place} has no table of clips; run snakemake, or copy the archive again.") from None


# By process: a child that was forked would share its parent's place in the file. A parent's is kept, never closed.
@cache
def _archive(path: Path, process: int) -> ZipStore:
    return ZipStore(path, mode="r")


@cache
def _names(path: Path, process: int) -> list[str]:
    with ZipFile(path) as archive:
        return archive.namelist()


def table_of(path: Path) -> list[Row]:
    """The rows of a CSV or TSV, each with the keys of its columns.

    Raises:
        GaitloomError: it cannot be read, or has neither a column of subjects nor of clips' paths.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="," if path.suffix.lower() == ".csv" else "\t"))
    except (OSError, ValueError) as error:
        raise GaitloomError(f"{path} cannot be read as a table ({error}); give a CSV or TSV in UTF-8.") from None
    if not rows or not {"path", *SUBJECT} & set(rows[0]):
        raise GaitloomError(f"{path} has no column 'subject', 'ID', 'participant_id' or 'path'; add one.")
    return rows
