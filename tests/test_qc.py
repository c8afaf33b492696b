"""The QC figures against what the walker really does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gaitloom import config
from gaitloom.clips import Clip
from gaitloom.plan import Plan
from gaitloom.qc import gait_cycles, quality
from gaitloom.store import Store
from walker import GAITS, Walk

CLIP = Clip("P1", trial="1", video="/nowhere/walk.mp4", sha256="0" * 64)
SIZE = (640, 360)


def heights(walk: Walk) -> np.ndarray:
    return np.ptp(walk.keypoints[..., 1], axis=1) / 0.93


def true_cycles(walk: Walk) -> int:
    """Two steps each, between contacts of alternate feet."""
    contacts = [when for when, _, kind in walk.events if kind == "contact"]
    return max(0, len(contacts) - 1) // 2


def cycles(walk: Walk, noise: float = 0.0, valid: np.ndarray | None = None) -> int:
    height = heights(walk)
    trembling = np.random.default_rng(4).normal(0, 1, walk.keypoints.shape) * height[:, None, None]
    seen = np.ones(len(walk), bool) if valid is None else valid
    return gait_cycles(walk.keypoints + noise * trembling, seen, walk.times, height)


@pytest.mark.parametrize("gait", sorted(GAITS))
@pytest.mark.parametrize("fps", [15, 30, 60])
@pytest.mark.parametrize("seconds", [1, 3, 6])
@pytest.mark.parametrize("noise", [0, 0.01])
def test_gait_cycles_seen_from_the_side(gait: str, fps: float, seconds: int, noise: float) -> None:
    walk = Walk(GAITS[gait], frames=seconds * fps, fps=fps, size=SIZE)
    assert abs(cycles(walk, noise) - true_cycles(walk)) <= 1


@pytest.mark.parametrize("gait", sorted(GAITS))
@pytest.mark.parametrize("seconds", [3, 6])
def test_gait_cycles_seen_from_the_front(gait: str, seconds: int) -> None:
    """Steps of usual length are counted; short or high ones open the ankles too little, so that some are missed."""
    walk = Walk(GAITS[gait], "frontal", frames=seconds * 30, fps=30, size=SIZE)
    missed = true_cycles(walk) - cycles(walk)
    assert missed >= -1
    if gait in ("normal", "asymmetric"):
        assert missed <= 1


def test_gait_cycles_despite_gaps_and_swaps() -> None:
    walk = Walk(GAITS["normal"], frames=180, fps=30, size=SIZE)
    valid = np.ones(len(walk), bool)
    valid[[20, 21, 60, 61, 62, 120]] = False
    assert abs(cycles(walk, valid=valid) - true_cycles(walk)) <= 1
    left, right = 15, 16
    walk.keypoints[50:90, [left, right]] = walk.keypoints[50:90, [right, left]]
    assert abs(cycles(walk) - true_cycles(walk)) <= 1


@pytest.mark.parametrize("fps", [15, 60])
def test_standing_has_no_gait_cycles(fps: int) -> None:
    points = np.zeros((6 * fps, 23, 2))
    points[:, 15] = (12, 0)
    points += np.random.default_rng(0).normal(0, 2, points.shape)  # 1 % of the height
    time, everything = np.arange(len(points)) / fps, np.ones(len(points), bool)
    assert gait_cycles(points, everything, time, np.full(len(points), 200.0)) == 0


@pytest.mark.parametrize("seen", [0, 1, 2])
def test_too_few_frames_have_no_gait_cycles(seen: int) -> None:
    valid = np.zeros(10, bool)
    valid[:seen] = True
    points = np.full((10, 23, 2), np.nan)
    assert gait_cycles(points, valid, np.arange(10) / 30, np.full(10, np.nan)) == 0


Row = dict[str, Any]


class Nodes:
    """The nodes of one clip, from a walk's truth; `row()` is what QC says of them."""

    def __init__(self, results: Path):
        backends = {"track": {"backend": "blazepose"}, "keypoints": {"backend": "blazepose"}}
        self.plan = Plan(config.parse({"results": results, "clips": {"folders": ["data"]}, "nodes": backends}), [CLIP])
        self.walk = Walk(GAITS["normal"], frames=60, fps=30, size=SIZE)
        self.xy, self.box = self.walk.keypoints.copy(), self.walk.box.copy()
        self.valid, self.posed = np.ones(60, bool), np.ones(60, bool)
        self.swap = np.zeros(60, bool)
        self.sharpness = np.full(60, 40.0)
        self.others: list[int] = []  # the frames in which somebody else is seen

    def row(self, *nodes: str) -> Row:
        people = np.flatnonzero(self.valid).tolist() + self.others
        names = [7] * int(self.valid.sum()) + [3] * len(self.others)
        video = {"width": SIZE[0], "height": SIZE[1], "fps": "30/1"}
        self._put("video", video)
        self._put("track", {"subject_id": 7}, box=self.box, valid=self.valid, person_frame=people, person_id=names)
        points = {"xy_23": self.xy, "valid": self.posed, "swap": self.swap, "sharpness": self.sharpness}
        self._put("keypoints", {}, **points)
        return quality(self.plan, Store(self.plan.config.results), CLIP, dict.fromkeys(nodes or self.plan.nodes, ""))

    def _put(self, node: str, attributes: Row, **arrays: Any) -> None:
        staged = Store(self.plan.config.results).stage(self.plan.key(CLIP, node))
        for name, values in {"time": self.walk.times, **arrays}.items():
            values = np.asarray(values)
            staged.put(name, values, [f"d{n}" for n in values.shape])
        staged.publish({}, attributes)


