"""COCO's own tools load what we export and evaluate it."""

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from gaitloom.agreement import MIRROR
from gaitloom.exchange import coco
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.release.dataset import Dataset, Source
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from walker import Walk

from . import sample
from .exported import GONE, export, files, nobody, walks


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return sample.dataset(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def exported(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(dataset, "coco", tmp_path_factory.mktemp("out") / "coco") / "data"


def load(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def theirs(walk: Walk) -> list[dict[str, Any]]:
    """The walker's points and masks as somebody else's results, in COCO's form of results."""
    from pycocotools import mask as rle

    found = []
    for t in range(sample.LENGTH):
        encoded: Any = rle.encode(np.asfortranarray(walk.silhouette(t), np.uint8))
        points = np.column_stack([walk.keypoints[t], np.ones(23)]).ravel().tolist()
        found.append({"image_id": t, "category_id": 1, "score": 1.0, "keypoints": points, "segmentation": encoded})
    return found


def precision(truth: COCO, results: list[dict[str, Any]], kind: str, sigmas: list[float]) -> float:
    """AP@[.5:.95] by COCO's evaluation."""
    parts = {"keypoints": "segmentation", "segm": "keypoints"}
    kept = [{k: v for k, v in r.items() if k != parts[kind]} for r in copy.deepcopy(results)]
    with contextlib.redirect_stdout(io.StringIO()):
        found = COCOeval(truth, truth.loadRes(kept), kind)
        if kind == "keypoints":
            found.params.kpt_oks_sigmas = np.array(sigmas)
        found.evaluate()
        found.accumulate()
        found.summarize()
    return float(found.stats[0])


def test_pycocotools_loads_every_clip(dataset: Dataset, exported: Path) -> None:
    index = json.loads((exported / "index.json").read_text())
    assert [c["file"] for c in index["clips"]] == [f"annotations/{e.path}.json" for e in dataset.entries]
    for clip, (path, walk) in zip(index["clips"], sorted(walks(dataset).items()), strict=True):
        found = load(exported / clip["file"])
        assert found.cats[1]["keypoints"] == list(WHOLEBODY_23.points)
        assert [found.imgs[t]["file_name"] for t in (0, 39)] == [f"{path}/000000.jpg", f"{path}/000039.jpg"]
        assert len(found.anns) == len(found.imgs) == clip["frames"] == sample.LENGTH
        for annotation in found.anns.values():
            t = annotation["image_id"]
            np.testing.assert_array_equal(found.annToMask(annotation), walk.silhouette(t))
            points = np.reshape(annotation["keypoints"], (23, 3))
            np.testing.assert_array_equal(points[:, :2], walk.keypoints[t].astype(np.float32))
            assert (points[:, 2] == 2).all() and annotation["area"] == walk.silhouette(t).sum()
            x0, y0, x1, y1 = walk.box[t]
            assert annotation["bbox"] == [x0, y0, x1 - x0, y1 - y0]


@pytest.mark.parametrize("kind", ["keypoints", "segm"])
def test_cocos_evaluation_runs_and_sees_faults(dataset: Dataset, exported: Path, kind: str) -> None:
    """With the walker as results, ours as truth: all found. With a fault planted in ours, not."""
    sigmas = json.loads((exported / "index.json").read_text())["kpt_oks_sigmas"]
    assert len(sigmas) == 23
    path, walk = sorted(walks(dataset).items())[0]
    results = theirs(walk)
    truth = load(exported / "annotations" / f"{path}.json")
    assert precision(truth, results, kind, sigmas) == pytest.approx(1)
    shifted, swapped, lost = copy.deepcopy(truth), copy.deepcopy(truth), copy.deepcopy(truth)
    for annotation in shifted.anns.values():
        annotation["image_id"] = (annotation["image_id"] + 3) % sample.LENGTH
    for annotation in swapped.anns.values():
        annotation["keypoints"] = np.reshape(annotation["keypoints"], (23, 3))[MIRROR].ravel().tolist()
    del lost.dataset["annotations"][:10]
    for bad in (shifted, swapped, lost):
        with contextlib.redirect_stdout(io.StringIO()):
            bad.createIndex()
    assert precision(shifted, results, kind, sigmas) < 0.9
    assert precision(lost, results, kind, sigmas) < 0.9
    if kind == "keypoints":
        assert precision(swapped, results, kind, sigmas) < 0.9


def test_a_missing_file_is_in_the_index_still(exported: Path, tmp_path: Path) -> None:
    for name, data in files(exported).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    clips = json.loads((tmp_path / "index.json").read_text())["clips"]
    (tmp_path / clips[1]["file"]).unlink()
    with pytest.raises(FileNotFoundError):
        [load(tmp_path / c["file"]) for c in clips]


def test_our_own_reader_gets_the_same(dataset: Dataset, exported: Path) -> None:
    for path, walk in walks(dataset).items():
        who = coco.read_keypoints(exported / "annotations" / f"{path}.json", sample.LENGTH, sample.SIZE)
        np.testing.assert_array_equal(who.xy, walk.keypoints.astype(np.float32))
        np.testing.assert_allclose(who.score, 0.9, rtol=1e-6)


def test_frames_without_anybody_have_no_annotation(dataset: Dataset, tmp_path: Path) -> None:
    with nobody():
        folder = export(dataset, "coco", tmp_path) / "data"
    for entry in dataset.entries:
        found = load(folder / "annotations" / f"{entry.path}.json")
        shown = {a["image_id"] for a in found.anns.values()}
        assert len(found.imgs) == sample.LENGTH and shown == set(range(sample.LENGTH)) - set(GONE)


def test_one_modality_alone(dataset: Dataset, tmp_path: Path) -> None:
    """Masks alone have the box of the mask; the open tier, points without masks, has the box of the points."""
    preferred = Source.preferred
    with mock.patch.object(Source, "preferred", lambda s, m: preferred(s, m) if m == "silhouette" else None):
        masks = export(dataset, "coco", tmp_path / "masks") / "data"
    path, walk = sorted(walks(dataset).items())[0]
    for annotation in load(masks / "annotations" / f"{path}.json").anns.values():
        x0, y0, x1, y1 = walk.box[annotation["image_id"]]
        assert annotation["bbox"] == [x0, y0, x1 - x0, y1 - y0] and "keypoints" not in annotation
    opened = sample.dataset(tmp_path / "lab", "open")
    points = export(opened, "coco", tmp_path / "points") / "data"
    path, walk = sorted(walks(opened).items())[0]
    for annotation in load(points / "annotations" / f"{path}.json").anns.values():
        xy = walk.keypoints[annotation["image_id"]].astype(np.float32)
        np.testing.assert_allclose(annotation["bbox"], [*xy.min(axis=0), *np.ptp(xy, axis=0)], rtol=1e-5)
        assert "segmentation" not in annotation


def test_the_same_bytes_again_and_no_names(dataset: Dataset, exported: Path, tmp_path: Path) -> None:
    assert files(export(dataset, "coco", tmp_path) / "data") == files(exported)
    text = b"".join(files(exported).values()).decode() + "".join(files(exported))
    assert not any(name.casefold() in text.casefold() for name in (*sample.SUBJECTS, sample.SESSION))
