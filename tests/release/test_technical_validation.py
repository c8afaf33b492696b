"""A release holds its tier's technical validation, looked through like all else."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from gaitloom import config, split_files
from gaitloom.clips import read_sheet
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.release import build, parts, verify
from gaitloom.technical_validation import page, run

from . import sample

TIER = "registered"


def planned(folder: Path, **settings: Any) -> Plan:
    tiers = {TIER: {"k": 1, "exporters": ["zarr"], "modalities": ["gait"]}}
    values = sample.values(folder, splits={"shares": [1, 0, 1]}, tiers=tiers)
    values["technical_validation"] = {"targets": ["sex"], "inputs": ["gait"], **settings}
    return Plan(config.parse(values), read_sheet(folder / "results" / "clips.tsv"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample with its splits, the parts of one tier and what was found of it: nothing, of two people."""
    folder = tmp_path_factory.mktemp("validated")
    sample.plan(folder)
    plan = planned(folder)
    for path in plan.parts(TIER):
        parts.make(plan, path, TIER)
    one, other = sample.SUBJECTS
    split_files.folder_of(plan).mkdir()
    parts_of = {"train": [one], "validation": [], "test": [other]}
    (split_files.folder_of(plan) / "partition_0.json").write_text(json.dumps(parts_of))
    run.trial(plan, TIER, "sex", "gait")
    run.re_identification(plan, TIER)
    page.write(plan, TIER)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def test_page_tables_and_figures_are_in_the_release(folder: Path) -> None:
    release = build.build(planned(folder), TIER)
    found = {p.name for p in (release / "technical_validation").iterdir()}
    assert {page.PAGE, page.TABLE, run.RE_IDENTIFICATION, "technical_validation_identity.png"} <= found
    assert "sex.gait.tsv" not in found, "the trials stand together in one table"
    assert "10 are needed" in (release / "technical_validation" / page.PAGE).read_text()
    assert "technical_validation/TECHNICAL_VALIDATION.md" in (release / "README.md").read_text()
    assert verify.verify(release) == []
    (release / "technical_validation" / page.TABLE).write_text("nothing\n")
    assert any("technical_validation" in line for line in verify.verify(release)), "a change is seen"


def test_a_name_in_it_stops_the_release(folder: Path) -> None:
    plan = planned(folder)
    told = run.folder(plan, TIER) / page.PAGE
    told.write_text(f"{told.read_text()}\nWorst was {sample.SUBJECTS[0]}.\n")
    with pytest.raises(GaitloomError, match=r"technical_validation/TECHNICAL_VALIDATION.md .*subject's name"):
        build.build(plan, TIER)


def test_without_it_the_release_waits(folder: Path) -> None:
    plan = planned(folder)
    shutil.rmtree(run.folder(plan, TIER))
    with pytest.raises(GaitloomError, match="run `snakemake technical_validation`"):
        build.build(plan, TIER)


def test_other_settings_are_another_release(folder: Path) -> None:
    build.build(planned(folder), TIER)
    with pytest.raises(GaitloomError, match=r"raise release\.version"):
        build.build(planned(folder, seed=5), TIER)
