"""One tier's release: parts merged into archives, tables, metadata, the check of the tier, and one rename."""

import json
import shutil
from pathlib import Path, PurePath
from typing import Any

from gaitloom import __version__, split_files
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.progress import say, track
from gaitloom.provenance import canonical, digest
from gaitloom.release import exporters, parts, technical_validation
from gaitloom.release.archives import Merged
from gaitloom.release.contents import Archive, Contents
from gaitloom.release.dataset import Dataset
from gaitloom.release.settings import EXPORTERS, Release, TierName
from gaitloom.store import file_sha256

STATE = ".state.json"  # of a release in the making: what it is made from, and which archives are done
WITHDRAWN = ".withdrawn"  # beside the releases: those that hold somebody who withdrew
DONE = "built"  # folder of the marks of releases that are built


def planned(plan: Plan, tier: TierName) -> str:
    """Digest of everything that a release is made from."""
    dataset = Dataset.of(plan, tier)
    settings = dataset.settings
    files = [settings.participants, settings.reference, settings.answers, settings.tiers[tier].terms]
    files += [settings.labels[name] for name in sorted(settings.tiers[tier].labels)]
    return digest(
        {
            "gaitloom": __version__,
            "settings": settings.model_dump(mode="json", exclude={"tiers": True, "keys": True, "participants": True}),
            "tier": settings.tiers[tier].model_dump(mode="json"),
            "files": [file_sha256(f) if f is not None and f.is_file() else None for f in files],
            "parts": [parts.planned(dataset, entry) for entry in dataset.entries],
            "left_out": dataset.left_out,
            "splits": split_files.planned(plan) if plan.config.splits else None,
            "technical_validation": technical_validation.planned(plan, tier),
        }
    )


def build(plan: Plan, tier: TierName) -> Path:
    """Build a tier's release from its parts, or go on where a build broke off; returns its folder.

    Raises:
        GaitloomError: a part is missing, the tables are at fault, too few people are alike, the tier holds something
            that it must not, or this version has been built from something else.
    """
    dataset, made = Dataset.of(plan, tier), planned(plan, tier)
    settings, results = dataset.settings, plan.config.results
    target, mark = settings.folder(results, tier), _mark(settings, results, tier)
    if target.is_dir():
        if not mark.is_file() or mark.read_text().strip() != made:
            raise GaitloomError(
                f"{target} is built, and what it was made from has changed since; raise release.version."
            )
        return target
    if (aside := target.parent / WITHDRAWN / target.name).is_dir():
        raise GaitloomError(f"{aside} was set aside by a withdrawal; raise release.version.")
    if not dataset.entries:
        raise GaitloomError(f"The {tier} release holds no clip: {_why(dataset)}; see docs/releasing.md.")
    whole = digest({"made": made, "splits": dataset.splits})  # which are known no sooner
    folder = _resume(results / "release" / "building" / target.name, whole)
    contents = Contents(dataset, folder, _parts(dataset), _previous(settings, results, tier))
    _write(contents)
    (folder / STATE).unlink()
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(made + "\n")
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(target)
    say(f"{target} is built")
    return target


def _write(contents: Contents) -> None:
    """Everything of a release, in the order in which one needs the other."""
    from gaitloom.release import documents, gait, labels, metadata, participants, partitions, tier_check

    dataset = contents.dataset
    contents.data.mkdir(exist_ok=True)
    participants.write(dataset, contents.data)
    labels.write(dataset, contents.data)
    gait.write(dataset, contents.data)
    partitions.write(contents)
    technical_validation.write(contents)
    contents.write_clips()
    contents.archives[:] = _archives(contents)
    documents.write(contents)
    metadata.write(contents)
    _check_count(contents)
    tier_check.check(contents)


def _parts(dataset: Dataset) -> tuple[parts.Part, ...]:
    return tuple(parts.read(dataset, e) for e in track(dataset.entries, "parts"))


