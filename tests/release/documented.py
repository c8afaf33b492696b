"""What the tests of documents share: a release, its documents alone, and their tables."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.release import build, documents, participants, parts
from gaitloom.release.contents import Contents
from gaitloom.release.dataset import Dataset, Entry
from gaitloom.release.settings import EXPORTERS, Tier, TierName

from release import sample

BERTA, CARL = sample.SUBJECTS
ALL = {"controlled": {"k": 1, "exporters": list(EXPORTERS)}}
FEW = {"k": 1, "exporters": ["alphapose"]}


def keys(folder: Path) -> Path:
    """A folder with keys of its own that are always the same."""
    rows = [(tier, hashlib.sha256(tier.encode()).hexdigest()) for tier in ("open", "registered", "controlled")]
    folder.mkdir(exist_ok=True)
    (folder / "release.key").write_text("".join(f"{tier}\t{key}\n" for tier, key in [("tier", "key"), *rows]))
    return folder


def part(dataset: Dataset, entry: Entry) -> parts.Part:
    """A clip's part, made where it is not there as planned."""
    try:
        return parts.read(dataset, entry)
    except GaitloomError:
        parts.make(dataset.plan, entry.clip.path, dataset.tier)
    return parts.read(dataset, entry)


def built(plan: Plan, tier: TierName) -> tuple[Path, Dataset]:
    """The tier's release, finished."""
    dataset = Dataset.of(plan, tier)
    for entry in dataset.entries:
        part(dataset, entry)
    return build.build(plan, tier), dataset


def of(lab: Path, tier: TierName = "controlled", people: dict[str, Any] | None = None, **release: Any) -> Dataset:
    """A tier of the sample in `lab`, with participants' columns, keys of the tier and of the release as given."""
    chosen = {k: release.pop(k) for k in list(release) if k in Tier.model_fields}
    plan = sample.plan(lab, tiers={tier: {**FEW, **chosen}}, **release)
    sample.participants(lab, **(people or {}))
    return Dataset.of(plan, tier)


def written(dataset: Dataset, folder: Path, change: Callable[[Contents], None] = lambda _: None) -> dict[str, str]:
    """The documents of a data set, as a build writes them, without archives; `change` is done before."""
    (folder / "data").mkdir(parents=True)
    participants.write(dataset, folder / "data")
    contents = Contents(dataset, folder, tuple(part(dataset, e) for e in dataset.entries), None)
    contents.write_clips()
    change(contents)
    documents.write(contents)
    return texts(folder)


def texts(folder: Path) -> dict[str, str]:
    """Every text beside data/."""
    return {p.name: p.read_text() for p in sorted(folder.iterdir()) if p.suffix in (".md", ".txt", ".tsv")}


def tables(text: str) -> list[list[list[str]]]:
    """The tables of a Markdown text, each with its head, the line below that, and its rows."""
    found: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", line)[1:-1]]
            found = found if inside else [*found, []]
            found[-1].append(cells)
        inside = line.startswith("|")
    return found


def rows(text: str, head: str) -> dict[str, list[str]]:
    """Of the table whose head begins with a word: first cell → the others."""
    (table,) = (t for t in tables(text) if t[0][0] == head)
    return {row[0]: row[1:] for row in table[2:]}
