"""One trial a target and input, and one re-identification a population: the workflow's jobs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gaitloom.clips import Clip, write_if_changed
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.store import Node, Store
from gaitloom.technical_validation import identity, scores
from gaitloom.technical_validation.cases import Cases, is_numbers
from gaitloom.technical_validation.learning import Learner

FOLDER = "technical_validation"
RE_IDENTIFICATION = "re_identification.tsv"
ABOUT = {
    "target": "What is told: a column of people or clips, or a table of labels.",
    "item": "The column of such a table, with the leg.",
    "classes": "Its classes, in the order of `of_class`; n/a of numbers.",
    "input": "The node from which it is told.",
}
COLUMNS = {**ABOUT, **scores.COLUMNS}


def folder(plan: Plan, population: str) -> Path:
    """Where what is found of a population lies."""
    return plan.config.results / FOLDER / population


def file_of(target: str, node: str) -> str:
    """The name of a trial's table in that folder."""
    return f"{target}.{node}.tsv"


def trial(plan: Plan, population: str, target: str, node: str) -> Path:
    """Tell a target from an input over the splits with every learner that there is for it; returns the table, with
    `COLUMNS`.

    Raises:
        GaitloomError: there is no such population, target or split, or a node is not in the store as planned.
    """
    from gaitloom.technical_validation import trials

    cases = Cases.of(plan, population)
    settings, paths, splits = cases.settings, cases.having([node]), cases.splits()
    subjects, resamples, seed = cases.subjects(paths), settings.resamples, settings.seed
    runs = settings.permutations if is_numbers(node) else settings.video.permutations
    rows: list[dict[str, Any]] = []
    for learner in _learners(cases, paths, node):
        for told in cases.target(target, paths):
            score = trials.trial(learner, told.values, len(told.classes), subjects, splits, runs, resamples, seed)
            about = {"target": target, "item": told.name, "classes": ", ".join(told.classes), "input": node}
            rows += [about | row for row in score.rows()]
    return _write(folder(plan, population) / file_of(target, node), rows, COLUMNS)


def re_identification(plan: Plan, population: str) -> Path:
    """Say how often each of a population's nodes tells who somebody is; returns the table, with `identity.COLUMNS`.

    Raises:
        GaitloomError: there is no such population, or a node is not in the store as planned.
    """
    cases = Cases.of(plan, population)
    rows = identity.of_clips(_seen(cases), cases.settings.resamples, cases.settings.seed)
    return _write(folder(plan, population) / RE_IDENTIFICATION, rows, identity.COLUMNS)


def read(path: Path) -> pd.DataFrame:
    """One of these tables: numbers as float64, text as it is, NaN where there is nothing."""
    return pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False, dtype={"of_class": str, "item": str})


def _learners(cases: Cases, paths: list[str], node: str) -> Iterator[Learner]:
    if is_numbers(node):
        from gaitloom.technical_validation import features, tables

        _, matrix = features.matrix(_node(cases, path, node) for path in paths)
        yield tables.Trees(matrix)
        yield tables.Perceptron(matrix)
    else:
        from gaitloom.technical_validation.video import Video

        config = cases.plan.config
        yield Video(Store(config.results).root, paths, node, cases.settings.video, config.device)


def _seen(cases: Cases) -> Iterator[tuple[Clip, dict[str, Node], np.ndarray | None]]:
    """Each clip with its nodes, and the subject's box from the laboratory's own track, which the tier need not hold."""
    for path, clip in cases.clips.items():
        nodes = {name: _node(cases, path, name) for name in cases.nodes[path]}
        track = "track" in cases.plan.digests_of(path)
        yield clip, nodes, _node(cases, path, "track").load("box") if track else None


def _node(cases: Cases, path: str, node: str) -> Node:
    store, key = Store(cases.plan.config.results), cases.plan.key(cases.clips[path], node)
    if store.digest(key) != cases.plan.planned(key):
        raise GaitloomError(f"{key} is missing or stale; run snakemake to make it.")
    return store.open(key)


def _write(path: Path, rows: list[dict[str, Any]], columns: dict[str, str]) -> Path:
    table = pd.DataFrame(rows, columns=list(columns)).replace("", None)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_if_changed(path, table.to_csv(sep="\t", index=False, na_rep="n/a", float_format="%.6g"))
    return path
