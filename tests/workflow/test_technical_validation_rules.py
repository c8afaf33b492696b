"""`snakemake technical_validation` on a data set of which it is known what can be told."""

import os
import re
from collections import Counter
from pathlib import Path

import pytest
import validated
from gaitloom.plan import Plan
from gaitloom.technical_validation import run
from project import Project

PEOPLE = 20
SETTINGS = {"inputs": ["gait"], "targets": ["sex", "weight_kg", "aid"], "permutations": 5}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("validated"))
    validated.lay(project.folder, PEOPLE)
    project.config = validated.values(**SETTINGS)
    here = Path.cwd()
    os.chdir(project.folder)
    try:
        validated.fill(Plan.load(project.config, scan=True))
    finally:
        os.chdir(here)
    assert project.gaitloom("reconcile").returncode == 0
    done = project.snakemake("--quiet", "rules", "--", "technical_validation")
    assert done.returncode == 0, done.stderr[-3000:]
    return project


def test_what_was_planted_is_told_and_nothing_else(project: Project) -> None:
    folder = project.results / "technical_validation" / "registered"
    table = run.read(folder / "technical_validation.tsv")
    assert list(table.columns) == list(run.COLUMNS)
    trees = table[(table["learner"] == "trees")].set_index(["target", "measure"])
    sex, weight = trees.loc[("sex", "accuracy")], trees.loc[("weight_kg", "mae")]
    assert sex["value"] == 1 and sex["low"] > max(sex["baseline"], sex["permuted"]) and sex["people"] == PEOPLE
    assert weight["high"] > weight["baseline"], "people's weights are nowhere in their gait"
    who = run.read(folder / "re_identification.tsv").set_index("input")
    assert who.loc["keypoints", "value"] == 1 and who.loc["track", "value"] == 0, "limbs tell, boxes are all alike"
    page = (folder / "TECHNICAL_VALIDATION.md").read_text()
    assert "| sex | gait | trees | accuracy | 1 |" in page and "- aid: nothing is known of it here." in page
    figures = re.findall(r"!\[.*\]\((.*)\)", page)
    assert len(figures) == 3 and all((folder / f).read_bytes().startswith(b"\x89PNG") for f in figures)
    for path in folder.iterdir():
        assert b"Someone" not in path.read_bytes(), f"{path.name} names people"


def test_only_what_changed_is_tried_again(project: Project) -> None:
    assert project.plan("technical_validation") == Counter()
    table = project.folder / "participants.tsv"
    before = table.read_text()
    table.write_text(before.replace("\t61\tno", "\t81\tno"))
    try:
        assert project.plan("technical_validation") == Counter(trial_of_numbers=1, technical_validation_of=1)
        table.write_text(before.replace("\tF\t20\t", "\tM\t20\t"))
        assert project.plan("technical_validation") == Counter(splits=1, trial_of_numbers=2, technical_validation_of=1)
    finally:
        table.write_text(before)
    assert project.plan("technical_validation") == Counter()
