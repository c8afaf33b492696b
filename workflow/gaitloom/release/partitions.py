"""Who is trained on and who is tested, as a release tells it: `data/splits/partition_0.json`, … in Health&Gait's form,
under released names, of the people whom the tier holds."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gaitloom import splits
from gaitloom.errors import GaitloomError
from gaitloom.release import participants
from gaitloom.release.contents import Contents
from gaitloom.release.dataset import Dataset
from gaitloom.splits import Split

FOLDER = "splits"
MOST, TOGETHER = 20, "partitions.json"  # of more partitions, one file: repositories take few


def released(dataset: Dataset) -> list[Split]:
    """The tier's splits, checked; none where the configuration has none.

    Raises:
        GaitloomError: they are not made, somebody is in none, or a person, family or video is in two parts.
    """
    if not (found := dataset.splits):
        return []
    way = dataset.plan.config.splits
    family = way.family if way else splits.FAMILY
    people = participants.read(dataset.settings)
    known = people[family].dropna().to_dict() if family in people else {}
    told = {e.subject: known.get(e.clip.subject) or e.clip.extra.get(family) for e in dataset.entries}
    families = {subject: str(name) for subject, name in told.items() if name}
    clips = [replace(e.clip, subject=e.subject) for e in dataset.entries]
    for number, split in enumerate(found):
        if sentences := splits.leaks(split, clips, families):
            raise GaitloomError(
                f"Partition {number} of the {dataset.tier} release would leak: {'; '.join(sentences[:3])}; give people "
                f"who share something the same value in the column '{family}', and run `gaitloom splits` again."
            )
    return found


def columns(dataset: Dataset) -> list[str]:
    """The columns whose classes the configuration's splits share out."""
    way = dataset.plan.config.splits
    return list(way.bands()) if way else []


def save(found: Sequence[Split], folder: Path) -> None:
    """Write them into a folder, a file each."""
    for number, split in enumerate(found):
        _write(folder / f"partition_{number}.json", split)


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{json.dumps(value, indent=1)}\n", encoding="utf-8")


def write(contents: Contents) -> None:
    """Write `data/splits/`: a file each, or of more than `MOST` partitions one with a list of all.

    Raises:
        GaitloomError: as `released`; or somebody is in another part than in the release before this one.
    """
    found = released(contents.dataset)
    if contents.previous is not None:
        _stay(read(contents.previous), found, contents.previous)
    if len(found) > MOST:
        _write(contents.data / FOLDER / TOGETHER, found)
    else:
        save(found, contents.data / FOLDER)


def read(release: Path) -> list[Split]:
    """The splits of a finished release; none where it has none.

    Raises:
        GaitloomError: they cannot be read.
    """
    folder = release / "data" / FOLDER
    count = len(list(folder.glob("partition_*.json")))
    try:
        if (folder / TOGETHER).is_file():
            return json.loads((folder / TOGETHER).read_text(encoding="utf-8"))
        return [json.loads((folder / f"partition_{n}.json").read_text(encoding="utf-8")) for n in range(count)]
    except (OSError, ValueError) as error:
        raise GaitloomError(f"{folder} cannot be read ({error}); put it back as it was built.") from None


def _stay(before: Sequence[Split], now: Sequence[Split], previous: Path) -> None:
    """Whoever was tested on must not be trained on in the next version; another number of partitions is a new deal."""
    if len(before) != len(now):
        return
    for number, (old, new) in enumerate(zip(before, now, strict=True)):
        was = {subject: part for part, people in old.items() for subject in people}
        moved = [(s, was[s], part) for part, people in new.items() for s in people if was.get(s, part) != part]
        if moved:
            subject, first, second = min(moved)
            raise GaitloomError(
                f"Partition {number}: {len(moved)} people are in another part than in {previous} ({subject} was in "
                f"{first} and is in {second}); put back the splits of that version, or move its folder away if you "
                "mean to deal anew."
            )
