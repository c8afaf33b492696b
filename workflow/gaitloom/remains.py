"""What is left of who withdrew, found by the marks alone: they name nobody, so names are read off what is there."""

import base64
import binascii
import csv
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path

from gaitloom import tombstones
from gaitloom.clips import VALUE, Clip, NodeKey, of_path
from gaitloom.plan import Plan
from gaitloom.reconcile import RECORDS
from gaitloom.store import Store

# What may follow a clip's or a node's name where a file is its own.
ENDINGS = r"\.(?:err|html|jpg|json|log|mp4|out|png|tsv|txt|xml|npy)\b"
RELEASES = "releases"
# Subject and clip in a path, with what stands before and behind them; Slurm's log folders join the two by '_'.
_PART = rf"(?:ses|trial|cam|seg)-{VALUE}"
_CLIP = re.compile(rf"(?:(?:rule_)?(\w+)/)?(?<![\w.-])({VALUE})[/_]({_PART}(?:_{_PART})*|clip)(?![\w-])(?:/(\w+))?")


class Remains:
    """What there is that a plan's marks forbid; nothing where there are no marks."""

    def __init__(self, plan: Plan):
        self.plan, self.store = plan, Store(plan.config.results)
        self.withheld = cache(self._withheld)  # by path: the planned nodes that a clip must not have

    def nodes(self) -> Iterator[NodeKey]:
        """The nodes in the store for which consent was withdrawn, and those that were made from one.

        What a node was made from is known by the digests in its recipe. Where one is neither that of a node that may
        stay nor planned, it counts as made from what was withdrawn.
        """
        if self.plan.marks:
            for path, keys in groupby(self.store.list(), key=lambda key: key.clip):
                yield from self._nodes(path, list(keys))

    def files(self) -> Iterator[Path]:
        """Files of the results and of Snakemake's records named after a clip that was withdrawn, or after a node of it;
        what lies in nodes and in releases apart."""
        for root in (self.plan.config.results, RECORDS.parent) if self.plan.marks else ():
            for folder, below, names in os.walk(root):
                inside = Path(folder).relative_to(root).parts
                skipped = inside[:1] == ("store.zarr",) and len(inside) == 3
                below[:] = [] if skipped else sorted(set(below) - ({RELEASES} if not inside else set()))
                for name in sorted(names):
                    where = "/".join([*inside, name])
                    if self._named(where) or self._named(recorded(where)):
                        yield Path(folder) / name

    def rows(self) -> Iterator[str]:
        """Rows of the results' tables that name a clip that was withdrawn, or have its video's content."""
        for table in sorted(self.plan.config.results.glob("*.tsv")) if self.plan.marks else ():
            with table.open(newline="", encoding="utf-8") as file:
                for number, row in enumerate(csv.DictReader(file, delimiter="\t"), 2):
                    clip = of_path(row.get("clip") or row.get("subject") or "")
                    session = row.get("session") or clip.session
                    if self.plan.marks.refuse(replace(clip, session=session, sha256=row.get("sha256") or "")):
                        yield f"{table} row {number}"

    def _nodes(self, path: str, keys: list[NodeKey]) -> list[NodeKey]:
        if self.plan.marks.refuse(self._clip(path)):
            return keys
        gone = self._gone(path, [key.node for key in keys])
        other = [self.plan.siblings[path][0].path] if path in self.plan.siblings else []
        if not gone and not any(map(self.withheld, other)):
            return []
        left = {key: self._made(key) for key in keys if key.node not in gone}
        planned = [path, *other] if path in self.plan.accepted else []
        known = {digest for clip in planned for digest in self.plan.digests_of(clip).values()}
        while fitting := [key for key, (_, inputs) in left.items() if inputs <= known]:
            known |= {left.pop(key)[0] for key in fitting}
        return [key for key in keys if key.node in gone or key in left]

    def _made(self, key: NodeKey) -> tuple[str, set[str]]:
        """A node's digest and those of what it read, which for an unreadable one nobody knows."""
        attributes = self.store.attributes(key) or {}
        inputs = attributes.get("recipe", {}).get("inputs", {} if key.node == "video" else {"video": "unknown"})
        return attributes.get("recipe_digest", ""), set(inputs.values())

    def _named(self, where: str) -> bool:
        for before, subject, name, behind in _CLIP.findall(re.sub(rf"{ENDINGS}$", "", where)):
            path = f"{subject}/{name}"
            if self.plan.marks.refuse(self._clip(path)) or self._gone(path, (before, behind)) & {before, behind}:
                return True
        return False

    def _clip(self, path: str) -> Clip:
        return self.plan.accepted.get(path) or of_path(path)

    def _gone(self, path: str, nodes: Iterable[str]) -> set[str]:
        """The nodes that a clip must not have: planned ones, and those of `nodes`."""
        return self.withheld(path) | self.plan.marks.nodes(self._clip(path), filter(None, nodes))

    def _withheld(self, path: str) -> set[str]:
        return tombstones.withheld(self.plan.marks, self._clip(path), self.plan.reads)


def recorded(where: str) -> str:
    """The file that one of Snakemake's records is about: the record's name is that path in base 64, cut where it is
    long."""
    try:
        name = where.partition("/")[2].replace("/@", "").replace("@", "").replace("/", "")
        return base64.b64decode(name, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
