"""SAM 2.1's silhouettes through ultralytics, on random weights: its own masks, memory that does not grow, one clip at a
time."""

from copy import copy
from functools import cache
from pathlib import Path
from typing import Any

import footage
import numpy as np
import pytest
import yolo_nets
from gaitloom.backends import Device, find, load
from gaitloom.errors import GaitloomError
from walker import Walk

pytest.importorskip("torch", reason="torch is not installed")

SIZE = 128  # of the picture inside the model: quick


@cache
def loaded() -> Any:
    options = yolo_nets.options(yolo_nets.sam2(), image_size=SIZE, overlap=0)
    return load("silhouette", "sam2", find("silhouette", "sam2").Options(**options))


def sam(**more: Any) -> Any:
    """The backend with other options, loaded only once: each stream begins afresh, which is tested here."""
    backend = copy(loaded())
    backend._options = backend._options.model_copy(update=more)
    return backend


@pytest.fixture(scope="module")
def walk() -> Walk:
    return Walk(frames=4, fps=6, size=(320, 240))


def pairs(walk: Walk, frames: Any = range(4)) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(walk.frame(t), walk.box[t]) for t in frames]


def masks(backend: Any, given: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    found = list(backend.masks(iter(given)))
    assert all(f is not None and f[1] == (0, 0) for f in found)
    return [f[0] for f in found]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    """IoU of at least 0.99 in every frame."""
    return all((a & b).sum() >= 0.99 * (a | b).sum() for a, b in zip(one, other, strict=True))


def test_masks_are_ultralytics_own(walk: Walk, tmp_path: Path) -> None:
    """Against its video predictor on the same video, prompted with the first box; and against planted faults."""
    cv2 = pytest.importorskip("cv2")
    yolo_nets.ultralytics()
    from ultralytics.models.sam import SAM2VideoPredictor

    video = footage.write(tmp_path / "walk.mp4", (walk.frame(t) for t in range(3)), codec="libx264")
    reader = cv2.VideoCapture(str(video))
    bgr = [reader.read()[1] for _ in range(3)]
    named = tmp_path / "sam2.1_t.pt"
    named.symlink_to(yolo_nets.sam2())
    theirs = SAM2VideoPredictor(overrides={"model": str(named), "imgsz": SIZE, "save": False, "verbose": False})
    expected = [r.masks.data[0].numpy() > 0 for r in theirs(source=str(video), bboxes=[walk.box[0].tolist()])]

    backend = sam()
    images = [np.ascontiguousarray(i[..., ::-1]) for i in bgr]
    found = masks(backend, list(zip(images, walk.box[:3], strict=True)))
    assert all(0 < m.mean() < 1 for m in found) and not same(found[:1], found[1:2])
    assert same(found, expected)
    boxes = walk.box[:3]
    faults = {
        "channels": masks(backend, list(zip(bgr, boxes, strict=True))),
        "frame": masks(backend, list(zip([images[i] for i in (1, 2, 0)], boxes, strict=True))),
        "letterbox": [np.roll(m, 1, 0) for m in found],
        "mirrored": [m[:, ::-1] for m in found],
    }
    missed = [fault for fault, wrong in faults.items() if same(wrong, expected)]
    assert not missed, f"this comparison does not notice: {missed}"


def test_memory_matters_and_ends_with_the_clip(walk: Walk) -> None:
    """Twice the same on one instance, with another clip in between; otherwise where the frames before are others."""
    backend = sam()
    first = masks(backend, pairs(walk))
    masks(backend, pairs(Walk(frames=2, size=(241, 319)), range(2)))
    assert all(np.array_equal(a, b) for a, b in zip(first, masks(backend, pairs(walk)), strict=True))
    later = masks(backend, pairs(walk, [2, 3]))
    assert not np.array_equal(first[3], later[1])


def test_memory_does_not_grow(walk: Walk) -> None:
    backend, given, held = sam(reprompt_every=None), pairs(walk), []
    for _ in backend.masks(given[t % 4] for t in range(12)):
        outputs = backend._sam.inference_state["output_dict"]
        held.append(sum(map(len, outputs.values())))
    assert held[0] == 1 and held[3] == 4
    assert held[-1] == held[-3] == max(held) <= 9


def test_masks_begin_anew_where_asked(walk: Walk) -> None:
    """Every frame prompted: each frame by itself. Every second: the third begins where a clip of its own would."""
    every = masks(sam(reprompt_every=1), pairs(walk))
    backwards = masks(sam(reprompt_every=1), pairs(walk, [3, 2, 1, 0]))
    assert all(np.array_equal(a, b) for a, b in zip(every, backwards[::-1], strict=True))
    second = masks(sam(reprompt_every=2), pairs(walk))
    never = masks(sam(reprompt_every=None), pairs(walk))
    assert np.array_equal(second[1], never[1]) and not np.array_equal(second[2], never[2])
    assert all(np.array_equal(a, b) for a, b in zip(second[2:4], masks(sam(), pairs(walk, [2, 3])), strict=True))


def test_a_mask_that_strays_from_the_track_begins_anew(walk: Walk) -> None:
    """Random masks fill the picture, far beyond the box: each frame is prompted."""
    strict = masks(sam(overlap=0.9), pairs(walk))
    assert all(np.array_equal(a, b) for a, b in zip(strict, masks(sam(reprompt_every=1), pairs(walk)), strict=True))


def test_files_of_other_models_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = find("silhouette", "sam2")

    def refused(path: Path, sentence: str) -> None:
        with pytest.raises(GaitloomError, match=sentence) as caught:
            module.Backend(module.Options(**yolo_nets.options(path)))
        assert "\n" not in str(caught.value)

    broken = tmp_path / "broken.pt"
    broken.write_bytes(yolo_nets.sam2().read_bytes()[:1_000_000])
    refused(broken, "broken.pt are not a checkpoint of tensors alone")
    refused(yolo_nets.yolo("-seg"), "random-seg.pt are not a checkpoint of tensors alone")
    other = tmp_path / "other.pt"
    torch.save({"model": {"weight": torch.zeros(2)}}, other)
    refused(other, r"other\.pt are not those of SAM 2\.1 \(no image encoder of its sizes\)\.$")
    blocks = {f"image_encoder.trunk.blocks.{i}.norm1.weight": torch.zeros(2) for i in range(12)}
    torch.save({"model": blocks}, other)
    refused(other, r"other\.pt are not those of SAM 2\.1 \(Error")


def test_what_the_machine_cannot_do_is_said_at_once() -> None:
    module, options = find("silhouette", "sam2"), yolo_nets.options(yolo_nets.sam2())
    with pytest.raises(GaitloomError, match=r"^The option `half` needs a GPU; [^.]*\.$"):
        module.Backend(module.Options(**options, half=True))
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(GaitloomError, match="asks for the device cuda, and PyTorch sees 0 GPUs here"):
            module.Backend(module.Options(**options), Device("cuda"))


def test_out_of_memory_is_said_in_one_sentence(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes one frame at a time, so there is no smaller batch."""

    def full(picture: Any) -> Any:
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    backend = sam()
    monkeypatch.setattr(backend._sam.model, "forward_image", full)
    with pytest.raises(GaitloomError, match="does not fit into the device's memory even one frame at a time"):
        masks(backend, pairs(walk))
