"""Who withdrew: keyed marks that say nothing to others, and by which `scan` and the plan refuse what comes back.

The table (`clips.withdrawn`) holds HMACs of subjects, sessions and video contents, alone or with a kind of node; its
key lies beside it, and never leaves the laboratory: with it, whoever has a list of names could tell which of them
withdrew. The results folder keeps a copy of the marks, so that a table that lost some is noticed.
"""

import csv
import hmac
import io
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gaitloom.clips import Clip, rows_by_hand, write_if_changed
from gaitloom.errors import GaitloomError

if TYPE_CHECKING:
    from gaitloom.config import Config

COLUMNS = ("what", "mark")
KINDS = ("subject", "session", "video", "node")


class Tombstones:
    """The marks of one table; without a table, there are none. `copy` is the one that the results keep.

    Raises:
        GaitloomError: the table is malformed, lacks marks that the copy has, or has rows while its key is gone.
    """

    def __init__(self, path: Path, copy: Path | None = None):
        self._path, self._copy, self._key_path = path, copy, path.with_suffix(".key")
        self._marks = _read(path)
        if copy and (lost := _read(copy) - self._marks):
            raise GaitloomError(
                f"{path} lacks {len(lost)} marks of who withdrew; put it back as it was (the marks are in {copy}, the "
                f"key must be that of then)."
            )
        if self._marks and not self._key_path.is_file():
            raise GaitloomError(
                f"{self._key_path} is missing, without which nobody can tell who withdrew; put it back beside {path}."
            )
        self._key = self._key_path.read_bytes() if self._marks else b""
        self._has_nodes = any(what == "node" for what, _ in self._marks)

    @classmethod
    def of(cls, config: "Config") -> "Tombstones":
        """Those of a configuration."""
        return cls(config.clips.withdrawn, config.results / ".withdrawn.tsv")

    def __bool__(self) -> bool:
        return bool(self._marks)

    def refuse(self, clip: Clip) -> bool:
        """Whether this clip's subject, session or video withdrew."""
        return bool(self._marks) and any((what, self._mark(*of)) in self._marks for what, of in _scopes(clip))

    def nodes(self, clip: Clip, nodes: Iterable[str]) -> set[str]:
        """Those of some nodes for which this clip's subject, session or video withdrew: by their names, or by their
        modality, with which a name begins."""
        if not self._has_nodes:
            return set()
        scopes = [of for _, of in _scopes(clip)]
        return {n for n in nodes if any(self._has(*of, name) for name in {n, n.split("_")[0]} for of in scopes)}

    def _has(self, *parts: str) -> bool:
        return ("node", self._mark(*parts)) in self._marks

    def _mark(self, *parts: str) -> str:
        return hmac.digest(self._key, "\0".join(parts).encode(), "sha256").hex()

    def mark(self, subject: str, session: str | None, contents: Iterable[str], nodes: Sequence[str] = ()) -> None:
        """Mark a subject (or one session of theirs) and the SHA-256 of their videos; or of these only some nodes, by
        name or modality. Nothing is written yet."""
        if not self._key:
            there = self._key_path.is_file()
            self._key = self._key_path.read_bytes() if there else secrets.token_hex(32).encode()
        clips = [Clip(subject, session=session or ""), *(Clip("", sha256=content) for content in contents)]
        wanted = {"session" if session else "subject", "video"}
        for what, of in (scope for clip in clips for scope in _scopes(clip)):
            if what in wanted and of[0]:
                self._marks |= {("node", self._mark(*of, n)) for n in nodes} if nodes else {(what, self._mark(*of))}
        self._has_nodes |= bool(nodes)

    def save(self) -> None:
        """Write the marks, for good; and the key, where there is none yet, for its owner's eyes alone."""
        if not self._key_path.is_file():
            self._key_path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "wb") as stream:
                stream.write(self._key)
        text = io.StringIO()
        csv.writer(text, delimiter="\t", lineterminator="\n").writerows([COLUMNS, *sorted(self._marks)])
        for path in filter(None, (self._path, self._copy)):
            write_if_changed(path, text.getvalue())

    def add(self, subject: str, session: str | None, contents: Iterable[str], nodes: Sequence[str] = ()) -> None:
        """`mark` and `save`."""
        self.mark(subject, session, contents, nodes)
        self.save()


def withheld(marks: Tombstones, clip: Clip, reads: Mapping[str, Mapping[str, str]]) -> set[str]:
    """The nodes of a clip for which consent was withdrawn, and those that read them. `reads` has node → modality → the
    node that it reads, each node after those."""
    gone = marks.nodes(clip, reads)
    for node, read in reads.items() if gone else ():
        if not gone.isdisjoint(read.values()):
            gone.add(node)
    return gone


def _read(path: Path) -> set[tuple[str, str]]:
    marks: set[tuple[str, str]] = set()
    rows = rows_by_hand(path, COLUMNS, COLUMNS, "table of withdrawals", "clips.withdrawn", "remove it.")
    for line, row in rows if path.is_file() else ():
        if row["what"] not in KINDS:
            raise GaitloomError(
                f"{path} row {line}: '{row['what']}' is none of {', '.join(KINDS)}; correct it, or ask whoever wrote "
                "it."
            )
        marks.add((row["what"], row["mark"]))
    return marks


def _scopes(clip: Clip) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What a clip can have been withdrawn by, and the parts of its mark."""
    yield "subject", (clip.subject.casefold(),)
    yield "session", (clip.subject.casefold(), clip.session.casefold())
    if clip.sha256:
        yield "video", (clip.sha256,)
