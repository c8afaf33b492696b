"""The last look at a finished release: its archives are opened, and nothing that their makers say is believed.

What the laboratory knows is looked for (names, files, folders, digests, keys, machines) in every byte, and what the
tier may hold is compared with what is there. `checks` says how.
"""

import csv
import getpass
import json
import re
import socket
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gaitloom.config import modality_of
from gaitloom.errors import GaitloomError
from gaitloom.gait.summary import PARAMETERS, SIDES
from gaitloom.release import consent, free_text, gait, participants, partitions
from gaitloom.release.checks import members, scenes
from gaitloom.release.checks.holdings import ALIASES, Holdings
from gaitloom.release.checks.members import Finding, Rules
from gaitloom.release.checks.words import Words
from gaitloom.release.contents import COLUMNS, Contents
from gaitloom.release.dataset import Dataset
from gaitloom.release.exporters._health_gait_tables import MEASURES
from gaitloom.release.pseudonyms import VIEWS, Pseudonyms
from gaitloom.release.settings import EXPORTERS, MODALITIES, TIERS, Release
from gaitloom.split_files import PARTS

SHOWN = 5  # findings that are written out
# Words that releases themselves are made of: whoever is called so cannot be told from them.
OURS = {*TIERS, *EXPORTERS, *MODALITIES["controlled"], *VIEWS, *COLUMNS, "data", "clip", "video", "faces", "audit"}
OURS |= {*gait.COLUMNS, *PARAMETERS, *SIDES, partitions.FOLDER, "partition", "partitions", *PARTS}


def check(contents: Contents) -> None:
    """Look through a finished release.

    Raises:
        GaitloomError: it holds something that its tier must not; the sentence names archive and member.
    """
    found = findings(contents)
    if found:
        shown = "; ".join(map(str, found[:SHOWN]))
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise GaitloomError(
            f"The {contents.dataset.tier} release is refused, since it holds what it must not: {shown}{more}; mend the "
            "table, clip or exporter that it comes from (docs/releasing.md)."
        )


def findings(contents: Contents) -> list[Finding]:
    """All that is wrong with a finished release, in order."""
    rules = rules_of(contents)
    found = [*members.findings(contents.folder, rules), *_scenes(contents, rules.holdings)]
    return sorted(set(found))


def _scenes(contents: Contents, holdings: Holdings) -> Iterator[Finding]:
    for path in sorted(contents.data.glob("*.zip")):
        try:
            with zipfile.ZipFile(path) as archive:
                yield from (Finding(path.name, *f) for f in scenes.compared(contents.dataset, holdings, archive))
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            yield Finding(path.name, "", f"cannot be read as an archive with videos ({error})")


def rules_of(contents: Contents) -> Rules:
    """What is looked for in a release."""
    dataset, settings = contents.dataset, contents.dataset.settings
    texts = [settings.title, settings.description, settings.publisher, settings.contact, settings.url, settings.doi]
    texts += [text for c in settings.creators for text in (c.name, c.affiliation, c.orcid)]
    texts += [settings.folder(Path(), t).name for t in settings.tiers]
    sizes = [p.stat().st_size for p in contents.folder.rglob("*") if p.is_file()]
    payload = sum(p.stat().st_size for p in contents.data.rglob("*") if p.is_file())
    known = sorted({t.encode() for t in texts if t}, key=len, reverse=True)
    dates = [settings.date.isoformat().encode(), *(str(size).encode() for size in (*sizes, payload))]
    return Rules(words_of(dataset), holdings_of(dataset, contents.data), tuple(dates), tuple(known))


def words_of(dataset: Dataset) -> Words:
    """What the laboratory knows and no release may say."""
    names = _names(dataset)
    people = {c.subject for c in dataset.plan.clips}
    plain = {n: what for n, what in names.items() if n.isalpha() and n.islower() and n not in people}
    names = {n: what for n, what in names.items() if n not in plain}
    return Words(names, _folders(dataset), _digests(dataset), _secrets(dataset), plain)


def _names(dataset: Dataset) -> dict[str, str]:
    """Name → what it is: of subjects and parts of them, sessions and trials that are more than a number, files, people
    in other tiers, machines."""
    settings, clips = dataset.settings, dataset.plan.clips
    listed = [row["subject"] for _, row in consent.rows(settings.participants, ("subject",), "release.participants")]
    subjects = sorted({*listed, *(c.subject for c in clips if c.subject)})
    parts = (n for n in free_text.names(dataset, subjects) if not n.isalpha() or not _take(dataset, n))
    found = {n.capitalize(): "part of a subject's name, or a take's" for n in parts}  # of people, so no plain words
    takings: dict[str, str] = {}
    for clip in clips:
        takes = (clip.session, clip.trial, clip.segment, clip.camera)
        takings |= {v: "what the laboratory calls a take" for v in takes if v and not v.isdigit() and v not in VIEWS}
        takings |= dict.fromkeys(_file_names(clip.video), "the name of a file of the laboratory")
    public = _public_words(settings)
    found |= {n: what for n, what in takings.items() if n.casefold() not in public}
    for tier in TIERS:
        if tier != dataset.tier:
            others = Pseudonyms(settings.keys, tier)
            found |= {others.subject(s): f"a subject's name in the {tier} tier" for s in subjects}
    found |= dict.fromkeys(subjects, "a subject's name")
    found |= dict.fromkeys(_machines(dataset), "the name of a machine")
    return {n: what for n, what in found.items() if n.casefold() not in OURS}


