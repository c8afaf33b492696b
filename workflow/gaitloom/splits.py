"""Who is trained on and who is tested on: whole people and whole families, never clips, every class in its share.

A split is part → the subjects in it, sorted. Whoever is in an earlier split stays where they are; arrivals are dealt so
that the shares of all people together come out as even as they can. Pure functions; `split_files` has the command.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from gaitloom.clips import Clip
from gaitloom.errors import GaitloomError

Split = dict[str, list[str]]
By = Mapping[str, Sequence[float]]  # column → where its bands begin; none where its values are the classes

FAMILY = "family"
SINGLE = 1e-3  # weight of each column's own classes against that of the joint ones: they decide between equals
STARTS = 8  # with families the search can get stuck, so it begins several times
UNKNOWN = "n/a"


def deal(
    people: pd.DataFrame,
    shares: Mapping[str, float],
    by: By | None = None,
    family: str = FAMILY,
    seed: int = 0,
    before: Mapping[str, Iterable[str]] | None = None,
) -> Split:
    """Deal people into the parts of `shares` (part → share, in any unit).

    `people` has one row a subject, the index their name; those with one value in the column `family` stay together.
    Sought is the least sum of squares, over parts and joint classes of the columns `by` and over parts and everyone, of
    how many people a part has more or less than its share: greedily, then by moving and exchanging families until
    nothing helps. `before` is an earlier split; those in it who are still among `people` keep their part. The order of
    rows does not matter.

    Raises:
        GaitloomError: a column is not there or a band not of numbers, or `before` has a family in two parts.
    """
    parts, units = list(shares), families(people, family)
    classes, weights = _classes(people, by or {})
    row = {subject: i for i, subject in enumerate(people.index)}
    vectors = np.array([classes[[row[s] for s in unit]].sum(axis=0) for unit in units]).reshape(len(units), -1)
    quota = np.array([shares[p] for p in parts], float)
    over = -np.outer(quota / quota.sum(), classes.sum(axis=0))  # (part, class): people more than its share
    where = np.array([_earlier(unit, parts, before or {}) for unit in units], int)
    for i in np.flatnonzero(where >= 0):
        over[where[i]] += vectors[i]
    free, open_ = np.flatnonzero(where < 0), np.flatnonzero(quota > 0)
    starts = STARTS if (vectors[free, 0] > 1).any() and len(open_) > 1 else 1
    dealt = []
    for start in range(starts):
        order = _order([units[i] for i in free], f"{seed}/{start}", largest_first=not start)
        dealt.append((*_evenly(vectors[free[order]], over.copy(), weights, open_), free[order]))
    _, found, order = min(dealt, key=lambda d: d[0])
    where[order] = found
    return {p: sorted(s for u, at in zip(units, where, strict=True) if at == i for s in u) for i, p in enumerate(parts)}


def _order(units: list[list[str]], salt: str, largest_first: bool) -> np.ndarray:
    """The units' order in which they are dealt, by a hash of their names: the same on every machine, for ever."""
    marks = [hashlib.sha256(f"{salt}/{unit[0]}".encode()).digest() for unit in units]
    return np.array(sorted(range(len(units)), key=lambda i: (-largest_first * len(units[i]), marks[i])), int)


def _earlier(unit: list[str], parts: list[str], before: Mapping[str, Iterable[str]]) -> int:
    """The part in which a family is already; -1 where none of them is in any."""
    found = sorted({part for part, members in before.items() if set(members) & set(unit)})
    if len(found) > 1 or not set(found) <= set(parts):
        raise GaitloomError(
            f"The earlier split has {', '.join(unit)}, one family, in {' and '.join(found)}; take them out of the "
            "table, or begin anew."
        )
    return parts.index(found[0]) if found else -1


