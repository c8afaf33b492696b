"""What a release's own files say of it, gathered once for those who write about it."""

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from gaitloom import audit_report, gate
from gaitloom.config import modality_of
from gaitloom.gait.summary import condition
from gaitloom.provenance import digest
from gaitloom.release import exporters, participants, partitions
from gaitloom.release.contents import Contents
from gaitloom.release.dataset import Entry, Source
from gaitloom.release.documents.told import GAIT
from gaitloom.release.exporters._made import provenance
from gaitloom.splits import Split


@dataclass
class NodeFacts:
    """How one node was made, of `clips` clips: `makings` is id → provenance, more than one where not all clips have the
    same. `valid` and `frames` are summed over them; `valid` is None where the node does not say."""

    name: str
    modality: str
    makings: dict[str, dict[str, Any]] = field(default_factory=dict)
    clips: int = 0
    valid: int | None = None
    frames: int = 0

    @property
    def share(self) -> float | None:
        """Share of the frames that hold something."""
        return None if self.valid is None else self.valid / max(1, self.frames)

    @property
    def ways(self) -> list[dict[str, Any]]:
        """The makings without options and versions of software: backend, weights, licence."""
        ways = {
            (f"{m['backend']} {m['backend_version']}", ", ".join(sorted(m.get("weights", {}))), m.get("licence", "")): 0
            for m in self.makings.values()
        }
        return [{"backend": b, "weights": w, "licence": licence} for b, w, licence in sorted(ways)]


@dataclass(frozen=True)
class Pictures:
    """What was covered in the pictures of `clips` clips, and what their audits said: `audits` as
    `audit_report.summary` has it. `covered` is the mean share of frames with a whole person or all covered."""

    clips: int
    covered: float
    too_small_px: float
    judges: tuple[str, ...]
    accepted: int
    audits: dict[str, Any]

    @property
    def regions(self) -> dict[str, int]:
        """Reason → regions, summed over frames."""
        return {why: sum(levels.values()) for why, levels in sorted(self.audits["regions"].items())}


@dataclass
class Facts:
    """`people` is the released table of participants, `gait` has a row a clip: pseudonym, condition, parameters.
    `refused` is layout → what it does not hold and why, `withheld` how many clips are without their pictures; `splits`
    are under released names, `classes` the columns of `people` whose classes they share out."""

    people: pd.DataFrame
    nodes: dict[str, NodeFacts]
    gait: pd.DataFrame
    units: dict[str, str]
    pictures: Pictures | None
    seconds: float
    refused: dict[str, list[str]]
    withheld: int
    splits: list[Split]
    classes: list[str]


def of(contents: Contents) -> Facts:
    """Gather them."""
    dataset = contents.dataset
    nodes: dict[str, NodeFacts] = {}
    gait: list[dict[str, Any]] = []
    units: dict[str, str] = {}
    pictured: list[Entry] = []
    for entry, part in zip(dataset.entries, contents.parts, strict=True):
        source = dataset.source(entry)
        for name in part.nodes:
            _add(nodes.setdefault(name, NodeFacts(name, modality_of(name))), source, part.frames)
        if (preferred := source.preferred("gait")) is not None and (row := _gait(source, preferred, units)):
            gait.append(row)
        if any(modality_of(n) == "deidentified" for n in part.nodes):
            pictured.append(entry)
    table = contents.data / f"{participants.NAME}.tsv"
    people = pd.read_csv(table, sep="\t", dtype="str", keep_default_na=False).set_index(participants.INDEX)
    return Facts(
        people=people,
        nodes=dict(sorted(nodes.items())),
        gait=pd.DataFrame(gait),
        units=units,
        pictures=_pictures(contents, pictured) if pictured else None,
        seconds=float(sum(p.frames / Fraction(p.fps) for p in contents.parts)),
        refused={e: found for e in dataset.settings.tiers[dataset.tier].exporters if (found := _refused(contents, e))},
        withheld=sum(bool(part.withheld) for part in contents.parts),
        splits=partitions.released(dataset),
        classes=[c for c in partitions.columns(dataset) if c in people],
    )


def _add(node: NodeFacts, source: Source, frames: int) -> None:
    made = {k: v for k, v in provenance(source, node.name).items() if k not in ("digest", "inputs")}
    node.makings.setdefault(digest(made)[:12], made)  # as data/provenance.tsv names them
    node.clips += 1
    opened = source.open(node.name)
    if "valid" in opened.arrays:
        node.frames += frames
        node.valid = (node.valid or 0) + int(opened.load("valid").sum())


def _gait(source: Source, name: str, units: dict[str, str]) -> dict[str, Any] | None:
    """A clip's parameters; None of a frontal one, which has those of the sagittal clip of its trial."""
    node = source.open(name)
    if node.attributes.get("view") == "frontal":
        return None
    names = list(node.attributes["parameter_names"])
    units |= dict(zip(names, node.attributes["parameter_units"], strict=True))
    means = node.load("summary_mean")[0]  # of both sides
    parameters = {p: float(means[names.index(p)]) for p in GAIT if p in names}
    return {"subject": source.entry.subject, "condition": condition(source.entry.columns) or "all", **parameters}


def _pictures(contents: Contents, entries: list[Entry]) -> Pictures:
    plan, dataset = contents.dataset.plan, contents.dataset
    attributes = [s.attributes(n) for e in entries for s in [dataset.source(e)] for n in e.of("deidentified")]
    verdicts = [gate.judge(plan, dataset.store, e.clip, "full") for e in entries]
    return Pictures(
        clips=len(entries),
        covered=float(np.mean([a["whole_person_or_frame_share"] for a in attributes])),
        too_small_px=max(float(a.get("too_small_px") or 0) for a in attributes),
        judges=tuple(sorted({j for v in verdicts for j in (v.audit or {}).get("judges", ())})),
        accepted=sum(v.accepted for v in verdicts),
        audits=audit_report.summary(verdicts),
    )


def _refused(contents: Contents, exporter: str) -> list[str]:
    """What a layout does not hold, and why: nodes by name, clips as numbers."""
    clips: Counter[tuple[str, str]] = Counter()
    found: list[str] = []
    for what, why in exporters.find(exporter).refused(contents.dataset).items():
        node = what.rpartition("/")[2]
        if "/" in what:
            clips[f"`{node}`" if node in contents.dataset.plan.nodes else "all", why] += 1
        else:
            found.append(f"no `{what}`: {why}")
    return sorted(found) + [f"nothing of {n} clips ({what}): {why}" for (what, why), n in sorted(clips.items())]
