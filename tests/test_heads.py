"""Where heads are: on the synthetic walker, whose head's pixels are known, and with everything silenced that can be."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gaitloom import tracking
from gaitloom.deidentify import heads
from gaitloom.deidentify.boxes import centre, grown, height
from gaitloom.deidentify.heads import (
    BETWEEN,
    BEYOND,
    DOUBTFUL,
    FACE,
    FRAME,
    PERSON,
    POSE,
    Head,
    Regions,
)  # fmt: skip
from gaitloom.deidentify.people import Person, assign, joined
from gaitloom.deidentify.regions import regions as regions_of
from walker import GAITS, PARTS, Walk

SIZE = (640, 360)
LENGTH, FPS = 40, 25.0
TIME = np.arange(LENGTH) / FPS
LEAST = 0.95  # of a head's pixels, in every frame
MOST = 2.5  # covered area in areas of the heads' boxes
VIEWS = ["sagittal", "frontal"]


@cache
def walk(view: str) -> Walk:
    return Walk(GAITS["normal"], view=view, frames=LENGTH, fps=FPS, size=SIZE, seed=3)  # pyright: ignore[reportArgumentType]


@cache
def masks(view: str) -> np.ndarray:
    """(T, H, W) bool: the head's pixels, neck included."""
    return np.stack([walk(view).parts(t) == PARTS["head"] for t in range(LENGTH)])


def box_of(mask: np.ndarray) -> np.ndarray:
    y, x = np.nonzero(mask)
    return np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], float)


def face_of(mask: np.ndarray, view: str) -> np.ndarray:
    """What a detector sees of a head: brow to chin, and from the side only the front of it."""
    x0, y0, x1, y1 = box_of(mask)
    tall = 0.8 * (y1 - y0)  # a fifth of it is neck
    wide = x1 - x0
    left = x0 + (0.45 if view == "sagittal" else 0.08) * wide
    return np.array([left, y0 + 0.25 * tall, x1 - (0 if view == "sagittal" else 0.08) * wide, y0 + tall])


@dataclass
class Clip:
    """What finder, pose and detector say of a walk; faults are put into it."""

    view: str
    box: dict[int, np.ndarray] = field(default_factory=dict)
    points: dict[int, np.ndarray] = field(default_factory=dict)
    faces: dict[int, list[np.ndarray]] = field(default_factory=dict)
    zone: bool = False

    @classmethod
    def of(cls, view: str) -> "Clip":
        w = walk(view)
        span = range(LENGTH)
        return cls(
            view,
            {t: w.box[t] for t in span},
            {t: w.keypoints[t] for t in span},
            {t: [face_of(masks(view)[t], view)] for t in span},
        )

    def regions(self, **more: Any) -> Regions:
        frames = np.array(sorted(self.box), int)
        score = np.ones(23)
        posed = {
            t: [head]
            for t, points in self.points.items()
            if t in self.box and (head := heads.of_pose(points, score, self.box[t], SIZE))
        }
        boxes = np.array([self.box[t] for t in frames]).reshape(-1, 4)
        people = {7: Person(frames, boxes, posed, self.zone)} if len(frames) else {}
        rows = [(t, face) for t, found in sorted(self.faces.items()) for face in found]
        given, alone = assign(
            people,
            np.array([t for t, _ in rows], int),
            np.array([f for _, f in rows]).reshape(-1, 4),
            np.full(len(rows), 0.8),
            TIME,
        )
        return regions_of(given, alone, TIME, SIZE, **more)


def painted(regions: Regions, t: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W) bool: what is covered in a frame."""
    out = np.zeros(size[::-1], bool)
    for x0, y0, x1, y1 in regions.box[regions.frame == t]:
        out[int(np.floor(y0)) : int(np.ceil(y1)), int(np.floor(x0)) : int(np.ceil(x1))] = True
    return out


def bare(regions: Regions, truth: np.ndarray, frames: Iterable[int] | None = None) -> dict[int, float]:
    """Frame → share of the head's pixels (T, H, W) that are covered, where it is less than it must be."""
    shares = {
        t: float(painted(regions, t)[truth[t]].mean())
        for t in (range(len(truth)) if frames is None else frames)
        if truth[t].any()
    }
    return {t: round(s, 2) for t, s in shares.items() if s < LEAST}


