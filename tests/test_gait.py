"""Gait's parts, each against what is known of its input, with planted faults; and bad input of every kind."""

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gait_walkers import PICTURE, Setting, Walker
from gaitloom.gait import angles, calibration, events, legs, scale, signals, steps, summary
from gaitloom.gait.course import Course, Walk, prepare
from gaitloom.gait.measure import gait
from gaitloom.gait.scene import Scene, read
from gaitloom.keypoint_formats import WHOLEBODY_23
from walker import GAITS, SIDES
from walker.gait import Gait as Model

NAMES = list(summary.PARAMETERS)


@cache
def walker(kind: str = "normal", steps: int = 10, **setting: Any) -> Walker:
    return Walker(GAITS[kind], Setting(**setting), steps, seed=3)


def exact(made: Walker, known: str = "walkway", **changes: Any) -> Walk:
    """A walk with the true keypoints."""
    return replace(made.walk(known), **{"xy": made.truth, **changes})


# Filters and peaks


@pytest.mark.parametrize(("kind", "passes", "stops"), [("low", 1.0, 20.0), ("high", 20.0, 1.0)])
def test_a_filter_passes_stops_and_does_not_delay(kind: str, passes: float, stops: float) -> None:
    """6 Hz at 120 Hz: what passes is left as it is and where it is; half the power is gone at 6 Hz."""
    time = np.arange(600) / 120
    inside = slice(120, -120)

    def through(frequency: float) -> np.ndarray:
        return signals.filtered(np.sin(2 * np.pi * frequency * time), 120, 6, kind)[inside]

    np.testing.assert_allclose(through(passes), np.sin(2 * np.pi * passes * time)[inside], atol=0.01)
    assert np.abs(through(stops)).max() < 0.02
    assert np.abs(through(6.0)).max() == pytest.approx(2**-0.5, abs=0.02)


def test_peaks_lie_between_samples() -> None:
    time = np.arange(90) / 30
    found = signals.peaks(np.cos(2 * np.pi * (time - 0.512)), 30, 0.4, 0.1) / 30
    np.testing.assert_allclose(found, [0.512, 1.512, 2.512], atol=0.001)


def test_short_gaps_are_bridged_and_long_ones_stay() -> None:
    values = np.arange(60, dtype=float)
    values[[10, 11, 12]] = values[30:50] = np.nan
    found = signals.bridged(values, 30, 0.2)
    np.testing.assert_allclose(found[:30], np.arange(30))
    assert np.isnan(found[30:50]).all()


# Legs


@pytest.mark.parametrize("frames", [(40, 41), (52, 58), (0, 3)])
def test_exchanged_legs_are_put_right(frames: tuple[int, int]) -> None:
    made = walker(fps=60)
    xy = made.truth.copy()
    at = slice(*frames)
    xy[at, legs.LEFT + legs.RIGHT] = xy[at, legs.RIGHT + legs.LEFT]
    found, swap = legs.straightened(xy, made.gait.height * made.camera.fx / made.setting.distance, 60)
    assert np.flatnonzero(swap).tolist() == list(range(*frames))
    both = np.isfinite(found[:, legs.LEFT[1], 0])
    np.testing.assert_allclose(found[both][:, legs.LEFT[1]], made.truth[both][:, legs.LEFT[1]])


def test_right_legs_are_left_alone() -> None:
    for kind in GAITS:
        made = walker(kind, fps=25)
        found, swap = legs.straightened(made.truth, made.gait.height * made.camera.fx / made.setting.distance, 25)
        assert not swap.any()
        assert np.isfinite(found[:, legs.LEFT]).all()


def test_a_foot_put_on_the_other_is_not_believed() -> None:
    made = walker(fps=60)
    apart = np.abs(made.truth[:, legs.LEFT[2], 0] - made.truth[:, legs.RIGHT[2], 0])
    frame = 30 + int(apart[30:-30].argmax())
    xy = made.truth.copy()
    xy[frame, legs.LEFT] = xy[frame, legs.RIGHT]
    found, _ = legs.straightened(xy, made.gait.height * made.camera.fx / made.setting.distance, 60)
    assert np.isnan(found[frame, legs.LEFT[1:], 0]).all()
    assert np.isfinite(found[frame, legs.RIGHT]).all()


