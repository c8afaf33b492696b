"""`gaitloom compare`: the statistics against published and simulated truth, tables as instruments write them, and
faults that laboratories make."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gaitloom import compare, config, instruments
from gaitloom.cli import app
from gaitloom.clips import Clip, write_sheet
from gaitloom.errors import GaitloomError
from gaitloom.gait.paired import agreement, icc
from gaitloom.gait.summary import PARAMETERS, SIDES
from gaitloom.plan import Plan
from gaitloom.store import Store
from typer.testing import CliRunner

KEYS = ["session", "condition", "speed"]
PEOPLE = [f"P{i:02d}" for i in range(12)]
SPEEDS = {"usual": 1.0, "fast": 1.25}


# The statistics


def test_icc_of_shrout_and_fleiss_example() -> None:
    """Six targets, four judges: their table 2, and .29 of their table 4. The interval is as R's psych gives it."""
    scores = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    value, low, high = icc(np.array(scores, float))
    assert value == pytest.approx(0.29, abs=0.005)
    assert (low, high) == (pytest.approx(0.019, abs=0.0005), pytest.approx(0.76, abs=0.005))


@pytest.mark.parametrize(("people", "judges", "noise"), [(1.0, 0.2, 0.5), (0.3, 0.05, 0.1)])
def test_icc_finds_the_variance_components_that_were_planted(people: float, judges: float, noise: float) -> None:
    rng = np.random.default_rng(3)
    truth, found = people / (people + judges + noise), []
    for _ in range(400):
        of_people, of_judges = rng.normal(0, people**0.5, (30, 1)), rng.normal(0, judges**0.5, (1, 5))
        found.append(icc(of_people + of_judges + rng.normal(0, noise**0.5, (30, 5))))
    values, low, high = np.array(found).T
    assert np.median(values) == pytest.approx(truth, abs=0.04)
    assert 0.92 <= ((low <= truth) & (truth <= high)).mean() <= 0.98


def test_limits_hold_95_percent_of_new_differences_and_the_intervals_what_they_are_of() -> None:
    rng = np.random.default_rng(5)
    new = rng.normal(0.02, 0.05, 20_000)
    inside, bias, upper = [], [], []
    for _ in range(300):
        b = rng.normal(1.2, 0.2, 25)
        found = agreement(b + rng.normal(0.02, 0.05, 25), b)
        inside.append(((new >= found.lower) & (new <= found.upper)).mean())
        bias.append(found.bias_low <= 0.02 <= found.bias_high)
        upper.append(abs(found.upper - (0.02 + 1.96 * 0.05)) <= found.limits_error)
    assert np.mean(inside) == pytest.approx(0.94, abs=0.01)
    assert np.mean(bias) == pytest.approx(0.95, abs=0.03) and np.mean(upper) == pytest.approx(0.95, abs=0.03)


def test_agreement_by_hand() -> None:
    found = agreement(np.array([1.0, 2.0, 3.0, 6.0]), np.array([1.0, 1.0, 4.0, 4.0]))
    assert (found.n, found.mae, found.bias, found.mean_a, found.mean_b) == (4, 1.0, 0.5, 3.0, 2.5)
    assert found.sd == pytest.approx((5 / 3) ** 0.5) and found.upper == pytest.approx(0.5 + 1.96 * (5 / 3) ** 0.5)


def test_few_and_constant_values_give_no_numbers_that_look_right() -> None:
    two = agreement(np.array([1.0, 2.0]), np.array([1.5, 2.0]))
    assert two.mae == 0.25 and np.isnan([two.sd, two.upper, two.icc]).all()
    assert np.isnan(agreement(np.ones(5), np.ones(5)).icc)
    same = agreement(np.arange(1.0, 6.0), np.arange(1.0, 6.0))
    assert (same.icc, same.bias, same.upper) == (1.0, 0.0, 0.0)


# Tables


def truth(person: int, factor: float = 1.0) -> dict[str, float]:
    """What somebody's walk is like; parameters fit each other."""
    step_time, step_length = 0.50 + 0.01 * (person * 5 % 12), (0.55 + 0.02 * (person * 7 % 12)) * factor**0.5
    step_time /= factor**0.5
    return {
        "step_time": step_time,
        "step_length": step_length,
        "stride_time": 2 * step_time,
        "stride_length": 2 * step_length,
        "speed": step_length / step_time,
        "stance_time": 1.24 * step_time,
        "swing_time": 0.76 * step_time,
        "initial_double_support": 0.12 * step_time,
        "double_support": 0.24 * step_time,
        "single_support": 0.76 * step_time,
        "cadence": 60 / step_time,
        "stance_share": 0.62,
    }


