"""Who withdrew: keyed marks that say nothing to others, and by which `scan` refuses what comes back.

The table (`clips.withdrawn`) holds HMACs of subjects, sessions and video contents; its key lies beside it, and never
leaves the laboratory: with it, whoever has a list of names could tell which of them withdrew.
"""

import csv
import hashlib
import hmac
import io
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from gaitloom.clips import Clip, rows_by_hand, write_if_changed
from gaitloom.errors import GaitloomError

COLUMNS = ("what", "mark")
KINDS = ("subject", "session", "video")


class Tombstones:
    """The marks of one table; without a table, there are none.

    Raises:
        GaitloomError: the table is malformed, or its key is gone while it has rows.
    """

    def __init__(self, path: Path):
        self._path, self._key_path = path, path.with_suffix(".key")
        self._marks: set[tuple[str, str]] = set()
        if path.is_file():
            for line, row in rows_by_hand(
                path, COLUMNS, COLUMNS, "table of withdrawals", "clips.withdrawn", "remove it."
            ):
                if row["what"] not in KINDS:
                    raise GaitloomError(
                        f"{path} row {line}: '{row['what']}' is none of {', '.join(KINDS)}; correct it, or ask whoever "
                        "wrote it."
                    )
                self._marks.add((row["what"], row["mark"]))
        if self._marks and not self._key_path.is_file():
            raise GaitloomError(
                f"{self._key_path} is missing, without which nobody can tell who withdrew; put it back beside {path}."
            )
        self._key = self._key_path.read_bytes() if self._marks else b""

    def __bool__(self) -> bool:
        return bool(self._marks)

    def refuse(self, clip: Clip) -> bool:
        """Whether this clip's subject, session or video withdrew."""
        return bool(self._marks) and not self._marks.isdisjoint(self._of(clip))

    def _of(self, clip: Clip) -> Iterable[tuple[str, str]]:
        yield "subject", self._mark(clip.subject.casefold())
        yield "session", self._mark(clip.subject.casefold(), clip.session.casefold())
        if clip.sha256:
            yield "video", self._mark(clip.sha256)

    def _mark(self, *parts: str) -> str:
        return hmac.new(self._key, "\0".join(parts).encode(), hashlib.sha256).hexdigest()

    def add(self, subject: str, session: str | None, contents: Iterable[str]) -> None:
        """Mark a subject (or one session of theirs) and the SHA-256 of their videos, for good."""
        if not self._key:
            self._key = self._made_key()
        whole = ("subject", self._mark(subject.casefold()))
        part = ("session", self._mark(subject.casefold(), (session or "").casefold()))
        self._marks |= {part if session else whole, *(("video", self._mark(c)) for c in contents)}
        text = io.StringIO()
        csv.writer(text, delimiter="\t", lineterminator="\n").writerows([COLUMNS, *sorted(self._marks)])
        write_if_changed(self._path, text.getvalue())

    def _made_key(self) -> bytes:
        """The key, made where there is none yet: for its owner's eyes alone."""
        if not self._key_path.is_file():
            self._key_path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "w") as stream:
                stream.write(secrets.token_hex(32))
        return self._key_path.read_bytes()
