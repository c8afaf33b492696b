"""The synthetic walker: its ground truth must be right before it can judge anything else."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from walker import GAITS, KEYPOINTS, PARTS, SIDES, Body, Gait, Walk, events_between, foot, in_contact
from walker.camera import Direction
from walker.gait import Floats, Side, glides
from walker.layers import View

NAMES = sorted(GAITS)
VIEWS: tuple[View, ...] = ("sagittal", "frontal")
TIMES = np.linspace(0.013, 5.0, 1501)  # s; no sample falls on an event's very instant
# Joints that lie inside the body; toes, heels and face lie on its edge.
ON_BODY = ("hip", "knee", "ankle")


# The conventions, written out once more: the package must not change them unnoticed.
COCO_LEFT_RIGHT = {"eye": 1, "ear": 3, "shoulder": 5, "elbow": 7, "wrist": 9, "hip": 11, "knee": 13,
                   "ankle": 15}  # fmt: skip
COCO_FEET = {"left_big_toe": 17, "left_small_toe": 18, "left_heel": 19, "right_big_toe": 20,
             "right_small_toe": 21, "right_heel": 22}  # fmt: skip
DENSEPOSE = ("background", "torso", "right_hand", "left_hand", "left_foot", "right_foot", "right_upper_leg",
             "left_upper_leg", "right_lower_leg", "left_lower_leg", "left_upper_arm", "right_upper_arm",
             "left_lower_arm", "right_lower_arm", "head")  # fmt: skip


def test_conventions() -> None:
    expected = {"nose": 0, **COCO_FEET}
    for joint, index in COCO_LEFT_RIGHT.items():
        expected |= {f"left_{joint}": index, f"right_{joint}": index + 1}
    assert {name: i for i, name in enumerate(KEYPOINTS)} == expected
    assert {name: i for i, name in enumerate(DENSEPOSE)} == PARTS
    # World Y is to the left: with X forward and Z up, left joints have the greater y.
    points = joints("normal")
    for joint in ("shoulder", "hip", "ankle", "eye"):
        assert np.all(points[f"left_{joint}"][:, 1] > points[f"right_{joint}"][:, 1])
    assert np.all(np.diff(points["pelvis"][:, 0]) > 0)


@cache
def joints(name: str) -> dict[str, Floats]:
    return Body(GAITS[name]).joints(TIMES)


@cache
def clip(name: str, view: View = "sagittal", direction: Direction = "right") -> Walk:
    """A clean clip that several tests share; 15 frames a second keep the steps between frames large."""
    return Walk(GAITS[name], view, direction, frames=20, fps=15.0, noise=0.0, size=(480, 272))


FLOW_CLIPS = ("right", "left and pan", "front")


@cache
def flow_clip(name: str) -> Walk:
    """Clean clips for the tests of the flow."""
    if name == "right":
        return Walk(GAITS["normal"], frames=6, fps=15.0, size=(480, 272), noise=0.0)
    if name == "front":
        return Walk(GAITS["asymmetric"], "frontal", frames=6, fps=15.0, size=(480, 272), noise=0.0, seed=3)
    return Walk(GAITS["stiff_knee"], "sagittal", "left", 6, 15.0, (480, 272), noise=0.0, pan=(4.25, -1.5))


def stances(gait: Gait, side: Side) -> Iterable[tuple[float, float]]:
    """(contact, off) times in s of the whole stances between 0 and 5 s."""
    times = {kind: [t for t, s, k in events_between(gait, 0.0, 5.0) if s == side and k == kind]
             for kind in ("contact", "off")}  # fmt: skip
    offs = [t for t in times["off"] if t > times["contact"][0]]
    return zip(times["contact"], offs, strict=False)


def knee_flexion(points: dict[str, Floats], side: str) -> Floats:
    """(T,) degrees; 0 is a straight leg."""
    up = points[f"{side}_hip"] - points[f"{side}_knee"]
    down = points[f"{side}_ankle"] - points[f"{side}_knee"]
    cosine = np.sum(up * down, axis=1) / np.linalg.norm(up, axis=1) / np.linalg.norm(down, axis=1)
    return 180.0 - np.rad2deg(np.arccos(cosine))


@pytest.mark.parametrize("name", NAMES)
def test_planted_point_does_not_slide(name: str) -> None:
    """Neither while it bears the body; it glides forwards when it lands and leaves."""
    gait = GAITS[name]
    body = Body(gait)
    landing, leaving = glides(gait)
    assert landing < 0.04
    assert leaving < 0.05
    for side in SIDES:
        count = 0
        for contact, off in stances(gait, side):
            times = np.linspace(contact, off, 200)[1:-1]
            bears = (times > contact + landing) & (times < off - leaving)
            points = body.joints(times)
            heel, toe = points[f"{side}_heel"], points[f"{side}_big_toe"]
            for point in (heel, toe):
                down = np.abs(point[:, 2]) < 1e-9
                if (down & bears).any():
                    assert np.ptp(point[down & bears], axis=0).max() < 1e-9
                if down.any():
                    assert np.diff(point[down, 0]).min() > -1e-9
                    assert np.ptp(point[down, 0]) < 0.05
                    # One unbroken spell on the ground: the point does not lift and come back.
                    assert np.count_nonzero(np.diff(down.astype(int))) <= 1
            assert np.all((np.abs(heel[:, 2]) < 1e-9) | (np.abs(toe[:, 2]) < 1e-9))
            count += 1
        assert count >= 3


@pytest.mark.parametrize("name", NAMES)
def test_contact_agrees_with_foot_height(name: str) -> None:
    for side in SIDES:
        down = in_contact(GAITS[name], side, TIMES)
        points = joints(name)
        low = np.minimum(points[f"{side}_heel"][:, 2], points[f"{side}_big_toe"][:, 2])
        # A sample a tenth of a millisecond after an off is only just above the ground.
        assert np.abs(low[down]).max() < 1e-12
        assert low[~down].min() > 1e-12
        assert low[~down].max() > 0.5 * GAITS[name].clearance
        assert points[f"{side}_small_toe"][:, 2].min() > -1e-9
        assert 0.2 < down.mean() < 0.9


@pytest.mark.parametrize("name", NAMES)
def test_bones_are_rigid_and_motion_is_smooth(name: str) -> None:
    points = joints(name)
    bones = [("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"), ("pelvis", "neck"),
             ("neck", "nose"), ("left_eye", "right_eye"), ("left_ear", "right_ear")]  # fmt: skip
    for side in SIDES:
        chain = ("hip", "knee", "ankle", "heel", "big_toe", "small_toe", "ankle", "big_toe")
        arm = ("shoulder", "elbow", "wrist", "hand")
        for links in (chain, arm):
            bones += [(f"{side}_{a}", f"{side}_{b}") for a, b in pairwise(links)]
    for a, b in bones:
        assert np.ptp(np.linalg.norm(points[a] - points[b], axis=1)) < 1e-6, (a, b)
    for point, path in points.items():
        speed = np.linalg.norm(np.diff(path, axis=0), axis=1) / (TIMES[1] - TIMES[0])
        assert speed.max() < 6.0, point  # m/s; a jump of 2 cm would read as 6
    for side in SIDES:
        hip, knee, ankle = (points[f"{side}_{j}"] for j in ("hip", "knee", "ankle"))
        line = ankle - hip
        share = np.sum((knee - hip) * line, axis=1) / np.sum(line**2, axis=1)
        assert np.all((knee - hip - share[:, None] * line)[:, 0] > 0)  # the knee bends forward


@pytest.mark.parametrize("name", NAMES)
def test_events_match_parameters_and_feet(name: str) -> None:
    gait = GAITS[name]
    walk = Walk(gait, frames=150, fps=30.0, size=(64, 36))
    assert [e[0] for e in walk.events] == sorted(e[0] for e in walk.events)
    assert walk.events[0][0] >= walk.times[0] and walk.events[-1][0] <= walk.times[-1]
    for column, side in enumerate(SIDES):
        own = [(t, kind) for t, s, kind in walk.events if s == side]
        assert all(a[1] != b[1] for a, b in pairwise(own))
        contacts = [t for t, kind in own if kind == "contact"]
        assert len(contacts) >= 3
        assert np.diff(contacts) == pytest.approx(gait.stride_time, abs=1e-9)
        # The per-frame contacts change exactly at the events.
        state = bool(walk.contacts[0, column])
        for t, kind in own:
            assert state == (kind == "off")
            between = (walk.times > t + 1e-9) & (walk.times < t + 0.1)
            state = not state
            assert np.all(walk.contacts[between, column] == state)
        # walk.world is on the gait's clock, 0.2 of a stride ahead of the clip's (Walk's `phase`).
        landed = Body(gait).joints(np.array(contacts) + 0.2 * gait.stride_time)[f"{side}_heel"][:, 0]
        assert landed[-1] - landed[0] == pytest.approx(gait.stride_length * (len(landed) - 1), abs=1e-6)
        heights = walk.world[:, [KEYPOINTS.index(f"{side}_heel"), KEYPOINTS.index(f"{side}_big_toe")], 2]
        assert np.array_equal(heights.min(axis=1) < 1e-9, walk.contacts[:, column])
    order = [s for _, s, kind in walk.events if kind == "contact"]
    assert all(a != b for a, b in pairwise(order))


def step_times(gait: Gait) -> dict[str, float]:
    """Mean time in s of the left and the right step, from contact events."""
    contacts = [(t, s) for t, s, kind in events_between(gait, 0.0, 20.0) if kind == "contact"]
    steps: dict[str, list[float]] = {"left": [], "right": []}
    for (t0, _), (t1, side) in pairwise(contacts):
        steps[side].append(t1 - t0)
    return {side: float(np.mean(values)) for side, values in steps.items()}


def test_asymmetry_of_steps() -> None:
    normal, odd = step_times(GAITS["normal"]), step_times(GAITS["asymmetric"])
    assert normal["left"] == pytest.approx(normal["right"], abs=1e-9)
    assert odd["right"] - odd["left"] == pytest.approx(2 * 0.07 * GAITS["asymmetric"].stride_time, abs=1e-9)


def test_pathologies_show() -> None:
    for side in SIDES:
        assert joints("toe_walking")[f"{side}_heel"][:, 2].min() > 0.02
        assert joints("normal")[f"{side}_heel"][:, 2].min() < 1e-9
        assert knee_flexion(joints("normal"), side).max() > 50.0
    stiff = joints("stiff_knee")
    assert knee_flexion(stiff, "right").max() < knee_flexion(joints("normal"), "right").max() - 10.0
    assert knee_flexion(stiff, "right").max() < knee_flexion(stiff, "left").max() - 15.0
    assert np.abs(stiff["right_ankle"][:, 1]).max() > np.abs(stiff["left_ankle"][:, 1]).max() + 0.03
    lowest = {}
    for name in ("normal", "shuffling"):
        points, up = joints(name), ~in_contact(GAITS[name], "left", TIMES)
        lowest[name] = np.minimum(points["left_heel"][up, 2], points["left_big_toe"][up, 2]).max()
    assert lowest["shuffling"] < 0.5 * lowest["normal"]


def test_initial_contact_of_each_strike() -> None:
    for name, heel_down, toe_down in (("normal", True, False), ("shuffling", True, True),
                                      ("toe_walking", False, True)):  # fmt: skip
        points = Body(GAITS[name]).joints(np.array([0.0]))  # a left contact
        assert (abs(points["left_heel"][0, 2]) < 1e-9) == heel_down
        assert (abs(points["left_big_toe"][0, 2]) < 1e-9) == toe_down


def test_swing_starts_and_ends_where_the_foot_stands() -> None:
    for gait in GAITS.values():
        for side in SIDES:
            for event, at, _ in events_between(gait, 0.1, 4.0):
                if at == side:
                    ankle, pitch = foot(gait, side, np.array([event - 1e-7, event + 1e-7]))
                    assert np.abs(np.diff(ankle, axis=0)).max() < 1e-5 and abs(pitch[1] - pitch[0]) < 1e-5


@pytest.mark.parametrize(("direction", "near"), [("right", "right"), ("left", "left")])
def test_sides_in_the_side_view(direction: Direction, near: str) -> None:
    walk = clip("normal", "sagittal", direction)
    far = "left" if near == "right" else "right"
    shift = walk.keypoints[-1, 0, 0] - walk.keypoints[0, 0, 0]
    assert (shift > 0) == (direction == "right") and abs(shift) > 30
    depth = {k: walk.camera.depth(walk.world[:, KEYPOINTS.index(k)]) for k in KEYPOINTS[1:]}
    for joint in ("shoulder", "hip", "ankle", "ear"):
        assert np.all(depth[f"{near}_{joint}"] < depth[f"{far}_{joint}"] - 0.05)
    # The near arm is whole in front of the body; of the far one most is hidden.
    area = np.mean([np.bincount(walk.parts(t).ravel(), minlength=15) for t in range(0, 20, 4)], axis=0)
    assert area[PARTS[f"{near}_upper_arm"]] > 2 * area[PARTS[f"{far}_upper_arm"]]
    # Toes point where the walk goes, and image y is down.
    toe, heel = (walk.keypoints[:, KEYPOINTS.index(f"left_{end}"), 0] for end in ("big_toe", "heel"))
    assert np.all((toe > heel) == (direction == "right"))
    assert np.all(walk.keypoints[:, 0, 1] < walk.keypoints[:, KEYPOINTS.index("left_ankle"), 1])
    metres = np.ptp(walk.joints["pelvis"][:, 0])
    pixels = np.ptp(walk.camera.project(walk.joints["pelvis"] * [1.0, 0.0, 1.0])[:, 0])
    assert pixels * walk.metres_per_pixel == pytest.approx(metres, rel=1e-9)


def test_sides_in_the_front_view() -> None:
    walk = clip("normal", "frontal")
    for joint in ("shoulder", "hip", "ankle", "eye"):
        left, right = (walk.keypoints[:, KEYPOINTS.index(f"{s}_{joint}"), 0] for s in SIDES)
        assert np.all(left > right)
    heights = walk.box[:, 3] - walk.box[:, 1]
    assert heights[-1] > 1.05 * heights[0]  # it comes nearer


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("direction", ["right", "left"])
def test_labels_lie_on_their_own_bones(view: View, direction: Direction) -> None:
    """Where a limb's own label shows, it shows along that limb's bone and not the other side's."""
    walk = clip("normal", view, direction)
    for t in range(0, 20, 5):
        parts = walk.parts(t)
        for side in SIDES:
            for part, (a, b) in {"upper_leg": ("hip", "knee"), "lower_leg": ("knee", "ankle")}.items():
                ys, xs = np.nonzero(parts == PARTS[f"{side}_{part}"])
                if len(xs) < 30:
                    continue
                ends = [walk.keypoints[t, KEYPOINTS.index(f"{side}_{j}")] for j in (a, b)]
                bone = ends[1] - ends[0]
                off = (np.stack([xs, ys], axis=1) - ends[0]) @ [-bone[1], bone[0]] / np.linalg.norm(bone)
                scale = walk.camera.fx / walk.camera.depth(walk.joints["pelvis"][t])
                assert np.abs(off).max() < 0.125 * scale  # px; a thigh is 0.098 m from its bone at most


