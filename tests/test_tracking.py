"""Who is who, who is the subject, and which gaps are bridged: against paths whose owners are known."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from gaitloom.tracking import People, associate, bridge, iou, subject, trajectories, walked

FPS = 30.0
TALL = 200.0
Path_ = Callable[[float], tuple[float, float] | None]  # s -> centre in pixels, None where unseen


def box_at(centre: tuple[float, float], tall: float = TALL) -> np.ndarray:
    x, y = centre
    return np.array([x - 0.2 * tall, y - 0.5 * tall, x + 0.2 * tall, y + 0.5 * tall])


def scene(paths: Sequence[Path_], time: np.ndarray, seed: int | None = None) -> tuple[list[People], list[list[int]]]:
    """What a finder sees of people on known paths, and who each box really is; `seed` shuffles and shakes the boxes."""
    rng = np.random.default_rng(seed)
    people, owners = [], []
    for when in time:
        seen = [(name, centre) for name, path in enumerate(paths) if (centre := path(float(when))) is not None]
        if seed is not None:
            seen = [seen[i] for i in rng.permutation(len(seen))]
        boxes = np.array([box_at(centre) for _, centre in seen]).reshape(-1, 4)
        if seed is not None:
            boxes += rng.normal(0, 0.01 * TALL, boxes.shape)
        people.append(People(boxes.astype(np.float32), np.full(len(seen), 0.9, np.float32)))
        owners.append([name for name, _ in seen])
    return people, owners


def names_of(identities: Sequence[np.ndarray], owners: Sequence[Sequence[int]]) -> dict[int, list[int]]:
    """Owner → the identities they were given, in order of first appearance."""
    given: dict[int, list[int]] = {}
    for names, truth in zip(identities, owners, strict=True):
        assert len(names) == len(truth) == len(set(names.tolist()))
        for name, owner in zip(names.tolist(), truth, strict=True):
            known = given.setdefault(owner, [])
            if name not in known:
                known.append(name)
    assert len({n for known in given.values() for n in known}) == sum(map(len, given.values())), "an identity is shared"
    return given


def walking(x: float, speed: float, y: float = 300.0) -> Path_:
    """A straight walk; `speed` in pixels a second."""
    return lambda when: (x + speed * when, y)


def hidden(path: Path_, start: float, end: float) -> Path_:
    return lambda when: None if start <= when < end else path(when)


def even(seconds: float, fps: float = FPS) -> np.ndarray:
    return np.arange(round(seconds * fps)) / fps


def uneven(seconds: float) -> np.ndarray:
    """A variable frame rate: steps of 10 to 90 ms."""
    steps = np.random.default_rng(2).uniform(0.01, 0.09, 1000)
    return np.array([t for t in np.cumsum(steps) - steps[0] if t < seconds])


CROSSING = (walking(100, 260), walking(1100, -240, 310), walking(600, 0, 900))


@pytest.mark.parametrize("time", [even(4), even(4, 10), even(4, 240), uneven(4)], ids=["30", "10", "240", "uneven"])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_two_who_cross_keep_their_names(time: np.ndarray, seed: int | None) -> None:
    people, owners = scene(CROSSING, time, seed)
    assert {owner: len(names) for owner, names in names_of(associate(people, time), owners).items()} == {
        0: 1,
        1: 1,
        2: 1,
    }


@pytest.mark.parametrize("time", [even(4), even(4, 10), uneven(4)], ids=["30", "10", "uneven"])
def test_one_hidden_behind_the_other_while_crossing(time: np.ndarray) -> None:
    """They meet at 2 s; the farther one is not seen for 0.4 s around it."""
    paths = (CROSSING[0], hidden(CROSSING[1], 1.8, 2.2))
    people, owners = scene(paths, time)
    assert names_of(associate(people, time), owners) == {0: [0], 1: [1]}


def test_the_order_of_detections_does_not_matter() -> None:
    time = even(4)
    people, _ = scene(CROSSING, time)
    plain = associate(people, time)
    orders = [np.random.default_rng(t).permutation(len(p.box)) for t, p in enumerate(people)]
    mixed = [People(p.box[order], p.score[order]) for p, order in zip(people, orders, strict=True)]
    names = associate(mixed, time)
    pairs = {(a, b) for t, order in enumerate(orders) for a, b in zip(plain[t][order], names[t], strict=True)}
    assert len(pairs) == 3


@pytest.mark.parametrize(("absent", "names"), [(1 / FPS, 1), (0.3, 1), (0.9, 1), (1.3, 2)])
def test_a_name_outlives_an_absence_of_a_second(absent: float, names: int) -> None:
    time = even(5)
    people, owners = scene([hidden(walking(100, 150), 2.0, 2.0 + absent)], time)
    assert len(names_of(associate(people, time), owners)[0]) == names


@pytest.mark.parametrize(("lost_after", "names"), [(0.2, 2), (2.0, 1)])
def test_lost_after_says_how_long(lost_after: float, names: int) -> None:
    time = even(4)
    people, owners = scene([hidden(walking(100, 100), 2.0, 2.5)], time)
    assert len(names_of(associate(people, time, lost_after), owners)[0]) == names


def test_nobody_gives_up_a_match_for_a_smaller_total() -> None:
    """A takes a small step, B is missed, and a newcomer stands out of everyone's reach. The least total over all pairs
    would hand A's box to B, and A's name to nobody."""
    first, second = [(300.0, 300.0), (364.0, 300.0)], [(320.0, 300.0), (110.0, 300.0)]
    people = [People(np.array([box_at(p) for p in seen]), np.ones(2)) for seen in (first, second)]
    assert [i.tolist() for i in associate(people, np.array([0.0, 1 / FPS]))] == [[0, 1], [0, 2]]


def test_a_greedy_choice_would_take_the_wrong_one() -> None:
    """Two in file, one step apart: the nearest box to A's place is B's, but both fit only one way round."""
    first = [(300.0, 300.0), (340.0, 300.0)]
    second = [(322.0, 300.0), (362.0, 300.0)]
    people = [People(np.array([box_at(p) for p in seen]), np.ones(2)) for seen in (first, second, second[::-1])]
    identities = associate(people, np.array([0.0, 0.1, 0.2]))
    assert [i.tolist() for i in identities] == [[0, 1], [0, 1], [1, 0]]


@pytest.mark.parametrize("pan", [-400.0, 150.0, 400.0])
def test_a_panning_camera_keeps_names_and_subject(pan: float) -> None:
    """Pixels a second; everyone moves with the picture, the walker faster still or against it."""
    time = even(3)
    walker, stander = walking(600, np.sign(pan) * 200 + pan), walking(900, pan, 320)
    people, owners = scene([stander, walker], time, seed=4)
    identities = associate(people, time)
    names = names_of(identities, owners)
    assert {owner: len(n) for owner, n in names.items()} == {0: 1, 1: 1}
    assert subject(people, identities, time) == names[1][0]


def waving(when: float) -> tuple[float, float]:
    return 900 + 30 * np.sin(2 * np.pi * 2.1 * when), 300.0


def jumping(when: float) -> tuple[float, float]:
    return 900.0, 200 - 60 * abs(np.sin(2 * np.pi * 1.3 * when))


@pytest.mark.parametrize("stander", [waving, jumping])
@pytest.mark.parametrize("time", [even(4), even(4, 120), uneven(4)], ids=["30", "120", "uneven"])
@pytest.mark.parametrize("first", [True, False])
def test_the_walker_is_the_subject_not_whoever_moves_most(stander: Path_, time: np.ndarray, first: bool) -> None:
    """The demo's trap: a man on a roof, seen from first to last; the walker is seen a third of the time."""
    walker = hidden(hidden(walking(200, 140, 700), 0, 1.2), 2.8, 9)
    paths = (walker, stander) if first else (stander, walker)
    people, owners = scene(paths, time)
    identities = associate(people, time)
    assert subject(people, identities, time) == names_of(identities, owners)[0 if first else 1][0]


