"""Corrections that people made by hand: which files hold them, who made them, and on what.

`gaitloom correct` hands a node out: `{folder}/{subject}/{clip}/{modality}.exported.xml`, with
`{modality}.about.json` beside it. Whoever corrects it saves the result as `{modality}.xml` (CVAT), `.json` (COCO) or
`.npy.gz` (ProGait). What differs from the export is what the human changed; the rest comes from the base, whichever it
is today.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from gaitloom.clips import Clip
from gaitloom.errors import GaitloomError
from gaitloom.strict import Strict

ENDINGS = (".xml", ".json", ".npy.gz")


class Options(Strict):
    """Where corrections lie."""

    folder: Path = Field(
        Path("corrections"), exclude=True, description="Folder of the corrections: one below it a subject and clip."
    )


class About(Strict):
    """What is known of a clip's corrections, in `{modality}.about.json`."""

    base: str = ""  # digest of the recipe of the node that was handed out
    annotator: str = ""  # a pseudonym
    reviewer: str = ""


@dataclass(frozen=True)
class Corrections:
    """A clip's corrections: the corrected file, the export that it began as, if there is one, and who made them."""

    corrected: Path
    exported: Path | None
    about: About

    def attributes(self, base: str) -> dict[str, Any]:
        """What the node says of them; `base` is the digest of its base's recipe today."""
        stale = bool(self.about.base) and self.about.base != base
        note = (
            f"its corrections were made on another base: look at them again, then set base to {base} in "
            f"{self.corrected.name.partition('.')[0]}.about.json"
        )
        return {
            "annotator": self.about.annotator,
            "reviewer": self.about.reviewer,
            "corrections_base": self.about.base,
            "corrections_stale": stale,
            **({"note": note} if stale else {}),
        }


def place(folder: Path, clip: Clip, modality: str, ending: str) -> Path:
    """Where a clip's file of corrections lies: the corrected one has an ending of `ENDINGS`."""
    return folder / clip.subject / clip.name / f"{modality}{ending}"


def files(options: Options, clip: Clip, modality: str) -> dict[str, Path]:
    """The files that decide a clip's corrected node, by their names; none where nothing was corrected."""
    corrected = [p for e in ENDINGS if (p := place(options.folder, clip, modality, e)).is_file()]
    if not corrected:
        return {}
    others = [place(options.folder, clip, modality, e) for e in (*(f".exported{e}" for e in ENDINGS), ".about.json")]
    return {p.name: p for p in (*corrected, *others) if p.is_file()}


def read(found: dict[str, Path], modality: str) -> Corrections | None:
    """A clip's corrections; None where there are none.

    Raises:
        GaitloomError: there are two corrected files, the export is of another layout, or about.json is not valid.
    """
    corrected = [p for e in ENDINGS if (p := found.get(f"{modality}{e}"))]
    if not corrected:
        return None
    if len(corrected) > 1:
        raise GaitloomError(f"{corrected[0]} and {corrected[1].name} both hold corrections; keep one of them.")
    ending = corrected[0].name.removeprefix(modality)
    others = [p for e in ENDINGS if e != ending and (p := found.get(f"{modality}.exported{e}"))]
    if others:
        raise GaitloomError(f"{corrected[0]} began as {others[0].name}; save it in that layout.")
    about = found.get(f"{modality}.about.json")
    try:
        known = About.model_validate(json.loads(about.read_text("utf-8"))) if about else About()
    except (ValidationError, ValueError, OSError):
        raise GaitloomError(f"{about} is not valid; it holds base, annotator and reviewer, each a text.") from None
    return Corrections(corrected[0], found.get(f"{modality}.exported{ending}"), known)