def targets(walk: Walk, t: int) -> tuple[Floats, Floats]:
    """x and y, each (H,W) px, of every pixel's place in frame t + 1."""
    height, width = walk.parts(t).shape
    flow = walk.flow(t).astype(np.float64)
    return np.arange(width) + flow[..., 0], np.arange(height)[:, None] + flow[..., 1]


@pytest.mark.parametrize("name", [*NAMES, "left and pan"])
@pytest.mark.parametrize("view", VIEWS)
def test_key_points_lie_on_the_silhouette(name: str, view: View) -> None:
    walk = clip(name, view) if name in GAITS else flow_clip(name)
    hit = {k: 0 for k in KEYPOINTS if k.endswith(ON_BODY)}
    for t in range(len(walk)):
        mask = walk.silhouette(t)
        spots = np.rint(walk.keypoints[t]).astype(int)
        for k in hit:
            x, y = spots[KEYPOINTS.index(k)]
            hit[k] += bool(mask[y, x])
        # The others at most 3 px outside it: the face and the feet look and stand the right way round.
        grown = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7)))
        assert grown[spots[:, 1], spots[:, 0]].all()
        feet = walk.keypoints[t, 15:, 1]
        assert abs(walk.box[t, 3] - feet.max()) < 6.0  # no foot hangs below its sole
    assert min(hit.values()) >= 0.95 * len(walk), hit


