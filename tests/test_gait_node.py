"""The gait node as a run makes it, what its recipe depends on, and the table that is made of many."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import footage
import numpy as np
import pytest
import xarray
from gait_walkers import PICTURE, Setting, Walker
from gaitloom import backends, keypoint_formats
from gaitloom.backends import Spec
from gaitloom.backends.gait import events as by_events
from gaitloom.derive import derive
from gaitloom.errors import GaitloomError
from gaitloom.gait import summary
from gaitloom.modalities import gait as modality
from gaitloom.plan import Plan
from gaitloom.store import Node, Store
from gaitloom.strict import Strict
from gaitloom.tracking import People
from gaitloom.verify import faults
from walker import GAITS

WALKER = Walker(GAITS["normal"], Setting(fps=25), 10, seed=5)
NAMES = list(summary.PARAMETERS)


class NoOptions(Strict):
    """None."""


@dataclass
class World:
    """Keypoints come from the walker, whatever the pictures show; the pictures are small and all alike."""

    xy: np.ndarray = field(default_factory=lambda: WALKER.keypoints * 0.1)

    def people(self, images: Any) -> Any:
        for _ in images:
            yield People(np.array([[5, 5, 150, 100]], np.float32), np.ones(1, np.float32))

    def points(self, people: Any) -> Any:
        for xy, _ in zip(self.xy, people, strict=False):
            yield np.column_stack([xy, np.ones(23)]).astype(np.float32)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made, find = World(), backends.find

    class Backend:
        format = keypoint_formats.WHOLEBODY_23
        score_kind = "truth"

        def __init__(self, options: NoOptions):
            self.people, self.points = made.people, made.points

    stub = SimpleNamespace(SPEC=Spec(1, NoOptions, ("numpy",), "none"), Backend=Backend)
    monkeypatch.setattr(backends, "find", lambda m, n: stub if m in ("track", "keypoints") else find(m, n))
    return made


def camera() -> dict[str, Any]:
    ends = (WALKER.path[0] - 0.3, WALKER.path[1] + 0.3)
    lines = [[[0.1 * v for v in p] for p in WALKER.floor((x, -0.4), (x, 0.4))] for x in ends]
    return {"view": "sagittal", "walkway": {"start": lines[0], "end": lines[1], "metres": ends[1] - ends[0]}}


def plan_of(folder: Path, sheet: str = "", **more: Any) -> Plan:
    (folder / "data").mkdir(exist_ok=True, parents=True)
    video = folder / "data" / "P1_side.mp4"
    if not video.exists():
        size = (PICTURE[0] // 10, PICTURE[1] // 10)
        footage.write(video, [np.full((size[1], size[0], 3), 90, np.uint8)] * len(WALKER.time), rate=25)
    clips: dict[str, Any] = {"folders": [folder / "data"], "pattern": "{subject}_{camera}", "columns": ["height_cm"]}
    if sheet:
        (folder / "clips.tsv").write_text(sheet)
        clips["sheet"] = folder / "clips.tsv"
    nodes = {m: {"backend": "stub"} for m in ("track", "keypoints")} | {"gait": {"backend": "events"}}
    return Plan.load({"results": folder / "results", "clips": clips, "nodes": nodes, **more}, scan=True)


def made(plan: Plan, node: str = "gait") -> Node:
    clip = plan.clips[0]
    for name in plan.nodes:
        derive(plan, plan.key(clip, name), plan.digests_of(clip.path)[name])
    return Store(plan.config.results).open(plan.key(clip, node))


def test_the_node_holds_the_walkers_gait(world: World, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, cameras={"side": camera()})
    node = made(plan)
    assert node.attributes["reason"] == "" and node.attributes["scale"] == "walkway"
    mean = dict(zip(node.attributes["parameter_names"], node.load("summary_mean")[0], strict=True))
    for name, most in (("speed", 0.03), ("cadence", 1.5), ("step_length", 0.02), ("stride_time", 0.02)):
        assert mean[name] == pytest.approx(WALKER.parameters[name], abs=most)
    contacts = node.load("event_time")[(node.load("event_kind") == 0) & (node.load("event_foot") == 0)]
    true = WALKER.events("contact", "left")
    inner = true[(true > 0.2) & (true < WALKER.time[-1] - 0.2)]
    assert np.abs(contacts[:, None] - inner).min(axis=0).max() < 0.04
    np.testing.assert_allclose(node.load("event_frame"), node.load("event_time") * 25, atol=1e-3)
    assert (node.load("event_far") == (node.load("event_foot") == 0)).all(), "the camera stands at the right"
    assert node.load("valid").all()
    assert node.load("cycle").shape[1:] == (4, 101)
    assert {n: tuple(a.metadata.dimension_names) for n, a in node.arrays.items()} == modality.ARRAYS


def test_verify_is_content_and_xarray_opens_it(world: World, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, cameras={"side": camera()})
    made(plan)
    key = plan.key(plan.clips[0], "gait")
    assert faults(Store(plan.config.results), key) == []
    with xarray.open_zarr(Store(plan.config.results).path(key), consolidated=False) as dataset:
        assert dict(dataset.sizes)["parameter"] == len(NAMES)


def test_a_walk_that_is_none_is_a_node_with_a_reason(world: World, tmp_path: Path) -> None:
    world.xy = np.full_like(WALKER.keypoints, np.nan)
    node = made(plan_of(tmp_path))
    assert node.attributes["reason"] == "nobody was posed"
    assert set(node.attributes["reasons"]) == set(NAMES)
    assert not node.load("valid").any() and len(node.load("event_time")) == 0
    assert not np.isfinite(node.load("summary_mean")).any()


def test_two_runs_are_the_same(world: World, tmp_path: Path) -> None:
    first, second = (made(plan_of(tmp_path / name, cameras={"side": camera()})) for name in "ab")
    for array in modality.ARRAYS:
        np.testing.assert_array_equal(first.load(array), second.load(array))


def test_the_recipe_knows_camera_and_height_and_nothing_else_does(world: World, tmp_path: Path) -> None:
    plain = plan_of(tmp_path)
    clip = plain.clips[0].path
    scaled = plan_of(tmp_path, cameras={"side": camera()})
    tall = plan_of(tmp_path, sheet="video\theight_cm\nP1_side.mp4\t175\n")
    digests = [p.digests_of(clip) for p in (plain, scaled, tall)]
    assert len({d["gait"] for d in digests}) == 3
    assert len({d["keypoints"] for d in digests}) == 1
    other = plan_of(tmp_path, cameras={"front": camera()})
    assert other.digests_of(clip)["gait"] == digests[0]["gait"], "another camera is none of this clip's business"


def test_body_height_is_a_scale_with_a_wider_error(world: World, tmp_path: Path) -> None:
    node = made(plan_of(tmp_path, sheet="video\theight_cm\nP1_side.mp4\t175\n"))
    assert (node.attributes["scale"], node.attributes["scale_error"]) == ("height", 0.05)
    at = NAMES.index("stride_length")
    assert node.load("summary_mean")[0, at] == pytest.approx(WALKER.gait.stride_length, rel=0.06)


def test_a_calibrations_numbers_are_in_the_recipe_and_its_path_is_not(world: World, tmp_path: Path) -> None:
    file = tmp_path / "secret_place.toml"
    text = "[cam]\nmatrix = [[900.0, 0.0, 96.0], [0.0, 900.0, 54.0], [0.0, 0.0, 1.0]]\ndistortions = [-0.1, 0, 0, 0]\n"
    file.write_text(text)
    first = plan_of(tmp_path, cameras={"side": {"calibration": file}})
    clip = first.clips[0]
    assert first.recipes(clip)["gait"]["scene"]["camera"]["intrinsics"]["fx"] == 900
    assert "secret_place" not in repr((first.recipes(clip), first.clip_attributes(clip)))
    file.write_text(text.replace("900.0", "901.0"))
    second = plan_of(tmp_path, cameras={"side": {"calibration": file}})
    assert second.digests_of(clip.path)["gait"] != first.digests_of(clip.path)["gait"]
    with pytest.raises(
        GaitloomError, match=r"There is no calibration at .*gone.toml; correct cameras.<name>.calibration"
    ):
        plan_of(tmp_path, cameras={"side": {"calibration": tmp_path / "gone.toml"}})


def stand_in(mean: float, sd: float, n: int, scale: str = "walkway", reason: str = "") -> Any:
    """A node with one parameter, speed, of both sides."""
    whole = summary.empty(reason)
    at = NAMES.index("speed")
    if n:
        whole.mean[0, at], whole.sd[0, at], whole.n[0, at] = mean, sd, n
    arrays = {"summary_mean": whole.mean, "summary_sd": whole.sd, "summary_n": whole.n}
    return SimpleNamespace(load=arrays.__getitem__, attributes={"scale": scale, "reasons": {"speed": reason}})


def test_the_report_pools_by_subject_and_condition() -> None:
    """As if all steps were one sample."""
    rng = np.random.default_rng(4)
    one, other = rng.normal(1.2, 0.1, 6), rng.normal(1.3, 0.1, 9)
    nodes = [({"subject": "P1", "condition": "usual"}, stand_in(x.mean(), x.std(ddof=1), len(x))) for x in (one, other)]
    nodes += [
        ({"subject": "P1", "condition": "fast"}, stand_in(1.9, 0.1, 5)),
        ({"subject": "P1", "condition": "usual"}, stand_in(2.9, 0.1, 5, scale="height")),
        ({"subject": "P2", "condition": "usual"}, stand_in(0, 0, 0, "none", "the walker turns")),
    ]
    rows = [r for r in summary.report(nodes) if r["parameter"] == "speed" and r["side"] == "both"]
    found = {(r["subject"], r["condition"], r["scale"]): r for r in rows}
    usual = found["P1", "usual", "walkway"]
    together = np.concatenate([one, other])
    assert (usual["mean"], usual["sd"]) == pytest.approx((together.mean(), together.std(ddof=1)))
    assert (usual["n"], usual["clips"], usual["unit"]) == (15, 2, "m s-1")
    assert found["P1", "fast", "walkway"]["mean"] == pytest.approx(1.9)
    assert found["P1", "usual", "height"]["n"] == 5, "clips of another scale are another row"
    none = found["P2", "usual", "none"]
    assert (none["n"], none["reason"]) == (0, "the walker turns") and np.isnan(none["mean"])
    assert set(usual) == set(summary.REPORT)


def test_the_backend_takes_walks_as_they_come() -> None:
    backend = by_events.Backend(by_events.Options())
    found = list(backend.gaits(iter([WALKER.walk(), WALKER.walk("height")])))
    assert [g.notes["scale"] for g in found] == ["walkway", "height"]
