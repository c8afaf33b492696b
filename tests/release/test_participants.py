"""The table of participants: faults are named, and what leaves is what the tier allows, under other names."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from gaitloom.clips import Clip
from gaitloom.errors import GaitloomError
from gaitloom.release import participants
from gaitloom.release.dataset import Dataset

from release import people, sample

PERSON = {**people.AGREED, "sex": "F", "age": "34.5", "height_cm": "168.5", "weight_kg": "64.2"}
OPEN = {"tiers": {"open": {"k": 1}}}


def persons(*changed: dict[str, str]) -> list[dict[str, str]]:
    return [{"subject": f"Telling{n}", **PERSON, **row} for n, row in enumerate(changed)]


def dataset(folder: Path, rows: list[dict[str, str]], tier: Any = "controlled", **release: Any) -> Any:
    clips = [Clip(row["subject"], session="01", camera="sagittal") for row in rows]
    return people.dataset(folder, rows, clips, tier, **release)


def fault(folder: Path, *changed: dict[str, str]) -> str:
    with pytest.raises(GaitloomError) as caught:
        participants.read(people.settings(folder, persons({}, *changed)))
    return str(caught.value)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"height_cm": "1.75"}, ("column height_cm: '1.75'", "30 to 250 (cm)")),
        ({"height_cm": "1,75"}, ("column height_cm: '1,75'", "number")),
        ({"age": "340"}, ("column age: '340'", "years")),
        ({"weight_kg": "64200"}, ("column weight_kg: '64200'", "kg")),
        ({"weight_kg": "168.5", "height_cm": "64.2"}, ("column weight_kg: '168.5'", "height_cm")),
        ({"leg_length_cm": "0.9"}, ("column leg_length_cm: '0.9'", "cm")),
        ({"leg_length_cm": "150"}, ("column leg_length_cm: '150'", "too long")),
        ({"bmi": "26.6"}, ("column bmi: '26.6'", "height_cm²")),
        ({"sex": "f"}, ("column sex: 'f'", "F, M, O")),
        ({"subject": "telling0"}, ("column subject: 'telling0'", "twice")),
    ],
)
def test_a_fault_is_said_with_row_column_and_value(
    tmp_path: Path, changed: dict[str, str], words: tuple[str, ...]
) -> None:
    text = fault(tmp_path, changed)
    assert all(w in text for w in ("participants.tsv row 3", *words)) and "row 2," not in text and "\n" not in text


def test_the_first_few_faults_are_said_and_how_many_more(tmp_path: Path) -> None:
    text = fault(tmp_path, {"sex": "Q"}, {"height_cm": "1.8", "weight_kg": "x"}, {"sex": "W"}, {"sex": "D"})
    assert all(f"row {n}" in text for n in (3, 4)) and "row 5" not in text and text.endswith("and 2 more.")
    assert text.index("'Q'") < text.index("'1.8'") < text.index("'x'")


def test_bmi_is_derived_where_it_is_not_given(tmp_path: Path) -> None:
    rows = persons({}, {"bmi": "22.9"}, {"height_cm": ""}, {"height_cm": "n/a", "weight_kg": "", "bmi": "31"})
    found = participants.read(people.settings(tmp_path, rows))["bmi"]
    assert found.iloc[:2].tolist() == [22.6, 22.9]  # 64.2 / 1.685² = 22.61
    assert pd.isna(found.iloc[2]) and found.iloc[3] == 31


def test_an_open_release_holds_bands_alone(tmp_path: Path) -> None:
    rows = persons(
        {"age": "49.99"},
        {"age": "50", "sex": "n/a"},
        {"age": "90.1"},
        {"age": "2.9", "weight_kg": "14", "height_cm": "95"},
    )
    found = dataset(tmp_path, rows, "open", **OPEN)
    table = participants.released(found)
    by = {found.names.subject(row["subject"]): row for row in rows}
    assert set(table.index) == set(by) and list(table.index) == sorted(table.index)
    ages = {by[p]["age"]: told for p, told in table["age"].items()}
    assert ages == {"49.99": "35-49", "50": "50-64", "90.1": "90+", "2.9": "0-2"}
    assert list(table.columns) == ["sex", "age", "bmi"] and sorted(table["sex"]) == ["F", "F", "F", "n/a"]
    assert set(table["bmi"]) == {"18.5-24.9", "0-18.4"}


def test_a_controlled_release_is_exact_but_for_great_age(tmp_path: Path) -> None:
    table = participants.released(dataset(tmp_path, persons({"age": "89.9"}, {"age": "97"})))
    assert sorted(table["age"]) == ["89.9", "90+"] and set(table["height_cm"]) == {"168.5"}


@pytest.mark.parametrize("widths", [7.0, 20.0, (0.0, 18.0, 95.0)])
def test_no_band_parts_those_of_90_and_more(tmp_path: Path, widths: Any) -> None:
    rows = persons(*({"age": str(a)} for a in (90, 93, 97, 104)))
    tier = {"tiers": {"registered": {"k": 1, "columns": {"age": widths}}}}
    (told,) = set(participants.released(dataset(tmp_path, rows, "registered", **tier))["age"])
    assert told.endswith("+") and float(told[:-1]) <= 90


def test_files_name_nobody_explain_themselves_and_are_the_same_twice(tmp_path: Path) -> None:
    rows = persons({"family": "Muster", "site": "ward 3"}, {"family": "Muster"}, {"family": "Beispiel", "age": "70"})
    tier = {"columns": {"sex": "exact", "age": 10.0, "weight_kg": 5, "bmi": (18.5, 25.0), "family": "exact"}}
    tier["columns"] |= {"site": "exact", "diagnosis": "exact"}
    for row in rows:
        row["diagnosis"] = "hemiparesis"
    for turn in "ab":
        found = dataset(tmp_path, rows, "registered", tiers={"registered": {"k": 1, **tier}})
        participants.write(found, tmp_path / turn)
    texts = {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()}
    assert texts == {p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()} and len(texts) == 2
    assert not [w for w in (b"Telling", b"Muster", b"EK-77", b"34.5") if any(w in t for t in texts.values())]
    table = pd.read_csv(tmp_path / "a" / "participants.tsv", sep="\t", keep_default_na=False)
    about = json.loads(texts["participants.json"])
    assert list(about) == list(table.columns) == ["subject", *tier["columns"]]
    assert all({"LongName", "Description"} <= set(a) for a in about.values())
    assert about["weight_kg"]["Units"] == "kg" and about["age"]["Levels"]["30-39"] == "from 30, below 40"
    assert set(about["age"]["Levels"]) == set(table["age"]) and set(about["sex"]["Levels"]) == {"F", "M", "O"}
    assert table["family"].nunique() == 2 and sorted(table["site"]) == ["n/a", "n/a", "ward 3"]


def test_only_people_whom_the_tier_holds_are_in_it(tmp_path: Path) -> None:
    rows = persons({}, {}, {})
    held = people.dataset(tmp_path, rows, [Clip(rows[1]["subject"])])
    assert list(participants.released(held).index) == [held.names.subject("Telling1")]


def test_rows_without_clips_and_clips_without_rows_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = people.dataset(tmp_path, persons({}, {}), [Clip("Telling0")])
    found.plan.accepted["Nobody/clip"] = Clip("Nobody")
    participants.write(found, tmp_path)
    said = capsys.readouterr().err
    assert "have a row but no clip (Telling1)" in said and "have clips but no row: not released (Nobody)" in said


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"ethics": "exact"}, "ethics never leaves"),
        ({"subject": "exact"}, "subject never leaves"),
        ({"agee": "exact"}, "no column 'agee'"),
        ({"site": 5.0}, "row 2, column site: 'A' is not a number"),
        ({"sex": 5.0}, "row 2, column sex: 'F' is not a number"),
        ({"age": 0.0}, "width"),
        ({"age": (18.0, 3.0)}, "rising"),
    ],
)
def test_a_tier_that_asks_for_what_cannot_be_is_refused(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    found = dataset(tmp_path, persons({"site": "A"}), "registered", tiers={"registered": {"k": 1, "columns": columns}})
    with pytest.raises(GaitloomError, match=words):
        participants.released(found)


def test_a_column_of_numbers_that_is_nobody_elses_may_be_told_in_bands(tmp_path: Path) -> None:
    tier = {"registered": {"k": 2, "columns": {"waist_cm": 5.0, "leg_length_cm": "exact"}}}
    rows = persons(*({"waist_cm": w} for w in ("81", "84.9", "85", "n/a", "89", "")))
    table = participants.released(
        dataset(tmp_path, [{**r, "leg_length_cm": "80"} for r in rows], "registered", tiers=tier)
    )
    assert sorted(table["waist_cm"]) == ["80-84", "80-84", "85-89", "85-89", "n/a", "n/a"]


@pytest.mark.parametrize("text", ["like Telling1", "as told by TELLING1.", "seen 2024-05-17", "seen 17.5.2024"])
def test_text_that_names_somebody_or_a_day_is_refused(tmp_path: Path, text: str) -> None:
    rows = persons({"diagnosis": "spastic"}, {"diagnosis": text})
    with pytest.raises(GaitloomError, match="row 3, column diagnosis"):
        participants.released(dataset(tmp_path, rows))
    rows[1]["diagnosis"] = "stage 2024, GMFCS 2.5"
    participants.released(dataset(tmp_path, rows))


def test_two_subjects_of_one_pseudonym_are_refused(tmp_path: Path) -> None:
    found = people.dataset(tmp_path, persons({}), [Clip("Telling0"), Clip("TELLING0", session="02")])
    with pytest.raises(GaitloomError, match="one pseudonym"):
        participants.released(found)


def test_the_sample_is_released_in_every_tier(tmp_path: Path) -> None:
    plan = sample.plan(tmp_path)
    exact, fives, bands = (participants.released(Dataset.of(plan, t)) for t in ("controlled", "registered", "open"))
    assert sorted(exact["bmi"]) == ["22.6", "25.3"] and sorted(exact["age"]) == ["34.5", "61.2"]
    assert sorted(fives["height_cm"]) == ["165-169", "180-184"] and sorted(bands["age"]) == ["18-34", "50-64"]
    assert not {*exact.index} & {*fives.index} and len({*fives.index} | {*bands.index}) == 4