def _archives(contents: Contents) -> list[Archive]:
    """Merge the parts' files, and those that the data set has once, into archives; those that are there stay."""
    dataset, building = contents.dataset, contents.folder.parent / f"{contents.folder.name}.tables"
    shutil.rmtree(building, ignore_errors=True)
    sources: dict[str, list[Path]] = {}
    for entry in dataset.entries:
        folder = parts.folder(dataset.plan.config.results, dataset.tier, entry.clip.path)
        for path in sorted(folder.glob("*.zip")):
            sources.setdefault(path.stem, []).append(path)
    for name in dataset.settings.tiers[dataset.tier].exporters:
        files = building / name
        files.mkdir(parents=True)
        exporters.find(name).dataset(dataset, files)
        for archive in parts.packed(name, files, building):
            sources.setdefault(archive, [])
        shutil.rmtree(files)
    made: list[Archive] = []
    state = json.loads((contents.folder / STATE).read_text())
    for name in track(sorted(sources), "archives"):
        exporter = next(e for e in EXPORTERS if name.startswith(f"{e}_"))
        common = building / f"{name}.zip"
        merged = Merged(sources[name], common if common.is_file() else None)
        groups = list(merged.groups(dataset.settings.limits.archive_bytes))
        for number, names in enumerate(groups, 1):
            file = f"{name}{f'-{number:02}' if len(groups) > 1 else ''}.zip"
            if file not in state["archives"]:
                path = contents.data / file
                merged.write(names, path)
                state["archives"][file] = [path.stat().st_size, file_sha256(path)]
                _save(contents.folder, state)
            suffixes = tuple(sorted({PurePath(name).suffix for name in names}))
            what, (size, sha256) = name.removeprefix(f"{exporter}_"), state["archives"][file]
            made.append(Archive(file, exporter, what, len(names), suffixes, size, sha256))
    shutil.rmtree(building)
    return made


def _resume(folder: Path, made: str) -> Path:
    """The folder in which the release is made; what an earlier try left of something else is removed."""
    try:
        same = json.loads((folder / STATE).read_text())["made"] == made
    except (OSError, ValueError, KeyError):
        same = False
    if not same:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _save(folder, {"made": made, "archives": {}})
        return folder
    state = json.loads((folder / STATE).read_text())
    for path in sorted(folder.rglob("*"), reverse=True):  # all but finished archives is quickly made again
        if path.is_file() and path.name != STATE and path.name not in state["archives"]:
            path.unlink()
    for name, (size, sha256) in list(state["archives"].items()):
        path = folder / "data" / name
        if not path.is_file() or path.stat().st_size != size or file_sha256(path) != sha256:
            del state["archives"][name]
            path.unlink(missing_ok=True)
    _save(folder, state)
    return folder


def _save(folder: Path, state: dict[str, Any]) -> None:
    draft = folder / f"{STATE}.draft"
    draft.write_text(canonical(state))
    draft.replace(folder / STATE)


def _mark(settings: Release, results: Path, tier: TierName) -> Path:
    return results / "release" / DONE / settings.folder(results, tier).name


def _previous(settings: Release, results: Path, tier: TierName) -> Path | None:
    """The newest release of this tier before this version, among those that are here."""
    now = _version(settings.version)
    found = {}
    for folder in (
        f for place in (WITHDRAWN, "") for f in (results / "releases" / place).glob(f"{settings.name}-*-{tier}")
    ):
        version = folder.name.removeprefix(f"{settings.name}-").removesuffix(f"-{tier}")
        if version.replace(".", "").isdigit() and _version(version) < now:
            found[_version(version)] = folder
    return found[max(found)] if found else None


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def _why(dataset: Dataset) -> str:
    return "; ".join(sorted({*dataset.left_out.values()})) or "there is none"


def _check_count(contents: Contents) -> None:
    limit = contents.dataset.settings.limits.files
    count = sum(p.is_file() for p in contents.folder.rglob("*")) - 1
    if count > limit:
        raise GaitloomError(
            f"The {contents.dataset.tier} release has {count} files, more than the {limit} of release.limits.files; "
            "choose fewer exporters, or larger archives (release.limits.archive_bytes)."
        )