# Events


@pytest.mark.parametrize("kind", sorted(GAITS))
@pytest.mark.parametrize("side", SIDES)
def test_every_event_is_found_and_no_other(kind: str, side: str) -> None:
    """Both ways through the picture, without errors in the points: contacts within 0.012 s, offs within 0.035 s."""
    made = walker(kind, side=side, fps=60)
    found = gait(exact(made))
    assert found.notes["direction"] == side and found.notes["far_side"] == ("left" if side == "right" else "right")
    for foot, name in enumerate(SIDES):
        for event, (what, most) in enumerate((("contact", 0.012), ("off", 0.035))):
            true, mine = made.events(what, name), found.events.of(foot, event)
            inner = true[(true > 0.15) & (true < made.time[-1] - 0.15)]
            assert np.abs(mine[:, None] - true).min(axis=1).max() <= most, "one that is not there"
            assert np.abs(inner[:, None] - mine).min(axis=1).max() <= most, "one that is missed"


def test_detectors_agree_and_disagreement_costs_confidence() -> None:
    pairs = np.array([[1.0, 1.0], [2.0, 2.05], [3.0, 3.2], [4.0, np.nan]])
    np.testing.assert_allclose(events._confidence(pairs), [1, 0.5, 0, events.ALONE])
    assert gait(exact(walker(fps=60))).events.confidence.mean() > 0.8


def test_the_less_sure_of_two_contacts_in_a_stride_goes() -> None:
    pairs = np.array([[1.0, 1.0], [1.3, np.nan], [2.0, 2.01]])
    np.testing.assert_allclose(events._spaced(pairs, 1.0), pairs[[0, 2]])


def test_frames_need_not_be_evenly_spaced() -> None:
    made = walker(fps=60)
    keep = np.sort(np.random.default_rng(2).choice(len(made.time), int(0.7 * len(made.time)), replace=False))
    even = gait(exact(made)).summary.mean[0]
    odd = gait(replace(exact(made), time=made.time[keep], xy=made.truth[keep])).summary.mean[0]
    for name, most in (("step_time", 0.005), ("speed", 0.02), ("stride_length", 0.02)):
        assert odd[NAMES.index(name)] == pytest.approx(even[NAMES.index(name)], abs=most)


def test_a_panning_camera_gives_times_and_no_lengths() -> None:
    made = walker(fps=60)
    pan = np.arange(len(made.time))[:, None, None] * np.array([-3.0, 0.0])
    wide = (20_000, PICTURE[1])
    found = gait(exact(made, xy=made.truth + pan + [9000, 0], size=wide))
    mean = dict(zip(NAMES, found.summary.mean[0], strict=True))
    assert found.notes["camera"] == "moving"
    assert mean["step_time"] == pytest.approx(made.gait.stride_time / 2, abs=0.01)
    assert np.isnan([mean["speed"], mean["step_length"]]).all()
    assert found.summary.reasons["speed"] == "the camera moves; stabilise the clip to get lengths"


@pytest.mark.parametrize("share", [-0.2, 0.2])
def test_a_slow_pan_gives_no_lengths_either(share: float) -> None:
    """A fifth of the walking speed, which lengths would be wrong by."""
    made = walker(fps=60)
    speed = share * made.gait.speed * made.camera.fx / made.setting.distance
    moved = made.truth + made.time[:, None, None] * np.array([speed, 0.0]) + [3000, 0]
    found = gait(exact(made, xy=moved, size=(9000, PICTURE[1])))
    assert found.notes["camera"] == "moving"
    assert np.isnan(found.summary.mean[:, NAMES.index("speed")]).all()


# Scale


