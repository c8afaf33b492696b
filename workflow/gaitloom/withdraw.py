"""Consent withdrawn: everything that was made of a person, or of one kind of data of theirs, is removed, and a mark
left by which `scan`, or the plan, refuses to make it again.

Raw videos, and what people wrote by hand, are never touched: what is left for a person to do is said.
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain, count
from pathlib import Path

from gaitloom import config as settings
from gaitloom import modalities
from gaitloom.clips import Clip, of_path, read_sheet
from gaitloom.config import Config, modality_of
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.progress import say
from gaitloom.reconcile import RECORDS, alone
from gaitloom.remains import ENDINGS, RELEASES, Remains, recorded
from gaitloom.scan import scan
from gaitloom.store import METADATA, Store
from gaitloom.tombstones import Tombstones

# Whose text may name them; Snakemake's records have no ending. A file of the store that may is a group's metadata.
TEXTS = (".csv", ".err", ".html", ".json", ".log", ".md", ".out", ".sh", ".tsv", ".txt", "")
# Where a clip's pages, pictures and parts of releases may show any of its nodes; they are made again.
SHOWING = ("preview", "preview_raw", "review", "changes", "release")
EXPORTS = Path("export")  # where `gaitloom export` writes keypoints unless told otherwise


class Withdrawn:
    """What a subject, or one session of theirs, withdraws: all of their clips, or some kinds of node of these."""

    def __init__(self, config: Config, subject: str, session: str | None, nodes: Sequence[str] = ()):
        self.config, self.subject, self.session, self.asked = config, subject, session, tuple(nodes)
        sheet = config.results / "clips.tsv"
        every = read_sheet(sheet) if sheet.is_file() else []
        self.clips = [c for c in every if self._is(c.subject, c.session)]
        kept = {w for c in every if c not in self.clips for w in (c.video, c.sha256)}
        contents = {c.sha256 for c in self.clips if c.sha256} - kept
        self.words = [] if nodes else sorted({c.video for c in self.clips if c.video} - kept | contents)
        self.marks = Tombstones.of(config)
        who = Clip(subject, session=session or "")
        self.known = self.marks.nodes(who, nodes) >= set(nodes) if nodes else self.marks.refuse(who)
        self.marks.mark(subject, session, contents, nodes)
        self.keys = [k for k in Store(config.results).list() if self._is_path(k.clip)]
        self.paths = sorted({c.path for c in self.clips} | {k.clip for k in self.keys} | set(self._left_behind()))
        if nodes:
            plan = Plan(config, every, self.marks)
            self._check(plan)
            remains = Remains(plan)
            self.keys = [k for k in remains.nodes() if self._is_path(k.clip)]
            self.nodes = sorted({n for p in self.paths for n in remains.withheld(p)} | {k.node for k in self.keys})

    def _is(self, subject: str, session: str) -> bool:
        same = subject.casefold() == self.subject.casefold()
        return same and (self.session is None or session.casefold() == self.session.casefold())

    def _is_path(self, path: str) -> bool:
        clip = of_path(path)
        return self._is(clip.subject, clip.session)

    def _check(self, plan: Plan) -> None:
        there = {*plan.nodes, *modalities.NAMES, *(k.node for k in self.keys)} - {"video"}
        for node in self.asked:
            if node == "video":
                raise GaitloomError("Every node is made from video; leave --node out to withdraw the whole clips.")
            if node not in there and not self.known:
                raise GaitloomError(f"There is no node '{node}'; choose from: {', '.join(sorted(there))}.")

    def _left_behind(self) -> Iterator[str]:
        """Clips of which a withdrawal that broke off left no node and no row, but files named after them."""
        results = self.config.results
        for root in (*(results / kind for kind in ("provenance", "failures", "preview")), *results.glob("logs/*")):
            for file in root.glob("*/*"):
                path = f"{file.parent.name}/{re.sub(rf'{ENDINGS}$', '', file.name)}"
                if self._is_path(path):
                    yield path

    @cached_property
    def _clip(self) -> str:
        """Any of their clips in a path or a text, however subject and name are joined, and no clip of longer name."""
        names = "|".join(r"[/._]".join(map(re.escape, path.split("/"))) for path in self.paths) or r"(?!)"
        longer = r"[A-Za-z0-9-]|\.[A-Za-z0-9]|_(?:ses|trial|cam|seg)-"
        return rf"(?<![A-Za-z0-9.-])(?:{names})(?:(?={ENDINGS})|(?!{longer}))"

    @cached_property
    def _named(self) -> re.Pattern[str]:
        """The same, where only nodes are withdrawn with one of these before or behind it."""
        if not self.asked:
            return re.compile(self._clip)
        kinds = [rf"{m}(?:_\w+)?" for m in self.asked if m in modalities.NAMES]
        nodes = "|".join([*kinds, *map(re.escape, {*self.nodes, *self.asked})])
        return re.compile(rf"{self._clip}/(?:{nodes})(?!\w)|(?<!\w)(?:rule_)?(?:{nodes})/{self._clip}")

    def named_in(self, text: str) -> bool:
        """Whether a text names what is withdrawn: one of their clips or videos, or a node of one."""
        return bool(self._named.search(text)) or any(word in text for word in self.words)

    def traces(self) -> Iterator[Path]:
        """Every file of the results, and of Snakemake's records, whose path or text names it; releases apart."""
        for root in (self.config.results, RECORDS.parent):
            for path in sorted(p for p in root.rglob("*") if p.is_file() or p.is_symlink()):
                where = path.relative_to(root).as_posix()
                if where.startswith(f"{RELEASES}/"):
                    continue
                if self.named_in(where) or self.named_in(recorded(where)) or self._inside(path, self._named):
                    yield path

    def _inside(self, path: Path, named: re.Pattern[str]) -> bool:
        if path.suffix not in TEXTS or ("store.zarr" in path.parts and path.name != METADATA):
            return False
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        return bool(named.search(text)) or any(word in text for word in self.words)

    def showing(self) -> Iterator[Path]:
        """What may show it without naming it: pages and pictures of their clips, exports, and corrections by hand."""
        clip = re.compile(self._clip)
        for path in (p for name in SHOWING for p in (self.config.results / name).rglob("*") if p.is_file()):
            if clip.search(path.relative_to(self.config.results).as_posix()) or self._inside(path, clip):
                yield path
        for folder, kind in self._outside():
            yield from (p for path in self.paths for p in (folder / path).rglob(kind) if p.is_file())

    def _outside(self) -> Iterator[tuple[Path, str]]:
        """Folders outside the results in which a program put something of a clip, and its files' names."""
        modality = {modality_of(n) for n in self.config.nodes if not self.asked or n in self.nodes}
        if "keypoints" in modality:
            yield EXPORTS, "*"
        for name, node in self.config.nodes.items():
            if node.backend == "manual" and (not self.asked or name in self.nodes):
                yield self.config.backend_options_of(name).folder, f"{modality_of(name)}.*" if self.asked else "*"

    def __str__(self) -> str:
        if not self.asked:
            return f"{len(self.paths)} clips"
        readers = [n for n in self.nodes if not {n, n.split("_")[0]} & set(self.asked)]
        made_from = f", and what was made from it ({', '.join(readers)})," if readers else ""
        return f"{', '.join(self.asked)}{made_from} of {len(self.paths)} clips"

    def folders(self) -> Iterator[Path]:
        """Folders in which there may be empty ones of theirs in the end."""
        yield self.config.results
        yield from {(folder / path).parent for folder, _ in self._outside() for path in self.paths}


