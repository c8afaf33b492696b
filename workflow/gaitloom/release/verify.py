"""A release checked from its folder alone, by whoever downloaded it: it is whole, its tables, archives and metadata
fit, and what of the last look needs no secret is looked for again."""

import csv
import gzip
import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bagit

from gaitloom.config import modality_of
from gaitloom.progress import say
from gaitloom.release import consent
from gaitloom.release.checks import members, scenes, stamps, tables
from gaitloom.release.checks.holdings import ALIASES, Holdings
from gaitloom.release.checks.members import Finding, Rules
from gaitloom.release.checks.words import Words
from gaitloom.release.contents import CLIPS, read_clips
from gaitloom.release.metadata.bag import SUMS, TAG_MANIFEST
from gaitloom.release.settings import NEVER
from gaitloom.store import file_sha256

MANIFEST = "manifest-sha256.txt"
CRATE, CROISSANT, DATACITE = "ro-crate-metadata.json", "croissant.json", "datacite.json"
BAG = {"bagit.txt", "bag-info.txt", MANIFEST, TAG_MANIFEST, SUMS}


def main(folder: Path) -> int:
    """Say what is wrong with a release; 1 where anything is."""
    found = verify(folder)
    for sentence in found:
        say(sentence)
    say(f"{folder}: {f'{len(found)} faults' if found else 'whole, and as it says'}")
    return 1 if found else 0


