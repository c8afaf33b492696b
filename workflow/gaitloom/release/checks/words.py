"""Names, dates, folders and digests that may stand nowhere in a release, found in one pass over the bytes.

A name is found as a word, in any case: `BertaMuster` in `x_bertamuster_1`, not in `bertamustering`. Names of less than
four characters, and whole numbers, are everywhere; they count as whole strings and cells, or as the first part of a
path. In what is not text (compressed, pictures) only names of eight characters and more are looked for: shorter ones
are there by chance. What text such files do hold is taken out of them (`members`) and searched as text.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from string import ascii_lowercase, ascii_uppercase
from typing import Any

LEAST, LEAST_IN_BYTES, OF_DIGEST = 4, 8, 12
_MONTH, _DAY, _YEAR = rb"(?:0[1-9]|1[0-2])", rb"(?:0[1-9]|[12][0-9]|3[01])", rb"(?:19|20)[0-9]{2}"
_LOOSE_DAY = rb"(?:3[01]|[12][0-9]|0?[1-9])"
_NAMED = rb"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?"
DATE = re.compile(
    rb"(?:19|20)[0-9]{2}(?:([-/:_])%b(?:\1%b)?|\.%b\.%b|%b%b)" % (_MONTH, _DAY, _MONTH, _DAY, _MONTH, _DAY)
)
# Of day, month and year it is the year that is looked for: numbers begin everywhere.
YEAR = re.compile(rb"[./-]%b" % _YEAR)
BEFORE = re.compile(rb"([0-3]?[0-9])([./-])([0-3]?[0-9])$")
SPOKEN = re.compile(rb"%b,? (?:%b[a-z]{0,2},? )?%b" % (_NAMED, _LOOSE_DAY, _YEAR))
HEX = re.compile(rb"[0-9a-f]{%d,}" % OF_DIGEST)
_ROOTS = rb"home|users|root|mnt|media|scratch|tmp|srv|var|private|volumes|gpfs|lustre|nfs"
PATH = re.compile(rb"/(?:%b)/[a-z0-9][a-z0-9._-]*|:[\\/]{1,2}(?:%b|documents)\b|file:/" % (_ROOTS, _ROOTS))
COUNTS = re.compile(rb'"counts" ?: ?"[0-o]*"')  # COCO's compressed masks: any letters may come up
URL = re.compile(rb"https?://[^\s\"'<>)\]]+")
NUMBER = re.compile(rb"[\[,:]\s*$"), re.compile(rb"^\s*[\],}]")  # around a number in JSON
WORD = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789")
DIGIT = frozenset(b"0123456789")
HEX_DIGITS = b"0123456789abcdef"
WHOLE = frozenset(b"\"'\t\n\r,;/|<>")


def trie(words: Iterable[str]) -> str:
    """A regular expression of many literals that looks at each character once."""
    tree: dict[str, Any] = {}
    for word in words:
        node = tree
        for letter in word:
            node = node.setdefault(letter, {})
        node[""] = {}

    def pattern(node: dict[str, Any]) -> str:
        literal = ""
        while len(node) == 1 and "" not in node:
            letter, node = next(iter(node.items()))
            literal += re.escape(letter)
        branches = [re.escape(c) + pattern(n) for c, n in sorted(node.items()) if c]
        if not branches:
            return literal
        return f"{literal}(?:{'|'.join(branches)}){'?' if '' in node else ''}"

    return pattern(tree) if tree else "(?!)"


class _Names:
    """Literals in lower case, each with what it is, found where `edge` stands on neither side."""

    def __init__(self, names: Mapping[str, str], whole: bool = False):
        self._what = {n.encode(): what for n, what in names.items()}
        self._pattern = re.compile(trie(names).encode())
        self._lengths = sorted({len(n) for n in self._what}, reverse=True)
        self._whole = whole

    def find(self, data: bytes) -> Iterator[str]:
        if not self._what:
            return
        for match in self._pattern.finditer(data):
            start = match.start()
            for length in self._lengths:  # of the names that begin here, the longest that is a word
                name = data[start : start + length]
                if name in self._what and self._edge(data, start - 1) and self._edge(data, start + length):
                    yield f"holds '{name.decode()}', {self._what[name]}"
                    break

    def _edge(self, data: bytes, at: int) -> bool:
        if not 0 <= at < len(data):
            return True
        return data[at] in WHOLE if self._whole else data[at] not in WORD


@dataclass(frozen=True)
class Words:
    """What is looked for. `names`, `plain` and `folders` are each with what they are; `plain` are names that are words
    of the language, and count as short ones do. `digests` are in hex, `secrets` bytes. With none of them, dates and
    paths of any kind are looked for."""

    names: Mapping[str, str]
    folders: Mapping[str, str]
    digests: frozenset[str]
    secrets: tuple[bytes, ...] = ()
    plain: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _by_length(self) -> tuple[_Names, _Names, _Names, _Names]:
        names = {form: what for n, what in self.names.items() for form in _forms(n)}
        long = {n: w for n, w in names.items() if len(n) >= LEAST and not n.isdigit()}
        short = {n: w for n, w in names.items() if 1 < len(n) < LEAST and not n.isdigit()}
        short |= {form: what for n, what in self.plain.items() for form in _forms(n)}
        # Of numbers, those that cannot be measurements: eight digits and more.
        numbers = {n: w for n, w in names.items() if n.isdigit() and len(n) >= LEAST_IN_BYTES}
        folders = {n.casefold(): w for n, w in self.folders.items()}
        everywhere = {**{n: w for n, w in {**long, **numbers}.items() if len(n) >= LEAST_IN_BYTES}, **folders}
        return _Names({**long, **folders}), _Names(short, whole=True), _Names(numbers), _Names(everywhere)

    @cached_property
    def _begins(self) -> dict[str, str]:
        return {n.casefold(): what for n, what in self.names.items()}

    @cached_property
    def _starts(self) -> frozenset[bytes]:
        return frozenset(d[:OF_DIGEST].encode() for d in self.digests)

    def in_path(self, path: str) -> Iterator[str]:
        """What is wrong with a member's name."""
        text = path.casefold().encode()
        yield from self.in_text(text)
        first = path.split("/", 1)[0].casefold()
        if first in self._begins and len(first) < LEAST_IN_BYTES:
            yield f"is called '{first}', {self._begins[first]}"

    def in_text(self, data: bytes, dates: Iterable[bytes] = (), json: bool = False) -> Iterator[str]:
        """What is wrong with a text, or a piece of one; `dates` may be there. In `json`, plain numbers are numbers."""
        data = COUNTS.sub(b'"counts":""', data).lower() if b'"counts"' in data else data.lower()
        long, short, numbers, _ = self._by_length
        yield from chain(long.find(data), short.find(data))
        if not json:
            yield from numbers.find(data)
        yield from self._digests(data)
        yield from (f"holds the folder '{m[0].decode()}'" for m in PATH.finditer(data) if _rooted(data, m))
        allowed = frozenset(dates)
        for date, start, end in _dates(data):
            number = date.isdigit() and (_of_digest(data, start, end) or (json and _number(data, start, end)))
            if date not in allowed and _alone(data, start, end) and not number:
                yield f"holds the date '{date.decode()}'"

    def in_bytes(self, data: bytes) -> Iterator[str]:
        """What is wrong with bytes that are no text: what cannot be there by chance, also as UTF-16 and UTF-32."""
        *_, everywhere = self._by_length
        texts = [data.lower()]
        if data.count(0) * 3 > len(data):
            texts.append(texts[0].translate(None, b"\0"))
        for text in texts:
            yield from everywhere.find(text)
            yield from self._digests(text)
        yield from ("holds a key of release.keys" for secret in self.secrets if secret in data)

    def _digests(self, data: bytes) -> Iterator[str]:
        if self._starts:
            for match in HEX.finditer(data):
                if match[0][:OF_DIGEST] in self._starts:
                    yield f"holds the digest {match[0][:OF_DIGEST].decode()}…, which is that of a video, recipe or key"


