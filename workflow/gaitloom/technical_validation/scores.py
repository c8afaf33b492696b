"""How well a target was told: over people with intervals, against the most frequent class or the mean, and by chance.

Figures are of all folds' test clips pooled, not means of the folds': a fold with few people of a class has no F1 or R²
worth averaging (Forman & Scholz, SIGKDD Explorations 2010;12(1):49-57).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

LEAST_PEOPLE = 10  # to tell; a bootstrap over fewer says little
# People to tell of each class: with as many as folds each can have one. Or people with other than the commonest number:
# then less than 1 % of resamples has only one value.
LEAST_OF_VALUE = 5
CLASS_MEASURES: tuple[str, ...] = ("accuracy", "balanced_accuracy", "macro_f1")
NUMBER_MEASURES: tuple[str, ...] = ("mae", "r2")
COLUMNS = {
    "learner": "What learned it.",
    "measure": "accuracy; balanced_accuracy: mean of the classes' recalls; macro_f1: mean of their F1; mae: mean "
    "absolute error; r2: 1 less the share of the variance that is left.",
    "value": "Over all test clips of all folds.",
    "low": "Begin of the 95 % interval: bootstrap over people.",
    "high": "Its end.",
    "baseline": "The same measure for the most frequent class, or the mean, of each fold's training clips.",
    "permuted": "Mean of the measure where targets were exchanged between people before learning.",
    "p": "Share of those runs, and of this one, that were as good or better.",
    "permutations": "How many such runs.",
    "people": "People told.",
    "clips": "Clips told.",
    "untold": "Test clips that the learner could not tell.",
    "folds": "Folds that tested somebody.",
    "of_class": "People told of each class, in their order.",
    "reason": "Why there are no figures.",
}


class Told(NamedTuple):
    """What was told of n test clips: `rows` (n,) which clips, `fold` (n,), and `truth`, `told`, `baseline` (n,), int64
    classes or float64. `untold` is how many more the learner had nothing for."""

    rows: np.ndarray
    fold: np.ndarray
    truth: np.ndarray
    told: np.ndarray
    baseline: np.ndarray
    untold: int


class Measure(NamedTuple):
    """One measure; see `COLUMNS`."""

    value: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    baseline: float = float("nan")
    permuted: float = float("nan")
    p: float = float("nan")


@dataclass(frozen=True)
class Score:
    """One target told by one learner; see `COLUMNS`. Where there is too little, all `measures` are NaN, and `reason`
    says why."""

    learner: str
    measures: dict[str, Measure]
    people: int
    clips: int
    untold: int
    folds: int
    of_class: tuple[int, ...]
    permutations: int = 0
    reason: str = ""

    def rows(self) -> list[dict[str, Any]]:
        """A dict with `COLUMNS` for each measure."""
        rest = {name: getattr(self, name) for name in COLUMNS if hasattr(self, name)}
        rest["of_class"] = " ".join(map(str, self.of_class))
        found = [rest | {"measure": name} | m._asdict() for name, m in self.measures.items()]
        return [{column: row[column] for column in COLUMNS} for row in found]


def lacking(truth: np.ndarray, classes: int, people: np.ndarray, folds: int) -> str:
    """Why clips of `people` (n,) str with their `truth` (n,) are too little to be scored; empty where they are not.

    Needed are `LEAST_PEOPLE`, two values, and of each class that is there as many people as `folds`, but at least 2 and
    at most `LEAST_OF_VALUE`; for numbers, `LEAST_OF_VALUE` people with other than the commonest one.
    """
    if (count := len(np.unique(people))) < LEAST_PEOPLE:
        return f"{count} people could be told; {LEAST_PEOPLE} are needed"
    values, sizes = np.unique(truth, return_counts=True)
    if len(values) < 2:
        return "all who could be told have the same value"
    least = max(2, min(LEAST_OF_VALUE, folds)) if classes else LEAST_OF_VALUE
    if classes and (fewest := min(n for n in of_class(truth, classes, people) if n)) < least:
        return f"{fewest} of the rarest class could be told; {least} are needed"
    if not classes and (others := len(np.unique(people[truth != values[sizes.argmax()]]))) < least:
        return f"{others} with other than the commonest number could be told; {least} are needed"
    return ""


def of_class(truth: np.ndarray, classes: int, people: np.ndarray) -> tuple[int, ...]:
    """How many people have clips of each class."""
    return tuple(len(np.unique(people[truth == c])) for c in range(classes))


def figures(truth: np.ndarray, told: np.ndarray, classes: int) -> np.ndarray:
    """(M,) the measures, in the order of `CLASS_MEASURES` or `NUMBER_MEASURES`, of (n,) truth and what was told."""
    return _figures(_tallies(truth, told, classes).sum(axis=0)[None], classes)[0]


def _tallies(truth: np.ndarray, told: np.ndarray, classes: int) -> np.ndarray:
    """(n, K) of each clip what, summed over clips, gives the measures: the cell of the confusion matrix, or 1, |e|, e²,
    y, y²."""
    if classes:
        return np.eye(classes**2)[truth * classes + told]
    error, y = told - truth, truth - truth.mean()  # R² does not depend on where y begins, rounding does
    return np.column_stack([np.ones_like(y), np.abs(error), error**2, y, y**2])


def _figures(sums: np.ndarray, classes: int) -> np.ndarray:
    """(R, M) measures of R (R, K) sums of tallies. Classes that are neither there nor told count for nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if not classes:
            n, absolute, square, y, y2 = sums.T
            spread = y2 - y**2 / n
            return np.column_stack([absolute / n, 1 - square / np.where(spread > 1e-9 * y2, spread, np.nan)])
        confusion = sums.reshape(-1, classes, classes)
        total, there, said = (np.einsum(f"rij->r{a}", confusion) for a in ("", "i", "j"))
        right = np.einsum("rii->ri", confusion)
        recall, f1 = right / there, 2 * right / (there + said)
    means = [np.nansum(v, axis=1) / np.isfinite(v).sum(axis=1) for v in (recall, f1)]
    return np.column_stack([right.sum(axis=1) / total, *means])


