"""Free text that would tell who somebody is, or when they were seen."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from gaitloom.errors import GaitloomError
from gaitloom.release import tables
from gaitloom.release.dataset import Dataset

LEAST = 3  # letters and digits of a name that is looked for; shorter ones, and short numbers, are everywhere
PART = 4  # letters of a part of one: 'Berta' of 'BertaMuster'
ANYBODY = {"adult", "child", "control", "demo", "healthy", "participant", "patient", "person", "subject", "test"}
_DAY, _MONTH, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:19|20)\d\d"
DATES = (
    rf"{_YEAR}[-/]{_MONTH}(?:[-/]{_DAY})?",
    rf"{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])",
    rf"{_YEAR}\.{_MONTH}\.{_DAY}",
    rf"\d{{1,2}}[./-]\d{{1,2}}[./-](?:{_YEAR}|\d\d)",
    rf"{_MONTH}/{_YEAR}",
)


def names(dataset: Dataset, subjects: Iterable[str], *others: str) -> list[str]:
    """What may stand in no text: the subjects of the table and of all clips, what the laboratory called sessions and
    trials, and `others`, such as raters. Parts of subjects' names, too, but not those that several or anybody have."""
    clips = dataset.plan.clips
    people = sorted({*subjects, *(c.subject for c in clips if c.subject)})
    pieces = Counter(p for s in people for p in {w.casefold() for w in re.findall(r"[^\W\d_][^\W\d_A-Z]+|[A-Z]+", s)})
    parts = {p for p, count in pieces.items() if count == 1 and len(p) >= PART and p not in ANYBODY}
    takes = {v for c in clips for v in (c.session, c.trial, c.segment) if len(v) > LEAST}
    whole = {n for n in (*people, *others) if len(re.sub(r"[\W_]", "", n)) >= LEAST and not re.fullmatch(r"\d{1,3}", n)}
    return sorted({w.casefold() for w in (*whole, *parts, *takes)}, key=lambda w: (-len(w), w))


def check(table: pd.DataFrame, columns: Iterable[str], words: list[str], path: Path) -> None:
    """Refuse texts that hold one of the names, or a date.

    Raises:
        GaitloomError: some do; the sentence has row, column and word.
    """
    edge = r"(?<![^\W_]){}(?![^\W_])"
    name = re.compile(edge.format(f"(?:{'|'.join(map(re.escape, words)) or '(?!)'})"))
    date = re.compile(edge.format(f"(?:{'|'.join(DATES)})"))
    found = []
    for column in columns:
        for row, value in table[column].dropna().items():
            for pattern, what in ((name, "names somebody, or a take"), (date, "is a date")):
                if match := pattern.search(str(value).casefold()):
                    found.append((row, column, f"'{match[0]}' {what}; write the text without it"))
    if found:
        raise GaitloomError(tables.faults(path, sorted(found)))
