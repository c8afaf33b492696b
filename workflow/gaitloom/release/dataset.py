"""What a tier holds: which clips, under which names, and which of their nodes."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gaitloom import gate, split_files
from gaitloom.clips import Clip, NodeKey
from gaitloom.config import modality_of
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.release import consent
from gaitloom.release.pseudonyms import Pseudonyms
from gaitloom.release.settings import NEVER, Release, TierName
from gaitloom.splits import Split
from gaitloom.store import Node, Store


@dataclass(frozen=True)
class Entry:
    """One clip of a release: `subject` and `name` are its released names, `nodes` those of the store that the tier
    holds, each with the digest of its recipe, in the plan's order. `columns` are the clip sheet's that it holds."""

    clip: Clip
    subject: str
    name: str
    nodes: dict[str, str]
    columns: dict[str, str]

    @property
    def path(self) -> str:
        """`{subject}/{name}`, as released."""
        return f"{self.subject}/{self.name}"

    def of(self, modality: str) -> list[str]:
        """The nodes of one modality."""
        return [n for n in self.nodes if modality_of(n) == modality]


class Source:
    """One clip of a release with its nodes opened: all that an exporter sees of the store."""

    def __init__(self, dataset: "Dataset", entry: Entry):
        self.entry = entry
        self.names = dataset.names
        self.tier = dataset.settings.tiers[dataset.tier]
        self._plan, self._store = dataset.plan, dataset.store

    @cached_property
    def video(self) -> dict[str, Any]:
        """Attributes of the clip's video node; take from it what is no trace of the source file."""
        return self._store.attributes(self._plan.key(self.entry.clip, "video")) or {}

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the full frame in pixels."""
        return int(self.video["width"]), int(self.video["height"])

    @property
    def length(self) -> int:
        """T, the clip's frames."""
        return int(self.video["frames"])

    @property
    def fps(self) -> Fraction:
        """Frames a second."""
        return Fraction(self.video["fps"])

    @cached_property
    def time(self) -> np.ndarray:
        """(T,) float64 seconds from the clip's first frame."""
        return self._store.open(self._plan.key(self.entry.clip, "video")).load("time")

    def open(self, node: str) -> Node:
        """One of the entry's nodes.

        Raises:
            GaitloomError: the tier does not hold it, or it is not in the store as planned.
        """
        return self._store.open(self._key(node))

    def attributes(self, node: str) -> dict[str, Any]:
        """The attributes of one of the entry's nodes, whose arrays are left alone; raises as `open` does."""
        return self._store.attributes(self._key(node)) or {}

    def folder(self, node: str) -> Path:
        """Where one of the entry's nodes lies in the store, for those that copy its files; raises as `open` does."""
        return self._store.path(self._key(node))

    def _key(self, node: str) -> NodeKey:
        if node not in self.entry.nodes:
            raise GaitloomError(f"{node} of {self.entry.path} is not held by this tier; this should not happen.")
        key = self._plan.key(self.entry.clip, node)
        if self._store.digest(key) != self.entry.nodes[node]:
            raise GaitloomError(f"{key} is missing or stale; run snakemake, then release again.")
        return key

    def preferred(self, modality: str) -> str | None:
        """The node that stands for a modality where a layout has room for one: the manual one, else that of the plain
        name, else the first variant; None where the tier holds none."""
        held = self.entry.of(modality)
        return next((n for n in (f"{modality}_manual", modality) if n in held), held[0] if held else None)

    def backend(self, node: str) -> str:
        """The backend that made a node."""
        return self._plan.config.nodes[node].backend

    def reads(self, node: str) -> dict[str, str]:
        """Modality → the node that a node was made from."""
        return self._plan.reads[node]


