"""`gaitloom splits`: a table of people in, files of splits out, in Health&Gait's form and in OpenGait's.

What lies in the folder already is an earlier split: nobody in it moves.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from gaitloom import health_gait_splits, splits, spreadsheets
from gaitloom.clips import Clip, write_if_changed
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.progress import say, warn
from gaitloom.provenance import digest
from gaitloom.split_settings import Splits
from gaitloom.splits import Split

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Recipe:
    """Health&Gait's own recipe instead of a way of ours; `family` is the column that must hold no families."""

    family: str = splits.FAMILY


def write(config: Path, table: Path | None, to: Path | None, way: Splits | Recipe | None) -> None:
    """Split the people of a table (of participants and clip sheet, where none is named), write the files into the
    folder `to` (`results/splits`), and print how many of each class are in each part. Without a `way`, as the
    configuration has it.

    Raises:
        GaitloomError: the table, the way or what lies in the folder is at fault, or something is in two parts.
    """
    plan = None if table and to and way else Plan.read(config)
    clips = [] if plan is None else list(plan.accepted.values())
    people = read(table) if table else of_plan(plan)  # type: ignore[arg-type]
    folder = to or folder_of(plan)  # type: ignore[arg-type]
    way = way or plan.config.splits  # type: ignore[union-attr]
    if way is None:
        raise GaitloomError(
            "Say how to split: --folds, --leave-one-out, --shares, --preset, or a table 'splits' in the configuration."
        )
    made = _recipe(people, folder, way) if isinstance(way, Recipe) else {"": _split(people, folder, way)}
    for found in made.values():
        _check(found, clips, people, way.family)
    for name, found in made.items():
        for number, split in enumerate(found):
            _write(folder / name / f"partition_{number}.json", split)
            _write(folder / name / f"opengait_{number}.json", splits.opengait(split))
        joint = _recipes_classes(people, name) if isinstance(way, Recipe) else _classes(people, way)
        print(_counts(joint, found, name))
    say(f"the splits are in {folder}; split the same way when people are added")


def way(options: dict[str, Any], preset: str | None, family: str, seed: int) -> Splits | Recipe | None:
    """What the command was told, of which `options` are fields of `Splits`; None where it was told of no way.

    Raises:
        GaitloomError: an option is at fault, or there are two ways.
    """
    given = {k: v for k, v in options.items() if v}
    if preset:
        if given:
            raise GaitloomError(f"--preset is a way of its own; leave out --{'and --'.join(given)}.".replace("_", "-"))
        return Recipe(family)
    if not given:
        return None
    if "shares" in given:
        given["shares"] = given["shares"].split(",")
    try:
        return Splits(**given, family=family, seed=seed)
    except ValidationError as error:
        fault = error.errors()[0]
        where = "".join(f"--{part} " for part in fault["loc"][:1]).replace("_", "-")
        told = f"{fault['msg'].removeprefix('Value error, ')}"
        raise GaitloomError(f"{where}{told[:1].lower()}{told[1:]}; see `gaitloom splits --help`.") from None


def folder_of(plan: Plan) -> Path:
    """Where the configuration's splits lie."""
    return plan.config.results / "splits"


def of_people(plan: Plan, subjects: Collection[str]) -> list[Split]:
    """The configuration's splits as they were made, in which all of these subjects are.

    Raises:
        GaitloomError: they are not made, or a subject is in none of them.
    """
    folder = folder_of(plan)
    found = earlier(folder)
    if not found:
        raise GaitloomError(f"There are no splits in {folder}; run `snakemake splits`.")
    dealt = {s for part in found[0].values() for s in part}
    if missing := sorted(set(subjects) - dealt):
        raise GaitloomError(f"Subject {missing[0]} is in none of the splits in {folder}; run `snakemake splits`.")
    return found


