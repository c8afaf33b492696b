"""k-anonymity against counting by hand: whatever the table, nobody is in a class smaller than k, or nothing leaves."""

import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gaitloom.clips import Clip
from gaitloom.errors import GaitloomError
from gaitloom.release import anonymity, generalise, participants

from release import people

COLUMNS: dict[str, Any] = {
    "sex": "exact",
    "age": (0.0, 6.0, 18.0, 35.0, 50.0, 65.0, 90.0),
    "height_cm": 5.0,
    "bmi": "exact",
}


def crowd(seed: int, count: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "sex": pd.Series(rng.choice(["F", "M", None], count, p=[0.5, 0.45, 0.05]), dtype="str"),
            "age": rng.uniform(2, 99, count).round(1),
            "height_cm": rng.normal(170, 12, count).round(1),
            "bmi": rng.normal(24, 4, count).round(1),
            "diagnosis": pd.Series(rng.choice(["a", "b", "c"], count, p=[0.8, 0.15, 0.05]), dtype="str"),
        }
    )
    table.loc[rng.random(count) < 0.05, "height_cm"] = np.nan
    return table.set_axis(pd.Index([f"P{i:03}" for i in range(count)]), axis=0)


def counted(rows: list[tuple[str, ...]]) -> list[int]:
    """Of each row how many there are, compared one by one."""
    return [sum(row == other for other in rows) for row in rows]


def tuples(table: pd.DataFrame) -> list[tuple[str, ...]]:
    return [tuple(row) for row in table.to_numpy().tolist()]


def holds(band: str, value: float) -> bool:
    """Whether a band, as people read it, holds a value."""
    if band == "n/a":
        return True
    if band.endswith("+"):
        return value >= float(band[:-1])
    low, high = (float(n) for n in re.fullmatch(r"([\d.]+)-([\d.]+)", band).groups())  # type: ignore[union-attr]
    return low <= value < high + 10.0 ** -len(re.sub(r"^[^.]*\.?", "", band.split("-")[1]))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("k", [2, 5, 11])
def test_every_class_has_k_people_and_every_band_holds_its_value(seed: int, k: int) -> None:
    table = crowd(seed)
    found = generalise.generalise(table, COLUMNS | {"diagnosis": "exact"}, k, ("diagnosis",))
    hidden = found.table.drop(columns="diagnosis")
    assert found.sizes.tolist() == counted(tuples(hidden)) and found.sizes.min() >= k
    assert found.table["diagnosis"].tolist() == table["diagnosis"].tolist()
    for column in ("age", "height_cm"):
        for told, value in zip(found.table[column], table[column], strict=True):
            assert told == "n/a" if math.isnan(value) else holds(told, value), (column, told, value)
    assert set(found.table["sex"]) in ({"F", "M", "n/a"}, {"F", "M"}, {"n/a"})
    assert all(step.split(":")[0] in COLUMNS for step in found.steps)


@pytest.mark.parametrize("seed", range(3))
def test_no_single_column_could_be_told_more_finely(seed: int) -> None:
    table, k = crowd(seed, 40), 4
    found = generalise.generalise(table, COLUMNS, k)
    finer = 0
    for column in COLUMNS:
        rungs = [r.values for r in generalise._ladder(table[column], COLUMNS[column])]
        now = next(i for i, r in enumerate(rungs) if r.tolist() == found.table[column].tolist())
        for rung in rungs[:now]:
            finer += 1
            assert min(counted(tuples(found.table.assign(**{column: rung})))) < k
    assert finer and min(counted(tuples(found.table))) >= k


def test_it_is_the_same_whatever_the_order_of_rows() -> None:
    table = crowd(1)
    shuffled = table.sample(frac=1, random_state=3)
    one, other = (generalise.generalise(t, COLUMNS, 5) for t in (table, shuffled))
    assert one.steps == other.steps and one.table.equals(other.table.loc[table.index])