def test_of_equal_paths_whoever_is_seen_longest() -> None:
    time = even(3)
    people, owners = scene([hidden(walking(300, 0), 0, 1), walking(800, 0)], time)
    identities = associate(people, time)
    assert subject(people, identities, time) == names_of(identities, owners)[1][0]


@pytest.mark.parametrize("who", [0, 1])
def test_the_box_in_the_sheet_decides(who: int) -> None:
    time = even(2)
    people, owners = scene([walking(300, 200), hidden(walking(800, 0, 320), 0, 0.3)], time)
    identities = associate(people, time)
    given = box_at([(300, 300), (790, 310)][who])
    assert subject(people, identities, time, given.tolist()) == names_of(identities, owners)[who][0]


@pytest.mark.parametrize("box", [(0, 0, 50, 50), (1500, 300, 1600, 500)])
def test_nobody_in_the_box_within_a_second_is_nobody(box: tuple) -> None:
    """The second box is where the walker arrives, but later than a second."""
    time = even(4)
    people, _ = scene([walking(300, 500)], time)
    assert subject(people, associate(people, time), time, box) is None


@pytest.mark.parametrize("box", [None, (0, 0, 50, 50)])
def test_an_empty_scene(box: tuple | None) -> None:
    time = even(1)
    people, _ = scene([], time)
    identities = associate(people, time)
    assert [i.shape for i in identities] == [(0,)] * len(time)
    assert subject(people, identities, time, box) is None
    assert trajectories(people, identities) == {}


