"""For tests only: YOLO and SAM 2 models of the right architecture with random weights; what they see depends on
the picture.

Nothing of ultralytics' is stored: the models are built anew in each process, always the same.
"""

import hashlib
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch_stand_in
from onnx_nets import folder
from walker import Walk


def ultralytics() -> Any:
    """The module, with its doors closed; skips where it is not installed."""
    pytest.importorskip("torch", reason="torch is not installed")
    torch_stand_in.install()
    pytest.importorskip("ultralytics", reason="ultralytics is not installed")
    from gaitloom.backends import _ultralytics

    return _ultralytics.closed()


def options(path: Path, **more: Any) -> dict[str, Any]:
    """The keywords of a backend's options that name this file."""
    return {"weights": str(path), "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **more}


@cache
def yolo(task: str = "", points: int = 17) -> Path:
    """A nano model (.pt) for `task` ("", "-seg" or "-pose") that sees people all over the picture.

    Batch normalisation is fitted to pictures of the walker, or random weights would answer every picture alike.
    """
    import torch

    torch.manual_seed(0)
    module = ultralytics()
    model: Any = module.YOLO(f"yolov8n{task}.yaml")
    if points != 17:
        from ultralytics.nn.tasks import PoseModel

        other: Any = PoseModel("yolov8n-pose.yaml", data_kpt_shape=(points, 3), verbose=False)
        other.task, model.model = "pose", other
    net: Any = model.model
    walk = Walk(frames=2, size=(320, 256))
    images = torch.from_numpy(np.stack([walk.frame(t) for t in range(2)])).permute(0, 3, 1, 2).float() / 255
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # plain averages
    with torch.no_grad():
        net.train()(images)
    for norm in norms:
        norm.momentum = 0.03
    head = net.eval().model[-1]
    for branch, spread in (("cv2", 0.3), ("cv3", 0.1), ("cv4", 0.3)):
        for stage in getattr(head, branch, []):
            torch.nn.init.normal_(stage[-1].weight, std=spread)
            torch.nn.init.zeros_(stage[-1].bias)
    logits: list[Any] = []
    for stage in head.cv3:  # people alone, where one anchor in a hundred answers most
        stage[-1].weight.data[1:] = 0
        stage[-1].bias.data[1:] = -20
        stage[-1].register_forward_hook(lambda module, given, out: logits.append(out[:, 0].flatten()))
    with torch.no_grad():
        net(images)
    for stage in head.cv3:
        stage[-1]._forward_hooks.clear()
        stage[-1].bias.data[0] = -torch.cat(logits).quantile(0.99)
    path = folder() / f"random{task}{'' if points == 17 else points}.pt"
    model.save(path)
    return path


@cache
def exported(task: str = "") -> Path:
    """The same model as ultralytics' own exporter writes it to ONNX, for one picture of 320 x 320 at a time."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model = ultralytics().YOLO(str(yolo(task)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of its older exporter
        return Path(model.export(format="onnx", imgsz=320, simplify=False, verbose=False))


@cache
def sam2() -> Path:
    """SAM 2.1 tiny with random weights, laid out as in Meta's files."""
    import torch

    ultralytics()
    from ultralytics.models.sam import build

    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(build, "_load_checkpoint", lambda model, checkpoint: model)
        state = build.build_sam2_t("sam2.1_t.pt").state_dict()
    state["sam_mask_decoder.pred_obj_score_head.layers.2.bias"] += 10  # somebody is always there
    path = folder() / "sam2.1_random.pt"
    torch.save({"model": state}, path)
    return path
