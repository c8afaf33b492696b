"""Health&Gait's own partitions: 4 folds with seed 27, by age and sex, or by sex and BMI.

Its script (code/create_partitions of its repository) calls scikit-learn's StratifiedKFold and train_test_split, and so
does this. Rows count in the order of the table.
"""

import warnings

import numpy as np
import pandas as pd

from gaitloom.errors import GaitloomError
from gaitloom.splits import Split

K, SEED, VALIDATION = 4, 27, 0.10
TASKS: dict[str, tuple[str, ...]] = {"Sex": ("age", "sex"), "Age": ("age", "sex"), "Weight": ("sex", "bmi")}


def partitions(people: pd.DataFrame, task: str) -> list[Split]:
    """The 4 partitions of a task of `TASKS`, of those people of whom its columns are known.

    Raises:
        GaitloomError: a column is not there, or a class has too few people for the recipe.
    """
    from sklearn.model_selection import StratifiedKFold, train_test_split

    columns = TASKS[task]
    for column in columns:
        if column not in people:
            raise GaitloomError(f"Health&Gait's partitions for {task} need the column '{column}'; add it.")
    known = people.dropna(subset=list(columns))
    tag = tags(known, columns)
    counts = pd.Series(tag).value_counts()
    if counts.empty or counts.max() < K:
        raise GaitloomError(f"Health&Gait's partitions for {task} need {K} people in a class; no class has them.")
    names, splits = np.array(known.index, str), []
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # that a class has fewer than K people
        folds = list(StratifiedKFold(K, shuffle=True, random_state=SEED).split(names, tag))
    for rest, test in folds:
        share = len(rest) / len(known)
        try:
            train, validation = train_test_split(
                rest, train_size=share / (share + VALIDATION), random_state=SEED, stratify=tag[rest]
            )
        except ValueError:
            raise GaitloomError(
                f"Health&Gait's partitions for {task} need more people: beside the test, 2 of each class, and no fewer "
                f"to validate on than the {len(set(tag[rest]))} classes; use --folds, which can do with fewer."
            ) from None
        parts = {"train": train, "validation": validation, "test": test}
        splits.append({part: sorted(names[rows].tolist()) for part, rows in parts.items()})
    return splits


def tags(people: pd.DataFrame, columns: tuple[str, ...]) -> np.ndarray:
    """(N,) str: the classes of the columns joined by `_`, as the recipe has them."""
    classes = {"age": _age, "bmi": _bmi}
    told = [[classes.get(c, str)(v) for v in people[c]] for c in columns]
    return np.array(["_".join(values) for values in zip(*told, strict=True)], str)


def _age(age: float | str) -> str:
    age = float(age)
    bands = {"young": (18, 34), "adult": (35, 49), "old": (50, 64)}
    return next((name for name, (low, high) in bands.items() if low <= age <= high), "None")


def _bmi(bmi: float | str) -> str:
    """As published, gaps and all: between 24.9 and 25.0 one is `obese`, as between 29.9 and 30."""
    bmi = float(bmi)
    if bmi < 18.5:
        return "thinness"
    return "normal" if bmi <= 24.9 else "overweight" if 25.0 <= bmi <= 29.9 else "obese"


def gap(people: pd.DataFrame) -> list[str]:
    """Whom the gap of the BMI bands puts among the obese although they are below 25, or below 30."""
    if "bmi" not in people:
        return []
    bmi = pd.to_numeric(people["bmi"], errors="coerce")
    return people.index[bmi.between(24.9, 25, "neither") | bmi.between(29.9, 30, "neither")].astype(str).tolist()
