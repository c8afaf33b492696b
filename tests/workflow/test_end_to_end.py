"""The whole workflow through the Snakefile, on synthetic walks and on the demo clip."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import zarr
from project import ROOT, Project
from walker import Walk

ALL = {
    "track": {"backend": "blazepose"},
    "keypoints": {"backend": "blazepose"},
    "silhouette": {"backend": "blazepose"},
    "flow_tvl1": {"backend": "tvl1_opencv", "options": {"longest_side": 96}},
    "gait": {"backend": "events"},
    "faces": {"backend": "centerface"},
    "deidentified": {"backend": "mosaic"},
    "audit": {"backend": "basic"},
}
FRAMES = 16


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished run of every node on a sagittal and a frontal walk, with one broken video among them."""
    project = Project(tmp_path_factory.mktemp("run"))
    project.config["nodes"] = ALL
    project.sheet("video | camera | condition\n S_1.mp4 | side | usual\n S_2.mp4 | front | usual")
    for number, view in enumerate(("sagittal", "frontal"), 1):
        Walk(view=view, frames=FRAMES, size=(480, 270), seed=number).write(project.data / f"S_{number}.mp4")
    (project.data / "S_3.mp4").write_text("no video")
    project.run()
    return project


CLIPS = ("S/trial-1_cam-side", "S/trial-2_cam-front")


def test_every_clip_ends_in_the_ledger(finished: Project) -> None:
    ledger = finished.ledger()
    assert {k: s for k, (s, _) in ledger.items()} == {
        **{(clip, node): "done" for clip in CLIPS for node in ("video", *ALL)},
        ("S/trial-3", ""): "rejected",
    }
    assert "not a readable video" in ledger["S/trial-3", ""][1]


@pytest.mark.parametrize("clip", CLIPS)
def test_every_node_has_the_clips_time_axis(finished: Project, clip: str) -> None:
    for node in ("video", *ALL):
        group = zarr.open_group(finished.store / clip / node, mode="r")
        np.testing.assert_allclose(group["time"][:], np.arange(FRAMES) / 30, atol=1e-9)
        for name, array in group.arrays():
            if array.metadata.dimension_names[0] == "time":
                assert array.shape[0] == FRAMES, f"{node}/{name}"


def test_verify_is_clean(finished: Project) -> None:
    done = finished.gaitloom("verify")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_the_walker_is_posed_and_segmented_in_every_frame(finished: Project) -> None:
    for clip in CLIPS:
        for node in ("track", "keypoints", "silhouette"):
            assert zarr.open_group(finished.store / clip / node, mode="r")["valid"][:].all(), f"{clip}/{node}"


def test_qc_and_clip_table_agree_with_the_walk(finished: Project) -> None:
    header, *rows = [r.split("\t") for r in (finished.results / "qc.tsv").read_text().splitlines()]
    for row in (dict(zip(header, r, strict=True)) for r in rows):
        assert (row["frames"], row["fps"], row["tracked"], row["gaps"]) == (str(FRAMES), "30.0", "1.0", "0")


OPEN = f"""
NODES = {["video", *ALL]}
import sys
sys.modules["gaitloom"] = None
import pandas, xarray
tree = xarray.open_datatree(sys.argv[1], engine="zarr")
table = pandas.DataFrame(**tree.attrs["clips"])
assert list(table["path"]) == sys.argv[2:], table
assert list(table["condition"]) == ["usual", "usual"]
for path in table["path"]:
    clip = xarray.open_datatree(sys.argv[1] + "/" + path, engine="zarr", consolidated=True)
    assert set(clip.children) == set(NODES)
    for node in clip.children.values():
        node.load()
        assert node.sizes["time"] == 16
    assert clip["deidentified/mp4"].dtype == "uint8" and bytes(clip["deidentified/mp4"].values[4:8]) == b"ftyp"
    assert clip["silhouette/mask"].dtype == bool and clip["silhouette/mask"].any()
    flow = clip["flow_tvl1/flow"]
    assert flow.dtype.kind == "f" and abs(flow).max() > 0.5 and not flow.isnull().any()
    same = xarray.open_zarr(sys.argv[1] + "/" + path + "/keypoints")
    assert same["xy"].equals(clip["keypoints/xy"].to_dataset().xy)
"""


def test_xarray_reads_it_all_without_gaitloom(finished: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(finished.store), *CLIPS],
        capture_output=True,
        text=True,
        check=False,
        cwd=finished.folder,
    )
    assert done.returncode == 0, done.stderr


