"""Gait in a release: its table against sums made by hand, Health&Gait's tables, and what may not be there."""

import json
import math
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gaitloom.gait.summary import PARAMETERS, SIDES
from gaitloom.plan import Plan
from gaitloom.release import build, gait, parts, tier_check, verify
from gaitloom.release.contents import Contents
from gaitloom.release.dataset import Dataset
from gaitloom.release.documents import told
from gaitloom.release.exporters import find

from release import leaks, sample
from release.documented import keys, rows
from release.gaits import Known, plant

BERTA, CARL = sample.SUBJECTS
# Of the first subject's two walks, one at usual speed and one fast, and of a second usual one of another scale's.
USUAL: Known = {
    "speed": (1.25, 0.05, 6),
    "step_length": (0.625, 0.02, 7),
    "stride_length": (1.25, 0.03, 6),
    "cadence": (120.0, 3.0, 7),
    "single_support": (0.41, 0.02, 6),
    "double_support": (0.21, 0.03, 6),
}
FAST: Known = {"speed": (1.75, 0.1, 5), "cadence": (140.0, 4.0, 5)}
THEIRS: Known = {"speed": (1.2, 0.04, 4), "step_length": (0.6, 0.01, 4), "cadence": (118.0, 2.0, 4)}
TIERS = {"controlled": {"k": 1, "exporters": ["zarr", "health_gait"]}, "open": {"k": 1}}
NODES = {"gait_health_gait": {"backend": "health_gait"}}
TOLD = "by the body height the walker is 1.83 m tall; correct the camera"


def place(plan: Plan, subject: str, speed: str) -> str:
    (path,) = (p for p, c in plan.accepted.items() if c.subject == subject and c.extra["speed"] == speed)
    return path


def planted(folder: Path, **release: Any) -> Plan:
    """The sample, in which one walks as above, and the other has gait that nobody could measure."""
    plan = sample.plan(keys(folder), NODES, **{"tiers": TIERS, **release})
    for node, usual in (("gait", USUAL), ("gait_health_gait", THEIRS)):
        plant(plan, place(plan, BERTA, "NW"), node, usual)
        plant(plan, place(plan, BERTA, "FW"), node, FAST)
        for speed in ("NW", "FW"):
            plant(plan, place(plan, CARL, speed), node, {}, "none", TOLD)
    return plan


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return planted(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def release(plan: Plan) -> Contents:
    for path in plan.parts("controlled"):
        parts.make(plan, path, "controlled")
    target, dataset = build.build(plan, "controlled"), Dataset.of(plan, "controlled")
    return Contents(dataset, target, build._parts(dataset), None)


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "data/gait.tsv", sep="\t", dtype="str", keep_default_na=False)


def test_every_parameter_stands_in_its_row_under_released_names(release: Contents) -> None:
    found, names = table(release.folder), release.dataset.names
    assert list(found.columns) == list(gait.COLUMNS) == list(json.loads((release.data / "gait.json").read_text()))
    mine: Any = found[found["subject"] == names.subject(BERTA)].set_index(["node", "condition", "parameter"])
    for node, condition, known in (
        ("gait", "NW", USUAL),
        ("gait", "FW", FAST),
        ("gait_health_gait", "NW", THEIRS),
        ("gait_health_gait", "FW", FAST),
    ):
        for parameter, unit in PARAMETERS.items():
            row = mine.loc[node, condition, parameter]
            mean, sd, n = known.get(parameter, (math.nan, math.nan, 0))
            assert (row["side"], row["unit"], row["n"]) == ("both", unit, str(n))
            if n:
                assert [float(row[c]) for c in ("mean", "sd")] == pytest.approx([mean, sd])
                assert (row["clips"], row["scale"], row["reason"]) == ("1", "walkway", "n/a")
            else:
                assert (row["mean"], row["sd"], row["clips"], row["reason"]) == ("n/a", "n/a", "0", "not seen")
    assert set(found["subject"]) == {names.subject(s) for s in sample.SUBJECTS}
    clips = pd.read_csv(release.data / "clips.tsv", sep="\t")
    assert set(found["session"]) == {c.split("_")[0] for c in clips["clip"]}
    assert sample.SESSION not in (release.data / "gait.tsv").read_text()


def test_a_height_in_a_reason_is_not_told(release: Contents) -> None:
    text = (release.data / "gait.tsv").read_text()
    assert "tall" not in text and "1.83" not in text and "its scale is not known well enough" in text


def test_walks_of_one_condition_are_pooled_over_their_steps(tmp_path: Path) -> None:
    """Without a column of the speed, both walks are one condition: means weighted by steps, spread over all steps."""
    tiers = {"controlled": {"k": 1, "clip_columns": []}}
    dataset = Dataset.of(planted(tmp_path, tiers=tiers), "controlled")
    mine = gait.released(dataset).loc[dataset.names.subject(BERTA)]
    row = mine[(mine["node"] == "gait") & (mine["parameter"] == "speed")].iloc[0]
    # Six steps and five with exactly these means and spreads.
    steps = np.concatenate([1.25 + 0.05 * unit(6), 1.75 + 0.1 * unit(5)])
    assert (row["condition"], row["n"], row["clips"]) == ("n/a", "11", "2")
    assert float(row["mean"]) == pytest.approx(steps.mean(), rel=1e-5)
    assert float(row["sd"]) == pytest.approx(steps.std(ddof=1), rel=1e-5)


