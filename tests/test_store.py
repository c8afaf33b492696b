"""The store: what is published reads as it was written, without GaitLoom, and nothing half-written ever shows."""

import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from gaitloom.clips import NodeKey
from gaitloom.errors import GaitloomError
from gaitloom.provenance import digest
from gaitloom.store import METADATA, Staged, Store, dimensions

LENGTH = 150  # two whole shards and a part of one
CLIP = "P1/ses-1_trial-2"
RECIPE = {"modality": "flow", "modality_version": 1}
RNG = np.random.default_rng(5)
TIME = np.arange(LENGTH) / 29.97
MASK = RNG.random((LENGTH, 7, 11)) < 0.3
FLOW = RNG.integers(-600, 600, (LENGTH, 5, 6, 2)).astype(np.int16)
FLOW[::3] = 0  # standing still is a value like any other
SCORE = np.where(RNG.random(LENGTH) < 0.2, np.nan, RNG.random(LENGTH)).astype(np.float32)
NOBODY = np.zeros((0, 4), np.float32)


def key(node: str) -> NodeKey:
    return NodeKey.parse(f"{CLIP}/{node}")


def fill(staged: Staged, frames: int = LENGTH) -> Staged:
    """The flow node's arrays, of which `frames` frames are appended."""
    staged.put("time", TIME, ("time",), units="s", standard_name="time")
    staged.put("score", SCORE, ("time",))
    staged.put("person_box", NOBODY, ("person", "corner"), units="pixel")
    mask = staged.stream("mask", MASK.shape, bool, ("time", "y", "x"), flag_values=[0, 1])
    flow = staged.stream("flow", FLOW.shape, np.int16, ("time", "row", "column", "axis"), scale_factor=1 / 64)
    for t in range(frames):
        mask.append(MASK[t % LENGTH])
        flow.append(FLOW[t % LENGTH])
    return staged


def video(staged: Staged) -> Staged:
    staged.put("time", TIME, ("time",), units="s")
    return staged


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of one clip with two nodes, indexed, with its root; only read."""
    store = Store(tmp_path_factory.mktemp("store") / "results")
    video(store.stage(key("video"))).publish({"modality": "video"}, {"fps": "2997/100"})
    fill(store.stage(key("flow"))).publish(RECIPE, {"region": [1, 2, 3, 4]})
    store.write_index(CLIP, {"subject": "P1", "qc": {"frames": LENGTH}}, ["video", "flow"])
    store.write_root({"title": "a store"})
    return store


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# What a colleague's notebook does: read everything with public libraries, in an interpreter that has no GaitLoom.
READER = """
import pickle, sys
sys.modules["gaitloom"] = None
try:
    import gaitloom
except ImportError:
    pass
else:
    raise SystemExit("gaitloom could be imported")
import numpy as np, xarray, zarr

root, clip, node = sys.argv[1:]
def rows(dataset):
    return {k: (tuple(v.dims), dict(v.attrs), np.asarray(v.values)) for k, v in dataset.variables.items()}
