"""Who agreed to what: consent by subject and modality, as the table of participants says it. What it does not say, was
not agreed to."""

import csv
import datetime
from dataclasses import dataclass
from pathlib import Path

from gaitloom.errors import GaitloomError
from gaitloom.release.settings import TIERS, Release, TierName

ALL = "all"
COLUMNS = (
    "consent",
    "consent_scope",
    "consent_version",
    "consent_expires",
    "consent_renewed",
    "adult_on",
    "guardian",
    "assent",
    "ethics",
)
YES, NO = ("yes", "true", "1"), ("", "no", "false", "0")


@dataclass(frozen=True)
class Consent:
    """What one subject agreed to. `against` is why nothing of theirs may be released, "" where something may."""

    subject: str
    modalities: frozenset[str]
    scope: TierName
    protected: bool  # a patient or a minor
    against: str = ""

    def refuses(self, modality: str, tier: TierName, assessment: str | None) -> str:
        """Why a modality of theirs may not be in a tier; "" where it may. Patients and minors need an assessment to be
        in an open release."""
        if self.against:
            return self.against
        if TIERS.index(tier) < TIERS.index(self.scope):
            return f"consent is for {self.scope} releases, not for {tier} ones"
        if tier == "open" and self.protected and not assessment:
            return "patients and minors are in open releases only where an assessment is named"
        if modality not in self.modalities and ALL not in self.modalities:
            return f"no consent to {modality}"
        return ""


def read(settings: Release) -> dict[str, Consent]:
    """Subject → consent, from the table of participants, as of the day of the release.

    Raises:
        GaitloomError: the table is missing or malformed; the sentence names row, column and value.
    """
    consents: dict[str, Consent] = {}
    for where, row in rows(settings.participants):
        subject = row["subject"]
        if subject in consents:
            raise GaitloomError(f"{where}, column subject: '{subject}' is there twice; remove one row.")
        consents[subject] = _consent(row, where, settings)
    return consents


def rows(path: Path) -> list[tuple[str, dict[str, str]]]:
    """The rows of the table of participants, stripped, each with where it stands: tab-separated, with a header that
    has `subject`.

    Raises:
        GaitloomError: it is not there, not text, or a row has another number of columns than the header.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, delimiter="\t")
            if "subject" not in (table.fieldnames or ()):
                raise GaitloomError(f"{path} has no column 'subject'; add it, separated by tabs.")
            found = []
            for row in table:
                where = f"{path} row {table.line_num}"
                if None in row or None in row.values():
                    raise GaitloomError(f"{where} does not have {len(table.fieldnames or ())} columns; check its tabs.")
                found.append((where, {k: v.strip() for k, v in row.items()}))
            return found
    except OSError as error:
        raise GaitloomError(
            f"{path} cannot be read ({error.strerror}); correct release.participants in the configuration."
        ) from None
    except UnicodeDecodeError:
        raise GaitloomError(f"{path} is not UTF-8 text; save it as tab-separated text in UTF-8.") from None


def _consent(row: dict[str, str], where: str, settings: Release) -> Consent:
    modalities = frozenset(m.strip() for m in row.get("consent", "").split(",") if m.strip())
    scope = row.get("consent_scope", "") or "controlled"
    if scope not in TIERS:
        raise GaitloomError(f"{where}, column consent_scope: '{scope}' is none of {', '.join(TIERS)}.")
    age = _number(row, "age", where)
    minor = age is None or age < settings.majority  # of unknown age: as a minor
    protected = minor or _yes(row, "patient", where)
    return Consent(
        row["subject"], modalities, scope, protected, _against(row, where, settings, minor, bool(modalities))
    )


def _against(row: dict[str, str], where: str, settings: Release, minor: bool, agreed: bool) -> str:
    expires, adult, renewed = (_date(row, c, where) for c in ("consent_expires", "adult_on", "consent_renewed"))
    if not agreed:
        return "no consent"
    if not row.get("consent_version"):
        return "no version of the consent form is named"
    if not row.get("ethics"):
        return "no ethics number is named"
    if expires is not None and expires <= settings.date:
        return f"consent expired on {expires}"
    if minor and not _yes(row, "guardian", where):
        return "a minor (or of unknown age) without a guardian's consent"
    if minor and not _yes(row, "assent", where):
        return "a minor (or of unknown age) without their own assent"
    if adult is not None and adult <= settings.date and (renewed is None or renewed < adult):
        return f"of age since {adult}, and consent not renewed"
    return ""


def _yes(row: dict[str, str], column: str, where: str) -> bool:
    value = row.get(column, "").lower()
    if value not in (*YES, *NO):
        raise GaitloomError(f"{where}, column {column}: '{value}' is neither yes nor no.")
    return value in YES


def _date(row: dict[str, str], column: str, where: str) -> datetime.date | None:
    value = row.get(column, "")
    try:
        return datetime.date.fromisoformat(value) if value else None
    except ValueError:
        raise GaitloomError(f"{where}, column {column}: '{value}' is no date; write it as 2031-05-17.") from None


def _number(row: dict[str, str], column: str, where: str) -> float | None:
    value = row.get(column, "")
    try:
        return float(value) if value else None
    except ValueError:
        raise GaitloomError(f"{where}, column {column}: '{value}' is not a number.") from None
