"""CHANGELOG.md: what differs from the release before, in numbers; and CHANGES.tsv, which clips were added or changed.

Nobody's name stands in CHANGELOG.md, since later versions carry it on. Who left is a number in both.
"""

import csv
import re
from pathlib import Path

from gaitloom.errors import GaitloomError
from gaitloom.release import partitions
from gaitloom.release.contents import Contents, read_clips
from gaitloom.release.documents.facts import Facts
from gaitloom.release.metadata.provenance import TABLE

FILE, CHANGES = "CHANGELOG.md", "CHANGES.tsv"


def pages(contents: Contents, facts: Facts) -> dict[str, str]:
    """File → text: CHANGELOG.md with the entries of earlier versions below this one's, and CHANGES.tsv where clips were
    added or changed.

    Raises:
        GaitloomError: a file of the previous release cannot be read.
    """
    settings, previous = contents.dataset.settings, contents.previous
    head = ["# Changes", "", f"## {settings.version} ({settings.date.year})", ""]
    if previous is None:
        people = len({part.subject for part in contents.parts})
        count = (
            f"- {len(contents.parts)} clips of {people} people; there is no version before this one to compare with."
        )
        return {FILE: "\n".join([*head, count])}
    try:
        clips, lines = _clips(contents, previous)
        lines += [*_nodes(facts, previous), *_tables(contents, previous), *_splits(facts, previous)]
        earlier = (previous / FILE).read_text(encoding="utf-8").partition("\n")[2].strip()
    except (OSError, KeyError, ValueError) as error:
        raise GaitloomError(
            f"{previous} is the release before this one, and cannot be read ({error}); put it back as it was built, or "
            "move it out of the folder."
        ) from None
    found = {FILE: "\n".join([*head, *(f"- {line}" for line in lines), "", earlier])}
    if clips:
        rows = ["subject\tclip\tchange", *(f"{s}\t{c}\t{change}" for (s, c), change in sorted(clips.items()))]
        found[CHANGES] = "\n".join(rows)
    return found


def _clips(contents: Contents, previous: Path) -> tuple[dict[tuple[str, str], str], list[str]]:
    """Clips that were added or changed, and what became of all."""
    old = {(row["subject"], row["clip"]): row["content"] for row in read_clips(previous)}
    new = {(part.subject, part.clip): part.content for part in contents.parts}
    changes = {k: "changed" if k in old else "added" for k, content in new.items() if old.get(k) != content}
    gone = len(old.keys() - new.keys())
    left = len({s for s, _ in old} - {s for s, _ in new})
    joined = len({s for s, _ in new} - {s for s, _ in old})
    count = list(changes.values()).count
    lines = [f"{len(new)} clips of {len({s for s, _ in new})} people; {len(new) - len(changes)} clips are as before."]
    lines += [f"{count('added')} clips were added; {joined} people joined."] if count("added") else []
    lines += [f"{count('changed')} clips hold other files than before."] if count("changed") else []
    lines += [f"{gone} clips were removed or withdrawn; {left} people left."] if gone else []
    lines += [f"`{CHANGES}` lists those that were added or changed."] if changes else []
    return changes, lines


def _nodes(facts: Facts, previous: Path) -> list[str]:
    old: dict[str, set[str]] = {}
    with (previous / "data" / TABLE).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            old.setdefault(row["node"], set()).add(row["making"])
    otherwise = {n for n, node in facts.nodes.items() if n in old and not node.makings.keys() <= old[n]}
    lines = _sets(set(old), set(facts.nodes), "New kinds of data", "Kinds of data no longer held")
    return lines + ([f"Made otherwise (recipe or software): {_names(otherwise)}."] if otherwise else [])


def _tables(contents: Contents, previous: Path) -> list[str]:
    """Archives, tables, and columns of tables."""
    lines = _sets(_archives(previous), _archives(contents.folder), "New archives", "Archives no longer here")
    old, new = (
        {p.relative_to(f / "data").as_posix() for p in f.glob("data/**/*.tsv")} for f in (previous, contents.folder)
    )
    lines += _sets(old - {TABLE}, new - {TABLE}, "New tables", "Tables no longer here")
    for name in sorted(old & new - {TABLE}):
        was, now = (_header(folder / "data" / name) for folder in (previous, contents.folder))
        lines += _sets(was, now, f"New columns of `{name}`", f"Columns no longer in `{name}`")
    return lines


def _splits(facts: Facts, previous: Path) -> list[str]:
    old, new = partitions.read(previous), facts.splits
    if len(old) != len(new):
        return [f"{len(new)} partitions into train, validation and test, where there were {len(old)}."]
    joined = {s for part in (new or [{}])[0].values() for s in part} - {s for p in (old or [{}])[0].values() for s in p}
    return [f"{len(joined)} people joined the partitions; nobody changed sides."] if joined else []


def _archives(folder: Path) -> set[str]:
    return {re.sub(r"-\d+$", "", path.stem) for path in folder.glob("data/*.zip")}


def _sets(old: set[str], new: set[str], come: str, gone: str) -> list[str]:
    return [f"{what}: {_names(names)}." for what, names in ((come, new - old), (gone, old - new)) if names]


def _header(table: Path) -> set[str]:
    return set(table.read_text(encoding="utf-8").split("\n", 1)[0].split("\t"))


def _names(names: set[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
