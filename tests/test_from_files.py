"""Nodes made from files: other people's annotations, and corrections by hand; through `derive`, as a run makes them."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import footage
import numpy as np
import pytest
from gaitloom import config, verify
from gaitloom.cli import app
from gaitloom.clips import NodeKey
from gaitloom.derive import derive
from gaitloom.errors import GaitloomError
from gaitloom.exchange import Person, alphapose, cgv, coco, cvat, health_gait, progait
from gaitloom.keypoint_formats import BLAZEPOSE_33, COCO_17, HALPE_26, WHOLEBODY_23
from gaitloom.plan import Plan
from gaitloom.status import ledger
from gaitloom.store import Node, Store
from typer.testing import CliRunner
from walker import GAITS, Walk

WALK = Walk(GAITS["normal"], frames=6, fps=10, size=(320, 240), seed=1)
LENGTH, SIZE = 6, (320, 240)


class Data:
    """A project of one clip of the synthetic walker, made in this process."""

    def __init__(self, folder: Path, nodes: dict[str, Any]):
        self.folder = folder
        (folder / "data").mkdir()
        footage.write(folder / "data" / "P1_01.mp4", WALK.frames())
        self.values: dict[str, Any] = {
            "results": str(folder / "results"),
            "clips": {"folders": [str(folder / "data")], "pattern": "{subject}_{trial}"},
            "nodes": {"track": {"backend": "blazepose"}, **nodes},
            "accept_licences": ["AlphaPose (non-commercial)", *LICENCES],
        }
        self.store = Store(folder / "results")

    @property
    def plan(self) -> Plan:
        return Plan.load(self.values, scan=True)

    def make(self, node: str) -> Node:
        """Derive a node and what it reads, where they are not there as planned."""
        plan = self.plan
        for name in plan.nodes:
            key = NodeKey("P1", "trial-01", name)
            if name == node or (name in needed(plan, node) and self.store.digest(key) != plan.planned(key)):
                derive(plan, key, plan.digests_of("P1/trial-01")[name])
                assert verify.faults(self.store, key) == []
        return self.store.open(NodeKey("P1", "trial-01", node))

    def gaitloom(self, *args: str) -> Any:
        path = self.folder / "config.json"
        path.write_text(json.dumps(self.values))
        command, *rest = args
        return CliRunner().invoke(app, [command, "--config", str(path), *rest], catch_exceptions=False)


LICENCES = (
    "as the data are (ProGait: CC BY-NC-SA 4.0)",
    "as the data are (ChildGait-Video: CC BY-NC 4.0)",
    "as the data are (Health&Gait: non-commercial)",
)


def needed(plan: Plan, node: str) -> set[str]:
    below = set(plan.reads[node].values())
    return below.union(*(needed(plan, n) for n in below)) if below else below


@pytest.fixture
def data(tmp_path: Path) -> Callable[..., Data]:
    return lambda **nodes: Data(tmp_path, nodes)


def truth(names: tuple[str, ...] = WHOLEBODY_23.points) -> Person:
    """The walker's own points under these names; those that it does not have are absent."""
    where = {name: i for i, name in enumerate(WHOLEBODY_23.points)}
    xy = np.full((LENGTH, len(names), 2), np.nan, np.float32)
    for k, name in enumerate(names):
        if name in where:
            xy[:, k] = WALK.keypoints[:LENGTH, where[name]]
    there = np.isfinite(xy[..., 0])
    return Person(xy, np.where(there, np.float32(0.75), 0).astype(np.float32), names)


def masks() -> Iterator[np.ndarray]:
    return (WALK.silhouette(t) for t in range(LENGTH))


KEYPOINTS = {
    "alphapose_results": (
        COCO_17.points,
        lambda path: alphapose.write_results(path, truth(COCO_17.points)),
    ),
    "progait": (WHOLEBODY_23.points, lambda path: progait.write_keypoints(path, truth())),
    "cgv": (HALPE_26.points, lambda path: cgv.write(path, truth(HALPE_26.points), SIZE, 10, "x")),
    "health_gait": (COCO_17.points, lambda path: health_gait.write_pose(path, truth(COCO_17.points))),
}