def withdraw(config_file: Path, subject: str, session: str | None, really: bool, nodes: Sequence[str] = ()) -> None:
    """Remove a subject, or one session of theirs, from everything but the input folder; or of these only some nodes, by
    their names or modalities, with what was made from them. Unless `really`, list it.

    The mark comes first: whatever happens then, the same command ends it, and no run brings them back.

    Raises:
        GaitloomError: a run is alive, there is no such subject or node, or something of theirs could not be removed.
    """
    config = settings.load(config_file)
    with alone(config.results):
        gone = Withdrawn(config, subject, session, nodes)
        if not gone.paths and not gone.known:
            of = f"session {session} of subject {subject}" if session else f"subject {subject}"
            raise GaitloomError(f"There is no {of} here; `gaitloom status` lists the clips.")
        if not really:
            for path in sorted({*gone.traces(), *gone.showing()}):
                print(path)
            say(f"{gone}, and these files, would go for good; add --yes to remove them")
            return
        gone.marks.save()
        aside = set_releases_aside(config.results)
        _remove(gone)
        plan = _write_anew(gone)
        for path in list(gone.traces()):  # logs and reports that name them beside others
            path.unlink()
        for folder in gone.folders():
            _prune(folder)
        left = Remains(plan)
        if left := next(chain(gone.traces(), left.nodes(), left.files(), left.rows()), None):
            raise GaitloomError(f"{left} still names them; remove it, and run the same command again.")
    say(f"withdrawn: {gone}; nothing of it is left in {config.results} or in {RECORDS.parent}, releases apart")
    _say_what_is_left(gone, aside)