def excess(regions: Regions, truth: np.ndarray) -> float:
    """Covered area in areas of the heads' boxes."""
    covered = sum(painted(regions, t).sum() for t in range(len(truth)))
    return covered / sum(np.prod((b := box_of(m))[2:] - b[:2]) for m in truth if m.any())


def reasons(regions: Regions, t: int) -> list[int]:
    return sorted(regions.why[regions.frame == t].tolist())


def without(things: dict[int, Any], frames: Iterable[int]) -> None:
    for t in frames:
        things.pop(t, None)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("silent", ["nothing", "faces", "pose"])
def test_heads_are_covered_and_little_else(view: str, silent: str) -> None:
    """By faces and pose, or by either alone; a person seen only from behind has no face."""
    clip = Clip.of(view)
    without({"faces": clip.faces, "pose": clip.points, "nothing": {}}[silent], range(LENGTH))
    found = clip.regions()
    assert bare(found, masks(view)) == {}
    assert excess(found, masks(view)) <= MOST
    expected = POSE if silent == "faces" else FACE
    assert all(reasons(found, t) == [expected] for t in range(LENGTH))
    assert set(found.track) == {7}


@pytest.mark.parametrize("view", VIEWS)
def test_the_criterion_sees_what_is_wrong(view: str) -> None:
    """Regions that are too small, shifted, a frame late, or missing for a single frame."""
    found = Clip.of(view).regions()
    tight = replace(found, box=np.array([grown(b, 0.6) for b in found.box]))
    shifted = replace(found, box=found.box + np.array([20, 0, 20, 0]))
    hole = replace(found, box=found.box.copy())
    hole.box[found.frame == 11] = 0
    for broken in (tight, shifted, hole):
        assert bare(broken, masks(view))
    wide = replace(found, box=np.array([grown(b, 1.6) for b in found.box]))
    assert excess(wide, masks(view)) > MOST
    assert bare(replace(found, frame=found.frame + 8), masks("sagittal"), range(8))


def silence(clip: Clip, frames: range, *names: str) -> None:
    for name in names:
        without(getattr(clip, name), frames)


