"""Options for backends that carry no weights in a package: real weights where they are here, else random ones.

A maker gives the options' keywords, or skips the test with the reason. Models with random weights are of the right
architecture and prove plumbing only: `UNTRAINED` lists them, so that nothing is expected of what they see.
"""

import hashlib
import pickle
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import alphapose_stand_in
import onnx_nets
import pytest
import torch_stand_in
import yolo_nets
from conftest import SHARED


def real(file: str, sha256: str) -> dict[str, Any]:
    """A weight file beside the project; skips where it is not."""
    path = SHARED / "weights" / file
    if not path.is_file():
        pytest.skip(f"the real weights {file} are not on this machine")
    return {"weights": str(path), "weights_sha256": sha256}


def yolov8_pose() -> dict[str, Any]:
    return yolo_nets.options(yolo_nets.yolo("-pose"), image_size=320, overlap=0.05)


def sam2() -> dict[str, Any]:
    return yolo_nets.options(yolo_nets.sam2(), image_size=256, overlap=0)


def yolov8_seg() -> dict[str, Any]:
    return real("yolov8n-seg_int8.tflite", "ad5a89a78acae95be79a1f6dc7399b952f96a7c767af3fad86b9647fecb0658f")


def alphapose() -> dict[str, Any]:
    return alphapose_stand_in.install(Path(tempfile.mkdtemp(dir=onnx_nets.folder())))


def rtmpose() -> dict[str, Any]:
    return onnx_nets.simcc()


@cache
def gmflow() -> dict[str, Any]:
    """The base model with random weights, laid out as in its authors' files."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from gaitloom.backends.flow import gmflow

    torch.manual_seed(0)
    path = onnx_nets.folder() / "gmflow.pth"
    torch.save({"model": gmflow._ptlflow().gmflow().state_dict()}, path)
    return {"weights": str(path), "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


@cache
def densepose() -> dict[str, Any]:
    """The default model with random weights, laid out as in detectron2's published files; few pixels, to be quick."""
    pytest.importorskip("densepose", reason="detectron2 is not installed")
    import torch
    from gaitloom.backends.parts import densepose

    torch.manual_seed(0)
    state = {name: tensor.numpy() for name, tensor in densepose.build("R_50_FPN_s1x").state_dict().items()}
    path = onnx_nets.folder() / "densepose.pkl"
    path.write_bytes(pickle.dumps({"model": state, "__author__": "nobody"}))
    return {
        "weights": str(path),
        "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "image_size": 64,
    }


def yunet() -> dict[str, Any]:
    sha256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
    return real("face_detection_yunet_2023mar.onnx", sha256)


def retinaface() -> dict[str, Any]:
    sha256 = "2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220"
    return real("retinaface_mobilenet0.25_Final.pth", sha256)


def audit_full() -> dict[str, Any]:
    """All three real."""
    pytest.importorskip("ultralytics", reason="ultralytics is not installed")
    torch_stand_in.install()
    return {"yunet": yunet(), "retinaface": retinaface(), "yolov8": yolov8_seg()}


MAKERS: dict[tuple[str, str], Callable[[], dict[str, Any]]] = {
    ("silhouette", "yolov8_seg"): yolov8_seg,
    ("silhouette", "sam2"): sam2,
    ("track", "yolov8"): yolov8_seg,
    ("keypoints", "yolov8_pose"): yolov8_pose,
    ("keypoints", "rtmpose"): rtmpose,
    ("keypoints", "alphapose"): alphapose,
    ("flow", "gmflow"): gmflow,
    ("parts", "densepose"): densepose,
    ("faces", "yunet"): yunet,
    ("faces", "retinaface"): retinaface,
    ("audit", "full"): audit_full,
}
UNTRAINED: set[tuple[str, str]] = {
    ("parts", "densepose"),
    ("flow", "gmflow"),
    ("keypoints", "yolov8_pose"),
    ("silhouette", "sam2"),
    ("keypoints", "rtmpose"),
    ("keypoints", "alphapose"),
}
