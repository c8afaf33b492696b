"""For tests only: small ONNX models with RTMPose's signature, whose points follow the picture."""

import atexit
import hashlib
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def spots(points: int = 26, seed: int = 1) -> np.ndarray:
    """(points, 3, 5, 5) kernels: each point is drawn to a pattern and colour of its own."""
    kernels = np.random.default_rng(seed).normal(0, 1, (points, 3, 5, 5)).astype(np.float32)
    return kernels / np.abs(kernels).sum(axis=(1, 2, 3), keepdims=True) * 2


@cache
def folder() -> Path:
    made = tempfile.mkdtemp(prefix="gaitloom-nets-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def simcc(
    name: str = "rtmpose.onnx",
    size: tuple[int, int] = (192, 256),
    batch: int | str = "batch",
    kernels: np.ndarray | None = None,
    split: int = 2,
) -> dict[str, Any]:
    """Write a convolution whose strongest answers along x and y are SimCC's two outputs; a backend's options for it.

    `size` (width, height) of its input (batch, 3, height, width); `split` bins a pixel, as RTMPose's two.
    """
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    h, t = onnx.helper, onnx.TensorProto
    kernels = spots() if kernels is None else kernels
    width, height = size

    def bins(pixels: int) -> np.ndarray:  # linear between pixels, so that every bin is a place of its own
        place = np.minimum(np.arange(split * pixels) / split, pixels - 1)
        return np.maximum(0, 1 - np.abs(place[None] - np.arange(pixels)[:, None])).astype(np.float32)

    constants = {"kernels": kernels, "x_bins": bins(width), "y_bins": bins(height)}
    nodes = [
        h.make_node("Conv", ["input", "kernels"], ["answers"], pads=[2, 2, 2, 2]),
        h.make_node("ReduceMax", ["answers"], ["x"], axes=[2], keepdims=0),
        h.make_node("ReduceMax", ["answers"], ["y"], axes=[3], keepdims=0),
        h.make_node("MatMul", ["x", "x_bins"], ["simcc_x"]),
        h.make_node("MatMul", ["y", "y_bins"], ["simcc_y"]),
    ]
    graph = h.make_graph(
        nodes,
        "simcc",
        [h.make_tensor_value_info("input", t.FLOAT, [batch, 3, height, width])],
        [h.make_tensor_value_info(f"simcc_{a}", t.FLOAT, [batch, len(kernels), f"{a}_bins"]) for a in "xy"],
        [onnx.numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    path = folder() / name
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), str(path))
    return {"weights": str(path), "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
