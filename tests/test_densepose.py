"""DensePose: detectron2's own labels in the tracked box, and nothing but arrays read from its files. Random weights."""
# pyright: reportMissingImports=false, reportCallIssue=false

import hashlib
import importlib.metadata
import importlib.util
import os
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import backend_options
import numpy as np
import pytest
import torch_stand_in
from conftest import ROOT
from gaitloom.backends import CPU, Device
from gaitloom.backends.parts import densepose
from gaitloom.errors import GaitloomError
from gaitloom.modalities.parts import Person
from gaitloom.part_labels import COARSE, FINE, fine_to_coarse
from pydantic import ValidationError
from walker import Walk

SIZE = 96  # shortest side inside the model, in pixels: the time goes into the head, which is as it is
SOURCE = Path(os.environ.get("DETECTRON2_SOURCE", ROOT.parent / "detectron2")) / "projects" / "DensePose" / "configs"
WALK = Walk(frames=4, size=(320, 180), seed=3)
INSTALLED = importlib.util.find_spec("densepose") is not None
installed = pytest.mark.skipif(not INSTALLED, reason="detectron2 is not installed")


@pytest.fixture(scope="module", autouse=True)
def _torch() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    torch_stand_in.install()


def weights() -> dict[str, Any]:
    return {k: v for k, v in backend_options.densepose().items() if k.startswith("weights")}


def backend(device: Device = CPU, **options: Any) -> Any:
    return densepose.Backend(densepose.Options(**{**weights(), "image_size": SIZE, **options}), device)


@cache
def loaded() -> Any:
    return backend(uv=True)


def person(t: int) -> Person:
    """The walker in one frame; corner and sides of the box are no whole numbers, on which rounding would decide."""
    return Person(WALK.box[t] + np.array([0.4, 0.4, 0.7, 0.7]), WALK.frame(t))


@cache
def alone(t: int) -> np.ndarray:
    """What the backend gives for one frame, see `iuv`."""
    (found,) = loaded().parts([person(t)])
    return iuv(found)


def iuv(found: Any) -> np.ndarray:
    """(3, H, W) uint8: labels, U and V in the full frame."""
    label, (x, y), uv = found
    full = np.zeros((3, 180, 320), np.uint8)
    full[:, y : y + label.shape[0], x : x + label.shape[1]] = [label, *uv]
    return full


@cache
def their_model() -> Any:
    """The same file through detectron2's own checkpointer."""
    from detectron2.checkpoint import DetectionCheckpointer

    model = densepose.build("R_50_FPN_s1x").eval()
    DetectionCheckpointer(model).load(weights()["weights"])
    return model


