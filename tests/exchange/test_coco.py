"""COCO JSON by hand, against pycocotools' own reading, and back from our own."""

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gaitloom.exchange import coco
from gaitloom.keypoint_formats import COCO_17, HALPE_26, WHOLEBODY_23, KeypointFormat
from pycocotools import mask as rle
from pycocotools.coco import COCO

from .people import LENGTH, SIZE, boxes, masks, person, refused, same

CATEGORY = {"id": 7, "name": "walker", "keypoints": ["left_heel", "nose", "hat"], "skeleton": [[1, 2]]}


def image(identity: int, **more: Any) -> dict[str, Any]:
    return {"id": identity, "width": 6, "height": 4, **more}


def label(identity: int, of: int, **more: Any) -> dict[str, Any]:
    return {"id": identity, "image_id": of, "category_id": 7, **more}


def save(tmp_path: Path, images: Any, annotations: Any, categories: Any = (CATEGORY,)) -> Path:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


POINTS = [1.5, 2.5, 2, 0, 0, 0, 3, 1, 1]
IMAGES = [
    image(90, file_name="a/clip3_0002.jpg"),
    image(1, file_name="first.jpg"),
    image(5, frame_index=0, file_name="9.jpg"),
]


def test_keypoints_by_hand(tmp_path: Path) -> None:
    """The category's own names; v 0 absent whatever its place, 1 hidden, 2 seen; three ways to say the frame."""
    path = save(
        tmp_path,
        IMAGES,
        [label(1, 90, keypoints=POINTS, bbox=[1, 1, 2.5, 2]), label(2, 5, keypoints=[4, 4, 0] * 2 + [0, 1, 2])],
    )
    found = coco.read_keypoints(path, 4, (6, 4))
    assert found.names == ("left_heel", "nose", "hat")
    assert found.valid.tolist() == [True, False, True, False]
    np.testing.assert_array_equal(found.xy[2], [[1.5, 2.5], [np.nan] * 2, [3, 1]])
    np.testing.assert_array_equal(found.xy[0], [[np.nan] * 2] * 2 + [[0, 1]])
    assert found.score[2].tolist() == [1, 0, 1]
    assert found.occluded is not None and np.argwhere(found.occluded).tolist() == [[2, 2]]
    assert found.box is not None and found.box[2].tolist() == [1, 1, 3.5, 3] and np.isnan(found.box[0]).all()


def test_the_subject_among_several(tmp_path: Path) -> None:
    other = [5, 3, 2, 5.5, 3.5, 2, 5, 3.5, 2]
    path = save(tmp_path, [image(0)], [label(1, 0, keypoints=other), label(2, 0, keypoints=POINTS, bbox=[1, 1, 2, 2])])
    with refused(path, "frame 0 shows 2 people"):
        coco.read_keypoints(path, 1, (6, 4))
    assert coco.read_keypoints(path, 1, (6, 4), np.array([[1.0, 1, 3, 3]])).xy[0, 0].tolist() == [1.5, 2.5]
    assert coco.read_keypoints(path, 1, (6, 4), np.array([[5.0, 3, 5.6, 3.5]])).xy[0, 0].tolist() == [5, 3]
    two = [{"counts": [0, 4, 20], "size": [4, 6]}, {"counts": [20, 4], "size": [4, 6]}]
    path = save(tmp_path, [image(0)], [label(i, 0, segmentation=s) for i, s in enumerate(two)])
    assert np.argwhere(next(coco.read_masks(path, 1, (6, 4), np.array([[5.0, 0, 6, 4]]))).any(axis=0)).tolist() == [[5]]
    with refused(path, "frame 0 shows 2 people"):
        list(coco.read_masks(path, 1, (6, 4)))


MASK = np.array([[0, 1, 1, 0, 0, 0], [0, 0, 1, 0, 0, 1], [0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 1]], bool)