def write(path: Path, header: dict[str, Any], separator: str = "\t") -> Path:
    """A table of usual and fast walks; `header` names columns and their parameter, or (parameter, factor)."""
    rows = [["subject", "speed", *header]]
    for number, person in enumerate(PEOPLE):
        for speed, factor in SPEEDS.items():
            values = truth(number, factor)
            cells = [h if isinstance(h, tuple) else (h, 1) for h in header.values()]
            rows.append([person, speed, *(f"{values[p] * by:.5f}" for p, by in cells)])
    path.write_text("\n".join(separator.join(row) for row in rows) + "\n")
    return path


def test_units_in_headers_become_the_nodes(tmp_path: Path) -> None:
    header = {
        "step_length_cm": ("step_length", 100),
        "Stride length [mm]": ("stride_length", 1000),
        "speed (km/h)": ("speed", 3.6),
        "step time (ms)": ("step_time", 1000),
        "Cadence (steps/min)": "cadence",
        "stance_share_%": ("stance_share", 100),
        "Step length SD": "swing_time",
    }
    found = instruments.read(write(tmp_path / "t.tsv", header), [], KEYS)
    assert set(found["parameter"]) == {"step_length", "stride_length", "speed", "step_time", "cadence", "stance_share"}
    for row in found.to_dict("records"):
        expected = truth(PEOPLE.index(row["subject"]), SPEEDS[row["speed"]])[row["parameter"]]
        assert row["value"] == pytest.approx(expected, rel=1e-3)


def test_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("ID;Session;Schrittdauer\nP1;1;0,55\n\nP2;1;n/a\n")
    found = instruments.read(path, ["ID=subject", "Schrittdauer=step_time:s"], KEYS)
    assert found[["subject", "session", "parameter", "value"]].to_numpy().tolist() == [["P1", "1", "step_time", 0.55]]


