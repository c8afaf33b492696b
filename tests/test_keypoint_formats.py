"""Keypoint orders by index and name, and the finding of swapped legs on paths whose sides are known."""

from functools import cache

import numpy as np
import pytest
from gaitloom.keypoint_formats import BLAZEPOSE_33, WHOLEBODY_23, KeypointFormat, swapped, view
from walker import GAITS, KEYPOINTS, Walk

FORMATS = [WHOLEBODY_23, BLAZEPOSE_33]

# COCO-WholeBody ← BlazePose, by index (FORMATS.md, section 1.2); the small toes have no source.
FROM_BLAZEPOSE = {
    0: 0,
    1: 2,
    2: 5,
    3: 7,
    4: 8,
    **dict(zip(range(5, 11), range(11, 17), strict=True)),
    **dict(zip(range(11, 17), range(23, 29), strict=True)),
    17: 31,
    19: 29,
    20: 32,
    22: 30,
}
SMALL_TOES = [18, 21]
WHOLEBODY_EDGES = (
    "0-1 0-2 1-2 1-3 2-4 3-5 4-6 5-6 5-7 6-8 7-9 8-10 5-11 6-12 11-12 11-13 12-14 13-15 14-16 15-17 15-18 15-19 16-20 "
    "16-21 16-22"
)
WHOLEBODY_SWAPS = {*((i, i + 1) for i in range(1, 16, 2)), (17, 20), (18, 21), (19, 22)}


def test_wholebody_is_coco_wholebody() -> None:
    assert WHOLEBODY_23.points == KEYPOINTS  # the walker's own table, itself tested against the format's index list
    assert " ".join(f"{a}-{b}" for a, b in WHOLEBODY_23.edges) == WHOLEBODY_EDGES
    assert set(WHOLEBODY_23.swaps()) == WHOLEBODY_SWAPS


@pytest.mark.parametrize("order", FORMATS, ids=lambda f: f.name)
def test_points_edges_and_pairs_hang_together(order: KeypointFormat) -> None:
    count = len(order.points)
    assert count == len(set(order.points)) == int(order.name.rsplit("_", 1)[1])
    assert all(0 <= a < count and 0 <= b < count and a != b for a, b in order.edges)
    assert len({frozenset(edge) for edge in order.edges}) == len(order.edges)
    pairs = order.swaps()
    sided = [i for pair in pairs for i in pair]
    assert sorted(sided) == [i for i, name in enumerate(order.points) if name.startswith(("left_", "right_"))]
    for left, right in pairs:
        assert order.points[left].split("_", 1) == ["left", order.points[right].split("_", 1)[1]]


@pytest.mark.parametrize("order", FORMATS, ids=lambda f: f.name)
def test_edges_are_the_same_on_both_sides(order: KeypointFormat) -> None:
    mirror = {a: b for pair in order.swaps() for a, b in (pair, pair[::-1])}
    edges = {frozenset(edge) for edge in order.edges}
    assert {frozenset(mirror.get(i, i) for i in edge) for edge in edges} == edges


def test_blazepose_by_index() -> None:
    xy = np.arange(2 * 33 * 2, dtype=np.float32).reshape(2, 33, 2)
    score = np.linspace(0.01, 0.99, 66, dtype=np.float32).reshape(2, 33)
    xy_23, score_23 = view(xy, score, BLAZEPOSE_33.points)
    assert (xy_23.shape, score_23.shape) == ((2, 23, 2), (2, 23))
    for target, source in FROM_BLAZEPOSE.items():
        np.testing.assert_array_equal(xy_23[:, target], xy[:, source])
        np.testing.assert_array_equal(score_23[:, target], score[:, source])
    assert np.isnan(xy_23[:, SMALL_TOES]).all()
    assert (score_23[:, SMALL_TOES] == 0).all()


def test_wholebody_is_a_view_of_itself_in_any_order() -> None:
    order = np.random.default_rng(1).permutation(23)
    xy = np.random.default_rng(2).random((3, 23, 2)).astype(np.float32)
    names = tuple(np.array(KEYPOINTS)[order])
    xy_23, score_23 = view(xy[:, order], xy[:, order, 0], names)
    np.testing.assert_array_equal(xy_23, xy)  # a true big toe is never replaced by a stand-in
    np.testing.assert_array_equal(score_23, xy[..., 0])


def test_unposed_frames_stay_empty() -> None:
    xy_23, score_23 = view(np.full((1, 33, 2), np.nan, np.float32), np.zeros((1, 33), np.float32), BLAZEPOSE_33.points)
    assert np.isnan(xy_23).all()
    assert not score_23.any()