@pytest.mark.parametrize("backend", KEYPOINTS)
def test_existing_points_become_a_node(data: Callable[..., Data], tmp_path: Path, backend: str) -> None:
    names, write = KEYPOINTS[backend]
    made = data(keypoints={"backend": backend, "backend_options": {"file": f"{tmp_path}/{{subject}}/{{trial}}.json"}})
    write(tmp_path / "P1" / "01.json")
    node = made.make("keypoints")
    expected = truth(names).xy
    assert tuple(node.attributes["keypoint_names"]) == names
    np.testing.assert_allclose(node.load("xy"), expected, atol=1e-3)
    np.testing.assert_allclose(node.load("xy_23")[:, :17], truth().xy[:, :17], atol=1e-3)
    feet = node.load("xy_23")[:, 17:]
    if names is COCO_17.points:
        assert np.isnan(feet).all()
    else:
        np.testing.assert_allclose(feet, truth().xy[:, 17:], atol=1e-3)
    assert node.load("valid").all()


@pytest.mark.parametrize(("backend", "name"), [("progait", "m.npy.gz"), ("health_gait", "m")])
def test_existing_masks_become_a_node(data: Callable[..., Data], tmp_path: Path, backend: str, name: str) -> None:
    made = data(silhouette={"backend": backend, "backend_options": {"file": f"{tmp_path}/{{subject}}/{name}"}})
    place = tmp_path / "P1" / name
    place.parent.mkdir()
    if backend == "progait":
        progait.write_masks(place, masks(), LENGTH, SIZE)
    else:
        health_gait.write_silhouettes(place, masks(), LENGTH, SIZE)
    stored = made.make("silhouette").load("mask")
    for t, mask in enumerate(masks()):
        np.testing.assert_array_equal(stored[t], mask)


def test_existing_parts_become_a_node(data: Callable[..., Data], tmp_path: Path) -> None:
    made = data(parts={"backend": "health_gait", "backend_options": {"file": f"{tmp_path}/{{subject}}/parts"}})
    health_gait.write_parts(tmp_path / "P1" / "parts", (WALK.parts(t) for t in range(LENGTH)), LENGTH, SIZE)
    node = made.make("parts")
    assert node.attributes["label_space"] == "densepose_coarse_14"
    for t, label in enumerate(node.load("label")):
        np.testing.assert_array_equal(label, WALK.parts(t))


def test_a_missing_file_fails_this_clip_in_one_sentence(data: Callable[..., Data], tmp_path: Path) -> None:
    made = data(keypoints={"backend": "progait", "backend_options": {"file": f"{tmp_path}/{{subject}}.npy.gz"}})
    with pytest.raises(GaitloomError, match=r"P1\.npy\.gz is not there; put it there, or correct .*file\.$"):
        made.make("keypoints")


def test_a_pattern_that_the_clip_cannot_fill_is_named(data: Callable[..., Data], tmp_path: Path) -> None:
    made = data(keypoints={"backend": "progait", "backend_options": {"file": f"{tmp_path}/{{speed}}.npy.gz"}})
    with pytest.raises(GaitloomError, match=r"has no 'speed' for .*give it in the clip sheet"):
        made.make("keypoints")


def test_the_files_content_is_in_the_recipe_and_their_place_is_not(data: Callable[..., Data], tmp_path: Path) -> None:
    made = data(keypoints={"backend": "progait", "backend_options": {"file": f"{tmp_path}/a.npy.gz"}})
    progait.write_keypoints(tmp_path / "a.npy.gz", truth())
    first = made.plan.digests_of("P1/trial-01")
    (tmp_path / "a.npy.gz").rename(tmp_path / "b.npy.gz")
    made.values["nodes"]["keypoints"]["backend_options"]["file"] = f"{tmp_path}/b.npy.gz"
    assert made.plan.digests_of("P1/trial-01") == first
    progait.write_keypoints(tmp_path / "b.npy.gz", Person(truth().xy + 1, truth().score, truth().names))
    second = made.plan.digests_of("P1/trial-01")
    assert {n for n in first if first[n] != second[n]} == {"keypoints"}
    assert str(tmp_path) not in json.dumps(made.plan.recipes(made.plan.clip("P1/trial-01")))