@pytest.mark.parametrize("name", FLOW_CLIPS)
def test_flow_carries_labels(name: str) -> None:
    walk = flow_clip(name)
    kept = body = 0
    for t in range(len(walk) - 1):
        x, y = targets(walk, t)
        now, after = walk.parts(t), walk.parts(t + 1)
        # Visible pixels of the body, and of the background near it: the rest would hide any fault.
        near = cv2.dilate((now > 0).astype(np.uint8), np.ones((15, 15))) > 0
        seen = walk.visible(t) & near
        assert seen[now > 0].mean() > 0.5
        x, y, label = x[seen], y[seen], now[seen]
        # A target between pixels: one of the two by two around it must show the label.
        x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
        x1, y1 = (np.minimum(v + 1, n - 1) for v, n in zip((x0, y0), after.shape[::-1], strict=True))
        found = np.zeros(len(x), bool)
        for yy, xx in ((y0, x0), (y0, x1), (y1, x0), (y1, x1)):
            found |= after[yy, xx] == label
        assert found[label > 0].mean() >= 0.99 and found.mean() >= 0.99
        nearest = after[np.rint(y).astype(int), np.rint(x).astype(int)]
        kept += int(np.count_nonzero((nearest == label)[label > 0]))
        body += int(np.count_nonzero(label > 0))
    assert kept / body > 0.96  # the rest are edges that fall on the other side of a pixel's centre