def theirs(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(3, H, W) as `DefaultPredictor` and DensePose's extractor give it, but for a given box."""
    import torch
    from densepose.structures import quantize_densepose_chart_result
    from densepose.vis.extractor import DensePoseResultExtractor
    from detectron2.data import transforms
    from detectron2.structures import Boxes, Instances

    height, width = image.shape[:2]
    bgr = np.ascontiguousarray(image[..., ::-1])  # as cv2.imread
    resize = transforms.ResizeShortestEdge([SIZE, SIZE], 1333).get_transform(bgr)
    seen = torch.as_tensor(resize.apply_image(bgr).astype("float32").transpose(2, 0, 1))
    boxes = Boxes(torch.as_tensor(resize.apply_box(box[None]).astype("float32")))
    given = Instances(tuple(seen.shape[1:]), pred_boxes=boxes, pred_classes=torch.zeros(1, dtype=torch.long))
    with torch.no_grad():
        (found,) = their_model().inference([{"image": seen, "height": height, "width": width}], [given])
    (result,), xywh = DensePoseResultExtractor()(found["instances"])
    x, y, w, h = (int(v) for v in xywh[0])
    full = np.zeros((3, height, width), np.uint8)
    full[:, y : y + h, x : x + w] = quantize_densepose_chart_result(result).labels_uv_uint8.numpy()
    return full


def differ(found: np.ndarray, expected: np.ndarray) -> int:
    """Pixels that have another label, or U and V more than one step apart."""
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    apart = np.abs(found[1:].astype(int) - expected[1:]).max(axis=0) > 1
    return int(((found[0] != expected[0]) | apart).sum())


@installed
def test_labels_and_uv_are_detectron2s_own() -> None:
    """Pixel for pixel; whatever could be got wrong must show in the same comparison."""
    one, other = person(0), person(3)
    assert one.image is not None and other.image is not None
    found, truth = alone(0), theirs(one.image, one.box)
    assert len(np.unique(found[0])) >= 5 and (found[1:].std(axis=(1, 2)) > 1).all()
    assert differ(found, truth) == 0
    assert differ(alone(3), theirs(other.image, other.box)) == 0
    wrong = {
        "colours swapped": theirs(one.image[..., ::-1], one.box),
        "box a pixel aside": theirs(one.image, one.box + np.array([1, 0, 1, 0])),
        "pasted a pixel aside": np.roll(truth, 1, 2),
        "left and right swapped": sides_swapped(truth),
        "U and V swapped": truth[[0, 2, 1]],
        "another frame": theirs(other.image, one.box),
    }
    for fault, expected in wrong.items():
        assert differ(found, expected) > 50, fault


def sides_swapped(full: np.ndarray) -> np.ndarray:
    """Labels of the other side of the body: DensePose's own table for mirrored pictures."""
    from densepose.structures import DensePoseTransformData

    table = np.array(DensePoseTransformData.POINT_LABEL_SYMMETRIES, np.uint8)
    return np.stack([table[full[0]], *full[1:]])


@installed
def test_labels_have_their_names() -> None:
    """Left and right pair up as in DensePose's own tables for mirrored pictures, of fine and of coarse parts."""
    from densepose.structures import DensePoseTransformData

    def other(name: str) -> str:
        return name.translate(str.maketrans("", "", "_0123456789")).replace("left", "@").replace("right", "left")

    for names, table in (
        (FINE, DensePoseTransformData.POINT_LABEL_SYMMETRIES),
        (COARSE, DensePoseTransformData.MASK_LABEL_SYMMETRIES),
    ):
        for name, mirrored in zip(names, (names[i] for i in table), strict=True):
            assert other(name).replace("@", "right") == mirrored.translate(str.maketrans("", "", "_0123456789"))


def test_fine_names_are_those_of_their_coarse_parts() -> None:
    assert len(set(FINE)) == 25 and not any(" " in name for name in FINE)
    for part, coarse in enumerate(fine_to_coarse()):
        assert FINE[part] in (COARSE[coarse], f"{COARSE[coarse]}_{part}")


@installed
def test_coarse_labels_are_fine_ones_through_the_table() -> None:
    coarse = backend(labels="coarse")
    ((label, corner),) = coarse.parts([person(0)])
    found = iuv((label, corner, np.zeros((2, *label.shape), np.uint8)))[0]
    assert (loaded().labels, coarse.labels) == (FINE, COARSE)
    np.testing.assert_array_equal(found, fine_to_coarse()[alone(0)[0]])
    assert len(np.unique(label)) > 2


@installed
def test_a_box_is_cut_to_the_picture() -> None:
    """At the edges as if it ended there; wholly outside, nobody."""
    image = WALK.frame(0)
    across, inside = np.array([-20.0, -5, 60, 300]), np.array([0.0, 0, 60, 180])
    outside = np.array([-50.0, 0, -10, 100])
    cut, whole, none = loaded().parts([Person(b, image) for b in (across, inside, outside)])
    np.testing.assert_array_equal(iuv(cut), iuv(whole))
    assert none is None


@installed
def test_a_batch_is_as_its_frames() -> None:
    order = [0, 3, 0]
    together = backend(Device("cpu", 2), uv=True).parts(person(t) for t in order)
    for t, found in zip(order, together, strict=True):  # other batches only round otherwise
        assert differ(iuv(found), alone(t)) <= 10
        assert differ(iuv(found), alone(3 - t)) > 50


@installed
def test_it_goes_on_with_half_the_batch_when_memory_runs_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    order = [0, 3]
    ours, room = backend(Device("cpu", 2), uv=True), 1
    whole = ours._model.inference

    def inference(inputs: list[Any], *args: Any, **named: Any) -> Any:
        if len(inputs) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return whole(inputs, *args, **named)

    monkeypatch.setattr(ours._model, "inference", inference)
    for t, found in zip(order, ours.parts(person(t) for t in order), strict=True):
        np.testing.assert_array_equal(iuv(found), alone(t))
    assert "1 frames at once from here on" in capsys.readouterr().err
    room = 0
    with pytest.raises(GaitloomError, match=r"does not fit into the device's memory even one frame at a time"):
        list(ours.parts([person(0)]))


@installed
def test_half_precision_is_close_to_single() -> None:
    """On the CPU, which runs it for this test only."""
    ours = backend(uv=True)
    densepose.halve(ours._model, "cpu")
    (half,) = ours.parts([person(0)])
    assert not np.array_equal(iuv(half), alone(0))
    assert (iuv(half)[0] == alone(0)[0]).mean() > 0.99


def test_half_needs_a_gpu() -> None:
    with pytest.raises(GaitloomError, match=r"option half needs a GPU"):
        densepose.Backend(densepose.Options(half=True))


ARCHITECTURES = [
    *(f"R_{n}_FPN{d}{c}_s1x" for n in (50, 101) for d in ("", "_DL") for c in ("", "_WC1", "_WC1M", "_WC2", "_WC2M")),
    *(f"R_{n}_FPN_s1x_legacy" for n in (50, 101)),
]


@installed
@pytest.mark.skipif(not SOURCE.is_dir(), reason="detectron2's source is not here; DETECTRON2_SOURCE names its folder")
def test_architectures_are_those_of_detectron2s_files() -> None:
    """Every setting that inference knows; those of training are left out."""
    from densepose import add_densepose_config
    from detectron2.config import get_cfg

    files = {p.stem.removeprefix("densepose_rcnn_"): p for p in SOURCE.glob("densepose_rcnn_*.yaml")}
    assert sorted(files) == sorted(ARCHITECTURES)
    training = ("WEIGHTS", "DEVICE", "PRE_NMS_TOPK_TRAIN", "POST_NMS_TOPK_TRAIN", "PRE_NMS_TOPK_TEST")
    training += ("INDEX_WEIGHTS", "PART_WEIGHTS", "POINT_REGRESSION_WEIGHTS")

    def settings(cfg: Any, at: str = "") -> dict[str, Any]:
        rows: dict[str, Any] = {}
        for key, value in cfg.items():
            rows |= settings(value, f"{at}{key}.") if hasattr(value, "items") else {f"{at}{key}": value}
        return {k: v for k, v in rows.items() if k.split(".")[-1] not in training}

    for name, file in files.items():
        cfg = get_cfg()
        add_densepose_config(cfg)
        cfg.merge_from_file(str(file))
        ours = densepose.configuration(name)
        assert settings(ours.MODEL) == settings(cfg.MODEL), name
        assert (cfg.INPUT.FORMAT, cfg.INPUT.MAX_SIZE_TEST) == ("BGR", densepose.LONGEST)
        assert densepose.Options().image_size == cfg.INPUT.MIN_SIZE_TEST
        others = [settings(densepose.configuration(n).MODEL) for n in ARCHITECTURES if n != name]
        assert settings(cfg.MODEL) not in others, "no two are alike"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_is_taken_by_its_name(name: str) -> None:
    assert densepose.Options(architecture=name).architecture == name


@pytest.mark.parametrize(
    "options",
    [
        {"architecture": "R_50_FPN"},
        {"architecture": "R_152_FPN_s1x"},
        {"architecture": "R_50_FPN_DL_s1x_legacy"},
        {"labels": "coarse", "uv": True},
        {"image_size": 2000},
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        densepose.Options(**options)


STATE = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.bias": np.zeros(3, np.float32), "n": np.array(2)}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_published_files_are_read(tmp_path: Path, protocol: int) -> None:
    file = tmp_path / "model.pkl"
    content = pickle.dumps({"model": STATE, "__author__": "someone"}, protocol)
    if protocol < 4:  # as NumPy named its module before version 2
        content = content.replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray")
    file.write_bytes(content)
    found = densepose.read(file)
    assert list(found) == list(STATE)
    for name, value in STATE.items():
        np.testing.assert_array_equal(found[name].numpy(), value)


def test_what_was_trained_here_is_read(tmp_path: Path) -> None:
    import torch

    torch.save({"model": {"a": torch.ones(2)}, "iteration": 3}, tmp_path / "model.pth")
    assert densepose.read(tmp_path / "model.pth")["a"].tolist() == [1, 1]


class Evil:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_file_that_runs_code_is_refused_and_not_run(tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps({"model": {"a": Evil(tmp_path / "run")}}))
    with pytest.raises(GaitloomError, match=r"model\.pkl are not .* \(it names \w+\.mkdir, which is no array"):
        densepose.read(file)
    assert not (tmp_path / "run").exists()


BROKEN = [b"", b"no pickle at all", pickle.dumps({"model": STATE})[:200], pickle.dumps([1]), pickle.dumps({"model": 1})]


@pytest.mark.parametrize("content", BROKEN)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(content)
    with pytest.raises(GaitloomError, match=r"^The weights .*\.pkl are not a checkpoint of detectron2's \(.+\)\.$"):
        densepose.read(file)


@installed
def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    """One that lacks weights, one that has more, and one with another shape; older files' buffers do no harm."""
    with pytest.raises(GaitloomError, match=r"are another model's \(they differ in roi_heads.*\); set `architecture`"):
        backend(architecture="R_50_FPN_WC1_s1x")
    state = {name: tensor.numpy() for name, tensor in their_model().state_dict().items()}
    one = next(iter(state))
    model, path = densepose.build("R_50_FPN_s1x"), tmp_path / "model.pkl"
    import torch

    for change in ({"backbone.bottom_up.res4.6.conv1.weight": state[one]}, {one: state[one][:1]}):
        tensors = {k: torch.as_tensor(v) for k, v in {**state, **change}.items()}
        with pytest.raises(GaitloomError, match=rf"{path} are another model's \(they differ in {next(iter(change))}\)"):
            densepose._filled(model, tensors, path)
    old = {"pixel_mean": np.zeros((3, 1, 1)), "proposal_generator.anchor_generator.cell_anchors.0": np.zeros((3, 4))}
    tensors = {k: torch.as_tensor(v) for k, v in {**state, **old}.items()}
    means = densepose._filled(model, tensors, path).pixel_mean.flatten().tolist()
    assert means == pytest.approx([103.53, 116.28, 123.675])


@pytest.mark.skipif(INSTALLED, reason="detectron2 is installed")
def test_without_detectron2_it_says_how_to_get_it() -> None:
    with pytest.raises(GaitloomError, match=r"detectron2 cannot be loaded \(.*\); .* `make env-densepose`"):
        densepose.build("R_50_FPN_s1x")


@installed
def test_through_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node with U and V, made of a video, is sound, and holds what the backend gives."""
    from gaitloom import verify
    from gaitloom.derive import derive
    from gaitloom.plan import Plan
    from gaitloom.store import Store

    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    WALK.write(Path("data/S_1.mp4"))
    parts = {"backend": "densepose", "backend_options": {**weights(), "image_size": SIZE, "uv": True}}
    values = {
        "clips": {"folders": ["data"], "pattern": "{subject}_{trial}"},
        "nodes": {"track": {"backend": "blazepose"}, "parts": parts},
    }
    plan = Plan.load(values, scan=True)
    store = Store(plan.config.results)
    keys = {node: plan.key(plan.clips[0], node) for node in plan.nodes}
    for key in keys.values():
        derive(plan, key, str(plan.planned(key)))
        assert verify.faults(store, key) == []
    node, box = store.open(keys["parts"]), store.open(keys["track"]).load("box")
    assert node.attributes["label_space"] == "densepose_fine_24" and node.attributes["label_names"] == list(FINE)
    assert node.attributes["learned"] is True
    assert importlib.metadata.version("detectron2") == node.attributes["software"]["detectron2"]
    label, uv = node.load("label"), node.load("uv")
    assert (label.shape, uv.shape, uv.dtype) == ((4, 180, 320), (4, 2, 180, 320), np.uint8)
    assert node.load("valid").all() and str(node.arrays["label"].attrs["flag_meanings"]).split() == list(FINE)
    assert uv.any() and not uv[:, :, label.any(axis=0) == 0].any()
    x0, y0, x1, y1 = (int(v) for v in box[2])
    assert not np.delete(label[2], np.s_[y0 : y1 + 1], 0).any() and not np.delete(label[2], np.s_[x0 : x1 + 1], 1).any()
    assert hashlib.sha256(label[0].tobytes()).digest() != hashlib.sha256(label[1].tobytes()).digest()
