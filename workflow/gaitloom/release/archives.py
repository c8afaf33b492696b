"""Zip archives that are the same bytes for the same files: names sorted, one date, one mode, no host.

What is compressed already is stored as it is, text is deflated. (Zip can hold zstd too, but what most people have
cannot read it.)
"""

import hashlib
import os
import zipfile
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import IO

DATE = (1980, 1, 1, 0, 0, 0)  # zip's earliest
MODE = 0o644 << 16
TEXT = (".csv", ".json", ".jsonl", ".md", ".tsv", ".txt", ".xml")
PIECE = 1 << 20
# A central directory's entry, two headers and names: what a member takes beside its bytes, at most.
OVERHEAD = 300


def pack(folder: Path, target: Path) -> dict[str, tuple[int, str]]:
    """Store the files of a folder, uncompressed, in one zip at `target`; name → (bytes, SHA-256)."""
    members: dict[str, tuple[int, str]] = {}
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = path.relative_to(folder).as_posix()
            with path.open("rb") as file:
                digest = hashlib.sha256()
                for piece in _put(archive, name, file, path.stat().st_size, zipfile.ZIP_STORED):
                    digest.update(piece)
                members[name] = path.stat().st_size, digest.hexdigest()
    return members


class Merged:
    """The members of several zips by name, to be copied into one archive or, where that would be too large, into
    several. A zip's members stay together, and those of `common` are in every archive: each can be used alone."""

    def __init__(self, parts: Iterable[Path], common: Path | None = None):
        self._where: dict[str, Path] = {}
        self._size: dict[str, int] = {}
        self._common = self._add(common) if common else []
        self._parts = [self._add(part) for part in parts]

    def _add(self, part: Path) -> list[str]:
        with zipfile.ZipFile(part) as archive:
            for info in archive.infolist():
                if info.filename in self._where:
                    raise ValueError(f"{info.filename} is both in {self._where[info.filename]} and {part}")
                self._where[info.filename], self._size[info.filename] = part, info.file_size
            return archive.namelist()

    def __len__(self) -> int:
        return len(self._where)

    def groups(self, limit: int) -> Iterator[list[str]]:
        """The members' names in order, in as few archives as their sizes allow; a zip that is larger than the limit by
        itself has an archive to itself."""
        shared = self._bytes(self._common)
        group: list[str] = []
        size = shared
        for names in sorted(self._parts):
            more = self._bytes(names)
            if group and size + more > limit:
                yield sorted([*self._common, *group])
                group, size = [], shared
            group += names
            size += more
        if group or self._common:
            yield sorted([*self._common, *group])

    def _bytes(self, names: Iterable[str]) -> int:
        return sum(self._size[n] + OVERHEAD + 2 * len(n.encode()) for n in names)

    def write(self, names: Iterable[str], target: Path) -> None:
        """Copy members into a zip at `target`, which appears whole or not at all."""
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with zipfile.ZipFile(draft, "w") as archive:
                for part, of_part in groupby(names, self._where.__getitem__):
                    with zipfile.ZipFile(part) as source:
                        for name in of_part:
                            how = zipfile.ZIP_DEFLATED if name.endswith(TEXT) else zipfile.ZIP_STORED
                            with source.open(name) as file:
                                deque(_put(archive, name, file, self._size[name], how), maxlen=0)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)


def _put(archive: zipfile.ZipFile, name: str, file: IO[bytes], size: int, how: int) -> Iterator[bytes]:
    """Write one member; its bytes pass through."""
    info = zipfile.ZipInfo(name, DATE)
    info.compress_type, info.external_attr, info.create_system, info.file_size = how, MODE, 3, size
    with archive.open(info, "w", force_zip64=size >= 0xFFFF0000) as out:
        while piece := file.read(PIECE):
            out.write(piece)
            yield piece
