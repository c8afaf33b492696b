"""Which clips are validated, and what is told of them: as a tier has them, and no more."""

import json
from pathlib import Path
from typing import Any

import pytest
import validated
from gaitloom import config, split_files
from gaitloom.clips import Clip
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.release.evgs import ITEMS
from gaitloom.technical_validation.cases import Cases, populations

PEOPLE = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("validated")
    validated.lay(folder, PEOPLE)
    return folder


def planned(folder: Path, monkeypatch: pytest.MonkeyPatch, **release: Any) -> Plan:
    monkeypatch.chdir(folder)
    values = validated.values()
    values["release"] |= release
    values["clips"]["columns"] = ["speed"]
    return Plan.load(values, scan=True)


def test_a_tier_is_validated_with_its_own_nodes_and_columns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiers = {
        "open": {"k": 1, "modalities": ["gait", "keypoints"], "columns": {"sex": "exact"}},
        "controlled": {"k": 1, "labels": ["evgs"], "columns": {"age": "exact", "weight_kg": 20}},
    }
    table = folder / "participants.tsv"
    before = table.read_text()
    table.write_text(before.replace("\tregistered\t", "\topen\t", 3))  # the first three agree to an open release
    try:
        plan = planned(folder, monkeypatch, tiers=tiers)
        opened, controlled = (Cases.of(plan, p) for p in populations(plan))
        assert len(opened.clips) == 2 * 3 and len(controlled.clips) == 2 * PEOPLE
        assert opened.trials() == [("sex", "gait")], "no silhouettes, no weight, no scores in this tier"
        assert controlled.targets() == ["age", "weight_kg", "evgs"] and controlled.inputs() == ["gait", "silhouette"]
        (age,) = controlled.target("age", list(controlled.clips))
        assert age.classes == ("20", "21", "22", "23", "24", "25"), "few numbers are classes"
        (weight,) = controlled.target("weight_kg", list(controlled.clips))
        assert weight.classes == () and set(weight.values) == {50.0}, "the middle of the band 40-59"
    finally:
        table.write_text(before)


def test_scores_are_targets_leg_by_leg_and_several_raters_give_the_middle(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, table = list(ITEMS), folder / "evgs.tsv"
    before = table.read_text()
    rows = [["subject", "side", "rater", *items]]
    for rater, score in (("a", "0"), ("b", "2"), ("c", "2"), ("d", "ns")):
        rows += [[validated.subject(n), side, rater, *[score] * 17] for n in range(PEOPLE - 1) for side in "LR"]
    rows[1][3] = "1"  # rater a, the first subject's left leg, the first item: the middle of 1, 2, 2 is still 2
    table.write_text("".join("\t".join(row) + "\n" for row in rows))
    try:
        cases = Cases.of(planned(folder, monkeypatch), "registered")
        told = cases.target("evgs", list(cases.clips))
    finally:
        table.write_text(before)
    assert [t.name for t in told] == sorted(f"{i}_{leg}" for i in items for leg in ("left", "right"))
    for target in told:
        assert target.classes == ("2",)
        assert target.values.tolist() == [0] * 2 * (PEOPLE - 1) + [-1, -1], "nobody scored the last subject"


def test_the_scores_of_the_sample_are_those_that_were_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = Cases.of(planned(folder, monkeypatch), "registered")
    told = {t.name: t for t in cases.target("evgs", list(cases.clips))}
    assert told[f"{validated.TELLING}_left"].values.tolist() == [n % 2 for n in range(PEOPLE) for _ in "12"]
    assert told["TLT_right"].classes == ("0",)
    digest = cases.trial_digest("sex", "gait")
    assert digest == cases.trial_digest("sex", "gait") != cases.trial_digest("age", "gait")
    assert digest != cases.trial_digest("sex", "silhouette")


def test_without_a_release_the_sheet_says_what_there_is(tmp_path: Path) -> None:
    values = {**validated.values(targets=["speed", "sex"]), "results": tmp_path}
    del values["release"]
    clips = [
        Clip(validated.subject(n), trial=trial, sha256=f"{n}{trial}", extra={"speed": ("slow", "fast")[trial == "1"]})
        for n in range(PEOPLE)
        for trial in "12"
    ]
    plan = Plan(config.parse(values), clips)
    assert populations(plan) == ("all",)
    cases = Cases.of(plan, "all")
    assert cases.targets() == ["speed"] and len(cases.clips) == 2 * PEOPLE
    (speed,) = cases.target("speed", list(cases.clips))
    assert speed.classes == ("fast", "slow") and speed.values.tolist() == [0, 1] * PEOPLE
    with pytest.raises(GaitloomError, match="'sex' is no column and no label table of all"):
        cases.target("sex", list(cases.clips))
    with pytest.raises(GaitloomError, match="'open' is no population of the technical validation; there is: all"):
        Cases.of(plan, "open")


def test_splits_that_lack_somebody_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(folder, monkeypatch)
    cases, place = Cases.of(plan, "registered"), split_files.folder_of(plan)
    with pytest.raises(GaitloomError, match=r"There are no splits in results/splits; run `snakemake splits`"):
        cases.splits()
    place.mkdir(parents=True)
    parts = {
        "train": [validated.subject(n) for n in range(PEOPLE - 2)],
        "validation": [],
        "test": [validated.subject(5)],
    }
    (place / "partition_0.json").write_text(json.dumps(parts))
    with pytest.raises(GaitloomError, match="Subject Someone04 is in none of the splits"):
        cases.splits()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"splits": None}, r"technical_validation: it goes by the splits; add the table 'splits'"),
        ({"technical_validation": {"inputs": ["flow_tvl1"]}}, "'flow_tvl1' is no node here of gait, silhouette, parts"),
        ({"technical_validation": {"inputs": ["track"]}}, "'track' is no node here of gait, silhouette, parts"),
        ({"technical_validation": {"targets": ["../sex"]}}, r"technical_validation.targets.0: String should match"),
    ],
)
def test_settings_that_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(GaitloomError, match=reason):
        config.parse({**validated.values(), **changes})