def test_masks_by_hand(tmp_path: Path) -> None:
    """Plain runs column by column, pycocotools' compressed ones, and a polygon as it fills it."""
    runs = [3, 2, 3, 2, 11, 3]
    text = rle.encode(np.asfortranarray(MASK, np.uint8))["counts"].decode()
    polygon = [1.0, 1.0, 5.0, 1.0, 5.0, 3.0]
    kinds = [{"size": [4, 6], "counts": runs}, {"size": [4, 6], "counts": text}, [polygon, [0, 0, 1, 0, 1, 1, 0, 1]]]
    path = save(tmp_path, [image(i) for i in range(3)], [label(i, i, segmentation=s) for i, s in enumerate(kinds)])
    found = list(coco.read_masks(path, 4, (6, 4), category="walker"))
    np.testing.assert_array_equal(found[0], MASK)
    np.testing.assert_array_equal(found[1], MASK)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(path))
    np.testing.assert_array_equal(found[2], theirs.annToMask(theirs.anns[2]))
    assert found[2].sum() and not found[3].any() and found[3].shape == (4, 6)


@pytest.mark.parametrize("seed", range(5))
def test_compressed_runs_are_pycocotools_own(tmp_path: Path, seed: int) -> None:
    """Of all lengths, long ones and differences below zero among them."""
    rng = np.random.default_rng(seed)
    mask = np.repeat(rng.random(300) < 0.5, rng.integers(1, 4000 if seed else 3, 300))
    mask = mask[: len(mask) // 10 * 10].reshape(10, -1, order="F")
    text = rle.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    runs = coco._runs(text).astype(int)
    np.testing.assert_array_equal(np.repeat(np.arange(len(runs)) % 2 == 1, runs), mask.ravel(order="F"))


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("form", [COCO_17, WHOLEBODY_23, HALPE_26], ids=lambda f: f.name)
def test_round_trip(tmp_path: Path, form: KeypointFormat, compressed: bool) -> None:
    given = person(form.points, box=boxes())
    there = np.isfinite(given.xy[..., 0])
    given = replace(given, occluded=there & (np.random.default_rng(2).random(there.shape) < 0.3))
    path = tmp_path / "c.json"
    coco.write(path, LENGTH, SIZE, given, masks(), compressed=compressed)
    same(coco.read_keypoints(path, LENGTH, SIZE), given, "box", "occluded")
    np.testing.assert_array_equal(list(coco.read_masks(path, LENGTH, SIZE)), masks())
    first = path.read_bytes()
    coco.write(path, LENGTH, SIZE, given, iter(masks()), compressed=compressed)
    assert path.read_bytes() == first
    coco.write(path, LENGTH, SIZE, given, masks(), first=1, file_name="x_{:03d}.png")
    same(coco.read_keypoints(path, LENGTH, SIZE, first=1), given, "box", "occluded")
    with refused(path, "frame 5"):
        coco.read_keypoints(path, LENGTH, SIZE)


@pytest.mark.parametrize("compressed", [True, False])
def test_pycocotools_reads_ours(tmp_path: Path, compressed: bool) -> None:
    given = person(COCO_17.points)
    coco.write(tmp_path / "c.json", LENGTH, SIZE, given, masks(), compressed=compressed)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(tmp_path / "c.json"))
    assert theirs.cats[1]["keypoints"] == list(COCO_17.points)
    assert theirs.cats[1]["skeleton"] == [[a + 1, b + 1] for a, b in COCO_17.edges]
    assert len(theirs.imgs) == LENGTH and sorted(a["image_id"] for a in theirs.anns.values()) == [0, 1, 3, 4]
    for annotation in theirs.anns.values():
        mask = masks()[annotation["image_id"]]
        np.testing.assert_array_equal(theirs.annToMask(annotation), mask)
        assert annotation["area"] == mask.sum()
        points = np.array(annotation["keypoints"]).reshape(-1, 3)
        assert (
            annotation["num_keypoints"]
            == (points[:, 2] > 0).sum()
            == np.isfinite(given.xy[annotation["image_id"], :, 0]).sum()
        )
    coco.write(tmp_path / "m.json", LENGTH, SIZE, None, masks())
    for annotation in json.loads((tmp_path / "m.json").read_text())["annotations"]:
        assert (
            annotation["bbox"]
            == rle.toBbox(rle.encode(np.asfortranarray(masks()[annotation["image_id"]], np.uint8))).tolist()
        )


