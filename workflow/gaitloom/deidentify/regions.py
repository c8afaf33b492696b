"""Everything that is covered in a clip: what every person needs, who may be whose, and whole frames where nobody is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gaitloom.deidentify.boxes import share_inside, whole_of
from gaitloom.deidentify.cover import Cover
from gaitloom.deidentify.heads import BEYOND, DOUBTFUL, FRAME, ORDER, PERSON, Head, Regions, agree
from gaitloom.deidentify.people import DEFAULT, STEADY, Limits, Person

WITHIN = 0.7  # of a box in another's


def regions(
    people: Mapping[int, Person],
    alone: Sequence[Mapping[int, Sequence[Head]]],
    time: np.ndarray,
    size: tuple[int, int],
    limits: Limits = DEFAULT,
    spared: int | None = None,
    by_hand: Sequence[tuple[int, np.ndarray, int, int, float]] = (),
) -> Regions:
    """Every region of a clip.

    `people` by identity, and `alone`, rows of heads that belong to none of them, are as `assign` gives them; `time`
    (T,) s; `size` (width, height). With `spared`, everyone but this identity is covered from head to foot. `by_hand`
    are further rows of frame, box, track, reason, confidence. Without anyone at all, whole frames are covered.
    """
    everyone = dict(sorted(people.items()))
    for number, heads in enumerate(alone, max(people, default=-1) + 1):
        everyone[number] = Person(heads=heads)
    covers = {identity: Cover(person, time, size, limits) for identity, person in everyone.items()}
    doubles = {i: cover for i, cover in covers.items() if _double(cover, covers.values())}
    covers = {i: cover for i, cover in covers.items() if i not in doubles}
    ends = _ends(covers)
    rejoined = list(_rejoined(covers, ends))
    explained = {end for a, b in rejoined if covers[a].soon(covers[b]) for end in ((a, 1), (b, -1))}
    rows: list[tuple[int, np.ndarray, int, int, float]] = []
    for identity, cover in covers.items():
        rows += [(t, box, identity, why, sure) for t, box, why, sure in cover.rows()]
        for step, end in ends.get(identity, {}).items():
            if not end.goes_on and (identity, step) not in explained:
                rows += [(t, box, identity, BEYOND, sure) for t, box, _, sure in cover.beyond(step)]
        if spared not in (None, identity):
            rows += [(t, box, identity, PERSON, sure) for t, box, _, sure in cover.bodies()]
    for identity, cover in doubles.items():
        rows += [(t, box, identity, DOUBTFUL, sure) for t, box, _, sure in cover.heads()]
    for before, after in rejoined:
        rows += [(t, box, before, why, sure) for t, box, why, sure in covers[before].until(covers[after])]
    if not rows:
        rows = [(t, np.array([0, 0, *size], float), -1, FRAME, 0.0) for t in range(len(time))]
    lost = {(e.frame, i) for i, both_ends in ends.items() for e in both_ends.values() if e.inside}
    return _gathered([*rows, *by_hand], size, tuple(sorted(lost)))


def _gathered(
    rows: Sequence[tuple[int, np.ndarray, int, int, float]], size: tuple[int, int], lost: tuple[tuple[int, int], ...]
) -> Regions:
    """Rows of frame, box, track, reason, confidence as `Regions`: cut at the frame's borders, empty ones left out."""
    cut = [(t, np.clip(box, 0, (*size, *size)), track, why, sure) for t, box, track, why, sure in rows]
    table = [row for row in cut if (row[1][2:] > row[1][:2]).all()]
    table.sort(key=lambda r: (r[0], ORDER[r[3]], r[2], r[3]))
    return Regions(
        np.array([row[0] for row in table], np.int32),
        np.array([row[1] for row in table], np.float32).reshape(-1, 4),
        np.array([row[2] for row in table], np.int32),
        np.array([row[3] for row in table], np.uint8),
        np.array([row[4] for row in table], np.float32),
        lost,
    )


def _double(cover: "Cover", everyone: Iterable["Cover"]) -> bool:
    """Whether somebody has, in every frame, the head of somebody better known, and is covered thereby; or is hardly
    ever found, and with most of its box in that of somebody better known: who is found twice, posed otherwise."""
    better = [other for other in everyone if other is not cover and len(other.firm) > 2 * len(cover.box) > 0]
    brief = len(cover.box) * float(np.median(np.diff(cover.time))) <= STEADY if len(cover.time) > 1 else True

    def same(t: int, other: "Cover") -> bool:
        heads = cover.person.heads.get(t, ()) if t in other.firm else ()
        inside = brief and t in other.box and share_inside(cover.box[t], whole_of(other.box[t])) >= WITHIN
        return inside or any(agree(head, other.firm[t]) for head in heads)

    return bool(better) and all(any(same(t, other) for other in better) for t in cover.box)


@dataclass(frozen=True)
class _End:
    """Where somebody is first or last known: whether that is in the middle of the picture and of the clip, and whether
    the same head goes on under another's name."""

    frame: int
    inside: bool
    goes_on: bool


def _ends(covers: Mapping[int, "Cover"]) -> dict[int, dict[int, _End]]:
    """First (-1) and last (1) end of everyone known."""
    found: dict[int, dict[int, _End]] = {}
    for i, cover in covers.items():
        for step, t in ((-1, cover.known[0]), (1, cover.known[-1])) if cover.known else ():
            others = [c for j, c in covers.items() if j != i and t in c.firm and c.known[0] < t < c.known[-1]]
            goes_on = t in cover.firm and any(agree(cover.firm[t], c.firm[t]) for c in others)
            outer = t in (0, len(cover.time) - 1) or cover.stray or cover.borders(t)
            found.setdefault(i, {})[step] = _End(t, not outer and not goes_on, goes_on)
    return found


def _rejoined(covers: Mapping[int, "Cover"], ends: Mapping[int, Mapping[int, _End]]) -> Iterator[tuple[int, int]]:
    """Who vanished in the middle of the picture, and who appeared there afterwards and may be the same: the nearest in
    time and place."""
    gone = {i: both_ends[1].frame for i, both_ends in ends.items() if both_ends[1].inside}
    appeared = sorted((both_ends[-1].frame, i) for i, both_ends in ends.items() if both_ends[-1].inside)
    for t, here in appeared:
        before = {i: s for i, s in gone.items() if s < t and i != here}
        if before:
            best = min(before, key=lambda i: (covers[i].apart(covers[here]), i))
            del gone[best]
            yield best, here