def test_wide_tables_say_the_condition_by_map(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("ID,Step_UGS,Step_FGS\nP1,60,75\nP2,,80\n")
    wide = [f"Step_{c}=step_length:cm@speed={s}" for c, s in (("UGS", "usual"), ("FGS", "fast"))]
    found = instruments.read(path, ["ID=subject", *wide], KEYS)
    values = {(r["subject"], r["speed"]): r["value"] for r in found.to_dict("records")}
    assert values == pytest.approx({("P1", "usual"): 0.6, ("P1", "fast"): 0.75, ("P2", "fast"): 0.8})


@pytest.mark.parametrize(
    ("text", "mapped", "reason"),
    [
        ("subject,step_length\nP1,0.6\n", [], "column step_length: it has no unit; write m or cm or mm"),
        ("subject,step_length (inch)\nP1,24\n", [], "'inch' is no unit of step_length"),
        ("subject,step_length (s)\nP1,0.6\n", [], "'s' is no unit of step_length"),
        ("subject,double_support (%)\nP1,24\n", [], "'%' is no unit of double_support"),
        ("subject,step_length (m)\nP1,0.6\nP2,62\n", [], "row 3, column step_length .m.: 62 m .* would be one in cm"),
        ("subject,step_length (cm)\nP1,0.62\n", [], "0.62 cm is no step_length of a walk; it would be one in m"),
        ("subject,cadence (steps/min)\nP1,1.9\n", [], "is no cadence of a walk; is it this column"),
        ("subject,step_length (m)\nP1,long\n", [], "row 2, column step_length .m.: 'long' is not a number"),
        ("subject,step_length (m)\n,0.6\n", [], "row 2, column subject: it is empty"),
        ("who,step_length (m)\nP1,0.6\n", [], "no column 'subject'; .* --map ID=subject"),
        ("subject,weight\nP1,70\n", [], "no gait parameter"),
        ("subject,speed\nP1,1.2\n", [], "column speed: '1.2' is a number; give the unit"),
        ("subject,step_length (m),step_length_cm\nP1,0.6,60\n", [], "two columns for step_length"),
        ("subject,a\nP1,0.6\n", ["b=step_length:m"], "no column 'b'"),
        ("subject,a\nP1,0.6\n", ["a=stride:m"], "write COLUMN=subject"),
        ("subject,a\nP1,0.6\n", ["a=step_length"], "write COLUMN=subject"),
        ("subject,a\nP1,0.6\n", ["a=step_length:yards"], "'yards' is no unit of step_length"),
        ("subject,step_length (m)\nP1\n", [], "row 2 has 1 columns"),
        ("subject,step_length (m)\n", [], "has no rows"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str, mapped: list[str], reason: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(GaitloomError, match=reason):
        instruments.read(path, mapped, KEYS)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (
            {"speed (m/s)": ("speed", 1.8), "step_length (m)": "step_length", "step_time (s)": "step_time"},
            "speed is 1.8",
        ),
        (
            {"step_length (m)": "stride_length", "stride_length (m)": "step_length"},
            "stride_length is 0.25 times|is no step_length of a walk",
        ),
        ({"stance_time (s)": "swing_time", "swing_time (s)": "stance_time"}, "stance_time is 0.613 times"),
        ({"step_time (s)": "step_length", "step_length (m)": "step_time", "cadence (1/min)": "cadence"}, "cadence is"),
        ({"cadence (steps/min)": ("cadence", 0.5), "step_time (s)": "step_time"}, "cadence is 0.5 times"),
    ],
    ids=["km/h called m/s", "step and stride", "stance and swing", "time and length", "strides called steps"],
)
def test_tables_that_contradict_themselves(tmp_path: Path, header: dict[str, Any], reason: str) -> None:
    with pytest.raises(GaitloomError, match=reason):
        instruments.read(write(tmp_path / "t.tsv", header), [], KEYS)


# The whole command

NODES = {"track": {"backend": "blazepose"}, "keypoints": {"backend": "blazepose"}, "gait": {"backend": "events"}}


def noise(person: str, parameter: str, speed: str) -> float:
    return float(np.random.default_rng([*person.encode(), *parameter.encode(), *speed.encode()]).normal(0, 0.01))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Two clips a person; their nodes measure 2 % more than there is, with some noise; nobody's step width."""
    clips = [Clip(p, trial=s, sha256=f"{p}{s}", extra={"speed": s.title()}) for p in PEOPLE for s in SPEEDS]
    values = {"results": tmp_path / "results", "clips": {"folders": ["data"]}, "nodes": NODES}
    made = Plan(config.parse(values), clips)
    store = Store(made.config.results)
    for clip in clips:
        means = truth(PEOPLE.index(clip.subject), SPEEDS[clip.trial])
        row = [means.get(p, np.nan) * (1.02 + noise(clip.subject, p, clip.trial)) for p in PARAMETERS]
        staged = store.stage(made.key(clip, "gait"))
        n = np.where(np.isfinite(row), 8, 0)
        for name, array in (("mean", row), ("sd", np.multiply(row, 0.05)), ("n", n)):
            staged.put(f"summary_{name}", np.tile(array, (len(SIDES), 1)), ("side", "parameter"))
        staged.publish(
            made.recipes(clip)["gait"], {"scale": "walkway", "reasons": {"step_width": "seen from the side"}}
        )
    return made


def run(plan: Plan, table: Path, mapped: list[str] | None = None) -> pd.DataFrame:
    compare.compare(plan, table, "gait", mapped or [])
    found = pd.read_csv(plan.config.results / "compare" / "gait" / "agreement.tsv", sep="\t")
    return found.set_index(["parameter", "condition"])


GOOD = {"step_length_cm": ("step_length", 100), "step_time (s)": "step_time", "speed (m/s)": "speed"}


def test_figures_are_those_of_the_pairs(plan: Plan, tmp_path: Path) -> None:
    found = run(plan, write(tmp_path / "t.tsv", GOOD))
    assert list(found.index) == [(p, s) for p in ("step_time", "step_length", "speed") for s in ("fast", "usual")]
    for (parameter, speed), row in found.iterrows():  # type: ignore[misc]
        values = [truth(i, SPEEDS[speed])[parameter] for i in range(len(PEOPLE))]
        error = [v * (0.02 + noise(p, parameter, speed)) for p, v in zip(PEOPLE, values, strict=True)]
        assert row["n"] == len(PEOPLE) and row["mean_b"] == pytest.approx(np.mean(values), rel=1e-4)
        assert row["bias"] == pytest.approx(np.mean(error), abs=1e-5)
        assert row["mae"] == pytest.approx(np.abs(error).mean(), abs=1e-5)
        assert row["upper"] == pytest.approx(np.mean(error) + 1.96 * np.std(error, ddof=1), abs=1e-5)
        assert row["icc_low"] < row["icc"] < row["icc_high"] and row["icc"] > 0.8
        assert pd.isna(row["doubt"])


def test_plots_and_pages_are_the_same_every_time_and_old_ones_go(plan: Plan, tmp_path: Path) -> None:
    folder = plan.config.results / "compare" / "gait"
    table = write(tmp_path / "t.tsv", GOOD)
    run(plan, table)
    first = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert set(first) == {"agreement.tsv", "agreement.md", "step_time.png", "step_length.png", "speed.png"}
    run(plan, table)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == first
    run(plan, write(table, {"step_time (s)": "step_time"}))
    assert {p.name for p in folder.glob("*.png")} == {"step_time.png"}


def test_subjects_moved_by_one_row_are_seen(plan: Plan, tmp_path: Path) -> None:
    table = write(tmp_path / "t.tsv", {"step_length (m)": "step_length", "step_time (s)": "step_time"})
    good = run(plan, table)
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    people = [row[0] for row in rows[1:]]
    moved = [[who, *row[1:]] for who, row in zip(people[2:] + people[:2], rows[1:], strict=True)]
    table.write_text("\n".join("\t".join(row) for row in [rows[0], *moved]))
    bad = run(plan, table)
    assert (good["icc"] > 0.8).all() and (bad["icc"] < 0.3).all()
    assert bad["doubt"].str.contains("moved by one row").all()
    assert "## Doubtful" in (plan.config.results / "compare" / "gait" / "agreement.md").read_text()


def test_a_wrong_unit_that_could_be_right_is_seen_beside_the_node(plan: Plan, tmp_path: Path) -> None:
    found = run(plan, write(tmp_path / "t.tsv", {"speed (m/s)": ("speed", 1.8)}))
    assert found["doubt"].str.contains(r"the node is 0\.5\d+ times the table").all()


def test_what_has_no_partner_is_counted_with_its_reason(
    plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "t.csv"
    table.write_text(
        "subject,speed,step_time (s),step_width (m)\nP00,usual,0.5,0.1\nP00,slow,0.7,\nX1,usual,0.5,\nX2,usual,0.5,\n"
    )
    found = run(plan, table)
    page = (plan.config.results / "compare" / "gait" / "agreement.md").read_text()
    assert found.index.tolist() == [("step_time", "usual")] and found["n"].tolist() == [1]
    assert "- 1 values: step_width: seen from the side" in page
    assert "- 2 values: no clip with the node is of this subject" in page
    assert "- 1 values: the subject has no clip with the node at this session or condition" in page
    assert "4 values of the table are not compared" in capsys.readouterr().err


def test_rows_of_one_condition_are_averaged_and_clips_too(plan: Plan, tmp_path: Path) -> None:
    """Without a column for the speed, a subject's clips at both speeds are one mean."""
    table = tmp_path / "t.csv"
    table.write_text("subject,step_time (s)\n" + "".join(f"{p},0.5\n{p},0.6\n" for p in PEOPLE))
    found = run(plan, table).iloc[0].to_dict()
    ours = [
        truth(i, f)["step_time"] * (1.02 + noise(p, "step_time", s))
        for i, p in enumerate(PEOPLE)
        for s, f in SPEEDS.items()
    ]
    assert found["n"] == len(PEOPLE) and found["mean_b"] == pytest.approx(0.55)
    assert found["mean_a"] == pytest.approx(np.mean(ours), rel=1e-4)


def test_nothing_to_compare_says_why(plan: Plan, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("subject,step_time (s)\nsomebody,0.5\n")
    with pytest.raises(GaitloomError, match=r"Nothing of .*: no clip with the node is of this subject \(1\)"):
        compare.compare(plan, table, "gait", [])
    with pytest.raises(GaitloomError, match="'keypoints' is not a gait node; choose from: gait"):
        compare.compare(plan, table, "keypoints", [])


def test_the_command(plan: Plan, tmp_path: Path) -> None:
    write_sheet(plan.config.results / "clips.tsv", plan.clips)
    settings = tmp_path / "config.json"
    settings.write_text(plan.config.model_dump_json())
    table = write(tmp_path / "t.tsv", {"L": ("step_length", 100)})
    done = CliRunner().invoke(app, ["compare", str(table), "--config", str(settings), "--map", "L=step_length:cm"])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[1].startswith("step_length\tm\tfast\t12\t")
