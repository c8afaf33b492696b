"""One clip's share of a release: its files in every layout of the tier, packed, so that a new clip exports itself and
nothing else."""

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.provenance import canonical, digest
from gaitloom.release import archives, exporters
from gaitloom.release.dataset import Dataset, Entry
from gaitloom.release.settings import TierName
from gaitloom.store import Store
from gaitloom.verify import damage

VERSION = 1  # of this module's own output
RECORD = "part.json"
# Keys of a tier that say nothing of a clip's files, or stand in the digest by what follows from them.
ABOUT_PEOPLE = {"modalities", "exporters", "columns", "labels", "k", "sensitive", "licence", "terms", "assessment"}


@dataclass(frozen=True)
class Part:
    """What is known of a part. `digest` is of everything it was made from, `content` of the files in it. `withheld` is
    why its pictures are not there. `files` is archive → number of its files, `bytes` their sum."""

    subject: str
    clip: str
    digest: str
    content: str
    nodes: tuple[str, ...]
    frames: int
    fps: str
    width: int
    height: int
    columns: dict[str, str]
    withheld: tuple[str, ...]
    files: dict[str, int]
    bytes: dict[str, int]

    @property
    def path(self) -> str:
        """`{subject}/{clip}`, as released."""
        return f"{self.subject}/{self.clip}"


def folder(results: Path, tier: TierName, path: str) -> Path:
    """Where the part of the clip that the plan calls `path` lies."""
    return results / "release" / "parts" / tier / path


def planned(dataset: Dataset, entry: Entry) -> str:
    """Digest of everything that a part is made from."""
    plan, tier = dataset.plan, dataset.settings.tiers[dataset.tier]
    digests = plan.digests_of(entry.clip.path)
    audited = plan.audited if entry.of("deidentified") else None
    return digest(
        {
            "version": VERSION,
            "as": entry.path,
            "nodes": entry.nodes,
            "video": digests["video"],
            "audits": {n: digests[n] for n in audited or () if n in digests},
            "unaudited": dataset.settings.unaudited,
            "columns": entry.columns,
            "camera": entry.clip.camera,
            "exporters": {e: exporters.find(e).VERSION for e in tier.exporters},
            "tier": tier.model_dump(mode="json", exclude=ABOUT_PEOPLE),
        }
    )


def make(plan: Plan, path: str, tier: TierName) -> None:
    """Export one clip for one tier; it appears whole or not at all.

    Raises:
        GaitloomError: the tier does not hold the clip, a node is missing or stale, or its pictures may not be released.
    """
    dataset = Dataset.of(plan, tier, path)
    entry = dataset.entry(path)
    withheld = tuple(dataset.unaudited(entry))
    made = planned(dataset, entry)
    if withheld:
        if dataset.settings.unaudited == "refuse":
            raise GaitloomError(
                f"The pictures of {path} may not be released: {'; '.join(withheld)} (docs/review.md), or set "
                "release.unaudited to leave_out."
            )
        entry = replace(entry, nodes={n: d for n, d in entry.nodes.items() if n not in entry.of("deidentified")})
    draft = Store(plan.config.results).aside(f"part.{tier}.{path.replace('/', '.')}")
    try:
        (draft / "part").mkdir(parents=True)
        source = dataset.source(entry)
        for node in entry.nodes:  # a missing chunk reads as fill values
            if found := damage(source.folder(node)):
                raise GaitloomError(f"{path}/{node} {found[0]}; `gaitloom verify --drop` removes it, for a new making.")
        made_files = _export(dataset, entry, draft)
        part = Part(
            subject=entry.subject,
            clip=entry.name,
            digest=made,
            content=digest(made_files),
            nodes=tuple(entry.nodes),
            frames=source.length,
            fps=str(source.fps),
            width=source.size[0],
            height=source.size[1],
            columns=entry.columns,
            withheld=withheld,
            files={name: len(members) for name, members in made_files.items()},
            bytes={name: sum(size for size, _ in members.values()) for name, members in made_files.items()},
        )
        (draft / "part" / RECORD).write_text(canonical(asdict(part)) + "\n")
        target = folder(plan.config.results, tier, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rename(draft / "old")
        (draft / "part").rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _export(dataset: Dataset, entry: Entry, draft: Path) -> dict[str, dict[str, tuple[int, str]]]:
    """Write a clip's files in every layout of the tier into `draft/part`; archive → file → (bytes, SHA-256)."""
    made: dict[str, dict[str, tuple[int, str]]] = {}
    for name in dataset.settings.tiers[dataset.tier].exporters:
        files = draft / name
        files.mkdir()
        exporters.find(name).clip(dataset.source(entry), files)
        made |= packed(name, files, draft / "part")
        shutil.rmtree(files)
    return made


def packed(exporter: str, files: Path, target: Path) -> dict[str, dict[str, tuple[int, str]]]:
    """Pack what an exporter wrote, one zip an archive; archive → file → (bytes, SHA-256)."""
    found: dict[str, dict[str, tuple[int, str]]] = {}
    for archive in sorted(p for p in files.iterdir() if p.is_dir()):
        name = f"{exporter}_{archive.name}"
        found[name] = archives.pack(archive, target / f"{name}.zip")
    return found


def read(dataset: Dataset, entry: Entry) -> Part:
    """The part of one clip, as it was made.

    Raises:
        GaitloomError: it is not there, or not what is planned now.
    """
    record = folder(dataset.plan.config.results, dataset.tier, entry.clip.path) / RECORD
    try:
        values: dict[str, Any] = json.loads(record.read_text())
    except (OSError, ValueError):
        raise GaitloomError(f"{record} is missing or damaged; run `snakemake release`.") from None
    if values["digest"] != planned(dataset, entry):
        raise GaitloomError(f"{record.parent} was made from something else than now; run `snakemake release`.")
    return Part(**{**values, "nodes": tuple(values["nodes"]), "withheld": tuple(values["withheld"])})


def wanted(plan: Plan, tier: TierName) -> dict[str, tuple[str, list[str]]]:
    """Plan's clip → digest of its part, and the nodes that must be there for it: what the workflow's rules ask."""
    dataset = Dataset.of(plan, tier)

    def audits(entry: Entry) -> list[str]:
        made = plan.nodes_of_clip(entry.clip.path)
        return [n for n in (plan.audited or ())[:1] if n in made and entry.of("deidentified")]

    return {e.clip.path: (planned(dataset, e), ["video", *e.nodes, *audits(e)]) for e in dataset.entries}
