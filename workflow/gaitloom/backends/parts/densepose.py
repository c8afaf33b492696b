"""DensePose through detectron2: its chart heads on the tracked box, no detector of its own.

Güler et al., "DensePose: Dense Human Pose Estimation In The Wild", CVPR 2018; architectures and names as in
detectron2's projects/DensePose. The box goes straight to the head, so everyone else in the picture is left out.
"""
# pyright: reportMissingImports=false

import codecs
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from gaitloom.backends import CPU, Device, Needs, Spec, _torch
from gaitloom.backends._batches import batches
from gaitloom.errors import GaitloomError
from gaitloom.modalities.parts import Person
from gaitloom.part_labels import COARSE, FINE, fine_to_coarse
from gaitloom.weights import Chosen

LONGEST = 1333  # pixels of the longest side inside the model (detectron2's INPUT.MAX_SIZE_TEST)


class Options(Chosen):
    """Which model, and what of its output is kept."""

    weights: str = Field("model_final_162be9.pkl", description="Name of a registered weight file, or a path.")
    architecture: str = Field(
        "R_50_FPN_s1x",
        pattern=r"^R_(50|101)_FPN(_s1x_legacy|(_DL)?(_WC[12]M?)?_s1x)$",
        description="The weights' model, named as in DensePose's model zoo (without densepose_rcnn_).",
    )
    image_size: int = Field(
        800, ge=64, le=LONGEST, description="The picture's shortest side inside the model, in pixels."
    )
    labels: Literal["fine", "coarse"] = Field("fine", description="24 surface parts, or 14 body parts made of them.")
    uv: bool = Field(False, description="Keep U and V, where on its fine part's chart each pixel lies.")
    half: bool = Field(False, description="Convolutions in half precision, boxes in single; on a GPU only.")

    @model_validator(mode="after")
    def _fit_together(self) -> "Options":
        if self.uv and self.labels != "fine":
            raise ValueError("uv belongs to the fine parts' charts; set labels to fine")
        return self


SPEC = Spec(
    version=1,
    options=Options,
    packages=("detectron2", "detectron2-densepose", "torch", "torchvision"),
    licence="Apache-2.0",
    environment="densepose",
    accelerated=True,
    needs=Needs(memory_mb=5000, seconds=10),
)


class Backend:
    """Every frame by itself, several at once."""

    learned = True
    needs_image = True

    def __init__(self, options: Options, device: Device = CPU):
        if options.half and device.name == "cpu":
            raise GaitloomError("densepose's option half needs a GPU; set it to false, or run with `device: cuda`.")
        self._device = _torch.device_of(device)
        self._batch, self._size = device.batch, options.image_size
        self._table = fine_to_coarse() if options.labels == "coarse" else np.arange(len(FINE), dtype=np.uint8)
        self.labels = COARSE if options.labels == "coarse" else FINE
        self.uv = options.uv
        path = options.weight.verify()
        self._model = _filled(build(options.architecture), read(path), path).to(self._device)
        if options.half:
            halve(self._model, self._device.type)

    def parts(self, people: Iterable[Person]) -> Iterator[tuple[Any, ...] | None]:
        """Labels (h, w) uint8 on the box, and its first pixel (x, y), for each person; with `uv`, also U and V (2, h,
        w) uint8, 0..255 for 0..1. None where the box lies outside the picture. Frames are of one size.

        Raises:
            GaitloomError: the device's memory does not take a single frame.
        """
        return batches(people, self._batch, self._run)

    def _run(self, people: list[Person]) -> list[tuple[Any, ...] | None]:
        import torch

        given = [self._input(person) for person in people]
        with torch.inference_mode():
            found = self._model.inference(
                [{"image": image} for image, _, _ in given],
                detected_instances=[instances for _, instances, _ in given],
                do_postprocess=False,
            )
            return [self._output(f.pred_densepose, box) for f, (_, _, box) in zip(found, given, strict=True)]

    def _input(self, person: Person) -> tuple[Any, Any, Any]:
        """The picture as the model takes it, the box in it, and the box in the full frame."""
        import torch
        from detectron2.data.transforms import ResizeShortestEdge, ResizeTransform
        from detectron2.structures import Boxes, Instances

        assert person.image is not None
        height, width = person.image.shape[:2]
        shape = ResizeShortestEdge.get_output_shape(height, width, self._size, LONGEST)
        image = ResizeTransform(height, width, *shape).apply_image(person.image)
        bgr = torch.from_numpy(image[..., ::-1].transpose(2, 0, 1).copy())  # the models take OpenCV's order of colours
        box = Boxes(torch.from_numpy(person.box.astype(np.float32))[None])
        box.clip((height, width))
        scaled = box.clone()
        scaled.scale(shape[1] / width, shape[0] / height)
        return bgr, Instances(shape, pred_boxes=scaled, pred_classes=torch.zeros(1, dtype=torch.long)), box

    def _output(self, predicted: Any, box: Any) -> tuple[Any, ...] | None:
        """One person's labels, pasted on whole pixels as detectron2 does it: the box's corner and sides cut to them."""
        from densepose.converters import ToChartResultConverter
        from densepose.structures import quantize_densepose_chart_result

        if not bool(box.nonempty()[0]):
            return None
        charts = quantize_densepose_chart_result(ToChartResultConverter.convert(predicted, box.to(self._device)))
        iuv = charts.labels_uv_uint8.cpu().numpy()
        x, y = (int(c) for c in box.tensor[0, :2])
        label = self._table[iuv[0]]
        return (label, (x, y), iuv[1:]) if self.uv else (label, (x, y))


