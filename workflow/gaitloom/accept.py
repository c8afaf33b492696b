"""Upgrades: a variant beside a node, held against it, and what would follow if it took the node's place.

    gaitloom accept keypoints_next

writes results/changes/keypoints_next.md and .tsv, and prints the lines with which a person has `keypoints` made as the
variant is. The next run then copies the variant's nodes (`gaitloom.derive`), and makes what stands above them.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import yaml

from gaitloom import config, provenance
from gaitloom.agreement import MEASURES, Tally
from gaitloom.clips import Clip, write_if_changed
from gaitloom.config import modality_of
from gaitloom.decisions import ACCEPT, COVER, SHORT, Decision
from gaitloom.errors import GaitloomError
from gaitloom.evaluate import COUNTS, FIGURES, compare, row_of
from gaitloom.plan import Plan
from gaitloom.progress import say, warn
from gaitloom.status import tsv
from gaitloom.store import Store

LARGER_IS_WORSE = ("flow",)


@dataclass
class Change:
    """A variant in the place of a node of its modality, the base."""

    plan: Plan
    base: str
    variant: str

    def __post_init__(self) -> None:
        self.store = Store(self.plan.config.results)
        self.modality = modality_of(self.base)

    @cached_property
    def after(self) -> Plan:
        """The plan once the base is made as the variant is."""
        nodes = self._values["nodes"]
        changed = {**self._values, "nodes": {**nodes, self.base: nodes[self.variant]}}
        return Plan(config.parse(changed, f"{self.variant} cannot take the place of {self.base}"), self.plan.clips)

    @cached_property
    def _values(self) -> dict[str, Any]:
        return self.plan.config.model_dump(mode="json")

    @cached_property
    def recipes(self) -> dict[str, set[tuple[str, str]]]:
        """Dotted key → its old and new values, of all clips, in which the recipes of base and variant differ."""
        found: dict[str, set[tuple[str, str]]] = {}
        for clip in self.plan.accepted.values():
            recipes = self.plan.recipes(clip)
            if self.base in recipes and self.variant in recipes:
                for key, values in provenance.changes(recipes[self.base], recipes[self.variant]).items():
                    found.setdefault(key, set()).add((_text(values[0]), _text(values[1])))
        return found

    def lacks(self, clip: Clip) -> list[str]:
        """Which of the two a clip does not have as it is planned."""
        return [n for n in (self.base, self.variant) if not self._made(clip, n)]

    def _made(self, clip: Clip, node: str) -> bool:
        key = self.plan.key(clip, node)
        planned = self.plan.planned(key)
        return planned is not None and self.store.digest(key) == planned

    def keeping(self, clip: Clip) -> str:
        """What keeps a clip's base, where an earlier version of GaitLoom made it."""
        stored = self.store.attributes(self.plan.key(clip, self.base)) or {}
        return provenance.keeping(stored.get("recipe", {}), self.plan.recipes(clip).get(self.base, {}))

    def arrays(self, clip: Clip) -> list[str]:
        """The arrays whose bytes differ: the same values in the same environment are the same bytes."""
        old, new = (
            (self.store.attributes(self.plan.key(clip, n)) or {})["checksums"] for n in (self.base, self.variant)
        )
        return sorted({path.split("/")[0] for path in {*old, *new} if old.get(path) != new.get(path)})

    def remade(self) -> dict[str, tuple[int, int]]:
        """Node → on how many clips its recipe would be another, and on how many of these it would be copied."""
        counts: dict[str, tuple[int, int]] = {}
        for path, clip in self.plan.accepted.items():
            before, after = self.plan.digests_of(path), self.after.digests_of(path)
            for node, digest in after.items():
                if digest != before.get(node):
                    clips, copied = counts.get(node, (0, 0))
                    there = bool(self.store.alike(self.plan.key(clip, node), digest))
                    counts[node] = clips + 1, copied + there
        return counts

    def decided(self) -> tuple[list[Decision], list[Decision]]:
        """The rows of the decision file that would accept nothing any more, and the covers that would go into new
        nodes as they are."""
        stale: list[Decision] = []
        covers: list[Decision] = []
        for path, clip in self.plan.accepted.items():
            for row in self.plan.decisions_on(clip):
                if row.decision == COVER and _digests(self.plan, path) != _digests(self.after, path):
                    covers.append(row)
                if row.decision == ACCEPT and _counts(self.plan, path, row) and not _counts(self.after, path, row):
                    stale.append(row)
        return stale, covers

    def lines(self) -> str:
        """The lines of the configuration, below `nodes:`, that put the variant in the base's place."""
        chosen = self.plan.config.nodes[self.variant].model_dump(mode="json", exclude_unset=True)
        text = yaml.safe_dump({self.base: chosen}, sort_keys=False, allow_unicode=True)
        left = {n: v for n, v in self.after.config.model_dump(mode="json")["nodes"].items() if n != self.variant}
        try:
            config.parse({**self._values, "nodes": left})
            text += f"{self.variant}: null\n"
        except GaitloomError as error:
            text += f"# {self.variant} has to stay: {error}\n"
        return "".join(f"  {line}\n" for line in ["# below nodes:", *text.splitlines()])