def intervals(tallies: np.ndarray, classes: int, people: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """(2, M) ends of the 95 % percentile intervals of the measures, by a bootstrap over people, who are drawn with all
    their clips (Davison & Hinkley 1997, section 3.8: clusters are resampled whole, not within).

    Of (n, K) tallies. Where nobody was told wrong a bootstrap has no spread; there the low end is Clopper & Pearson's
    (Biometrika 1934;26:404-413) for as many people as the rarest class has.
    """
    names, who = np.unique(people, return_inverse=True)
    sums = np.zeros((len(names), tallies.shape[1]))
    np.add.at(sums, who, tallies)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), resamples)
    ends = np.nanpercentile(_figures(drawn @ sums, classes), (2.5, 97.5), axis=0)
    if classes:
        confusion = sums.reshape(-1, classes, classes)
        there = (confusion.sum(axis=2) > 0).sum(axis=0)
        if not (confusion.sum(axis=0) * (1 - np.eye(classes))).any():
            ends[0] = 0.025 ** (1 / there[there > 0].min())
    return ends


def score(
    learner: str, told: Told, classes: int, people: np.ndarray, chance: Sequence[np.ndarray], resamples: int, seed: int
) -> Score:
    """The score of what was told of clips of `people` (n,) str; `chance` are (M,) `figures` of permuted runs, none or
    more.

    p is (1 + runs as good or better) / (1 + runs) (Phipson & Smyth, Statistical Applications in Genetics and Molecular
    Biology 2010;9:39).
    """
    names = CLASS_MEASURES if classes else NUMBER_MEASURES
    found = nothing(learner, told.truth, classes, people, len(np.unique(told.fold)), told.untold)
    if reason := lacking(told.truth, classes, people, found.folds):
        return replace(found, reason=reason)
    value, base = (figures(told.truth, v, classes) for v in (told.told, told.baseline))
    low, high = intervals(_tallies(told.truth, told.told, classes), classes, people, resamples, seed)
    runs = np.array(chance, float).reshape(len(chance), len(names))
    better = np.array([-1 if name == "mae" else 1 for name in names])
    worse = (better * (runs - value) < -1e-12).sum(axis=0)
    p = (1 + len(runs) - worse) / (1 + len(runs)) if len(runs) else np.full(len(names), np.nan)
    mean = runs.mean(axis=0) if len(runs) else np.full(len(names), np.nan)
    rows = np.column_stack([value, low, high, base, mean, p]).tolist()
    measures = {name: Measure(*row) for name, row in zip(names, rows, strict=True)}
    return replace(found, measures=measures, permutations=len(runs))


def nothing(
    learner: str, truth: np.ndarray, classes: int, people: np.ndarray, folds: int, untold: int = 0, reason: str = ""
) -> Score:
    """A score without figures: how many there are, and why there are none."""
    names = CLASS_MEASURES if classes else NUMBER_MEASURES
    measures = dict.fromkeys(names, Measure())
    counts = len(np.unique(people)), len(truth), untold, folds, of_class(truth, classes, people)
    return Score(learner, measures, *counts, reason=reason)
