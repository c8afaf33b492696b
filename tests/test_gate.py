"""The gate before a release fails closed: whatever is missing, stale, red or only flagged speaks against a clip."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gaitloom import audit_report
from gaitloom.deidentify.audit import rates
from gaitloom.deidentify.audit.gate import GATES
from gaitloom.gate import releasable
from gaitloom.verify import faults
from reviewed import Reviewed
from scipy.stats import binom

A = "A/trial-1"


@pytest.fixture
def case(tmp_path: Path) -> Reviewed:
    case = Reviewed(tmp_path)
    case.deidentified()
    return case


def against(case: Reviewed, tier: Any = "full", path: str = A) -> list[str]:
    plan = case.plan
    clip = next(c for c in plan.clips if c.path == path)
    return releasable(plan, case.store, clip, tier)


def accept(case: Reviewed, of: str | None = None) -> str:
    return f"{A} | accept | | | | {(of or case.of())[:12]} | yes | yes | yes"


def test_the_stand_ins_are_laid_out_as_real_nodes_are(case: Reviewed) -> None:
    case.all(gates={"heads": "red"}, found=[(3, [1, 2, 3, 4], "heads", True)])
    assert [
        fault for node in ("video", "deidentified", "audit") for fault in faults(case.store, case.key(A, node))
    ] == []


def test_a_green_full_audit_lets_a_clip_out(case: Reviewed) -> None:
    case.audit()
    assert against(case) == [] == against(case, "basic")


def test_a_missing_audit_refuses(case: Reviewed) -> None:
    assert against(case) == ["audit is missing; run snakemake"]


def test_a_missing_video_refuses_whatever_its_audit_says(case: Reviewed) -> None:
    case.audit()
    case.store.drop(case.key(A, "deidentified"))
    assert against(case) == ["deidentified is missing; run snakemake"]


def test_an_audit_of_another_recipe_refuses(case: Reviewed) -> None:
    case.audit()
    case.values["nodes"] = {**case.values["nodes"], "deidentified": {"backend": "mosaic", "options": {"margin": 2}}}
    first, second = against(case)
    assert first == "deidentified is stale, made with another options.margin; run snakemake"
    assert second == "audit is stale, made with another inputs.deidentified; run snakemake"


def test_a_cover_makes_the_audit_before_it_stale(case: Reviewed) -> None:
    case.audit()
    case.decide(f"{A} | cover | 0 | 2")
    assert [r.split(",")[0] for r in against(case)] == ["deidentified is stale", "audit is stale"]
    case.deidentified()
    assert against(case) == ["audit is stale, made with another inputs.deidentified; run snakemake"]
    case.audit()
    assert against(case) == []


def test_an_audit_of_other_bytes_of_the_same_recipe_refuses(case: Reviewed) -> None:
    """The node was made again elsewhere, where the encoder gives other bytes."""
    case.audit()
    case.deidentified(made="elsewhere")
    (reason,) = against(case)
    assert "the audit is of other bytes than those of deidentified now" in reason


@pytest.mark.parametrize("gate", GATES)
def test_every_red_gate_refuses_and_no_accept_heals_it(case: Reviewed, gate: str) -> None:
    case.audit(gates={gate: "red"})
    assert against(case) == [f"gate {gate} is red; cover what it shows or exclude the clip, an accept does not heal it"]
    case.decide(accept(case))
    case.audit(gates={gate: "red"})
    assert f"gate {gate} is red" in against(case)[0] and f"gate {gate} is red" in against(case, "basic")[0]


def test_a_gate_that_was_not_run_is_not_green(case: Reviewed) -> None:
    case.audit(tier="basic", gates={"heads": "not run"}, passed=True)
    assert against(case, "basic") == []
    assert against(case) == ["the audit is basic; open and registered releases need a full one", "not run: heads"]
    case.audit(gates={"squint": "not run"}, passed=True)
    assert against(case, "basic") == ["not run: squint"]


def test_a_basic_audit_is_enough_for_internal_releases_only(case: Reviewed) -> None:
    case.audit(tier="basic")
    assert against(case, "basic") == []
    assert against(case) == ["the audit is basic; open and registered releases need a full one"]


@pytest.mark.parametrize(
    "broken",
    [
        {"gates": {}},
        {"gates": {"coverage": {"result": "green"}}},
        {"gates": {gate: {"result": "fine"} for gate in GATES}},
        {"passed": False},
        {"passed": None},
        {"audited_seal": None},
        {"tier": None},
        {"tier": "basic"},
    ],
)
def test_an_audit_that_does_not_say_so_is_not_passed(case: Reviewed, broken: dict[str, Any]) -> None:
    attributes = dict(broken)
    case.audit()
    assert against(case) == []
    key = case.key(A, "audit")
    path = case.store.path(key) / "zarr.json"
    document = json.loads(path.read_text())
    document["attributes"] |= attributes
    path.write_text(json.dumps(document))
    assert against(case) and (broken == {"tier": "basic"} or against(case, "basic"))


@pytest.mark.parametrize("where", ["audit", "deidentified", "lost"])
def test_a_flagged_clip_waits_for_an_accept_of_what_was_looked_at(case: Reviewed, where: str) -> None:
    attributes = {"lost": [[3, 1]], "flagged": True} if where == "lost" else {"flagged": True}

    def make() -> None:
        if where != "audit":
            case.deidentified(**attributes)
        case.audit(**({"flags": ["unproven"]} if where == "audit" else {}))

    make()
    (reason,) = against(case)
    flag = {"audit": "unproven", "deidentified": "flagged", "lost": "lost_person"}[where]
    assert reason == f"flagged ({flag}) and not accepted; look at it on the review page"
    case.decide(accept(case))
    assert against(case) == ["audit is stale, made with another decisions; run snakemake"]
    make()
    assert against(case) == []


def test_an_accept_goes_stale_with_what_was_looked_at(case: Reviewed) -> None:
    case.audit(flags=["unproven"])
    row = accept(case)
    case.decide(row)
    case.audit(flags=["unproven"])
    assert against(case) == []
    case.decide(row, f"{A} | cover | 0 | 2")
    case.deidentified()
    case.audit(flags=["unproven"])
    flagged, stale = against(case)
    assert flagged.startswith("flagged (unproven) and not accepted")
    assert (
        stale == f"the accept in row 2 is of another making ({row.split('|')[5].strip()}), so it is stale; look again"
    )
    case.audit()
    assert against(case) == [stale], "also where nothing is flagged any more: somebody accepted something else"
    case.decide(row, f"{A} | cover | 0 | 2", accept(case))
    case.audit(flags=["unproven"])
    assert against(case) == []


def test_an_excluded_clip_is_never_released(case: Reviewed) -> None:
    case.audit()
    case.decide(f"{A} | exclude | | | | | | | | | a face in the window")
    assert against(case) == ["the clip is excluded: a face in the window"]


def test_without_an_audit_node_nothing_is_released(case: Reviewed) -> None:
    case.values["nodes"] = {k: v for k, v in case.values["nodes"].items() if k != "audit"}
    assert against(case) == ["the configuration makes no audit node; add one under nodes"]


def test_the_report_adds_up_the_clips(case: Reviewed, capsys: pytest.CaptureFixture[str]) -> None:
    case.audit(flags=["unproven"])
    case.deidentified("B/trial-1")
    regions = {"face": {"1": 5, "3": 2}, "person": {"1": 1}}
    missed = {"tracks": 40, "missed": 1, "upper_95": 0.2}
    case.audit("B/trial-1", gates={"heads": "not run"}, tier="basic", missed=missed, regions=regions)
    audit_report.write(case.plan)
    header, *rows = [r.split("\t") for r in (case.folder / "results/audit.tsv").read_text().splitlines()]
    by_clip = {r[0]: dict(zip(header, r, strict=True)) for r in rows}
    assert by_clip[A]["tier"] == "full" and by_clip[A]["flags"] == "unproven" and by_clip[A]["coverage"] == "green"
    assert by_clip["B/trial-1"]["against_basic"] != "" and "basic" in by_clip["B/trial-1"]["against_full"]
    figures = json.loads((case.folder / "results/audit.json").read_text())
    assert figures["gates"]["heads"] == {"green": 1, "not run": 1} and figures["audited"] == figures["clips"] == 2
    assert figures["regions"] == {"face": {"1": 17, "3": 2}, "person": {"1": 1}}
    assert figures["flags"] == {"unproven": 1} and figures["releasable"] == {"full": 0, "basic": 0}
    assert (figures["missed"]["tracks"], figures["missed"]["missed"]) == (43, 1)
    # With that rate, so few misses are seen in one of twenty data sets.
    assert binom.cdf(1, 43, figures["missed"]["upper_95"]) == pytest.approx(0.05, abs=1e-3)
    assert audit_report.audit(case.plan, None, "basic") == 1
    shown = capsys.readouterr().out
    assert "heads missed: 1 of 43 tracks" in shown


def test_the_exit_code_is_zero_only_where_all_may_go(case: Reviewed) -> None:
    case.audit()
    assert audit_report.audit(case.plan, A, "full") == 0
    assert audit_report.audit(case.plan, None, "full") == 1, "B has no audit"
    case.decide("B/trial-1 | exclude")
    assert audit_report.audit(case.plan, None, "full") == 0


def test_a_bound_of_nothing_seen_promises_nothing() -> None:
    assert rates.upper_bound(0, 0) == rates.upper_bound(2, 2) == 1.0
    assert rates.upper_bound(0, 59) == pytest.approx(0.0495, abs=5e-4), "the rule of three"
    np.testing.assert_array_less(rates.upper_bound(10, 10_000), 0.002)
