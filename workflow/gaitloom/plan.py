"""The plan: which nodes every clip should have, and the recipe of each. A pure function of configuration and sheet.

The Snakefile asks the plan for every rule's params; `derive` asks it again and refuses a recipe that is not the planned
one.
"""

from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gaitloom import backends, clips, config, decisions, modalities, needs, tombstones, weights
from gaitloom.clip_files import Hashes
from gaitloom.clips import OK, Clip, NodeKey
from gaitloom.config import Config, modality_of
from gaitloom.decisions import Decision
from gaitloom.errors import GaitloomError
from gaitloom.provenance import SCHEMA, Recipe, digest
from gaitloom.release.settings import TierName
from gaitloom.tombstones import Tombstones


@dataclass
class Plan:
    """A configuration and its clips, with the recipes that follow from them, and from what was decided in review.

    Decisions are read as they stand, by jobs too: one that is made while a run goes on is obeyed, never missed.
    """

    config: Config
    clips: list[Clip]
    withdrawn: InitVar[Tombstones | None] = None  # the table's, if not given
    _digests: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    _parts: dict[str, dict[str, tuple[str, list[str]]]] = field(default_factory=dict, repr=False)

    def __post_init__(self, withdrawn: Tombstones | None) -> None:
        self.marks = Tombstones.of(self.config) if withdrawn is None else withdrawn
        self._decided = decisions.read(self.config.review.decisions, self.clips, self.marks.refuse)
        self.clips = decisions.without_excluded(self.clips, self._decided)

    @classmethod
    def load(cls, values: dict[str, Any], scan: bool, source: str = "the configuration") -> "Plan":
        """The plan of a configuration given as plain values, which come from `source`; scans the input folders first
        where asked to."""
        from gaitloom.scan import scan as run_scan

        settings = config.parse(values, source)
        plan = cls(settings, run_scan(settings) if scan else clips.read_sheet(settings.results / "clips.tsv"))
        if scan:
            plan.hash_files()
            clips.write_if_changed(plan.path, settings.model_dump_json(indent=1) + "\n")
        return plan

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """The plan of a configuration file and the sheet as it was last resolved."""
        settings = config.load(path)
        return cls(settings, clips.read_sheet(settings.results / "clips.tsv"))

    @property
    def path(self) -> Path:
        """The file that holds this plan's configuration for the jobs: one file for every configuration that ran."""
        return self.config.results / "config" / f"{self.config.digest()[:16]}.json"

    @cached_property
    def nodes(self) -> list[str]:
        """The names of every clip's nodes, `video` first, each after those it reads."""
        return self.config.order()

    def nodes_of_clip(self, path: str) -> list[str]:
        """The names of one clip's nodes: all but those for which consent was withdrawn, and what reads them."""
        gone = self._withheld.get(path)
        return [n for n in self.nodes if n not in gone] if gone else self.nodes

    def withheld(self, path: str) -> list[str]:
        """The nodes that a clip does not have because consent was withdrawn for them, or for what they read."""
        gone = self._withheld.get(path)
        return [n for n in self.nodes if n in gone] if gone else []

    @property
    def some_withheld(self) -> bool:
        """Whether there are clips that do not have every node."""
        return bool(self._withheld)

    @cached_property
    def _withheld(self) -> dict[str, set[str]]:
        gone = ((path, tombstones.withheld(self.marks, clip, self.reads)) for path, clip in self.accepted.items())
        return {path: nodes for path, nodes in gone if nodes}

    def nodes_of(self, modality: str) -> list[str]:
        """The nodes of one modality."""
        return [n for n in self.nodes if modality_of(n) == modality]

    def environment_of(self, node: str) -> str:
        """The environment, by its file's name in envs/, in which a node can be made."""
        if node == "video":
            return "core"
        return backends.find(modality_of(node), self.config.nodes[node].backend).SPEC.environment

    @cached_property
    def needs(self) -> dict[str, needs.Needs]:
        """Node → what its jobs need, also for `index` and `preview`."""
        made = {n: backends.find(modality_of(n), self.config.nodes[n].backend).SPEC.needs for n in self.nodes[1:]}
        return {**made, "video": needs.VIDEO, "index": needs.INDEX, "preview": needs.PREVIEW, "part": needs.PART}

    def on_gpu(self, node: str) -> bool:
        """Whether a node's jobs need a GPU."""
        return node in self._gpu_nodes

    @cached_property
    def _gpu_nodes(self) -> set[str]:
        return {n for n in self.config.nodes if self.config.device_of(n).name != "cpu"}

    def memory_of(self, path: str, node: str, attempt: int = 1) -> int:
        """MB that the job of a node, or `index` or `preview`, of a clip is given."""
        return self.needs[node].memory(self.clip(path), self.on_gpu(node), attempt)

    def minutes_of(self, path: str, node: str, attempt: int = 1) -> int:
        """Minutes that it is given."""
        side = self._longest_side.get(node)
        return self.needs[node].minutes(self.clip(path), self.on_gpu(node), attempt, side)

    @cached_property
    def _longest_side(self) -> dict[str, int | None]:
        """Node → pixels to which its pictures are scaled down, where an option of its modality says so."""
        return {n: getattr(self.config.options_of(n), "longest_side", None) for n in self.nodes[1:]}

    @cached_property
    def reads(self) -> dict[str, dict[str, str]]:
        """Node → modality → the node that it reads."""
        return {n: self.config.reads_of(n) for n in self.nodes}

    @cached_property
    def siblings(self) -> dict[str, tuple[Clip, float]]:
        """`{subject}/{clip}` → the clip of another camera that shows the same walk, and has its events; and the seconds
        to add to its time to get this one's."""
        from gaitloom.gait.scene import siblings

        return siblings(self.accepted.values(), self.config.cameras) if self.nodes_of("gait") else {}

    def sibling(self, path: str, node: str) -> NodeKey | None:
        """The node of the same name of another clip that a clip's node reads; None where it reads none."""
        if path not in self.siblings or modality_of(node) != "gait":
            return None
        other, _ = self.siblings[path]
        return self.key(other, node) if node in self.nodes_of_clip(other.path) else None

    @cached_property
    def accepted(self) -> dict[str, Clip]:
        """`{subject}/{clip}` → clip, for every clip that is neither rejected nor excluded."""
        return {c.path: c for c in self.clips if c.status == OK}

    @cached_property
    def hashes(self) -> Hashes:
        """Content of the files that clips have beside their videos."""
        return Hashes(self.config.results / "files.tsv")

    def files(self, clip: Clip, node: str) -> dict[str, Path]:
        """The files from which a node of a clip is made, by what they are; none for those made from its pixels."""
        named = self._from_files.get(node)
        return named(clip) if named else {}

    @cached_property
    def _from_files(self) -> dict[str, Callable[[Clip], dict[str, Path]]]:
        """What names a clip's files, for the nodes that are made from some: asked once, not for every clip."""
        return {n: named for n in self.nodes if (named := self.config.files_of(n))}

    def hash_files(self) -> None:
        """Hash every clip's files once, for the jobs to come."""
        for path, clip in self.accepted.items():
            for node in self._from_files.keys() - self._withheld.get(path, ()):
                for file in self.files(clip, node).values():
                    self.hashes.of(file)
        self.hashes.save()

    @cached_property
    def _made(self) -> dict[str, Recipe]:
        """The part of each node's recipe that is the same for every clip."""
        return {node: {**recipe, **self.kept.get(node, {})} for node, recipe in self._written.items()}

    @cached_property
    def kept(self) -> dict[str, Recipe]:
        """Node → the parts of its recipe that are kept as an earlier version of GaitLoom wrote them, where this one
        writes others: those nodes stay in the store, and none can be made."""
        kept = {n: chosen.kept.recipe() for n, chosen in self.config.nodes.items()}
        parts = {n: {k: v for k, v in old.items() if v != self._written[n].get(k)} for n, old in kept.items()}
        return {n: old for n, old in parts.items() if old}

    @cached_property
    def _written(self) -> dict[str, Recipe]:
        """The same, as this version of GaitLoom writes it."""
        made: dict[str, Recipe] = {}
        for node in self.nodes:
            modality = modality_of(node)
            recipe: Recipe = {
                "schema": SCHEMA,
                "modality": modality,
                "modality_version": modalities.find(modality).VERSION,
            }
            if node != "video":
                name = self.config.nodes[node].backend
                spec = backends.find(modality, name).SPEC
                needed = self.config.weights_of(node)
                recipe |= {
                    "backend": name,
                    "backend_version": spec.version,
                    "options": self.config.options_of(node).model_dump(mode="json", by_alias=True),
                    "backend_options": weights.recorded(self.config.backend_options_of(node)),
                    "weights": {w.label: w.sha256 for w in needed},
                    "licence": spec.licence,
                    **weights.licences(needed),
                }
            made[node] = recipe
        return made

    def recipes(self, clip: Clip) -> dict[str, Recipe]:
        """The recipe of each of a clip's nodes; they chain from the video's content upwards."""
        recipes: dict[str, Recipe] = {}
        for node in self.nodes_of_clip(clip.path):
            recipe = dict(self._made[node])
            if node == "video":
                recipe["source"] = {
                    "sha256": clip.sha256,
                    "start": clip.start,
                    "end": clip.end,
                    "capture_fps": clip.capture_fps,
                }
            else:
                recipe["inputs"] = {m: digest(recipes[n]) for m, n in self.reads[node].items()}
            if files := self.files(clip, node):
                recipe["files"] = {what: self.hashes.of(file) for what, file in files.items()}
            if recipe["modality"] == "track":
                recipe["subject_box"] = clip.box
            if recipe["modality"] == "gait":
                camera = self.config.cameras.get(clip.camera)
                recipe["scene"] = modalities.find("gait").scene(clip, camera, self.config.options_of(node))
                if other := self.sibling(clip.path, node):
                    recipe["inputs"]["gait"] = self.digests_of(other.clip)[node]
                    recipe["sync_s"] = self.siblings[clip.path][1]
            if decided := self._decided_on(clip, recipe):
                recipe["decisions"] = decided
            recipes[node] = recipe
        return recipes

    def _decided_on(self, clip: Clip, recipe: Recipe) -> list[dict[str, Any]]:
        """What was decided in review that changes a node with this recipe."""
        rows = self.decisions_on(clip)
        if recipe["modality"] == "deidentified":
            return decisions.covers(rows)
        if recipe["modality"] == "audit":
            return decisions.accepted(rows, recipe["inputs"]["deidentified"])
        return []

    def decisions_on(self, clip: Clip) -> list[Decision]:
        """What was decided on a clip, in the order of the file."""
        return self._decided.get(clip.path, [])

    def clip(self, path: str) -> Clip:
        """The accepted clip at `{subject}/{clip}`.

        Raises:
            GaitloomError: there is none.
        """
        try:
            return self.accepted[path]
        except KeyError:
            raise GaitloomError(f"'{path}' is not a clip of the plan; `gaitloom view` lists them.") from None

    @staticmethod
    def key(clip: Clip, node: str) -> NodeKey:
        """The place of one of a clip's nodes."""
        return NodeKey(clip.subject, clip.name, node)

    def digests_of(self, path: str) -> dict[str, str]:
        """Node → digest of its recipe, for the clip at `{subject}/{clip}`."""
        if path not in self._digests:
            self._digests[path] = {n: digest(r) for n, r in self.recipes(self.clip(path)).items()}
        return self._digests[path]

    def planned(self, key: NodeKey) -> str | None:
        """The digest of the recipe that a node should have; None where it is not planned."""
        return self.digests_of(key.clip).get(key.node) if key.clip in self.accepted else None

    def digest(self, key: NodeKey) -> str:
        """The digest of the recipe that a node should have.

        Raises:
            GaitloomError: the clip or node is not planned.
        """
        if planned := self.planned(key):
            return planned
        if key.node in self.withheld(key.clip):
            raise GaitloomError(f"{key} is not made: consent for it, or for what it reads, was withdrawn.")
        raise GaitloomError(f"{key} is not in the plan; check the clip sheet and the configuration's nodes.")

    def recipe(self, key: NodeKey, expected: str) -> Recipe:
        """The recipe of one node, if it is the expected one.

        Raises:
            GaitloomError: the clip or node is not planned, or its recipe has changed since the job was planned.
        """
        self.digest(key)
        recipe = self.recipes(self.accepted[key.clip])[key.node]
        if digest(recipe) != expected:
            raise GaitloomError(f"The recipe of {key} changed since this job was planned; run snakemake again.")
        return recipe

    def index_digest(self, path: str) -> str:
        """What a clip's index depends on: its nodes, and the columns that go through."""
        return digest({"nodes": self.digests_of(path), "attributes": self.clip_attributes(self.clip(path))})

    def preview_digest(self, path: str) -> str:
        """What a clip's preview depends on: the nodes it shows, and how."""
        digests = self.digests_of(path)
        shown = {n: digests[n] for n in ("video", *self.shown_of(path).values())}
        return digest({"nodes": shown, "preview": self._preview})

    def report_digest(self) -> str:
        """What the ledger, the QC table, the contact sheet and the review page depend on: every row of the sheet, every
        node, and every decision."""
        rows = [(c.path, c.status, c.reason, self.clip_attributes(c)) for c in self.clips]
        decided = [str(d) for c in self.clips for d in self.decisions_on(c)]
        shown = {"preview": self._preview, "audit": self.config.review.audit}
        nodes = [self.digests_of(p) for p in self.accepted]
        return digest({"clips": rows, "nodes": nodes, "decisions": decided, **shown})

    @cached_property
    def _preview(self) -> dict[str, Any]:
        return self.config.preview.model_dump(mode="json")

    @cached_property
    def shown(self) -> dict[str, str]:
        """Role → node that the preview shows, for those that the configuration makes: the manual one where there is
        one and no other is named."""
        chosen = self.config.preview
        named = {r: getattr(chosen, r) for r in config.SHOWN}
        named = {r: self.config.preferred(r) if n == r else n for r, n in named.items()}
        return {r: n for r, n in named.items() if n in self.nodes}

    def shown_of(self, path: str) -> dict[str, str]:
        """The same for one clip: of the nodes that it has."""
        gone = self._withheld.get(path, ())
        return {r: n for r, n in self.shown.items() if n not in gone}

    @property
    def audited(self) -> tuple[str, str] | None:
        """The audit by which the release rules go, and the deidentified node that it looks at; None where the
        configuration makes none."""
        audit = self.config.review.audit
        return (audit, self.reads[audit]["deidentified"]) if audit in self.nodes else None

    def parts(self, tier: TierName) -> dict[str, tuple[str, list[str]]]:
        """Clip → digest of its part in a tier's release, and the nodes that must be there for it; asked only where a
        release is made."""
        from gaitloom.release.parts import wanted

        if tier not in self._parts:
            self._parts[tier] = wanted(self, tier)
        return self._parts[tier]

    def release_digest(self, tier: TierName) -> str:
        """What a tier's release depends on."""
        from gaitloom.release.build import planned

        return planned(self, tier)

    def clip_attributes(self, clip: Clip) -> dict[str, Any]:
        """What the clip's group in the store says of it: key, columns and camera; no name or path of a file."""
        camera = self.config.cameras.get(clip.camera)
        return {
            **{k: getattr(clip, k) for k in clips.KEY if getattr(clip, k)},
            **({"sync_offset_s": clip.sync_offset_s} if clip.sync_offset_s is not None else {}),
            **({"columns": clip.extra} if clip.extra else {}),
            **({"camera_calibration": camera.model_dump(mode="json", exclude={"calibration"})} if camera else {}),
        }

    def keys(self) -> Iterator[NodeKey]:
        """Every planned node, clip by clip."""
        return (NodeKey.parse(f"{path}/{node}") for path in self.accepted for node in self.nodes_of_clip(path))
