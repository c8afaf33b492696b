"""Where heads are: on the synthetic walker, whose head's pixels are known, and with everything silenced that can be."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from gaitloom import tracking
from gaitloom.deidentify import heads
from gaitloom.deidentify.heads import (
    BETWEEN,
    BEYOND,
    DOUBTFUL,
    FACE,
    FRAME,
    PERSON,
    POSE,
    Head,
    Person,
    Regions,
)  # fmt: skip
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
        given, alone = heads.assign(
            people,
            np.array([t for t, _ in rows], int),
            np.array([f for _, f in rows]).reshape(-1, 4),
            np.full(len(rows), 0.8),
            TIME,
        )
        return heads.regions(given, alone, TIME, SIZE, **more)


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
    tight = replace(found, box=np.array([heads.grown(b, 0.6) for b in found.box]))
    shifted = replace(found, box=found.box + np.array([20, 0, 20, 0]))
    hole = replace(found, box=found.box.copy())
    hole.box[found.frame == 11] = 0
    for broken in (tight, shifted, hole):
        assert bare(broken, masks(view))
    wide = replace(found, box=np.array([heads.grown(b, 1.6) for b in found.box]))
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
        regions = heads.regions(
            {7: Person(np.arange(LENGTH), np.array(list(main.box.values())), {}), 8: other}, [], TIME, SIZE
        )
        mine = regions.track == 8
    else:
        alone = [{t: [Head(head[t], FACE, 0.8)] for t in found_in}]
        regions = heads.regions(
            {7: Person(np.arange(LENGTH), np.array(list(main.box.values())), {})}, alone, TIME, SIZE
        )
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
    found = heads.regions({0: person}, [], TIME, SIZE)
    assert bare(found, truth) == {}
    assert set(found.why) == {POSE if posed else PERSON}
    assert painted(found, 3).all() == (not posed)


def test_regions_lie_inside_the_frame() -> None:
    boxes = {3: np.array([700, 10, 730, 50.0]), 4: np.array([620, -20, 660, 20.0])}
    found = heads.regions({}, [{t: [Head(b, FACE, 0.9)] for t, b in boxes.items()}], TIME, SIZE)
    assert (found.box >= 0).all() and (found.box[:, 2:] <= SIZE).all() and (found.box[:, 2:] > found.box[:, :2]).all()
    assert painted(found, 4)[0:20, 620:640].all()
    assert (np.diff(found.frame) >= 0).all()


def test_nobody_at_all_covers_everything() -> None:
    found = heads.regions({}, [], TIME, SIZE)
    assert found.frame.tolist() == list(range(LENGTH))
    np.testing.assert_array_equal(found.box, np.tile([0, 0, *SIZE], (LENGTH, 1)))
    assert set(found.why) == {FRAME}


def test_who_is_lost_too_long_in_the_middle_covers_the_frame() -> None:
    """For 3 s; next to either end, where the person was."""
    time = np.arange(120) / FPS
    box = np.array([300, 100, 360, 300.0])
    frames = np.array([*range(20), *range(95, 120)])
    person = Person(frames, np.tile(box, (len(frames), 1)))
    found = heads.regions({0: person}, [], time, SIZE)
    whole = found.frame[found.why == FRAME]
    assert set(range(40, 76)) <= set(whole) and not set(whole) & {*range(20), *range(95, 120)}
    assert all(painted(found, t)[100:150, 300:360].all() for t in range(120))
    # The same, by two whom the track took for different people.
    one = Person(np.arange(20), np.tile(box, (20, 1)))
    two = Person(np.arange(95, 120), np.tile(box + 20, (25, 1)))
    found = heads.regions({0: one, 1: two}, [], time, SIZE)
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
    given, alone = heads.assign(people, np.zeros(3, int), faces, np.full(3, 0.9), TIME)
    for i in box:
        (head,) = given[i].heads[0]
        assert np.abs(heads.centre(head.box) - heads.centre(faces[i])).max() < 5
    assert [list(row) for row in alone] == [[0]]


def test_a_head_leans_with_its_person() -> None:
    """The region goes on from the shoulders over the ears, whichever way that is."""
    box = np.array([100, 100, 300, 260.0])
    points = np.full((23, 2), np.nan)
    points[:5], points[5:7] = [280, 180], [240, 180]
    found = heads.of_pose(points, np.ones(23), box, SIZE)
    assert found is not None
    x, y = heads.centre(found.box)
    assert y == pytest.approx(180) and 282 < x < 290
    assert heads.height(found.box) > 1.1 * 40


def test_points_that_contradict_the_box_are_no_head() -> None:
    """In the middle of the body, outside of it, larger than a head can be; nor are points without shoulders."""
    w = walk("sagittal")
    box, points, score = w.box[5], w.keypoints[5], np.ones(23)
    assert heads.of_pose(points, score, box, SIZE) is not None
    tall = heads.height(box)
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
        x0, y0, x1, y1 = np.clip(heads.grown(people.head[0], 1.3), 0, None).astype(int)
        assert masks("sagittal")[t][y0:y1, x0:x1].sum() >= LEAST * masks("sagittal")[t].sum()
    assert all(p.head is None for p in tracking.collect([*found, replace(found[0], head=None)]))


def test_a_head_does_not_shrink_from_frame_to_frame() -> None:
    """A pose that takes it for half as large in one frame."""
    clip = Clip.of("frontal")
    without(clip.faces, range(LENGTH))
    ears = clip.points[20][3:5].mean(axis=0)
    clip.points[20] = np.vstack([ears + 0.4 * (clip.points[20][:7] - ears), clip.points[20][7:]])
    assert bare(clip.regions(), masks("frontal")) == {}