def forget(folder: Path, subject: str) -> None:
    """Take a subject out of every split in a folder and below."""
    for path in sorted(folder.rglob("*.json")):
        try:
            split = json.loads(path.read_text(encoding="utf-8"))
            kept = {part: [s for s in names if s.casefold() != subject.casefold()] for part, names in split.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            raise GaitloomError(f"{path} is no split, so nobody can be taken out of it; remove it.") from None
        if kept != split:
            _write(path, kept)


def planned(plan: Plan) -> str:
    """Digest of what the configuration's splits are made from: who there is, and the columns that they go by."""
    way, people = plan.config.splits, of_plan(plan)
    used = [c for c in (*way.bands(), way.family) if c in people] if way else []
    return digest({"way": way and way.model_dump(mode="json"), "people": people[used].to_csv()})


def _split(people: pd.DataFrame, folder: Path, way: Splits) -> list[Split]:
    before = _before(people, folder)
    options: dict[str, Any] = {"by": way.bands(), "family": way.family, "seed": way.seed}
    if way.shares:
        if len(before) > 1:
            raise GaitloomError(f"{folder} has {len(before)} partitions, not one; name another folder with --to.")
        shares: dict[str, float] = dict(zip(PARTS, way.shares, strict=True))
        return [splits.deal(people, shares, before=before[0] if before else None, **options)]
    if way.folds is None:
        return splits.leave_one_out(people, validation=way.validation or 0.0, before=before, **options)
    validation = health_gait_splits.VALIDATION if way.validation is None else way.validation
    return splits.folds(people, way.folds, validation=validation, before=before, **options)


def _recipe(people: pd.DataFrame, folder: Path, way: Recipe) -> dict[str, list[Split]]:
    """Subfolder → its splits."""
    return {task: _task(people, task, _before(people, folder / task), way) for task in health_gait_splits.TASKS}


def _before(people: pd.DataFrame, folder: Path) -> list[Split]:
    before = earlier(folder)
    gone = {s for split in before for part in split.values() for s in part} - set(people.index)
    if gone:
        warn(f"{folder}: {len(gone)} people of the earlier split are not in the table and drop out of it")
    return before


def _task(people: pd.DataFrame, task: str, before: Sequence[Split], way: Recipe) -> list[Split]:
    recipe = health_gait_splits
    if any(len(unit) > 1 for unit in splits.families(people, way.family)):
        raise GaitloomError("Health&Gait's recipe knows no families, and this table has some; use --folds 4 instead.")
    known = people.dropna(subset=[c for c in recipe.TASKS[task] if c in people])
    if len(known) < len(people):
        warn(f"{task}: {len(people) - len(known)} people are left out, as the recipe has it: a column is empty")
    if "bmi" in recipe.TASKS[task] and (names := recipe.gap(known)):
        warn(f"{task}: by a gap in the recipe's BMI bands {len(names)} count as obese who are not: {_few(names)}")
    if not before:
        return recipe.partitions(people, task)
    columns = recipe.TASKS[task]
    tagged = known.assign(tag=recipe.tags(known, columns))
    return splits.folds(tagged, recipe.K, {"tag": ()}, way.family, recipe.SEED, recipe.VALIDATION, before)


def read(path: Path) -> pd.DataFrame:
    """The people of a CSV or TSV: index the subject (a column `subject`, `ID` or `participant_id`), columns in lower
    case, values as text, NaN where there is none.

    Raises:
        GaitloomError: it cannot be read, or a subject is missing or there twice.
    """
    table = spreadsheets.read(path)
    table = table.rename(columns={c: str(c).casefold() for c in table})
    name = next((c for c in ("subject", "id", "participant_id") if c in table), None)
    if name is None or len(set(table.columns)) < len(table.columns):
        raise GaitloomError(f"{path} needs one column 'subject' (or 'ID'), and every column once; correct its header.")
    for number, subject in table[name].items():
        if pd.isna(subject):
            raise GaitloomError(f"{path} row {number}, column {name}: it is empty; name the subject.")
    again = table[name].str.casefold().duplicated()
    for number, subject in table[name][again].items():
        raise GaitloomError(f"{path} row {number}, column {name}: '{subject}' is there twice; keep one row a subject.")
    return table.set_index(name).rename_axis("subject")


def of_plan(plan: Plan) -> pd.DataFrame:
    """The people who have clips, index the subject: the columns of the table of participants, where a release is
    configured, and those of the clip sheet, each with all values of their clips joined by `+`."""
    told: dict[str, dict[str, set[str]]] = {}
    for clip in plan.accepted.values():
        row = told.setdefault(clip.subject, {})
        for column, value in clip.extra.items():
            row.setdefault(column, set()).add(value)
    rows = {subject: {c: "+".join(sorted(v)) for c, v in row.items()} for subject, row in sorted(told.items())}
    people = pd.DataFrame.from_dict(rows, orient="index").reindex(sorted(rows))
    if plan.config.release is not None:
        from gaitloom.release import participants

        listed = participants.read(plan.config.release)
        if absent := [s for s in people.index if s not in listed.index]:
            warn(f"{len(absent)} subjects with clips are in no row of the participants: {_few(absent)}")
        people = listed.reindex(people.index).combine_first(people)
    return people


def earlier(folder: Path) -> list[Split]:
    """The splits that lie in a folder, by their numbers.

    Raises:
        GaitloomError: one cannot be read, or a number is missing.
    """
    files = sorted(folder.glob("partition_*.json"))
    found = []
    for number in range(len(files)):
        path = folder / f"partition_{number}.json"
        try:
            split = json.loads(path.read_text(encoding="utf-8"))
            found.append({part: [str(s) for s in split[part]] for part in PARTS})
        except (OSError, ValueError, KeyError, TypeError):
            raise GaitloomError(
                f"{path} is no split with train, validation and test; put back the one that was there, or begin in "
                "another folder with --to."
            ) from None
    return found


def _check(found: list[Split], clips: list[Clip], people: pd.DataFrame, family: str) -> None:
    families = {str(k): str(v) for k, v in people[family].dropna().items()} if family in people else {}
    for number, split in enumerate(found):
        if sentences := splits.leaks(split, clips, families):
            raise GaitloomError(
                f"Partition {number} would leak: {'; '.join(sentences[:3])}; give people who share something the same "
                f"value in the column '{family}', or correct the clip sheet."
            )


def _write(path: Path, split: Mapping[str, list[str]]) -> None:
    write_if_changed(path, json.dumps(split, indent=4, ensure_ascii=False) + "\n")


def _recipes_classes(people: pd.DataFrame, task: str) -> pd.Series:
    columns = health_gait_splits.TASKS[task]
    known = people.dropna(subset=list(columns))
    return pd.Series(health_gait_splits.tags(known, columns), known.index)


def _classes(people: pd.DataFrame, way: Splits) -> pd.Series:
    told = splits.strata(people, way.bands())
    return told.agg(", ".join, axis=1) if way.by else pd.Series("everyone", people.index)


def _counts(joint: pd.Series, found: list[Split], name: str) -> str:
    """A table, tab-separated: of every partition and part, how many people it has and how many of each class."""
    classes = sorted(set(joint))
    rows = [[name or "split", "part", "people", *classes]]
    for number, split in enumerate(found):
        for part, subjects in split.items():
            count = joint.reindex(subjects).value_counts()
            rows.append([str(number), part, str(len(subjects)), *(str(count.get(c, 0)) for c in classes)])
    return "\n".join("\t".join(row) for row in rows)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
