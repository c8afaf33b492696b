"""A frontal clip with the events of the sagittal clip of the same walk: widths, times, and what is made anew when."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import footage
import numpy as np
import pytest
import walker.gait
from gait_walkers import PICTURE, Setting, Walker
from gaitloom import backends, keypoint_formats, status, tombstones
from gaitloom.backends import Spec
from gaitloom.cameras import Camera
from gaitloom.clips import Clip, NodeKey
from gaitloom.derive import derive
from gaitloom.errors import GaitloomError
from gaitloom.gait import frontal, summary
from gaitloom.gait.course import Walk
from gaitloom.gait.events import Events
from gaitloom.gait.measure import Gait
from gaitloom.gait.scene import Scene, siblings
from gaitloom.plan import Plan
from gaitloom.release.exporters import zarr as released
from gaitloom.remains import Remains
from gaitloom.store import Store
from gaitloom.strict import Strict
from gaitloom.tombstones import Tombstones
from gaitloom.tracking import People
from gaitloom.verify import faults
from project import Project
from walker import GAITS, SIDES
from walker import Gait as Gaits
from walker import Walk as Film
from walker.body import KEYPOINTS
from walker.camera import Camera as Pinhole
from walker.camera import look_along
from walker.walk import View

NAMES = list(summary.PARAMETERS)
DEPTHS = ("step_length", "stride_length", "speed")


class Front(Walker):
    """A walk to a camera, or away from it, that ends or begins `nearest` m from it. The camera stands `aside` m of the
    path, `height` m high, and looks past the middle of the path by `yaw` rad. Errors of points last 0.05 s and have a
    standard deviation of 0.009 statures; each point has a constant one of 0.005; one in a hundred lies far off."""

    def __init__(
        self, gait: Gaits, fps: float = 30, away: bool = False, seed: int = 0, steps: int = 12, **place: float
    ):
        place = {"nearest": 4.0, "aside": 0.2, "yaw": 0.0, "height": 1.0, "phase": 0.2, **place}
        self.away, self.nearest, self.aside = away, place["nearest"], place["aside"]
        self.yaw, self.height = place["yaw"], place["height"]
        super().__init__(gait, Setting(fps=fps), steps, place["phase"], seed)

    def _camera(self) -> Pinhole:
        sign, end = (1.0, self.path[0]) if self.away else (-1.0, self.path[1])
        place = np.array([end - sign * self.nearest, self.aside, self.height])
        line = np.array([sum(self.path) / 2, 0.0]) - place[:2]
        turn = np.arctan2(line[1], line[0]) + self.yaw
        fx = 0.7 * PICTURE[1] / self.gait.height * self.nearest
        low = 0.85 * PICTURE[1] - fx * self.height / self.nearest
        return Pinhole(
            fx, 0.5 * (PICTURE[0] - 1), low, look_along((float(np.cos(turn)), float(np.sin(turn)), 0)), place
        )

    @cached_property
    def keypoints(self) -> np.ndarray:
        """(T, 23, 2) px."""
        rng = np.random.default_rng([self.seed, 2])
        tall = (self.gait.height * self.camera.fx / self.camera.depth(self.world).mean(axis=1))[:, None, None]
        drift = np.stack([self._drift(rng, 0.009, 0.05) for _ in range(46)], axis=1).reshape(-1, 23, 2)
        xy = self.truth + tall * (drift + 0.005 * rng.normal(size=(1, 23, 2)))
        astray = rng.random(xy.shape[:2]) < 0.01
        xy[astray] += 0.08 * tall.mean() * rng.normal(size=(int(astray.sum()), 2))
        return xy

    def seen(self, known: str = "floor", **more: Any) -> Walk:
        ends = self.path
        corners = [(ends[0], -0.6), (ends[0], 0.6), (ends[1], 0.6), (ends[1], -0.6)]
        floor = np.column_stack([self.floor(*corners), corners])
        scenes = {"floor": Scene("frontal", floor=floor), "height": Scene("frontal", height_cm=100 * self.gait.height)}
        return Walk(self.time, self.keypoints, PICTURE, replace(scenes.get(known, Scene("frontal")), **more))

    def told(self, late: float = 0.0) -> Events:
        """What a sagittal clip says, 0.01 s wrong and `late` (s), also before and after this clip."""
        rng = np.random.default_rng([self.seed, 3])
        stride = self.gait.stride_time
        rows = sorted(
            (t + n * stride + rng.normal() * 0.01 + late, foot, kind)
            for foot, side in enumerate(SIDES)
            for kind, name in enumerate(("contact", "off"))
            for t in self.events(name, side)[:1]
            for n in range(-2, 12)
        )
        time, foot, kind = (np.array(column) for column in zip(*rows, strict=True))
        sure = np.full(len(time), 0.7)
        return Events(foot.astype(np.int8), kind.astype(np.int8), time, time - 0.01, time + 0.01, sure)

    def found(self, known: str = "floor", late: float = 0.0, **more: Any) -> Gait:
        return frontal.gait(self.seen(known, **more), self.told(late), "")


def mean(found: Gait, name: str) -> float:
    return float(found.summary.mean[0, NAMES.index(name)])


def random_front(seed: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Front, float]:
    """A walker with another step width (m) than the others."""
    rng = np.random.default_rng([seed, 9])
    width, height = float(rng.uniform(0.04, 0.25)), float(rng.uniform(1.2, 1.9))
    monkeypatch.setattr(walker.gait, "STEP_WIDTH", width)
    gait = replace(GAITS[kind], height=height, stride_length=GAITS[kind].stride_length * height / 1.75)
    place = {"nearest": rng.uniform(3, 6), "aside": rng.uniform(-0.7, 0.7), "yaw": np.deg2rad(rng.uniform(-6, 6))}
    fps, away = float(rng.choice([25, 30, 50, 60])), bool(rng.random() < 0.4)
    place |= {"height": rng.uniform(0.8, 1.4), "phase": rng.random()}
    return Front(gait, fps, away, seed, 12, **{k: float(v) for k, v in place.items()}), width


@pytest.mark.parametrize("kind", GAITS)
def test_width_and_times_of_random_walkers(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured on 150 walkers: widths wrong by 0.011 m on average and 0.042 m at most, with errors of 0.01 m in each
    ankle's place; none was refused."""
    wrong: dict[str, list[float]] = {"floor": [], "height": []}
    for seed in range(6):
        front, width = random_front(seed, kind, monkeypatch)
        for known, errors in wrong.items():
            found = front.found(known)
            assert found.reason == "", found.reason
            errors.append(mean(found, "step_width") - width)
            true = front.parameters
            for name in ("step_time", "stride_time", "stance_time", "swing_time", "single_support", "double_support"):
                assert mean(found, name) == pytest.approx(true[name], abs=0.015), name
            assert mean(found, "cadence") == pytest.approx(true["cadence"], abs=1.5)
            assert [found.summary.reasons[name] for name in DEPTHS] == [frontal.DEPTH] * 3
            assert not np.isfinite([mean(found, name) for name in DEPTHS]).any()
            assert found.notes["direction"] == ("away" if front.away else "towards")
    for known, errors in wrong.items():
        assert np.mean(np.abs(errors)) < 0.02 and np.max(np.abs(errors)) < 0.045, (known, errors)
        assert abs(np.mean(errors)) < 0.015, (known, errors)