def unit(n: int) -> np.ndarray:
    """(n,) numbers with mean 0 and standard deviation 1."""
    values = np.arange(n) - (n - 1) / 2
    return values / values.std(ddof=1)


def test_every_column_of_health_gaits_tables_is_from_its_node(release: Contents, tmp_path: Path) -> None:
    with zipfile.ZipFile(release.data / "health_gait_data.zip") as archive:
        archive.extractall(tmp_path)
    names = release.dataset.names
    for name, usual in (("gait_parameters", USUAL), ("gait_parameters_estimation", THEIRS)):
        found: Any = pd.read_csv(tmp_path / f"{name}.csv").set_index("ID")
        mine = found.loc[names.subject(BERTA)].dropna()
        expected = {}
        for group, known in (("UGS", usual), ("FGS", FAST)):
            for theirs, ours, factor in (
                ("Step", "step_length", 100), ("Stride", "stride_length", 100), ("Cadence", "cadence", 1),
                ("MonoSP", "single_support", 1), ("BiSP", "double_support", 1), ("Speed", "speed", 1),
                ("Velocity", "speed", 1),
            ):  # fmt: skip
                if ours in known:
                    expected[f"{theirs}_{group}"] = known[ours][0] * factor
        assert mine.to_dict() == pytest.approx(expected)
        assert found.loc[names.subject(CARL)].isna().all(), "nothing could be measured"
    assert not {"MonoSP_UGS", "BiSP_FGS"} & set(pd.read_csv(tmp_path / "gait_parameters_estimation.csv").columns)


def test_the_sidecar_knows_every_parameter_and_side() -> None:
    assert set(gait.ABOUT["parameter"]["Levels"]) == set(PARAMETERS)
    assert set(gait.ABOUT["side"]["Levels"]) == set(SIDES)


