"""Tracks by YOLOv8 and ultralytics' trackers: the same identities as `YOLO.track`, and a fresh start for every clip."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import test_yolov8
import yolo_nets
from gaitloom import tracking
from gaitloom.backends import Device, find, load
from gaitloom.tracking import People
from walker import Walk

pytest.importorskip("torch", reason="torch is not installed")


def track(weights: Path | None = None, device: Device | None = None, **more: Any) -> Any:
    options = yolo_nets.options(weights or test_yolov8.weights_of("tflite"), **more)
    return load("track", "yolov8", find("track", "yolov8").Options(**options), device or Device())


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return list(Walk(frames=5, fps=25, size=(320, 240)).frames())


def agree(one: list[People], other: list[People]) -> bool:
    return all(
        a.identity is not None
        and b.identity is not None
        and np.array_equal(a.identity, b.identity)
        and np.allclose(a.box, b.box, atol=0.05)
        and np.allclose(a.score, b.score, atol=1e-3)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize(
    ("task", "tracker"), [("", "bytetrack"), ("", "botsort"), ("-seg", "botsort"), ("-pose", "bytetrack")]
)
def test_identities_are_ultralytics_own(task: str, tracker: Any, images: list[np.ndarray]) -> None:
    """Against `YOLO.track` on the same frames: whoever it has confirmed bears the same number at the same detection."""
    module = yolo_nets.ultralytics()
    found = list(track(yolo_nets.yolo(task), tracker=tracker, image_size=320).people(iter(images)))
    model = module.YOLO(str(yolo_nets.yolo(task)))

    def theirs(frames: list[np.ndarray]) -> list[set[tuple[int, int]]]:
        """(identity, score in thousandths) of everyone in each frame."""
        model.predictor = None
        arguments = {
            "persist": True,
            "tracker": f"{tracker}.yaml",
            "imgsz": 320,
            "classes": [0],
            "iou": 0.5,
            "verbose": False,
        }
        every = [model.track(np.ascontiguousarray(f), **arguments)[0].boxes for f in frames]
        return [
            set() if b.id is None else {(int(i), round(float(s) * 1000)) for i, s in zip(b.id, b.conf, strict=True)}
            for b in every
        ]

    assert len({len(p.box) for p in found}) > 1 and max(len(p.box) for p in found) > 3
    ours = [{(int(i), round(float(s) * 1000)) for i, s in zip(p.identity, p.score, strict=True)} for p in found]  # type: ignore[arg-type]
    bgr = [i[..., ::-1] for i in images]
    for mine, expected in zip(ours, theirs(bgr), strict=True):
        assert expected <= mine
    faults = {"channels": images, "frame": bgr[1:] + bgr[:1], "mirrored": [i[:, ::-1] for i in bgr]}
    for fault, frames in faults.items():
        kept = [expected <= mine for mine, expected in zip(ours, theirs(frames), strict=True)]
        assert not all(kept), f"this comparison does not notice: {fault}"


@pytest.mark.parametrize("tracker", ["bytetrack", "botsort"])
def test_a_clip_begins_afresh(tracker: Any, images: list[np.ndarray]) -> None:
    """The same stream twice on one instance, with another clip in between; and nothing depends on the batches."""
    sure = {"confidence": 0.8, "low_confidence": 0.7, "image_size": 320, "tracker": tracker}
    backend = track(yolo_nets.yolo(), **sure)
    first = list(backend.people(iter(images)))
    list(backend.people(Walk(frames=3, size=(241, 319)).frames()))
    assert agree(first, list(backend.people(iter(images))))
    assert not agree(first[1:], list(backend.people(iter(images[1:])))), "this comparison does not notice time"
    batched = track(yolo_nets.yolo(), Device(batch=3), **sure)
    assert batched._model.batch == 3 and agree(first, list(batched.people(iter(images))))


def test_everyone_above_the_confidence_is_reported(images: list[np.ndarray]) -> None:
    """Each detection once, with a number; below the confidence only those who continue a track."""
    backend = track(yolo_nets.yolo(), image_size=320, confidence=0.4, low_confidence=0.05)
    plain = backend._model.predict(images, rect=True)
    weak = 0
    for seen, result in zip(backend.people(iter(images)), plain, strict=True):
        scores = np.sort(result.boxes.conf.numpy())
        np.testing.assert_allclose(np.sort(seen.score[seen.score >= 0.4]), scores[scores >= 0.4], atol=1e-4)
        assert seen.identity is not None and len(set(seen.identity.tolist())) == len(seen.identity)
        assert -1 not in seen.identity
        weak += (seen.score < 0.4).sum()
        assert seen.score.min(initial=1) >= 0.05
    assert weak


def test_the_walker_is_one_person() -> None:
    """The newcomer's first frame already has the number that he keeps."""
    walk = Walk(frames=8, fps=12, size=(640, 360))
    found = list(track().people(walk.frames()))
    overlap = [tracking.iou(p.box, walk.box[t][None])[:, 0] for t, p in enumerate(found)]
    assert {int(p.identity[o.argmax()]) for p, o in zip(found, overlap, strict=True) if p.identity is not None} == {1}
    assert min(o.max() for o in overlap) > 0.5  # the int8 model's boxes are coarse


@pytest.mark.parametrize("clip", ["walk4_side.mp4"], indirect=True)
def test_a_real_walker_keeps_one_number(clip: Path) -> None:
    """Measured: in all of the 91 frames, with either tracker."""
    with av.open(str(clip)) as container:
        frames = (f.to_ndarray(format="rgb24") for f in container.decode(video=0))
        people = list(track().people(frames))
    names = [p.identity for p in people if p.identity is not None]
    time = np.arange(len(people)) / 30
    subject = tracking.subject(people, names, time)
    assert subject is not None
    assert np.mean([subject in n for n in names]) >= 0.9


def test_out_of_memory_goes_on(images: list[np.ndarray]) -> None:
    whole = track(yolo_nets.yolo(), Device(batch=4), image_size=320)
    expected = list(whole.people(iter(images)))
    real = whole._model.predict

    def predict(given: list[np.ndarray], rect: bool) -> Any:
        if len(given) > 2:
            raise MemoryError
        return real(given, rect)

    whole._model.predict = predict
    assert agree(expected, list(whole.people(iter(images))))