def test_unchanged_files_are_not_read_again(
    data: Callable[..., Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = data(keypoints={"backend": "progait", "backend_options": {"file": f"{tmp_path}/a.npy.gz"}})
    progait.write_keypoints(tmp_path / "a.npy.gz", truth())
    expected = made.plan.digests_of("P1/trial-01")

    def refuse(*args: Any) -> None:
        raise AssertionError("a file was read again")

    monkeypatch.setattr("gaitloom.clip_files.hashlib.file_digest", refuse)
    assert made.plan.digests_of("P1/trial-01") == expected


# corrections by hand


@pytest.fixture
def corrected(data: Callable[..., Data], tmp_path: Path) -> Data:
    """A base of BlazePose's own 33 points, and a manual node over it."""
    made = data(
        keypoints={"backend": "cgv", "backend_options": {"file": f"{tmp_path}/base.json"}},
        keypoints_manual={"backend": "manual", "backend_options": {"folder": str(tmp_path / "corrections")}},
    )
    cgv.write(tmp_path / "base.json", truth(BLAZEPOSE_33.points), SIZE, 10, "x")
    return made


def hand_out(made: Data, layout: str = "cvat", node: str = "keypoints_manual") -> Path:
    made.make(made.plan.reads[node][node.partition("_")[0]])
    done = made.gaitloom("correct", node, "--as", layout)
    assert done.exit_code == 0, done.output
    return made.folder / "corrections" / "P1" / "trial-01"


def test_without_corrections_the_manual_node_is_its_base(corrected: Data) -> None:
    node = corrected.make("keypoints_manual")
    base = corrected.store.open(NodeKey("P1", "trial-01", "keypoints"))
    np.testing.assert_array_equal(node.load("xy"), base.load("xy"))
    assert not node.load("corrected").any()
    assert node.attributes["keypoint_names"] == base.attributes["keypoint_names"]


ENDINGS = {"cvat": ".xml", "coco": ".json", "progait": ".npy.gz"}


@pytest.mark.parametrize("layout", ENDINGS)
def test_what_comes_back_as_it_went_out_corrects_nothing(corrected: Data, layout: str) -> None:
    folder = hand_out(corrected, layout)
    exported = folder / f"keypoints.exported{ENDINGS[layout]}"
    shutil.copy(exported, folder / f"keypoints{ENDINGS[layout]}")
    node = corrected.make("keypoints_manual")
    base = corrected.store.open(NodeKey("P1", "trial-01", "keypoints"))
    view = "xy_23" if layout == "progait" else "xy"
    np.testing.assert_array_equal(node.load(view), base.load(view))
    assert not node.load("corrected").any()


def correct_by_hand(folder: Path, change: Callable[[np.ndarray], None]) -> None:
    """As an annotator in CVAT: load the export, move points, save, coordinates at CVAT's two decimals."""
    out = cvat.read_keypoints(folder / "keypoints.exported.xml", LENGTH, SIZE, BLAZEPOSE_33.points)
    xy = out.xy.copy()
    change(xy)
    there = np.isfinite(xy[..., 0])
    person = Person(np.round(xy, 2), np.where(there, np.float32(1), 0).astype(np.float32), out.names)
    cvat.write(folder / "keypoints.xml", LENGTH, SIZE, person)


def test_corrected_points_replace_the_bases_and_nothing_else_does(corrected: Data) -> None:
    folder = hand_out(corrected)
    knee = BLAZEPOSE_33.points.index("left_knee")

    def change(xy: np.ndarray) -> None:
        xy[2, knee] = (12.25, 34.5)
        xy[3, knee] = np.nan

    correct_by_hand(folder, change)
    node = corrected.make("keypoints_manual")
    base = corrected.store.open(NodeKey("P1", "trial-01", "keypoints"))
    moved = node.load("corrected")
    assert list(map(tuple, np.argwhere(moved))) == [(2, knee), (3, knee)]
    assert node.load("xy")[2, knee].tolist() == [12.25, 34.5] and node.load("score")[2, knee] == 1
    assert np.isnan(node.load("xy")[3, knee]).all() and node.load("score")[3, knee] == 0
    np.testing.assert_array_equal(node.load("xy")[~moved], base.load("xy")[~moved])
    knee_23 = WHOLEBODY_23.points.index("left_knee")
    assert node.load("xy_23")[2, knee_23].tolist() == [12.25, 34.5]
    assert node.attributes["corrections_stale"] is False


def test_a_changed_base_marks_corrections_stale_and_keeps_them(corrected: Data, tmp_path: Path) -> None:
    folder = hand_out(corrected)
    knee, nose = (BLAZEPOSE_33.points.index(p) for p in ("left_knee", "nose"))
    correct_by_hand(folder, lambda xy: xy[2, knee].__setitem__(slice(None), (12.25, 34.5)))
    about = json.loads((folder / "keypoints.about.json").read_text())
    (folder / "keypoints.about.json").write_text(json.dumps({**about, "annotator": "A1", "reviewer": "B2"}))
    person = truth(BLAZEPOSE_33.points)
    cgv.write(tmp_path / "base.json", Person(person.xy + 3, person.score, person.names), SIZE, 10, "x")
    node = corrected.make("keypoints_manual")
    assert node.attributes["corrections_stale"] is True
    assert (node.attributes["annotator"], node.attributes["reviewer"]) == ("A1", "B2")
    assert node.load("xy")[2, knee].tolist() == [12.25, 34.5]
    np.testing.assert_allclose(node.load("xy")[2, nose], person.xy[2, nose] + 3, atol=1e-3)
    (row,) = [r for r in ledger(corrected.plan) if r.node == "keypoints_manual"]
    assert row.state == "done" and "its corrections were made on another base" in row.reason
    now = node.attributes["recipe"]["inputs"]["keypoints"]
    assert now in row.reason
    (folder / "keypoints.about.json").write_text(json.dumps({**about, "base": now}))
    assert corrected.make("keypoints_manual").attributes["corrections_stale"] is False


def test_clips_that_were_corrected_are_not_handed_out_again(corrected: Data) -> None:
    folder = hand_out(corrected)
    correct_by_hand(folder, lambda xy: None)
    before = (folder / "keypoints.exported.xml").read_bytes()
    done = corrected.gaitloom("correct", "keypoints_manual")
    assert "has been corrected; to begin anew, move" in done.stderr
    assert (folder / "keypoints.exported.xml").read_bytes() == before


def test_two_corrected_files_are_refused(corrected: Data) -> None:
    folder = hand_out(corrected)
    correct_by_hand(folder, lambda xy: None)
    coco.write(folder / "keypoints.json", LENGTH, SIZE, truth())
    with pytest.raises(GaitloomError, match=r"keypoints\.xml and keypoints\.json both hold corrections; keep one"):
        corrected.make("keypoints_manual")


def test_labels_without_an_export_are_all_the_humans(corrected: Data) -> None:
    folder = corrected.folder / "corrections" / "P1" / "trial-01"
    progait.write_keypoints(folder / "keypoints.npy.gz", Person(truth().xy + 5, truth().score, truth().names))
    node = corrected.make("keypoints_manual")
    assert tuple(node.attributes["keypoint_names"]) == WHOLEBODY_23.points
    assert node.load("corrected").all()
    np.testing.assert_allclose(node.load("xy"), truth().xy + 5, atol=1e-3)


def test_others_read_the_manual_node_where_there_is_one() -> None:
    nodes: dict[str, Any] = {
        "track": {"backend": "blazepose"},
        "keypoints": {"backend": "blazepose"},
        "silhouette": {"backend": "blazepose"},
        "parts": {"backend": "skeleton"},
    }
    clips = {"folders": ["x"], "pattern": "{subject}"}
    plain = config.parse({"clips": clips, "nodes": nodes})
    assert plain.reads_of("parts")["keypoints"] == "keypoints"
    manual = config.parse({"clips": clips, "nodes": {**nodes, "keypoints_manual": {"backend": "manual"}}})
    assert manual.reads_of("parts")["keypoints"] == "keypoints_manual"
    assert manual.reads_of("parts")["silhouette"] == "silhouette"
    assert manual.reads_of("keypoints_manual")["keypoints"] == "keypoints"
    chosen = {**nodes, "keypoints_manual": {"backend": "manual"}}
    chosen["parts"] = {"backend": "skeleton", "reads": {"keypoints": "keypoints"}}
    assert config.parse({"clips": clips, "nodes": chosen}).reads_of("parts")["keypoints"] == "keypoints"


@pytest.mark.parametrize("layout", ENDINGS)
def test_corrected_masks_replace_the_bases(data: Callable[..., Data], tmp_path: Path, layout: str) -> None:
    made = data(
        silhouette={"backend": "progait", "backend_options": {"file": f"{tmp_path}/m.npy.gz"}},
        silhouette_manual={"backend": "manual", "backend_options": {"folder": str(tmp_path / "corrections")}},
    )
    progait.write_masks(tmp_path / "m.npy.gz", masks(), LENGTH, SIZE)
    folder = hand_out(made, layout, "silhouette_manual")
    drawn = [m.copy() for m in masks()]
    drawn[1][20:60, 30:50] = True
    drawn[4][:] = False
    target = folder / f"silhouette{ENDINGS[layout]}"
    if layout == "progait":
        progait.write_masks(target, iter(drawn), LENGTH, SIZE)
    else:
        (cvat if layout == "cvat" else coco).write(target, LENGTH, SIZE, masks=iter(drawn))
    node = made.make("silhouette_manual")
    assert np.flatnonzero(node.load("corrected")).tolist() == [1, 4]
    for t, mask in enumerate(drawn):
        np.testing.assert_array_equal(node.load("mask")[t], mask)
    assert node.load("valid").tolist() == [True, True, True, True, False, True]


# export


def test_alphapose_json_reads_back_equal_in_the_backends_own_points(corrected: Data, tmp_path: Path) -> None:
    node = corrected.make("keypoints")
    done = corrected.gaitloom("export", "keypoints", "--to", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    back = alphapose.read_results(tmp_path / "out/P1/trial-01/alphapose-results.json", LENGTH)
    assert back.names == BLAZEPOSE_33.points
    np.testing.assert_array_equal(back.xy, node.load("xy"))
    np.testing.assert_array_equal(back.score, node.load("score"))


@pytest.mark.parametrize("form", ["cmu", "open"])
def test_openposes_forms_come_from_coco_17_by_name(corrected: Data, tmp_path: Path, form: str) -> None:
    node = corrected.make("keypoints")
    assert corrected.gaitloom("export", "keypoints", "--as", form, "--to", str(tmp_path / "out")).exit_code == 0
    back = alphapose.read_results(tmp_path / "out/P1/trial-01/alphapose-results.json", LENGTH)
    for name in COCO_17.points:
        found = back.xy[:, back.names.index(name)]
        np.testing.assert_array_equal(found, node.load("xy_23")[:, WHOLEBODY_23.points.index(name)])
    shoulders = node.load("xy_23")[:, [5, 6]].mean(axis=1)
    np.testing.assert_allclose(back.xy[:, back.names.index("neck")], shoulders, atol=1e-3)


def test_only_keypoints_can_be_exported(corrected: Data) -> None:
    corrected.make("track")
    with pytest.raises(GaitloomError, match="'track' is not a keypoints node of the plan; choose from: keypoints, key"):
        corrected.gaitloom("export", "track")