def test_events_are_the_others_and_those_outside_are_left_out() -> None:
    front = Front(GAITS["normal"])
    found, told = front.found(), front.told()
    inside = (told.time >= 0) & (told.time <= front.time[-1])
    assert 0 < inside.sum() < len(told.time)
    for name in ("foot", "kind", "time", "zeni", "desailly", "confidence"):
        np.testing.assert_array_equal(getattr(found.events, name), getattr(told, name)[inside])
    assert (found.steps.confidence == 0.7).all()
    assert found.summary.n[0, NAMES.index("step_time")] == (found.events.kind == 0).sum() - 1
    assert found.summary.n[0, NAMES.index("step_width")] == (found.events.kind == 0).sum() - 2
    assert found.notes["scale"] == "floor" and found.notes["scale_error"] == 0.02
    assert not np.isfinite(found.angle).any() and len(found.cycle) == 0


@pytest.mark.parametrize("kind", GAITS)
def test_a_wrong_offset_is_noticed_where_feet_do_not_rest_when_they_should(kind: str) -> None:
    """Planted: contacts half a stride off are the other foot's; 0.3 of a stride is off as well."""
    front = Front(GAITS[kind], seed=3)
    assert front.found().notes["sync_shift_s"] == 0
    for share in (-0.5, 0.3, 0.5):
        found = front.found(late=share * front.gait.stride_time)
        assert re.fullmatch(r"feet rest \d\.\d s (later|earlier) than .* says; correct sync_offset_s", found.reason)
        assert not np.isfinite(found.summary.mean).any() and len(found.events.time) == 0
    earlier = front.found(late=0.3 * front.gait.stride_time).reason
    assert "earlier" in earlier, "the events were put too late"