def build(architecture: str) -> Any:
    """The model of one of DensePose's chart-based architectures, not filled, on the CPU.

    Raises:
        GaitloomError: detectron2 or its DensePose is not installed, or cannot be loaded.
    """
    try:
        from detectron2.modeling import build_model

        return build_model(configuration(architecture))
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that does not fit torch
        line = str(error).strip().splitlines()[0][:200]
        raise GaitloomError(f"detectron2 cannot be loaded ({line}); install it with `make env-densepose`.") from None


def configuration(architecture: str) -> Any:
    """detectron2's configuration of an architecture, on the CPU: what its configs/densepose_rcnn_*.yaml say of it.

    Those files lie in the project's source and are not installed with it.
    """
    from densepose import add_densepose_config
    from detectron2.config import get_cfg

    confidence = re.search("WC([12])(M?)", architecture)
    cfg = get_cfg()
    add_densepose_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.DEPTH = 101 if "101" in architecture else 50
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[32], [64], [128], [256], [512]]
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    cfg.MODEL.ROI_HEADS.NAME = "DensePoseROIHeads"
    cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 1
    box, head = cfg.MODEL.ROI_BOX_HEAD, cfg.MODEL.ROI_DENSEPOSE_HEAD
    box.NAME, box.NUM_FC, box.POOLER_RESOLUTION, box.POOLER_SAMPLING_RATIO = "FastRCNNConvFCHead", 2, 7, 2
    box.POOLER_TYPE = head.POOLER_TYPE = "ROIAlign"
    head.NAME = "DensePoseDeepLabHead" if "_DL" in architecture else "DensePoseV1ConvXHead"
    if "legacy" in architecture:
        head.NUM_COARSE_SEGM_CHANNELS, head.POOLER_RESOLUTION, head.HEATMAP_SIZE, head.DECODER_ON = 15, 14, 56, False
    if confidence:
        head.UV_CONFIDENCE.ENABLED = True
        head.UV_CONFIDENCE.TYPE = {"1": "iid_iso", "2": "indep_aniso"}[confidence[1]]
        head.SEGM_CONFIDENCE.ENABLED = bool(confidence[2])
    return cfg


def halve(model: Any, device: str) -> None:
    """Run a model's convolutions up to the last in float16 on a type of device. Boxes stay in float32: of coordinates
    above 1024 px, float16 has every whole one only."""
    import torch

    def cast(forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(given: Any) -> Any:
            with torch.autocast(device, torch.float16):
                found = forward(given)
            return {k: f.float() for k, f in found.items()} if isinstance(found, dict) else found.float()

        return run

    heads = model.roi_heads
    for part in (model.backbone, heads.densepose_head, *([heads.decoder] if heads.use_decoder else [])):
        part.forward = cast(part.forward)


def read(path: Path) -> dict[str, Any]:
    """The tensors of a checkpoint by name: detectron2's published .pkl (arrays, by pickle), or its own .pth.

    Raises:
        GaitloomError: the file is no such checkpoint.
    """
    import torch

    found = _unpickled(path) if path.suffix == ".pkl" else _torch.read_checkpoint(path)
    state = found.get("model") if isinstance(found, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, np.ndarray | torch.Tensor) for v in state.values()):
        raise GaitloomError(f"The weights {path} are not a checkpoint of detectron2's (they hold no `model`).")
    return {name: torch.from_numpy(np.array(v)) if isinstance(v, np.ndarray) else v for name, v in state.items()}


class _Arrays(pickle.Unpickler):
    """Unpickles plain containers and NumPy's arrays, and nothing else: what else a pickle names is never run."""

    # NumPy's makers of arrays, by the names that pickles of any version of it have for them.
    ADMITTED = {  # noqa: RUF012
        "numpy _reconstruct": np.empty(1).__reduce__()[0],
        "numpy _frombuffer": np.empty(1).__reduce_ex__(5)[0],
        "numpy ndarray": np.ndarray,
        "numpy dtype": np.dtype,
        "_codecs encode": codecs.encode,
        "collections OrderedDict": OrderedDict,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.ADMITTED[f"{module.split('.')[0]} {name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array") from None


def _unpickled(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _Arrays(file, encoding="latin1").load()  # Python 2 may have written it
    except Exception as error:  # a damaged pickle fails in many ways
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise GaitloomError(f"The weights {path} are not a checkpoint of detectron2's ({line}).") from None


def _filled(model: Any, state: dict[str, Any], path: Path) -> Any:
    """Put a checkpoint's weights into a model, all of both. Older files also carry buffers (pixel means, anchors) that
    detectron2 now has from the configuration; as there, those are left out.

    Raises:
        GaitloomError: the checkpoint is another model's.
    """
    own = model.state_dict()
    state = {name: v for name, v in state.items() if name in own or name.endswith(("weight", "bias"))}
    other = [n for n in {**own, **state} if n not in own or n not in state or own[n].shape != state[n].shape]
    if other:
        raise GaitloomError(
            f"The weights {path} are another model's (they differ in {other[0]}); set `architecture` to theirs."
        )
    return _torch.fill(model, state, path)