def _evenly(vectors: np.ndarray, over: np.ndarray, weights: np.ndarray, parts: np.ndarray) -> tuple[float, np.ndarray]:
    """The sum of squares, and the part of each unit, once no move from part to part and no exchange of two units makes
    the sum less. `vectors` (units, classes) how many people of which class; `over` (parts, classes) is changed."""
    where = np.full(len(vectors), parts[0])
    for i, vector in enumerate(vectors):
        where[i] = parts[np.round((over[parts] * weights) @ vector, 9).argmin()] if len(parts) > 1 else parts[0]
        over[where[i]] += vector
    kinds, kind = np.unique(vectors, axis=0, return_inverse=True)
    kind = kind.ravel()
    kinds = np.vstack([kinds, np.zeros((1, vectors.shape[1]))])  # the last is nobody: a move is an exchange for nobody
    apart = ((kinds[:, None] - kinds[None]) ** 2 * weights).sum(axis=2)
    while True:
        best, found = -1e-9, None
        there = [np.append(np.bincount(kind[where == p], minlength=len(kinds) - 1) > 0, True) for p in range(len(over))]
        for p, q in combinations(parts, 2):
            gain = kinds @ ((over[q] - over[p]) * weights)
            change = np.where(np.outer(there[p], there[q]), np.round(apart + gain[:, None] - gain[None], 9), np.inf)
            if change.min() < best:
                best, found = change.min(), (p, q, *np.unravel_index(change.argmin(), change.shape))
        if found is None:
            return round(float((over**2 * weights).sum()), 6), where
        p, q, a, b = found
        gives, takes = (np.flatnonzero((where == part) & (kind == k))[:1] for part, k in ((p, a), (q, b)))
        where[gives], where[takes] = q, p
        over[q] += kinds[a] - kinds[b]
        over[p] += kinds[b] - kinds[a]


def folds(
    people: pd.DataFrame,
    k: int,
    by: By | None = None,
    family: str = FAMILY,
    seed: int = 0,
    validation: float = 0.1,
    before: Sequence[Split] = (),
) -> list[Split]:
    """k splits into train, validation and test; everyone is tested in one. `validation` is its share of all people.

    Raises:
        GaitloomError: as `deal`; or `before` are not k splits that test each of their people once.
    """
    if before and len(before) != k:
        raise GaitloomError(f"The earlier partitions are {len(before)}, not {k}; ask for as many, or begin anew.")
    earlier = _tests(before)
    tests = deal(people, dict.fromkeys(earlier or map(str, range(k)), 1.0), by, family, seed, earlier)
    return _around(people, list(tests.values()), by, family, seed, validation, before)


def leave_one_out(
    people: pd.DataFrame,
    by: By | None = None,
    family: str = FAMILY,
    seed: int = 0,
    validation: float = 0.0,
    before: Sequence[Split] = (),
) -> list[Split]:
    """One split for each family, which is tested in it. Those of `before` keep their numbers; where nobody is left of
    one, its test is empty.

    Raises:
        GaitloomError: as `folds`.
    """
    tests = [[s for s in test if s in people.index] for test in _tests(before).values()]
    for unit in families(people, family):
        found = [test for test in tests if set(test) & set(unit)]
        if len(found) > 1:
            raise GaitloomError(
                f"The earlier partitions test {', '.join(unit)}, who are one family, in {len(found)} of them; take the "
                "family out of the table, or begin anew."
            )
        if found:
            found[0][:] = sorted({*found[0], *unit})
        else:
            tests.append(unit)
    return _around(people, tests, by, family, seed, validation, before)


def _tests(before: Sequence[Split]) -> Split:
    """Number of each earlier split → whom it tests.

    Raises:
        GaitloomError: someone is not tested in exactly one of them.
    """
    tests = {str(i): split["test"] for i, split in enumerate(before)}
    tested = [s for test in tests.values() for s in test]
    for subject in sorted({s for split in before for part in split.values() for s in part}):
        if tested.count(subject) != 1:
            raise GaitloomError(f"The earlier partitions test {subject} {tested.count(subject)} times; begin anew.")
    return tests


def _around(
    people: pd.DataFrame,
    tests: list[list[str]],
    by: By | None,
    family: str,
    seed: int,
    validation: float,
    before: Sequence[Split],
) -> list[Split]:
    """The splits that test these people, the others trained and validated on."""
    splits = []
    for i, test in enumerate(tests):
        rest = people.drop(index=test)
        train = len(rest) / max(1, len(people)) - validation
        if train <= 0:
            raise GaitloomError(f"A validation share of {validation:g} leaves nobody to train on; give a smaller one.")
        earlier = {p: before[i][p] for p in ("train", "validation")} if i < len(before) else None
        shares = {"train": train, "validation": validation}
        splits.append({**deal(rest, shares, by, family, seed + i, earlier), "test": sorted(test)})
    return splits


