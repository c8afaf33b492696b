"""What a laboratory releases, and to whom: the configuration's table `release`."""

import datetime
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from gaitloom.strict import Strict

TierName = Literal["open", "registered", "controlled"]
TIERS: tuple[TierName, ...] = ("open", "registered", "controlled")

# What each tier may hold unless the configuration says otherwise: skeletons and figures identify least, shapes and how
# they move more, pictures most.
MODALITIES: dict[TierName, tuple[str, ...]] = {
    "open": ("keypoints", "gait"),
    "registered": ("keypoints", "gait", "track", "silhouette", "parts", "flow"),
    "controlled": ("keypoints", "gait", "track", "silhouette", "parts", "flow", "deidentified"),
}
NEVER = ("faces", "video", "audit")  # who is where, the raw file's own stamps, and what gates found
EXPORTERS = ("zarr", "health_gait", "progait", "cgv", "opengait", "coco", "alphapose")

# Columns of participants, with the precision that each tier gives: as they are, or in bands that begin at these values.
Precision = Literal["exact"] | float | tuple[float, ...]
_BANDS: dict[str, Precision] = {
    "sex": "exact",
    "age": (0.0, 3.0, 6.0, 9.0, 12.0, 15.0, 18.0, 35.0, 50.0, 65.0, 80.0, 90.0),
    "bmi": (0.0, 18.5, 25.0, 30.0),
}
_FIVES: dict[str, Precision] = {
    "sex": "exact",
    "age": 5.0,
    "height_cm": 5.0,
    "weight_kg": 5.0,
    "bmi": (0.0, 18.5, 25.0, 30.0),
    "diagnosis": "exact",
}
_EXACT: dict[str, Precision] = dict.fromkeys(
    ("sex", "age", "height_cm", "weight_kg", "bmi", "diagnosis", "leg_length_cm"), "exact"
)
COLUMNS: dict[TierName, dict[str, Precision]] = {"open": _BANDS, "registered": _FIVES, "controlled": _EXACT}
K: dict[TierName, int] = {"open": 11, "registered": 5, "controlled": 5}
LICENCES: dict[TierName, str] = {"open": "CC-BY-4.0", "registered": "LicenseRef-DUA", "controlled": "LicenseRef-DUA"}


class Creator(Strict):
    """Who made the data set."""

    name: str = Field(description="Family name, given name.")
    affiliation: str | None = Field(None, description="Institution.")
    orcid: str | None = Field(None, pattern=r"^\d{4}-\d{4}-\d{4}-\d{3}[\dX]$", description="0000-0002-1825-0097.")


class Tier(Strict):
    """Who may have what, and how exactly."""

    modalities: tuple[str, ...] | None = Field(None, description="Modalities it may hold; the tier's own by default.")
    exporters: tuple[str, ...] = Field(("zarr",), description="Layouts in which it is given.")
    opengait_width: Literal[64, 44] = Field(
        64, description="Columns of OpenGait's silhouettes; SkeletonGait++ takes 44."
    )
    columns: dict[str, Precision] | None = Field(
        None,
        description="Columns of participants it may hold, and how precisely: `exact`, the width of bands, or where "
        "bands begin. The tier's own by default.",
    )
    clip_columns: tuple[str, ...] = Field(
        ("condition", "speed", "clothing", "footwear", "aid", "view"),
        description="Columns of the clip sheet that it may hold.",
    )
    labels: tuple[str, ...] = Field((), description="Label tables it may hold, by the names under release.labels.")
    k: int | None = Field(None, ge=1, description="Least size of a class of participants who look alike.")
    sensitive: tuple[str, ...] = Field(("diagnosis",), description="Columns whose diversity within classes is shown.")
    licence: str | None = Field(None, description="SPDX identifier of the licence; the tier's own by default.")
    terms: Path | None = Field(None, description="Your data-use text, where the one that we ship does not do.")
    assessment: str | None = Field(
        None, description="Names the assessment by which patients or minors may be in an open release."
    )
    health_gait_trials: bool = Field(
        False,
        description="Health&Gait's folders also name session, trial and camera, for several walks a condition and "
        "direction.",
    )

    @field_validator("exporters")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in EXPORTERS:
                raise ValueError(f"'{name}' is no exporter; choose from: {', '.join(EXPORTERS)}")
        return names


