"""Cross-validation over the splits: everyone's clips are told by what was learned from others, and by chance."""

from collections.abc import Iterator, Sequence

import numpy as np

from gaitloom.errors import GaitloomError
from gaitloom.splits import Split, leaks
from gaitloom.technical_validation import scores
from gaitloom.technical_validation.learning import Learner, Rows
from gaitloom.technical_validation.scores import Score, Told

FEW = 4  # tested people a fold, on average; with fewer, targets are exchanged over folds too


def trial(
    learner: Learner,
    target: np.ndarray,
    classes: int,
    subjects: np.ndarray,
    splits: Sequence[Split],
    permutations: int,
    resamples: int,
    seed: int,
) -> Score:
    """How well a learner tells a target of N clips, `permutations` runs of chance included.

    `target` (N,) is int64, -1 where unknown, or float64 with NaN where `classes` is 0; `subjects` (N,) str. What is too
    little is not learned; the score's `reason` says so.

    Raises:
        GaitloomError: as `cross_validate`.
    """
    folds = rows_of(target, classes, subjects, splits)
    tested = np.concatenate([rows.test for rows in folds]) if folds else np.zeros(0, np.int64)
    if reason := scores.lacking(target[tested], classes, subjects[tested], len(folds)):
        return scores.nothing(learner.name, target[tested], classes, subjects[tested], len(folds), reason=reason)
    told = cross_validate(learner, target, classes, subjects, splits, seed)
    enough = not scores.lacking(told.truth, classes, subjects[told.rows], len(np.unique(told.fold)))
    runs = permuted(learner, target, classes, subjects, splits, permutations if enough else 0, seed)
    chance = [scores.figures(run.truth, run.told, classes) for run in runs]
    return scores.score(learner.name, told, classes, subjects[told.rows], chance, resamples, seed)


def rows_of(target: np.ndarray, classes: int, subjects: np.ndarray, splits: Sequence[Split]) -> list[Rows]:
    """The clips of each split's parts, without those whose target is unknown; splits in which nothing is left to learn
    from or to tell are left out.

    Raises:
        GaitloomError: someone is in two parts of a split, or is tested in two splits.
    """
    known, found, tested = _known(target, classes), [], set()
    for i, split in enumerate(splits):
        if leak := leaks(split):
            raise GaitloomError(f"Partition {i}: {leak[0]}; make the splits anew.")
        if twice := sorted(tested.intersection(split.get("test", ()))):
            raise GaitloomError(f"Partition {i} tests {twice[0]}, whom an earlier one tests; make the splits anew.")
        tested.update(split.get("test", ()))
        parts = (set(split.get(part, ())) for part in Rows._fields)
        rows = Rows(*(np.flatnonzero(known & [s in part for s in subjects.tolist()]) for part in parts))
        if len(rows.train) and len(rows.test):
            found.append(rows)
    return found


def _known(target: np.ndarray, classes: int) -> np.ndarray:
    return target >= 0 if classes else np.isfinite(target)


def cross_validate(
    learner: Learner, target: np.ndarray, classes: int, subjects: np.ndarray, splits: Sequence[Split], seed: int
) -> Told:
    """What the learner tells of every split's test clips, of which and of clips in no part it never sees the target.

    A row of NaN is a clip that it cannot tell. Arguments as `trial`.

    Raises:
        GaitloomError: as `rows_of`, or the learner's answer has no such shape or is no probability.
    """
    pieces, untold = [], 0
    for fold, rows in enumerate(rows_of(target, classes, subjects, splits)):
        shown = np.concatenate([rows.train, rows.validation])
        hidden = np.full_like(target, -1 if classes else np.nan)
        hidden[shown] = target[shown]
        learned = target[rows.train]
        usual = np.bincount(learned, minlength=classes).argmax() if classes else learned.mean()
        answer = _checked(learner, learner.tell(rows, hidden, classes, seed), len(rows.test), classes)
        there = ~np.isnan(answer if answer.ndim == 1 else answer[:, 0])
        test, said = rows.test[there], answer[there]
        untold += int((~there).sum())
        told = said.argmax(axis=1) if classes else said
        pieces.append((test, np.full(len(test), fold), target[test], told, np.full(len(test), usual)))
    if not pieces:
        none = np.zeros(0, np.int64)
        return Told(none, none, target[none], target[none], target[none], 0)
    rows, folds, truth, told, baseline = map(np.concatenate, zip(*pieces, strict=True))
    return Told(rows, folds, truth, told, baseline, untold)


def _checked(learner: Learner, answer: np.ndarray, count: int, classes: int) -> np.ndarray:
    """The answer, where it is what `Learner.tell` gives, or NaN for a whole clip."""
    answer = np.asarray(answer, np.float64)
    good = answer.shape == ((count, classes) if classes else (count,))
    if good and classes:
        unknown = np.isnan(answer).all(axis=1)
        good = bool(((answer >= 0).all(axis=1) & (np.abs(answer.sum(axis=1) - 1) < 1e-4) | unknown).all())
    if not good or np.isinf(answer).any():
        what = f"{classes} probabilities" if classes else "one number"
        raise GaitloomError(f"The learner '{learner.name}' does not tell {what} a clip; correct its `tell`.")
    return answer


def permuted(
    learner: Learner,
    target: np.ndarray,
    classes: int,
    subjects: np.ndarray,
    splits: Sequence[Split],
    permutations: int,
    seed: int,
) -> Iterator[Told]:
    """`cross_validate`, as often as said, on targets that are `exchanged`."""
    for run in range(permutations):
        other = exchanged(target, classes, subjects, splits, np.random.default_rng([seed, run]))
        yield cross_validate(learner, other, classes, subjects, splits, seed)


def exchanged(
    target: np.ndarray, classes: int, subjects: np.ndarray, splits: Sequence[Split], rng: np.random.Generator
) -> np.ndarray:
    """(N,) targets exchanged between people; what is unknown stays so.

    Clips are no independent cases, people are: a person's clips that have one value have one value afterwards, that of
    another person. If clips were exchanged singly, learners could no more know people again, and chance would look
    worse than it is. Who has several values (a usual and a fast walk) gets those of another person, in any order: the
    one value for all clips that had one, the next for those that had the next. So a condition, of which everyone has
    all values, changes sides within people, and what hardly changes within people (weight, over the years) still goes
    to others. This is exchange of whole blocks and within them as by Winkler et al., NeuroImage 2015;123:253-268.

    People are exchanged with those who are tested in the same split, since splits are as a rule stratified by the
    target: each keeps its share of classes, without which a learner that leans to the training's most frequent class
    does worse than chance. With less than `FEW` people a split (leaving one out), which then cannot be stratified, they
    are exchanged with anyone.
    """
    known, other = _known(target, classes), target.copy()
    where = {s: i for i, split in enumerate(splits) for s in split.get("test", ())}
    values = {s: np.unique(target[known & (subjects == s)]) for s in np.unique(subjects[known]).tolist()}
    alone = sum(s in where for s in values) < FEW * len(set(where.values()))
    groups: dict[int, list[str]] = {}
    for subject in values:
        groups.setdefault(0 if alone else where.get(subject, -1), []).append(subject)
    for _, members in sorted(groups.items()):
        for subject, donor in zip(members, rng.permutation(len(members)).tolist(), strict=True):
            given = rng.permutation(values[members[donor]])
            for i, value in enumerate(values[subject]):
                other[(subjects == subject) & (target == value)] = given[i % len(given)]
    return other