@pytest.mark.parametrize(
    ("known", "more", "says"),
    [
        ("nothing", {}, "nothing is known of the camera, and no body height is given"),
        ("nothing", {"height_reason": "the body height 'x' is not a number"}, "the body height 'x' is not a number"),
        ("height", {"walkway": np.zeros((2, 2, 2))}, "the walkway's length is depth; give floor points"),
        ("floor", {"floor": np.column_stack([np.arange(8.0).reshape(4, 2)] * 2)}, "lie on a line"),
        ("floor", {"height_cm": 110.0}, r"the walker is 1\d\d cm tall, not 110 cm"),
    ],
)
def test_a_width_without_a_scale_says_why(known: str, more: dict[str, Any], says: str) -> None:
    found = Front(GAITS["normal"]).found(known, **more)
    assert re.search(says, found.summary.reasons["step_width"])
    assert np.isnan(mean(found, "step_width")) and mean(found, "step_time") > 0
    assert found.notes["scale"] == "none"


def test_floor_points_in_centimetres_are_noticed() -> None:
    front = Front(GAITS["normal"])
    floor = front.seen().scene.floor
    assert floor is not None
    found = front.found("floor", floor=floor * (1, 1, 100, 100))
    assert "m tall; correct the camera" in found.summary.reasons["step_width"]


def test_bad_walks_have_reasons() -> None:
    front = Front(GAITS["normal"])
    nobody = replace(front.seen(), xy=np.full((len(front.time), 23, 2), np.nan))
    found = frontal.gait(nobody, front.told(), "")
    assert found.summary.reasons["step_width"] == frontal.UNSEEN and mean(found, "step_time") > 0
    assert np.isnan(found.notes["sync_shift_s"])
    for key in ("left_ankle", "right_ankle"):
        one = replace(front.seen(), xy=front.keypoints.copy())
        one.xy[:, KEYPOINTS.index(key)] = np.nan
        assert frontal.gait(one, front.told(), "").summary.reasons["step_width"] == frontal.UNSEEN
    away = frontal.gait(front.seen(), front.told(late=99), "")
    assert away.reason.startswith("0 contacts of the sagittal clip fall into this one")
    assert frontal.gait(front.seen(), front.told(), "the walker turns").reason.endswith("nothing: the walker turns")


def clip(camera: str, offset: float | None = 0.0, **more: Any) -> Clip:
    return Clip("P", trial="1", camera=camera, sync_offset_s=offset, **more)


