"""YOLOv8 through ultralytics: its own masks, the tracked person's, on the real int8 weights."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch_stand_in
from conftest import SHARED
from gaitloom import config
from gaitloom.backends import _ultralytics, find
from gaitloom.errors import GaitloomError
from walker import Walk

WEIGHTS = SHARED / "weights" / "yolov8n-seg_int8.tflite"
SHA256 = "ad5a89a78acae95be79a1f6dc7399b952f96a7c767af3fad86b9647fecb0658f"


@pytest.fixture(scope="module")
def backend() -> Any:
    pytest.importorskip("ultralytics", reason="ultralytics is not installed", exc_type=(ImportError, RuntimeError))
    torch_stand_in.install()
    if not WEIGHTS.is_file():
        pytest.skip("the real weights yolov8n-seg_int8.tflite are not on this machine")
    module = find("silhouette", "yolov8_seg")
    return module.Backend(module.Options(weights=str(WEIGHTS), weights_sha256=SHA256))


def full(found: Any, shape: tuple[int, int]) -> np.ndarray:
    """A backend's mask at the size of the frame; empty where it saw nobody."""
    whole = np.zeros(shape, bool)
    if found is not None:
        mask, (x, y) = found
        whole[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    return whole


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("region", ["subject", "frame"])
def test_masks_are_ultralytics_own(backend: Any, region: Any) -> None:
    """Against `YOLO.predict` as a person would call it on the same picture; a shifted picture must show."""
    from ultralytics import YOLO

    walk = Walk(frames=4, size=(641, 363))
    module = find("silhouette", "yolov8_seg")
    ours = module.Backend(module.Options(weights=str(WEIGHTS), weights_sha256=SHA256, region=region))
    theirs = YOLO(str(WEIGHTS), task="segment")

    def expected(image: np.ndarray) -> np.ndarray:
        bgr = np.ascontiguousarray(image[..., ::-1])
        return theirs.predict(bgr, classes=[0], retina_masks=True, verbose=False)[0].masks.data.numpy() > 0

    for t, found in enumerate(ours.masks((walk.frame(t), walk.box[t]) for t in range(4))):
        assert found is not None
        mask, (x, y) = found
        assert ((x, y) == (0, 0) and mask.shape == (363, 641)) == (region == "frame")
        shown = walk.frame(t)[y : y + mask.shape[0], x : x + mask.shape[1]]
        assert max(iou(mask, e) for e in expected(shown)) >= 0.99
        assert max(iou(mask, e) for e in expected(np.roll(shown, 9, 1))) < 0.95


@pytest.mark.parametrize("view", ["sagittal", "frontal"])
def test_the_walker_is_segmented(backend: Any, view: Any) -> None:
    """Measured: 0.83 from the side, 0.85 from the front."""
    walk = Walk(view=view, frames=6, size=(640, 360))
    found = list(backend.masks((walk.frame(t), walk.box[t]) for t in range(6)))
    assert np.mean([iou(full(f, (360, 640)), walk.silhouette(t)) for t, f in enumerate(found)]) > 0.8


def test_only_the_tracked_person_counts(backend: Any) -> None:
    walk = Walk(frames=2, size=(640, 360))
    elsewhere = np.array([2, 2, 60, 120], float)
    assert list(backend.masks(iter([(walk.frame(0), elsewhere)]))) == [None]


@pytest.mark.parametrize("clip", ["walk4_side.mp4"], indirect=True)
def test_it_agrees_with_the_embedded_silhouette(backend: Any, clip: Path) -> None:
    from gaitloom.backends.silhouette import blazepose
    from gaitloom.backends.track import blazepose as finder

    with av.open(str(clip)) as container:
        images = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)][::6]
    boxes = [p.box[0] for p in finder.Backend(finder.Options()).people(images)]
    pairs = list(zip(images, boxes, strict=True))
    shape = images[0].shape[:2]
    embedded = blazepose.Backend(blazepose.Options()).masks(iter(pairs))
    shared = [iou(full(a, shape), full(b, shape)) for a, b in zip(embedded, backend.masks(iter(pairs)), strict=True)]
    assert np.mean(shared) >= 0.85, f"mean IoU {np.mean(shared):.3f}"


def test_its_licence_must_be_accepted_by_name() -> None:
    node = {"backend": "yolov8_seg"}
    values: dict[str, Any] = {
        "clips": {"folders": ["data"]},
        "nodes": {"track": {"backend": "blazepose"}, "silhouette": node},
    }
    with pytest.raises(GaitloomError, match=r"silhouette.*AGPL-3\.0.*accept_licences: \[AGPL-3\.0\]"):
        config.parse(values)
    assert config.parse({**values, "accept_licences": ["AGPL-3.0"]}).nodes["silhouette"].backend == "yolov8_seg"


def test_a_file_that_is_no_model_is_refused(backend: Any, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.xyz"
    wrong.write_text("no model")
    with pytest.raises(GaitloomError, match=r"wrong\.xyz are not a model that ultralytics reads"):
        _ultralytics.load(wrong, "segment")
