"""YOLOv8's silhouettes through ultralytics: its own masks, the tracked person's, on the real int8 weights and on random
ones in two file formats."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yolo_nets
from conftest import SHARED
from gaitloom import config
from gaitloom.backends import Device, _ultralytics, find, load
from gaitloom.errors import GaitloomError
from walker import Walk

pytest.importorskip("torch", reason="torch is not installed")

WEIGHTS = SHARED / "weights" / "yolov8n-seg_int8.tflite"
SHA256 = "ad5a89a78acae95be79a1f6dc7399b952f96a7c767af3fad86b9647fecb0658f"


def weights_of(kind: str) -> Path:
    if kind == "tflite":
        yolo_nets.ultralytics()
        if not WEIGHTS.is_file():
            pytest.skip("the real weights yolov8n-seg_int8.tflite are not on this machine")
        return WEIGHTS
    return {"pt": yolo_nets.yolo, "onnx": yolo_nets.exported}[kind]("-seg")


def seg(kind: str, device: Device | None = None, **more: Any) -> Any:
    """The backend; random models see people anywhere, so that a small overlap must do."""
    random = {} if kind == "tflite" else {"image_size": 320, "overlap": 0.05}
    options = yolo_nets.options(weights_of(kind), **random, **more)
    return load("silhouette", "yolov8_seg", find("silhouette", "yolov8_seg").Options(**options), device or Device())


@pytest.fixture(scope="module")
def backend() -> Any:
    return seg("tflite")


@pytest.fixture(scope="module")
def walk() -> Walk:
    return Walk(frames=3, fps=8, size=(361, 243))


def pairs(walk: Walk) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(walk.frame(t), walk.box[t]) for t in range(3)]


def full(found: Any, shape: tuple[int, int]) -> np.ndarray:
    """A backend's mask at the size of the frame; empty where it saw nobody."""
    whole = np.zeros(shape, bool)
    if found is not None:
        mask, (x, y) = found
        whole[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    return whole


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


CASES = [(kind, region) for kind in ("tflite", "pt") for region in ("subject", "frame")] + [("onnx", "subject")]


@pytest.mark.parametrize(("kind", "region"), CASES)
def test_masks_are_ultralytics_own(kind: str, region: Any, walk: Walk) -> None:
    """Against `YOLO.predict` as a person would call it on the same picture, and against planted faults."""
    theirs = yolo_nets.ultralytics().YOLO(str(weights_of(kind)), task="segment")
    size, same = (640, 0.99) if kind == "tflite" else (320, 1.0)

    def agrees(mask: np.ndarray, bgr: np.ndarray) -> bool:
        # A crop is padded to a square whatever its shape, so that its neighbours in a batch do not matter.
        arguments = {"classes": [0], "retina_masks": True, "imgsz": size, "rect": region == "frame", "verbose": False}
        found = theirs.predict(np.ascontiguousarray(bgr), **arguments)[0].masks
        return found is not None and max(iou(mask, e) for e in found.data.numpy() > 0) >= same

    masks, bad = [], dict.fromkeys(("channels", "letterbox", "frame", "mirrored"), True)
    for t, found in enumerate(seg(kind, region=region).masks(iter(pairs(walk)))):
        assert found is not None
        mask, (x, y) = found
        assert ((x, y) == (0, 0) and mask.shape == (243, 361)) == (region == "frame")
        shown, other = (walk.frame(i)[y : y + mask.shape[0], x : x + mask.shape[1]] for i in (t, (t + 1) % 3))
        assert 0 < mask.mean() < 1
        assert agrees(mask, shown[..., ::-1])
        bad["channels"] = bad["channels"] and agrees(mask, shown)
        bad["letterbox"] = bad["letterbox"] and agrees(np.roll(mask, 1, 0), shown[..., ::-1])
        bad["frame"] = bad["frame"] and agrees(mask, other[..., ::-1])
        bad["mirrored"] = bad["mirrored"] and agrees(mask[:, ::-1], shown[..., ::-1])
        masks.append(full(found, (243, 361)))
    assert not any(bad.values()), f"this comparison does not notice: {[k for k, v in bad.items() if v]}"
    assert any((a != b).any() for a, b in pairwise(masks)), "always the same mask"


@pytest.mark.parametrize(("kind", "region"), CASES[2:])
def test_who_else_is_in_the_batch_does_not_matter(kind: str, region: Any, walk: Walk) -> None:
    """Also with pictures of several sizes, and with exports that take one picture at a time."""
    small = Walk(frames=2, size=(320, 240))
    given = [*pairs(walk), (small.frame(0), small.box[0])]
    alone, together = (list(seg(kind, Device(batch=b), region=region).masks(iter(given))) for b in (1, 3))
    for (image, _), one, other in zip(given, alone, together, strict=True):
        assert one is not None and other is not None and one[1] == other[1]
        assert iou(full(one, image.shape[:2]), full(other, image.shape[:2])) > 0.999


def test_several_frames_at_once_only_where_the_file_takes_them() -> None:
    assert seg("pt", Device(batch=3))._model.batch == 3
    assert seg("onnx", Device(batch=3))._model.batch == seg("tflite", Device(batch=3))._model.batch == 1


def test_out_of_memory_halves_the_batch(walk: Walk, capfd: pytest.CaptureFixture[str]) -> None:
    expected = list(seg("pt").masks(iter(pairs(walk))))
    tight = seg("pt", Device(batch=3))
    real, sizes = tight._model._model.predict, []

    def predict(pictures: list[np.ndarray], **arguments: Any) -> Any:
        sizes.append(len(pictures))
        if len(pictures) > 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return real(pictures, **arguments)

    tight._model._model.predict = predict
    for one, other in zip(expected, tight.masks(iter(pairs(walk))), strict=True):
        assert iou(full(one, (243, 361)), full(other, (243, 361))) > 0.999
    assert sizes == [3, 1, 1, 1]
    assert "1 frames at once from here on" in "".join(capfd.readouterr())


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


def model(weights: Path, *tasks: str, device: Device | None = None, **more: Any) -> Any:
    options = _ultralytics.Options(weights=str(weights), **more)
    return _ultralytics.Model(weights, tasks, options, device or Device())


@pytest.mark.parametrize("ending", ["xyz", "pt", "onnx", "tflite"])
def test_a_file_that_is_no_model_is_refused(ending: str, tmp_path: Path) -> None:
    yolo_nets.ultralytics()
    wrong = tmp_path / f"wrong.{ending}"
    wrong.write_text("no model")
    with pytest.raises(GaitloomError, match=rf"wrong\.{ending} are not a model for 'segment' that") as caught:
        model(wrong, "segment")
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(weights_of("pt").read_bytes()[:100_000])
    with pytest.raises(GaitloomError, match=r"broken\.pt are not a model for 'segment' that ultralytics reads"):
        model(broken, "segment")


@pytest.mark.parametrize(
    ("made", "kind", "needed", "is_for"),
    [
        (yolo_nets.yolo, "", "segment", "detect"),
        (yolo_nets.yolo, "-seg", "pose", "segment"),
        (yolo_nets.exported, "-seg", "pose", "segment"),
        (yolo_nets.exported, "-pose", "segment", "pose"),
    ],
)
def test_a_model_for_another_task_is_refused(made: Any, kind: str, needed: str, is_for: str) -> None:
    with pytest.raises(GaitloomError, match=rf"are a model for '{is_for}', not for '{needed}'\.$"):
        model(made(kind), needed)


def test_what_the_machine_cannot_do_is_said_at_once() -> None:
    yolo_nets.ultralytics()
    with pytest.raises(GaitloomError, match=r"^The option `half` needs a GPU; [^.]*\.$"):
        model(weights_of("pt"), "segment", half=True)
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(GaitloomError, match="asks for the device cuda:0, and PyTorch sees 0 GPUs here"):
            model(weights_of("pt"), "segment", device=Device("cuda:0"))


def test_another_file_than_the_configured_one_is_never_unpickled(tmp_path: Path, monkeypatch: Any) -> None:
    other = tmp_path / "other.pt"
    other.write_bytes(weights_of("pt").read_bytes())
    monkeypatch.setattr(_ultralytics, "Model", lambda *_: pytest.fail("loaded"))
    module = find("silhouette", "yolov8_seg")
    with pytest.raises(GaitloomError, match=r"have SHA-256 [0-9a-f]{64}, not 0{64}"):
        module.Backend(module.Options(weights=str(other), weights_sha256="0" * 64))
