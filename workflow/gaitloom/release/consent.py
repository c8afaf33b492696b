"""Who agreed to what: consent by subject and modality, as the table of participants says it. What it does not say, was
not agreed to."""

import csv
import datetime
import io
import math
from dataclasses import dataclass
from pathlib import Path

from gaitloom.errors import GaitloomError
from gaitloom.release.settings import MODALITIES, NEVER, TIERS, Release, TierName

ALL, MISSING = "all", "n/a"
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
KNOWN = (ALL, *MODALITIES["controlled"], *NEVER)
YES, NO = ("yes", "true", "1"), ("no", "false", "0")
OLDEST = 120  # years


@dataclass(frozen=True)
class Consent:
    """What one subject agreed to. `against` is why nothing of theirs may be released, "" where something may."""

    subject: str
    modalities: frozenset[str]
    scope: TierName
    protected: bool  # a patient or a minor, or nobody says that they are not
    against: str = ""

    def refuses(self, modality: str, tier: TierName, assessment: str | None) -> str:
        """Why a modality of theirs may not be in a tier; "" where it may. Patients and minors need an assessment to be
        in an open release."""
        if self.against:
            return self.against
        if TIERS.index(tier) < TIERS.index(self.scope):
            return f"consent is for {self.scope} releases, not for {tier} ones"
        if tier == "open" and self.protected and not assessment:
            return "patients and minors (or who may be) are in open releases only where an assessment is named"
        if modality not in self.modalities and ALL not in self.modalities:
            return f"no consent to {modality}"
        return ""


def read(settings: Release) -> dict[str, Consent]:
    """Subject → consent, from the table of participants, as of the day of the release.

    Raises:
        GaitloomError: the table is missing or malformed; the sentence names row, column and value.
    """
    consents: dict[str, Consent] = {}
    seen: dict[str, int] = {}  # names that differ in case alone have one pseudonym
    for number, row in rows(settings.participants, ("subject",), "release.participants"):
        where, subject = f"{settings.participants} row {number}", row["subject"]
        if not subject:
            raise GaitloomError(f"{where}, column subject: it is empty; name the subject as the clips do.")
        if (first := seen.setdefault(subject.casefold(), number)) != number:
            raise GaitloomError(f"{where}, column subject: '{subject}' is there twice (row {first}); remove one row.")
        consents[subject] = _consent(row, where, settings)
    return consents


def rows(path: Path, needed: tuple[str, ...], key: str) -> list[tuple[int, dict[str, str]]]:
    """The rows of a table written by hand, each with its line in the file: tab-separated, with a header. Values have
    single spaces, and "n/a" is empty; lines without a value are passed over. `key` is where the configuration names it.

    Raises:
        GaitloomError: it is not there, not text, a column is missing or there twice, or a row has another number of
            columns than the header.
    """
    try:
        table = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")), delimiter="\t")
    except OSError as error:
        raise GaitloomError(f"{path} cannot be read ({error.strerror}); correct {key} in the configuration.") from None
    except UnicodeDecodeError:
        raise GaitloomError(f"{path} is not UTF-8 text; save it as tab-separated text in UTF-8.") from None
    header = list(table.fieldnames or ())
    for column in needed:
        if column not in header:
            raise GaitloomError(f"{path} has no column '{column}'; add it, separated by tabs.")
    for column in header:
        if not column or header.count(column) > 1:
            fault = (
                f"has the column '{column}' twice; remove one." if column else "has a column without a name; name it."
            )
            raise GaitloomError(f"{path} {fault}")
    found = []
    for row in table:
        if None in row or None in row.values():
            raise GaitloomError(f"{path} row {table.line_num} does not have {len(header)} columns; check its tabs.")
        values = {k: " ".join(v.split()) for k, v in row.items()}
        if any(values.values()):
            found.append((table.line_num, {k: "" if v.casefold() == MISSING else v for k, v in values.items()}))
    return found


def _consent(row: dict[str, str], where: str, settings: Release) -> Consent:
    scope = row.get("consent_scope", "").casefold() or "controlled"
    if scope not in TIERS:
        raise GaitloomError(f"{where}, column consent_scope: '{scope}' is none of {', '.join(TIERS)}.")
    age, adult = _age(row, where), _date(row, "adult_on", where)
    # Of unknown age: as a minor. Of age only after the release: whatever the age says.
    minor = age is None or age < settings.majority or (adult is not None and adult > settings.date)
    patient = _yes(row, "patient", where)
    modalities = _modalities(row, where)
    against = _against(row, where, settings, minor, bool(modalities))
    return Consent(row["subject"], modalities, scope, minor or patient is not False, against)


def _against(row: dict[str, str], where: str, settings: Release, minor: bool, agreed: bool) -> str:
    expires, adult, renewed = (_date(row, c, where) for c in ("consent_expires", "adult_on", "consent_renewed"))
    guardian, assent = (_yes(row, c, where) for c in ("guardian", "assent"))
    if not agreed:
        return "no consent"
    if not row.get("consent_version"):
        return "no version of the consent form is named"
    if not row.get("ethics"):
        return "no ethics number is named"
    if expires is not None and expires <= settings.date:
        return f"consent expired on {expires}"
    if adult is not None and adult <= settings.date:
        if renewed is None or not adult <= renewed <= settings.date:
            return f"of age since {adult}, and consent not renewed"
        return ""  # their own, as an adult, stands for the guardian's
    if minor and not guardian:
        return "a minor (or of unknown age) without a guardian's consent"
    if minor and not assent:
        return "a minor (or of unknown age) without their own assent"
    if minor and adult is None:
        return "a minor (or of unknown age) without the date of coming of age (adult_on), when consent is to be renewed"
    return ""


def _modalities(row: dict[str, str], where: str) -> frozenset[str]:
    named = [m.strip().casefold() for m in row.get("consent", "").split(",") if m.strip()]
    if named in ([n] for n in NO):
        return frozenset()
    for modality in named:
        if modality not in KNOWN:
            raise GaitloomError(
                f"{where}, column consent: '{modality}' is no modality; write {', '.join(KNOWN)}, separated by commas, "
                "or no."
            )
    return frozenset(named)


def _yes(row: dict[str, str], column: str, where: str) -> bool | None:
    """None where it is empty."""
    value = row.get(column, "").casefold()
    if value and value not in (*YES, *NO):
        raise GaitloomError(f"{where}, column {column}: '{value}' is neither yes nor no.")
    return value in YES if value else None


def _date(row: dict[str, str], column: str, where: str) -> datetime.date | None:
    value = row.get(column, "")
    try:
        return datetime.date.fromisoformat(value) if value else None
    except ValueError:
        raise GaitloomError(f"{where}, column {column}: '{value}' is no date; write it as 2031-05-17.") from None


def _age(row: dict[str, str], where: str) -> float | None:
    value = row.get("age", "")
    try:
        age = float(value) if value else None
    except ValueError:
        age = math.nan
    if age is not None and not 0 <= age <= OLDEST:  # not a number, too: it is less than nothing
        raise GaitloomError(f"{where}, column age: '{value}' is not a number of years from 0 to {OLDEST}.")
    return age