@pytest.mark.parametrize("name", FLOW_CLIPS)
def test_flow_carries_brightness(name: str) -> None:
    walk = flow_clip(name)
    for t in (0, 3):
        now, after = (walk.frame(k).astype(np.float32) for k in (t, t + 1))
        x, y = (v.astype(np.float32) for v in targets(walk, t))
        moved = cv2.remap(after, x, y, cv2.INTER_LINEAR)
        error = np.abs(moved - now).mean(axis=2)
        still = np.abs(after - now).mean(axis=2)
        ids = walk.parts(t)
        inside = walk.visible(t)
        for label in np.unique(ids):  # away from every edge, where two layers blend
            inside &= (ids != label) | (cv2.erode((ids == label).astype(np.uint8), np.ones((5, 5))) > 0)
        landed = cv2.remap((walk.parts(t + 1) > 0).astype(np.float32), x, y, cv2.INTER_LINEAR)
        inside &= np.where(ids > 0, landed > 0.99, landed < 0.01)
        body = inside & (ids > 0)
        assert body.sum() > 1000

        assert error[body].mean() < 2.0 and error[inside].mean() < 2.0  # grey levels
        # Against no flow at all. Walking towards the camera moves the picture by a pixel or two only.
        assert error[body].mean() < (0.4 if name == "front" else 0.1) * still[body].mean()