@pytest.mark.parametrize(
    ("clips", "expected"),
    [
        ([clip("f", 0.3), clip("s", 0.1)], {"P/trial-1_cam-f": ("s", -0.2)}),
        ([clip("f", None), clip("s")], {}),
        ([clip("f"), clip("s", None)], {}),
        ([clip("f"), clip("o")], {}),
        ([clip("f"), replace(clip("s"), trial="2")], {}),
        ([clip("f"), replace(clip("s"), segment="2")], {}),
        ([clip("f"), replace(clip("s"), session="2")], {}),
        ([clip("f"), replace(clip("s"), subject="Q")], {}),
        ([clip("f"), clip("s2", extra={"view": "Side"}), clip("s")], {"P/trial-1_cam-f": ("s", 0.0)}),
        ([clip("g", extra={"view": "back"}), clip("s")], {"P/trial-1_cam-g": ("s", 0.0)}),
        ([clip("s", extra={"view": "front"}), clip("s2")], {}),
    ],
)
def test_which_clips_belong_together(clips: list[Clip], expected: dict[str, tuple[str, float]]) -> None:
    views = {"f": "frontal", "s": "sagittal", "o": "oblique"}
    cameras = {name: Camera.model_validate({"view": view}) for name, view in views.items()}
    for order in (clips, clips[::-1]):
        found = siblings(order, cameras)
        assert {path: (other.camera, late) for path, (other, late) in found.items()} == expected


FRONT, SIDE = "P/trial-1_cam-front", "P/trial-1_cam-side"
OFFSETS = {FRONT: 0.25, SIDE: -0.5}  # the front camera began 0.75 s after the one at the side
BEGAN = 0.75
WIDTH = walker.gait.STEP_WIDTH


class NoOptions(Strict):
    """None."""


class World:
    """One walk in both views, the frontal one at another rate; whatever the pictures show, points come from it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder = folder
        self.side = Walker(GAITS["normal"], Setting(fps=25), 14, seed=5)
        self.front = Front(GAITS["normal"], fps=30, seed=1)
        self.front.start = self.side.start + BEGAN
        joints = walker.body.Body(self.front.gait).joints(self.front.time + self.front.start)
        self.front.world = np.stack([joints[name] for name in KEYPOINTS], axis=1)
        self.front.path = float(joints["pelvis"][0, 0]), float(joints["pelvis"][-1, 0])
        self.front.camera = self.front._camera()
        self.xy = self.side.keypoints
        self.sheet = "video\tsync_offset_s\nP_1_front.mp4\t0.25\nP_1_side.mp4\t-0.5\n"
        for name, walk in (("front", self.front), ("side", self.side)):
            size = (PICTURE[1] // 10, PICTURE[0] // 10, 3)
            grey = np.full(size, 90 if name == "side" else 80, np.uint8)
            (folder / "data").mkdir(exist_ok=True)
            footage.write(folder / "data" / f"P_1_{name}.mp4", [grey] * len(walk.time), rate=int(walk.setting.fps))
        find, made = backends.find, self

        class Backend:
            format = keypoint_formats.WHOLEBODY_23
            score_kind = "truth"

            def __init__(self, options: NoOptions):
                pass

            def people(self, images: Any) -> Iterator[People]:
                for _ in images:
                    yield People(np.array([[5, 5, 150, 100]], np.float32), np.ones(1, np.float32))

            def points(self, people: Any) -> Iterator[np.ndarray]:
                for xy, _ in zip(made.xy, people, strict=False):
                    yield np.column_stack([0.1 * xy, np.ones(23)]).astype(np.float32)

        stub = SimpleNamespace(SPEC=Spec(1, NoOptions, ("numpy",), "none"), Backend=Backend)
        monkeypatch.setattr(backends, "find", lambda m, n: stub if m in ("track", "keypoints") else find(m, n))

    def plan(self, **more: Any) -> Plan:
        (self.folder / "clips.tsv").write_text(self.sheet)
        floor = self.front.seen().scene.floor
        assert floor is not None
        points = [{"pixel": [0.1 * x, 0.1 * y], "metres": [u, v]} for x, y, u, v in floor.tolist()]
        cameras = {"front": {"view": "frontal", "floor_points": points}, "side": {"view": "sagittal"}}
        clips = {"folders": [self.folder / "data"], "pattern": "{subject}_{trial}_{camera}"}
        nodes = {m: {"backend": "stub"} for m in ("track", "keypoints")} | {"gait": {"backend": "events"}}
        clips |= {"sheet": self.folder / "clips.tsv", "withdrawn": self.folder / "withdrawn.tsv"}
        values = {"results": self.folder / "results", "clips": clips, "nodes": nodes, "cameras": cameras}
        return Plan.load({**values, **more}, scan=True)

    def make(self, plan: Plan) -> None:
        """Every node, the side's first."""
        for path, walk in ((SIDE, self.side), (FRONT, self.front)):
            self.xy = walk.keypoints
            for node, recipe in plan.digests_of(path).items():
                derive(plan, NodeKey.parse(f"{path}/{node}"), recipe)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    return World(tmp_path, monkeypatch)


