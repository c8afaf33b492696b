"""Where everyone's head is in every frame, and what is covered where nobody can tell: pure functions on arrays.

Heads are known from faces and from poses, linked by person, and filled both ways over frames in between where size and
speed let the two ends be one head. Whatever is not known is covered more, never less: the whole person where a tracked
person's head is not known, the whole frame where nobody is. Boxes are xyxy in full-frame pixels, x right, y down.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

# Why a region is there, in the order of the ledger's flag values.
WHY = ("face", "pose", "between", "before_or_after", "doubtful", "person", "frame", "fixed", "decision")
FACE, POSE, BETWEEN, BEYOND, DOUBTFUL, PERSON, FRAME, FIXED, DECISION = range(len(WHY))
HEADS = (FACE, POSE, BETWEEN, BEYOND, DOUBTFUL)  # one head's each; the others are painted in one colour
# What is painted first in a frame, and so lies below: whole persons, then heads, what was given by hand, whole frames.
ORDER = (1, 1, 1, 1, 1, 0, 3, 2, 2)

# From Winter, Biomechanics and Motor Control of Human Movement, 4th ed., fig. 4.1: shares of stature. The ears' height
# is also the middle of the head.
STATURE_HEAD, STATURE_EAR, STATURE_SHOULDER = 0.130, 0.936, 0.818
HEAD = STATURE_HEAD / (STATURE_EAR - STATURE_SHOULDER)  # height of the head in distances from shoulders to ears
# The same seen from the front, the side, or above, where that distance is foreshortened: a head is 0.23 m tall, its
# ears are 0.15 m apart, its nose lies 0.11 m before them.
BY_EARS, BY_NOSE = 0.23 / 0.15, 0.23 / 0.11
WIDE = 0.97  # of a head's height: its depth of 0.20 m, and room for hair
UP = 0.12  # heads by which the region's middle is moved away from the shoulders: crowns matter more than necks
OF_BOX = 0.13, 0.45  # least and greatest height of a head in heights of a whole person's box, standing or crouching

# A face's box reaches from the brow or hairline to the chin, and to one ear in profile, who knows which.
FACE_TALL, FACE_WIDE, FACE_UP = 1.4, 1.15, 0.10  # head's height in those of the face, its width and its middle's way up

FAR = 2.0  # s that a firm head looks back for the one before
STEADY = 0.3  # s around a frame in which a person must be found
FEW = 3  # fewer faces in a row are an elbow or a flower, fewer heads of a person are not to be relied on


@dataclass(frozen=True)
class Limits:
    """How far heads are taken to move, and how much more is covered. Sizes are in heights of the head.

    A head walks at most about 2 m/s and is 0.23 m tall, 9 heads a second; `speed` leaves room for cameras that pan.
    `growth` widens a region for every second from the frame in which its head was seen.
    """

    margin: float = 1.3
    speed: float = 14.0  # heads a second
    jitter: float = 0.6  # heads, whatever the time between
    ratio: float = 1.6  # of sizes
    gap_s: float = 0.7
    beyond_s: float = 0.7
    border_s: float = 1.5  # beyond, for who came over the frame's border
    growth: float = 1.5  # of the size, a second


DEFAULT = Limits()


@dataclass(frozen=True)
class Head:
    """A head seen in a frame: its box (4,), hair, ears and nape included, `FACE` or `POSE`, how sure, and how many
    signs speak for it; with none, it is covered, but believed no further."""

    box: np.ndarray
    why: int
    confidence: float
    weight: int = 1


@dataclass(frozen=True)
class Person:
    """One identity of the track: the frames (N,) in which it has a box (N, 4), and the heads seen on it by frame.

    `zone`: where its head is not known, the upper part of a standing person's box stands for it; else the whole box.
    """

    frames: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    box: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    heads: Mapping[int, Sequence[Head]] = field(default_factory=dict)
    zone: bool = False


@dataclass(frozen=True)
class Regions:
    """What is covered, sorted by frame and by the order of painting: `frame` (N,) int32, `box` (N, 4) float32 inside
    the frame, `track` (N,) int32, whose it is, -1 where nobody's, `why` (N,) uint8 of `WHY`, `confidence` (N,)
    float32. `lost`: (frame, track) of everyone who was last seen, or first, in the middle of the picture."""

    frame: np.ndarray
    box: np.ndarray
    track: np.ndarray
    why: np.ndarray
    confidence: np.ndarray
    lost: tuple[tuple[int, int], ...] = ()


Row = tuple[int, np.ndarray, int, float]  # frame, box, why, confidence


# Heads in single frames


def of_face(face: np.ndarray, confidence: float) -> Head:
    """The whole head around a face's box (4,)."""
    tall = FACE_TALL * max(height(face), 1.1 * (face[2] - face[0]))
    x, y = centre(face)
    wide = max(FACE_WIDE * tall, face[2] - face[0])
    return Head(_around(x, y - FACE_UP * height(face), wide, tall), FACE, confidence)


