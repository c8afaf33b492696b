"""What a tier may hold: modalities by clip, columns, and how exactly."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from gaitloom import splits
from gaitloom.config import modality_of
from gaitloom.modalities import NAMES
from gaitloom.release import gait
from gaitloom.release.checks import tables
from gaitloom.release.contents import COLUMNS
from gaitloom.release.exporters._health_gait_tables import MEASURES
from gaitloom.release.settings import EXPORTERS, NEVER, Precision

PSEUDONYM = re.compile(r"(?<![A-Z0-9])P[A-Z2-7]{8}(?![A-Z0-9])")
NAMED = {  # words of names → the modality that they promise
    "deidentified": {"deidentified", "videos", "previews", "mp4"},
    "silhouette": {"silhouette", "silhouettes", "mask", "masks", "sil"},
    "parts": {"parts", "parsing", "segmentation", "densepose"},
    "flow": {"flow", "tvl1", "gmflow"},
    "track": {"track", "tracks"},
    "keypoints": {"keypoints", "pose", "alphapose", "heatmap"},
    "gait": {"gait"},
    "faces": {"faces", "face"},
    "audit": {"audit"},
}
MASKS = re.compile(rb'"counts" ?:|<mask ')
LISTED = re.compile(rb'"columns" ?: ?\[([^\]]*)\]')
BAND = re.compile(r"(-?[\d.]+)-(-?[\d.]+)|<(-?[\d.]+)|(-?[\d.]+)\+")
DATA = (".json", ".jsonl", ".tsv", ".csv", ".md", ".txt", ".xml", ".parquet")
SUBJECT = ("subject", "ID", "participant_id")
PARTITION = re.compile(r"(?:^|/)partitions?(?:_\d+)?\.json$")
# Tables whose columns are ours alone, whatever the laboratory calls its own.
OWN = {f"data/{gait.NAME}{suffix}": frozenset(gait.COLUMNS) for suffix in (".tsv", ".json")}
MISSING = ("", "n/a")
ALIASES = {ours: theirs for ours, theirs in MEASURES.items() if ours != theirs}


@dataclass(frozen=True)
class Holdings:
    """`clips` is released `{subject}/{clip}` → the nodes that may be there; `allowed` the tier's modalities, `columns`
    those of participants with their precision, `clip_columns` those of the clip sheet, `labels` its label tables.
    `forbidden` are columns that it may not have; `aliases` are what layouts call columns of participants."""

    tier: str
    clips: Mapping[str, frozenset[str]]
    allowed: frozenset[str]
    columns: Mapping[str, Precision] | None = None
    clip_columns: frozenset[str] | None = None
    labels: frozenset[str] | None = None
    forbidden: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    people: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @cached_property
    def _subjects(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for path, nodes in self.clips.items():
            found.setdefault(path.split("/")[0], set()).update(map(modality_of, nodes))
        return found

    @cached_property
    def _hidden(self) -> re.Pattern[bytes]:
        names = "|".join(map(re.escape, sorted(self.forbidden))) or "(?!)"
        return re.compile(f'"({names})" ?:'.encode())

    def by_name(self, archive: str, member: str) -> Iterator[str]:
        """What is wrong with what a member's name promises."""
        parts = member.split("/")
        if archive.startswith("zarr_"):
            if len(parts) > 1 and parts[0] not in self._subjects:
                yield f"is of '{parts[0]}', nobody whom the tier holds"
            elif len(parts) > 3 or (len(parts) == 3 and parts[2] != "zarr.json"):
                yield from self._node("/".join(parts[:2]), parts[2])
            return
        found = set(PSEUDONYM.findall(member))
        yield from (f"is of '{s}', nobody whom the tier holds" for s in sorted(found - set(self._subjects)))
        if not found and not member.endswith(DATA):
            yield "is of no subject of the release"
        exporter = next((e for e in EXPORTERS if archive.startswith(f"{e}_")), "")
        name = "/".join([archive.removeprefix(f"{exporter}_").removesuffix(".zip"), *parts])
        for clip in self.clips_of(member):
            name = name.replace(clip.split("/")[1], "")
        words = set(re.split(r"[^a-z0-9]+", name.lower()))
        for modality, promise in NAMED.items():
            if words & promise:
                yield from self.of(member, modality)

    def _node(self, clip: str, node: str) -> Iterator[str]:
        if clip not in self.clips:
            yield f"is of {clip}, no clip that the tier holds"
        elif node.split("_")[0] not in NAMES:
            yield f"is of {node}, which is no node"
        elif node not in self.clips[clip]:
            yield from self._refused(modality_of(node), f"{clip} may not have {node} here")

    def of(self, member: str, modality: str) -> Iterator[str]:
        """What is wrong with a member's being of a modality; "" is none."""
        if not modality:
            return
        clips = self.clips_of(member)
        if clips:
            may: set[str] = set().union(*({modality_of(n) for n in self.clips[c]} for c in clips))
        else:
            named = PSEUDONYM.findall(member)
            may = set().union(*(self._subjects.get(s, set()) for s in named)) if named else set(self.allowed)
        if modality not in may:
            whose = clips[0] if clips else next(iter(PSEUDONYM.findall(member)), "nobody")
            yield from self._refused(modality, f"{whose} may not have {modality} here")

    def _refused(self, modality: str, why: str) -> Iterator[str]:
        if modality in NEVER:
            yield f"is of {modality}, which never leaves the laboratory"
        elif modality not in self.allowed:
            yield f"is of {modality}, which the {self.tier} tier may not hold"
        else:
            yield f"is of {modality}: {why}, by consent or by what the audit says"

    def clips_of(self, member: str) -> list[str]:
        """The clips that a name names: of two that both stand in it, the longer."""
        found = [c for s in PSEUDONYM.findall(member) for c in self._named.get(s, ()) if _within(c, member)]
        return [c for c in found if not any(c != o and o.startswith(c) for o in found)]

    @cached_property
    def _named(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self.clips:
            found.setdefault(path.split("/")[0], []).append(path)
        return found

    def in_json(self, member: str, data: bytes) -> Iterator[str]:
        """What is wrong with a JSON text's keys, and with masks in it."""
        hidden = (name for m in self._hidden.finditer(data) if (name := m[1].decode()) not in OWN.get(member, ()))
        yield from (f"has the column '{name}', {self._why}" for name in hidden)
        for listed in LISTED.findall(data):
            yield from self.columns_are(name.strip(b' "\n').decode("utf-8", "replace") for name in listed.split(b","))
        if MASKS.search(data):
            yield from self.of(member, "silhouette")

    @property
    def _why(self) -> str:
        return f"which the {self.tier} tier may not have"

    def columns_are(self, names: Iterable[str]) -> Iterator[str]:
        """What is wrong with a table's columns."""
        ours = {f.casefold() for f in self.forbidden}
        theirs = {self.aliases[f] for f in self.forbidden if f in self.aliases}  # 'Height' is a person's
        found = (n for n in names if n.casefold() in ours or n in theirs)
        yield from (f"has the column '{n}', {self._why}" for n in found)

    def in_table(self, member: str, data: bytes) -> Iterator[str]:
        """What is wrong with a table in an archive, or in data/: columns, subjects, and what it says of them."""
        names = tables.header(data, member)
        own = OWN.get(member, frozenset())
        yield from self.columns_are(n for n in names if n not in own)
        key = next((k for k in SUBJECT if k in names), None)
        theirs = {theirs: ours for ours, theirs in self.aliases.items()}
        known = {c: theirs.get(c, c) for c in names if c not in own and theirs.get(c, c) in (self.columns or {})}
        if key is None:
            return
        for row in tables.rows(data, member):
            subject = row[key] or ""
            if subject not in self._subjects:
                yield f"has a row of '{subject}', nobody whom the tier holds"
            for name, ours in known.items():
                told, value = self.people.get(subject, {}).get(ours, ""), row[name] or ""
                if value not in MISSING and value != told and not (ours == "sex" and value in "01"):
                    yield f"has '{value}' in column {name}, where participants.tsv has '{told or 'nothing'}'"

    def in_partition(self, data: bytes) -> Iterator[str]:
        """What is wrong with who is in which part of a split, or of a list of them: in each, everybody once."""
        try:
            found = json.loads(data)
            for split in found if isinstance(found, list) else [found]:
                parts = {str(part): [str(s) for s in people] for part, people in split.items()}
                people = {s for part in parts.values() for s in part}
                yield from (f"has '{s}', nobody whom the tier holds" for s in sorted(people - set(self._subjects)))
                yield from (f"does not have {s}, whom the tier holds" for s in sorted(set(self._subjects) - people))
                families = {s: row.get("family", "") for s, row in self.people.items()}
                yield from splits.leaks(parts, families={s: f for s, f in families.items() if f not in MISSING})
        except (ValueError, AttributeError, TypeError):
            yield "is no split"

    def of_table(self, name: str, path: Path) -> Iterator[str]:
        """What is wrong with one of the tables in data/, by its place."""
        if not name.endswith(".tsv"):
            return
        data = path.read_bytes()
        names = tables.header(data, name)
        label = name.removeprefix("data/labels/").removesuffix(".tsv")
        if name == "data/participants.tsv" and self.columns is not None:
            yield from (f"has the column '{n}', {self._why}" for n in names[1:] if n not in self.columns)
            for row in tables.rows(data, name):
                for column, precision in self.columns.items():
                    if finer(value := row.get(column) or "", precision, column):
                        yield f"has '{value}' in column {column}, finer than the {self.tier} tier may tell"
        elif name == "data/clips.tsv" and self.clip_columns is not None:
            known = {*COLUMNS, *self.clip_columns}
            yield from (f"has the column '{n}', {self._why}" for n in names if n not in known)
        elif name in OWN:
            yield from (f"has the column '{n}', which is none of its own" for n in names if n not in OWN[name])
            held = {(path.split("/")[0], n) for path, nodes in self.clips.items() for n in nodes}
            for subject, node in sorted(
                {(row.get("subject") or "", row.get("node") or "") for row in tables.rows(data, name)}
            ):
                if (subject, node) not in held or modality_of(node) != gait.NAME:
                    yield f"has '{node}' of {subject}, which the tier does not hold"
        elif name.startswith("data/labels/") and self.labels is not None and label not in self.labels:
            yield f"is a table of labels that the {self.tier} tier does not list"


def finer(value: str, precision: Precision, column: str) -> bool:
    """Whether a value of participants says more than its precision allows. A band `35-49` goes up to 50."""
    try:
        number: float | None = float(value)
    except ValueError:
        number = None
    if precision == "exact":
        return column == "age" and number is not None and number >= 90
    if number is not None:
        return True
    band = BAND.fullmatch(value)
    if band is None or band[1] is None:
        return False  # a word, or a band with one end
    low, high = float(band[1]), float(band[2])
    end = high + 10.0 ** -max(len(t.partition(".")[2]) for t in band.groups()[:2])
    if isinstance(precision, tuple):
        return not any(math.isclose(low, p) for p in precision) or not any(math.isclose(end, p) for p in precision)
    return end - low < float(precision) - 1e-6


def _within(clip: str, member: str) -> bool:
    """Whether the clip's own name stands in a member's, as a whole; ProGait's has '-' for '_'."""
    name = re.escape(clip.split("/", 1)[1]).replace("_", "[_-]")
    return re.search(rf"(?<![A-Za-z0-9-]){name}(?![A-Za-z0-9])", member) is not None
