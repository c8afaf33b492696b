"""Who is who: heads and faces linked over time, each given to a person, and of these the ones that can all be one.

How far a head may move, and how much more is covered where it is not seen, stands in `Limits`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gaitloom.deidentify.boxes import centre, height, upright
from gaitloom.deidentify.heads import POSE, Head, agree, both, of_face

FAR = 2.0  # s that a firm head looks back for the one before
STEADY = 0.3  # s around a frame in which a person must be found
JOINED = 0.6, 1.0, 1.0  # leap of one person: in sizes of its box, the same a second, and s at most
MOST = 0.7  # of the frames around, or of all
FEW = 3  # fewer faces in a row are an elbow or a flower, fewer heads of a person are not to be relied on


@dataclass(frozen=True)
class Limits:
    """How far heads are taken to move, and how much more is covered. Sizes are in heights of the head.

    A head walks at most about 2 m/s and is 0.23 m tall, 9 heads a second; `speed` leaves room for cameras that pan.
    Who jumps off a wall lands with 6 m/s: for a moment, `burst` comes to it.
    `growth` widens a region for every second from the frame in which its head was seen.
    """

    margin: float = 1.3
    speed: float = 14.0  # heads a second
    burst: float = 16.0  # heads a second, for 0.2 s
    jitter: float = 0.6  # heads, whatever the time between
    bow: float = 0.25  # of the way between two places, by which it may leave the straight line
    ratio: float = 1.6  # of sizes
    gap_s: float = 0.7
    beyond_s: float = 0.7
    border_s: float = 1.5  # beyond, for who came over the frame's border
    growth: float = 1.5  # of the size, a second
    paces: tuple[float, float] = (0.75, 1.3)  # least and greatest of the speed before, by which one is taken to go on

    def reach(self, seconds: Any) -> Any:
        """Heads by which one may have moved, for a number or an array."""
        return self.jitter + self.speed * seconds + self.burst * np.minimum(seconds, 0.2)


DEFAULT = Limits()


@dataclass(frozen=True)
class Person:
    """One identity of the track: the frames (N,) in which it has a box (N, 4), and the heads seen on it by frame.

    `zone`: where its head is not known, the upper part of a standing person's box stands for it; else the whole box.
    """

    frames: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    box: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    heads: Mapping[int, Sequence[Head]] = field(default_factory=dict)
    zone: bool = False


def assign(
    people: Mapping[int, Person],
    frames: np.ndarray,
    box: np.ndarray,
    confidence: np.ndarray,
    time: np.ndarray,
    limits: Limits = DEFAULT,
) -> tuple[dict[int, Person], list[dict[int, list[Head]]]]:
    """Faces, `frames` (N,), `box` (N, 4), `confidence` (N,), linked over time, each row given to the one on whose head
    it lies in most frames in which that one has a box.

    Alone, a face says where the head is of the subject, of who has no box, and of who is posed in most frames; of
    others, a hand or a picture on the wall may be taken for one. Returns the people with these heads, and the rows of
    nobody, heads by frame.
    """
    seen = [(t, of_face(b, sure)) for t, b, sure in zip(frames.tolist(), box, confidence.tolist(), strict=True)]
    heads = {i: {t: list(found) for t, found in person.heads.items()} for i, person in people.items()}
    where = {(i, int(t)): b for i, p in people.items() for t, b in zip(p.frames, p.box, strict=True)}
    posed_well = {i for i, p in people.items() if not p.zone or len(p.heads) >= MOST * len(p.frames)}
    alone = []
    for row in linked(seen, time, limits):
        votes = {
            i: [_misfit(row[t][0], p.heads.get(t, ()), where[i, t]) <= 1 for t in row if (i, t) in where]
            for i, p in people.items()
        }
        owners = [i for i, said in votes.items() if said and np.mean(said) >= 0.5]
        few = len(row) < FEW
        if not owners:
            alone.append({t: [replace(head, weight=0 if few else 1)] for t, (head,) in row.items()})
            continue
        owner = max(owners, key=lambda i: (sum(votes[i]), -i))
        for t, (head,) in row.items():
            posed = [h for h in heads[owner].get(t, []) if h.why == POSE]
            unsure = few or (owner not in posed_well and (owner, t) in where)
            one = [both(head, h) for h in posed if agree(head, h)] or [replace(head, weight=0 if unsure else 1)]
            rest = [h for h in heads[owner].get(t, []) if not agree(head, h)]
            heads[owner][t] = [*rest, *one]
    return {i: Person(p.frames, p.box, heads[i], p.zone) for i, p in people.items()}, alone


def joined(people: Mapping[int, Person], time: np.ndarray, spared: int | None = None) -> dict[int, Person]:
    """The same people, with those as one, under the first one's name, who are never seen in one frame, and of whom one
    appears where the other is shortly before or after; the later name stays, with nothing known of it. Who is spared is
    joined to nobody, since that must not be guessed."""
    found: dict[int, Person] = {}
    for i, person in sorted(people.items(), key=lambda row: (min(row[1].frames, default=-1), row[0])):
        apart = {j: _leap(other, person, time) for j, other in found.items() if spared not in (i, j)}
        best = min(apart, key=lambda j: (apart[j], j), default=None)
        found[i] = person
        if best is not None and apart[best] <= 1:
            first, found[i] = found[best], Person(zone=person.zone)
            frames, box = np.concatenate([first.frames, person.frames]), np.concatenate([first.box, person.box])
            order = np.argsort(frames)
            heads = {**first.heads, **person.heads}
            found[best] = Person(frames[order], box[order], heads, first.zone and person.zone)
    return found


def _leap(known: Person, new: Person, time: np.ndarray) -> float:
    """How far somebody would leap to where a new one is first seen, in what is possible; inf for who cannot be it."""
    if not len(known.frames) or not len(new.frames) or np.isin(new.frames, known.frames).any():
        return np.inf
    away = np.abs(time[known.frames] - time[new.frames[0]])
    near = int(away.argmin())
    a, b = known.box[near].astype(float), new.box[0].astype(float)
    size = ((a[2:] - a[:2]).max() + (b[2:] - b[:2]).max()) / 2
    apart = float(np.linalg.norm(centre(a) - centre(b))) / size
    return apart / (JOINED[0] + JOINED[1] * away[near]) if away[near] <= JOINED[2] else np.inf


def _misfit(face: Head, heads: Sequence[Head], box: np.ndarray | None) -> float:
    """How badly a face fits a person: up to 0.5 by the pose's head, to 1 by the upper part of the box; else inf."""
    x, y = centre(face.box)
    for head in heads:
        if head.why == POSE and (apart := np.linalg.norm(centre(head.box) - (x, y)) / height(head.box)) <= 0.6:
            return float(apart) / 2
    if box is None:
        return np.inf
    tall, wide = height(box), box[2] - box[0]
    across, down = abs(x - (box[0] + box[2]) / 2) / wide, (y - box[1]) / tall
    fits = across <= 0.6 and -0.1 <= down <= (0.4 if upright(box) else 1) and height(face.box) <= 0.8 * tall
    return 0.5 + 0.25 * float(across + max(down, 0)) if fits else np.inf


