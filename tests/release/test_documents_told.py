"""What documents of a release do not tell: small groups, reasons that name somebody, what else is only the
laboratory's."""

import dataclasses
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from gaitloom.clips import Clip
from gaitloom.plan import Plan
from gaitloom.release import consent, participants
from gaitloom.release.contents import Contents
from gaitloom.release.dataset import Dataset
from gaitloom.release.documents import completeness, facts, figures, told

from release import documented, people, sample
from release.documented import BERTA, CARL, keys, part, rows, written


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished sample in one folder; each test says who takes part."""
    return keys(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def of(lab: Path) -> Callable[..., Dataset]:
    """`documented.of` of the sample."""
    return partial(documented.of, lab)


def test_small_groups_are_told_by_nothing() -> None:
    random = np.random.default_rng(7)
    for _ in range(500):
        least = int(random.integers(1, 8))
        members = {f"g{n}": {f"{n}.{i}" for i in range(random.integers(1, 12))} for n in range(random.integers(1, 7))}
        shown, hidden = told.groups(members, least)
        assert all(len(members[name]) >= least for name in shown)
        assert hidden == set().union(*(m for name, m in members.items() if name not in shown))
        assert not hidden or len(hidden) >= least or not shown, "the rest is found by taking away"
        if all(len(m) >= least for m in members.values()):
            assert not hidden


def test_counts_of_people_are_in_bands_and_add_up() -> None:
    ages = ["34.5", "18", "17.9", "61", "62", "63", "90+", "n/a"]
    table = pd.DataFrame({"age": ages, "sex": list("FFFFFFFM")}, index=[f"P{n}" for n in range(8)])
    assert told.counts(table, "age", 1) == {"15-17": 1, "18-34": 2, "50-64": 3, "90+": 1, "n/a": 1}
    assert told.counts(table, "age", 2) == {"18-34": 2, "50-64": 3, told.OTHERS: 3}
    assert told.counts(table, "sex", 2) == {told.OTHERS: 8}, "M is 8 less the F"
    banded = pd.DataFrame({"age": ["5-9", "10-14", "<3", "90+"]}, index=list("abcd"))
    assert list(told.counts(banded, "age", 1)) == ["<3", "5-9", "10-14", "90+"]


def test_nothing_is_said_of_fewer_than_k(of: Any, tmp_path: Path) -> None:
    found = written(of(people={"diagnosis": ("rarum", "rarissimum")}, k=2), tmp_path / "r")
    assert "rarum" in (tmp_path / "r/data/participants.tsv").read_text()
    for column in ("sex", "age (years)", "bmi (kg/m²)", "diagnosis"):
        assert rows(found["STATISTICS.md"], column) == {told.OTHERS: ["2"]}
    assert not (tmp_path / "r/figures/people.png").exists()
    for name in set(found) - {"PRIVACY.md"}:  # which is about the smallest classes
        assert not re.search(r"rarum|rarissimum|18-34|34\.5", found[name]), name


def _walks() -> tuple[pd.DataFrame, dict[str, str]]:
    """Five people at one speed, two at another, one without a cadence."""
    random = np.random.default_rng(3)
    gait = [
        {"subject": f"P{n}", "condition": condition, "speed": 1 + 0.1 * n + shift + 0.01 * i, "cadence": 100.0 + n}
        for condition, count, shift in (("usual", 5, 0.0), ("fast", 2, 0.5))
        for n in range(count)
        for i in range(random.integers(1, 4))
    ]
    gait[0]["cadence"] = np.nan
    return pd.DataFrame(gait), {"speed": "m s-1", "cadence": "min-1"}


def test_gait_is_told_of_conditions_with_k_people() -> None:
    gait, units = _walks()
    told_of = {(r["parameter"], r["condition"]): r for r in told.by_condition(gait, units, 3)}
    assert set(told_of) == {("speed", "usual"), ("cadence", "usual")}
    usual = gait[gait["condition"] == "usual"]
    theirs = [np.mean(usual["speed"].to_numpy()[usual["subject"] == f"P{n}"]) for n in range(5)]
    assert told_of["speed", "usual"]["mean"] == pytest.approx(np.mean(theirs))
    assert told_of["speed", "usual"]["sd"] == pytest.approx(np.std(theirs, ddof=1))
    assert told_of["speed", "usual"]["people"] == 5 and told_of["speed", "usual"]["unit"] == "m s-1"
    assert {r["condition"] for r in told.by_condition(gait, units, 2)} == {"usual", "fast"}
    assert told.by_condition(pd.DataFrame(), {}, 1) == []


@pytest.fixture
def drawn(of: Any, tmp_path: Path) -> Callable[..., tuple[Path, dict[str, str]]]:
    """Draws figures of the sample with many more people, at k."""
    ages = [f"{20 + n * 1.5:g}" for n in range(40)]
    people = pd.DataFrame({"age": ages, "sex": ["F", "M"] * 19 + ["O", "F"]}, index=[f"P{n}" for n in range(40)])

    def draw(name: str, k: int = 3) -> tuple[Path, dict[str, str]]:
        dataset = of(k=k)
        held = tuple(part(dataset, e) for e in dataset.entries)
        (tmp_path / name / "data").mkdir(parents=True)
        participants.write(dataset, tmp_path / name / "data")
        contents = Contents(dataset, tmp_path / name, held, None)
        gait, units = _walks()
        split = {"train": list(people.index[:25]), "validation": [], "test": list(people.index[25:])}
        told_of = dataclasses.replace(
            facts.of(contents), people=people, gait=gait, units=units, splits=[split], classes=["age", "sex"]
        )
        return tmp_path / name / "figures", figures.write(contents, told_of)

    return draw


def test_figures_are_the_same_bytes_whatever_this_machine_prefers(drawn: Any) -> None:
    import matplotlib as mpl
    from PIL import Image

    first, captions = drawn("a")
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 20, "savefig.dpi": 30}):
        second, _ = drawn("b")
    names = {p.stem for p in first.iterdir()}
    assert names == {"frames", "valid", "people", "gait", "gait_by_age", "splits"}
    assert set(captions) == {f"figures/{p.name}" for p in first.iterdir()}
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()
        with Image.open(path) as image:
            assert set(image.info) <= {"dpi"}


def test_figures_show_no_small_group() -> None:
    from matplotlib.figure import Figure

    ages = pd.Series([f"{20 + n * 1.5:g}" for n in range(40)])
    table = pd.DataFrame({"age": ages, "sex": ["F", "M"] * 19 + ["O", "F"]}).rename(index="P{}".format)
    figure = Figure()
    figures._people(figure, cast(Any, None), cast(Any, mock.Mock(people=table)), 3)
    bars = [
        {
            label.get_text(): cast(Any, bar).get_height()
            for label, bar in zip(axes.get_xticklabels(), axes.patches, strict=True)
        }
        for axes in figure.axes
    ]
    assert bars[1] == {"F": 20, told.OTHERS: 20}, "O is one, and M what is left when F and O are known"
    counted = {"18-34": (ages.astype(float) < 35).sum(), "35-49": ages.astype(float).between(35, 49.9).sum()}
    assert {k: bars[0][k] for k in counted} == counted
    assert sum(bars[0].values()) == 40 and min(bars[0].values()) >= 3


def test_figures_of_gait_and_splits_say_how_many_and_show_no_few() -> None:
    from matplotlib.figure import Figure

    random, least = np.random.default_rng(2), 4
    names = [f"P{n}" for n in range(60)]
    table = pd.DataFrame({"age": [f"{a}" for a in random.integers(5, 60, 60)], "sex": list("FFM" * 20)}, index=names)
    gait = pd.DataFrame({"subject": names, "condition": ["NW"] * 57 + ["FW"] * 3, "speed": random.normal(1.3, 0.1, 60)})
    split = {"train": names[:30], "validation": names[30:45], "test": names[45:]}
    held = cast(
        Any, mock.Mock(people=table, gait=gait, units={"speed": "m s-1"}, splits=[split] * 2, classes=["sex", "age"])
    )
    figure = Figure()
    assert figures._gait(figure, cast(Any, None), held, least)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["NW (n = 57)"], "three alone are no condition"
    figure = Figure()
    assert figures._gait_by_age(figure, cast(Any, None), held, least)
    counts = [int(t.get_text()) for t in figure.axes[0].texts]
    assert counts and min(counts) >= least and (sum(counts) == 57 or 57 - sum(counts) >= least)
    figure = Figure()
    assert figures._splits(figure, cast(Any, None), held, least)
    sex = figure.axes[0]
    assert [t.get_text() for t in sex.get_yticklabels()][:3] == [
        "0 train (n = 30)",
        "0 validation (n = 15)",
        "0 test (n = 15)",
    ]
    shares = [100 * (table["sex"][split[part]] == v).mean() for v in "FM" for _ in range(2) for part in split]
    assert [cast(Any, bar).get_width() for bar in sex.patches] == pytest.approx(shares)
    held.classes = []  # of which nothing can be told
    figure = Figure()
    figures._splits(figure, cast(Any, None), held, least)
    assert [cast(Any, bar).get_width() for bar in figure.axes[0].patches] == [30, 15, 15] * 2


def test_why_clips_are_left_out_is_told_without_names_or_small_numbers(tmp_path: Path) -> None:
    clips = [Clip(f"Berta{n}Muster", session="20240517") for n in range(12)]
    clips += [Clip("Dora", video="dora.mp4", status="rejected", reason="dora.mp4 cannot be read")]
    dataset = people.dataset(tmp_path, [{**people.AGREED, "subject": c.subject} for c in clips], clips)
    reasons = [f"subject {c.subject} is not in {tmp_path}/participants.tsv" for c in clips[:5]]
    reasons += ["consent expired on 2024-05-17"] * 5 + ["of age since 2024-05-17, and consent not renewed"] * 2
    left = {c.path: reason for c, reason in zip(clips, reasons, strict=False)}
    dataset = dataclasses.replace(dataset, left_out={**left, f"{clips[0].path}/gait": "no consent to gait"})
    contents = Contents(dataset, tmp_path, (), None)
    with mock.patch.object(type(dataset.settings), "k", lambda *_: 5):
        found = completeness.left_out(contents)
        # Two, and one: fewer than five; with the five of one of the others, no longer.
        assert sorted(found.values()) == ["5 clips", "8 clips"] and completeness.VARIOUS in found
    with mock.patch.object(type(dataset.settings), "k", lambda *_: 20):
        assert completeness.left_out(contents) == {completeness.VARIOUS: "clips of fewer than 20 people"}
    with mock.patch.object(type(dataset.settings), "k", lambda *_: 1):
        found = completeness.left_out(contents)
    assert found == {
        "no row in the table of participants": "5 clips", "consent expired": "5 clips",
        "consent not renewed at majority": "2 clips", completeness.UNUSED: "1 clips",
    }  # fmt: skip
    assert not re.search(r"Berta|Dora|2024|participants\.tsv", str(found))


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"consent": "no"}, "no consent to this"),
        ({"consent": "keypoints"}, "no consent to this"),
        ({"consent_version": ""}, "no consent to this"),
        ({"ethics": ""}, "no consent to this"),
        ({"consent_expires": "2025-01-01"}, "consent expired"),
        ({"adult_on": "2025-01-01"}, "consent not renewed at majority"),
        ({"age": "9"}, "consent of a minor incomplete"),
        ({"age": "9", "guardian": "yes"}, "consent of a minor incomplete"),
        ({"age": "9", "guardian": "yes", "assent": "yes"}, "consent of a minor incomplete"),
        ({"patient": "yes"}, "patients and minors are not in this tier"),
        ({"consent_scope": "registered"}, "no consent to this"),
    ],
)
def test_each_reason_that_consent_gives_has_its_kind(tmp_path: Path, row: dict[str, str], kind: str) -> None:
    settings = people.settings(tmp_path, [{**people.AGREED, "subject": BERTA, **row}])
    reason = consent.read(settings)[BERTA].refuses("gait", "open", None)
    assert reason and completeness.kind(reason) == kind


def test_who_has_no_row_is_a_number(lab: Path, of: Any, tmp_path: Path) -> None:
    found = written(of(people={"subject": (BERTA, "SomebodyElse")}), tmp_path / "r")
    last = found["COMPLETENESS.tsv"].splitlines()[-1].split("\t")
    assert last == ["n/a", "2 clips", "all", "not in this release: no row in the table of participants"]
    assert "2 clips (no row in the table of participants)" in found["DATASHEET.md"]
    everything = "".join(found.values()).casefold()
    for secret in (BERTA, CARL, "somebodyelse", sample.SESSION, str(lab)):
        assert secret.casefold() not in everything


def test_what_became_of_each_clip_is_told_apart(of: Any, tmp_path: Path) -> None:
    """Held, withheld by an audit, not consented, withdrawn, not made."""
    dataset = of(people={"consent": ("all", "keypoints, gait, deidentified")})
    names = {e.clip.path: (e.subject, e.name) for e in dataset.entries}
    first, second = (p for p in names if p.startswith(BERTA))
    lacks = {first: {"flow_dis", "deidentified"}, second: {"parts"}}

    def change(contents: Contents) -> None:
        pairs = [(lacks.get(e.clip.path, set()), p) for e, p in zip(dataset.entries, contents.parts, strict=True)]
        contents.parts = tuple(
            dataclasses.replace(
                p, nodes=tuple(n for n in p.nodes if n not in gone), withheld=("red",) * ("deidentified" in gone)
            )
            for gone, p in pairs
        )

    with mock.patch.object(Plan, "withheld", lambda _, path: ["flow_dis"] if path == first else []):
        found = written(dataset, tmp_path / "r", change)
    ledger = {tuple(r.split("\t")[:3]): r.split("\t")[3] for r in found["COMPLETENESS.tsv"].splitlines()[1:]}
    assert len(ledger) == 4 * 7
    odd = {k: v for k, v in ledger.items() if v != "released"}
    assert odd == {
        (*names[first], "flow"): "not consented",
        (*names[first], "deidentified"): "withheld: its audit does not allow it",
        (*names[second], "parts"): "not made",
        **{(*names[p], m): "not consented" for p in names if p.startswith(CARL)
           for m in ("flow", "parts", "silhouette", "track")},
    }  # fmt: skip
    assert "Pictures of 1 clips are withheld" in found["README.md"]
    assert found["DEIDENTIFICATION.md"].startswith("# De-identification\n\nPictures of 3 clips are released")
    assert rows(found["STATISTICS.md"], "node")["`track`"][0] == "2"
