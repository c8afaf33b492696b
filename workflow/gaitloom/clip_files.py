"""Files that belong to a clip beside its video (existing annotations, human corrections): where, and what is in them.

Their content is part of the recipes of the nodes made from them, so it is hashed while the workflow is planned; a cache
by size and time stamp, `results/files.tsv`, saves reading them again.
"""

import csv
import hashlib
import io
import re
from pathlib import Path

from gaitloom.clips import KEY, Clip, write_if_changed
from gaitloom.errors import GaitloomError

COLUMNS = ("path", "size", "mtime_ns", "sha256")


def place(pattern: str, clip: Clip) -> Path:
    """The path that a pattern such as `pose/{subject}/{trial}.json` means for a clip.

    Fields in braces: the parts of the clip's key, `clip` (its name), and the extra columns of the clip sheet. One that
    the clip does not have stays as it is: there is no such file, and the clip's own job says so.
    """
    fields = {**{k: getattr(clip, k) for k in KEY}, "clip": clip.name, **clip.extra}
    return Path(re.sub(r"\{(\w+)\}", lambda match: fields.get(match[1]) or match[0], pattern))


def existing(path: Path) -> Path:
    """The path, if something is there.

    Raises:
        GaitloomError: nothing is.
    """
    if path.exists():
        return path
    if open_field := re.search(r"\{(\w+)\}", str(path)):
        raise GaitloomError(
            f"has no '{open_field[1]}' for {path}; give it in the clip sheet, or correct backend_options.file"
        )
    raise GaitloomError(f"{path} is not there; put it there, or correct backend_options.file.")


class Hashes:
    """SHA-256 of files, and of folders of files, read again only where size or time stamp changed."""

    def __init__(self, cache: Path):
        self._cache = cache
        self._known: dict[str, tuple[int, int, str]] = {}
        if cache.is_file():
            with cache.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file, delimiter="\t"):
                    self._known[row["path"]] = (int(row["size"]), int(row["mtime_ns"]), row["sha256"])
        self._used: dict[str, tuple[int, int, str]] = {}

    def of(self, path: Path) -> str | None:
        """The content's SHA-256 in hex; of a folder, that of its files' names and contents; None where there is none.

        Raises:
            GaitloomError: it is there and cannot be read.
        """
        try:
            if path.is_dir():
                files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
                rows = "".join(f"{p.name}\t{self._file(p)}\n" for p in files)
                return hashlib.sha256(rows.encode()).hexdigest()
            return self._file(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise GaitloomError(f"{path} cannot be read ({error.strerror}); check its permissions.") from None

    def _file(self, path: Path) -> str:
        stat, name = path.stat(), str(path)
        seen = self._used.get(name) or self._known.get(name)
        if seen is None or seen[:2] != (stat.st_size, stat.st_mtime_ns):
            with path.open("rb") as file:
                seen = (stat.st_size, stat.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest())
        self._used[name] = seen
        return seen[2]

    def save(self) -> None:
        """Keep what was asked for, and nothing else, for the next run."""
        text = io.StringIO()
        table = csv.writer(text, delimiter="\t", lineterminator="\n")
        table.writerows([COLUMNS, *((path, *self._used[path]) for path in sorted(self._used))])
        if self._used or self._cache.is_file():
            write_if_changed(self._cache, text.getvalue())
