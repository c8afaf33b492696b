"""`gaitloom verify`: every kind of damage is named with its node and file, and nothing sound is ever accused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gaitloom import clips, config, modalities, verify
from gaitloom.clips import Clip, NodeKey
from gaitloom.plan import Plan
from gaitloom.provenance import digest
from gaitloom.store import METADATA, Store, seal_of
from project import Project

LENGTH, WIDTH, HEIGHT = 12, 20, 15
SIZES = {
    "time": LENGTH,
    "axis": 2,
    "corner": 4,
    "keypoint": 33,
    "keypoint_23": 23,
    "person": LENGTH,
    "y": HEIGHT,
    "x": WIDTH,
    "row": 6,
    "column": 8,
}
FRAMES = ("mask", "flow")  # the arrays that are streamed
TYPES = {"valid": bool, "mask": bool, "swap": bool, "flow": np.int16, "pts": np.int64, "saturated": np.int32}
NODES = {
    "track": {"backend": "blazepose"},
    "keypoints": {"backend": "blazepose"},
    "silhouette": {"backend": "blazepose"},
    "flow_tvl1": {"backend": "tvl1_opencv"},
}
CLIP = Clip("P1", trial="1", video="/nowhere/walk.mp4", sha256="0" * 64)
OTHER = Clip("P2", trial="1", video="/nowhere/walk2.mp4", sha256="1" * 64)
TIME = np.arange(LENGTH) / 25


def planned(results: Path, **nodes: Any) -> Plan:
    values = {"results": results, "clips": {"folders": ["data"]}, "nodes": {**NODES, **nodes}}
    return Plan(config.parse(values), [CLIP, OTHER])


def make(plan: Plan, clip: Clip, node: str, time: np.ndarray = TIME, **arrays: np.ndarray) -> NodeKey:
    """Publish a node of plausible arrays; `arrays` replace or add some."""
    recipe = plan.recipes(clip)[node]
    dims = modalities.find(recipe["modality"]).ARRAYS
    rng = np.random.default_rng(3)
    staged = Store(plan.config.results).stage(plan.key(clip, node))
    for name in sorted({*dims, *arrays}):
        shape = [SIZES[d] for d in dims.get(name, ("time",))]
        values = time if name == "time" else rng.integers(0, 2, shape).astype(TYPES.get(name, np.float32))
        values = arrays.get(name, values)
        if name in FRAMES:
            stream = staged.stream(name, values.shape, values.dtype, dims[name])
            for frame in values:
                stream.append(frame)
        else:
            staged.put(name, values, dims.get(name, ("time",)))
    staged.publish(recipe, {"modality": recipe["modality"]})
    return plan.key(clip, node)


def index(plan: Plan, clip: Clip) -> None:
    Store(plan.config.results).write_index(clip.path, {"nodes": plan.digests_of(clip.path)}, plan.nodes)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of two clips with every node, indexed; copied by each test."""
    results = tmp_path_factory.mktemp("verify") / "results"
    plan = planned(results)
    for clip in (CLIP, OTHER):
        for node in plan.nodes:
            make(plan, clip, node)
        index(plan, clip)
    Store(results).write_root({"title": "t"})
    return results


@pytest.fixture
def plan(sound: Path, tmp_path: Path) -> Plan:
    shutil.copytree(sound, tmp_path / "results")
    return planned(tmp_path / "results")


@pytest.fixture
def store(plan: Plan) -> Store:
    return Store(plan.config.results)


def accused(plan: Plan, capsys: pytest.CaptureFixture[str], drop: bool = False) -> dict[str, list[str]]:
    """Node or clip → what verify prints of it; the exit code must say whether there was anything."""
    capsys.readouterr()
    code = verify.main(plan, drop)
    found: dict[str, list[str]] = {}
    for line in capsys.readouterr().out.splitlines():
        found.setdefault(line.split()[0], []).append(line.split(" ", 1)[1])
    assert code == bool(found)
    return found


def everything(store: Store) -> set[str]:
    return {str(k) for k in store.list()}