def test_no_name_or_path_of_a_source_is_in_the_store(finished: Project) -> None:
    for path, content in finished.bytes().items():
        for secret in (b"S_1.mp4", b"S_2.mp4", str(finished.data).encode(), str(finished.folder).encode()):
            assert secret not in content, path


def test_previews_have_every_frame_at_its_time(finished: Project) -> None:
    for clip in CLIPS:
        with av.open(str(finished.results / "preview" / f"{clip}.mp4")) as container:
            assert container.streams.video[0].codec_context.name == "h264"
            times = [float(f.pts * f.time_base) for f in container.decode(video=0)]
        np.testing.assert_allclose(times, np.arange(FRAMES) / 30, atol=1e-4)
    assert (finished.results / "contact.png").is_file()


def test_two_runs_give_the_same_bytes(finished: Project, tmp_path: Path) -> None:
    again = Project(tmp_path)
    again.config = finished.config
    (tmp_path / "clips.tsv").write_bytes((finished.folder / "clips.tsv").read_bytes())
    for video in finished.data.iterdir():
        again.add(video, video.name)
    again.run()
    first, second = finished.bytes(), again.bytes()
    assert sorted(first) == sorted(second)
    assert [path for path in first if first[path] != second[path]] == []


def test_a_failing_clip_stops_no_other_and_recovers(finished: Project, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.add(finished.data / "S_1.mp4", "A_1.mp4")
    project.add(finished.data / "S_2.mp4", "B_1.mp4")
    sheet = project.sheet("video | start | end\n A_1.mp4 | 0 | 999")
    failed = project.snakemake("--quiet", "rules")
    assert failed.returncode != 0
    ledger = project.ledger()
    assert ledger["A/trial-1", "video"][0] == "failed"
    assert "A_1.mp4 has only 16 frames, but its segment ends at 999" in ledger["A/trial-1", "video"][1]
    assert ledger["A/trial-1", "keypoints"] == ("waiting", "needs video, track")
    assert ledger["B/trial-1", "keypoints"][0] == "done"
    assert not list((project.results / ".staging").glob("*"))
    sheet.write_text("video\tstart\tend\nA_1.mp4\t4\t12\n")
    project.run()
    assert {s for s, _ in project.ledger().values()} == {"done"}
    node = zarr.open_group(project.store / "A/trial-1/keypoints", mode="r")
    assert node["time"].shape == (8,)
    assert project.gaitloom("verify").returncode == 0


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("reslts", "r", "config: reslts: unknown key; did you mean 'results'?"),
        ("nodes", {"track": {"backend": "yolo9"}}, "nodes.track.backend: track has no backend named 'yolo9'"),
        ("clips", {"folders": ["nowhere"]}, "The input folder nowhere does not exist"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(project: Project, key: str, value: object, sentence: str) -> None:
    project.config[key] = value
    done = project.snakemake("--dry-run")
    assert done.returncode != 0
    assert sentence.removeprefix("config: ") in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_demo_clip(demo_clip: Path, project: Project) -> None:
    """Forty frames of the real walk: the woman is followed, not the man on the roof."""
    project.config["nodes"] = {**ALL, "flow_tvl1": {**ALL["flow_tvl1"], "options": {"longest_side": 64}}}
    project.add(demo_clip, "P_1.mp4")
    project.sheet("video | segment | start | end\n P_1.mp4 | 1 | 60 | 100")
    project.run()
    clip = project.store / "P/trial-1_seg-1"
    track = zarr.open_group(clip / "track", mode="r")
    box = track["box"][:]
    assert track["valid"][:].mean() > 0.95
    assert (box[:, 1] > 994 / 2).all(), "she walks in the lower half; he stands in the upper"
    assert zarr.open_group(clip / "keypoints", mode="r")["valid"][:].mean() > 0.98
    assert project.plan() == {}


def test_the_parser_stays_light() -> None:
    """Every remote job parses the Snakefile again: heavy packages would cost each of them seconds."""
    code = (
        "import sys; sys.path.insert(0, 'workflow'); import gaitloom.reconcile, gaitloom.scan, yaml, pathlib;"
        "from gaitloom import config; from gaitloom.plan import Plan;"
        "Plan(config.load(pathlib.Path('config/config.yaml')), []).nodes;"
        "print([m for m in ('cv2', 'mediapipe', 'torch', 'av', 'zarr', 'pandas', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