class Limits(Strict):
    """What the place of publication takes."""

    archive_bytes: int = Field(50_000_000_000, ge=1_000_000, description="Largest archive; larger ones are split.")
    files: int = Field(100, ge=20, description="Most files of one release.")


class Release(Strict):
    """One version of the data set. It is immutable once built: a change needs another version."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", description="Short name: lower case, digits, '-'.")
    title: str = Field(description="Title of the data set.")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$", description="Semantic version; new for each release.")
    date: datetime.date = Field(description="Date of publication; consents are judged as of this day.")
    description: str = Field(description="What it is, in a few sentences.")
    creators: tuple[Creator, ...] = Field(min_length=1, description="Who made it.")
    publisher: str = Field(description="The institution that publishes.")
    contact: str = Field(description="Address for questions and withdrawals.")
    url: str | None = Field(None, description="Where it will be found.")
    doi: str | None = Field(None, pattern=r"^10\.\d{4,9}/\S+$", description="DOI, where one is reserved.")
    keywords: tuple[str, ...] = Field(("gait", "human pose", "movement analysis"), description="Keywords.")
    participants: Path = Field(Path("config/participants.tsv"), description="The table of participants, with consent.")
    labels: dict[str, Path] = Field({}, description="Label tables by name: `evgs`, `progait`, or any other.")
    reference: Path | None = Field(None, description="Angles of a reference cohort, for Gait Variable Scores.")
    answers: Path | None = Field(
        None, description="Your own text for the datasheet, below headings such as `## motivation`."
    )
    keys: Path = Field(
        Path("config/release.key"),
        description="Keys of the pseudonyms, one a tier; made when first needed, never shared.",
    )
    majority: int = Field(18, ge=0, description="Age from which people consent for themselves.")
    tiers: dict[TierName, Tier] = Field(min_length=1, description="What each tier holds.")
    limits: Limits = Field(Limits(), description="Limits of the repository.")  # pyright: ignore[reportCallIssue]
    unaudited: Literal["refuse", "leave_out"] = Field(
        "refuse", description="What a clip whose pictures may not be released does: stops the release, or is left out."
    )

    @field_validator("labels")
    @classmethod
    def _names(cls, labels: dict[str, Path]) -> dict[str, Path]:
        for name in labels:
            if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name):
                raise ValueError(f"'{name}' is no name of a label table; use lower-case words joined by '_'")
        return labels

    @model_validator(mode="after")
    def _tiers_name_what_there_is(self) -> "Release":
        for name, tier in self.tiers.items():
            for label in tier.labels:
                if label not in self.labels:
                    raise ValueError(f"tiers.{name}.labels: '{label}' is not under release.labels; add its table there")
            for modality in tier.modalities or ():
                if modality in NEVER:
                    raise ValueError(f"tiers.{name}.modalities: {modality} never leaves the laboratory; remove it")
        return self

    def modalities(self, tier: TierName) -> tuple[str, ...]:
        """The modalities that a tier may hold."""
        chosen = self.tiers[tier].modalities
        return MODALITIES[tier] if chosen is None else chosen

    def columns(self, tier: TierName) -> dict[str, Precision]:
        """The columns of participants that a tier may hold, with their precision."""
        chosen = self.tiers[tier].columns
        return COLUMNS[tier] if chosen is None else chosen

    def k(self, tier: TierName) -> int:
        """The least size of a class of participants who look alike."""
        return self.tiers[tier].k or K[tier]

    def licence(self, tier: TierName) -> str:
        """The SPDX identifier of a tier's licence."""
        return self.tiers[tier].licence or LICENCES[tier]

    def folder(self, results: Path, tier: TierName, version: str | None = None) -> Path:
        """Where a release lies when it is built."""
        return results / "releases" / f"{self.name}-{version or self.version}-{tier}"