def edit(folder: Path, change: Callable[[dict[str, Any]], Any], reseal: bool = False) -> None:
    """Change a group's metadata; with `reseal`, as someone would who knows the seal."""
    document = json.loads((folder / METADATA).read_text())
    change(document)
    if reseal:
        document["attributes"]["seal"] = seal_of(document)
    (folder / METADATA).write_text(json.dumps(document, indent=1, ensure_ascii=False))


def test_a_sound_store_is_sound(plan: Plan, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(store.list()) == 10
    assert accused(plan, capsys) == {}


@pytest.mark.parametrize("node", ["video", *NODES])
def test_a_flipped_byte_is_found_in_every_file(
    plan: Plan, store: Store, capsys: pytest.CaptureFixture[str], node: str
) -> None:
    """At the first, middle and last byte of each file, and at every 7th byte of the small ones."""
    key = plan.key(CLIP, node)
    folder = store.path(key)
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    assert len(paths) > 2 * len(modalities.find(config.modality_of(node)).ARRAYS) - 1
    for path in paths:
        name, data = path.relative_to(folder).as_posix(), path.read_bytes()
        step = 7 if name == METADATA else max(1, len(data) // 5)
        for offset in sorted({*range(0, len(data), step), len(data) // 2, len(data) - 1}):
            changed = bytearray(data)
            changed[offset] ^= 0x55
            path.write_bytes(changed)
            found = verify.faults(store, key)
            assert len(found) == 1 and name in found[0], (name, offset, found)
        if name == "time/c/0" or name == METADATA:  # whole run: the clip's other nodes are not to blame
            assert list(accused(plan, capsys)) in ([str(key)], [str(key), CLIP.path])
        path.write_bytes(data)
    assert verify.faults(store, key) == []


@pytest.mark.parametrize("node", ["video", "silhouette"])
def test_a_missing_file_is_named(plan: Plan, store: Store, capsys: pytest.CaptureFixture[str], node: str) -> None:
    key = plan.key(CLIP, node)
    folder = store.path(key)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        path.unlink()
        found = accused(plan, capsys)
        assert set(found) - {CLIP.path} == {str(key)}
        assert path.relative_to(folder).as_posix() in found[str(key)][0]
        path.write_bytes(data)
    assert accused(plan, capsys) == {}


@pytest.mark.parametrize("extra", ["notes.txt", "mask/c/9/0/0", "again/zarr.json"])
def test_an_extra_file_is_named(plan: Plan, store: Store, capsys: pytest.CaptureFixture[str], extra: str) -> None:
    key = plan.key(CLIP, "silhouette")
    path = store.path(key) / extra
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    assert accused(plan, capsys) == {str(key): [f"has a file that does not belong to it: {extra}"]}


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["attributes"].update(modality="track"),
        lambda d: d["attributes"].update(subject_id=3),
        lambda d: d["attributes"].pop("Conventions"),
        lambda d: d["attributes"]["recipe"].update(backend="another"),
        lambda d: d["attributes"]["checksums"].popitem(),
        lambda d: d["consolidated_metadata"]["metadata"]["mask"].update(shape=[3, 15, 20]),
    ],
)
def test_changed_metadata_breaks_the_seal(
    plan: Plan, store: Store, capsys: pytest.CaptureFixture[str], change: Callable
) -> None:
    key = plan.key(CLIP, "silhouette")
    edit(store.path(key), change)
    assert accused(plan, capsys)[str(key)] == [f"has a changed {METADATA}: its seal does not match"]


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"attributes": 3}', "not json", "\xff"])
def test_a_node_without_readable_metadata_is_named(
    plan: Plan, store: Store, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    key = plan.key(CLIP, "track")
    (store.path(key) / METADATA).write_bytes(content.encode("latin-1"))
    assert "unreadable" in accused(plan, capsys)[str(key)][0]


def test_an_edited_recipe_is_found_even_with_its_seal(
    plan: Plan, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    key = plan.key(CLIP, "silhouette")
    edit(store.path(key), lambda d: d["attributes"]["recipe"].update(licence="MIT"), reseal=True)
    assert "has a recipe that does not match its digest" in accused(plan, capsys)[str(key)]


def test_a_recipe_edited_with_digest_and_seal_is_stale(
    plan: Plan, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    key = plan.key(CLIP, "silhouette")

    def change(document: dict[str, Any]) -> None:
        attributes = document["attributes"]
        attributes["recipe"]["licence"] = "MIT"
        attributes["recipe_digest"] = digest(attributes["recipe"])

    edit(store.path(key), change, reseal=True)
    assert accused(plan, capsys)[str(key)] == ["is stale: the plan has another recipe for it"]


def test_a_changed_option_makes_its_nodes_stale(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    changed = planned(plan.config.results, flow_tvl1={"backend": "tvl1_opencv", "options": {"longest_side": 64}})
    assert accused(changed, capsys) == {
        f"{clip.path}/flow_tvl1": ["is stale: the plan has another recipe for it"] for clip in (CLIP, OTHER)
    }


def test_an_unplanned_node_is_judged_by_itself(plan: Plan, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    fewer = Plan(plan.config, [CLIP])
    assert accused(fewer, capsys) == {}
    key = plan.key(OTHER, "track")
    (store.path(key) / "score" / "c" / "0").write_bytes(b"")
    assert list(accused(fewer, capsys)) == [str(key)]


def rebuilt(plan: Plan, node: str, **made: Any) -> NodeKey:
    """Drop one node of the first clip and make it anew, otherwise."""
    Store(plan.config.results).drop(plan.key(CLIP, node))
    return make(plan, CLIP, node, **made)


@pytest.mark.parametrize(
    ("node", "made", "fault"),
    [
        ("keypoints", {"swap": np.zeros(LENGTH - 1, bool)}, "array swap has 11 frames, the time axis 12"),
        ("silhouette", {"mask": np.ones((13, HEIGHT, WIDTH), bool)}, "array mask has 13 frames, the time axis 12"),
        ("track", {"unheard_of": np.zeros(LENGTH)}, "has an unknown array unheard_of"),
        ("keypoints", {"time": TIME + 0.001}, "has another time axis than its clip's video node"),
        ("keypoints", {"time": TIME[:-1]}, "has another time axis than its clip's video node"),
    ],
)  # fmt: skip
def test_arrays_that_break_the_schema(
    plan: Plan, capsys: pytest.CaptureFixture[str], node: str, made: dict[str, Any], fault: str
) -> None:
    key = rebuilt(plan, node, **made)
    found = accused(plan, capsys)
    assert list(found) == [str(key)]
    assert fault in found[str(key)]


def test_missing_and_misnamed_arrays(plan: Plan, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    key = plan.key(CLIP, "video")
    store.drop(key)
    staged = store.stage(key)
    staged.put("time", TIME, ("frame",))
    staged.publish(plan.recipes(CLIP)["video"], {"modality": "video"})
    found = accused(plan, capsys)
    assert found == {str(key): ["lacks array pts", "array time has the dimensions ('frame',), not ('time',)"]}


@pytest.mark.parametrize("folder", [False, True])
def test_nodes_without_their_video_node(
    plan: Plan, store: Store, capsys: pytest.CaptureFixture[str], folder: bool
) -> None:
    """An empty folder, as Snakemake makes ahead of a job, is no node."""
    store.drop(plan.key(CLIP, "video"))
    if folder:
        store.path(plan.key(CLIP, "video")).mkdir()
    found = accused(plan, capsys)
    for node in NODES:
        assert found.pop(f"{CLIP.path}/{node}") == ["stands without its clip's video node"]
    assert set(found) <= {f"{CLIP.path}/video"}


def test_an_index_that_lists_a_removed_node(plan: Plan, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(store.path(plan.key(CLIP, "silhouette")))
    assert accused(plan, capsys) == {CLIP.path: ["index lists silhouette, which is not there"]}
    accused(plan, capsys, drop=True)
    assert store.index(CLIP.path) is None
    assert store.index(OTHER.path) is not None
    assert accused(plan, capsys) == {}


def test_an_index_of_another_making(plan: Plan, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    before = (store.root / CLIP.path / METADATA).read_bytes()
    key = rebuilt(plan, "silhouette", mask=np.ones((LENGTH, HEIGHT, WIDTH), bool))
    (store.root / CLIP.path / METADATA).write_bytes(before)
    assert store.digest(key) is not None
    assert accused(plan, capsys) == {CLIP.path: ["index describes another silhouette than the one that is there"]}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda m: m["silhouette/mask"].update(shape=[3, 15, 20]), "index describes another silhouette"),
        (lambda m: m["track/box"]["attributes"].update(units="metre"), "index describes another track"),
        (lambda m: m.pop("flow_tvl1/flow"), "index describes another flow_tvl1"),
        (lambda m: m.pop("track"), "index describes another track"),
    ],
)
def test_an_index_that_tells_readers_something_else(
    plan: Plan, store: Store, capsys: pytest.CaptureFixture[str], change: Callable, fault: str
) -> None:
    """Readers believe the index, arrays included, before they look at a node."""
    edit(store.root / CLIP.path, lambda d: change(d["consolidated_metadata"]["metadata"]))
    found = accused(plan, capsys)
    assert list(found) == [CLIP.path]
    assert found[CLIP.path][0].startswith(fault)


@pytest.mark.parametrize("content", ["", "[]", "not json", '{"consolidated_metadata": 3}'])
def test_an_unreadable_index_is_named_and_dropped(
    plan: Plan, store: Store, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (store.root / CLIP.path / METADATA).write_text(content)
    before = everything(store)
    assert list(accused(plan, capsys)) == [CLIP.path]
    accused(plan, capsys, drop=True)
    assert accused(plan, capsys) == {}
    assert everything(store) == before


def test_drop_removes_exactly_the_bad(plan: Plan, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(store)
    (store.path(plan.key(CLIP, "track")) / "box" / "c" / "0" / "0").write_bytes(b"x")
    (store.path(plan.key(OTHER, "flow_tvl1")) / "extra").touch()
    bad = {f"{CLIP.path}/track", f"{OTHER.path}/flow_tvl1"}
    assert set(accused(plan, capsys, drop=False)) == bad
    assert everything(store) == before
    assert set(accused(plan, capsys, drop=True)) == bad
    assert everything(store) == before - bad
    assert store.index(CLIP.path) is None and store.index(OTHER.path) is None
    assert accused(plan, capsys) == {}


@pytest.mark.parametrize("damaged", ["time/c/0", METADATA])
def test_drop_of_a_damaged_video_node_spares_what_was_made_from_it(
    plan: Plan, store: Store, capsys: pytest.CaptureFixture[str], damaged: str
) -> None:
    before = everything(store)
    (store.path(plan.key(CLIP, "video")) / damaged).write_bytes(b"{")
    accused(plan, capsys, drop=True)
    assert everything(store) == before - {f"{CLIP.path}/video"}
    make(plan, CLIP, "video")
    index(plan, CLIP)
    assert accused(plan, capsys) == {}


def test_the_command_says_by_its_exit_code(sound: Path, project: Project) -> None:
    project.config["nodes"] = NODES
    shutil.copytree(sound, project.results)
    clips.write_sheet(project.results / "clips.tsv", [CLIP, OTHER])
    done = project.gaitloom("verify")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "10 nodes are sound" in done.stderr
    bad = project.store / CLIP.path / "silhouette" / "valid" / "c" / "0"
    bad.write_bytes(bad.read_bytes()[:-1])
    done = project.gaitloom("verify", "--drop")
    assert done.returncode == 1
    assert done.stdout == f"{CLIP.path}/silhouette has a changed valid/c/0: its SHA-256 does not match\n"
    assert not (project.store / CLIP.path / "silhouette").exists()
    assert project.gaitloom("verify").returncode == 0