def test_gait_that_the_tier_may_not_hold_is_not_in_the_table(tmp_path: Path) -> None:
    """Of whom did not agree to it; where the height would be its scale; in a tier without."""
    lab = planted(tmp_path / "lab").config.results.parent
    sample.participants(lab, consent=("all", "keypoints, track"), consent_scope=("open", "open"))
    dataset = Dataset.of(sample.plan(lab, NODES, tiers=TIERS), "controlled")
    assert set(gait.released(dataset).index) == {dataset.names.subject(BERTA)}
    gait.write(dataset, tmp_path)
    assert dataset.names.subject(CARL) not in (tmp_path / "gait.tsv").read_text()
    without = sample.plan(lab, NODES, tiers={"controlled": {"k": 1, "modalities": ["keypoints"]}})
    gait.write(Dataset.of(without, "controlled"), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_gait_scaled_by_the_height_is_not_in_the_table_of_a_tier_without_heights(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled = place(plan, BERTA, "NW")
    known = Plan.recipes

    def recipes(self: Plan, clip: Any) -> Any:
        found = known(self, clip)
        if clip.path == scaled:
            found = {**found, "gait": {**found["gait"], "scene": {"camera": {}, "height_cm": "168.5"}}}
        return found

    monkeypatch.setattr(Plan, "recipes", recipes)
    for tier, held in (("open", {"FW"}), ("controlled", {"NW", "FW"})):
        dataset = Dataset.of(plan, tier)  # type: ignore[arg-type]
        mine = gait.released(dataset).loc[[dataset.names.subject(BERTA)]]
        assert set(mine["condition"][mine["node"] == "gait"]) == held
        assert set(mine["condition"][mine["node"] == "gait_health_gait"]) == {"NW", "FW"}


def of_a_node_that_is_withheld(contents: Contents) -> str:
    """Gait of somebody by a node that the tier does not hold of them."""
    path = contents.data / "gait.tsv"
    path.write_text(path.read_text().replace("\tgait\t", "\tgait_strict\t", 1))
    return r"data/gait\.tsv has 'gait_strict' of P\w{8}, which the tier does not hold"


def by_no_gait(contents: Contents) -> str:
    path = contents.data / "gait.tsv"
    path.write_text(path.read_text().replace("\tgait\t", "\tkeypoints\t", 1))
    return r"data/gait\.tsv has 'keypoints' of P\w{8}, which the tier does not hold"


def of_somebody_else(contents: Contents) -> str:
    path = contents.data / "gait.tsv"
    last = path.read_text().splitlines()[-1].split("\t")
    path.write_text(path.read_text() + "\t".join(["PABCDEFGH", *last[1:]]) + "\n")
    return r"data/gait\.tsv has a row of 'PABCDEFGH', nobody whom the tier holds"


def one_column_more(contents: Contents) -> str:
    path = contents.data / "gait.tsv"
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{head}\tpain", *(f"{line}\t3" for line in lines)]) + "\n")
    return r"data/gait\.tsv has the column 'pain', which is none of its own"


def a_real_name(contents: Contents) -> str:
    path = contents.data / "gait.tsv"
    path.write_text(path.read_text().replace("its scale", f"{BERTA}'s scale", 1))
    return rf"data/gait\.tsv holds '{BERTA.lower()}', a subject's name"


@pytest.fixture
def copy(release: Contents, tmp_path: Path) -> Iterator[Contents]:
    yield leaks.copied(release, tmp_path / "copy")


@pytest.mark.parametrize(
    "fault", [of_a_node_that_is_withheld, by_no_gait, of_somebody_else, one_column_more, a_real_name]
)
def test_a_planted_fault_is_found(copy: Contents, fault: leaks.Leak) -> None:
    sentence = fault(copy)
    assert any(re.search(sentence, str(f)) for f in tier_check.findings(copy))
    if fault is not a_real_name:  # which only the laboratory knows
        leaks.remake(copy)
        assert any(re.search(sentence, f) for f in verify.verify(copy.folder))


def test_a_laboratory_may_call_its_own_columns_as_the_table_does(copy: Contents) -> None:
    """A column `side` of the participants that the tier may not have is not this one, and not in other tables."""
    sample.participants(copy.dataset.plan.config.results.parent, side=("left", "right"), reason=("fall", "none"))
    try:
        holdings = tier_check.rules_of(copy).holdings
        assert {"side", "reason"} <= holdings.forbidden
        assert [str(f) for f in tier_check.findings(copy) if f.archive.startswith("data/gait.")] == []
        data = (copy.data / "gait.tsv").read_bytes()
        assert any("the column 'side'" in f for f in holdings.in_table("data/labels/gait.tsv", data))
    finally:
        sample.participants(copy.dataset.plan.config.results.parent)


def test_the_card_and_the_statistics_tell_of_it(release: Contents) -> None:
    found = (release.folder / "STATISTICS.md").read_text()
    by_age = rows(found, "parameter and condition")
    assert by_age["speed, NW"] == ["18-34", "1", "1", "1.25", "n/a", "m s-1"]
    assert by_age["cadence, FW"] == ["18-34", "1", "1", "140", "n/a", "min-1"]
    card = (release.folder / "README.md").read_text()
    assert "data/gait.tsv" in card and "(figures/gait_by_age.png)" in card and "(figures/gait.png)" in card
    croissant = json.loads((release.folder / "croissant.json").read_text())
    (fields,) = (s["field"] for s in croissant["recordSet"] if s["@id"] == "gait")
    assert {f["name"]: f["dataType"] for f in fields}["mean"] == "sc:Float"
    assert all(f["description"] != f["name"] for f in fields)


def test_layouts_without_a_place_for_gait_invent_none(release: Contents, tmp_path: Path) -> None:
    """COCO, AlphaPose, CGV, ProGait and OpenGait hold pictures and points: nothing of their files is called gait."""
    for name in ("coco", "alphapose", "cgv", "progait", "opengait"):
        folder = tmp_path / name
        folder.mkdir()
        exporter = find(name)
        for source in release.dataset.sources():
            exporter.clip(source, folder)
        exporter.dataset(release.dataset, folder)
        for path in (p for p in folder.rglob("*") if p.is_file()):
            assert "gait" not in path.relative_to(folder).as_posix() and b"step_length" not in path.read_bytes()


def test_no_age_band_of_few_follows_from_the_others() -> None:
    """Of 150 random tables: told bands have k people, and those that are not told are k together, or nobody."""
    random = np.random.default_rng(11)
    for _ in range(150):
        least, n = int(random.integers(2, 8)), int(random.integers(5, 60))
        names = [f"P{i}" for i in range(n)]
        people = pd.DataFrame({"age": [f"{a}" for a in random.integers(4, 70, n)]}, index=names)
        clips = pd.DataFrame({"subject": random.choice(names, 2 * n), "condition": "NW"})
        clips["speed"] = np.where(random.random(2 * n) < 0.1, np.nan, random.normal(1, 0.1, 2 * n))
        units = {"speed": "m s-1"}
        whole = told.by_condition(clips, units, least)
        bands = told.by_age(clips, units, people, least)
        assert all(row["people"] >= least for row in bands)
        if bands:
            rest = whole[0]["people"] - sum(row["people"] for row in bands)
            assert rest == 0 or rest >= least
        for row in bands:
            low, high = (float(v) for v in row["age"].split("-"))
            theirs = [s for s in names if low <= float(people["age"][s]) < high + 1]
            mean = clips[clips["subject"].isin(theirs)].groupby("subject")["speed"].mean().mean()
            assert row["mean"] == pytest.approx(mean)