@pytest.mark.parametrize("known", ["walkway", "floor"])
@pytest.mark.parametrize("yaw", [-0.3, 0.0, 0.3])
def test_planted_feet_are_measured_on_the_floor(known: str, yaw: float) -> None:
    """From either side of the side view, without errors in the points but for their height above the floor."""
    made = walker(yaw=yaw, distance=6, fps=60)
    mean = gait(exact(made, known)).summary.mean[0]
    assert mean[NAMES.index("stride_length")] == pytest.approx(made.gait.stride_length, rel=0.03)
    assert mean[NAMES.index("step_length")] == pytest.approx(made.gait.stride_length / 2, rel=0.03)


def test_a_homography_of_more_points_is_exact() -> None:
    made = walker()
    corners = [(x, y) for x in (-1.0, 1.0, 4.0) for y in (-1.0, 0.0, 1.5)]
    floor = np.array([(*p, *c) for p, c in zip(made.floor(*corners), corners, strict=True)])
    course = prepare(exact(made))
    found = scale._chosen(Scene(floor=floor), course)
    places = np.array(made.floor((0.5, 0.2), (3.0, 0.2), (3.0, -0.7))) - [0, scale.ABOVE * course.stature]
    metres = found.metres(places)
    np.testing.assert_allclose(np.linalg.norm(np.diff(metres, axis=0), axis=1), [2.5, 0.9], atol=1e-6)


def test_distortion_is_taken_out() -> None:
    import cv2

    made = walker()
    matrix = np.array([[made.camera.fx, 0, made.camera.cx], [0, made.camera.fx, made.camera.cy], [0, 0, 1]])
    bent = (-0.25, 0.05, 0.0, 0.0, 0.0)
    rays = np.column_stack([made.truth[100] @ np.eye(2), np.ones(23)]) @ np.linalg.inv(matrix).T
    seen = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), matrix, np.array(bent))[0][:, 0]
    back = scale.undistorted(seen, Scene(matrix=matrix, distortion=bent))
    assert np.abs(seen - made.truth[100]).max() > 1
    np.testing.assert_allclose(back, made.truth[100], atol=0.05)


def test_a_calibrated_pose_measures_without_marks() -> None:
    made = walker(fps=60)
    matrix = np.array([[made.camera.fx, 0, made.camera.cx], [0, made.camera.fx, made.camera.cy], [0, 0, 1]])
    pose = np.column_stack([made.camera.rotation, -made.camera.rotation @ made.camera.position])
    found = gait(replace(exact(made), scene=Scene(matrix=matrix, pose=pose)))
    assert found.notes["scale"] == "calibration"
    assert found.summary.mean[0, NAMES.index("speed")] == pytest.approx(made.gait.speed, rel=0.03)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"walkway_m": 0.7}, "by the walkway the walker is 0.* m tall; correct the camera"),
        ({"walkway_m": 700.0}, "by the walkway the walker is .* m tall; correct the camera"),
        ({"height_cm": 120.0}, "by the walkway the walker is 17. cm tall, not 120 cm"),
    ],
)
def test_a_wrong_scale_gives_no_lengths(changes: dict[str, float], sentence: str) -> None:
    made = walker(fps=60)
    found = gait(replace(exact(made), scene=replace(made.scene(), **changes)))
    assert re.fullmatch(sentence, found.summary.reasons["speed"])
    for name in ("speed", "step_length", "stride_length"):
        assert np.isnan(found.summary.mean[:, NAMES.index(name)]).all()
    assert np.isfinite(found.summary.mean[0, NAMES.index("step_time")])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1.75", "the body height 1.75 is not in centimetres"),
        ("tall", "the body height 'tall' is not a number"),
        ("", "no walkway, floor points or calibration of the camera are given, and no body height"),
    ],
)
def test_a_height_that_is_none_says_so(text: str, sentence: str) -> None:
    found = gait(replace(exact(walker(fps=60)), scene=read({"camera": {}, "height_cm": text})))
    assert found.summary.reasons["stride_length"] == sentence