group = zarr.open_group(f"{root}/{clip}/{node}", mode="r")
found = {
    "zarr": {k: (a.metadata.dimension_names, dict(a.attrs), a[...]) for k, a in group.arrays()},
    "dataset": rows(xarray.open_zarr(f"{root}/{clip}/{node}")),
    "clip": {k.path: rows(k.dataset) for k in xarray.open_datatree(f"{root}/{clip}", engine="zarr").subtree},
    "store": {k.path: rows(k.dataset) for k in xarray.open_datatree(root, engine="zarr").subtree},
    "attributes": dict(group.attrs),
}
assert not any(m.split(".")[0] == "gaitloom" for m, v in sys.modules.items() if v is not None)
sys.stdout.buffer.write(pickle.dumps(found))
"""


@pytest.fixture(scope="module")
def strangers_view(full: Store) -> dict[str, Any]:
    """What an interpreter without GaitLoom reads of the full store."""
    command = [sys.executable, "-I", "-W", "ignore", "-c", READER, str(full.root), CLIP, "flow"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return pickle.loads(done.stdout)


def test_zarr_alone_reads_what_was_written(strangers_view: dict[str, Any]) -> None:
    arrays = strangers_view["zarr"]
    written = {"time": TIME, "score": SCORE, "person_box": NOBODY, "mask": MASK, "flow": FLOW}
    assert set(arrays) == set(written)
    for name, values in written.items():
        assert arrays[name][2].dtype == values.dtype
        np.testing.assert_array_equal(arrays[name][2], values)
    assert arrays["flow"][0] == ("time", "row", "column", "axis")
    assert arrays["time"][1] == {"units": "s", "standard_name": "time"}
    assert strangers_view["attributes"]["region"] == [1, 2, 3, 4]
    assert strangers_view["attributes"]["recipe"] == RECIPE


@pytest.mark.parametrize("opened", ["dataset", "clip", "store"])
def test_xarray_alone_decodes_every_array(strangers_view: dict[str, Any], opened: str) -> None:
    place = {"clip": "/flow", "store": f"/{CLIP}/flow"}.get(opened)
    found = strangers_view[opened] if place is None else strangers_view[opened][place]
    assert {name: row[0] for name, row in found.items()} == {
        "time": ("time",),
        "score": ("time",),
        "person_box": ("person", "corner"),
        "mask": ("time", "y", "x"),
        "flow": ("time", "row", "column", "axis"),
    }
    np.testing.assert_array_equal(found["flow"][2], FLOW / 64)  # zeros are zeros, not missing
    assert found["mask"][2].dtype == bool
    np.testing.assert_array_equal(found["mask"][2], MASK)
    np.testing.assert_array_equal(found["score"][2], SCORE)
    np.testing.assert_array_equal(found["time"][2], TIME)
    assert found["person_box"][2].shape == (0, 4)
    assert found["time"][1]["units"] == "s"
    assert found["person_box"][1]["units"] == "pixel"


def test_trees_hold_exactly_the_nodes(strangers_view: dict[str, Any]) -> None:
    assert set(strangers_view["clip"]) == {"/", "/flow", "/video"}
    assert set(strangers_view["store"]) == {"/", "/P1", f"/{CLIP}", f"/{CLIP}/flow", f"/{CLIP}/video"}


def test_index_lists_exactly_its_nodes(full: Store) -> None:
    document = json.loads((full.root / CLIP / METADATA).read_text())
    members = document["consolidated_metadata"]["metadata"]
    arrays = {f"flow/{a}" for a in ("time", "score", "person_box", "mask", "flow")}
    assert set(members) == {"video", "video/time", "flow", *arrays}
    for member, consolidated in members.items():
        own = json.loads((full.root / CLIP / member / METADATA).read_text())
        consolidated, own = ({k: v for k, v in d.items() if k != "consolidated_metadata"} for d in (consolidated, own))
        assert consolidated == own
    assert full.index(CLIP) == {"subject": "P1", "qc": {"frames": LENGTH}}


def test_index_of_a_missing_node_is_refused(store: Store) -> None:
    video(store.stage(key("video"))).publish({}, {})
    with pytest.raises(GaitloomError, match=f"{CLIP}/flow is not in the store"):
        store.write_index(CLIP, {}, ["video", "flow"])
    assert store.index(CLIP) is None


def test_frames_are_chunks_of_one_in_shards_of_64(full: Store) -> None:
    for name, frame in (("mask", MASK.shape[1:]), ("flow", FLOW.shape[1:])):
        array = full.open(key("flow")).arrays[name]
        assert (array.chunks, array.shards) == ((1, *frame), (64, *frame))
        folder = full.path(key("flow")) / name / "c"
        assert sum(p.is_file() for p in folder.rglob("*")) == 3  # 64 + 64 + 22 frames
        assert dimensions(array)[0] == "time"


def test_frames_are_read_one_by_one_in_order(full: Store) -> None:
    frames = list(full.open(key("flow")).frames("flow"))
    np.testing.assert_array_equal(np.stack(frames), FLOW)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 128])
def test_every_length_round_trips(store: Store, length: int) -> None:
    staged = store.stage(key("silhouette"))
    stream = staged.stream("mask", (length, 3, 4), bool, ("time", "y", "x"))
    buffer = np.empty((3, 4), bool)
    for t in range(length):
        buffer[:] = MASK[t, :3, :4]
        stream.append(buffer)
        buffer[:] = True  # the caller's buffer is its own again at once
    staged.publish({}, {})
    np.testing.assert_array_equal(store.open(key("silhouette")).load("mask"), MASK[:length, :3, :4])


@pytest.mark.parametrize("frames", [0, 1, 64, LENGTH - 1])
def test_too_few_frames_are_never_published(store: Store, frames: int) -> None:
    staged = fill(store.stage(key("flow")), frames)
    with pytest.raises(ValueError, match=f"got {frames} of {LENGTH} frames"):
        staged.publish(RECIPE, {})
    assert store.list() == []


def test_one_frame_too_many_is_refused(store: Store) -> None:
    staged = store.stage(key("flow"))
    with pytest.raises(ValueError, match=f"has {LENGTH} frames; one more"):
        fill(staged, LENGTH + 1)
    staged.discard()


def test_same_content_gives_same_bytes(tmp_path: Path) -> None:
    nodes = []
    for name in ("a", "b"):
        store = Store(tmp_path / name)
        fill(store.stage(key("flow"))).publish(RECIPE, {"region": [1]})
        nodes.append(files(store.path(key("flow"))))
    assert nodes[0] == nodes[1]


def test_a_node_carries_its_recipe_and_the_checksums_of_its_files(full: Store) -> None:
    folder = full.path(key("flow"))
    attributes = full.attributes(key("flow")) or {}
    assert attributes["recipe_digest"] == full.digest(key("flow")) == digest(RECIPE)
    expected = {p: hashlib.sha256(data).hexdigest() for p, data in files(folder).items() if p != METADATA}
    assert attributes["checksums"] == expected


def test_nothing_shows_before_publication(store: Store) -> None:
    staged = fill(store.stage(key("flow")))
    assert store.list() == []
    assert not store.root.exists()
    assert store.digest(key("flow")) is None
    with pytest.raises(GaitloomError, match="is not in"):
        store.open(key("flow"))
    assert staged.publish(RECIPE, {})
    assert store.list() == [key("flow")]
    assert list(store.staging.iterdir()) == []


@pytest.mark.parametrize("frames", [0, 70, LENGTH])
def test_discard_leaves_nothing(store: Store, frames: int) -> None:
    fill(store.stage(key("flow")), frames).discard()
    assert list(store.staging.iterdir()) == []
    assert store.list() == []


def test_first_of_two_equal_recipes_stays(store: Store) -> None:
    first, second = (store.stage(key("video")) for _ in range(2))
    assert video(first).publish(RECIPE, {"made": "first"})
    assert not video(second).publish(RECIPE, {"made": "second"})
    assert (store.attributes(key("video")) or {})["made"] == "first"
    assert list(store.staging.iterdir()) == []


def test_another_recipe_replaces_the_whole_node(store: Store) -> None:
    fill(store.stage(key("flow"))).publish(RECIPE, {})
    assert video(store.stage(key("flow"))).publish({**RECIPE, "modality_version": 2}, {})
    assert list(store.open(key("flow")).arrays) == ["time"]
    assert not (store.path(key("flow")) / "flow").exists()
    assert list(store.staging.iterdir()) == []


def test_publish_replaces_what_is_not_a_node(store: Store) -> None:
    (store.path(key("video")) / "junk").mkdir(parents=True)
    assert video(store.stage(key("video"))).publish(RECIPE, {})
    assert set(files(store.path(key("video")))) >= {METADATA}
    assert not (store.path(key("video")) / "junk").exists()


STAGER = """
import sys
from pathlib import Path
from gaitloom.clips import NodeKey
from gaitloom.store import Store
staged = Store(Path(sys.argv[1])).stage(NodeKey.parse(sys.argv[2]))
print(staged.folder, flush=True)
sys.stdin.read()
"""


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(store: Store) -> None:
    command = [sys.executable, "-c", STAGER, str(store.staging.parent), str(key("flow"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        ours = [store.stage(key(node)).folder for node in ("video", "flow")]
        assert left.is_dir()
        other.kill()
        other.wait()
    assert left.is_dir()
    again = store.stage(key("flow"))
    assert not left.exists()
    assert again.folder.is_dir() and all(folder.is_dir() for folder in ours)


def test_leftovers_of_another_host_stay(store: Store) -> None:
    foreign = store.staging / f"{str(key('flow')).replace('/', '.')}~elsewhere~999999999~00000000"
    foreign.mkdir(parents=True)
    store.stage(key("flow")).discard()
    assert foreign.is_dir()


def test_drop_takes_the_index_before_the_node(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader must never find an index that lists a node which is gone: it would read fill values."""
    for node in ("video", "flow"):
        video(store.stage(key(node))).publish({"modality": node}, {})
    store.write_index(CLIP, {}, ["video", "flow"])
    state = []
    rename = Path.rename

    def spy(path: Path, target: Path) -> Path:
        if path == store.path(key("flow")):
            state.append(store.index(CLIP))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", spy)
    store.drop(key("flow"))
    assert state == [None]
    assert store.list() == [key("video")]
    assert list(store.staging.iterdir()) == []


@pytest.mark.parametrize(("planned", "stays"), [("same", True), ("other", False)])
def test_an_index_is_withdrawn_only_for_another_making(store: Store, planned: str, stays: bool) -> None:
    video(store.stage(key("video"))).publish({}, {})
    store.write_index(CLIP, {"nodes": {"video": "same"}}, ["video"])
    store.withdraw_index(key("video"), planned)
    assert (store.index(CLIP) is not None) is stays


@pytest.mark.filterwarnings("ignore:Object at P2 is not recognized")
def test_root_groups_only_indexed_subjects(store: Store) -> None:
    video(store.stage(key("video"))).publish({}, {})
    video(store.stage(NodeKey.parse("P2/clip/video"))).publish({}, {})
    store.write_index(CLIP, {}, ["video"])
    store.write_root({"title": "t"})
    assert store.root_attributes() == {"title": "t"}
    assert (store.root / "P1" / METADATA).is_file()
    assert not (store.root / "P2" / METADATA).exists()
    assert list(zarr.open_group(store.root, mode="r").group_keys()) == ["P1"]
