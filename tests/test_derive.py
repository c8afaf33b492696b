"""Making a node: done, or the store as it was and one sentence that names the file and says what to do."""

import errno
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import footage
import numpy as np
import pytest
from gaitloom import backends, config
from gaitloom.backends import Weight
from gaitloom.clips import NodeKey
from gaitloom.derive import Job, derive
from gaitloom.errors import GaitloomError
from gaitloom.keypoint_formats import KeypointFormat
from gaitloom.modalities import video
from gaitloom.plan import Plan
from gaitloom.store import FrameStream, Node, Staged, Store
from gaitloom.tracking import People

LENGTH = 10


class Bench:
    """A project folder in the working directory, with one clip `P1_1.*` unless a test adds more."""

    def __init__(self, folder: Path):
        self.data, self.results = folder / "data", folder / "results"
        self.data.mkdir()
        self.store = Store(Path("results"))
        self.values: dict[str, Any] = {"clips": {"folders": ["data"], "pattern": "{subject}_{trial}"}, "nodes": {}}

    def sheet(self, text: str) -> None:
        """Write the sheet; `|` stands for a tab."""
        Path("clips.tsv").write_text(text.replace("|", "\t"))
        self.values["clips"]["sheet"] = "clips.tsv"

    def plan(self) -> Plan:
        return Plan.load(self.values, scan=True)

    def key(self, node: str = "video") -> NodeKey:
        return NodeKey("P1", "trial-1", node)

    def make(self, node: str = "video", plan: Plan | None = None) -> Node:
        """Make a node by the plan, and open it."""
        plan = plan or self.plan()
        digest = plan.planned(self.key(node))
        assert digest is not None
        derive(plan, self.key(node), digest)
        assert self.clean(node)
        assert self.store.digest(self.key(node)) == digest
        record = json.loads((self.results / f"provenance/P1/trial-1/{node}.json").read_text())
        assert record["recipe_digest"] == digest
        return self.store.open(self.key(node))

    def clean(self, node: str) -> bool:
        """Whether nothing of a failure and nothing half-made lies about."""
        return not (self.results / f"failures/P1/trial-1/{node}.json").exists() and self.staged() == []

    def staged(self) -> list[str]:
        folder = self.results / ".staging"
        return [p.name for p in folder.iterdir()] if folder.is_dir() else []

    def stored(self) -> dict[str, bytes]:
        files = (p for p in (self.results / "store.zarr").rglob("*") if p.is_file())
        return {p.relative_to(self.results).as_posix(): p.read_bytes() for p in files}

    def refusal(self, node: str = "video", plan: Plan | None = None, digest: str | None = None) -> str:
        """The sentence of a failure, which must leave the store as it was and stand in the ledger's record."""
        plan = plan or self.plan()
        digest = digest or plan.planned(self.key(node))
        assert digest is not None
        before = self.stored()
        with pytest.raises(GaitloomError) as caught:
            derive(plan, self.key(node), digest)
        sentence = str(caught.value)
        assert "\n" not in sentence
        assert sentence.endswith(".")
        assert not sentence.endswith("..")
        assert self.stored() == before
        assert self.staged() == []
        record = json.loads((self.results / f"failures/P1/trial-1/{node}.json").read_text())
        assert record == {"recipe_digest": digest, "reason": sentence}
        return sentence


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return footage.write(tmp_path_factory.mktemp("good") / "good.mp4", LENGTH)


@pytest.fixture
def clip(bench: Bench, good: Path) -> Path:
    """The project's one good video."""
    return Path(shutil.copy(good, bench.data / "P1_1.mp4"))


def snow(path: Path, **mux: str) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)
    return footage.write(path, list(images), b_frames=0, **mux)


def cut_mp4(folder: Path) -> None:
    footage.cut(snow(folder / "whole", format="mp4", movflags="+faststart"), folder / "P1_1.mp4", 0.7)


def cut_mkv(folder: Path) -> None:
    footage.cut(snow(folder / "whole", format="matroska"), folder / "P1_1.mkv", 0.7)


def damaged(folder: Path) -> None:
    data = bytearray(snow(folder / "P1_1.mkv").read_bytes())
    third = len(data) // 3
    data[third : 2 * third] = np.random.default_rng(0).bytes(third)
    (folder / "P1_1.mkv").write_bytes(data)


BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    # what it is: (how it is made, its row of the sheet: start, end; what the sentence says)
    "one frame": (lambda d: footage.write(d / "P1_1.mp4", 1), "||", "has only one frame; * exclude it"),
    "segment of no frame": (lambda d: footage.write(d / "P1_1.mp4"), "|10|", "has no frames; * correct its segment"),
    "segment of one frame": (lambda d: footage.write(d / "P1_1.mp4"), "|9|", "has only one frame"),
    "segment beyond": (
        lambda d: footage.write(d / "P1_1.mp4"),
        "|5|11",
        "has only 10 frames, but its segment ends at 11; correct the clip sheet",
    ),
    "mp4 cut off": (cut_mp4, "||", "copy it again"),
    "mkv cut off": (cut_mkv, "||", "is cut off: * copy it again"),
    "damaged": (damaged, "||", "copy it again"),
    "two sizes": (
        lambda d: footage.resized(d / "P1_1.mts", [(64, 48), (96, 80)]),
        "||",
        "changes its picture size at frame 5; split it there",
    ),
    "one size sideways": (
        lambda d: footage.resized(d / "P1_1.mts", [(64, 48), (48, 64)]),
        "||",
        "changes its picture size at frame 5; split it there",
    ),
    "no rising times": (lambda d: footage.write(d / "P1_1.avi"), "||", "has no rising time stamps * give capture_fps"),
    "crooked": (lambda d: footage.write(d / "P1_1.mp4", rotation=45), "||", "turned by 45 degrees; re-encode"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_video_fails_by_name_until_it_is_replaced(bench: Bench, good: Path, what: str):
    make, row, says = BAD[what]
    make(bench.data)
    (path,) = bench.data.glob("P1_1.*")
    bench.sheet(f"video|start|end\n{path.name}{row}\n")
    sentence = bench.refusal()
    assert sentence.startswith(f"{path.name} ")
    for part in says.split(" * "):
        assert part in sentence
    assert bench.stored() == {}
    path.unlink()
    shutil.copy(good, bench.data / "P1_1.mp4")
    bench.sheet("video\nP1_1.mp4\n")
    assert bench.make().attributes["frames"] == LENGTH


def test_a_failure_keeps_the_node_that_is_there(bench: Bench, clip: Path):
    bench.make()
    footage.write(clip, 1)
    assert "only one frame" in bench.refusal()
    assert bench.store.open(bench.key()).attributes["frames"] == LENGTH


def test_a_bad_video_does_not_stop_the_others(bench: Bench, clip: Path):
    footage.write(bench.data / "P0_1.mp4", 1)
    plan = bench.plan()
    with pytest.raises(GaitloomError, match=r"P0_1\.mp4 has only one frame"):
        derive(plan, NodeKey("P0", "trial-1", "video"), plan.digests_of("P0/trial-1")["video"])
    bench.make(plan=plan)


def test_the_video_node_is_what_was_filmed(bench: Bench, clip: Path):
    node = bench.make()
    assert node.load("pts").tolist() == [i * 512 for i in range(LENGTH)]
    np.testing.assert_allclose(node.load("time"), np.arange(LENGTH) / 25, rtol=0, atol=1e-12)
    expected = {
        "frames": LENGTH,
        "width": footage.SIZE[0],
        "height": footage.SIZE[1],
        "fps": "25/1",
        "time_base": "1/12800",
        "variable_frame_rate": False,
        "codec": "h264",
        "rotation": 0,
    }
    assert expected.items() <= node.attributes.items()


def test_a_variable_frame_rate_is_kept(bench: Bench):
    pts = [0, 3000, 6000, 20_000, 23_000, 30_000]
    footage.write(bench.data / "P1_1.mp4", 6, pts=pts)
    node = bench.make()
    np.testing.assert_allclose(node.load("time"), np.array(pts) / 90_000, rtol=0, atol=1e-12)
    assert node.attributes["variable_frame_rate"]
    assert Fraction(node.attributes["fps"]) == Fraction(5 * 90_000, 30_000)


def test_a_rotated_video_is_upright_in_the_store(bench: Bench):
    footage.write(bench.data / "P1_1.mp4", rotation=90)
    attributes = bench.make().attributes
    assert (attributes["width"], attributes["height"], attributes["rotation"]) == (*footage.SIZE[::-1], 90)


def test_a_segment_begins_at_time_zero(bench: Bench, clip: Path):
    bench.sheet("video|start|end\nP1_1.mp4|3|7\n")
    node = bench.make()
    assert node.load("pts").tolist() == [i * 512 for i in range(3, 7)]
    np.testing.assert_allclose(node.load("time"), np.arange(4) / 25, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("fps", "rate"), [("240", "240/1"), ("239.76", "5994/25")])
def test_capture_fps_stands_in_for_the_files_time_stamps(bench: Bench, fps: str, rate: str):
    footage.write(bench.data / "P1_1.avi")
    bench.sheet(f"video|capture_fps\nP1_1.avi|{fps}\n")
    node = bench.make()
    np.testing.assert_allclose(node.load("time"), np.arange(10) / float(fps), rtol=1e-12)
    assert (node.attributes["fps"], node.attributes["capture_fps"]) == (rate, float(fps))


def test_a_video_that_is_gone(bench: Bench, clip: Path):
    plan = bench.plan()
    clip.unlink()
    assert bench.refusal(plan=plan) == "P1_1.mp4 is gone; put it back, or run snakemake again without it."


def test_a_video_that_changed_since_the_scan(bench: Bench, clip: Path):
    plan = bench.plan()
    footage.write(clip, LENGTH + 1)
    assert bench.refusal(plan=plan) == "P1_1.mp4 changed since it was scanned; run snakemake again."
    assert bench.make().attributes["frames"] == LENGTH + 1


def test_a_video_that_was_only_touched_is_still_the_same(bench: Bench, clip: Path):
    plan = bench.plan()
    os.utime(clip, ns=(1, 1))
    bench.make(plan=plan)


def test_a_recipe_that_changed_since_the_job_was_planned(bench: Bench, clip: Path):
    old = bench.plan().planned(bench.key())
    bench.sheet("video|end\nP1_1.mp4|5\n")
    sentence = bench.refusal(digest=old)
    assert sentence == "The recipe of P1/trial-1/video changed since this job was planned; run snakemake again."


@pytest.mark.parametrize("subject", ["P1", "p1"])
@pytest.mark.parametrize("node", ["video", "keypoints"])
def test_what_is_not_planned_is_refused_by_name(bench: Bench, good: Path, subject: str, node: str):
    shutil.copy(good, bench.data / "P2_1.mp4")
    key = NodeKey(subject, "trial-1", node)
    with pytest.raises(GaitloomError) as caught:
        derive(bench.plan(), key, "0" * 64)
    assert str(caught.value) == f"{key} is not in the plan; check the clip sheet and the configuration's nodes."


@pytest.mark.parametrize("subject", ["P1", "p1"])
def test_a_node_that_reads_a_missing_one_names_it(bench: Bench, good: Path, nobody: None, subject: str):
    shutil.copy(good, bench.data / f"{subject}_1.mp4")
    plan = bench.plan()
    key = NodeKey(subject, "trial-1", "track")
    with pytest.raises(GaitloomError) as caught:
        derive(plan, key, plan.digests_of(key.clip)["track"])
    assert str(caught.value) == f"{subject}/trial-1/video is not in the store; run snakemake to make it."


def box(x: float) -> list[float]:
    return [x, 5, x + 20, 45]


# Who is seen in each frame; nobody, unless a test says otherwise.
SEEN: list[list[float]] = []


class StubTrack:
    def __init__(self, options: Any):
        pass

    def people(self, images: Iterator[np.ndarray]) -> Iterator[People]:
        for i, image in enumerate(images):
            assert footage.number(image[..., 0]) == i  # every frame comes, in order
            boxes = [box(x) for x in (SEEN[i] if i < len(SEEN) else [])]
            yield People(np.array(boxes, np.float32).reshape(-1, 4), np.ones(len(boxes), np.float32))


class StubKeypoints:
    format = KeypointFormat("two", ("nose", "left_hip"), ())
    score_kind = "none"

    def __init__(self, options: Any):
        pass

    def points(self, people: Iterator[Any]) -> Iterator[np.ndarray]:
        return (np.ones((2, 3), np.float32) for _ in people)


class StubSilhouette:
    def __init__(self, options: Any):
        self.random = np.random.default_rng(0)

    def masks(self, people: Iterator[Any]) -> Iterator[Any]:
        return ((self.random.random(image.shape[:2]) < 0.5, (0, 0)) for image, _ in people)


@pytest.fixture
def nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stub backends for three nodes; they see nobody until SEEN is filled."""
    for modality, stub in (("track", StubTrack), ("keypoints", StubKeypoints), ("silhouette", StubSilhouette)):
        module = backends.find(modality, "blazepose")
        monkeypatch.setattr(module, "Backend", stub)
        monkeypatch.setattr(module, "SPEC", replace(module.SPEC, weights=()))
        bench.values["nodes"][modality] = {"backend": "blazepose"}
    yield
    SEEN.clear()


def test_a_clip_without_a_person_has_its_nodes_all_invalid(bench: Bench, clip: Path, nobody: None):
    bench.values["nodes"]["flow_tvl1"] = {"backend": "tvl1_opencv"}
    bench.make()
    track = bench.make("track")
    assert not track.load("valid").any()
    assert np.isnan(track.load("box")).all()
    assert track.load("person_box").shape == (0, 4)
    assert track.attributes["subject_id"] == -1
    keypoints = bench.make("keypoints")
    assert not keypoints.load("valid").any()
    assert np.isnan(keypoints.load("xy")).all()
    assert (keypoints.load("score") == 0).all()
    silhouette = bench.make("silhouette")
    assert not silhouette.load("valid").any()
    assert not silhouette.load("mask").any()
    assert bench.make("flow_tvl1").load("flow").shape[0] == LENGTH
    for node in (track, keypoints, silhouette):
        assert len(node.load("valid")) == len(node.load("time")) == LENGTH


@pytest.mark.parametrize("max_gap_s", [0.5, 0])
def test_a_frame_without_a_person_is_flagged_and_bridged_where_the_gap_is_short(
    bench: Bench, clip: Path, nobody: None, max_gap_s: float
):
    SEEN.extend([[10.0 + 4 * i] for i in range(LENGTH)])
    SEEN[3] = []
    bench.values["nodes"]["track"]["options"] = {"max_gap_s": max_gap_s}
    bench.make()
    track = bench.make("track")
    assert track.load("valid").tolist() == [i != 3 for i in range(LENGTH)]
    expected = np.array([box(10.0 + 4 * i) for i in range(LENGTH)])
    if not max_gap_s:
        expected[3] = np.nan
    np.testing.assert_allclose(track.load("box"), expected, atol=1e-4)
    keypoints = bench.make("keypoints")
    assert keypoints.load("valid").tolist() == [i != 3 or max_gap_s > 0 for i in range(LENGTH)]


@pytest.mark.parametrize(("row", "x"), [("", 20), ("100,5,120,45", 100)])
def test_of_several_people_the_subject_is_who_walks_or_who_the_sheet_says(
    bench: Bench, nobody: None, row: str, x: float
):
    length = 40  # 1.6 s
    footage.write(bench.data / "P1_1.mp4", length)
    SEEN.extend([[100.0, 20.0 + i] for i in range(length)])
    bench.sheet(f"video|box\nP1_1.mp4|{row}\n")
    bench.make()
    track = bench.make("track")
    np.testing.assert_allclose(track.load("box")[0], box(x))
    assert len(track.load("person_box")) == 2 * length


def test_the_run_record_names_the_device_and_the_model_gets_it(
    bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch
):
    from gaitloom.backends.track import yolov8

    given: list[backends.Device] = []

    class OnGpu(StubTrack):
        def __init__(self, options: Any, device: backends.Device):
            super().__init__(options)
            given.append(device)

    monkeypatch.setattr(yolov8, "Backend", OnGpu)
    spec = replace(yolov8.SPEC, packages=("numpy",), options=backends.find("track", "blazepose").Options, licence="x")
    monkeypatch.setattr(yolov8, "SPEC", spec)
    bench.values |= {"nodes": {"track": {"backend": "yolov8", "batch": 3}}, "device": "cuda:1"}
    for node in ("video", "track"):
        bench.make(node)
    records = [json.loads((bench.results / f"provenance/P1/trial-1/{n}.json").read_text()) for n in ("video", "track")]
    assert [r["device"] for r in records] == ["cpu", "cuda:1"]
    assert given == [backends.Device("cuda:1", 3)]


def test_a_box_with_nobody_in_it_is_refused(bench: Bench, clip: Path, nobody: None):
    SEEN.extend([[100.0]] * LENGTH)
    bench.sheet("video|box\nP1_1.mp4|1,5,21,45\n")
    bench.make()
    sentence = bench.refusal("track")
    assert sentence.startswith("P1_1.mp4 has nobody at the box (1.0, 5.0, 21.0, 45.0)")
    assert "correct the clip sheet" in sentence


@pytest.mark.parametrize(
    ("weight", "says"),
    [
        (Weight("gaitloom", "errors.py", "0" * 64), ["gaitloom/errors.py have SHA-256", "0" * 64, "make env"]),
        (Weight("gaitloom", "none.tflite", "0" * 64), ["gaitloom/none.tflite are missing", "make env"]),
        (Weight("no_such_package", "a", "0" * 64), ["no_such_package is not installed", "make env"]),
    ],
    ids=["other hash", "missing", "no package"],
)
def test_wrong_weights_are_named(
    bench: Bench, clip: Path, nobody: None, monkeypatch: pytest.MonkeyPatch, weight: Weight, says: list[str]
):
    module = backends.find("track", "blazepose")
    bench.make()
    with monkeypatch.context() as patch:
        patch.setattr(module, "SPEC", replace(module.SPEC, weights=(weight,)))
        sentence = bench.refusal("track")
    for part in says:
        assert part in sentence
    bench.make("track")


@pytest.mark.parametrize(("owner", "method"), [(Staged, "put"), (FrameStream, "_write"), (Staged, "publish")])
def test_a_full_disk_is_said_and_leaves_nothing(
    bench: Bench, clip: Path, nobody: None, monkeypatch: pytest.MonkeyPatch, owner: type, method: str
):
    SEEN.extend([[20.0]] * LENGTH)
    bench.make()
    bench.make("track")

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, full)
        sentence = bench.refusal("silhouette")
    assert sentence.startswith("The disk of results is full (")
    assert "P1/trial-1/silhouette" in sentence
    assert sentence.endswith("free some and run snakemake again.")
    assert bench.make("silhouette").load("mask").any()


@pytest.fixture
def small_disk(bench: Bench) -> Iterator[Callable[[str], None]]:
    """The results folder on a disk of 512 KiB; the value resizes it."""
    bench.results.mkdir()
    mount = shutil.which("mount")

    def run(options: str) -> bool:
        command = [str(mount), "-t", "tmpfs", "-o", options, "none", str(bench.results)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if os.geteuid() or mount is None or not run("size=512k"):
        pytest.skip("a small disk needs root and permission to mount")
    yield lambda size: run(f"remount,size={size}") or pytest.fail("no remount")
    subprocess.run(["umount", str(bench.results)], check=True)


@pytest.mark.parametrize("already", [False, True], ids=["fills while writing", "full before"])
def test_a_disk_that_really_fills(bench: Bench, nobody: None, small_disk: Callable[[str], None], already: bool):
    length = 70  # more than a shard
    footage.write(bench.data / "P1_1.mp4", [footage.picture(i, (320, 240)) for i in range(length)])
    SEEN.extend([[20.0]] * length)
    plan = bench.plan()
    bench.make(plan=plan)
    bench.make("track", plan)
    before = bench.stored()
    if already:
        with (bench.results / "ballast").open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
            while True:
                file.write(bytes(4096))
    digest = plan.planned(bench.key("silhouette"))
    assert digest is not None
    with pytest.raises(GaitloomError, match=r"The disk of results is full .* free some and run snakemake again\.$"):
        derive(plan, bench.key("silhouette"), digest)
    assert bench.stored() == before
    assert bench.staged() == []
    failure = bench.results / "failures/P1/trial-1/silhouette.json"
    assert already or "is full" in json.loads(failure.read_text())["reason"]
    small_disk("32m")
    assert bench.make("silhouette", plan).load("mask").any()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            RuntimeError("odd\n  thing"),
            "P1/trial-1/video failed: RuntimeError: odd thing; `gaitloom --debug derive` shows where.",
        ),
        (
            MemoryError(),
            "Memory ran out while making P1/trial-1/video; give the job more (mem_mb in the profile).",
        ),
        (OSError(errno.EIO, "Input/output error"), None),
        (KeyError("x"), None),
    ],
    ids=["runtime", "memory", "io", "key"],
)
def test_the_unexpected_is_one_sentence_too(
    bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str | None
):
    def fail(job: Job) -> None:
        job.put_time(np.zeros(3))
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(video, "derive", fail)
        sentence = bench.refusal()
    assert sentence == says if says else "P1/trial-1/video failed: " in sentence
    bench.make()


def test_an_interrupted_job_leaves_nothing_and_is_no_failure(bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch):
    def stop(job: Job) -> None:
        job.put_time(np.zeros(3))
        raise KeyboardInterrupt

    monkeypatch.setattr(video, "derive", stop)
    plan = bench.plan()
    with pytest.raises(KeyboardInterrupt):
        derive(plan, bench.key(), plan.digests_of("P1/trial-1")["video"])
    assert bench.stored() == {}
    assert bench.clean("video")


def test_what_a_killed_job_left_is_removed_by_the_next(bench: Bench, clip: Path):
    staging = bench.results / ".staging"
    host = socket.gethostname()
    dead, other = (staging / f"P1.trial-1.video~{h}~4194999~abcd" for h in (host, f"not{host}"))
    for folder in (dead, other):
        folder.mkdir(parents=True)
        (folder / "zarr.json").write_text("{")
    plan = bench.plan()
    derive(plan, bench.key(), plan.digests_of("P1/trial-1")["video"])
    assert bench.staged() == [other.name]  # it may still be at work


def meanwhile(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Have someone else act while the next video node is being made."""
    genuine = video.derive

    def slow(job: Job) -> dict[str, Any]:
        monkeypatch.setattr(video, "derive", genuine)
        attributes = genuine(job)
        do()
        return attributes

    monkeypatch.setattr(video, "derive", slow)


def test_of_two_writers_of_one_recipe_the_first_stays(bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch):
    plan = bench.plan()
    folder = bench.store.path(bench.key())
    first: list[int] = []
    meanwhile(monkeypatch, lambda: (make_beside(bench, plan), first.append(folder.stat().st_ino)))
    bench.make(plan=plan)
    assert [folder.stat().st_ino] == first


def make_beside(bench: Bench, plan: Plan) -> None:
    derive(plan, bench.key(), plan.digests_of("P1/trial-1")["video"])


def test_a_writer_of_another_recipe_is_replaced(bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch):
    bench.sheet("video|end\nP1_1.mp4|5\n")
    old = bench.plan()
    bench.make(plan=old)
    bench.sheet("video|end\nP1_1.mp4|8\n")
    meanwhile(monkeypatch, lambda: make_beside(bench, old))
    assert bench.make().attributes["frames"] == 8
    assert len(bench.store.open(bench.key()).load("time")) == 8


def test_made_twice_it_is_the_same_bytes(bench: Bench, clip: Path, nobody: None):
    SEEN.extend([[20.0 + 4 * i] for i in range(LENGTH)])
    nodes = ("video", "track", "keypoints", "silhouette")
    for node in nodes:
        bench.make(node)
    first = bench.stored()
    shutil.rmtree(bench.results)
    for node in nodes:
        bench.make(node)
    assert bench.stored() == first


def test_the_plan_of_a_job_is_the_plan_of_the_scan(bench: Bench, clip: Path, nobody: None):
    """A job reads the plan from its file; what it makes must be what was planned."""
    plan = bench.plan()
    again = Plan.read(plan.path)
    assert again.config == plan.config == config.parse(bench.values)
    assert again.digests_of("P1/trial-1") == plan.digests_of("P1/trial-1")
