"""Health&Gait's own partitions: 4 folds with seed 27, by age and sex, or by sex and BMI.

Its script (code/create_partitions of its repository) calls scikit-learn's StratifiedKFold and train_test_split. What
these do is written here from their documentation and known behaviour (since version 0.22, which changed it): both draw
from numpy's legacy RandomState, whose stream is frozen. Rows count in the order of the table.
"""

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
    fold = stratified_folds(tag, K, np.random.RandomState(SEED))
    for i in range(K):
        rest = np.flatnonzero(fold != i)
        share, sizes = len(rest) / len(known), pd.Series(tag[rest]).value_counts()
        train = int(share / (share + VALIDATION) * len(rest))
        if sizes.min() < 2 or min(train, len(rest) - train) < len(sizes):
            raise GaitloomError(
                f"Health&Gait's partitions for {task} need more people: beside the test, 2 of each class, and no fewer "
                f"to validate on than the {len(sizes)} classes; use --folds, which can do with fewer."
            )
        chosen, others = stratified_draw(tag[rest], train, np.random.RandomState(SEED))
        parts = {"train": rest[chosen], "validation": rest[others], "test": np.flatnonzero(fold == i)}
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


def stratified_folds(tag: np.ndarray, k: int, random: np.random.RandomState) -> np.ndarray:
    """(N,) the fold of each, as StratifiedKFold(k, shuffle=True) has it: sorted by class, classes in the order in which
    they appear, every k-th goes to a fold, which says how many of a class each fold gets; who, is shuffled by class."""
    order = list(dict.fromkeys(tag.tolist()))
    code = np.array([order.index(t) for t in tag.tolist()])
    dealt = np.sort(code)
    counts = np.array([np.bincount(dealt[i::k], minlength=len(order)) for i in range(k)])
    fold = np.empty(len(tag), int)
    for c in range(len(order)):
        of_class = np.repeat(np.arange(k), counts[:, c])
        random.shuffle(of_class)
        fold[code == c] = of_class
    return fold


def stratified_draw(tag: np.ndarray, n: int, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Rows of n drawn and of the others, as train_test_split(stratify=tag, train_size=n) has them: classes in sorted
    order, of each a permutation's first ones."""
    names, code = np.unique(tag, return_inverse=True)
    sizes = np.bincount(code)
    drawn = quotas(sizes, n, random)
    left = quotas(sizes - drawn, len(tag) - n, random)
    chosen: list[int] = []
    others: list[int] = []
    for c in range(len(names)):
        rows = np.flatnonzero(code == c)[random.permutation(sizes[c])]
        chosen += rows[: drawn[c]].tolist()
        others += rows[drawn[c] : drawn[c] + left[c]].tolist()
    return random.permutation(chosen), random.permutation(others)


def quotas(sizes: np.ndarray, n: int, random: np.random.RandomState) -> np.ndarray:
    """(classes,) how many of n each class gives: its share rounded down, the rest by largest remainders, among equal
    ones at random."""
    share = sizes / sizes.sum() * n
    given = np.floor(share)
    missing, remainder = int(n - given.sum()), share - given
    for value in np.unique(remainder)[::-1] if missing > 0 else ():
        (equal,) = np.where(remainder == value)
        now = min(len(equal), missing)
        given[random.choice(equal, size=now, replace=False)] += 1
        missing -= now
        if missing == 0:
            break
    return given.astype(int)
