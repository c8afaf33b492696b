"""Residual identity: how often a clip's nearest neighbour is another clip of the same person, by modality.

The measure is rank-1 re-identification as in gait recognition, every clip in turn the probe and all others the gallery,
with embeddings that anybody can compute. It is a lower bound of what a release gives away: trained models, and figures
of people whom somebody knows, tell more. So a low figure makes no tier more open, and nothing here reads it to do so.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gaitloom.clips import Clip
from gaitloom.config import modality_of
from gaitloom.store import Node
from gaitloom.technical_validation import embeddings

RUNS = 100  # with people exchanged
TOGETHER = "all together"
MEASURE = "rank_1"
LOWER_BOUND = (
    "A lower bound: a simple comparison without training. Trained models find more, so a low figure is no reason to "
    "open a tier."
)
OTHER_SESSION = "clips of another session, and everybody else's"
OTHER_CLIP = "all other clips"
COLUMNS = {
    "input": "The node whose clips are compared, or all together: the mean of their distances, each in its own "
    "standard deviations.",
    "measure": "rank_1: share of probes whose nearest neighbour in the gallery is the same person.",
    "value": "Over all probes.",
    "low": "Begin of the 95 % interval: bootstrap over people, the gallery as it is.",
    "high": "Its end.",
    "baseline": "What drawing a clip of the gallery at random gives.",
    "permuted": "Mean of the measure where clips were given to other people.",
    "p": "Share of those runs, and of this one, that were as good or better.",
    "permutations": "How many such runs.",
    "people": "People of whom there are probes.",
    "clips": "Clips that are compared.",
    "probes": "Clips of which the gallery holds another one of the same person.",
    "unseen": "Clips with the node in which nobody could be made out.",
    "gallery": "What a probe is compared with; always of the same camera.",
    "reason": "Why there are no figures.",
}


class Who(NamedTuple):
    """Whose N clips are, and when and by which camera they were filmed: (N,) str each. Sessions count within a subject,
    and only clips of the same camera are compared."""

    subjects: np.ndarray
    sessions: np.ndarray
    cameras: np.ndarray

    def at(self, rows: np.ndarray) -> "Who":
        """Of these clips only."""
        return Who(*(column[rows] for column in self))


def of_clips(
    clips: Iterable[tuple[Clip, Mapping[str, Node], np.ndarray | None]], resamples: int, seed: int
) -> list[dict[str, Any]]:
    """A row with `COLUMNS` for every node that any clip has, by name, and one for all together.

    Of each clip its nodes by name, and the subject's box (T, 4) from its track. They are looked at one clip at a time,
    in the order in which they come. A node that is not measured has a row with the reason.
    """
    who: list[tuple[str, str, str]] = []
    found: dict[str, dict[int, np.ndarray | None]] = {}
    for row, (clip, nodes, box) in enumerate(clips):
        who.append((clip.subject, clip.session, clip.camera))
        for name, node in nodes.items():
            embed = embeddings.EMBEDDINGS.get(modality_of(name))
            found.setdefault(name, {})[row] = embed(node, box) if embed else None
    table = np.array(who, dtype=str).reshape(len(who), len(Who._fields))
    everybody = Who(table[:, 0], table[:, 1], table[:, 2])
    rows, every = [], []
    for name, vectors in sorted(found.items()):
        modality = modality_of(name)
        if modality not in embeddings.EMBEDDINGS:
            why = embeddings.NOT_MEASURED.get(modality, embeddings.UNKNOWN)
            rows.append(_row(input=name, reason=f"not measured: {why}", clips=len(vectors)))
            continue
        apart = np.full((len(who), len(who)), np.nan)
        seen = {i: v for i, v in vectors.items() if v is not None}
        if seen:
            at = np.ix_(list(seen), list(seen))
            apart[at] = distances(np.stack(list(seen.values())), modality not in embeddings.OF_ONE_UNIT)
        every.append(apart)
        told = re_identified(apart, everybody, resamples, seed)
        rows.append({**told, "input": name, "unseen": len(vectors) - len(seen)})
    if len(every) > 1:
        rows.append({**re_identified(together(every), everybody, resamples, seed), "input": TOGETHER})
    return rows


def of_embeddings(
    vectors: np.ndarray, who: Who, resamples: int, seed: int, standardised: bool = True
) -> dict[str, Any]:
    """The row of N clips by their embeddings (N, D), see `distances` and `re_identified`."""
    return re_identified(distances(vectors, standardised), who, resamples, seed)


def distances(vectors: np.ndarray, standardised: bool = True) -> np.ndarray:
    """(N, N) float64 Euclidean distances of (N, D) vectors, each dimension in its standard deviations if
    `standardised`.

    A NaN is taken for the mean of its dimension; the distances of a clip that has nothing else are NaN, so that it is
    not compared.
    """
    numbers = np.asarray(vectors, float)
    known = np.isfinite(numbers)
    count = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, numbers - np.where(known, numbers, 0).sum(axis=0) / count, 0)
    if standardised:
        spread = np.sqrt((centred**2).sum(axis=0) / count)
        centred = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-9)
    square = (centred**2).sum(axis=1)
    apart = np.sqrt(np.maximum(square[:, None] + square - 2 * centred @ centred.T, 0))
    unknown = ~known.any(axis=1)
    apart[unknown] = apart[:, unknown] = np.nan
    return apart


def together(every: Sequence[np.ndarray]) -> np.ndarray:
    """(N, N): the mean of several (N, N) distances, each less its mean and in its standard deviations; those that a
    pair of clips lacks do not count, NaN where it lacks all."""
    total, count = np.zeros_like(every[0]), np.zeros(every[0].shape, int)
    for apart in every:
        pairs = np.isfinite(apart) & ~np.eye(len(apart), dtype=bool)
        if pairs.any() and (spread := apart[pairs].std()) > 0:
            total[pairs] += (apart[pairs] - apart[pairs].mean()) / spread
            count += pairs
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def re_identified(apart: np.ndarray, who: Who, resamples: int, seed: int) -> dict[str, Any]:
    """The row of N clips by their distances (N, N), NaN between clips that are not compared.

    Where any subject has several sessions, a probe's gallery leaves out its subject's clips of the same session, since
    a day's clothes and camera tell them too. A probe needs another clip of its subject and one of somebody else in its
    gallery. In the permuted runs clips change owners, with session, among those of a camera, so the galleries stay as
    large. Where everybody is found equally often (always, say) a bootstrap has no spread; there the interval is Clopper
    & Pearson's (Biometrika 1934;26:404-413) for as many as there are people.
    """
    np.fill_diagonal(apart := apart.copy(), np.nan)
    there = np.flatnonzero(np.isfinite(apart).any(axis=1))
    apart, who = apart[np.ix_(there, there)], who.at(there)
    by_day = _several_sessions(who)
    counts = {"clips": len(there), "gallery": OTHER_SESSION if by_day else OTHER_CLIP}
    if (people := len(np.unique(who.subjects))) < 2:
        return _row(**counts, reason=f"there are clips of {people} people; two are needed")
    hit, probes, chance = _nearest(apart, who, by_day)
    if not probes.any():
        other = "in another session by the same camera" if by_day else "by the same camera"
        return _row(**counts, reason=f"nobody has another clip {other}")
    rng = np.random.default_rng(seed)
    runs = [_nearest(apart, _exchanged(who, rng), by_day) for _ in range(RUNS)]
    shares = np.array([h[p].mean() for h, p, _ in runs if p.any()])
    low, high = _interval(hit[probes], who.subjects[probes], resamples, rng)
    value = float(hit[probes].mean())
    return _row(
        **counts,
        value=value,
        low=low,
        high=high,
        baseline=float(chance[probes].mean()),
        permuted=float(shares.mean()),
        p=float((1 + (shares >= value - 1e-12).sum()) / (1 + len(shares))),
        permutations=len(shares),
        people=len(np.unique(who.subjects[probes])),
        probes=int(probes.sum()),
    )


def _row(**values: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("value", "low", "high", "baseline", "permuted", "p"), float("nan"))
    counts = dict.fromkeys(("permutations", "people", "clips", "probes", "unseen"), 0)
    row = {"input": "", "measure": MEASURE, "gallery": "", "reason": "", **nothing, **counts, **values}
    return {column: row[column] for column in COLUMNS}


def _several_sessions(who: Who) -> bool:
    pairs = set(zip(who.subjects.tolist(), who.sessions.tolist(), strict=True))
    return len(pairs) > len(set(who.subjects.tolist()))


def _nearest(apart: np.ndarray, who: Who, by_day: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each clip (N,): whether its nearest neighbour is the same person's (of equal ones, nobody's), whether it is a
    probe, and the same person's share of its gallery."""
    same = who.subjects[:, None] == who.subjects
    gallery = np.isfinite(apart) & (who.cameras[:, None] == who.cameras)
    if by_day:
        gallery &= ~(same & (who.sessions[:, None] == who.sessions))
    own, others = gallery & same, gallery & ~same
    probes = own.any(axis=1) & others.any(axis=1)
    nearest = [np.where(kind, apart, np.inf).min(axis=1) for kind in (own, others)]
    return nearest[0] < nearest[1], probes, own.sum(axis=1) / np.maximum(gallery.sum(axis=1), 1)


def _exchanged(who: Who, rng: np.random.Generator) -> Who:
    """Clips given to others of the same camera, each person's sessions staying theirs."""
    order = np.arange(len(who.subjects))
    for camera in np.unique(who.cameras):
        rows = np.flatnonzero(who.cameras == camera)
        order[rows] = rng.permutation(rows)
    return Who(who.subjects[order], who.sessions[order], who.cameras)


def _interval(hit: np.ndarray, people: np.ndarray, resamples: int, rng: np.random.Generator) -> tuple[float, float]:
    """The 95 % percentile interval of the share of probes (n,) that were found, by a bootstrap over their people."""
    from scipy.stats import beta

    names, whose = np.unique(people, return_inverse=True)
    tallies = np.column_stack([np.bincount(whose, hit), np.bincount(whose)])
    n, share = len(names), tallies[:, 0] / tallies[:, 1]
    if np.ptp(share) == 0:
        k = n * share[0]
        return float(beta.ppf(0.025, k, n - k + 1)) if k else 0.0, float(
            beta.ppf(0.975, k + 1, n - k)
        ) if k < n else 1.0
    drawn = rng.multinomial(n, np.full(n, 1 / n), resamples) @ tallies
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], (2.5, 97.5))
    return float(low), float(high)