def test_visible_is_not_everything_and_not_nothing() -> None:
    for name in FLOW_CLIPS:
        seen = flow_clip(name).visible(0)
        assert 0.9 < seen.mean() < 1.0  # the figure covers some background
    panned = flow_clip("left and pan").visible(0)
    assert not panned[:, -4:].any() and not panned[0].any() and panned[20:, :-20].mean() > 0.9
    assert flow_clip("left and pan").flow(0)[5, 5] == pytest.approx([4.25, -1.5])
    with pytest.raises(IndexError):
        flow_clip("right").flow(5)


@pytest.mark.parametrize("view", VIEWS)
def test_parts_cover_the_body(view: View) -> None:
    walk = clip("normal", view)
    seen = set()
    for t in range(len(walk)):
        parts = walk.parts(t)
        assert parts.dtype == np.uint8 and np.array_equal(walk.silhouette(t), parts > 0)
        seen |= set(np.unique(parts).tolist())
        ys, xs = np.nonzero(parts)
        assert walk.box[t].tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        assert cv2.connectedComponents((parts > 0).astype(np.uint8))[0] == 2  # background and one figure
    assert seen == set(range(15))


def test_picture_agrees_with_silhouette() -> None:
    """Against the median of the clip, the empty room, a frame differs on the silhouette and nowhere else."""
    walk, t = clip("normal"), 10
    backdrop = np.median([walk.frame(k) for k in range(20)], axis=0)
    differs = np.abs(walk.frame(t) - backdrop).max(axis=2) > 12
    mask = walk.silhouette(t).astype(np.uint8)
    assert differs[cv2.erode(mask, np.ones((3, 3))) > 0].mean() > 0.85
    assert differs[cv2.dilate(mask, np.ones((5, 5))) == 0].mean() < 0.005


