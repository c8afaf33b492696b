"""YOLOv8's keypoints through ultralytics: COCO's 17, exactly as its own `YOLO.predict` gives them on random weights."""

from typing import Any

import numpy as np
import pytest
import yolo_nets
from gaitloom import keypoint_formats
from gaitloom.backends import Device, find, load
from gaitloom.errors import GaitloomError
from gaitloom.keypoint_formats import COCO_17, WHOLEBODY_23
from walker import Walk

pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(scope="module")
def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    walk = Walk(frames=3, fps=8, size=(361, 243))
    return [(walk.frame(t), walk.box[t]) for t in range(3)]


def pose(kind: str = "pt", device: Device | None = None, **more: Any) -> Any:
    weights = (yolo_nets.yolo if kind == "pt" else yolo_nets.exported)("-pose")
    module = find("keypoints", "yolov8_pose")
    options = module.Options(**yolo_nets.options(weights, image_size=320, overlap=0.05, **more))
    return load("keypoints", "yolov8_pose", options, device or Device())


@pytest.mark.parametrize("region", ["subject", "frame"])
@pytest.mark.parametrize("kind", ["pt", "onnx"])
def test_points_are_ultralytics_own(kind: str, region: Any, pairs: Any) -> None:
    """Against `YOLO.predict` on the same picture, and against planted faults."""
    backend = pose(kind, region=region)
    weights = (yolo_nets.yolo if kind == "pt" else yolo_nets.exported)("-pose")
    theirs = yolo_nets.ultralytics().YOLO(str(weights), task="pose")

    def agrees(points: np.ndarray, bgr: np.ndarray, corner: tuple[int, int]) -> bool:
        found = theirs.predict(np.ascontiguousarray(bgr), imgsz=320, rect=region == "frame", verbose=False)[0]
        every = found.keypoints.data.numpy() + np.array([*corner, 0])
        return any(np.allclose(points, e, atol=1e-3) for e in every)

    swap = np.arange(17)
    for left, right in COCO_17.swaps():
        swap[[left, right]] = right, left
    bad = dict.fromkeys(("channels", "letterbox", "frame", "sides"), True)
    every = list(backend.points(iter(pairs)))
    for t, ((image, box), points) in enumerate(zip(pairs, every, strict=True)):
        assert points is not None and (points.shape, points.dtype) == ((17, 3), np.float32)
        side = 1.25 * max(box[2] - box[0], box[3] - box[1])
        x, y = (max(0, int((box[i] + box[i + 2] - side) / 2)) for i in (0, 1))
        ends = [int((box[i] + box[i + 2] - side) / 2 + side) + 1 for i in (0, 1)]
        cut = np.s_[:, :] if region == "frame" else np.s_[y : ends[1], x : ends[0]]
        corner = (0, 0) if region == "frame" else (x, y)
        bgr = image[cut][..., ::-1]
        assert agrees(points, bgr, corner)
        bad["channels"] &= agrees(points, image[cut], corner)
        bad["letterbox"] &= agrees(points + np.array([1, 0, 0], np.float32), bgr, corner)
        bad["frame"] &= agrees(points, pairs[(t + 1) % 3][0][cut][..., ::-1], corner)
        bad["sides"] &= agrees(points[swap], bgr, corner)
    assert not any(bad.values()), f"this comparison does not notice: {[k for k, v in bad.items() if v]}"
    assert not np.allclose(every[0], every[1]), "always the same points"


@pytest.mark.parametrize("region", ["subject", "frame"])
def test_who_else_is_in_the_batch_does_not_matter(region: Any, pairs: Any) -> None:
    alone, together = (list(pose(device=Device(batch=b), region=region).points(iter(pairs))) for b in (1, 3))
    for one, other in zip(alone, together, strict=True):
        assert one is not None and other is not None
        np.testing.assert_allclose(one, other, atol=0.01)


def test_in_the_view_of_23_the_feet_are_missing() -> None:
    points = np.arange(17 * 2, dtype=np.float32).reshape(1, 17, 2)
    xy, score = keypoint_formats.view(points, np.ones((1, 17), np.float32), COCO_17.points)
    for i, name in enumerate(WHOLEBODY_23.points):
        if name in COCO_17.points:
            np.testing.assert_array_equal(xy[0, i], points[0, COCO_17.points.index(name)])
        else:
            assert np.isnan(xy[0, i]).all() and score[0, i] == 0
    assert sum(np.isnan(xy[0, :, 0])) == 6


def test_coco_17_is_cocos() -> None:
    """Names and skeleton as in COCO's person_keypoints annotations (there counted from 1)."""
    skeleton = [
        (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
        (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
    ]  # fmt: skip
    assert {frozenset(e) for e in COCO_17.edges} == {frozenset((a - 1, b - 1)) for a, b in skeleton}
    assert COCO_17.points[0] == "nose" and COCO_17.points[5:7] == ("left_shoulder", "right_shoulder")
    assert COCO_17.points[-2:] == ("left_ankle", "right_ankle") and len(COCO_17.swaps()) == 8


def test_a_model_of_other_points_is_refused() -> None:
    module = find("keypoints", "yolov8_pose")
    with pytest.raises(GaitloomError, match=r"have 12 x 3 values a person, not COCO's 17 x 3\.$"):
        module.Backend(module.Options(**yolo_nets.options(yolo_nets.yolo("-pose", 12))))