def test_the_frontal_node_has_the_walks_events_and_width(world: World) -> None:
    plan = world.plan()
    world.make(plan)
    store, key = Store(plan.config.results), NodeKey.parse(f"{FRONT}/gait")
    node = store.open(key)
    assert (node.attributes["reason"], node.attributes["view"], node.attributes["scale"]) == ("", "frontal", "floor")
    assert node.attributes["events_of"] == SIDE and node.attributes["sync_shift_s"] == 0
    assert "events_of" not in released.ATTRIBUTES["gait"], "a release has other names, and may lack that clip"
    assert faults(store, key) == []
    found = dict(zip(node.attributes["parameter_names"], node.load("summary_mean")[0], strict=True))
    assert found["step_width"] == pytest.approx(WIDTH, abs=0.025)
    for name, most in (("step_time", 0.015), ("stride_time", 0.02), ("cadence", 1.5)):
        assert found[name] == pytest.approx(world.front.parameters[name], abs=most)
    for foot, side in enumerate(SIDES):
        contacts = node.load("event_time")[(node.load("event_kind") == 0) & (node.load("event_foot") == foot)]
        true = world.front.events("contact", side)
        assert np.abs(contacts[:, None] - true).min(axis=1).max() < 0.04 and len(contacts) >= 5
    np.testing.assert_allclose(node.load("event_frame"), 30 * node.load("event_time"), atol=1e-3)
    assert not node.load("event_far").any() and not node.load("step_far").any()
    told = store.open(NodeKey.parse(f"{SIDE}/gait"))
    times = told.load("event_time") - BEGAN
    inside = (times >= 0) & (times <= world.front.time[-1])
    assert 0 < inside.sum() < len(times)
    np.testing.assert_allclose(node.load("event_time"), times[inside])
    np.testing.assert_array_equal(node.load("event_kind"), told.load("event_kind")[inside])
    np.testing.assert_array_equal(node.load("event_confidence"), told.load("event_confidence")[inside])
    assert told.attributes["far_side"] == "left", "planted: the default that a frontal node must not take over"

    rows = summary.report([({"subject": "P"}, told), ({"subject": "P"}, node)])
    both = {r["parameter"]: r for r in rows if r["side"] == "both" and r["n"]}
    assert both["step_time"]["clips"] == 1 and both["step_width"]["scale"] == "floor"
    assert {r["parameter"] for r in rows if r["scale"] == "floor"} == {"step_width"}, "times are the other clip's"


def test_a_stale_sibling_is_not_read(world: World) -> None:
    plan = world.plan()
    world.make(plan)
    store = Store(plan.config.results)
    for path in (SIDE, FRONT):
        store.drop(NodeKey.parse(f"{path}/gait"))
    with pytest.raises(GaitloomError, match=f"{SIDE}/gait is missing or stale; run snakemake"):
        derive(plan, NodeKey.parse(f"{FRONT}/gait"), plan.digests_of(FRONT)["gait"])
    (plan.config.results / "failures" / f"{FRONT}/gait.json").unlink()
    row = next(r for r in status.ledger(plan) if (r.clip, r.node) == (FRONT, "gait"))
    assert (row.state, row.reason) == ("waiting", f"needs {SIDE}/gait")


