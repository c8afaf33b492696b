"""TRC files, and gait against Sports2D on the same points; the latter where Sports2D is on the PATH.

Full comparison: benchmarks/gait_peer.py, figures in docs/accuracy.md.
"""

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from gait_walkers import Setting, Walker
from gaitloom.exchange import Person, trc
from gaitloom.gait import angles
from gaitloom.gait.course import Course, Walk, prepare
from gaitloom.gait.measure import Gait, gait
from gaitloom.keypoint_formats import BLAZEPOSE_33, WHOLEBODY_23
from test_from_files import Data, progait, truth
from walker import GAITS

sys.path.append(str(ROOT / "benchmarks"))

import gait_peer  # pyright: ignore[reportMissingImports]
import peer_sports2d  # pyright: ignore[reportMissingImports]

BY_HAND = """\
PathFileType\t4\t(X/Y/Z)\twalk_px.trc
DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames
25\t25\t3\t2\tpx\t25\t1\t3
Frame#\tTime\tNose\t\t\tLBigToe\t\t
\t\tX1\tY1\tZ1\tX2\tY2\tZ2
1\t0\t1.5\t2\t0\t10\t20.25\t0
2\t0.04\t3\t4\t0\t\t\t
3\t0.08\t5\t6\t0\t11\t21\t0
"""


def test_a_trc_file_is_as_written_by_hand(tmp_path: Path) -> None:
    """An absent point has empty cells, one that is never there no columns."""
    xy = np.full((3, 3, 2), np.nan, np.float32)
    xy[:, 0] = [(1.5, 2), (3, 4), (5, 6)]
    xy[[0, 2], 2] = [(10, 20.25), (11, 21)]
    person = Person(xy, np.isfinite(xy[..., 0]).astype(np.float32), ("nose", "left_eye", "left_big_toe"))
    trc.write_trc(tmp_path / "walk_px.trc", person, np.array([0, 0.04, 0.08]))
    assert (tmp_path / "walk_px.trc").read_text() == BY_HAND


def test_names_are_those_that_sports2d_knows() -> None:
    """Its angles need these, and each point has a name of its own."""
    names = [trc.marker(name) for name in WHOLEBODY_23.points]
    joints = ("Shoulder", "Hip", "Knee", "Ankle", "Heel", "BigToe", "SmallToe")
    assert {f"{side}{joint}" for side in "LR" for joint in joints} <= set(names)
    assert len(set(names)) == 23
    assert len({trc.marker(name) for name in BLAZEPOSE_33.points}) == 33


def test_a_node_is_exported(tmp_path: Path) -> None:
    """The walker's own points, in its pixels, on the node's time axis."""
    (tmp_path / "project").mkdir()
    options = {"file": str(tmp_path / "{clip}.json")}
    data = Data(tmp_path / "project", {"keypoints": {"backend": "progait", "backend_options": options}})
    progait.write_keypoints(tmp_path / "trial-01.json", truth())
    node = data.make("keypoints")
    assert data.gaitloom("export", "keypoints", "--as", "trc", "--to", str(tmp_path / "out")).exit_code == 0
    lines = (tmp_path / "out/P1/trial-01/keypoints_px.trc").read_text().splitlines()
    names = lines[3].split("\t")[2::3]
    row = lines[5 + 3].split("\t")
    at = WHOLEBODY_23.points.index("right_heel")
    cells = row[2 + 3 * names.index("RHeel") :][:2]
    np.testing.assert_allclose(np.array(cells, float), node.load("xy_23")[3, at], rtol=1e-6)
    assert float(row[1]) == pytest.approx(node.load("time")[3])
    assert lines[2].split("\t")[2] == "6"


# Against the peer.


@pytest.fixture(scope="module")
def _peer() -> None:
    if why := peer_sports2d.missing():
        pytest.skip(why)


needs_peer = pytest.mark.usefixtures("_peer")
sides = pytest.mark.parametrize("side", ["left", "right"])


@cache
def both(side: str) -> tuple[Walk, Gait, peer_sports2d.Peer]:
    """A walker without errors, seen from that side, by ours and by the peer."""
    walker = Walker(GAITS["normal"], Setting(side=side, fps=60.0), steps=8)
    walk = Walk(walker.time, walker.truth, (1920, 1080), walker.scene("height"))
    return walk, gait(walk), peer_sports2d.run(walk.xy, 60.0, walk.size, walker.gait.height)


@cache
def unfiltered(side: str) -> tuple[Course, np.ndarray]:
    """Our cleaned points, and the peer's angles (N, 7) of these, where nobody filters."""
    walk, found, _ = both(side)
    course, first = prepare(walk), int(np.flatnonzero(found.used)[0])
    xy = np.full_like(walk.xy, np.nan)
    xy[first : first + len(course.xy)] = course.xy
    theirs = peer_sports2d.run(xy, 60.0, walk.size, 1.75, **gait_peer.BARE).angle
    return course, theirs[first : first + len(course.xy)]


@needs_peer
@sides
def test_angles_are_defined_alike(side: str) -> None:
    """To a thousandth of a degree, in every frame but the first, which the peer copies from the second."""
    course, theirs = unfiltered(side)
    off = gait_peer.unfiltered(course) - theirs
    assert np.isfinite(off[1:]).all()
    assert np.nanmax(np.abs(off)) < 1e-3


@needs_peer
def test_an_angle_between_other_points_would_be_noticed() -> None:
    course, theirs = unfiltered("right")
    xy = course.xy.copy()
    xy[:, WHOLEBODY_23.points.index("left_heel")] = course.at("left_ankle")
    off = np.nanmean(np.abs(gait_peer.unfiltered(replace(course, xy=xy)) - theirs), axis=0)
    assert off[angles.NAMES.index("left_ankle")] > 5
    assert off[angles.NAMES.index("right_ankle")] < 1e-3


@needs_peer
@sides
def test_filtered_angles_agree_within_a_degree(side: str) -> None:
    """The cut-offs differ: 6 Hz against 4.8 Hz after two passes; so do the treatments of outliers."""
    _, ours, theirs = both(side)
    table = gait_peer.by_joint(ours.angle, theirs.angle)
    assert all(row["mean_abs"] < 1 and row["r"] > 0.98 for row in table.values()), table


@needs_peer
@sides
def test_events_by_zeni_are_on_the_same_frames(side: str) -> None:
    """All that the peer has, within a frame at 60 a second; and the direction."""
    _, ours, theirs = both(side)
    mine = gait_peer.by_foot(ours, ours.events.zeni)
    table = gait_peer.matched(mine, theirs.events)
    assert theirs.direction == ours.notes["direction"] == side
    for row in table.values():
        assert row["both"] >= 5
        assert row["theirs_alone"] == 0
        assert row["mean_abs_s"] < 1 / 60
    late = {key: times + 0.05 for key, times in mine.items()}
    assert all(row["mean_abs_s"] > 2 / 60 for row in gait_peer.matched(late, theirs.events).values())


@needs_peer
@sides
def test_steps_are_as_long_once_both_have_one_scale(side: str) -> None:
    """Lengths differ by the statures in pixels that body height is laid on; times by the moment of the contact."""
    walk, ours, theirs = both(side)
    table, scale = gait_peer.steps(ours, theirs, 60.0), theirs.stature / prepare(walk).stature
    for name in ("step_length", "stride_length"):
        assert table[name]["n"] >= 4
        assert table[name]["theirs"] * scale == pytest.approx(table[name]["ours"], abs=0.02)
    for name in ("step_time", "stride_time"):
        assert table[name]["mean_abs"] < 1 / 60