@dataclass(frozen=True)
class Dataset:
    """What one tier of the release holds. `left_out` is clip → why it is not in it, or node of a clip → why."""

    plan: Plan
    settings: Release
    tier: TierName
    entries: tuple[Entry, ...]
    left_out: dict[str, str]

    @classmethod
    def of(cls, plan: Plan, tier: TierName, only: str | None = None) -> "Dataset":
        """What a tier holds by plan, consent and the tier's own list, of all clips or of one `{subject}/{clip}` `only`.
        What the audits say is asked when a part is made: they need not exist yet.

        Raises:
            GaitloomError: there is no such release or tier, a subject is in no row, or two would have one name.
        """
        settings = settings_of(plan)
        if tier not in settings.tiers:
            raise GaitloomError(f"'{tier}' is no tier of the configuration; it has: {', '.join(settings.tiers)}.")
        consents, names = consent.read(settings), Pseudonyms(settings.keys, tier)
        allowed, chosen = settings.modalities(tier), settings.tiers[tier]
        entries: dict[str, Entry] = {}
        left_out: dict[str, str] = {}
        for path, clip in plan.accepted.items() if only is None else [(only, plan.clip(only))]:
            agreed = consents.get(clip.subject)
            if agreed is None:
                left_out[path] = f"subject {clip.subject} is not in {settings.participants}"
                continue
            nodes: dict[str, str] = {}
            for node, digest in plan.digests_of(path).items():
                modality = modality_of(node)
                if modality in NEVER or modality not in allowed:
                    continue
                reason = agreed.refuses(modality, tier, chosen.assessment) or _tells_height(
                    plan, settings, tier, clip, node
                )
                if reason:
                    left_out[f"{path}/{node}"] = reason
                else:
                    nodes[node] = digest
            if not nodes:
                reasons = {r for key, r in left_out.items() if key.startswith(f"{path}/")}
                left_out[path] = "; ".join(sorted(reasons)) or "it has none of the tier's modalities"
                continue
            columns = {c: clip.extra[c] for c in chosen.clip_columns if c in clip.extra}
            entry = Entry(clip, names.subject(clip.subject), names.clip(clip), nodes, columns)
            if entry.path in entries:
                raise GaitloomError(
                    f"{path} and {entries[entry.path].clip.path} would both be {entry.path}; rename one."
                )
            entries[entry.path] = entry
        return cls(plan, settings, tier, tuple(entries[p] for p in sorted(entries)), left_out)

    @property
    def store(self) -> Store:
        """The store that it is made from."""
        return Store(self.plan.config.results)

    @cached_property
    def names(self) -> Pseudonyms:
        """The tier's pseudonyms."""
        return Pseudonyms(self.settings.keys, self.tier)

    def source(self, entry: Entry) -> Source:
        """One of its clips, opened."""
        return Source(self, entry)

    def sources(self) -> Iterator[Source]:
        """Its clips in the order of their released names, each opened."""
        return (self.source(e) for e in self.entries)

    def entry(self, path: str) -> Entry:
        """The entry of the clip that the plan calls `{subject}/{clip}`.

        Raises:
            GaitloomError: the tier does not hold it.
        """
        for entry in self.entries:
            if entry.clip.path == path:
                return entry
        reason = self.left_out.get(path, "it is not a clip of the plan")
        raise GaitloomError(f"{path} is not in the {self.tier} release: {reason}.")

    @cached_property
    def splits(self) -> list[Split]:
        """The configuration's splits in released names, of the people whom the tier holds; none where it has none.

        Raises:
            GaitloomError: they are not made, or a subject is in none of them.
        """
        if self.plan.config.splits is None:
            return []
        real = {e.clip.subject for e in self.entries}
        found = split_files.of_people(self.plan, real)
        return [{p: sorted(self.names.subject(s) for s in names if s in real) for p, names in f.items()} for f in found]

    def unaudited(self, entry: Entry) -> list[str]:
        """Why a clip's pictures may not be released; empty where they may, or where the tier holds none."""
        pictures = entry.of("deidentified")
        reasons = gate.releasable(self.plan, self.store, entry.clip, "full") if pictures else []
        audited = self.plan.audited
        others = [n for n in pictures if audited is None or n != audited[1]]
        return [*reasons, *(f"{n} is not the node that the audit looks at" for n in others)]


def settings_of(plan: Plan) -> Release:
    """The configuration's release.

    Raises:
        GaitloomError: it has none.
    """
    if plan.config.release is None:
        raise GaitloomError("The configuration has no table 'release'; see docs/releasing.md for one to start from.")
    return plan.config.release


def _tells_height(plan: Plan, settings: Release, tier: TierName, clip: Clip, node: str) -> str:
    """Why a gait node would tell somebody's body height more exactly than the tier does: its lengths may be scaled by
    it, so that keypoints in pixels give it back to the millimetre."""
    if modality_of(node) != "gait" or settings.columns(tier).get("height_cm") == "exact":
        return ""
    scene = plan.recipes(clip)[node]["scene"]
    camera = scene["camera"]
    posed = "pose" in camera and "intrinsics" in camera  # what `gait.scale` prefers to the height
    if posed or "walkway" in camera or len(camera.get("floor_points", ())) >= 4 or not scene["height_cm"]:
        return ""
    return "its lengths are scaled by the body height, which this tier does not tell exactly; calibrate the camera"