def accept(plan: Plan, variant: str, over: str | None) -> None:
    """Write the report on a variant in the place of the node `over`, by default that of its modality's own name, and
    print the lines to change.

    Raises:
        GaitloomError: there are no such nodes, they do not differ, no clip has both, or other nodes are in the way.
    """
    change = Change(plan, _base(plan, variant, over), variant)
    _check(change)
    where = plan.config.results / "changes" / variant
    tallies, apart = _tallies(change)
    header, rows = _table(change, tallies)
    write_if_changed(where.with_suffix(".tsv"), tsv(header, rows))
    write_if_changed(where.with_suffix(".md"), "\n".join(_report(change, header, rows, apart)) + "\n")
    say(f"{where}.md says what changes, {where.name}.tsv clip by clip; with these lines in the configuration it does")
    print(change.lines(), end="")


def _base(plan: Plan, variant: str, over: str | None) -> str:
    """The node in whose place the variant shall be."""
    for node in (variant, over):
        if node is not None and node not in plan.config.nodes:
            raise GaitloomError(f"'{node}' is not a node of the configuration; choose: {', '.join(plan.nodes[1:])}.")
    base = over or modality_of(variant)
    if base not in plan.config.nodes or base == variant:
        raise GaitloomError(f"Nothing says in whose place {variant} shall be; name a node with --over.")
    if modality_of(base) != modality_of(variant):
        raise GaitloomError(f"{variant} is no {modality_of(base)} node; name two nodes of one modality.")
    return base


def _check(change: Change) -> None:
    """Refuse what cannot be held against each other."""
    plan, base, variant = change.plan, change.base, change.variant
    clips = list(plan.accepted.values())
    stale = [clip for clip in clips if base in change.lacks(clip)]
    if kept := next(filter(None, (change.keeping(clip) for clip in stale)), None):
        raise GaitloomError(
            f"{base} was made by an earlier version of GaitLoom, and the next run would make it anew; put "
            f"`kept: {kept}` into nodes.{base}, run snakemake, and try again (docs/upgrading.md)."
        )
    if clips and not change.recipes:
        raise GaitloomError(f"{base} is made as {variant} is already; there is nothing to accept.")
    if all(change.lacks(clip) for clip in clips):
        raise GaitloomError(f"No clip has both {base} and {variant} as planned; run snakemake to make them.")


def _tallies(change: Change) -> tuple[dict[str, Tally], str]:
    """Clip → the agreement of variant (A) and base (B), worst first; or none, and why they cannot be compared."""
    if change.modality not in MEASURES:
        return {}, f"There is no measure of agreement for {change.modality} nodes: look at them, and at their tables."
    try:
        found = compare(change.plan, change.modality, change.variant, change.base)
    except GaitloomError as error:
        warn(str(error))
        names = f"{change.variant} {change.base}"
        return {}, f"They cannot be held against each other; `gaitloom evaluate {names}` says why."
    main = next(iter(FIGURES[change.modality].values()))
    sign = -1 if change.modality in LARGER_IS_WORSE else 1
    return dict(sorted(found.items(), key=lambda item: np.nan_to_num(sign * main(item[1]), nan=-np.inf))), ""