def set_releases_aside(results: Path) -> list[Path]:
    """Move local releases, which may hold what was withdrawn, to `releases/.withdrawn`, where nothing looks for them;
    what was begun of others goes. Gives all that are set aside, earlier ones too."""
    for begun in ("building", "done"):
        shutil.rmtree(results / "release" / begun, ignore_errors=True)
    aside = results / RELEASES / ".withdrawn"
    for release in sorted(p for p in aside.parent.glob("*") if not p.name.startswith(".")):
        aside.mkdir(exist_ok=True)
        names = chain([release.name], (f"{release.name}-{n}" for n in count(2)))
        release.rename(next(aside / n for n in names if not (aside / n).exists()))
    return sorted(aside.glob("*"))


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
    for path in {*gone.traces(), *gone.showing()}:
        if path.parent != gone.config.results:  # what lies there is written anew
            path.unlink()
    (gone.config.results / ".reported").unlink(missing_ok=True)
    shutil.rmtree(gone.config.results / "technical_validation", ignore_errors=True)  # figures of all, theirs too
    if not gone.asked and gone.session is None:
        from gaitloom.split_files import forget

        forget(gone.config.results / "splits", gone.subject)


def _write_anew(gone: Withdrawn) -> Plan:
    """Sheets, ledger, tables, indexes and the store's root, of what is left."""
    from gaitloom.index import index_root
    from gaitloom.report import write

    plan = Plan(gone.config, scan(gone.config))
    plan.hash_files()
    index_root(plan)
    for path in gone.paths:
        index = Store(gone.config.results).root / path / METADATA
        if index.is_file():
            os.utime(index, (1, 1))  # older than its nodes: Snakemake has no record of it any more, and makes it again
    write(plan)
    return plan


def _prune(root: Path) -> None:
    """Remove folders that are empty now, `root` too; in releases, none."""
    for folder in sorted((p for p in (root, *root.rglob("*")) if p.is_dir()), reverse=True):
        if folder.relative_to(root).parts[:1] != (RELEASES,) and not any(folder.iterdir()):
            folder.rmdir()


def _say_what_is_left(gone: Withdrawn, aside: list[Path]) -> None:
    """What no program can or may do."""
    config = gone.config
    if not gone.asked:
        for video in sorted({c.video for c in gone.clips if Path(c.video).is_file()}):
            say(f"to do: remove {video} from the input folder")
    elif made := [n for n in gone.nodes if n in config.nodes and config.nodes[n].backend != "manual"]:
        files = {f for n in made if (of := config.files_of(n)) for c in gone.clips for f in of(c).values()}
        for file in sorted(f for f in files if f.exists()):
            say(f"to do: remove {file}, from which a node was made")
    participants = config.release.participants if config.release else None
    for sheet in (config.clips.sheet if not gone.asked else None, config.review.decisions, participants):
        if sheet and sheet.is_file() and gone.subject in sheet.read_text(encoding="utf-8"):
            say(f"to do: look for their rows in {sheet}")
    say("to do: annotations of theirs that came with the videos; copies and backups of results and input elsewhere")
    for release in aside:
        say(f"to do: make the release {release.name} again without them, then remove {release}")
    say("to do: releases that are out: publish a version without them, and tell whoever has an older one")