def test_floor_points_on_a_line_are_refused() -> None:
    made = walker(fps=60)
    line = [(x, 0.0) for x in (0.0, 1.0, 2.0, 3.0)]
    floor = np.array([(*p, *c) for p, c in zip(made.floor(*line), line, strict=True)])
    found = gait(replace(exact(made), scene=Scene(floor=floor)))
    assert found.summary.reasons["speed"] == "the floor points lie on a line; give four that span an area"


def test_calibration_files_are_read(tmp_path: Path) -> None:
    """OpenCV's and Pose2Sim's of one camera give the same."""
    import cv2

    matrix = np.array([[900.0, 0, 640], [0, 910.0, 360], [0, 0, 1]])
    turn, shift = np.array([0.1, -0.2, 0.3]), np.array([0.5, 1.0, 4.0])
    storage = cv2.FileStorage(str(tmp_path / "camera.yaml"), cv2.FILE_STORAGE_WRITE)
    for name, value in (("camera_matrix", matrix), ("distortion_coefficients", np.array([[-0.2, 0.1, 0, 0, 0]]))):
        storage.write(name, value)
    storage.write("rvec", turn)
    storage.write("tvec", shift)
    storage.release()
    lines = ["[cam_01]", f"matrix = {matrix.tolist()}", "distortions = [-0.2, 0.1, 0, 0, 0]"]
    lines += [f"rotation = {turn.tolist()}", f"translation = {shift.tolist()}"]
    (tmp_path / "camera.toml").write_text("\n".join(lines))
    both = [calibration.read(tmp_path / f"camera.{ending}") for ending in ("yaml", "toml")]
    assert both[0]["intrinsics"] == both[1]["intrinsics"]
    assert both[0]["intrinsics"]["fy"] == 910
    np.testing.assert_allclose(both[0]["pose"]["rotation"], both[1]["pose"]["rotation"])
    np.testing.assert_allclose(np.reshape(both[0]["pose"]["rotation"], (3, 3)), cv2.Rodrigues(turn)[0])


# Steps, symmetry, summary


def table(left: dict[str, float], right: dict[str, float], count: int = 6) -> steps.Steps:
    """Alternating steps with these values on either side."""
    values = np.full((count, len(steps.COLUMNS)), np.nan)
    for i in range(count):
        for name, value in (left, right)[i % 2].items():
            values[i, list(steps.COLUMNS).index(name)] = value
    ones = np.ones(count)
    return steps.Steps(np.arange(count) % 2, np.arange(count) / 2, ones.astype(bool), ones, values)


def test_symmetry_is_robinsons() -> None:
    found = summary.of(table({"step_length": 0.6}, {"step_length": 0.4}), "", "")
    assert found.symmetry[NAMES.index("step_length")] == pytest.approx(40)
    assert np.isnan(found.symmetry[NAMES.index("swing_time")])


def test_one_step_more_of_a_limping_foot_does_not_count() -> None:
    found = summary.of(table({"step_time": 0.4}, {"step_time": 0.6}, 7), "", "")
    assert found.mean[0, NAMES.index("step_time")] == pytest.approx(0.5)
    assert found.mean[0, NAMES.index("cadence")] == pytest.approx(120)
    assert found.n[:, NAMES.index("step_time")].tolist() == [7, 4, 3]


def test_fewer_than_four_steady_steps_are_no_summary() -> None:
    found = summary.of(table({"step_time": 0.5}, {"step_time": 0.5}, 3), "", "")
    assert np.isnan(found.mean).all()
    assert set(found.reasons.values()) == {"3 steady steps; 4 are needed"}


def test_phases_add_up() -> None:
    """Of the true events: stance and swing make a stride; two single and the double supports do too."""
    found = gait(exact(walker(fps=120)))
    mean = dict(zip(NAMES, found.summary.mean[0], strict=True))
    assert mean["stance_time"] + mean["swing_time"] == pytest.approx(mean["stride_time"], abs=0.01)
    assert 2 * mean["single_support"] + mean["double_support"] == pytest.approx(mean["stride_time"], abs=0.02)
    assert mean["double_support"] == pytest.approx(2 * mean["initial_double_support"], abs=0.02)