def _forms(name: str) -> set[str]:
    """A name as it may stand in a text whose ASCII letters are small: 'müller', 'mÜller', and as JSON escapes it."""
    lower = str.maketrans(ascii_uppercase, ascii_lowercase)
    forms = {name.casefold(), *(f.translate(lower) for f in (name, name.upper()))}
    return forms | {json.dumps(f)[1:-1].translate(lower) for f in forms}


def _dates(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """What has the form of a date finer than a year, from where to where."""
    for pattern in (DATE, SPOKEN):
        yield from ((m[0], m.start(), m.end()) for m in pattern.finditer(data))
    for match in YEAR.finditer(data):
        before = BEFORE.search(data[max(0, match.start() - 6) : match.start()])
        if before and before[2] == match[0][:1]:
            low, high = sorted((int(before[1]), int(before[3])))
            if 0 < low <= 12 and high < 32:
                start = match.start() - len(before[0])
                yield data[start : match.end()], start, match.end()


def _rooted(data: bytes, match: re.Match[bytes]) -> bool:
    """Whether a path begins there, and does not go on: of `a/tmp/b` and of addresses it is a part."""
    before = data[max(0, match.start() - 2) : match.start()]
    if match[0].startswith(b":"):  # a drive: one letter
        return before[-1:].isalpha() and (len(before) < 2 or before[0] not in WORD)
    return not before or (before[-1] not in WORD and before[-1:] not in (b".", b"/", b"_", b"-"))


def _alone(data: bytes, start: int, end: int) -> bool:
    """Whether a date is no part of a number."""
    before, after = data[max(0, start - 1) : start], data[end : end + 2]
    if before and (before[0] in DIGIT or before == b"."):
        return False
    return not after or not (after[0] in DIGIT or (after[:1] == b"." and after[1:2].isdigit()))


def _of_digest(data: bytes, start: int, end: int) -> bool:
    """Whether eight digits are part of a digest: 32 hexadecimal digits and more in a row."""
    before, after = data[max(0, start - 128) : start], data[end : end + 128]
    around = len(before) - len(before.rstrip(HEX_DIGITS)) + len(after) - len(after.lstrip(HEX_DIGITS))
    return around + end - start >= 32


def _number(data: bytes, start: int, end: int) -> bool:
    return bool(NUMBER[0].search(data[max(0, start - 3) : start]) and NUMBER[1].search(data[end : end + 3]))