COUNTS = rle.encode(np.asfortranarray(MASK, np.uint8))["counts"].decode()


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [4, 6], "counts": COUNTS[:-1]},  # pycocotools fills in what a cut string lacks from anywhere
        {"size": [4, 6], "counts": COUNTS + "1"},
        {"size": [4, 6], "counts": "~~~~"},
        {"size": [4, 6], "counts": "o" * 999},
        {"size": [4, 6], "counts": [3, 2]},
        {"size": [4, 6], "counts": [30, -6]},
        {"size": [4, 6], "counts": [23.5, 0.5]},
        {"size": [4, 6]},
        {"counts": [24]},
        {"size": [6, 4], "counts": [24]},
        [[1, 1, 2]],
        [[1, 1, 2, 2]],
        ["text"],
        "text",
    ],
)
def test_bad_segmentations_get_one_sentence(tmp_path: Path, segmentation: object) -> None:
    with refused("c.json", "frame 2"):
        list(coco.read_masks(save(tmp_path, [image(2)], [label(1, 2, segmentation=segmentation)]), 4, (6, 4)))


@pytest.mark.parametrize(
    ("images", "annotations", "categories", "says"),
    [
        ([image(7)], [], [CATEGORY], "frame 7"),
        ([image(1), image(2, frame_index=1)], [], [CATEGORY], "frame 1, image 2, is there twice"),
        ([image(1), image(1, frame_index=2)], [], [CATEGORY], "twice"),
        ([image(1, height=5)], [], [CATEGORY], "6x5"),
        ([image(1)], [label(1, 3, keypoints=POINTS)], [CATEGORY], "image 3"),
        ([image(1)], [label(1, 1, keypoints=POINTS[:6])], [CATEGORY], "frame 1: keypoints"),
        ([image(1)], [label(1, 1, keypoints=[*POINTS[:8], 0.9])], [CATEGORY], "visibility"),
        ([image(1)], [label(1, 1, keypoints=[None, *POINTS[1:]])], [CATEGORY], "without a place"),
        ([image(1)], [label(1, 1, keypoints=POINTS, keypoint_scores=[1])], [CATEGORY], "keypoint_scores"),
        ([image(1)], [], [{"id": 1, "name": "a"}], "none"),
        ([image(1)], [], [CATEGORY, {**CATEGORY, "id": 8, "name": "nurse"}], "nurse or walker"),
        ({}, [], [CATEGORY], "'images'"),
        ([3], [], [CATEGORY], "image 0"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path: Path, images: Any, annotations: Any, categories: Any, says: str) -> None:
    with refused("c.json", says):
        coco.read_keypoints(save(tmp_path, images, annotations, categories), 4, (6, 4))


def test_a_list_of_results_is_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("[]")
    with refused("c.json", "not an object"):
        coco.read_keypoints(tmp_path / "c.json", 4, (6, 4))
    with refused("c.json", "walker"):
        coco.read_masks(save(tmp_path, [], []), 4, (6, 4), category="dog")


@pytest.mark.parametrize("change", [-1, 1])
def test_as_many_masks_as_the_clip_has_frames(tmp_path: Path, change: int) -> None:
    with refused("c.json", f"{LENGTH + change} frames"):
        coco.write(tmp_path / "c.json", LENGTH, SIZE, None, (masks() * 2)[: LENGTH + change])
    assert list(tmp_path.iterdir()) == []
