"""A release of many people of whom nothing is stored: enough for the tables."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from gaitloom.clips import Clip
from gaitloom.release.dataset import Dataset, Entry
from gaitloom.release.pseudonyms import Pseudonyms
from gaitloom.release.settings import Release, TierName

from release import sample

AGREED = {
    "age": "34",
    "patient": "no",
    "consent": "all",
    "consent_scope": "open",
    "consent_version": "2.1",
    "ethics": "EK-77",
}


def table(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows as a table; what a row does not say is empty."""
    columns = list(dict.fromkeys(c for row in rows for c in row))
    lines = [columns, *([row.get(c, "") for c in columns] for row in rows)]
    path.write_text("".join("\t".join(line) + "\n" for line in lines))
    return path


def settings(folder: Path, rows: list[dict[str, str]], **release: Any) -> Release:
    """A configuration's release with these participants."""
    given = {**sample.RELEASE, "participants": table(folder / "participants.tsv", rows), "keys": folder / "release.key"}
    return Release(**{**given, **release})


def dataset(
    folder: Path, rows: list[dict[str, str]], clips: list[Clip], tier: TierName = "controlled", **release: Any
) -> Dataset:
    """What a tier holds of these clips, each with keypoints and gait."""
    found, names = settings(folder, rows, **release), Pseudonyms(folder / "release.key", tier)
    chosen = found.tiers[tier].clip_columns
    entries = [
        Entry(
            clip,
            names.subject(clip.subject),
            names.clip(clip),
            {"keypoints": "", "gait": ""},
            {c: clip.extra[c] for c in chosen if c in clip.extra},
        )
        for clip in clips
    ]
    plan = cast(Any, SimpleNamespace(clips=clips, accepted={c.path: c for c in clips}))
    return Dataset(plan, found, tier, tuple(sorted(entries, key=lambda e: e.path)), {})