@pytest.mark.parametrize("times", [None, [0.0, 0.05, 0.071, 0.2, 0.21, 0.3, 0.5, 0.51]])
def test_write_round_trip(tmp_path: Path, times: list[float] | None) -> None:
    fps = 30000 / 1001
    walk = Walk(frames=8, fps=fps, size=(160, 96), noise=0.0)
    path = tmp_path / "walk.mp4"
    walk.write(path, crf=4, times=times)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
    stamps = [f.pts * f.time_base for f in frames if f.pts is not None and f.time_base is not None]
    if times is None:
        assert stamps == [i * Fraction(1001, 30000) for i in range(8)]
    else:
        assert stamps == [Fraction(round(t * 90000), 90000) for t in times]
    for t in (0, 7):
        decoded = frames[t].to_ndarray(format="rgb24").astype(float)
        assert np.abs(decoded - walk.frame(t)).mean() < 6.0


def test_times_place_the_walker() -> None:
    uneven = Walk(times=[0.0, 0.1, 0.25], size=(64, 36))
    even = Walk(frames=6, fps=20.0, size=(64, 36))
    assert uneven.world == pytest.approx(even.world[[0, 2, 5]], abs=1e-12)


def test_seed_decides_everything() -> None:
    a, b, c = (Walk(frames=3, size=(160, 96), seed=s) for s in (5, 5, 6))
    first = list(a.frames())
    assert all(np.array_equal(x, b.frame(t)) for t, x in enumerate(first))
    assert np.array_equal(first[2], Walk(frames=3, size=(160, 96), seed=5).frame(2))  # in any order
    assert not np.array_equal(first[0], c.frame(0)) and not np.array_equal(first[0], first[1])
    grain = []  # the noise alone
    for seed, t in ((5, 0), (5, 1), (6, 0)):
        noisy, quiet = (Walk(frames=3, size=(160, 96), seed=seed, noise=n).frame(t) for n in (1.5, 0.0))
        grain.append((noisy.astype(float) - quiet).ravel())
    assert 1.2 < grain[0].std() < 1.8
    assert np.abs(np.corrcoef(grain) - np.eye(3)).max() < 0.05  # another one per frame and per seed