def test_bands_are_doubled_before_a_column_is_left_out() -> None:
    table = pd.DataFrame({"height_cm": [151.0, 157.0, 161.0, 168.0], "site": pd.Series(list("aabb"), dtype="str")})
    found = generalise.generalise(table, {"height_cm": 5.0, "site": "exact"}, 2)
    assert found.table["height_cm"].tolist() == ["150-159", "150-159", "160-169", "160-169"]
    assert found.table["site"].tolist() == list("aabb")
    assert found.steps == ("height_cm: in bands of 10 instead of in bands of 5",)
    alone = pd.DataFrame({"site": pd.Series(list("aab"), dtype="str")})
    assert set(generalise.generalise(alone, {"site": "exact"}, 2).table["site"]) == {"n/a"}


def rows(count: int, **columns: list[str]) -> list[dict[str, str]]:
    found = [{"subject": f"S{n:03}x", **people.AGREED, "sex": "FM"[n % 2], "age": str(20 + n)} for n in range(count)]
    for column, values in columns.items():
        for row, value in zip(found, values, strict=True):
            row[column] = value
    return found


def dataset(folder: Path, table: list[dict[str, str]], tier: Any, extra: Any = None, **release: Any) -> Any:
    clips = [Clip(row["subject"], session="01", extra=(extra or {}).get(n, {})) for n, row in enumerate(table)]
    return people.dataset(folder, table, clips, tier, tiers={tier: release})


def test_a_release_of_fewer_than_k_is_refused(tmp_path: Path) -> None:
    found = dataset(tmp_path, rows(10), "open")
    with pytest.raises(GaitloomError, match=r"open release is refused: it holds 10 people, fewer than k = 11"):
        participants.released(found)
    assert anonymity.report(found)["refusal"]
    table = participants.released(dataset(tmp_path, rows(11), "open"))
    assert min(counted(tuples(table))) == 11


def test_what_the_clip_sheet_says_of_one_person_alone_is_refused(tmp_path: Path) -> None:
    extra = {n: {"aid": "cane" if n == 3 else "none", "speed": f"{n} km/h"} for n in range(12)}
    found = dataset(tmp_path, rows(12), "registered", extra)
    with pytest.raises(GaitloomError, match=r"1 classes .*cane.*: 1.*clip_columns"):
        participants.released(found)
    without = dataset(tmp_path, rows(12), "registered", extra, clip_columns=("speed",))  # the protocol's
    assert min(counted(tuples(participants.released(without)))) >= 5
    twice = {n: {"aid": "cane" if n < 6 else "none"} for n in range(12)}
    table = participants.released(dataset(tmp_path, rows(12), "registered", twice))
    aids = [twice[n]["aid"] for n in range(12)]
    names = dataset(tmp_path, rows(12), "registered", twice).names
    told = [(*table.loc[names.subject(f"S{n:03}x")], aids[n]) for n in range(12)]
    assert min(counted(told)) >= 5


def test_people_of_whom_the_clip_sheet_says_nothing_are_a_class_of_their_own(tmp_path: Path) -> None:
    extra = {n: {"aid": "none"} for n in range(5)}
    report = anonymity.report(dataset(tmp_path, rows(10, age=["40"] * 10, sex=["F"] * 10), "registered", extra))
    assert [c["values"]["clips.aid"] for c in report["smallest_classes"]] == ["n/a", "none"] and report["smallest"] == 5
    with pytest.raises(GaitloomError, match="'n/a'"):
        participants.released(dataset(tmp_path, rows(9), "registered", extra))