def test_trajectories_hold_everyone_where_seen() -> None:
    time = even(2)
    paths = (hidden(walking(300, 100), 0.5, 0.7), walking(900, 0))
    people, owners = scene(paths, time, seed=7)
    identities = associate(people, time)
    names = names_of(identities, owners)
    found = trajectories(people, identities)
    for owner, (name,) in names.items():
        frames, boxes, scores = found[name]
        assert frames.tolist() == [t for t, when in enumerate(time) if paths[owner](float(when)) is not None]
        for frame, box in zip(frames, boxes, strict=True):
            np.testing.assert_array_equal(box, people[frame].box[owners[frame].index(owner)])
        assert np.all(scores == np.float32(0.9))


def test_iou_counts_pixels() -> None:
    rng = np.random.default_rng(8)
    low = rng.integers(0, 20, (2, 12, 2))
    boxes = np.concatenate([low, low + rng.integers(0, 14, (2, 12, 2))], axis=2)  # some empty
    painted = np.zeros((2, 12, 40, 40), bool)
    for side, box in np.ndindex(2, 12):
        x0, y0, x1, y1 = boxes[side, box]
        painted[side, box, y0:y1, x0:x1] = True
    for i, j in np.ndindex(12, 12):
        union = (painted[0, i] | painted[1, j]).sum()
        expected = (painted[0, i] & painted[1, j]).sum() / union if union else 0.0
        assert iou(boxes[0].astype(float), boxes[1].astype(float))[i, j] == pytest.approx(expected)


@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("time", [even(4), even(4, 10), uneven(4)], ids=["30", "10", "uneven"])
def test_walked_counts_heights(scale: float, time: np.ndarray) -> None:
    """A straight 4 s walk at 1.2 heights a second; the means over half a second take half of one off either end."""
    boxes = scale * np.array([box_at((100 + 1.2 * TALL * when, 300)) for when in time])
    assert walked(boxes, time) == pytest.approx(1.2 * 3.5, rel=0.03)


def test_walked_ignores_trembling() -> None:
    time = even(8)
    rng = np.random.default_rng(0)
    still = np.array([box_at((500, 300))] * len(time)) + rng.normal(0, 2, (len(time), 4))
    assert walked(still, time) < 0.1
    assert walked(still[:1], time[:1]) == 0


def gappy(unseen: set[int], time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A box on a straight line in time, and the same with some frames unseen."""
    whole = np.array([box_at((100 + 90 * when, 300 - 20 * when)) for when in time])
    box = whole.copy()
    box[sorted(unseen)] = np.nan
    return whole, box


@pytest.mark.parametrize("time", [even(1.1, 10), np.cumsum([0, 0.02, 0.3, 0.01, 0.1, 0.1, 0.05, 0.3, 0.1, 0.1, 0.1])])
def test_bridge_fills_short_gaps_only(time: np.ndarray) -> None:
    unseen = {0, 2, 4, 5, 6, 7, 10}
    whole, box = gappy(unseen, time)
    before = box.copy()
    filled = bridge(box, time, 0.45)
    np.testing.assert_array_equal(box, before)  # the caller's own is left alone
    short = {2} | ({4, 5, 6, 7} if time[8] - time[3] <= 0.45 else set())
    for t in range(len(time)):
        if t in unseen - short:
            assert np.isnan(filled[t]).all()
        else:
            np.testing.assert_allclose(filled[t], whole[t])


@pytest.mark.parametrize(("longest", "filled"), [(0.0, False), (0.29, False), (0.31, True), (9.0, True)])
def test_bridge_measures_from_seen_to_seen(longest: float, filled: bool) -> None:
    time = even(1, 10)
    _, box = gappy({4, 5}, time)
    assert np.isfinite(bridge(box, time, longest)[4:6]).all() == filled


@pytest.mark.parametrize("unseen", [set(range(10)), set(range(9)), set(range(1, 10))])
def test_bridge_needs_two_ends(unseen: set[int]) -> None:
    time = even(1, 10)
    _, box = gappy(unseen, time)
    np.testing.assert_array_equal(bridge(box, time, 9.0), box)
