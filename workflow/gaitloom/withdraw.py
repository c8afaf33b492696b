"""Consent withdrawn: everything that was made of a person is removed, and a mark left by which `scan` refuses them.

Raw videos, and what people wrote by hand, are never touched: what is left for a person to do is said.
"""

import base64
import binascii
import re
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from gaitloom import config as settings
from gaitloom.clips import Clip, read_sheet
from gaitloom.config import Config
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.progress import say
from gaitloom.reconcile import RECORDS, alone
from gaitloom.scan import scan
from gaitloom.store import METADATA, Store
from gaitloom.tombstones import Tombstones

# Whose text may name them; Snakemake's records have no ending. A file of the store that may is a group's metadata.
TEXTS = (".err", ".html", ".json", ".log", ".out", ".sh", ".tsv", ".txt", "")
# What may follow a clip's name where a file is its own; anything else of letters and digits is another clip's name.
ENDINGS = r"\.(?:err|html|jpg|json|log|mp4|out|png|tsv|txt|xml|npy)\b"


class Withdrawn:
    """A subject who withdraws, or one session of theirs: which clips and files that is."""

    def __init__(self, config: Config, subject: str, session: str | None):
        self.config, self.subject, self.session = config, subject, session
        sheet = config.results / "clips.tsv"
        every = read_sheet(sheet) if sheet.is_file() else []
        self.clips = [c for c in every if self._is(c.subject, c.session)]
        self.keys = [k for k in Store(config.results).list() if self._is(k.subject, _session_of(k.name))]
        self.paths = sorted({c.path for c in self.clips} | {k.clip for k in self.keys} | set(self._left_behind()))
        kept = {w for c in every if c not in self.clips for w in (c.video, c.sha256)}
        self.words = sorted({w for c in self.clips for w in (c.video, c.sha256) if w} - kept)

    def _is(self, subject: str, session: str) -> bool:
        same = subject.casefold() == self.subject.casefold()
        return same and (self.session is None or session.casefold() == self.session.casefold())

    def _left_behind(self) -> Iterator[str]:
        """Clips of which a withdrawal that broke off left no node and no row, but files named after them."""
        results = self.config.results
        for root in (*(results / kind for kind in ("provenance", "failures", "preview")), *results.glob("logs/*")):
            for file in root.glob("*/*"):
                name = re.sub(rf"{ENDINGS}$", "", file.name)
                if self._is(file.parent.name, _session_of(name)):
                    yield f"{file.parent.name}/{name}"

    @cached_property
    def _clip(self) -> re.Pattern[str]:
        """Any of their clips in a path or a text, however subject and name are joined, and no clip of longer name."""
        names = "|".join(r"[/._]".join(map(re.escape, path.split("/"))) for path in self.paths) or r"(?!)"
        longer = r"[A-Za-z0-9-]|\.[A-Za-z0-9]|_(?:ses|trial|cam|seg)-"
        return re.compile(rf"(?<![A-Za-z0-9.-])(?:{names})(?:(?={ENDINGS})|(?!{longer}))")

    def named_in(self, text: str) -> bool:
        """Whether a text names one of their clips or videos."""
        return bool(self._clip.search(text)) or any(word in text for word in self.words)

    def traces(self) -> Iterator[Path]:
        """Every file of the results, and of Snakemake's records, whose path or text names them."""
        for root in (self.config.results, RECORDS.parent):
            for path in sorted(p for p in root.rglob("*") if p.is_file() or p.is_symlink()):
                where = path.relative_to(root).as_posix()
                if self.named_in(where) or self.named_in(_recorded(where)) or self._named_inside(path):
                    yield path

    def _named_inside(self, path: Path) -> bool:
        if path.suffix not in TEXTS or ("store.zarr" in path.parts and path.name != METADATA):
            return False
        try:
            return self.named_in(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return False


def _session_of(name: str) -> str:
    return next((part[4:] for part in name.split("_") if part.startswith("ses-")), "")


def _recorded(where: str) -> str:
    """The file that one of Snakemake's records is about: the record's name is that path in base 64, cut where it is
    long."""
    try:
        name = where.partition("/")[2].replace("/@", "").replace("@", "").replace("/", "")
        return base64.b64decode(name, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def withdraw(config_file: Path, subject: str, session: str | None, really: bool) -> None:
    """Remove a subject, or one session of theirs, from everything but the input folder; or, unless `really`, list it.

    The mark comes first: whatever happens then, the same command ends it, and no run brings them back.

    Raises:
        GaitloomError: a run is alive, there is no such subject, or something of theirs could not be removed.
    """
    config = settings.load(config_file)
    with alone(config.results):
        gone, marks = Withdrawn(config, subject, session), Tombstones(config.clips.withdrawn)
        if not gone.paths and not marks.refuse(Clip(subject=subject, session=session or "")):
            of = f"session {session} of subject {subject}" if session else f"subject {subject}"
            raise GaitloomError(f"There is no {of} here; `gaitloom status` lists the clips.")
        if not really:
            for path in gone.traces():
                print(path)
            say(f"{len(gone.paths)} clips, and these files, would go for good; add --yes to remove them")
            return
        marks.add(subject, session, {c.sha256 for c in gone.clips} & set(gone.words))
        _remove(gone)
        _write_anew(config)
        for path in list(gone.traces()):  # logs and reports that name them beside others
            path.unlink()
        _prune(config.results)
        if left := next(gone.traces(), None):
            raise GaitloomError(f"{left} still names them; remove it, and run the same command again.")
    say(f"{len(gone.paths)} clips are withdrawn: nothing of them is left in {config.results} or in {RECORDS.parent}")
    _say_what_is_left(gone)


def _remove(gone: Withdrawn) -> None:
    """Remove what was made of them, groups' metadata first: a node that is gone below an index reads as fill values."""
    store = Store(gone.config.results)
    above = [
        store.root,
        *(store.root / path.split("/")[0] for path in gone.paths),
        *(store.root / p for p in gone.paths),
    ]
    for folder in above:
        (folder / METADATA).unlink(missing_ok=True)
    for key in gone.keys:
        store.drop(key)
    shutil.rmtree(store.staging, ignore_errors=True)  # no run is alive
    for folder in _corrected(gone):
        if folder.exists():
            shutil.rmtree(folder)
    for path in list(gone.traces()):
        if path.parent != gone.config.results:  # what lies there is written anew
            path.unlink()
    (gone.config.results / ".reported").unlink(missing_ok=True)


def _corrected(gone: Withdrawn) -> Iterator[Path]:
    """Folders of their corrections by hand."""
    for name, node in sorted(gone.config.nodes.items()):
        if node.backend == "manual":
            yield from (gone.config.backend_options_of(name).folder / path for path in gone.paths)


def _write_anew(config: Config) -> None:
    """Sheets, ledger, tables and the store's root, of who is left."""
    from gaitloom.index import index_root
    from gaitloom.report import write

    plan = Plan(config, scan(config))
    plan.hash_files()
    index_root(plan)
    write(plan)


def _prune(results: Path) -> None:
    """Remove folders that are empty now."""
    for folder in sorted((p for p in results.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def _say_what_is_left(gone: Withdrawn) -> None:
    """What no program can or may do."""
    for video in sorted({c.video for c in gone.clips if Path(c.video).is_file()}):
        say(f"to do: remove {video} from the input folder")
    for sheet in (gone.config.clips.sheet, gone.config.review.decisions):
        if sheet and sheet.is_file() and gone.subject in sheet.read_text(encoding="utf-8"):
            say(f"to do: look for their rows in {sheet}")
    say("to do: annotations of theirs that came with the videos; copies and backups of results and input elsewhere")
    say("to do: releases: publish a version without them, and tell whoever has an older one")