def test_an_asymmetric_walker_is_found_so() -> None:
    made = walker("asymmetric", fps=120)
    found = gait(exact(made))
    right = (0.5 + made.gait.step_time_asymmetry) * made.gait.stride_time
    at = NAMES.index("step_time")
    assert found.summary.mean[2, at] == pytest.approx(right, abs=0.01)
    expected = 200 * (made.gait.stride_time - 2 * right) / made.gait.stride_time
    assert found.summary.symmetry[at] == pytest.approx(expected, abs=3)


def test_step_width_is_only_given_where_the_view_allows() -> None:
    made = walker(yaw=0.7, distance=8, fps=60)
    plain = gait(exact(made, "floor"))
    at = NAMES.index("step_width")
    assert np.isnan(plain.summary.mean[0, at])
    assert "width is depth" in plain.summary.reasons["step_width"]
    oblique = gait(replace(exact(made), scene=replace(made.scene("floor"), view="oblique")))
    # Feet are measured in the middle of heel and big toe, and each big toe lies 0.025 m inside the foot's axis.
    assert oblique.summary.mean[0, at] == pytest.approx(0.11 - 0.025, abs=0.02)


# Angles


def standing(bend: dict[str, float]) -> Course:
    """Somebody who stands, with joints bent by so many degrees (flexion, dorsiflexion, leaning forwards positive)."""
    hip, knee, ankle, trunk = (np.deg2rad(bend.get(j, 0)) for j in ("hip", "knee", "ankle", "trunk"))
    at: dict[str, np.ndarray] = {}
    hips = np.array([500.0, -300.0])
    for side in SIDES:
        at[f"{side}_hip"] = hips
        at[f"{side}_shoulder"] = hips + 150 * np.array([np.sin(trunk), np.cos(trunk)])
        thigh = hip - trunk
        shank = thigh - knee
        at[f"{side}_knee"] = hips + 120 * np.array([np.sin(thigh), -np.cos(thigh)])
        at[f"{side}_ankle"] = at[f"{side}_knee"] + 120 * np.array([np.sin(shank), -np.cos(shank)])
        sole = ankle + shank
        at[f"{side}_heel"] = at[f"{side}_ankle"] - [0, 20]
        at[f"{side}_big_toe"] = at[f"{side}_heel"] + 70 * np.array([np.cos(sole), np.sin(sole)])
    xy = np.full((60, 23, 2), np.nan)
    for name, place in at.items():
        xy[:, WHOLEBODY_23.points.index(name)] = place * (1, -1)
    nothing = np.zeros(60)
    return Course(nothing, 60.0, xy, 1, 500.0, nothing, nothing.astype(bool), np.zeros((60, 23), bool), "sagittal")


@pytest.mark.parametrize(
    "bend",
    [{}, {"hip": 30}, {"knee": 60}, {"ankle": 10}, {"trunk": 12}, {"hip": -10, "knee": 5, "ankle": -20, "trunk": 5}],
)
@pytest.mark.parametrize("forward", [1, -1])
def test_angles_have_their_zeros_and_signs(bend: dict[str, float], forward: int) -> None:
    """Walking to the left is walking to the right seen in a mirror."""
    course = standing(bend)
    course = replace(course, forward=forward, xy=course.xy * (forward, 1))
    found = dict(zip(angles.NAMES, angles.angles(course)[30], strict=True))
    for side in SIDES:
        for joint in ("hip", "knee", "ankle"):
            assert found[f"{side}_{joint}"] == pytest.approx(bend.get(joint, 0), abs=1e-6)
    assert found["trunk"] == pytest.approx(bend.get("trunk", 0), abs=1e-6)


def test_cycles_run_from_contact_to_contact() -> None:
    made = walker(fps=60)
    found = gait(exact(made))
    assert found.cycle.shape[1:] == (4, 101) and len(found.cycle) >= 6
    np.testing.assert_allclose(np.diff(found.cycle_span, axis=1), made.gait.stride_time, atol=0.01)
    knee = found.cycle[:, 1]
    assert (np.abs(knee - np.median(knee, axis=0)) < 8).all(), "the walker repeats itself"
    assert ((knee.argmax(axis=1) > 60) & (knee.argmax(axis=1) < 85)).all(), "the knee bends most in swing"