def linked(heads: Sequence[tuple[int, Head]], time: np.ndarray, limits: Limits) -> list[dict[int, list[Head]]]:
    """Heads of nobody, (frame, head) sorted by frame, as tracks: each goes to the one that can be it and was last seen
    nearest."""
    tracks: list[dict[int, list[Head]]] = []
    waiting: list[tuple[int, Head, dict[int, list[Head]]]] = []  # where each was last seen
    for t, head in sorted(heads, key=lambda row: row[0]):
        waiting = [row for row in waiting if time[t] - time[row[0]] <= limits.gap_s]
        apart = {
            i: float(np.linalg.norm(centre(last.box) - centre(head.box)))
            for i, (s, last, _) in enumerate(waiting)
            if s < t and plausible(last.box, head.box, time[t] - time[s], limits)
        }
        if apart:
            track = waiting.pop(min(apart, key=lambda i: apart[i]))[2]
        else:
            tracks.append(track := {})
        track[t] = [head]
        waiting.append((t, head, track))
    return tracks


def plausible(a: np.ndarray, b: np.ndarray, seconds: float, limits: Limits) -> bool:
    """Whether two heads `seconds` apart can be one, by their sizes and the way between them."""
    small, large = sorted((height(a), height(b)))
    apart = float(np.linalg.norm(centre(b) - centre(a)))
    return large <= limits.ratio * small and apart <= limits.reach(seconds) * large


def firm(person: Person, time: np.ndarray, limits: Limits) -> dict[int, Head]:
    """The heads of a person that can all be one, by frame: of all such rows, the one for which most signs speak.

    What is not in it is a false pose, or a false face: covered itself, but nothing is drawn from or to it.
    """
    rows = [(t, head) for t in sorted(person.heads) for head in person.heads[t] if head.weight]
    if not rows:
        return {}
    frame, weight = np.array([t for t, _ in rows]), np.array([float(head.weight) for _, head in rows])
    boxes = np.array([head.box for _, head in rows])
    tall, middle, when = boxes[:, 3] - boxes[:, 1], (boxes[:, :2] + boxes[:, 2:]) / 2, time[frame]
    best, before = weight.copy(), np.full(len(rows), -1)
    for j in range(len(rows)):
        first = int(np.searchsorted(when, when[j] - FAR))
        if first:  # after so long, anywhere
            before[j] = np.argmax(best[:first])
            best[j] += best[before[j]]
        lately = slice(first, int(np.searchsorted(frame, frame[j])))
        large, small = np.maximum(tall[lately], tall[j]), np.minimum(tall[lately], tall[j])
        apart = np.linalg.norm(middle[lately] - middle[j], axis=1)
        one = (large <= limits.ratio * small) & (apart <= limits.reach(when[j] - when[lately]) * large)
        gains = np.where(one, best[lately] + weight[j], -np.inf)
        if len(gains) and gains.max() > best[j]:
            before[j] = first + np.argmax(gains)
            best[j] = gains.max()
    chain: dict[int, Head] = {}
    j = int(np.argmax(best))
    while j >= 0:
        chain[rows[j][0]] = rows[j][1]
        j = int(before[j])
    return dict(sorted(chain.items()))