def changed(before: Plan, after: Plan) -> set[str]:
    """The nodes whose recipes are others."""
    old, new = ({f"{p}/{n}": d for p in x.accepted for n, d in x.digests_of(p).items()} for x in (before, after))
    return {key for key in old.keys() & new.keys() if old[key] != new[key]}


def test_what_the_sagittal_clip_changes_in_the_frontal_one(world: World) -> None:
    """Its gait node and nothing else; and the sagittal one never depends on the frontal one."""
    plan = world.plan()
    recipes = plan.recipes(plan.clip(FRONT))
    assert recipes["gait"]["sync_s"] == -BEGAN
    assert recipes["gait"]["inputs"]["gait"] == plan.digests_of(SIDE)["gait"]
    assert plan.sibling(FRONT, "gait") == NodeKey.parse(f"{SIDE}/gait")
    assert plan.sibling(FRONT, "keypoints") is None and plan.sibling(SIDE, "gait") is None

    sheet = world.sheet
    world.sheet = sheet.replace("0.25", "0.3")
    assert changed(plan, world.plan()) == {f"{FRONT}/gait"}
    world.sheet = sheet.replace("0.25", "1.25").replace("-0.5", "0.5")
    assert changed(plan, world.plan()) == set(), "the difference counts"
    world.sheet = sheet.replace("P_1_side.mp4\t-0.5", "P_1_side.mp4\t")
    alone = world.plan()
    assert changed(plan, alone) == {f"{FRONT}/gait"}
    assert set(alone.recipes(alone.clip(FRONT))["gait"]) == set(recipes["gait"]) - {"sync_s"}, "as it always was"
    assert set(alone.recipes(alone.clip(FRONT))["gait"]["inputs"]) == {"video", "track", "keypoints"}

    world.sheet = sheet.replace("sync_offset_s\n", "sync_offset_s\tbox\n").replace("0.25\n", "0.25\t\n")
    world.sheet = world.sheet.replace("-0.5\n", "-0.5\t1,1,50,50\n")
    assert changed(plan, world.plan()) == {*(f"{SIDE}/{n}" for n in ("track", "keypoints", "gait")), f"{FRONT}/gait"}
    world.sheet = world.sheet.replace("0.25\t", "0.25\t2,2,50,50").replace("1,1,50,50", "")
    assert changed(plan, world.plan()) == {f"{FRONT}/{n}" for n in ("track", "keypoints", "gait")}
    world.sheet = sheet.replace("sync_offset_s\n", "sync_offset_s\texclude\n").replace("0.25\n", "0.25\t\n")
    world.sheet = world.sheet.replace("-0.5\n", "-0.5\tno consent\n")
    assert changed(plan, world.plan()) == {f"{FRONT}/gait"} and SIDE not in world.plan().accepted


def test_without_an_offset_the_reason_says_what_to_add(world: World) -> None:
    world.sheet = world.sheet.replace("\t0.25", "\t")
    plan = world.plan()
    world.make(plan)
    node = Store(plan.config.results).open(NodeKey.parse(f"{FRONT}/gait"))
    assert node.attributes["reason"] == frontal.ALONE and "give both a sync_offset_s" in frontal.ALONE
    assert "events_of" not in node.attributes and not np.isfinite(node.load("summary_mean")).any()