def verify(folder: Path) -> list[str]:
    """What is wrong with a release, a sentence each; empty where nothing is."""
    if not (folder / SUMS).is_file() or not (folder / "data" / CLIPS).is_file():
        return [f"{folder} is no release: {SUMS} or data/{CLIPS} is missing; give the folder of one"]
    sums = {p.relative_to(folder).as_posix(): file_sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    found = [*_sums(folder, sums), *_bag(folder, sums), *_crate(folder, sums), *_croissant(folder, sums)]
    try:
        holdings = holdings_of(folder)
        found += map(str, members.findings(folder, _rules(folder, holdings)))
        found += map(str, _archives(folder, holdings))
    except (OSError, ValueError, KeyError) as error:
        found.append(f"{folder}: its tables cannot be read ({error!r})")
    return list(dict.fromkeys(found))


def _listed(path: Path) -> dict[str, str]:
    """File → SHA-256 of a list as sha256sum writes it."""
    lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {name.lstrip("*"): sha256 for sha256, name in lines}


def _differ(name: str, listed: dict[str, str], there: dict[str, str]) -> Iterator[str]:
    yield from (f"{f} is in {name}, and not there" for f in sorted(set(listed) - set(there)))
    yield from (f"{f} is there, and not in {name}" for f in sorted(set(there) - set(listed)))
    yield from (f"{f} has another hash than in {name}" for f in sorted(listed) if there.get(f, listed[f]) != listed[f])


def _sums(folder: Path, sums: dict[str, str]) -> Iterator[str]:
    yield from _differ(SUMS, _listed(folder / SUMS), {f: s for f, s in sums.items() if f not in (SUMS, TAG_MANIFEST)})


def _bag(folder: Path, sums: dict[str, str]) -> Iterator[str]:
    """The bag's manifests against the hashes that we have, the rest by the library."""
    for name, inside in ((MANIFEST, True), (TAG_MANIFEST, False)):
        if (folder / name).is_file():
            there = {f: s for f, s in sums.items() if f.startswith("data/") == inside and f != TAG_MANIFEST}
            yield from _differ(name, _listed(folder / name), there)
    try:
        bagit.Bag(str(folder)).validate(completeness_only=True)
    except bagit.BagError as error:
        yield f"{folder.name} is no valid bag: {' '.join(str(error).split())}"


def _crate(folder: Path, sums: dict[str, str]) -> Iterator[str]:
    """The RO-Crate names exactly what is there; of what is written after it, it cannot know."""
    graph = _json(folder / CRATE).get("@graph", [])
    files = {e["@id"].removeprefix("./"): e for e in graph if "File" in _several(e.get("@type"))}
    yield from _metadata(CRATE, files, {f: s for f, s in sums.items() if f not in BAG and f != CRATE})


def _croissant(folder: Path, sums: dict[str, str]) -> Iterator[str]:
    """Croissant names exactly what is in data/."""
    objects = _json(folder / CROISSANT).get("distribution", [])
    files = {o["contentUrl"]: o for o in objects if "contentUrl" in o}
    yield from _metadata(CROISSANT, files, {f: s for f, s in sums.items() if f.startswith("data/")})


def _metadata(name: str, files: dict[str, Any], there: dict[str, str]) -> Iterator[str]:
    hashes = {f: e.get("sha256", "") for f, e in files.items() if not f.startswith(("http:", "https:"))}
    yield from _differ(name, hashes, there)


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def tier_of(folder: Path) -> str:
    """The tier that a release says it is of."""
    said = _json(folder / CROISSANT).get("name", "")
    return str(said).rpartition("-")[2]


def holdings_of(folder: Path) -> Holdings:
    """What a release may hold by its own tables: the nodes that clips.tsv names, but for those that never leave, and
    pictures in an open one."""
    tier = tier_of(folder)
    refused = {*NEVER, *(("deidentified",) if tier == "open" else ())}
    clips = {
        f"{row['subject']}/{row['clip']}": frozenset(n for n in row["nodes"].split() if modality_of(n) not in refused)
        for row in read_clips(folder)
    }
    people = _people(folder / "data" / "participants.tsv")
    columns = next(iter(people.values()), {})
    return Holdings(
        tier=tier,
        clips=clips,
        allowed=frozenset(modality_of(n) for nodes in clips.values() for n in nodes),
        columns=dict.fromkeys(columns, "exact"),
        forbidden=frozenset(consent.COLUMNS),
        aliases=ALIASES,
        people=people,
    )


def _people(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row["subject"]: row for row in csv.DictReader(file, delimiter="\t")}


def _rules(folder: Path, holdings: Holdings) -> Rules:
    about = _json(folder / DATACITE)
    dates = [d.get("date", "").encode() for d in about.get("dates", ())]
    sizes = [p.stat().st_size for p in folder.rglob("*") if p.is_file()]
    payload = sum(p.stat().st_size for p in (folder / "data").rglob("*") if p.is_file())
    dates += [str(size).encode() for size in (*sizes, payload)]
    texts = [t.get("title", "") for t in about.get("titles", ())]
    texts += [d.get("description", "") for d in about.get("descriptions", ())]
    texts += [c.get("name", "") for c in about.get("creators", ())] + [about.get("doi", ""), folder.name]
    return Rules(Words({}, {}, frozenset()), holdings, tuple(dates), tuple(t.encode() for t in texts if t))


def _archives(folder: Path, holdings: Holdings) -> Iterator[Finding]:
    """Every clip is in the archives that clips.tsv promises, and as long as it says."""
    frames = {f"{row['subject']}/{row['clip']}": int(row["frames"]) for row in read_clips(folder)}
    zarr: set[str] = set()
    for path in sorted((folder / "data").glob("*.zip")):
        try:
            with zipfile.ZipFile(path) as archive:
                if path.name.startswith("zarr_"):
                    zarr |= {n.removesuffix("/zarr.json") for n in archive.namelist() if n.count("/") == 3}
                yield from (Finding(path.name, *f) for f in _lengths(archive, frames, holdings))
                yield from (Finding(path.name, *f) for f in _index(archive, frames))
                for member, file in scenes.videos(archive):
                    yield from (Finding(path.name, member, what) for what in stamps.of_mp4(file))
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
            yield Finding(path.name, "", f"cannot be read ({error})")
    for clip, nodes in sorted(holdings.clips.items()) if zarr else ():
        for node in sorted(nodes):
            if f"{clip}/{node}" not in zarr:
                yield Finding(f"zarr_{modality_of(node)}.zip", "", f"lacks {clip}/{node}, which clips.tsv names")


def _lengths(archive: zipfile.ZipFile, frames: dict[str, int], holdings: Holdings) -> Iterator[tuple[str, str]]:
    """Arrays along time that are not as long as their clip."""
    for name in archive.namelist():
        clip, length = "", None
        if name.endswith("/zarr.json") and "/".join(name.split("/")[:2]) in frames:
            clip = "/".join(name.split("/")[:2])
            about = json.loads(archive.read(name))
            if about.get("node_type") == "array" and (about.get("dimension_names") or [""])[0] == "time":
                length = about["shape"][0]
        elif name.endswith((".npy", ".npy.gz")) and (clips := holdings.clips_of(name)):
            clip = clips[0]
            with archive.open(name) as file:
                length = _rows(gzip.GzipFile(fileobj=file) if name.endswith(".gz") else file)
        if length is not None and length != frames[clip]:
            yield name, f"has {length} frames, and {clip} {frames[clip]}"


def _rows(file: Any) -> int | None:
    start: bytes = file.read(12)
    size = int.from_bytes(start[8:10], "little")
    about = tables.array_header(start[10:12] + file.read(size - 2)) if start[6:7] == b"\1" else None
    return about[1][0] if about and about[1] else None


def _index(archive: zipfile.ZipFile, frames: dict[str, int]) -> Iterator[tuple[str, str]]:
    """An index of clips whose lines do not fit clips.tsv, or whose files are not there."""
    names = set(archive.namelist())
    if "index.json" not in names:
        return
    for line in json.loads(archive.read("index.json")).get("clips", ()):
        clip = f"{line['subject']}/{line['clip']}"
        if clip not in frames:
            yield "index.json", f"has {clip}, which is not in clips.tsv"
        elif line.get("frames") != frames[clip]:
            yield "index.json", f"gives {clip} {line.get('frames')} frames, and clips.tsv {frames[clip]}"
        if len(names) > 1 and line.get("file", "") not in names:
            yield "index.json", f"has the file {line.get('file')}, which is not there"
