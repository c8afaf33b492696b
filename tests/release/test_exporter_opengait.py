"""OpenGait's inputs against a reader and a pretreatment written from their description."""

import json
import pickletools
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import cv2
import numpy as np
import pytest
from gaitloom.exchange import health_gait, opengait
from gaitloom.part_labels import COARSE, FINE, fine_to_coarse
from gaitloom.release.dataset import Dataset, Source
from gaitloom.release.exporters import find

from . import exported, opengait_reader, sample

EXPORTER = find("opengait")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return sample.dataset(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def made(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unzipped(dataset, tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def pictures(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The silhouettes and parsing as PNG, all that OpenGait's pretreatment sees of them."""
    folder = tmp_path_factory.mktemp("pictures")
    gps = np.array([opengait_reader.GPS_OF_COARSE[part] for part in range(len(COARSE))], np.uint8)
    for source in dataset.sources():
        masks = source.open("silhouette").frames("mask")
        health_gait.write_silhouettes(folder / "sil" / place(source), masks, source.length, source.size, ".png")
        (folder / "parsing" / place(source)).mkdir(parents=True)
        for t, label in enumerate(source.open("parts").frames("label")):
            cv2.imwrite(str(folder / "parsing" / place(source) / f"{t:03d}.png"), gps[label])
    return folder


def unzipped(dataset: Dataset, folder: Path) -> Path:
    """All archives of the layout, one over the other."""
    for archive in sorted(exported.export(dataset, "opengait", folder / "archives").iterdir()):
        shutil.copytree(archive, folder / "all", dirs_exist_ok=True)
    return folder / "all"


def place(source: Source) -> str:
    return EXPORTER.sequence(source.entry.subject, source.entry.name)  # type: ignore[attr-defined]


def truth(dataset: Dataset, source: Source) -> np.ndarray:
    walk = exported.walks(dataset)[source.entry.path]
    points = np.array([walk.keypoints[t, :17] for t in range(source.length)])
    return np.dstack([points, np.full(points.shape[:2], 0.9)])


def faults(dataset: Dataset, made: Path, pictures: Path, only: str = "") -> list[str]:
    """What is wrong with any sequence, or with one."""
    found = []
    for s in dataset.sources():
        where = place(s)
        if only not in ("", where):
            continue
        pose = truth(dataset, s)
        found += opengait_reader.faults(made, where, pictures / "sil" / where, pictures / "parsing" / where, pose)
    return found


def test_every_frame_is_what_the_rule_makes_of_the_pictures(dataset: Dataset, made: Path, pictures: Path) -> None:
    assert faults(dataset, made, pictures) == []


@pytest.mark.parametrize(("in_use", "kinds"), [(None, 4), ([True, True, False, False], 2), ([1], 1)])
def test_the_loader_reads_it(dataset: Dataset, made: Path, in_use: list, kinds: int) -> None:
    read = [
        s
        for training in (True, False)
        for s in opengait_reader.sequences(made / "pkl", made / "partition.json", training, in_use)
    ]
    assert sorted("/".join(s[:3]) for s in read) == sorted(map(place, dataset.sources()))
    shapes = [(40, 2, 64, 64), (40, 64, 64), (40, 64, 64), (40, 17, 3)]
    expected = shapes if in_use is None else shapes[:2] if kinds == 2 else shapes[1:2]
    for *_, arrays in read:
        assert [a.shape for a in arrays] == expected
        assert all(type(a) is np.ndarray and a.flags.writeable for a in arrays)


def shift(array: np.ndarray) -> np.ndarray:
    return np.roll(array, 1, axis=0)


def other_side(parsing: np.ndarray) -> np.ndarray:
    return np.array([0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 11], np.uint8)[parsing]


DEFECTS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray], str]] = {
    "a shifted silhouette": ("1_sil.pkl", shift, "silhouette differs"),
    "a shifted parsing": ("2_parsing.pkl", shift, "parsing differs"),
    "a shifted pose": ("3_pose.pkl", shift, "pose differs"),
    "a shifted heat map": ("0_heatmap.pkl", shift, "heat maps differ"),
    "left and right of the parsing": ("2_parsing.pkl", other_side, "parsing differs"),
    "left and right of the pose": (
        "3_pose.pkl",
        lambda a: a[:, [0, *(i + (1 if i % 2 else -1) for i in range(1, 17))]],
        "pose differs",
    ),
    "limbs and joints": ("0_heatmap.pkl", lambda a: a[:, ::-1], "heat maps differ"),
    "one pixel": ("1_sil.pkl", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 9000, a ^ 1, a), "silhouette"),
    "a lost frame": ("1_sil.pkl", lambda a: a[1:], "lengths"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found(dataset: Dataset, made: Path, pictures: Path, tmp_path: Path, defect: str) -> None:
    file, change, says = DEFECTS[defect]
    shutil.copytree(made, tmp_path / "all")
    path = sorted((tmp_path / "all").rglob(file))[2]
    opengait.write(path, np.ascontiguousarray(change(opengait_reader.load(path))))
    found = faults(dataset, tmp_path / "all", pictures, path.parent.relative_to(tmp_path / "all" / "pkl").as_posix())
    assert len(found) >= 1 and says in found[0]
    if defect == "a lost frame":
        with pytest.raises(ValueError, match=r"lengths \[39, 40\]"):
            for training in (True, False):
                opengait_reader.sequences(tmp_path / "all" / "pkl", tmp_path / "all" / "partition.json", training)


def test_missing_and_stray_files_are_found(dataset: Dataset, made: Path, pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "all")
    folder = next((tmp_path / "all").rglob("0_heatmap.pkl")).parent
    (folder / "0_heatmap.pkl").unlink()
    assert "there are" in faults(dataset, tmp_path / "all", pictures)[0]
    (folder / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"only \.pkl"):
        for training in (True, False):
            opengait_reader.sequences(tmp_path / "all" / "pkl", tmp_path / "all" / "partition.json", training)


def test_frames_that_are_not_valid_are_dropped_and_said(dataset: Dataset, tmp_path: Path) -> None:
    with exported.nobody():
        made = unzipped(dataset, tmp_path)
    gone = list(exported.GONE)
    for source in dataset.sources():
        about = json.loads((made / "frames" / f"{place(source)}.json").read_text())
        assert about["dropped"] == gone and about["frames"] == 40
        assert about["kept"] == [t for t in range(40) if t not in gone]
        np.testing.assert_array_equal(about["seconds"], source.time[about["kept"]])
        assert {len(opengait_reader.load(f)) for f in (made / "pkl" / place(source)).iterdir()} == {36}
        assert about["backends"]["parts"] == "skeleton"


def test_what_a_modality_lacks_is_empty_and_said(dataset: Dataset, made: Path, tmp_path: Path) -> None:
    """The silhouettes keep their frames; nobody is invented in the others."""
    opened = Source.open
    with mock.patch.object(
        Source, "open", lambda s, n: exported.Emptied(opened(s, n)) if n == "keypoints" else opened(s, n)
    ):
        lacking = unzipped(dataset, tmp_path)
    for source in dataset.sources():
        folder, before = (where / "pkl" / place(source) for where in (lacking, made))
        about = json.loads((lacking / "frames" / f"{place(source)}.json").read_text())
        gone = list(exported.GONE)
        assert about["missing"] == {"silhouette": [], "parts": [], "keypoints": gone} and not about["dropped"]
        for name in ("0_heatmap.pkl", "3_pose.pkl"):
            now, then = opengait_reader.load(folder / name), opengait_reader.load(before / name)
            assert not now[gone].any() and then[gone].any()
            np.testing.assert_array_equal(np.delete(now, gone, 0), np.delete(then, gone, 0))
        assert (folder / "1_sil.pkl").read_bytes() == (before / "1_sil.pkl").read_bytes()


def test_44_columns_on_request(dataset: Dataset, made: Path, tmp_path: Path) -> None:
    tiers = {"controlled": {"k": 1, "opengait_width": 44}}
    narrow = sample.dataset(dataset.plan.config.results.parent, tiers=tiers)
    for source in narrow.sources():
        EXPORTER.clip(source, tmp_path)
        sil = opengait_reader.load(tmp_path / "silhouette" / "pkl" / place(source) / "1_sil.pkl")
        full = opengait_reader.load(made / "pkl" / place(source) / "1_sil.pkl")
        assert sil.shape == (40, 64, 44)
        np.testing.assert_array_equal(sil, full[:, :, 10:54])


def test_an_open_tier_has_poses_alone(dataset: Dataset, made: Path, tmp_path: Path) -> None:
    few = sample.dataset(dataset.plan.config.results.parent, "open")
    folder = exported.export(few, "opengait", tmp_path)
    assert sorted(p.name for p in folder.iterdir()) == ["heatmap", "index", "pose"]
    one = next((folder / "pose").rglob("*.pkl"))
    assert opengait_reader.load(one).shape == (40, 17, 3)


def test_manual_nodes_win(dataset: Dataset) -> None:
    with exported.corrected(dataset, "silhouette") as both:
        assert EXPORTER.refused(both) == {
            "silhouette": "the layout has room for one, and silhouette_manual stands for it"
        }
    assert EXPORTER.refused(dataset) == {}


def test_equal_bytes_and_released_names_alone(dataset: Dataset, made: Path, tmp_path: Path) -> None:
    files = exported.files(made)
    assert exported.files(unzipped(dataset, tmp_path)) == files
    assert len(files) == 4 * 5 + 1
    everything = b"".join(files.values()) + " ".join(files).encode()
    for word in (*sample.SUBJECTS, sample.SESSION):
        assert word.encode() not in everything


def test_pickles_name_nothing_private(made: Path) -> None:
    """numpy's own pickles name modules that moved with numpy 2; OpenGait is often run with older ones."""
    for path in sorted(made.rglob("*.pkl"))[:4]:
        ops = list(pickletools.genops(path.read_bytes()))
        assert {arg for op, arg, _ in ops if op.name == "GLOBAL"} == {"numpy ndarray", "numpy dtype"}
        assert not any(op.name == "STACK_GLOBAL" for op, _, _ in ops)


def test_nobody_moves_when_people_are_added() -> None:
    def part(count: int) -> dict[str, set[str]]:
        entries = [SimpleNamespace(subject=f"P{i:08X}") for i in range(count)]
        split = EXPORTER.partition(SimpleNamespace(entries=entries))  # type: ignore[attr-defined]
        assert sorted(split["TRAIN_SET"] + split["TEST_SET"]) == [e.subject for e in entries]
        return {k: set(v) for k, v in split.items()}

    few, many = part(300), part(1000)
    assert all(few[k] <= many[k] for k in few)
    assert 550 < len(many["TRAIN_SET"]) < 650


def test_names_keep_clips_apart() -> None:
    names = ["clip", "cam-sagittal", "ses-01_trial-2_cam-sagittal_seg-1", "ses-01_trial-2_seg-1", "ses-01_cam-frontal"]
    places = [EXPORTER.sequence("P", n) for n in names]  # type: ignore[attr-defined]
    assert places == [
        "P/clip/000",
        "P/clip/sagittal",
        "P/ses-01_trial-2_seg-1/sagittal",
        "P/ses-01_trial-2_seg-1/000",
        "P/ses-01/frontal",
    ]


def test_labels_of_both_densepose_spaces() -> None:
    assert [opengait.GPS[g] for g in opengait.gps()] == [
        "background", "torso", "right_hand", "left_hand", "left_foot", "right_foot", "right_leg", "left_leg",
        "right_leg", "left_leg", "left_arm", "right_arm", "left_arm", "right_arm", "head",
    ]  # fmt: skip
    assert opengait.gps().tolist() == [opengait_reader.GPS_OF_COARSE[i] for i in range(len(COARSE))]
    fine = opengait.gps()[fine_to_coarse()]
    assert len(fine) == len(FINE) and (fine[5], fine[6], fine[3], fine[4]) == (9, 10, 6, 5)


def test_awkward_pictures_are_aligned_as_described() -> None:
    """At borders, in specks, wide, one column: kept and dropped alike, pixel by pixel."""
    rng = np.random.default_rng(5)
    kept = dropped = 0
    for number in range(150):
        height, width = rng.integers(40, 300, 2)
        mask = np.zeros((height, width), bool)
        y, x = rng.integers(0, height), rng.integers(0, width)
        mask[y : y + rng.integers(1, height), x : x + rng.integers(1, max(2, width // rng.integers(1, 20)))] = True
        if number % 3 == 0:
            mask |= rng.random(mask.shape) < 0.01
        if number % 10 == 0:
            mask[:], mask[:, 0] = False, True  # the centre is the first column: dropped
        expected, found = opengait_reader.aligned(mask.astype(np.uint8) * 255), opengait.silhouette(mask)
        kept, dropped = kept + (expected is not None), dropped + (expected is None)
        np.testing.assert_array_equal(found, expected)
        label = mask * rng.integers(1, 12, mask.shape).astype(np.uint8)
        np.testing.assert_array_equal(opengait.parsing(label), opengait_reader.aligned(label, labels=True))
    assert min(kept, dropped) > 15
    assert (
        opengait.silhouette(np.eye(39, dtype=bool)) is None and opengait.silhouette(np.eye(40, dtype=bool)) is not None
    )


def test_absent_points_come_from_the_most_similar_frames() -> None:
    """Of five frames, four are the nearest; a frame with the same points decides alone; others are as they were."""
    rng = np.random.default_rng(1)
    pose = np.dstack([rng.random((6, 17, 2)) * 60 + 20, np.full((6, 17), 0.8)]).astype(np.float32)
    whole = opengait.heatmaps(pose)
    pose[1] = pose[0]
    pose[1, 16] = 0  # an ankle that counts for the height: frame 0 has it, the same in all else
    twin = opengait.heatmaps(pose)
    np.testing.assert_array_equal(twin[[0, 2, 3, 4, 5]], whole[[0, 2, 3, 4, 5]])
    filled = pose[1].copy()
    filled[16, :2] = pose[0, 16, :2]
    np.testing.assert_array_equal(twin[1], opengait_reader.heatmap(filled))
    pose[:, 3] = 0  # an ear that no frame has
    assert opengait.heatmaps(pose)[:, :, 30:].any()
    pose[:, 11] = 0  # no hip at all
    assert not opengait.heatmaps(pose).any()