def test_a_withheld_sibling_is_none_and_what_was_made_from_it_is_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = world.plan()
    world.make(plan)
    marks = Tombstones.of(plan.config)
    marks.add("P", None, [], ["flow"])
    assert list(Remains(world.plan()).nodes()) == [], "that consent is none of gait's business"
    content = plan.clip(SIDE).sha256
    marks.add("X", None, [content], ["keypoints"])  # by the video of the side view alone
    now = world.plan()
    assert set(now.withheld(SIDE)) == {"keypoints", "gait"} and now.withheld(FRONT) == []
    assert now.sibling(FRONT, "gait") is None and changed(plan, now) == {f"{FRONT}/gait"}
    left = {str(key) for key in Remains(now).nodes()}
    assert left == {f"{SIDE}/keypoints", f"{SIDE}/gait", f"{FRONT}/gait"}
    monkeypatch.setattr(tombstones, "withheld", lambda marks, clip, reads: set())
    assert world.plan().sibling(FRONT, "gait"), "planted: it is the mark alone that parts them"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with both views of a walk; nothing made yet."""
    project = Project(tmp_path_factory.mktemp("views"))
    project.config["nodes"]["gait"] = {"backend": "events"}
    project.config["preview"] = {"keypoints": None, "track": None}
    project.config["cameras"] = {"front": {"view": "frontal"}, "side": {"view": "sagittal"}}
    project.config["clips"]["pattern"] = "{subject}_{trial}_{camera}"
    project.sheet("video | sync_offset_s\n P_1_front.mp4 | 0.25\n P_1_side.mp4 | -0.5")
    views: tuple[tuple[str, View], ...] = ("front", "frontal"), ("side", "sagittal")
    for seed, (camera, view) in enumerate(views):
        Film(GAITS["normal"], view, frames=6, size=(320, 180), seed=seed).write(project.data / f"P_1_{camera}.mp4")
    return project


def would(project: Project, *args: str) -> Counter[tuple[str, str]]:
    """(rule, clip) → how often a run would execute it, reports apart."""
    done = project.snakemake("--dry-run", *args)
    assert done.returncode == 0, done.stderr[-3000:]
    found = re.findall(r"^(?:local)?rule (\w+):.*?(?=^(?:local)?rule |\Z)", done.stdout + done.stderr, re.M | re.S)
    blocks = re.split(r"^(?=(?:local)?rule \w+:)", done.stdout + done.stderr, flags=re.M)[1:]
    names = [re.search(r"wildcards: subject=([\w.-]+), clip=([\w.-]+)", b) for b in blocks]
    pairs = zip(found, names, strict=True)
    return Counter((rule, f"{m[1]}/{m[2]}") for rule, m in pairs if m)


CHAIN = ("video", "track", "keypoints", "gait")


def test_snakemake_plans_the_sagittal_node_with_the_frontal_clip(project: Project) -> None:
    both = Counter((rule, path) for path in (FRONT, SIDE) for rule in (*CHAIN, "index", "preview"))
    first = would(project, "--batch", "all=1/2")
    assert first == both - Counter((rule, SIDE) for rule in ("index", "preview")), "the other batch's, as far as needed"


@pytest.mark.slow
def test_snakemake_makes_the_frontal_node_anew_with_the_sagittal_one(project: Project) -> None:
    target = f"results/store.zarr/{FRONT}/gait/zarr.json"
    done = project.snakemake(target, "--quiet", "rules")
    assert done.returncode == 0, done.stderr[-3000:]
    assert would(project, target) == Counter()
    assert would(project, f"results/store.zarr/{SIDE}/gait/zarr.json") == Counter()

    project.sheet("video | sync_offset_s\n P_1_front.mp4 | 0.5\n P_1_side.mp4 | -0.5")
    assert would(project, target) == Counter([("gait", FRONT)])
    project.sheet("video | sync_offset_s\n P_1_front.mp4 | 0.25\n P_1_side.mp4 | -0.5")
    video = project.data / "P_1_side.mp4"
    Film(GAITS["shuffling"], frames=6, size=(320, 180), seed=7).write(video)
    assert would(project, target) == Counter([*((rule, SIDE) for rule in CHAIN), ("gait", FRONT)])