@pytest.fixture
def nodes(tmp_path: Path) -> Nodes:
    return Nodes(tmp_path)


def test_a_clean_walk(nodes: Nodes) -> None:
    row = nodes.row()
    expected = {"frames": 60, "seconds": 1.967, "fps": 30.0, "tracked": 1.0, "gaps": 0, "bystanders": 0}
    assert expected.items() <= row.items()
    assert (row["swaps"], row["sharpness"], row["whole_body"]) == (0, 40.0, 1.0)
    assert abs(row["gait_cycles"] - true_cycles(nodes.walk)) <= 1


def test_gaps_are_counted_between_sightings_only(nodes: Nodes) -> None:
    nodes.valid[[*range(5), 20, 30, 31, 58, 59]] = False
    row = nodes.row()
    assert (row["gaps"], row["tracked"]) == (2, round(50 / 60, 4))


@pytest.mark.parametrize(("frames", "count"), [(5, 0), (6, 1), (60, 1)])
def test_bystanders_are_those_seen_in_a_tenth_of_the_frames(nodes: Nodes, frames: int, count: int) -> None:
    nodes.others = list(range(frames))
    assert nodes.row()["bystanders"] == count


def test_whole_body_is_head_to_toe_off_the_borders(nodes: Nodes) -> None:
    nodes.xy[0, 0, 1] = -3  # the nose
    nodes.xy[1, 17, 0] = SIZE[0]  # a toe
    nodes.xy[2, 22, 1] = SIZE[1] + 5  # a heel
    nodes.xy[3, 18] = np.nan  # small toes are not asked for
    nodes.xy[4, 19] = np.nan
    nodes.box[5, 0] = 0
    nodes.box[6, 2] = SIZE[0]
    nodes.box[7, 3] = SIZE[1]
    nodes.box[8, 1] = 1
    nodes.posed[9] = False
    assert nodes.row()["whole_body"] == round(51 / 60, 4)


def test_swaps_and_sharpness(nodes: Nodes) -> None:
    nodes.swap[[10, 11, 40]] = True
    nodes.sharpness[:30], nodes.sharpness[30:50] = np.nan, 12.34
    row = nodes.row()
    assert (row["swaps"], row["sharpness"]) == (3, 12.3)


def test_a_clip_without_a_person(nodes: Nodes) -> None:
    nodes.valid[:] = nodes.posed[:] = False
    for array in (nodes.xy, nodes.box, nodes.sharpness):
        array[:] = np.nan
    row = nodes.row()
    assert (row["tracked"], row["gaps"], row["whole_body"], row["gait_cycles"]) == (0.0, 0, 0.0, 0)
    assert row["sharpness"] is None


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        (["video"], {"tracked", "swaps"}),
        (["track"], {"frames", "swaps"}),
        (["video", "keypoints"], {"tracked", "swaps"}),
    ],
)
def test_figures_without_their_node_are_left_out(nodes: Nodes, there: list[str], missing: set[str]) -> None:
    assert not missing & set(nodes.row(*there))