# Bad input


def still(made: Walker) -> np.ndarray:
    return np.repeat(made.truth[:1], len(made.time), axis=0)


def turning(made: Walker) -> np.ndarray:
    """There, and back again: the second half is the first's mirror picture."""
    half = made.truth[: len(made.truth) // 2]
    width = PICTURE[0] - 1
    back = half * (-1, 1) + (width, 0)
    return np.concatenate([half, back, back[-1:]])[: len(made.truth)]


def backwards(made: Walker) -> np.ndarray:
    return made.truth[::-1]


def no_feet(made: Walker) -> np.ndarray:
    xy = made.truth.copy()
    xy[:, 17:] = np.nan
    return xy


BAD = {
    "standing": (still, "nobody walks: the feet do not pass each other"),
    "turning": (turning, "the walker turns; give each direction its own segment"),
    "backwards": (backwards, "the walk goes backwards: against where the feet point"),
    "half outside": (
        lambda m: m.truth + np.array([0, 0.5 * PICTURE[1]]),
        "trunk, legs and feet are never all in the picture",
    ),
    "no feet": (no_feet, "trunk, legs and feet are never all posed for 1 s in a row"),
    "nobody": (lambda m: np.full_like(m.truth, np.nan), "nobody was posed"),
    "noise": (lambda m: np.random.default_rng(0).uniform(0, 900, m.truth.shape), ""),
    "one point": (lambda m: np.full_like(m.truth, 300.0), "all points fall on one"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_walk_gives_a_reason_and_no_number(what: str) -> None:
    made = walker(fps=60)
    change, sentence = BAD[what]
    found = gait(replace(made.walk(), xy=change(made)))
    assert found.reason.startswith(sentence) and found.reason
    assert not np.isfinite(found.summary.mean).any()
    assert set(found.summary.reasons) == set(NAMES)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_too_few_steps(count: int) -> None:
    made = walker(fps=60)
    contacts = np.sort(np.concatenate([made.events("contact", side) for side in SIDES]))
    end = contacts[count] - 0.12 if count else contacts[0] + 0.2
    short = made.time <= max(end, 0.3)
    found = gait(replace(made.walk(), time=made.time[short], xy=made.truth[short]))
    assert found.reason
    assert not np.isfinite(found.summary.mean).any()


def test_a_frontal_view_leaves_events_to_the_other() -> None:
    made = walker(yaw=np.pi / 2 - 0.05, fps=60)
    for said in (None, "frontal"):
        found = gait(replace(exact(made), scene=Scene(view=said)))
        assert found.reason == "the feet point at the camera; if the view is frontal, say so in cameras.<name>.view"


@pytest.mark.parametrize("fps", [5, 15])
def test_too_slow_a_camera(fps: int) -> None:
    found = gait(exact(walker(fps=fps)))
    assert found.reason == f"{fps} frames a second are too few; 20 are needed"


def test_two_frames_are_no_walk() -> None:
    made = walker(fps=60)
    assert gait(replace(made.walk(), time=made.time[:2], xy=made.truth[:2])).reason


def test_the_input_is_left_as_it_is() -> None:
    made = walker(fps=60)
    walk = made.walk()
    before = walk.xy.copy()
    one, other = gait(walk), gait(walk)
    np.testing.assert_array_equal(walk.xy, before)
    np.testing.assert_array_equal(one.summary.mean, other.summary.mean)
    assert json.dumps(one.notes) == json.dumps(other.notes)


def test_the_model_is_the_walkers() -> None:
    """The truth that all this stands on: contacts a stride apart, and double support as defined."""
    made = Walker(replace(Model(), duty=0.6), Setting(), 10)
    assert np.diff(made.events("contact", "left")) == pytest.approx(made.gait.stride_time)
    assert made.parameters["initial_double_support"] == pytest.approx(0.1 * made.gait.stride_time)