def test_a_controlled_release_is_reported_and_stays_exact(tmp_path: Path) -> None:
    found = dataset(
        tmp_path, rows(6, age=["20", "20", "20", "31.5", "40", "40"], sex=list("FFFFMM")), "controlled", k=3
    )
    report = anonymity.report(found)
    assert report["smallest"] == 1 and report["small_classes"] == 2 and report["people_in_small_classes"] == 3
    assert report["refusal"] == "" and not report["generalised"]
    assert report["smallest_classes"][0] == {"people": 1, "values": {"sex": "F", "age": "31.5"}}
    assert "2 classes have fewer than 3 people, 3 in all" in anonymity.markdown(report)
    assert "31.5" in set(participants.released(found)["age"])


def test_diversity_is_the_least_of_all_classes() -> None:
    values = pd.Series(["x", "x", "y", "z", "x", "x", "x", "y", "n/a", "n/a"])
    hidden = pd.DataFrame({"age": list("aaaabbbbcc")})
    found = anonymity.diversity(values, hidden)
    # Class a: shares 1/2, 1/4, 1/4; b: 3/4, 1/4; c says nothing.
    assert found["distinct"] == 2 and found["classes_of_one_value"] == 0
    assert found["entropy"] == pytest.approx(4 / 3**0.75, abs=1e-3)
    assert found["unknown"] == 2 and found["alone"] == 1
    planted = anonymity.diversity(values.replace({"y": "x"}), hidden)  # all of class b alike
    assert planted["distinct"] == planted["entropy"] == planted["classes_of_one_value"] == 1


def version(folder: Path, table: list[dict[str, str]], name: str = "") -> tuple[dict[str, Any], Path]:
    found = dataset(folder, table, "registered", k=2, columns={"sex": "exact", "age": 10.0})
    target = folder / name
    participants.write(found, target / "data")
    return found, target


def test_who_joins_or_leaves_alone_between_two_versions_is_counted(tmp_path: Path) -> None:
    crowd = rows(8, age=["31", "32", "33", "34", "41", "42", "43", "44"], sex=list("FFFFMMMM"))
    _, before = version(tmp_path, crowd, "before")
    now, _ = version(tmp_path, [*crowd[1:], {**crowd[1], "subject": "New1x"}, {**crowd[5], "subject": "New2x"}])
    found = anonymity.report(now, before)["difference"]
    assert (found["joined"], found["left"], found["stayed"]) == (2, 1, 7)
    assert found["joined_alone"] == 2 and found["left_alone"] == 1 and found["stayed_alone"] == 0
    text = anonymity.markdown(anonymity.report(now, before))
    gone = now.names.subject(crowd[0]["subject"])
    assert gone not in text and "| left | 1 | 1 | 1 |" in text
    assert anonymity.report(now)["difference"] is None


def test_two_versions_that_are_k_anonymous_each_may_not_be_so_together() -> None:
    before = pd.DataFrame({"age": ["30-39", "30-39", "40-49", "40-49"]}, index=list("abcd"))
    now = pd.DataFrame({"age": ["<35", "35+", "35+", "35+"]}, index=list("abcd"))
    found = anonymity.difference(now, before, 2)
    assert min(counted(tuples(before))) == 2 and found["stayed"] == 4
    pairs = list(zip(before["age"], now["age"], strict=True))
    assert found["stayed_alone"] == sum(n == 1 for n in counted(pairs)) == 2
    assert anonymity.difference(before, before, 2)["stayed_fewer_than_k"] == 0


def test_a_planted_finer_cell_is_seen() -> None:
    table = crowd(2)
    found = generalise.generalise(table, COLUMNS, 5)
    assert generalise.sizes(found.table).min() >= 5
    for row, column in itertools.product((0, 17, 59), COLUMNS):
        planted = found.table.copy()
        planted.iloc[row, planted.columns.get_loc(column)] = "31.7"
        assert generalise.sizes(planted).min() == 1


def test_a_previous_release_without_its_table_is_said(tmp_path: Path) -> None:
    found = dataset(tmp_path, rows(12), "registered")
    with pytest.raises(GaitloomError, match=r"participants\.tsv cannot be read"):
        anonymity.report(found, tmp_path / "gone")
