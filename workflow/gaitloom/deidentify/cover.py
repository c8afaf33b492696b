"""What is covered of one person, and why: the heads that were seen, where they must be in between, before and after;
the whole person where that is not known."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from gaitloom.deidentify.boxes import at_least, centre, cut, grown, grown_by, height, hull, to_borders, whole_of
from gaitloom.deidentify.heads import BETWEEN, BEYOND, DOUBTFUL, FRAME, PERSON, STATURE_HEAD, Head, of_box
from gaitloom.deidentify.people import FEW, MOST, STEADY, Limits, Person, firm, plausible

OFF = 0.8, 0.2  # heads' heights off the straight line between two others no more than so many s apart
BRIEFLY = 0.25  # s before and after what was hardly ever seen
Row = tuple[int, np.ndarray, int, float]  # frame, box, why, confidence


class Cover:
    """What one person needs."""

    def __init__(self, person: Person, time: np.ndarray, size: tuple[int, int], limits: Limits):
        self.person, self.time, self.size, self.limits = person, time, size, limits
        self.box = {int(t): b.astype(float) for t, b in zip(person.frames, person.box, strict=True)}
        self.firm = firm(person, time, limits)
        if self.box:
            steady = self._steady()
            self.firm = {t: head for t, head in self.firm.items() if head.weight > 2 or steady[t]}
            self._straighten()
        self.stray = not self.firm and not self.box
        if self.stray:
            self.firm = {t: found[0] for t, found in sorted(person.heads.items())}
        self._frames = np.array(list(self.firm), int)
        self._when = time[self._frames]
        self.known = sorted({*self.firm, *(t for t in self.box if self._sound(t))})
        self.leaving = {t for t in self.known if self._leaves(t)}
        self.known = [t for t in self.known if t not in self.leaving]

    def _straighten(self) -> None:
        """Take out, worst first, where poses alone have a head off the way of the frames just around by most of itself,
        which not even a fall explains."""
        frames = np.array(list(self.firm), int)
        while len(frames) > 2:
            heads = [self.firm[t] for t in frames.tolist()]
            boxes, when = np.array([h.box for h in heads]), self.time[frames]
            middle, span = (boxes[:, :2] + boxes[:, 2:]) / 2, when[2:] - when[:-2]
            share = ((when[1:-1] - when[:-2]) / span)[:, None]
            off = np.linalg.norm(middle[1:-1] - middle[:-2] * (1 - share) - middle[2:] * share, axis=1)
            off /= boxes[1:-1, 3] - boxes[1:-1, 1]
            off[(span > OFF[1]) | (np.array([h.weight for h in heads[1:-1]]) > 2)] = 0
            if off.max() <= OFF[0]:
                return
            del self.firm[int(frames[1 + off.argmax()])]
            frames = np.delete(frames, 1 + off.argmax())

    def rows(self) -> Iterator[Row]:
        """Every region of this person."""
        yield from self.heads()
        done = set(self.firm)
        for row in self._between():
            done.add(row[0])
            yield row
        for t in sorted(set(self.box) - done - self.leaving):
            yield t, self._body(t), PERSON, 0.2
        yield from self._gaps(done | set(self.known))

    def heads(self) -> Iterator[Row]:
        """Every head that was seen, firm or doubtful."""
        for t, heads in self.person.heads.items():
            for head in heads:
                sure = head is self.firm.get(t) and not self.stray
                box = self._allowed(t, head) if sure else head.box
                yield t, grown(box, self.limits.margin), head.why if sure else DOUBTFUL, head.confidence

    def _allowed(self, t: int, head: Head) -> np.ndarray:
        """The box of a firm head: no smaller than it usually is, and, where a single pose is all that speaks for it,
        with the place where better known ones shortly before and after would have it."""
        box = at_least(head.box, self._usual(t))
        if self.stray or head.weight > 2:
            return box
        sure = [s for s in self._near(t) if self.firm[s].weight > 1]
        before, after = max((s for s in sure if s < t), default=None), min((s for s in sure if s > t), default=None)
        if before is None or after is None:
            return box
        line = self._at(t, before, after)
        return grown_by(hull(box, line), self._unsteady(t, box) / self.limits.margin)

    def _at(self, t: int, before: int, after: int) -> np.ndarray:
        """(4,) where a head would be on the straight line between two firm ones."""
        share = (self.time[t] - self.time[before]) / (self.time[after] - self.time[before])
        return self.firm[before].box * (1 - share) + self.firm[after].box * share

    def _unsteady(self, t: int, box: np.ndarray) -> float:
        """Pixels by which a box is widened where the heads about then jump: the median of how far they lie off the
        lines between their neighbours, less what the margin is there for. Little where somebody walks, much where one
        is posed now so, now so."""
        near = self._near(t)
        triples = zip(near, near[1:], near[2:], strict=False)
        off = [np.linalg.norm(centre(self.firm[b].box) - centre(self._at(b, a, c))) for a, b, c in triples]
        return max(0.0, float(np.median(off)) - (self.limits.margin - 1) / 2 * height(box)) if off else 0.0

    def _usual(self, t: int) -> np.ndarray:
        """(2,) median width and height of this head about then: it does not shrink from frame to frame."""
        boxes = np.array([self.firm[s].box for s in self._near(t)])
        return np.median(boxes[:, 2:] - boxes[:, :2], axis=0)

    def _near(self, t: int) -> list[int]:
        """The frames of firm heads about then."""
        low, high = np.searchsorted(self._when, self.time[t] + np.array([-STEADY, STEADY]), "right")
        return self._frames[low:high].tolist()

    def bodies(self) -> Iterator[Row]:
        """The whole person in every frame in which something of it is covered."""
        known = np.array(sorted({*self.known, *self.leaving}))
        for t in sorted({*(row[0] for row in self.rows()), *self.leaving} if len(known) else ()):
            at = int(np.searchsorted(known, t))
            around = {int(known[max(at - 1, 0)]), int(known[min(at, len(known) - 1)])} if t not in known else {t}
            yield t, hull(*(self._whole(s) for s in around)), PERSON, 1.0 if t in known else 0.3

    def _whole(self, t: int) -> np.ndarray:
        """The person from head to foot: its box, or the body that a head leaves room for."""
        if t in self.box:
            return whole_of(self.box[t])
        x0, y0, x1, y1 = self.firm[t].box
        wide, tall = x1 - x0, y1 - y0
        return np.array([x0 - wide, y0 - tall / 4, x1 + wide, y0 + tall / STATURE_HEAD])

    def apart(self, later: "Cover") -> float:
        """How far the last of this person is from the first of a later one: heights, and seconds."""
        a, b = self._whole(self.known[-1]), later._whole(later.known[0])
        way = float(np.linalg.norm(centre(a) - centre(b))) / max(height(a), height(b))
        return way + float(self.time[later.known[0]] - self.time[self.known[-1]])

    def soon(self, later: "Cover") -> bool:
        """Whether a later one may well be this person: no long way off, and no long time."""
        gap = self.time[later.known[0]] - self.time[self.known[-1]]
        return bool(gap <= self.limits.gap_s and self.apart(later) - gap <= 1.5)

    def until(self, later: "Cover") -> Iterator[Row]:
        """Frames between the last of this person and the first of a later one who may be the same."""
        a, b = self.known[-1], later.known[0]
        line = list(self._line(a, b, self.firm.get(a), later.firm.get(b)))
        yield from line or self._missing(a, b, range(a + 1, b), hull(self._reach(a), later._reach(b)))

    def _sound(self, t: int) -> bool:
        """Whether the box of a frame can be this person's, by its firm heads shortly before or after."""
        at = int(np.searchsorted(self._frames, t))
        around = self._frames[max(0, at - 1) : at + 1].tolist()
        near = min(around, key=lambda s: abs(self.time[s] - self.time[t]), default=None)
        if near is None or (away := abs(self.time[near] - self.time[t])) > self.limits.gap_s:
            return True
        tall = height(self.firm[near].box)
        reach = self.limits.reach(away) * tall
        x, y = centre(self.firm[near].box)
        x0, y0, x1, y1 = self.box[t]
        return x0 - reach <= x <= x1 + reach and y0 - reach <= y <= y1 + reach

    def _leaves(self, t: int) -> bool:
        """Whether this is shortly after the last head, or before the first, of who came or went over the left or right
        border, and its box is cut there: of such, the body alone is left."""
        box = self.box.get(t)
        if box is None or not self.firm or (box[0] > 1 and box[2] < self.size[0] - 1):
            return False
        end = self._frames[-1 if t > self._frames[-1] else 0]
        outside = t < self._frames[0] or t > self._frames[-1]
        side = 0 if box[0] <= 1 else 2
        near = abs(self.time[end] - self.time[t]) <= self.limits.beyond_s
        return bool(outside and near and side in self.borders(int(end)))

    def _steady(self) -> np.ndarray:
        """(T,) bool: whether the person was found in most frames shortly before or after: whoever comes and goes is
        posed wrongly as well."""
        found = np.zeros(len(self.time) + 1, int)
        found[np.array(list(self.firm), int) + 1] = 1
        total, here = np.cumsum(found), np.arange(len(self.time))
        first = np.searchsorted(self.time, self.time - STEADY)
        last = np.searchsorted(self.time, self.time + STEADY, side="right")
        shares = [
            np.where(high - low >= FEW, (total[high] - total[low]) / (high - low), 0)
            for low, high in ((first, here + 1), (here, last))
        ]
        return np.maximum(*shares) >= MOST

    def _between(self) -> Iterator[Row]:
        for before, after in pairwise(self.firm):
            yield from self._line(before, after, self.firm[before], self.firm[after])

    def _line(self, before: int, after: int, first: Head | None, last: Head | None) -> Iterator[Row]:
        """Frames between two firm heads that can be one: on a straight line, wider the farther from either."""
        gap = self.time[after] - self.time[before]
        if not first or not last or gap > self.limits.gap_s or not plausible(first.box, last.box, gap, self.limits):
            return
        way = float(np.linalg.norm(centre(last.box) - centre(first.box)))
        for t in range(before + 1, after):
            share = (self.time[t] - self.time[before]) / gap
            away = gap * min(share, 1 - share)
            box = grown(first.box * (1 - share) + last.box * share, self.limits.margin + self.limits.growth * away)
            bow = self.limits.bow * way * 4 * share * (1 - share)
            yield t, grown_by(box, bow + self._unsteady(t, box)), BETWEEN, float(0.8 - 0.5 * away / self.limits.gap_s)

    def _body(self, t: int) -> np.ndarray:
        """What is covered where no head is firm. Where there is a doubtful one, the box is not to be trusted either."""
        zone = self.person.zone and not self.person.heads.get(t)
        return of_box(self.box[t], self.size) if zone else whole_of(self.box[t])

    def _reach(self, t: int) -> np.ndarray:
        """Where this person may be around a frame in which it is known: its box and its head."""
        found = [b for b in (self.box.get(t), self.firm[t].box if t in self.firm else None) if b is not None]
        return grown(hull(*found), 1.3)

    def _gaps(self, done: set[int]) -> Iterator[Row]:
        """Frames in which neither head nor box is known, between others: where the person was before or after, and the
        whole frame where that is too long ago."""
        for before, after in pairwise(self.known):
            missing = [t for t in range(before + 1, after) if t not in done]
            yield from self._missing(before, after, missing, hull(self._reach(before), self._reach(after)))

    def _missing(self, before: int, after: int, frames: Sequence[int], either: np.ndarray) -> Iterator[Row]:
        for t in frames:
            near = min(self.time[t] - self.time[before], self.time[after] - self.time[t]) <= self.limits.gap_s / 2
            yield (t, either, PERSON, 0.1) if near else (t, np.array([0, 0, *self.size], float), FRAME, 0.0)

    def beyond(self, step: int) -> Iterator[Row]:
        """Frames before the first or after the last in which this person is known: where it moves to, or stays. Near
        the frame's border it moves over that, and is out; where it would not get there, all the way is covered."""
        end = self.known[-1 if step > 0 else 0]
        head = self.firm.get(end)
        whole = self._allowed(end, head) if head and cut(self.box.get(end, head.box), self.size) else head and head.box
        box = self._body(end) if whole is None else grown(whole, self.limits.margin)
        velocity, borders = self._velocity(end), self.borders(end)
        over = np.array([not borders or any(side % 2 == axis for side in borders) for axis in (0, 1)])
        longest = self.limits.border_s if borders else self.limits.beyond_s
        if self.stray or len(self.known) < FEW:
            longest = BRIEFLY
        far = box + np.tile(velocity * self.limits.border_s, 2)
        on_way = any(far[side] < 0 if side < 2 else far[side] > self.size[side - 2] for side in borders)
        size = (box[2:] - box[:2]).min() / 2 / self.limits.margin * np.where(over & on_way, 0, 1)
        t = end + step
        while 0 <= t < len(self.time) and (away := abs(self.time[t] - self.time[end])) <= longest:
            way = velocity * np.where(over, away, min(away, STEADY))  # along the border, one goes up and down only
            slow, quick = (box + np.tile(way * pace, 2) for pace in self.limits.paces)
            stays = [box] if away <= (STEADY if on_way else self.limits.beyond_s) else []
            wider = size * self.limits.growth * min(away, self.limits.beyond_s)
            where = hull(slow, quick, *stays) + np.concatenate([-wider, wider])
            yield t, where if on_way else to_borders(where, borders, self.size), BEYOND, max(0.1, 0.7 - away)
            t += step

    def _velocity(self, end: int) -> np.ndarray:
        """(2,) pixels a second away from `end`, over half a second of heads, about a step, else of boxes."""
        places = {t: centre(h.box) for t, h in self.firm.items()} if end in self.firm else {}
        places = places or {t: centre(b) for t, b in self.box.items()}
        near = [t for t in places if t != end and abs(self.time[t] - self.time[end]) <= 0.5]
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