def _take(dataset: Dataset, name: str) -> bool:
    """Whether a session or trial is called so."""
    return any(name == v.casefold() for c in dataset.plan.clips for v in (c.session, c.trial, c.segment))


def _public_words(settings: Release) -> set[str]:
    """Words of the data set's own name: a file or take called so tells nothing of anybody."""
    return set(re.findall(r"\w+", f"{settings.name} {settings.title}".casefold()))


def _file_names(video: str) -> set[str]:
    name = Path(video).name
    return {n for n in (name, Path(video).stem) if n and not n.isdigit()}


def _machines(dataset: Dataset) -> set[str]:
    """Hosts of this and earlier runs. Short plain words are none: a machine called 'node' would be everywhere."""
    hosts = {socket.gethostname()}
    for record in (dataset.plan.config.results / "provenance").rglob("*.json"):
        try:
            hosts.add(str(json.loads(record.read_text()).get("host", "")))
        except (OSError, ValueError):
            continue
    return {h for h in hosts if len(h) >= 4 and (len(h) >= 8 or not h.isalpha()) and h != "localhost"}


def _folders(dataset: Dataset) -> dict[str, str]:
    config, settings = dataset.plan.config, dataset.settings
    places = [config.results, *config.clips.folders, settings.keys.parent, settings.participants.parent]
    folders = {p.absolute() for p in (*places, Path.home(), Path.cwd())} | {p.resolve() for p in places}
    user = getpass.getuser()
    found = {str(f): "a folder of the laboratory" for f in folders if len(f.parts) > 2 or f.parent != Path("/")}
    return {**found, f"{user}@": "a user and a machine"} if len(user) > 2 else found


def _digests(dataset: Dataset) -> frozenset[str]:
    plan = dataset.plan
    found = {c.sha256 for c in plan.clips if c.sha256}
    for path in plan.accepted:
        found |= set(plan.digests_of(path).values())
    return frozenset({*found, *_keys(dataset)})


def _keys(dataset: Dataset) -> list[str]:
    with dataset.settings.keys.open(newline="", encoding="utf-8") as file:
        return [row["key"] for row in csv.DictReader(file, delimiter="\t")]


def _secrets(dataset: Dataset) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(key) for key in _keys(dataset))


def holdings_of(dataset: Dataset, data: Path) -> Holdings:
    """What the tier may hold, asked anew of consent, configuration and audits."""
    settings, tier = dataset.settings, dataset.tier
    clips = {}
    for entry in dataset.entries:
        withheld = {n for n in entry.of("deidentified") if dataset.unaudited(entry)}
        clips[entry.path] = frozenset(n for n in entry.nodes if n not in withheld)
    columns, listed = settings.columns(tier), frozenset(settings.tiers[tier].clip_columns)
    return Holdings(
        tier=tier,
        clips=clips,
        allowed=frozenset(settings.modalities(tier)),
        columns=columns,
        clip_columns=listed,
        labels=frozenset(settings.tiers[tier].labels),
        forbidden=_forbidden(dataset),
        aliases=ALIASES,
        people=_people(data),
    )


def _forbidden(dataset: Dataset) -> frozenset[str]:
    """Columns of the laboratory's tables that the tier may not have."""
    settings, tier = dataset.settings, dataset.settings.tiers[dataset.tier]
    with settings.participants.open(newline="", encoding="utf-8-sig") as file:
        table = next(csv.reader(file, delimiter="\t"))
    clips = Counter(c for clip in dataset.plan.clips for c in clip.extra)
    known = {*participants.ABOUT, *consent.COLUMNS, *MEASURES, *table, *clips}
    held = {*settings.columns(dataset.tier), *tier.clip_columns, *COLUMNS, participants.INDEX}
    return frozenset(c for c in known if c not in held and c not in (modality_of(m) for m in MODALITIES["controlled"]))


def _people(data: Path) -> dict[str, dict[str, str]]:
    path = data / f"{participants.NAME}.tsv"
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row[participants.INDEX]: row for row in csv.DictReader(file, delimiter="\t")}
