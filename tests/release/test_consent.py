"""Consent: what a row does not say was not agreed to, and a row that cannot be read stops the release."""

import subprocess
import sys
from pathlib import Path

import pytest
from gaitloom.errors import GaitloomError
from gaitloom.release import consent
from gaitloom.release.settings import TIERS

from release import people

ADULT = {"subject": "Berta", **people.AGREED}
CHILD = {**ADULT, "age": "9.5", "guardian": "yes", "assent": "yes", "adult_on": "2034-01-31"}


def of(folder: Path, row: dict[str, str]) -> consent.Consent:
    return consent.read(people.settings(folder, [row]))[row["subject"]]


def refused(folder: Path, row: dict[str, str], modality: str = "keypoints", tier: str = "registered") -> str:
    return of(folder, row).refuses(modality, tier, None)  # type: ignore[arg-type]


def test_who_agreed_to_all_is_in_every_tier_with_everything(tmp_path: Path) -> None:
    found = of(tmp_path, ADULT)
    assert [found.refuses(m, t, None) for t in TIERS for m in ("keypoints", "deidentified")] == [""] * 6


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"consent": ""}, "no consent"),
        ({"consent": "n/a"}, "no consent"),
        ({"consent": "no"}, "no consent"),
        ({"consent": "gait, silhouette"}, "no consent to keypoints"),
        ({"consent_scope": ""}, "controlled releases"),
        ({"consent_version": ""}, "version"),
        ({"ethics": "n/a"}, "ethics"),
        ({"consent_expires": "2026-11-20"}, "expired"),
        ({"age": ""}, "unknown age"),
        ({"age": "17.9"}, "guardian"),
        ({"adult_on": "2030-01-01"}, "guardian"),
    ],
)
def test_what_is_not_said_was_not_agreed_to(tmp_path: Path, changed: dict[str, str], reason: str) -> None:
    assert reason in refused(tmp_path, {**ADULT, **changed})
    assert refused(tmp_path, ADULT) == ""


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, ""),
        ({"guardian": ""}, "guardian"),
        ({"assent": "no"}, "assent"),
        ({"adult_on": ""}, "adult_on"),
        ({"adult_on": "2026-11-20"}, "not renewed"),
        ({"adult_on": "2026-01-31", "consent_renewed": "2026-01-30"}, "not renewed"),
        ({"adult_on": "2026-01-31", "consent_renewed": "2027-01-01"}, "not renewed"),  # after the release
        ({"adult_on": "2026-01-31", "consent_renewed": "2026-02-01"}, ""),
        ({"adult_on": "2026-01-31", "consent_renewed": "2026-02-01", "guardian": "", "assent": ""}, ""),
    ],
)
def test_children_need_guardian_assent_and_at_majority_renewal(
    tmp_path: Path, changed: dict[str, str], reason: str
) -> None:
    found = refused(tmp_path, {**CHILD, **changed})
    assert (reason in found) if reason else found == ""


@pytest.mark.parametrize("changed", [{"patient": "yes"}, {"patient": ""}, {"patient": "n/a"}, CHILD])
def test_patients_minors_and_who_may_be_start_at_registered(tmp_path: Path, changed: dict[str, str]) -> None:
    found = of(tmp_path, {**ADULT, **changed})
    assert "assessment" in found.refuses("keypoints", "open", None)
    assert found.refuses("keypoints", "open", "DPIA 2026/4") == found.refuses("keypoints", "registered", None) == ""


def test_a_scope_holds_for_the_tiers_behind_it(tmp_path: Path) -> None:
    found = of(tmp_path, {**ADULT, "consent_scope": "registered"})
    assert [bool(found.refuses("gait", t, None)) for t in TIERS] == [True, False, False]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"age": "nan"}, ("age", "'nan'")),
        ({"age": "inf"}, ("age", "'inf'")),
        ({"age": "340"}, ("age", "'340'")),
        ({"consent": "keypoint"}, ("consent", "'keypoint'", "keypoints")),
        ({"consent": "yes"}, ("consent", "'yes'", "all")),
        ({"consent_scope": "public"}, ("consent_scope", "'public'")),
        ({"patient": "maybe"}, ("patient", "'maybe'")),
        ({"consent_expires": "31.12.2030"}, ("consent_expires", "'31.12.2030'")),
        ({"subject": ""}, ("subject", "empty")),
    ],
)
def test_what_cannot_be_read_stops_the_release(tmp_path: Path, changed: dict[str, str], words: tuple[str, ...]) -> None:
    with pytest.raises(GaitloomError) as caught:
        consent.read(people.settings(tmp_path, [{**ADULT, "subject": "Carl"}, {**ADULT, **changed}]))
    assert all(word in str(caught.value) for word in ("participants.tsv row 3", *words))


def test_nobody_is_there_twice_in_whatever_case(tmp_path: Path) -> None:
    with pytest.raises(GaitloomError, match=r"row 3, column subject: 'BERTA' is there twice \(row 2\)"):
        consent.read(people.settings(tmp_path, [ADULT, {**ADULT, "subject": "BERTA", "consent": "no"}]))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name\tage\nBerta\t3\n", "no column 'subject'"),
        ("subject\tage\tage\nBerta\t3\t4\n", "'age' twice"),
        ("subject\tage\nBerta\n", "row 2 does not have 2 columns"),
        ("subject\tage\nBerta\t3\t4\n", "row 2 does not have 2 columns"),
        (b"subject\nB\xe4rbel\n", "UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_a_malformed_table_is_said(tmp_path: Path, text: str | bytes | None, fault: str) -> None:
    settings = people.settings(tmp_path, [ADULT])
    settings.participants.unlink()
    if text is not None:
        settings.participants.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(GaitloomError, match=fault):
        consent.read(settings)


def test_spaces_empty_lines_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    settings = people.settings(tmp_path, [ADULT])
    text = settings.participants.read_text().replace("Berta\t", " Berta \t")
    settings.participants.write_text("\ufeff" + text.replace("\n", "\r\n") + "\t" * 6 + "\n\n", newline="")
    assert list(consent.read(settings)) == ["Berta"]


def test_it_is_read_while_planning_so_it_needs_no_pandas() -> None:
    code = "import sys, gaitloom.release.consent; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
