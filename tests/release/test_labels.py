"""Label tables: faults are named, agreement is what its definition says, and nobody's name leaves with them."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gaitloom.clips import Clip
from gaitloom.errors import GaitloomError
from gaitloom.gait.angles import CYCLE_NAMES
from gaitloom.release import evgs, gvs, labels
from gaitloom.release.dataset import Dataset

from release import people

SUBJECTS = ("BertaMuster", "CarlBeispiel")
SESSION = "20240517"
CLIPS = [Clip(s, session=SESSION, trial=t, camera="sagittal") for s in SUBJECTS for t in ("1", "2")]
LEG = {"subject": "BertaMuster", "session": SESSION, "side": "L", "rater": "DrHouse", "round": "1"}
TEXT = {"subject": "BertaMuster", "session": SESSION, "trial": "1", "category": "4", "deviation": "stiff knee"}
TEXT |= {"adjustment": "less resistance", "reason": "it trips", "other": "short"}


def scored(values: str = "0" * 17) -> dict[str, str]:
    """An item a character; 's' is not scorable, '-' empty."""
    return {item: {"s": "ns", "-": ""}.get(v, v) for item, v in zip(evgs.ITEMS, values, strict=True)}


def dataset(folder: Path, rows: list[dict[str, str]], name: str = "evgs", clips: Any = CLIPS, **tier: Any) -> Dataset:
    table = people.table(folder / f"{name}.tsv", rows)
    participants = [{"subject": s, **people.AGREED} for s in SUBJECTS]
    release = {"labels": {name: table}, "tiers": {"controlled": {"labels": (name,), **tier}}}
    return people.dataset(folder, participants, clips, **release)


def test_items_are_summed_made_binary_and_rated(tmp_path: Path) -> None:
    rows = [
        {**LEG, **scored("0" * 17)},
        {**LEG, "side": "R", **scored("2" + "1" * 3 + "0" * 13)},
        {**LEG, "subject": "CarlBeispiel", **scored("s-1" + "0" * 14)},
    ]
    found = dataset(tmp_path, rows)
    table = labels.released(found, "evgs").reset_index()
    berta, carl = (found.names.subject(s) for s in SUBJECTS)
    by = {(r["subject"], r["side"]): r for _, r in table.iterrows()}
    left, right, other = by[berta, "L"], by[berta, "R"], by[carl, "L"]
    assert (left["total"], left["severity"], left["scored"]) == (0, "typical", "17")
    assert (right["total"], right["severity"]) == (5, "marked")
    assert pd.isna(other["total"]) and pd.isna(other["severity"]) and other["scored"] == "15"
    assert right[[f"{c}_atypical" for c in list(evgs.ITEMS)[:5]]].tolist() == [1, 1, 1, 1, 0]
    assert pd.isna(other["IC_atypical"]) and pd.isna(other["HL_atypical"]) and other["SAD_atypical"] == 1
    assert other["IC"] == "ns" and pd.isna(other["HL"])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"KFX": "3"}, ("row 3, column KFX: '3'", "0, 1, 2, ns")),
        ({"side": "left"}, ("row 3, column side: 'left'", "L, R")),
        ({"side": ""}, ("row 3, column side", "empty")),
        ({"subject": ""}, ("row 3, column subject", "empty")),
        ({"round": "0"}, ("row 3, column round: '0'",)),
        ({"side": "L"}, ("row 3, column subject: 'BertaMuster' is there twice with the same session, side",)),
    ],
)
def test_a_fault_is_said_with_row_column_and_value(
    tmp_path: Path, changed: dict[str, str], words: tuple[str, ...]
) -> None:
    found = dataset(tmp_path, [{**LEG, **scored()}, {**LEG, "side": "R", **scored(), **changed}])
    with pytest.raises(GaitloomError) as caught:
        labels.released(found, "evgs")
    assert all(w in str(caught.value) for w in ("evgs.tsv", *words))


def confused(first: np.ndarray, second: np.ndarray, power: int) -> float:
    """Weighted kappa by the matrix of counts."""
    counts = np.zeros((3, 3))
    for a, b in zip(first, second, strict=True):
        counts[int(a), int(b)] += 1
    weights = np.abs(np.subtract.outer(np.arange(3), np.arange(3))) ** power
    chance = np.outer(counts.sum(1), counts.sum(0)) / counts.sum()
    return float(1 - (weights * counts).sum() / (weights * chance).sum())


def test_weighted_kappa_is_what_its_definitions_say() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        first = rng.integers(0, 3, 30).astype(float)
        second = np.where(rng.random(30) < 0.6, first, rng.integers(0, 3, 30))
        for power in (1, 2):
            assert evgs.weighted_kappa(first, second, power) == pytest.approx(confused(first, second, power))
        # Quadratic weights: the concordance correlation (Fleiss & Cohen 1973; Lin 1989).
        spread = first.var() + second.var() + (first.mean() - second.mean()) ** 2
        concordance = 2 * np.cov(first, second, ddof=0)[0, 1] / spread
        assert evgs.weighted_kappa(first, second, 2) == pytest.approx(concordance)
    same = np.ones(5)
    assert np.isnan(evgs.weighted_kappa(same, same, 1)) and np.isnan(evgs.weighted_kappa(same[:0], same[:0], 1))


def test_agreement_of_raters_and_rounds_is_written_by_item(tmp_path: Path) -> None:
    rng, clips, rows = np.random.default_rng(1), [], []
    drawn: dict[tuple[str, str], np.ndarray] = {}
    for who in (("DrHouse", "1"), ("DrHouse", "2"), ("DrGrey", "1"), ("DrGrey", "2")):
        drawn[who] = rng.integers(0, 3, (12, 17))
    for leg in range(12):
        session = f"{leg + 1:02}"
        clips.append(Clip("BertaMuster", session=session))
        for (rater, turn), found in drawn.items():
            if (leg, rater) != (3, "DrGrey"):
                values = scored("".join(map(str, found[leg])))
                rows.append({**LEG, "session": session, "rater": rater, "round": turn, **values})
    rows[0]["TLT"] = "ns"
    found = dataset(tmp_path, rows, clips=clips)
    labels.write(found, tmp_path)
    text = (tmp_path / "labels" / "evgs_kappa.tsv").read_text()
    table = pd.read_csv(tmp_path / "labels" / "evgs_kappa.tsv", sep="\t")
    assert "House" not in text and len(table) == 17 * 4  # 2 rounds between raters, 2 raters between rounds
    codes = {r: f"R{found.names.digest(f'rater/{r.casefold()}')[:8]}" for r in ("DrHouse", "DrGrey")}
    for first, second, between in (
        (("DrHouse", "1"), ("DrGrey", "1"), "raters"),
        (("DrHouse", "1"), ("DrHouse", "2"), "rounds"),
    ):
        legs = [n for n in range(12) if n != 3 or second[0] == "DrHouse"]
        who = {f"{codes[r]} {t}" for r, t in (first, second)}
        own = table[table["first"].isin(who) & table["second"].isin(who)].set_index("item")
        assert set(own["between"]) == {between} and own.loc["IC", "n"] == len(legs)
        assert own.loc["TLT", "n"] == len(legs) - 1
        a, b = drawn[first][legs, 4], drawn[second][legs, 4]
        assert own.loc["HVV", "kappa_linear"] == pytest.approx(confused(a, b, 1), abs=1e-4)
        assert own.loc["HVV", "kappa_quadratic"] == pytest.approx(confused(a, b, 2), abs=1e-4)
        assert own.loc["HVV", "agreement"] == pytest.approx((a == b).mean(), abs=1e-4)


def test_nothing_of_the_laboratory_is_in_the_files_and_they_are_the_same_twice(tmp_path: Path) -> None:
    rows = [{**LEG, **scored()}, {**LEG, "side": "R", "rater": "DrGrey", **scored("1" * 17)}]
    for turn in "ab":
        labels.write(dataset(tmp_path, rows), tmp_path / turn)
    files = {p.name: p.read_bytes() for p in (tmp_path / "a" / "labels").iterdir()}
    assert files == {p.name: p.read_bytes() for p in (tmp_path / "b" / "labels").iterdir()}
    assert set(files) == {"evgs.tsv", "evgs.json"}  # nobody scored one leg twice
    assert not [w for w in (b"Berta", SESSION.encode(), b"House", b"Grey") if any(w in f for f in files.values())]
    found = dataset(tmp_path, rows)
    table = pd.read_csv(tmp_path / "a" / "labels" / "evgs.tsv", sep="\t", dtype="str", keep_default_na=False)
    assert set(table["subject"]) == {found.names.subject("BertaMuster")}
    assert all(found.names.clip(CLIPS[0]).startswith(f"{s}_trial-1") for s in table["session"])
    about = json.loads(files["evgs.json"])
    assert list(about) == list(table.columns) and about["IC"]["Levels"]["ns"] == "not scorable"


def test_rows_of_who_or_what_is_not_held_do_not_leave(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {**LEG, **scored()},
        {**LEG, "session": "20230101", **scored()},  # withdrawn
        {**LEG, "subject": "CarlBeispiel", **scored()},
    ]
    found = dataset(tmp_path, rows)
    without = people.dataset(
        tmp_path, [{"subject": s, **people.AGREED} for s in SUBJECTS], CLIPS[:2],
        labels={"evgs": tmp_path / "evgs.tsv"}, tiers={"controlled": {"labels": ("evgs",)}},
    )  # fmt: skip
    assert len(labels.released(found, "evgs")) == 2 and len(labels.released(without, "evgs")) == 1
    labels.write(found, tmp_path)
    assert "evgs.tsv: 1 rows are about no clip (row 3)" in capsys.readouterr().err


def test_tables_that_the_tier_does_not_list_stay(tmp_path: Path) -> None:
    labels.write(dataset(tmp_path, [{**LEG, **scored()}], labels=()), tmp_path)
    assert not (tmp_path / "labels").exists()


def test_progaits_text_is_put_together_as_it_is_published(tmp_path: Path) -> None:
    general = {"subject": "BertaMuster", "category": "9", "reason": "natural"}
    found = dataset(tmp_path, [general, TEXT], "progait")
    first, second = sorted((e for e in found.entries if e.clip.subject == "BertaMuster"), key=lambda e: e.clip.trial)
    assert labels.texts(found) == {
        first.path: "CCC: 4\n1) stiff knee\n2) less resistance\n3) it trips\n\nshort",
        second.path: "CCC: 9\n3) natural",
    }
    table = labels.released(found, "progait")
    assert set(table["category"]) == {"4", "9"} and set(table["trial"].dropna()) == {"trial-1"}
    assert labels.texts(dataset(tmp_path, [TEXT], "progait", labels=())) == {}
    with pytest.raises(GaitloomError, match=r"row 2, column category: '10'"):
        labels.texts(dataset(tmp_path, [{**TEXT, "category": "10"}], "progait"))


@pytest.mark.parametrize(
    "text",
    ["Berta trips", "as CARLBEISPIEL does", "muster's knee", "compare 20240517", "on 17.5.2024", "DrHouse says so"],
)
def test_text_that_names_anybody_or_a_day_is_refused(tmp_path: Path, text: str) -> None:
    rows = [{**TEXT, "rater": "DrHouse"}, {**TEXT, "trial": "2", "deviation": text, "rater": "DrHouse"}]
    for check in (lambda d: labels.released(d, "progait"), labels.texts):
        with pytest.raises(GaitloomError, match=r"progait\.tsv row 3, column deviation: '.*write the text without it"):
            check(dataset(tmp_path, rows, "progait"))
    rows[1]["deviation"] = "bert, 2 mustering steps at 2024 Hz, scale 1.5"
    labels.released(dataset(tmp_path, rows, "progait"), "progait")


def test_any_other_table_goes_as_it_is_but_for_names(tmp_path: Path) -> None:
    rows = [{"subject": s, "camera": "sagittal", "fac": n, "note": "good"} for s, n in zip(SUBJECTS, "45", strict=True)]
    table = labels.released(dataset(tmp_path, rows, "walking"), "walking")
    assert set(table["fac"]) == {"4", "5"} and set(table["camera"]) == {"cam-sagittal"}
    with pytest.raises(GaitloomError, match="there twice"):
        labels.released(dataset(tmp_path, [rows[0], rows[0]], "walking"), "walking")


@pytest.mark.parametrize("column", ["age", "height_cm", "diagnosis", "ethics"])
def test_columns_of_participants_do_not_leave_by_this_way(tmp_path: Path, column: str) -> None:
    with pytest.raises(GaitloomError, match=f"the column {column} belongs into"):
        labels.released(dataset(tmp_path, [{"subject": "BertaMuster", column: "34.5"}], "walking"), "walking")


def reference(folder: Path, mean: np.ndarray) -> Path:
    rows = [
        {"joint": joint, "percent": str(p), "mean": f"{mean[i, p]:.6f}"}
        for i, joint in enumerate(CYCLE_NAMES)
        for p in range(101)
    ]
    return people.table(folder / "reference.tsv", rows)


def test_gait_variable_scores_are_the_distance_from_the_cohort(tmp_path: Path, monkeypatch: Any) -> None:
    percent = np.linspace(0, 2 * np.pi, 101)[None]
    mean = 30 * np.sin(percent + np.arange(4)[:, None])
    cycles = np.stack([mean + 5, mean - 3, mean + 7 * np.cos(percent)])
    whole = np.sqrt((49 * np.cos(percent) ** 2).mean())
    arrays = {"cycle": cycles.astype(np.float32), "cycle_foot": np.array([0, 0, 1], np.int8)}
    monkeypatch.setattr("gaitloom.release.dataset.Source.open", lambda self, node: SimpleNamespace(load=arrays.get))
    participants = [{"subject": s, **people.AGREED} for s in SUBJECTS]
    found = people.dataset(tmp_path, participants, CLIPS[:1], reference=reference(tmp_path, mean))
    monkeypatch.setattr(Dataset, "source", lambda self, entry: _source(entry))
    labels.write(found, tmp_path)
    table = pd.read_csv(tmp_path / "labels" / "gvs.tsv", sep="\t").set_index("side")
    assert table.loc["L", list(CYCLE_NAMES)].tolist() == pytest.approx([4] * 4, abs=1e-3)
    assert table.loc["R", list(CYCLE_NAMES)].tolist() == pytest.approx([whole] * 4, abs=1e-3)
    assert table["cycles"].to_dict() == {"L": 2, "R": 1} and set(table["clip"]) == {found.entries[0].name}
    assert json.loads((tmp_path / "labels" / "gvs.json").read_text())["knee"]["Units"] == "degree"
    swapped = gvs.scores(cycles[:2], gvs.read(reference(tmp_path, mean[[1, 0, 2, 3]])))
    assert swapped[0] > 10 and swapped[2] == pytest.approx(4, abs=1e-3)  # hip and knee taken for each other


def _source(entry: Any) -> Any:
    from gaitloom.release.dataset import Source

    source = object.__new__(Source)
    source.entry = entry
    return source


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.replace("knee\t50\t", "knee\t51\t"), "row 154.*twice with the same percent"),
        (lambda t: "\n".join(t.splitlines()[:-1]) + "\n", "joint: 'trunk' does not have all points"),
        (lambda t: t.replace("knee", "neck"), "column joint: 'neck' is none of"),
        (lambda t: t.replace("hip\t3\t", "hip\t3\tx"), "row 5, column mean: 'x"),
        (lambda t: t.replace("mean", "average", 1), "no column 'mean'"),
    ],
)
def test_a_reference_that_is_not_whole_is_refused(tmp_path: Path, change: Any, words: str) -> None:
    path = reference(tmp_path, np.zeros((4, 101)))
    path.write_text(change(path.read_text()))
    with pytest.raises(GaitloomError, match=words):
        gvs.read(path)


def test_names_of_tables_that_are_made_are_not_free(tmp_path: Path) -> None:
    with pytest.raises(GaitloomError, match="'gvs' is a table that GaitLoom makes"):
        labels.write(dataset(tmp_path, [{"subject": "BertaMuster"}], "gvs"), tmp_path)