def families(people: pd.DataFrame, family: str = FAMILY) -> list[list[str]]:
    """The subjects by family, each family and the list sorted; who has none is one of their own."""
    known = people[family] if family in people else pd.Series(np.nan, index=people.index)
    groups: dict[tuple[str, str], list[str]] = {}
    for subject, name in zip(people.index, known, strict=True):
        alone = pd.isna(name) or name in ("", UNKNOWN)
        groups.setdefault(("", str(subject)) if alone else ("family", str(name)), []).append(str(subject))
    return sorted(map(sorted, groups.values()))


def strata(people: pd.DataFrame, by: By) -> pd.DataFrame:
    """The class of each person in each column of `by`: its value, or its band as `18 to 35`, which 35 is no part of.

    Raises:
        GaitloomError: a column is not there, or a value to be told in bands is not a number.
    """
    told = {}
    for column, starts in by.items():
        if column not in people:
            raise GaitloomError(f"There is no column '{column}' to go by; there are: {', '.join(map(str, people))}.")
        edges = [f"{v:g}" for v in starts]
        names = [f"below {edges[0]}", *map(" to ".join, pairwise(edges)), f"from {edges[-1]}"] if starts else []
        told[column] = []
        for subject, value in zip(people.index, people[column].tolist(), strict=True):
            try:
                unknown = pd.isna(value) or value in ("", UNKNOWN)
                known = names[bisect_right(starts, float(value))] if starts and not unknown else str(value)
            except ValueError:
                raise GaitloomError(f"{subject}, column {column}: '{value}' is not a number; correct it.") from None
            told[column].append(UNKNOWN if unknown else known)
    return pd.DataFrame(told, index=people.index, columns=list(by), dtype=object)


def _classes(people: pd.DataFrame, by: By) -> tuple[np.ndarray, np.ndarray]:
    """(people, classes) who is in which, and (classes,) their weights: everyone, joint classes, each column's own."""
    told = strata(people, by)
    blocks, weights = [np.ones((len(people), 1))], [1.0]
    if by:
        texts = told.to_numpy(str)
        joint = np.array(["\0".join(row) for row in texts], str)
        for values, weight in ((joint, 1.0), *((column, SINGLE) for column in texts.T)):
            names = np.unique(values)
            blocks.append(values[:, None] == names)
            weights += [weight] * len(names)
    return np.hstack(blocks).astype(float), np.array(weights)


def leaks(
    split: Mapping[str, Iterable[str]], clips: Iterable[Clip] = (), families: Mapping[str, str] | None = None
) -> list[str]:
    """What is in more than one part, a sentence each: a person (whatever the case of the name), a family (subject →
    family, or the clips' column `family`), a video (by its content). Empty where nothing is."""
    clips = list(clips)
    known = {c.subject: c.extra[FAMILY] for c in clips if c.extra.get(FAMILY)} | dict(families or {})
    found: dict[tuple[str, str], set[str]] = {}
    parts_of: dict[str, set[str]] = {}
    for part, subjects in split.items():
        for subject in subjects:
            parts_of.setdefault(subject.casefold(), set()).add(part)
            found.setdefault(("subject", subject.casefold()), set()).add(part)
            if subject in known:
                found.setdefault(("family", str(known[subject])), set()).add(part)
    for clip in clips:
        if clip.sha256:
            found.setdefault(("video of", clip.sha256), set()).update(parts_of.get(clip.subject.casefold(), ()))
    whose = {c.sha256: sorted({d.subject for d in clips if d.sha256 == c.sha256}) for c in clips if c.sha256}
    return [
        f"{kind} {', '.join(whose[name]) if kind == 'video of' else name} is in {' and '.join(sorted(parts))}"
        for (kind, name), parts in sorted(found.items())
        if len(parts) > 1
    ]


def opengait(split: Split) -> Split:
    """The split in OpenGait's form, which knows no validation: who is validated on goes with those trained on."""
    return {"TRAIN_SET": sorted(split["train"] + split.get("validation", [])), "TEST_SET": sorted(split["test"])}
