"""ProGait's layout, opened by Hugging Face's own loader, every row decoded, and held against what the walker knows."""

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import av
import numpy as np
import pytest
from gaitloom.errors import GaitloomError
from gaitloom.exchange import cvat, progait
from gaitloom.lazy_video import LazyVideo
from gaitloom.release.dataset import Dataset
from gaitloom.release.exporters import find
from walker import Walk

from . import exported, sample

EXPORTER: Any = find("progait")
BRANDS = {"major_brand", "minor_version", "compatible_brands"}  # the file type; anything else would be a tag
KEYS = ["subset", "ID", "file_name", "annotation_file_name", "txt"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return sample.dataset(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def made(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unzipped(dataset, tmp_path_factory.mktemp("made"))


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Rows as the data set's own client gives them, from the folder or by its card."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from datasets import Video, disable_progress_bars, load_dataset

    disable_progress_bars()

    def load(root: Path, *how: str) -> list[dict[str, Any]]:
        where = {"data_dir": str(root)} if how else {"path": str(root)}
        loaded: Any = load_dataset(*how, **where, split="train", cache_dir=str(tmp_path / "cache"))
        for column in ("video", "annotation"):  # without torchcodec it does not decode: PyAV does, from its paths
            loaded = loaded.cast_column(column, Video(decode=False))
        return list(loaded)

    return load


def unzipped(dataset: Dataset, folder: Path) -> Path:
    for archive in sorted(exported.export(dataset, "progait", folder / "archives").iterdir()):
        shutil.copytree(archive, folder / "all", dirs_exist_ok=True)
    return folder / "all"


def decoded(path: str) -> np.ndarray:
    with av.open(path) as container:
        assert set(container.metadata) <= BRANDS and len(container.streams) == 1
        return np.array([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def array(path: Path) -> np.ndarray:
    with gzip.open(path) as file:
        return np.load(file, allow_pickle=False)


def faults(row: dict[str, Any], root: Path, walk: Walk) -> list[str]:
    """What is wrong with one row and its annotations."""
    found = []
    stem = f"{root}/annotations/{row['subset']}/{row['ID']}"
    try:
        video, preview = decoded(row["video"]["path"]), decoded(row["annotation"]["path"])
        keypoints, masks = array(Path(f"{stem}_keypoints.npy.gz")), array(Path(f"{stem}_masks.npy.gz"))
        length, size = len(video), (video.shape[2], video.shape[1])
        drawn = np.array(list(cvat.read_masks(Path(f"{stem}_annotations.xml"), length, size)))
        person = cvat.read_keypoints(Path(f"{stem}_annotations.xml"), length, size)
    except (OSError, GaitloomError) as error:
        return [str(error)]
    if {len(preview), len(keypoints), len(masks)} != {len(video)}:
        return ["lengths differ"]
    if not np.array_equal(masks[..., 0], [walk.silhouette(t) for t in range(length)]):
        found.append("masks differ")
    if not np.array_equal(drawn, masks[..., 0]):
        found.append("the XML's masks differ")
    expected = np.array([walk.keypoints[t] for t in range(length)])
    for what, xy in (("keypoints", keypoints[..., :2]), ("the XML's keypoints", person.xy)):
        if not np.allclose(xy, expected, atol=1e-3):
            found.append(f"{what} differ")
    truth = np.array(list(walk.frames()), np.int16)
    for t in (1, length // 2, length - 2):
        apart = [np.abs(video[t] - truth[u]).mean() for u in (t - 1, t, t + 1)]
        if np.argmin(apart) != 1:
            found.append(f"frame {t} of the video is another")
    return found


def all_faults(rows: list[dict[str, Any]], root: Path, dataset: Dataset) -> list[str]:
    walks = exported.walks(dataset)
    by_id = {EXPORTER.name(e): walks[e.path] for e in dataset.entries}
    assert sorted(r["ID"] for r in rows) == sorted(by_id)
    return [fault for row in rows for fault in faults(row, root, by_id[row["ID"]])]


@pytest.mark.parametrize("how", [("videofolder",), ()], ids=["as a folder", "by its card"])
def test_hugging_face_opens_it_and_every_row_is_true(
    dataset: Dataset, made: Path, rows: Callable[..., list[dict[str, Any]]], how: tuple[str, ...]
) -> None:
    found = rows(made, *how)
    assert len(found) == 4 and list(found[0]) == ["subset", "ID", "video", "annotation", "txt"]
    assert all_faults(found, made, dataset) == []


def test_metadata_as_published(made: Path) -> None:
    lines = [json.loads(line) for line in (made / "metadata.jsonl").read_text().splitlines()]
    assert all(list(line) == KEYS for line in lines)
    assert all((made / line[k]).is_file() for line in lines for k in ("file_name", "annotation_file_name"))
    assert {p.suffix for p in made.rglob("*") if p.is_file()} == {".mp4", ".gz", ".xml", ".jsonl", ".md"}


def test_the_video_is_the_stores_to_the_byte(dataset: Dataset, made: Path) -> None:
    for source in dataset.sources():
        node = source.open("deidentified")
        path = made / "videos" / "inside" / f"{EXPORTER.name(source.entry)}.mp4"
        assert path.read_bytes() == node.load("mp4").tobytes()
        np.testing.assert_array_equal(decoded(str(path)), LazyVideo.of(node)[:])


def test_previews_show_the_skeleton_over_covered_heads(dataset: Dataset, made: Path) -> None:
    for source in dataset.sources():
        below = LazyVideo.of(source.open("deidentified"))[:].astype(int)
        path = made / "previews" / "inside" / f"{EXPORTER.name(source.entry)}.mp4"
        with av.open(str(path)) as container:
            times = [f.time for f in container.decode(video=0)]
        np.testing.assert_allclose(times, source.time, atol=1e-4)
        changed = np.abs(decoded(str(path)) - below).max(axis=3) > 60
        walk = exported.walks(dataset)[source.entry.path]
        for t in (0, 20, 39):
            x0, y0, x1, y1 = walk.box[t].astype(int)
            near = np.zeros_like(changed[t])
            near[max(y0 - 4, 0) : y1 + 4, max(x0 - 4, 0) : x1 + 4] = True
            assert changed[t][near].any() and not changed[t][~near].any()


def shifted(values: np.ndarray) -> np.ndarray:
    return np.roll(values, 1, axis=0)


def other_side(values: np.ndarray) -> np.ndarray:
    order = [0, *(i + (1 if i % 2 else -1) for i in range(1, 17)), 20, 21, 22, 17, 18, 19]
    return values[:, order]


DEFECTS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray], str]] = {
    "shifted keypoints": ("_keypoints.npy.gz", shifted, "keypoints differ"),
    "left and right": ("_keypoints.npy.gz", other_side, "keypoints differ"),
    "shifted masks": ("_masks.npy.gz", shifted, "masks differ"),
    "a lost mask": ("_masks.npy.gz", lambda a: a[1:], "lengths differ"),
    "a lost pose": ("_keypoints.npy.gz", lambda a: a[:-1], "lengths differ"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_of_an_array_is_found(
    dataset: Dataset, made: Path, rows: Callable[..., list[dict[str, Any]]], tmp_path: Path, defect: str
) -> None:
    ending, change, says = DEFECTS[defect]
    root = shutil.copytree(made, tmp_path / "all")
    path = next(root.rglob(f"*{ending}"))
    values = change(array(path))
    with gzip.open(path, "wb") as file:
        np.save(file, np.ascontiguousarray(values))
    assert says in all_faults(rows(root, "videofolder"), root, dataset)[0]
    if len(values) != sample.LENGTH:
        read = progait.read_keypoints if "keypoints" in ending else _read_masks
        with pytest.raises(GaitloomError, match="39 frames"):
            read(path, sample.LENGTH)


def _read_masks(path: Path, length: int) -> None:
    list(progait.read_masks(path, length, sample.SIZE))


def test_missing_exchanged_and_swapped_files_are_found(
    dataset: Dataset, made: Path, rows: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    """The client counts a row whose video is gone; it is found when rows are decoded, which is what one must do."""
    root = shutil.copytree(made, tmp_path / "all")
    one, other = sorted((root / "videos" / "inside").iterdir())[:2]
    one.unlink()
    found = rows(root, "videofolder")
    assert len(found) == 4 and one.name in all_faults(found, root, dataset)[0]
    shutil.copy(other, one)
    assert "of the video is another" in all_faults(rows(root, "videofolder"), root, dataset)[0]
    xml = next((root / "annotations").rglob("*.xml"))
    text = xml.read_text()
    marks = (('label="4"', 'label="?"'), ('label="5"', 'label="4"'), ('label="?"', 'label="5"'))
    for was, now in marks:
        text = text.replace(f"<points {was}", f"<points {now}")
    xml.write_text(text)
    assert "the XML's keypoints differ" in all_faults(rows(root, "videofolder"), root, dataset)


def test_without_videos_no_row_points_to_one(dataset: Dataset, tmp_path: Path) -> None:
    few = sample.dataset(dataset.plan.config.results.parent, "registered")
    folder = unzipped(few, tmp_path)
    assert not (folder / "metadata.jsonl").exists() and not list(folder.rglob("*.mp4"))
    assert len(list(folder.rglob("*.npy.gz"))) == 8
    with mock.patch.object(Dataset, "unaudited", lambda s, e: ["red"] if e is dataset.entries[0] else []):
        EXPORTER.dataset(dataset, tmp_path / "withheld")
    lines = (tmp_path / "withheld" / "videos" / "metadata.jsonl").read_text().splitlines()
    assert [json.loads(line)["ID"] for line in lines] == [EXPORTER.name(e) for e in dataset.entries[1:]]


def test_frames_that_are_not_valid_hold_nobody(dataset: Dataset, tmp_path: Path) -> None:
    with exported.nobody():
        folder = unzipped(dataset, tmp_path)
    gone = np.isin(np.arange(sample.LENGTH), exported.GONE)
    for path in folder.rglob("*.npy.gz"):
        values = array(path)
        assert len(values) == sample.LENGTH
        np.testing.assert_array_equal(values.reshape(len(values), -1).any(axis=1), ~gone)
    for path in folder.rglob("*.xml"):
        assert cvat.read_keypoints(path, sample.LENGTH, sample.SIZE).valid.tolist() == (~gone).tolist()
        assert [m.any() for m in cvat.read_masks(path, sample.LENGTH, sample.SIZE)] == (~gone).tolist()


def test_the_last_run_of_a_mask_is_written(made: Path) -> None:
    for line in next(made.rglob("*.xml")).read_text().splitlines():
        if line.startswith("<mask"):
            value = dict(
                part.split('="') for part in line.rstrip("/>").replace('" ', '"\n').split("\n") if '="' in part
            )
            sides = [int(value[k].strip('"')) for k in ("width", "height")]
            runs = [int(r) for r in line.split('rle="')[1].split('"')[0].split(",")]
            assert sum(runs) == sides[0] * sides[1]


def test_ids(dataset: Dataset) -> None:
    def of(name: str, **columns: str) -> tuple[str, str]:
        entry: Any = SimpleNamespace(subject="P1", name=name, columns=columns)
        return EXPORTER.subset(entry), EXPORTER.name(entry)

    assert of("clip") == ("inside", "P1_0_clip_s")
    assert of("trial-3_cam-frontal", setting="outside", prosthesis="7") == ("outside", "P1_7_trial-3-cam-frontal_f")
    assert of("trial-3", setting="../x", prosthesis="a/../b", view="front") == ("inside", "P1_0_trial-3_f")
    assert len({EXPORTER.name(e) for e in dataset.entries}) == 4


def test_texts_of_the_label_table(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "progait.tsv"
    path.write_text(
        "subject\ttrial\tcategory\tdeviation\tadjustment\treason\n"
        f"{sample.SUBJECTS[0]}\t1\t4\tknee bends late\tstiffen it\tweak swing\n"
    )
    folder = dataset.plan.config.results.parent
    tiers = {"controlled": {"k": 1, "labels": ["progait"]}}
    told = sample.dataset(folder, tiers=tiers, labels={"progait": path})
    EXPORTER.dataset(told, tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "videos" / "metadata.jsonl").read_text().splitlines()]
    texts = sorted(line["txt"] for line in lines)
    assert texts[:3] == [""] * 3 and texts[3].startswith("CCC: 4\n1) knee bends late")


def test_equal_bytes_and_released_names_alone(dataset: Dataset, made: Path, tmp_path: Path) -> None:
    files = exported.files(made)
    assert exported.files(unzipped(dataset, tmp_path)) == files
    everything = b"".join(files.values()) + " ".join(files).encode()
    everything += b"".join(gzip.decompress(v) for k, v in files.items() if k.endswith(".gz"))
    for word in (*sample.SUBJECTS, sample.SESSION, "gaitloom-"):
        assert word.encode() not in everything


def test_manual_nodes_win(dataset: Dataset) -> None:
    with exported.corrected(dataset, "keypoints") as both:
        assert list(EXPORTER.refused(both)) == ["keypoints"]
    assert EXPORTER.refused(dataset) == {}