FPS = 30.0
NOISE = 0.01  # of the person's height: a good pose estimator's trembling
# (view, noise) → how far apart, in heights, the ankles must be for a swap to be found. Legs that pass each other cannot
# be told apart; seen from the front, where they are never far apart, trembling of 1 % hides swaps.
OPEN = {("sagittal", 0): 0.06, ("sagittal", NOISE): 0.1, ("frontal", 0): 0.0, ("frontal", NOISE): 1.0}
MIRROR = np.arange(23)
for one, other in WHOLEBODY_SWAPS:
    MIRROR[one], MIRROR[other] = other, one


@cache
def truth(gait: str, seen: str) -> tuple[np.ndarray, np.ndarray]:
    """(T, 23, 2) points of a four seconds' walk and (T,) heights, both in pixels."""
    walk = Walk(GAITS[gait], seen, frames=120, fps=FPS, size=(640, 360))  # type: ignore[arg-type]
    return walk.keypoints, np.ptp(walk.keypoints[..., 1], axis=1) / 0.93


def shaken(gait: str, seen: str, noise: float) -> tuple[np.ndarray, np.ndarray]:
    xy, height = truth(gait, seen)
    trembling = np.random.default_rng(3).normal(0, 1, xy.shape) * height[:, None, None]
    return xy + noise * trembling, height


def flagged(xy: np.ndarray, height: np.ndarray, valid: np.ndarray | None = None) -> list[int]:
    return np.flatnonzero(swapped(xy, np.ones(len(xy), bool) if valid is None else valid, height)).tolist()


everywhere = pytest.mark.parametrize("gait", sorted(GAITS)), pytest.mark.parametrize("seen", ["sagittal", "frontal"])
noises = pytest.mark.parametrize("noise", [0, NOISE])


def all_walks(test):
    return noises(everywhere[0](everywhere[1](test)))


def planted(gait: str, seen: str, noise: float) -> list[tuple[int, bool]]:
    """(frame, whether a swap there must be found), over a whole walk."""
    xy, height = truth(gait, seen)
    apart = np.linalg.norm(xy[:, 15] - xy[:, 16], axis=1) / height
    return [(k, bool(apart[k : k + 2].min() > OPEN[seen, noise])) for k in range(2, len(xy) - 3, 2)]


@all_walks
def test_a_true_walk_has_no_swaps(gait: str, seen: str, noise: float) -> None:
    assert flagged(*shaken(gait, seen, noise)) == []


@all_walks
def test_a_lasting_swap_is_flagged_where_it_begins(gait: str, seen: str, noise: float) -> None:
    xy, height = shaken(gait, seen, noise)
    for k, certain in planted(gait, seen, noise):
        wrong = xy.copy()
        wrong[k:] = wrong[k:, MIRROR]
        assert flagged(wrong, height) in ([k], *([] if certain else [[]]))


@all_walks
def test_a_swap_of_one_frame_is_flagged_there_and_back(gait: str, seen: str, noise: float) -> None:
    xy, height = shaken(gait, seen, noise)
    for k, certain in planted(gait, seen, noise):
        wrong = xy.copy()
        wrong[k] = wrong[k, MIRROR]
        found = flagged(wrong, height)
        assert found == [k, k + 1] if certain else set(found) <= {k, k + 1}


@pytest.mark.parametrize(("gait", "share"), [("normal", 0.75), ("shuffling", 0.5)])
def test_most_frames_of_a_side_view_are_certain(gait: str, share: float) -> None:
    """What the two tests above ask for is most of a walk."""
    assert np.mean([certain for _, certain in planted(gait, "sagittal", NOISE)]) > share


def test_legs_that_pass_each_other_hide_a_swap() -> None:
    """A known limit, and no harm: left and right are in the same place."""
    xy, height = truth("stiff_knee", "sagittal")
    apart = np.linalg.norm(xy[:, 15] - xy[:, 16], axis=1) / height
    k = int(apart[5:-5].argmin()) + 5
    wrong = xy.copy()
    wrong[k] = wrong[k, MIRROR]
    assert flagged(wrong, height) == []


@pytest.mark.parametrize("unseen", [-2, -1, 0])
def test_a_swap_across_a_gap_cannot_be_judged(unseen: int) -> None:
    xy, height = truth("normal", "frontal")
    k = 40
    wrong = xy.copy()
    wrong[k:] = wrong[k:, MIRROR]
    valid = np.ones(len(xy), bool)
    valid[k + unseen] = False
    wrong[~valid] = np.nan
    assert flagged(wrong, height, valid) == []


def test_swaps_are_found_without_small_toes() -> None:
    xy, height = truth("normal", "sagittal")
    k = next(k for k, certain in planted("normal", "sagittal", NOISE) if certain)
    wrong = xy.copy()
    wrong[k:] = wrong[k:, MIRROR]
    wrong[:, SMALL_TOES] = np.nan
    assert flagged(wrong, height) == [k]


def test_a_clip_of_two_frames_is_not_judged() -> None:
    xy, height = truth("normal", "frontal")
    assert flagged(np.stack([xy[0], xy[1, MIRROR]]), height[:2]) == []