def _table(change: Change, tallies: dict[str, Tally]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of the table: one a clip, worst first, and one of all, with how many lack a node or differ."""
    modality = change.modality
    header = ["clip", "lacks", "differs", *((*COUNTS, *FIGURES[modality]) if tallies else ())]
    empty = [""] * (len(header) - 3)
    rows: list[list[Any]] = []
    for path in [*tallies, *(p for p in change.plan.accepted if p not in tallies)]:
        lacks = change.lacks(change.plan.clip(path))
        differs = [] if lacks else change.arrays(change.plan.clip(path))
        row = row_of(modality, tallies[path]) if path in tallies else empty
        rows.append([path, " ".join(lacks), " ".join(differs), *row])
    together = row_of(modality, Tally.together(list(tallies.values()))) if tallies else []
    counts = [sum(bool(row[column]) for row in rows) for column in (1, 2)]
    return header, [*rows, ["all", *counts, *together]]


def _report(change: Change, header: list[str], rows: list[list[Any]], apart: str) -> Iterator[str]:
    """The report in Markdown. It names no clip: the table does, and goes with a clip that is withdrawn."""
    base, variant = change.base, change.variant
    yield f"# {variant} in the place of {base}\n\n## Recipes\n"
    yield from _markdown(["key", base, variant], ([key, *_values(pairs)] for key, pairs in change.recipes.items()))
    *clips, together = rows
    lacking, different = together[1:3]
    both = len(clips) - lacking
    names = sorted({name for row in clips for name in row[2].split()})
    yield "\n## Results\n"
    yield f"{both} of {len(clips)} clips have both nodes as planned; {lacking} lack one or both."
    yield f"On {both - different} of the {both} they are the same to the last bit."
    yield f"On the others these arrays differ: {', '.join(names)}.\n" if names else ""
    if apart:
        yield apart
    else:
        yield from _markdown(["of all clips", ""], zip(header[3:], together[3:], strict=True))
        yield f"\n{base} is the reference, which need not be the truth (docs/evaluate.md says what the figures mean)."
    yield "The table beside this file has every clip, those that agree least first.\n\n## What the next run would do\n"
    remade = change.remade()
    counts = ([node, clips, copied, clips - copied] for node, (clips, copied) in remade.items())
    yield from _markdown(["node", "clips", "copied", "made anew"], counts)
    yield "\nAlso index, preview and report.\n"
    if any(change.plan.config.nodes[node].backend == "manual" for node in remade):
        yield "Corrections by hand are kept, on the new base, and are said to be stale.\n"
    yield "## Decisions\n"
    stale, covers = change.decided()
    if stale:
        yield f"To be looked at again, since another making was accepted: {_rows(stale)} of the decision file."
    if covers:
        yield f"Go into the new nodes as they are: {_rows(covers)} of the decision file. Look whether they still fit."
    if not stale and not covers:
        yield "None is touched."


def _markdown(header: list[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """The lines of a table."""
    for row in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |"


def _values(pairs: set[tuple[str, str]]) -> tuple[str, str]:
    """Old and new value of a key, where it has the same ones on every clip."""
    return next(iter(pairs)) if len(pairs) == 1 else ("(clip by clip)", "(clip by clip)")


def _text(value: Any) -> str:
    """A value of a recipe, hashes cut short."""
    if value is None:
        return "none"
    return value[:SHORT] if isinstance(value, str) and len(value) == 64 else json.dumps(value)


def _rows(decisions: list[Decision]) -> str:
    return f"rows {', '.join(str(row) for row in sorted(d.row for d in decisions))}"


def _digests(plan: Plan, path: str) -> list[str]:
    """Of a clip's deidentified nodes."""
    return [digest for node, digest in plan.digests_of(path).items() if modality_of(node) == "deidentified"]


def _counts(plan: Plan, path: str, row: Decision) -> bool:
    """Whether an accept is of what one of the clip's audits looks at."""
    digests = plan.digests_of(path)
    audits = [node for node in plan.nodes_of("audit") if node in digests]
    return any(digests[plan.reads[audit]["deidentified"]].startswith(row.of) for audit in audits)