def of_pose(points: np.ndarray, score: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> Head | None:
    """The head of a person with this box (4,) by points (23, 2) in COCO-WholeBody's order with scores (23,), in a frame
    of (width, height): around the ears, since a skull reaches as far back as forward.

    None where the points do not say, or contradict the box.
    """
    known = np.isfinite(points[:, 0]) & (score > 0)
    if not known[:5].any() or not known[5:7].any():
        return None
    ears = points[3:5][known[3:5]] if known[3:5].any() else points[:5][known[:5]]
    middle = ears.mean(axis=0)
    tall = HEAD * float(np.linalg.norm(middle - points[5:7][known[5:7]].mean(axis=0)))
    if known[3:5].all():
        tall = max(tall, BY_EARS * float(np.linalg.norm(points[3] - points[4])))
    if known[0]:
        tall = max(tall, BY_NOSE * float(np.linalg.norm(points[0] - middle)))
    tall = max(tall, OF_BOX[0] * height(box))
    up = middle - points[5:7][known[5:7]].mean(axis=0)
    up /= max(float(np.linalg.norm(up)), 1e-6)
    tall *= 1 + 0.5 * max(0.0, abs(float(up[0])) - 0.4)  # whoever leans is posed less exactly
    if not _cut(box, size) and tall > OF_BOX[1] * max(height(box), box[2] - box[0]):
        return None
    # A head is the body's end, so it lies at one side of a box that is tight.
    inside = np.concatenate([middle - box[:2], box[2:] - middle]) / tall
    if inside.min() < -0.5 or inside.min() > 1.5:
        return None
    x, y = middle + UP * tall * up
    found = _around(x, y, WIDE * tall, tall)
    nose = points[:5][known[:5]]
    return Head(_hull(found, [*nose.min(axis=0), *nose.max(axis=0)]), POSE, float(score[:7][known[:7]].mean()))


def of_box(box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where the head of a person with this box (4,) must be: in the upper part of who stands whole in the picture, arms
    raised or not, else anywhere."""
    whole = _whole_of(box)
    if upright(box) and box[3] < size[1] - 1:
        whole[3] = box[1] + 0.35 * height(box)
    return whole


def agree(a: Head, b: Head) -> bool:
    """Whether two heads in one frame are one."""
    return bool(np.linalg.norm(centre(a.box) - centre(b.box)) <= 0.6 * max(height(a.box), height(b.box)))


def both(face: Head, pose: Head) -> Head:
    """One head of a face and a pose that agree: the pose knows where its back is, the face how large it is."""
    box = _hull(grown(face.box, 0.6), pose.box)
    return Head(box, FACE, max(face.confidence, pose.confidence), pose.weight + 2)


def posed_twice(first: Sequence[Head], second: Head) -> list[Head]:
    """The heads of one person in a frame by one pose estimator, and by a second one: where both agree, one head."""
    same = [
        replace(h, box=_hull(h.box, second.box), weight=h.weight + second.weight) for h in first if agree(h, second)
    ]
    return [*(h for h in first if not agree(h, second)), *(same or [second])]


# Who is who


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

    Alone, a face says where the head is of the subject, and of who has no box; of others, whose pose is not followed,
    a hand or a picture on the wall may be taken for one. Returns the people with these heads, and the rows of nobody,
    heads by frame.
    """
    seen = [(t, of_face(b, sure)) for t, b, sure in zip(frames.tolist(), box, confidence.tolist(), strict=True)]
    heads = {i: {t: list(found) for t, found in person.heads.items()} for i, person in people.items()}
    where = {(i, int(t)): b for i, p in people.items() for t, b in zip(p.frames, p.box, strict=True)}
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
            unsure = few or (people[owner].zone and (owner, t) in where)
            one = [both(head, h) for h in posed if agree(head, h)] or [replace(head, weight=0 if unsure else 1)]
            rest = [h for h in heads[owner].get(t, []) if not agree(head, h)]
            heads[owner][t] = [*rest, *one]
    return {i: Person(p.frames, p.box, heads[i], p.zone) for i, p in people.items()}, alone


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
    for t, head in sorted(heads, key=lambda row: row[0]):
        best, nearest = None, np.inf
        for track in tracks:
            last = max(track)
            gap = time[t] - time[last]
            box = track[last][-1].box
            apart = float(np.linalg.norm(centre(box) - centre(head.box)))
            if last < t and gap <= limits.gap_s and apart < nearest and plausible(box, head.box, gap, limits):
                best, nearest = track, apart
        if best is None:
            tracks.append(best := {})
        best[t] = [head]
    return tracks


def plausible(a: np.ndarray, b: np.ndarray, seconds: float, limits: Limits) -> bool:
    """Whether two heads `seconds` apart can be one, by their sizes and the way between them."""
    small, large = sorted((height(a), height(b)))
    apart = float(np.linalg.norm(centre(b) - centre(a)))
    return large <= limits.ratio * small and apart <= (limits.jitter + limits.speed * seconds) * large


def firm(person: Person, time: np.ndarray, limits: Limits) -> dict[int, Head]:
    """The heads of a person that can all be one, by frame: of all such rows, the one for which most signs speak.

    What is not in it is a false pose, or a false face: covered itself, but nothing is drawn from or to it.
    """
    rows = [(t, head) for t in sorted(person.heads) for head in person.heads[t] if head.weight]
    best = [float(head.weight) for _, head in rows]
    before = [-1] * len(rows)
    first = 0
    for j, (t, head) in enumerate(rows):
        while time[t] - time[rows[first][0]] > FAR:
            first += 1
        if first:  # after so long, anywhere
            before[j] = int(np.argmax(best[:first]))
            best[j] += best[before[j]]
        for i in range(first, j):
            s, earlier = rows[i]
            gain = best[i] + head.weight
            if s < t and gain > best[j] and plausible(earlier.box, head.box, time[t] - time[s], limits):
                best[j], before[j] = gain, i
    chain: dict[int, Head] = {}
    j = int(np.argmax(best)) if rows else -1
    while j >= 0:
        chain[rows[j][0]] = rows[j][1]
        j = before[j]
    return dict(sorted(chain.items()))


# What is covered


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
    covers = {identity: _Cover(person, time, size, limits) for identity, person in everyone.items()}
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


def _double(cover: "_Cover", everyone: Iterable["_Cover"]) -> bool:
    """Whether somebody has the head of somebody better known in every frame, and is covered thereby."""
    better = [other for other in everyone if other is not cover and len(other.firm) > 2 * len(cover.box) > 0]
    return bool(better) and all(
        any(agree(head, other.firm[t]) for head in cover.person.heads.get(t, ()) for other in better if t in other.firm)
        for t in cover.box
    )


@dataclass(frozen=True)
class _End:
    """Where somebody is first or last known: whether that is in the middle of the picture and of the clip, and whether
    the same head goes on under another's name."""

    frame: int
    inside: bool
    goes_on: bool


def _ends(covers: Mapping[int, "_Cover"]) -> dict[int, dict[int, _End]]:
    """First (-1) and last (1) end of everyone known."""
    found: dict[int, dict[int, _End]] = {}
    for i, cover in covers.items():
        for step, t in ((-1, cover.known[0]), (1, cover.known[-1])) if cover.known else ():
            others = [c for j, c in covers.items() if j != i and t in c.firm and c.known[0] < t < c.known[-1]]
            goes_on = t in cover.firm and any(agree(cover.firm[t], c.firm[t]) for c in others)
            outer = t in (0, len(cover.time) - 1) or cover.stray or cover.borders(t)
            found.setdefault(i, {})[step] = _End(t, not outer and not goes_on, goes_on)
    return found


def _rejoined(covers: Mapping[int, "_Cover"], ends: Mapping[int, Mapping[int, _End]]) -> Iterator[tuple[int, int]]:
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


class _Cover:
    """What one person needs."""

    def __init__(self, person: Person, time: np.ndarray, size: tuple[int, int], limits: Limits):
        self.person, self.time, self.size, self.limits = person, time, size, limits
        self.box = {int(t): b.astype(float) for t, b in zip(person.frames, person.box, strict=True)}
        self.firm = firm(person, time, limits)
        if self.box:
            self.firm = {t: head for t, head in self.firm.items() if head.weight > 2 or self._steady(t)}
        self.stray = not self.firm and not self.box
        if self.stray:
            self.firm = {t: found[0] for t, found in person.heads.items()}
        self.known = sorted({*self.firm, *(t for t in self.box if self._sound(t))})

    def rows(self) -> Iterator[Row]:
        """Every region of this person."""
        yield from self.heads()
        done = set(self.firm)
        for row in self._between():
            done.add(row[0])
            yield row
        for t in sorted(set(self.box) - done):
            yield t, self._body(t), PERSON, 0.2
        yield from self._gaps(done | set(self.known))

    def heads(self) -> Iterator[Row]:
        """Every head that was seen, firm or doubtful."""
        for t, heads in self.person.heads.items():
            for head in heads:
                sure = head is self.firm.get(t) and not self.stray
                box = _at_least(head.box, self._usual(t)) if sure else head.box
                yield t, grown(box, self.limits.margin), head.why if sure else DOUBTFUL, head.confidence

    def _usual(self, t: int) -> np.ndarray:
        """(2,) median width and height of this head about then: it does not shrink from frame to frame."""
        near = [h.box for s, h in self.firm.items() if abs(self.time[s] - self.time[t]) <= STEADY]
        return np.median([box[2:] - box[:2] for box in near], axis=0)

    def bodies(self) -> Iterator[Row]:
        """The whole person in every frame in which something of it is covered."""
        known = np.array(self.known)
        for t in sorted({row[0] for row in self.rows()} if self.known else ()):
            at = int(np.searchsorted(known, t))
            around = {int(known[max(at - 1, 0)]), int(known[min(at, len(known) - 1)])} if t not in known else {t}
            yield t, _hull(*(self._whole(s) for s in around)), PERSON, 1.0 if t in known else 0.3

    def _whole(self, t: int) -> np.ndarray:
        """The person from head to foot: its box, or the body that a head leaves room for."""
        if t in self.box:
            return _whole_of(self.box[t])
        x0, y0, x1, y1 = self.firm[t].box
        wide, tall = x1 - x0, y1 - y0
        return np.array([x0 - wide, y0 - tall / 4, x1 + wide, y0 + tall / STATURE_HEAD])

    def apart(self, later: "_Cover") -> float:
        """How far the last of this person is from the first of a later one: heights, and seconds."""
        a, b = self._whole(self.known[-1]), later._whole(later.known[0])
        way = float(np.linalg.norm(centre(a) - centre(b))) / max(height(a), height(b))
        return way + float(self.time[later.known[0]] - self.time[self.known[-1]])

    def soon(self, later: "_Cover") -> bool:
        """Whether a later one may well be this person: no long way off, and no long time."""
        gap = self.time[later.known[0]] - self.time[self.known[-1]]
        return bool(gap <= self.limits.gap_s and self.apart(later) - gap <= 1.5)

    def until(self, later: "_Cover") -> Iterator[Row]:
        """Frames between the last of this person and the first of a later one who may be the same."""
        a, b = self.known[-1], later.known[0]
        line = list(self._line(a, b, self.firm.get(a), later.firm.get(b)))
        yield from line or self._missing(a, b, range(a + 1, b), _hull(self._reach(a), later._reach(b)))

    def _sound(self, t: int) -> bool:
        """Whether the box of a frame can be this person's, by its firm heads shortly before or after."""
        near = min(self.firm, key=lambda s: abs(self.time[s] - self.time[t]), default=None)
        if near is None or (away := abs(self.time[near] - self.time[t])) > self.limits.gap_s:
            return True
        tall = height(self.firm[near].box)
        reach = (self.limits.jitter + self.limits.speed * away) * tall
        x, y = centre(self.firm[near].box)
        x0, y0, x1, y1 = self.box[t]
        return x0 - reach <= x <= x1 + reach and y0 - reach <= y <= y1 + reach

    def _steady(self, t: int) -> bool:
        """Whether the person was found in most frames shortly before or after: whoever comes and goes is posed wrongly
        as well."""
        for step in (-1, 1):
            frames = [s for s in range(t, t + step * len(self.time), step) if 0 <= s < len(self.time)]
            near = [s for s in frames if abs(self.time[s] - self.time[t]) <= STEADY]
            if len(near) >= FEW and np.mean([s in self.firm for s in near]) >= 0.7:
                return True
        return False

    def _between(self) -> Iterator[Row]:
        for before, after in pairwise(self.firm):
            yield from self._line(before, after, self.firm[before], self.firm[after])

    def _line(self, before: int, after: int, first: Head | None, last: Head | None) -> Iterator[Row]:
        """Frames between two firm heads that can be one: on a straight line, wider the farther from either."""
        gap = self.time[after] - self.time[before]
        if not first or not last or gap > self.limits.gap_s or not plausible(first.box, last.box, gap, self.limits):
            return
        for t in range(before + 1, after):
            share = (self.time[t] - self.time[before]) / gap
            away = gap * min(share, 1 - share)
            box = grown(first.box * (1 - share) + last.box * share, self.limits.margin + self.limits.growth * away)
            yield t, box, BETWEEN, float(0.8 - 0.5 * away / self.limits.gap_s)

    def _body(self, t: int) -> np.ndarray:
        """What is covered where no head is firm. Where there is a doubtful one, the box is not to be trusted either."""
        zone = self.person.zone and not self.person.heads.get(t)
        return of_box(self.box[t], self.size) if zone else _whole_of(self.box[t])

    def _reach(self, t: int) -> np.ndarray:
        """Where this person may be around a frame in which it is known: its box and its head."""
        found = [b for b in (self.box.get(t), self.firm[t].box if t in self.firm else None) if b is not None]
        return grown(_hull(*found), 1.3)

    def _gaps(self, done: set[int]) -> Iterator[Row]:
        """Frames in which neither head nor box is known, between others: where the person was before or after, and the
        whole frame where that is too long ago."""
        for before, after in pairwise(self.known):
            missing = [t for t in range(before + 1, after) if t not in done]
            yield from self._missing(before, after, missing, _hull(self._reach(before), self._reach(after)))

    def _missing(self, before: int, after: int, frames: Sequence[int], either: np.ndarray) -> Iterator[Row]:
        for t in frames:
            near = min(self.time[t] - self.time[before], self.time[after] - self.time[t]) <= self.limits.gap_s / 2
            yield (t, either, PERSON, 0.1) if near else (t, np.array([0, 0, *self.size], float), FRAME, 0.0)

    def beyond(self, step: int) -> Iterator[Row]:
        """Frames before the first or after the last in which this person is known: where it moves to, or stays, or,
        near the frame's border, over that."""
        end = self.known[-1 if step > 0 else 0]
        box = grown(self.firm[end].box, self.limits.margin) if end in self.firm else self._body(end)
        velocity = self._velocity(end)
        borders = self.borders(end)
        longest = 0.25 if self.stray else self.limits.border_s if borders else self.limits.beyond_s
        t = end + step
        while 0 <= t < len(self.time) and (away := abs(self.time[t] - self.time[end])) <= longest:
            moved = box + np.tile(velocity * away, 2)
            wide = 1 + self.limits.growth * min(away, self.limits.beyond_s) / self.limits.margin
            stays = _hull(box, moved) if away <= self.limits.beyond_s or borders else moved
            yield t, _to_borders(grown(stays, wide), borders, self.size), BEYOND, max(0.1, 0.7 - away)
            t += step

    def _velocity(self, end: int) -> np.ndarray:
        """(2,) pixels a second away from `end`, over a third of a second of heads, else of boxes."""
        places = {t: centre(h.box) for t, h in self.firm.items()} if end in self.firm else {}
        places = places or {t: centre(b) for t, b in self.box.items()}
        near = [t for t in places if t != end and abs(self.time[t] - self.time[end]) <= 0.34]
        if not near:
            return np.zeros(2)
        far = max(near, key=lambda t: abs(self.time[t] - self.time[end]))
        speed = (places[end] - places[far]) / abs(self.time[end] - self.time[far])
        tall = height(self.firm[end].box) if end in self.firm else STATURE_HEAD * height(self.box[end])
        return speed * min(1.0, self.limits.speed * tall / max(float(np.linalg.norm(speed)), 1e-6))

    def borders(self, t: int) -> list[int]:
        """Sides of the frame (0 left, 1 top, 2 right, 3 bottom) within half a person's height of where it is."""
        if t in self.box:
            box, tall = self.box[t], height(self.box[t])
        else:
            box, tall = self.firm[t].box, height(self.firm[t].box) / STATURE_HEAD
        room = np.array([box[0], box[1], self.size[0] - box[2], self.size[1] - box[3]])
        sides = [side for side in (0, 2) if room[side] <= 0.5 * tall]
        # Whoever stands at the lower border is not about to leave over it; a head by itself may be.
        return sides + [side for side in (1, 3) if t not in self.box and room[side] <= 0.15 * tall]


# Boxes


def height(box: np.ndarray) -> float:
    """Of a box (4,), in pixels."""
    return float(box[3] - box[1])


def centre(box: np.ndarray) -> np.ndarray:
    """(2,) of a box (4,)."""
    return (box[:2] + box[2:]) / 2


def grown(box: np.ndarray, factor: float) -> np.ndarray:
    """A box (4,) with both sides times `factor`, around the same middle."""
    half = (box[2:] - box[:2]) / 2 * factor
    return np.concatenate([centre(box) - half, centre(box) + half])


def _at_least(box: np.ndarray, extent: np.ndarray) -> np.ndarray:
    """A box (4,), around the same middle no smaller than extent (2,)."""
    half = np.maximum(box[2:] - box[:2], extent) / 2
    return np.concatenate([centre(box) - half, centre(box) + half])


def _whole_of(box: np.ndarray) -> np.ndarray:
    """A person's box with room to spare; much of it where it is no standing person's, since such are posed badly."""
    tall, wide = height(box), box[2] - box[0]
    spare = (0.08 if upright(box) else 0.25) * max(tall, wide)
    return box + np.array([-spare, -spare, spare, spare])


def upright(box: np.ndarray) -> bool:
    """Whether a box (4,) is that of somebody who stands or walks, arms raised or not."""
    return bool(box[2] - box[0] <= 0.6 * height(box))


def _around(x: float, y: float, wide: float, tall: float) -> np.ndarray:
    return np.array([x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2], float)


def _hull(*boxes: Sequence[float] | np.ndarray) -> np.ndarray:
    table = np.array(boxes, float)
    return np.concatenate([table[:, :2].min(axis=0), table[:, 2:].max(axis=0)])


def _cut(box: np.ndarray, size: tuple[int, int]) -> bool:
    return bool((box[:2] <= 1).any() or (box[2:] >= np.array(size) - 1).any())


def _to_borders(box: np.ndarray, borders: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    reached = box.copy()
    for side in borders:
        reached[side] = (0, 0, *size)[side]
    return reached
