"""parts: DensePose's labels, and the skeleton backend against the synthetic walker's own parts."""

from typing import Any

import numpy as np
import pytest
from gaitloom.backends.parts import skeleton
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.modalities.parts import Person
from gaitloom.part_labels import COARSE, COLOURS, FINE_OF_COARSE, fine_to_coarse
from project import Project
from walker import GAITS, Walk


def test_fine_labels_go_to_their_coarse_ones() -> None:
    """The table of DensePose's documentation: torso 1-2, hands 3-4, feet 5-6, legs 7-14, arms 15-22, head 23-24."""
    table = fine_to_coarse()
    assert table.shape == (25,)
    assert sorted(f for fine in FINE_OF_COARSE for f in fine) == list(range(25))
    expected = {1: "torso", 3: "right_hand", 4: "left_hand", 5: "left_foot", 6: "right_foot", 9: "right_upper_leg"}
    expected |= {14: "left_lower_leg", 15: "left_upper_arm", 20: "right_lower_arm", 24: "head", 0: "background"}
    assert {fine: COARSE[table[fine]] for fine in expected} == expected
    assert len(COLOURS) == len(COARSE) == len({tuple(c) for c in COLOURS})


def person(walk: Walk, t: int, far: str = "") -> Person:
    """The walker in one frame, with the joints of its far side scored lower."""
    score = np.array([0.8 if far and n.startswith(far) else 1.0 for n in WHOLEBODY_23.points])
    return Person(walk.box[t], None, walk.keypoints[t], score, walk.silhouette(t))


def labels(people: list[Person]) -> list[np.ndarray]:
    """Full-frame labels of each person."""
    full = []
    backend = skeleton.Backend(skeleton.Options())
    for one, found in zip(people, backend.parts(iter(people)), strict=True):
        assert found is not None and one.mask is not None
        label, (x, y) = found
        whole = np.zeros(one.mask.shape, np.uint8)
        whole[y : y + label.shape[0], x : x + label.shape[1]] = label
        full.append(whole)
    return full


def mean_iou(found: list[np.ndarray], truth: list[np.ndarray]) -> float:
    """Mean over the parts that the truth shows, of intersection over union over all frames."""
    found_, truth_ = np.stack(found), np.stack(truth)
    each = [
        ((found_ == c) & (truth_ == c)).sum() / ((found_ == c) | (truth_ == c)).sum()
        for c in range(1, 15)
        if (truth_ == c).any()
    ]
    return float(np.mean(each))


@pytest.mark.parametrize(
    ("view", "direction", "far", "least"),
    [("sagittal", "right", "left", 0.60), ("sagittal", "left", "right", 0.58), ("frontal", "right", "", 0.70)],
)
@pytest.mark.parametrize("gait", ["normal", "shuffling"])
def test_parts_of_the_walker(view: Any, direction: Any, far: str, least: float, gait: str) -> None:
    """Measured with the true joints and masks, normal gait: 0.68 and 0.66 from the side, 0.77 from the front."""
    walk = Walk(gait=GAITS[gait], view=view, direction=direction, frames=12, size=(480, 270))
    truth = [walk.parts(t) for t in range(12)]
    found = labels([person(walk, t, far) for t in range(12)])
    assert all(((f > 0) == (t > 0)).all() for f, t in zip(found, truth, strict=True)), "just the silhouette's pixels"
    assert mean_iou(found, truth) > least
    mirrored = np.arange(15)
    for left, right in ((3, 2), (4, 5), (7, 6), (9, 8), (10, 11), (12, 13)):
        mirrored[[left, right]] = right, left
    assert mean_iou(found, [mirrored[t].astype(np.uint8) for t in truth]) < least - 0.2, "left is the person's left"


def test_the_far_leg_is_behind_the_near_one() -> None:
    walk = Walk(frames=30, size=(480, 270))
    crossing = int(np.abs(walk.keypoints[:, 13, 0] - walk.keypoints[:, 14, 0]).argmin())
    near_right = labels([person(walk, crossing, far="left")])[0]
    near_left = labels([person(walk, crossing, far="right")])[0]
    right, left = (COARSE.index(f"{s}_upper_leg") for s in ("right", "left"))
    assert (near_right == right).sum() > (near_right == left).sum()
    assert (near_left == left).sum() > (near_left == right).sum()


def test_unknown_joints_get_no_pixel() -> None:
    walk = Walk(frames=2, size=(480, 270))
    known = person(walk, 0)
    points = np.array(known.points)
    points[[WHOLEBODY_23.points.index(f"left_{j}") for j in ("elbow", "wrist")]] = np.nan
    found = labels([Person(known.box, None, points, known.score, known.mask)])[0]
    lost = [COARSE.index(n) for n in ("left_hand", "left_lower_arm", "left_upper_arm")]
    assert not np.isin(found, lost).any()
    assert ((found > 0) == known.mask).all()


def test_nobody_is_not_invented() -> None:
    walk = Walk(frames=2, size=(320, 180))
    empty = Person(walk.box[0], None, walk.keypoints[0], np.ones(23), np.zeros((180, 320), bool))
    assert list(skeleton.Backend(skeleton.Options()).parts(iter([empty]))) == [None]


def test_through_the_workflow(project: Project) -> None:
    import zarr

    project.config["nodes"] |= {"silhouette": {"backend": "blazepose"}, "parts": {"backend": "skeleton"}}
    Walk(frames=8, size=(480, 270)).write(project.data / "S_1.mp4")
    project.run()
    clip = project.store / "S/trial-1"
    node, silhouette = (zarr.open_group(clip / n, mode="r") for n in ("parts", "silhouette"))
    assert node["valid"][:].all()
    np.testing.assert_array_equal(node["label"][:] > 0, silhouette["mask"][:])
    assert node.attrs["learned"] is False
    assert node.attrs["label_names"] == list(COARSE)
    assert node["label"].attrs["flag_meanings"].split() == list(COARSE)
    assert project.gaitloom("verify").returncode == 0
