"""Splits: whole people and families, even classes (against brute force), arrivals move nobody, a published recipe."""

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gaitloom import config, health_gait_splits, split_files, splits
from gaitloom.cli import app
from gaitloom.clips import Clip, write_sheet
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.splits import Split, deal, folds, leave_one_out
from typer.testing import CliRunner

SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
BY = {"sex": (), "age": (35.0, 50.0)}


def table(rng: np.random.Generator, n: int, families: bool = True, first: int = 0) -> pd.DataFrame:
    age = np.where(rng.random(n) < 0.05, np.nan, rng.uniform(18, 65, n).round(1))
    columns: dict[str, Any] = {"sex": rng.choice(["F", "M"], n), "age": age}
    if families:
        columns["family"] = [f"f{v}" if v else None for v in rng.integers(0, max(2, n // 2), n)]
    return pd.DataFrame(columns, index=[f"P{i:03d}" for i in range(first, first + n)])


def where(split: Split) -> dict[str, str]:
    """Subject → part; everyone in one part only."""
    found = {s: part for part, subjects in split.items() for s in subjects}
    assert len(found) == sum(map(len, split.values())), "somebody is in two parts"
    return found


def squares(split: Split, people: pd.DataFrame, shares: dict[str, float]) -> tuple[float, float]:
    """Sum of the squares of what parts have more or less than their share of classes and of people, and the most."""
    home = where(split)
    at = np.array([list(shares).index(home[s]) for s in people.index])
    return tuple(f[0] for f in far(at[None], members(people), np.array(list(shares.values()))))  # type: ignore[return-value]


def members(people: pd.DataFrame) -> np.ndarray:
    """(people, classes) who is in which class of sex and age, and everyone."""
    label = [
        f"{s}{np.digitize(a, [35, 50]) if a == a else ''}" for s, a in zip(people["sex"], people["age"], strict=True)
    ]
    return np.column_stack([np.array(label)[:, None] == np.unique(label), np.ones(len(people), bool)]).astype(float)


def far(at: np.ndarray, classes: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of (splits, units) parts, units of (units, classes) people: sum of squares, and the most that one is off."""
    counts = np.einsum("sup,uc->spc", at[:, :, None] == np.arange(len(shares)), classes)
    off = counts - np.outer(shares / shares.sum(), classes.sum(axis=0))
    return (off**2).sum(axis=(1, 2)), np.abs(off).max(axis=(1, 2))


# What must hold


def test_nobody_and_no_family_is_in_two_parts_and_arrivals_move_nobody_over_1000_tables() -> None:
    rng = np.random.default_rng(20)
    for number in range(1000):
        people = table(rng, int(rng.integers(1, 30)))
        come = table(rng, int(rng.integers(1, 10)), first=100)
        come["family"] = come["family"].where(rng.random(len(come)) < 0.5)  # some are of families that are there
        shares = SHARES if number % 2 else {str(i): 1.0 for i in range(int(rng.integers(2, 6)))}
        first = deal(people, shares, BY, seed=number)
        assert set(where(first)) == set(people.index)
        left = rng.random(len(people)) < 0.1
        after = pd.concat([people[~left], come]).sample(frac=1, random_state=number)
        second = deal(after, shares, BY, seed=number, before=first)
        assert set(where(second)) == set(after.index)
        then, now = where(first), where(second)
        assert all(now[s] == then[s] for s in people.index[~left])
        for split, rows in ((first, people), (second, after)):
            home = where(split)
            homes = {(f, home[str(s)]) for s, f in rows["family"].items() if isinstance(f, str)}
            assert len(homes) == len({f for f, _ in homes}), "a family is in two parts"
            assert (
                splits.leaks(split, families={str(s): f for s, f in rows["family"].items() if isinstance(f, str)}) == []
            )


@pytest.mark.parametrize("families", [False, True])
@pytest.mark.parametrize("shares", [SHARES, {"0": 1.0, "1": 1.0, "2": 1.0}], ids=["shares", "folds"])
def test_no_other_split_is_more_even(families: bool, shares: dict[str, float]) -> None:
    rng = np.random.default_rng(7)
    for number in range(250):
        people = table(rng, int(rng.integers(2, 8)), families)
        units = splits.families(people)
        rows = [[list(people.index).index(s) for s in unit] for unit in units]
        classes = np.array([members(people)[r].sum(axis=0) for r in rows])
        every = np.array(list(itertools.product(range(len(shares)), repeat=len(units))))
        best = far(every, classes, np.array(list(shares.values())))[0].min()
        assert squares(deal(people, shares, BY, seed=number), people, shares)[0] == pytest.approx(best), people


def test_whole_people_are_never_a_person_off_their_share() -> None:
    rng = np.random.default_rng(8)
    for number in range(40):
        people = table(rng, int(rng.integers(5, 150)), families=False)
        shares = {str(i): float(v) for i, v in enumerate(rng.uniform(0.1, 1, int(rng.integers(2, 7))))}
        assert squares(deal(people, shares, BY, seed=number), people, shares)[1] < 1


def test_arrivals_bring_the_shares_back() -> None:
    """Begun with women only and with all of the men still to come, both sexes end in their shares."""
    people = pd.DataFrame({"sex": ["F"] * 20 + ["M"] * 20}, index=[f"P{i:02d}" for i in range(40)])
    begun = deal(people[:20], SHARES, {"sex": ()})
    ended = deal(people, SHARES, {"sex": ()}, before=begun)
    for sex in ("F", "M"):
        counts = [len(set(people.index[people["sex"] == sex]) & set(ended[p])) for p in SHARES]
        assert counts == [14, 2, 4]
    skewed = deal(people, SHARES, {"sex": ()}, before={"train": list(people.index[:20]), "validation": [], "test": []})
    assert [len(m) for m in skewed.values()] == [31, 3, 6], "men make up for the women, and stay as even as they can"


def test_single_columns_decide_between_splits_that_are_equal_else() -> None:
    """Eight people, each alone in their class of three columns: two folds can be even in each column, and are."""
    rows = list(itertools.product("ab", "cd", "ef"))
    people = pd.DataFrame(rows, columns=["x", "y", "z"], index=[f"P{i}" for i in range(8)])
    for seed in range(10):
        for members in deal(people, {"0": 1.0, "1": 1.0}, {"x": (), "y": (), "z": ()}, seed=seed).values():
            assert all((people.loc[members, c].value_counts() == 2).all() for c in ("x", "y", "z"))


def test_seed_and_order_of_rows() -> None:
    people = table(np.random.default_rng(1), 60)
    first = deal(people, SHARES, BY, seed=3)
    assert deal(people.sample(frac=1, random_state=0), SHARES, BY, seed=3) == first
    assert deal(people, SHARES, BY, seed=4) != first
    assert all(members == sorted(members) for members in first.values())


# Folds


@pytest.mark.parametrize("k", [2, 5])
def test_folds_test_everyone_once_and_grow(k: int) -> None:
    rng = np.random.default_rng(k)
    people, come = table(rng, 60), table(rng, 15, families=False, first=100)
    come.loc["P100", "family"] = "f1"
    first = folds(people, k, BY, seed=1)
    assert sorted(s for split in first for s in split["test"]) == sorted(people.index)
    second = folds(pd.concat([people, come]), k, BY, seed=1, before=first)
    assert sorted(s for split in second for s in split["test"]) == sorted([*people.index, *come.index])
    for old, new in zip(first, second, strict=True):
        assert set(where(new)) == {*people.index, *come.index}
        assert where(old).items() <= where(new).items()
        assert len(new["validation"]) == pytest.approx(7.5, abs=3), "a tenth of all, but for whole families"
    with pytest.raises(GaitloomError, match="earlier partitions are"):
        folds(people, k + 1, BY, before=first)


def test_leave_one_out_tests_each_family_alone_and_grows() -> None:
    people = pd.DataFrame({"family": ["a", None, "a", "b"]}, index=["P1", "P2", "P3", "P4"])
    first = leave_one_out(people)
    assert [split["test"] for split in first] == [["P1", "P3"], ["P2"], ["P4"]]
    assert first[0] == {"train": ["P2", "P4"], "validation": [], "test": ["P1", "P3"]}
    more = pd.concat([people.drop("P2"), pd.DataFrame({"family": ["b", "c"]}, index=["P0", "P9"])])
    second = leave_one_out(more, before=first)
    assert [split["test"] for split in second] == [["P1", "P3"], [], ["P0", "P4"], ["P9"]]
    validated = leave_one_out(table(np.random.default_rng(0), 20, families=False), validation=0.2)
    assert {len(split["validation"]) for split in validated} == {4}


def test_earlier_splits_that_cannot_be_kept_are_refused() -> None:
    people = pd.DataFrame({"family": ["a", "a", "b"]}, index=["P1", "P2", "P3"])
    with pytest.raises(GaitloomError, match="P1, P2, one family, in test and train"):
        deal(people, SHARES, before={"train": ["P1"], "test": ["P2"]})
    parts = {"train": ["P1"], "validation": [], "test": ["P3"]}
    with pytest.raises(GaitloomError, match="test P1 0 times"):
        folds(people, 2, before=[parts, {**parts, "test": []}])
    with pytest.raises(GaitloomError, match="leaves nobody to train on"):
        folds(people, 2, validation=0.6)
    with pytest.raises(GaitloomError, match="no column 'height' to go by; there are: family"):
        deal(people, SHARES, {"height": ()})
    with pytest.raises(GaitloomError, match="P1, column family: 'a' is not a number"):
        deal(people, SHARES, {"family": (1.0,)})


# Leaks


def test_leaks() -> None:
    split = {"train": ["P1", "P2"], "validation": ["P3"], "test": ["P4"]}
    clips = [Clip(f"P{i}", trial=t, sha256=f"{i}{t}", extra={"family": f"f{i}"}) for i in range(1, 5) for t in "12"]
    assert splits.leaks(split, clips) == []
    assert splits.leaks({**split, "test": ["P4", "P2"]}) == ["subject p2 is in test and train"]
    assert splits.leaks({**split, "test": ["P4", "p2"]}) == ["subject p2 is in test and train"]
    assert splits.leaks(split, clips, {"P1": "x", "P4": "x"}) == ["family x is in test and train"]
    related = [*clips, Clip("P4", trial="3", sha256="43", extra={"family": "f3"})]
    assert splits.leaks(split, related) == ["family f3 is in test and validation"]
    copied = [*clips, Clip("P4", trial="3", sha256="11")]
    assert splits.leaks(split, copied) == ["video of P1, P4 is in test and train"]
    by_clip = {"train": [c.subject for c in clips[::2]], "test": [c.subject for c in clips[1::2]]}
    assert len(splits.leaks(by_clip, clips)) >= 4, "dealing clips instead of people leaks everyone"


# Health&Gait's recipe


@pytest.fixture
def health_gait(tmp_path: Path) -> Path:
    """As many people as Health&Gait has, one without a weight, one in the gap."""
    rng = np.random.default_rng(27)
    rows = [f"PA{i:03d},{rng.integers(2)},{rng.integers(18, 65)},{rng.normal(24.6, 3):.1f}" for i in range(398)]
    rows[5], rows[9] = "PA005,1,40,24.95", "PA009,0,30,"
    path = tmp_path / "participants_measures.csv"
    path.write_text("\n".join(["ID,Sex,Age,BMI", *rows]) + "\n")
    return path


def test_the_recipe_gives_the_published_sizes_and_names_the_gap(
    health_gait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    way = split_files.Recipe()
    split_files.write(tmp_path / "none", health_gait, tmp_path / "out", way)
    told = capsys.readouterr().err
    assert "1 count as obese who are not: PA005" in told and "1 people are left out" in told
    found = {task: split_files.earlier(tmp_path / "out" / task) for task in ("Sex", "Age", "Weight")}
    assert found["Sex"] == found["Age"] != found["Weight"]
    for task, people in (("Sex", 398), ("Weight", 397)):
        sizes = [[len(split[p]) for p in ("train", "validation", "test")] for split in found[task]]
        assert all(sum(s) == people and s[1] == 36 and s[2] in (99, 100) for s in sizes)
        assert {s[0] for s in sizes} <= ({262, 263} if task == "Sex" else {261, 262})
        assert sorted(s for split in found[task] for s in split["test"]) == sorted(where(found[task][0]))


def test_the_bands_of_the_recipe_with_their_gaps() -> None:
    """From Health&Gait's script: 18.5 to 24.9 is normal, 25.0 to 29.9 overweight, and whatever is left obese."""
    bmi = {18.4: "thinness", 18.5: "normal", 24.9: "normal", 24.95: "obese", 25.0: "overweight", 29.9: "overweight"}
    bmi |= {29.95: "obese", 30.0: "obese"}
    age = {
        17.0: "None",
        18.0: "young",
        34.0: "young",
        35.0: "adult",
        49.0: "adult",
        50.0: "old",
        64.0: "old",
        65.0: "None",
    }
    people = pd.DataFrame({"sex": "1", "bmi": list(bmi), "age": list(age)}, index=[f"P{i}" for i in range(8)])
    assert health_gait_splits.tags(people, ("sex", "bmi")).tolist() == [f"1_{v}" for v in bmi.values()]
    assert health_gait_splits.tags(people, ("age", "sex")).tolist() == [f"{v}_1" for v in age.values()]
    assert health_gait_splits.gap(people) == ["P3", "P6"]


def test_the_recipe_refuses_what_it_cannot_do(health_gait: Path, tmp_path: Path) -> None:
    people = split_files.read(health_gait)
    with pytest.raises(GaitloomError, match="need the column 'age'"):
        health_gait_splits.partitions(people.drop(columns="age"), "Sex")
    for few in (2, 12):
        with pytest.raises(GaitloomError, match=r"need 4 people in a class|need more people"):
            health_gait_splits.partitions(people[:few], "Age")
    path = tmp_path / "families.csv"
    path.write_text("ID,Sex,Age,BMI,family\nA,0,20,22,x\nB,0,20,22,x\n")
    with pytest.raises(GaitloomError, match="knows no families"):
        split_files.write(tmp_path / "none", path, tmp_path / "out", split_files.Recipe())


# The command


def write(tmp_path: Path, people: pd.DataFrame, *options: str) -> Any:
    people.rename_axis("subject").to_csv(tmp_path / "people.tsv", sep="\t", na_rep="n/a")
    files = ["--table", str(tmp_path / "people.tsv"), "--to", str(tmp_path / "out")]
    return CliRunner().invoke(app, ["splits", *files, *options])


def test_the_command_writes_both_forms_and_arrivals_move_nobody(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    people, come = table(rng, 40), table(rng, 6, first=100)
    options = ("--folds", "4", "--by", "sex", "--by", "age:35,50", "--seed", "5")
    done = write(tmp_path, people, *options)
    assert done.exit_code == 0, done.output
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == sorted(
        f"{f}_{i}.json" for f in ("partition", "opengait") for i in range(4)
    )
    first = split_files.earlier(out)
    assert first == folds(people, 4, BY, seed=5)
    for i, split in enumerate(first):
        text = (out / f"partition_{i}.json").read_text()
        assert list(json.loads(text)) == ["train", "validation", "test"]
        form = json.loads((out / f"opengait_{i}.json").read_text())
        assert form == {"TRAIN_SET": sorted(split["train"] + split["validation"]), "TEST_SET": split["test"]}
    counts = [line.split("\t") for line in done.stdout.strip().splitlines()]
    assert counts[0][:3] == ["split", "part", "people"] and all(sum(map(int, r[3:])) == int(r[2]) for r in counts[1:])
    again = write(tmp_path, pd.concat([people, come]).drop("P003"), *options)
    assert "1 people of the earlier split are not in the table" in again.stderr
    for old, new in zip(first, split_files.earlier(out), strict=True):
        assert {s: p for s, p in where(old).items() if s != "P003"}.items() <= where(new).items()


def test_one_split_by_shares(tmp_path: Path) -> None:
    done = write(tmp_path, table(np.random.default_rng(3), 50, families=False), "--shares", "70,10,20")
    assert done.exit_code == 0, done.output
    (split,) = split_files.earlier(tmp_path / "out")
    assert [len(split[p]) for p in SHARES] == [35, 5, 10]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--folds", "3", "--leave-one-out"), "choose one of folds"),
        (("--validation", "0.2"), "choose one of folds"),
        (("--preset", "health_gait", "--leave-one-out"), "leave out --leave-one-out"),
        (("--folds", "1"), "--folds input should be greater"),
        (("--folds", "3", "--validation", "1.5"), "--validation input should be less than 1"),
        (("--shares", "70,30"), "--shares field required"),
        (("--shares", "-1,1,1"), "shares are those of train, validation and test"),
        (("--shares", "1,1,1", "--validation", "0.2"), "shares say it themselves"),
        (("--folds", "3", "--by", "age:50,35"), "rising numbers"),
        (("--folds", "3", "--by", "age:old"), "rising numbers"),
        (("--folds", "3", "--by", "weight"), "There is no column 'weight'"),
    ],
)
def test_options_that_are_refused(tmp_path: Path, options: tuple[str, ...], reason: str) -> None:
    done = write(tmp_path, table(np.random.default_rng(4), 12), *options)
    assert isinstance(done.exception, GaitloomError) and reason in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_the_way_of_the_configuration(tmp_path: Path) -> None:
    """Without options, it is the table `splits`; without that, the command says what there is to say."""
    people = table(np.random.default_rng(6), 30)
    values: dict[str, Any] = {
        "results": str(tmp_path / "results"),
        "clips": {"folders": [str(tmp_path)]},
        "nodes": {"track": {"backend": "blazepose"}},
    }
    path = tmp_path / "config.json"
    write_sheet(tmp_path / "results" / "clips.tsv", [])
    path.write_text(json.dumps(values))
    assert "a table 'splits'" in str(write(tmp_path, people, "--config", str(path)).exception)
    path.write_text(json.dumps({**values, "splits": {"folds": 3, "by": ["sex", "age:35,50"], "seed": 5}}))
    done = write(tmp_path, people, "--config", str(path))
    assert done.exit_code == 0, done.output
    assert split_files.earlier(tmp_path / "out") == folds(people, 3, BY, seed=5)
    with pytest.raises(GaitloomError, match=r"splits: choose one of folds, leave_one_out and shares"):
        config.parse({**values, "splits": {"by": ["sex"]}})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name\tsex\nP1\tF\n", "needs one column 'subject'"),
        ("subject\tsex\nP1\tF\np1\tM\n", "row 3, column subject: 'p1' is there twice"),
        ("subject\tsex\n\tF\n", "row 2, column subject: it is empty"),
        ("subject\tsex\tSex\nP1\tF\tF\n", "every column once"),
        ("subject\tsex\nP1\n", "row 2 has 1 columns, the header 2"),
        ("", "has no rows"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "people.tsv"
    path.write_text(text)
    with pytest.raises(GaitloomError, match=reason):
        split_files.read(path)


def test_a_broken_earlier_split_is_not_written_over(tmp_path: Path) -> None:
    people = table(np.random.default_rng(5), 20)
    write(tmp_path, people, "--folds", "3")
    file = tmp_path / "out" / "partition_1.json"
    file.write_text("{}")
    done = write(tmp_path, people, "--folds", "3")
    assert "partition_1.json is no split" in str(done.exception) and file.read_text() == "{}"
    file.unlink()
    assert "partition_1.json is no split" in str(write(tmp_path, people, "--folds", "3").exception)
    shutil.rmtree(tmp_path / "out")
    write(tmp_path, people, "--folds", "3")
    assert "3 partitions, not one" in str(write(tmp_path, people, "--shares", "2,1,1").exception)


def test_people_of_the_clip_sheet_and_of_the_participants(tmp_path: Path) -> None:
    """Who has clips; the participants' columns, and all values of a person's clips; a video of two people is a leak."""
    clips = [
        Clip("P1", trial="1", sha256="a", extra={"condition": "brace"}),
        Clip("P1", trial="2", sha256="b", extra={"condition": "barefoot"}),
        Clip("P2", trial="1", sha256="c", extra={"condition": "barefoot"}),
        Clip("P3", trial="1", sha256="c", extra={"condition": "barefoot"}),
    ]
    values: dict[str, Any] = {
        "results": tmp_path / "results",
        "clips": {"folders": ["data"]},
        "nodes": {"track": {"backend": "blazepose"}},
    }
    people = split_files.of_plan(Plan(config.parse(values), clips))
    assert people["condition"].to_dict() == {"P1": "barefoot+brace", "P2": "barefoot", "P3": "barefoot"}
    participants = tmp_path / "participants.tsv"
    columns = "subject\tsex\tage\tfamily\tconsent\tconsent_scope\tconsent_version\tethics\n"
    rows = "".join(
        f"{s}\tF\t{a}\t{f}\tall\topen\t1\tE1\n" for s, a, f in (("P1", 20, ""), ("P2", 30, "x"), ("P9", 9, ""))
    )
    participants.write_text(columns + rows)
    release = {
        "name": "walks",
        "title": "t",
        "version": "1.0.0",
        "date": "2026-11-20",
        "description": "d",
        "creators": [{"name": "n"}],
        "publisher": "p",
        "contact": "c",
        "participants": participants,
        "tiers": {"open": {}},
    }
    plan = Plan(config.parse({**values, "release": release}), clips)
    people = split_files.of_plan(plan)
    assert list(people.index) == ["P1", "P2", "P3"] and people["age"].tolist()[:2] == [20, 30]
    assert people["sex"].isna().tolist() == [False, False, True] and people.loc["P1", "condition"] == "barefoot+brace"
    assert splits.leaks({"train": ["P1", "P2"], "test": ["P3"]}, plan.accepted.values()) == [
        "video of P2, P3 is in test and train"
    ]