FAULTS: dict[str, Callable[[Clip, range], None]] = {
    "detector": lambda c, r: without(c.faces, r),
    "pose": lambda c, r: without(c.points, r),
    "both": lambda c, r: silence(c, r, "faces", "points"),
    "everything": lambda c, r: silence(c, r, "faces", "points", "box"),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("frames", [range(12, 13), range(12, 22), range(10), range(30, 40), range(LENGTH)], ids=str)
def test_nothing_gets_through_when_sources_fall_silent(view: str, fault: str, frames: range) -> None:
    clip = Clip.of(view)
    FAULTS[fault](clip, frames)
    found = clip.regions()
    assert bare(found, masks(view)) == {}
    silent = [reasons(found, t) for t in frames]
    if fault == "detector":
        assert silent == [[POSE]] * len(frames)
    elif fault == "pose":
        assert silent == [[FACE]] * len(frames)
    elif len(frames) == LENGTH:
        assert silent == [[PERSON if fault == "both" else FRAME]] * LENGTH
    elif frames.start in (0, 30):  # before the first, after the last
        assert all(BEYOND in why or PERSON in why for why in silent)
    else:
        assert silent == [[BETWEEN]] * len(frames)


@pytest.mark.parametrize("view", VIEWS)
def test_what_is_uncertain_is_covered_more(view: str) -> None:
    clip = Clip.of(view)
    FAULTS["everything"](clip, range(12, 24))
    found = clip.regions()
    area = [float(np.prod(found.box[found.frame == t][0][2:] - found.box[found.frame == t][0][:2])) for t in (12, 17)]
    seen = float(np.prod(found.box[found.frame == 11][0][2:] - found.box[found.frame == 11][0][:2]))
    assert seen < area[0] < area[1]
    sure = [found.confidence[found.frame == t][0] for t in (11, 12, 17)]
    assert sure[0] > sure[1] > sure[2]


FURNITURE = np.array([500, 250, 560, 350.0])


@pytest.mark.parametrize("frames", [range(20, 21), range(17, 22), range(14, 26)], ids=str)
@pytest.mark.parametrize("with_box", [True, False], ids=["box too", "pose alone"])
def test_a_false_pose_on_furniture_is_nobodys_end(frames: range, with_box: bool) -> None:
    """It is covered as doubtful; the true head between is drawn past it."""
    clip = Clip.of("sagittal")
    without(clip.faces, range(LENGTH))
    for t in frames:
        low, high = clip.box[t][:2], clip.box[t][2:]
        scale = (FURNITURE[2:] - FURNITURE[:2]) / (high - low)
        clip.points[t] = (clip.points[t] - low) * scale + FURNITURE[:2]
        clip.box[t] = (
            FURNITURE if with_box else np.array([*np.minimum(low, FURNITURE[:2]), *np.maximum(high, FURNITURE[2:])])
        )
    found = clip.regions()
    assert bare(found, masks("sagittal")) == {}
    for t in frames:
        assert BETWEEN in reasons(found, t) and POSE not in reasons(found, t)
    assert FRAME not in found.why


def test_a_false_face_changes_nothing_about_the_head() -> None:
    """A hand taken for a face in one frame is covered as well."""
    clip = Clip.of("sagittal")
    hand = np.array([clip.box[20][0] - 2, clip.box[20][1] + 60, clip.box[20][0] + 18, clip.box[20][1] + 85])
    clip.faces[20] = [hand]
    found = clip.regions()
    assert bare(found, masks("sagittal")) == {}
    assert set(reasons(found, 20)) <= {POSE, DOUBTFUL, BETWEEN}
    assert painted(found, 20)[int(hand[1]) : int(hand[3]), max(0, int(hand[0])) : int(hand[2])].all()
    assert [reasons(found, t) for t in (18, 19, 21, 22)].count([FACE]) == 4


@pytest.mark.parametrize("known", ["box", "faces"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_who_enters_at_the_border_is_covered_from_there(known: str, side: str) -> None:
    """A second person is found only a third of a second after it came in, and lost as long before it leaves."""
    shift = np.zeros((LENGTH, 2))
    shift[:, 0] = (np.arange(LENGTH) * 9.0 - 60) if side == "left" else (SIZE[0] + 20 - np.arange(LENGTH) * 9.0)
    tall, wide = 30.0, 26.0
    head = np.stack([[x, 80, x + wide, 80 + tall] for x in shift[:, 0]])
    truth = np.zeros((LENGTH, *SIZE[::-1]), bool)
    for t, (x0, y0, x1, y1) in enumerate(np.clip(head, 0, (*SIZE, *SIZE)).astype(int)):
        truth[t, y0:y1, x0:x1] = True
    visible = [t for t in range(LENGTH) if truth[t].any()]
    found_in = visible[9:]
    main = Clip.of("sagittal")
    if known == "box":
        body = {t: np.clip(head[t] + [-20, -3, 20, 200], 0, (*SIZE, *SIZE)) for t in found_in}
        other = Person(np.array(sorted(body)), np.array([body[t] for t in sorted(body)]), zone=True)
        regions = regions_of(
            {7: Person(np.arange(LENGTH), np.array(list(main.box.values())), {}), 8: other}, [], TIME, SIZE
        )
        mine = regions.track == 8
    else:
        alone = [{t: [Head(head[t], FACE, 0.8)] for t in found_in}]
        regions = regions_of({7: Person(np.arange(LENGTH), np.array(list(main.box.values())), {})}, alone, TIME, SIZE)
        mine = regions.track == 8
    only = Regions(*(getattr(regions, n)[mine] for n in ("frame", "box", "track", "why", "confidence")))
    assert bare(only, truth) == {}
    assert {tuple(reasons(only, t)) for t in visible[:9]} == {(BEYOND,)}
    assert not any(track == 8 for _, track in regions.lost)


def test_a_bystander_without_a_pose_is_covered_above() -> None:
    """The upper part of who stands whole in the picture; all of who does not."""
    clip = Clip.of("sagittal")
    clip.faces, clip.points, clip.zone = {}, {}, True
    found = clip.regions()
    assert bare(found, masks("sagittal")) == {}
    assert (found.box[:, 3] < [clip.box[t][3] - 60 for t in range(LENGTH)]).all()
    lying = np.array([100, 200, 300, 260.0])
    np.testing.assert_array_less(lying[2:], heads.of_box(lying, SIZE)[2:])
    cut = np.array([100, 200, 140, 360.0])
    assert heads.of_box(cut, SIZE)[3] >= 360


def test_a_bystander_may_be_covered_whole() -> None:
    clip = Clip.of("sagittal")
    found = clip.regions(spared=-1)
    for t in range(LENGTH):
        assert painted(found, t)[walk("sagittal").silhouette(t)].all()


@pytest.mark.parametrize("posed", [True, False])
def test_a_person_who_fills_the_frame(posed: bool) -> None:
    """Cut by all borders: a large head is believed; without one, all is covered."""
    box = np.array([0, 0, *SIZE], float)
    points = np.full((23, 2), np.nan)
    points[:5] = [[330, 150], [350, 130], [310, 130], [390, 140], [270, 140]]
    points[5:7] = [[520, 340], [130, 340]]
    truth = np.zeros((LENGTH, *SIZE[::-1]), bool)
    truth[:, 50:240, 260:400] = True
    head = heads.of_pose(points, np.ones(23), box, SIZE)
    assert head is not None
    person = Person(np.arange(LENGTH), np.tile(box, (LENGTH, 1)), {t: [head] for t in range(LENGTH)} if posed else {})
    found = regions_of({0: person}, [], TIME, SIZE)
    assert bare(found, truth) == {}
    assert set(found.why) == {POSE if posed else PERSON}
    assert painted(found, 3).all() == (not posed)


def test_regions_lie_inside_the_frame() -> None:
    boxes = {3: np.array([700, 10, 730, 50.0]), 4: np.array([620, -20, 660, 20.0])}
    found = regions_of({}, [{t: [Head(b, FACE, 0.9)] for t, b in boxes.items()}], TIME, SIZE)
    assert (found.box >= 0).all() and (found.box[:, 2:] <= SIZE).all() and (found.box[:, 2:] > found.box[:, :2]).all()
    assert painted(found, 4)[0:20, 620:640].all()
    assert (np.diff(found.frame) >= 0).all()


def test_nobody_at_all_covers_everything() -> None:
    found = regions_of({}, [], TIME, SIZE)
    assert found.frame.tolist() == list(range(LENGTH))
    np.testing.assert_array_equal(found.box, np.tile([0, 0, *SIZE], (LENGTH, 1)))
    assert set(found.why) == {FRAME}


def test_who_is_lost_too_long_in_the_middle_covers_the_frame() -> None:
    """For 3 s; next to either end, where the person was."""
    time = np.arange(120) / FPS
    box = np.array([300, 100, 360, 300.0])
    frames = np.array([*range(20), *range(95, 120)])
    person = Person(frames, np.tile(box, (len(frames), 1)))
    found = regions_of({0: person}, [], time, SIZE)
    whole = found.frame[found.why == FRAME]
    assert set(range(40, 76)) <= set(whole) and not set(whole) & {*range(20), *range(95, 120)}
    assert all(painted(found, t)[100:150, 300:360].all() for t in range(120))
    # The same, by two whom the track took for different people.
    one = Person(np.arange(20), np.tile(box, (20, 1)))
    two = Person(np.arange(95, 120), np.tile(box + 20, (25, 1)))
    found = regions_of({0: one, 1: two}, [], time, SIZE)
    whole = set(found.frame[found.why == FRAME])
    assert set(range(40, 76)) <= whole and not whole & {*range(28), *range(87, 120)}
    assert found.lost == ((19, 0), (95, 1))


def test_two_false_hits_are_covered_but_nobodys() -> None:
    flower = np.array([40, 40, 60, 60.0])
    clip = Clip.of("sagittal")
    clip.faces[5].append(flower)
    found = clip.regions()
    mine = found.track == 8
    assert found.why[mine & (found.frame == 5)].tolist() == [DOUBTFUL]
    assert painted(found, 5)[40:60, 40:60].all()
    assert found.frame[mine].min() >= 0 and found.frame[mine].max() <= 12 and found.lost == ()


def test_faces_go_to_whose_heads_they_are() -> None:
    """Two people, one behind the other, whose boxes overlap."""
    box = {0: np.array([100, 100, 200, 340.0]), 1: np.array([150, 40, 260, 300.0])}
    people = {i: Person(np.array([0]), b[None]) for i, b in box.items()}
    faces = np.array([[140, 105, 160, 130], [195, 48, 215, 73], [400, 100, 420, 125.0]])
    given, alone = assign(people, np.zeros(3, int), faces, np.full(3, 0.9), TIME)
    for i in box:
        (head,) = given[i].heads[0]
        assert np.abs(centre(head.box) - centre(faces[i])).max() < 5
    assert [list(row) for row in alone] == [[0]]


def test_a_head_leans_with_its_person() -> None:
    """The region goes on from the shoulders over the ears, whichever way that is."""
    box = np.array([100, 100, 300, 260.0])
    points = np.full((23, 2), np.nan)
    points[:5], points[5:7] = [280, 180], [240, 180]
    found = heads.of_pose(points, np.ones(23), box, SIZE)
    assert found is not None
    x, y = centre(found.box)
    assert y == pytest.approx(180) and 282 < x < 290
    assert height(found.box) > 1.1 * 40


def test_a_head_is_widest_from_behind() -> None:
    """Where poses see neither ears nor nose, and hair is; the left ear is then on the picture's left."""
    box = np.array([100, 100, 220, 400.0])
    width = {}
    for view, left_ear in (("front", 172), ("side", 160), ("behind", 148)):
        points = np.full((23, 2), np.nan)
        points[0], points[3], points[4] = (160, 135), (left_ear, 130), (320 - left_ear, 130)
        points[5], points[6] = (160, 168), (160, 168)
        found = heads.of_pose(points, np.ones(23), box, SIZE)
        assert found is not None
        width[view] = float(found.box[2] - found.box[0]) / height(found.box)
    assert width["front"] < width["side"] < width["behind"]


def test_points_that_contradict_the_box_are_no_head() -> None:
    """In the middle of the body, outside of it, larger than a head can be; nor are points without shoulders."""
    w = walk("sagittal")
    box, points, score = w.box[5], w.keypoints[5], np.ones(23)
    assert heads.of_pose(points, score, box, SIZE) is not None
    tall = height(box)
    wrong = {
        "belly": points + np.array([0, 0.45 * tall]),
        "beside": points - [tall, 0],
        "large": box[:2] + 6 * (points - box[:2]),
        "no shoulders": np.where(np.isin(np.arange(23), [5, 6])[:, None], np.nan, points),
    }
    assert [name for name, p in wrong.items() if heads.of_pose(p, score, box + np.array([-40, 0, 40, 0]), SIZE)] == []


def test_the_finder_gives_everyones_head() -> None:
    """BlazePose's finder on the walker: its head, with the margin, holds the true one; the track keeps it by person."""
    from gaitloom.backends import find

    module = find("track", "blazepose")
    frames = [20, 30]
    found = list(module.Backend(module.Options()).people(walk("sagittal").frame(t) for t in frames))
    kept = tracking.collect(found)
    for t, people, again in zip(frames, found, kept, strict=True):
        assert people.head is not None and people.head.shape == (1, 4) and people.head.dtype == np.float32
        assert again.head is not None
        np.testing.assert_array_equal(people.head, again.head)
        x0, y0, x1, y1 = np.clip(grown(people.head[0], 1.3), 0, None).astype(int)
        assert masks("sagittal")[t][y0:y1, x0:x1].sum() >= LEAST * masks("sagittal")[t].sum()
    assert all(p.head is None for p in tracking.collect([*found, replace(found[0], head=None)]))


def test_a_head_does_not_shrink_from_frame_to_frame() -> None:
    """A pose that takes it for half as large in one frame."""
    clip = Clip.of("frontal")
    without(clip.faces, range(LENGTH))
    ears = clip.points[20][3:5].mean(axis=0)
    clip.points[20] = np.vstack([ears + 0.4 * (clip.points[20][:7] - ears), clip.points[20][7:]])
    assert bare(clip.regions(), masks("frontal")) == {}


def boxes_of(truth: np.ndarray) -> np.ndarray:
    """(T, H, W) bool of heads' boxes (T, 4), cut at the frame."""
    out = np.zeros((len(truth), *SIZE[::-1]), bool)
    for t, (x0, y0, x1, y1) in enumerate(np.clip(truth, 0, (*SIZE, *SIZE)).astype(int)):
        out[t, y0:y1, x0:x1] = True
    return out


def posed(head: Any, frames: Iterable[int], weight: int = 2) -> dict[int, list[Head]]:
    return {t: [Head(head[t], POSE, 0.9, weight)] for t in frames}


def test_who_gets_a_new_name_stays_one_person() -> None:
    """A track that breaks for 0.2 s: one pattern, one row, nobody lost; who is spared is joined to nobody."""
    w = walk("sagittal")
    head = np.array([box_of(m) for m in masks("sagittal")])
    halves = {7: range(18), 9: range(23, LENGTH)}
    people = {
        i: Person(np.array(span), np.array([w.box[t] for t in span]), posed(head, span)) for i, span in halves.items()
    }
    found = regions_of(joined(people, TIME), [], TIME, SIZE)
    assert bare(found, masks("sagittal")) == {} and set(found.track) == {7} and found.lost == ()
    nobody = [{t: [Head(np.array([5, 5, 9, 9.0]), FACE, 0.9)] for t in range(4)}]
    assert set(regions_of(joined(people, TIME), nobody, TIME, SIZE).track) == {7, 10}  # 9 is a name of the track
    assert [reasons(found, t) for t in range(18, 23)] == [[BETWEEN]] * 5
    for spared in halves:
        assert {i: len(p.frames) for i, p in joined(people, TIME, spared).items()} == {7: 18, 9: 17}


def test_who_is_found_under_two_names_in_turn_is_one() -> None:
    w, span = walk("sagittal"), range(LENGTH)
    head = np.array([box_of(m) for m in masks("sagittal")])
    turns = {7: [t for t in span if t not in (12, 14, 15)], 9: [12, 14, 15]}
    people = {i: Person(np.array(f), np.array([w.box[t] for t in f]), posed(head, f)) for i, f in turns.items()}
    found = regions_of(joined(people, TIME), [], TIME, SIZE)
    assert bare(found, masks("sagittal")) == {} and set(found.track) == {7}
    assert all(reasons(found, t) == [POSE] for t in span)


def test_who_is_found_twice_at_once_is_covered_once() -> None:
    """For two frames, inside its own box and posed wrongly; for long, it is somebody else."""
    w, span = walk("sagittal"), range(LENGTH)
    head = np.array([box_of(m) for m in masks("sagittal")])
    first = Person(np.array(span), np.array([w.box[t] for t in span]), posed(head, span))
    for frames, why in ((range(20, 22), DOUBTFUL), (range(10, 22), POSE)):
        inside = np.array([[*(w.box[t][:2] + 10), *(w.box[t][2:] - 5)] for t in frames])
        belly = inside[:, [0, 1, 0, 1]] + np.array([5, 60, 25, 84])
        again = Person(np.array(frames), inside, posed(dict(zip(frames, belly, strict=True)), frames))
        found = regions_of({7: first, 8: again}, [], TIME, SIZE)
        assert bare(found, masks("sagittal")) == {} and PERSON not in found.why
        assert set(found.why[found.track == 8]) == ({DOUBTFUL} if why == DOUBTFUL else {POSE, BEYOND})


def test_who_was_hardly_ever_found_is_not_drawn_out_far() -> None:
    """A leg at the border, once: covered, with a quarter of a second before and after."""
    leg = Person(np.array([20]), np.array([[0, 200, 60, 340.0]]))
    found = regions_of({8: leg}, [], TIME, SIZE)
    assert set(found.frame) == set(range(14, 27)) and reasons(found, 20) == [PERSON]


def test_a_head_that_jumps_to_and_fro_is_no_head() -> None:
    """For one frame, by no more than a head may move in that time."""
    head = np.array([box_of(m) for m in masks("sagittal")])
    size = head[20, 2:] - head[20, :2]
    head[20] += np.tile(size * [1.3, 0.3], 2)
    w, span = walk("sagittal"), range(LENGTH)
    person = Person(np.array(span), np.array([w.box[t] for t in span]), posed(head, span))
    found = regions_of({7: person}, [], TIME, SIZE)
    assert bare(found, masks("sagittal")) == {}
    assert reasons(found, 20) == [BETWEEN, DOUBTFUL] and reasons(found, 19) == reasons(found, 21) == [POSE]


def test_who_appears_elsewhere_or_beside_is_somebody_else() -> None:
    box = np.array([100, 100, 160, 300.0])
    one = Person(np.arange(10), np.tile(box, (10, 1)))
    others = {
        "far off": Person(np.arange(12, 20), np.tile(box + np.array([200, 0, 200, 0]), (8, 1))),
        "late": Person(np.arange(38, 40), np.tile(box, (2, 1))),
        "at the same time": Person(np.arange(9, 20), np.tile(box, (11, 1))),
    }
    for name, other in others.items():
        assert len(joined({0: one, 1: other}, TIME)[0].frames) == 10, name


def leaving(frames: Iterable[int], unposed: float = 12) -> tuple[np.ndarray, np.ndarray, Person]:
    """Somebody who walks off over the left border: heads (T, 4), bodies (T, 4), and what is known of it: its pose until
    its head is so near the border, its body in these frames."""
    x = 200 - 9.0 * np.arange(LENGTH)
    head = np.column_stack([x, np.full(LENGTH, 80), x + 26, np.full(LENGTH, 110)])
    body = np.clip(head + np.array([-10, -3, 60, 200]), 0, (*SIZE, *SIZE))
    return head, body, Person(np.array(frames), body[list(frames)], posed(head, [t for t in frames if x[t] > unposed]))


def test_who_leaves_is_covered_until_out_and_no_longer() -> None:
    """Of the last frames, only the trailing leg is known: the head is followed over the border, not the whole person
    covered."""
    head, _, person = leaving(range(28))
    found = regions_of({3: person}, [], TIME, SIZE)
    assert bare(found, boxes_of(head)) == {}
    assert not np.isin(found.why, (PERSON, FRAME)).any()
    out = int(np.flatnonzero(head[:, 2] <= 0)[0])
    early = regions_of({3: leaving(range(28), unposed=30)[2]}, [], TIME, SIZE)
    assert bare(early, boxes_of(head)) == {}
    assert reasons(early, 20) == [PERSON]  # the body is not cut by the border yet
    assert BEYOND in reasons(found, out - 1) and not np.isin(found.frame, range(out + 8, LENGTH)).any()


@pytest.mark.parametrize("before", ["moved", "stood"])
@pytest.mark.parametrize("speed", [0.0, 3.0])
@pytest.mark.parametrize("x", [40.0, 300.0], ids=["at the border", "inside"])
def test_who_is_seen_late_is_covered_where_it_may_have_been(x: float, speed: float, before: str) -> None:
    """Before frame 12, for all that is known, it moved as after, or stood; at the border, it may have come from there.
    Who walks in from the border did not stand there for long, or would have been seen."""
    moved = speed * (np.arange(LENGTH) - 12) if before == "moved" else speed * np.maximum(np.arange(LENGTH) - 12, 0)
    head = np.column_stack([x + moved, np.full(LENGTH, 80), x + moved + 26, np.full(LENGTH, 110)])
    seen = range(12, LENGTH)
    body = head[12:] + np.array([-30, -3, 30, 200])
    found = regions_of({3: Person(np.array(seen), body, posed(head, seen))}, [], TIME, SIZE)
    walked_in = x == 40 and speed > 0
    assert bare(found, boxes_of(head), range(5 if walked_in and before == "stood" else 0, LENGTH)) == {}
    if x == 40 and not speed:
        assert all(painted(found, t)[80:110, :40].all() for t in range(12))


def test_who_leaves_and_is_not_spared_is_covered_whole_to_the_last() -> None:
    _, body, person = leaving(range(28))
    found = regions_of({3: person}, [], TIME, SIZE, spared=-1)
    for t in range(28):
        x0, y0, x1, y1 = body[t].astype(int)
        assert painted(found, t)[y0:y1, x0:x1].all()


def test_a_somersault_off_a_wall() -> None:
    """Up to 25 heads a second, posed a third of a head too high or too low, and not at all for half of the turn."""
    t = np.arange(LENGTH) / FPS
    turn = np.clip((t - 0.4) / 0.4, 0, 1) * 2 * np.pi
    x = 150 + 80 * t + 28 * np.sin(turn)
    y = 60 + np.where(t > 0.8, 350 * (t - 0.8) ** 2, 0) + 28 * (1 - np.cos(turn))
    middle, half = np.column_stack([x, np.minimum(y, 300)]), np.array([9, 11])
    head = np.hstack([middle - half, middle + half])
    speed = np.linalg.norm(np.diff(middle, axis=0), axis=1).max() * FPS / 22
    assert 20 < speed < 27
    seen = [n for n in range(LENGTH) if not 12 <= n < 17]
    said = head + np.tile([0.0, 7.0], 2) * np.where(np.arange(LENGTH) % 2, 1, -1)[:, None]
    body = np.hstack([middle - 60, middle + 60])
    found = regions_of({0: Person(np.array(seen), body[seen], posed(said, seen), zone=True)}, [], TIME, SIZE)
    assert {n: s for n, s in bare(found, boxes_of(head)).items() if s < 0.8} == {}
    assert not np.isin(found.why, (PERSON, FRAME)).any()


@pytest.mark.parametrize("frames", [range(20, 21), range(20, 22)], ids=str)
def test_a_pose_that_slips_to_the_shoulder_uncovers_nothing(frames: range) -> None:
    """By less than what is thrown out: the place where the frames around have it is covered as well."""
    head = np.array([box_of(m) for m in masks("sagittal")])
    sizes = head[:, 2:] - head[:, :2]
    said = head.copy()
    said[list(frames)] += np.tile(0.7 * sizes[list(frames)] * [-1, 0.3], 2)
    w = walk("sagittal")
    span = range(LENGTH)
    known = {t: [Head(said[t], POSE, 0.9, 1 if t in frames else 3)] for t in span}
    found = regions_of({7: Person(np.array(span), np.array([w.box[t] for t in span]), known)}, [], TIME, SIZE)
    assert bare(found, masks("sagittal")) == {}
    assert all(reasons(found, t) == [POSE] for t in frames)


def test_faces_of_a_bystander_count_where_its_poses_do() -> None:
    """Alone, between poses; where it is hardly ever posed, a face may be a hand, and the upper part is covered."""
    clip = Clip.of("frontal")
    clip.zone = True
    without(clip.points, range(12, 18))
    found = clip.regions()
    assert all(reasons(found, t) == [FACE] for t in range(LENGTH))
    without(clip.points, range(LENGTH))
    assert all(PERSON in reasons(clip.regions(), t) for t in range(LENGTH))


class NearSighted:
    """A finder that sees the one white pixel in pictures no longer than `most`, and counts how often it is asked."""

    most, asked = 640, 0

    def __call__(self, image: np.ndarray) -> np.ndarray:
        self.asked += 1
        y, x = np.nonzero(image[..., 0])
        return (
            np.array([[x[0], y[0], 50.0, 0.0, 0.9]]) if len(x) and max(image.shape) <= self.most else np.zeros((0, 5))
        )


def standing(image: np.ndarray, at: tuple[float, float], *_: float) -> SimpleNamespace:
    """Landmarks around a point, as a poser would give them."""
    points = np.column_stack([np.tile([-8.0, 8.0, 0.0], 11), np.linspace(-45, 45, 33), np.ones(33)])
    return SimpleNamespace(points=points + np.array([*at, 0]))


def test_whoever_is_overlooked_is_looked_for_from_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it was shortly before; for a third of a second, and not where nobody ever was."""
    from gaitloom.backends import _blazepose
    from gaitloom.backends.track import blazepose

    eyes = NearSighted()
    monkeypatch.setattr(_blazepose, "Finder", lambda: eyes)
    monkeypatch.setattr(_blazepose, "Poser", lambda: standing)
    walked = [100 + 5 * t for t in range(9)]

    def images() -> Iterable[np.ndarray]:
        for t in range(30):
            eyes.most = 640 if t == 0 else 200  # but for the first frame, nobody is seen from afar
            image = np.zeros((360, 640, 3), np.uint8)
            if t < 9:
                image[180, walked[t]] = 255
            elif t == 29:
                image[180, walked[-1]] = 255
            yield image

    people = list(blazepose.Backend(blazepose.Options(min_score=0.5)).people(images()))
    assert [len(p.box) for p in people] == [1] * 9 + [0] * 21
    np.testing.assert_allclose([p.box[0, [0, 2]].mean() for p in people[:9]], walked, atol=1)
    squares = len(blazepose.squares(640, 360))
    assert eyes.asked == 30 * squares + (8 + blazepose.AGAIN) * len(blazepose.NEARER)
