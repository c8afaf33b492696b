"""GMFlow as ptlflow has it: flow by matching every feature of one picture with all of the next.

Xu et al., "GMFlow: Learning Optical Flow via Global Matching", CVPR 2022. ptlflow pads (replicating, as much on either
side), normalises and crops by itself. Picture sides need not reach the padding's.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from gaitloom.backends import CPU, Device, Needs, Spec, _torch
from gaitloom.backends._batches import batches
from gaitloom.errors import GaitloomError
from gaitloom.weights import REGISTRY, Chosen

PADDING = {"gmflow": 16, "gmflow_refine": 32}  # as the authors' scripts have them


class Options(Chosen):
    """Which model, and how it is run."""

    model: Literal["gmflow", "gmflow_refine"] = Field(
        "gmflow", description="The base model, or the one that refines its flow once (finer, slower)."
    )
    weights: str = Field("gmflow_sintel-0c07dcb3.pth", description="Name of a registered weight file, or a path.")
    padding: Literal[16, 32] | None = Field(
        None,
        description="Sides are padded to a multiple of this; null is as published: 16 for the base model, 32 for the "
        "other. ptlflow itself takes 32 for both.",
    )
    half: bool = Field(False, description="Features in half precision, matching in single; on a GPU only.")

    @model_validator(mode="after")
    def _fit_together(self) -> "Options":
        if self.model == "gmflow_refine" and self.padding == 16:
            raise ValueError("gmflow_refine needs a padding of 32")
        if self.model == "gmflow_refine" and self.weights in REGISTRY:
            raise ValueError("no weights of gmflow_refine are registered; give the path of some, and weights_sha256")
        return self


SPEC = Spec(
    version=1,
    options=Options,
    packages=("ptlflow", "torch", "torchvision"),
    licence="Apache-2.0",
    environment="torch",
    accelerated=True,
    needs=Needs(memory_mb=4000, memory_mb_mpx=4000, seconds=0.3, seconds_mpx=16),
)


class Backend:
    """Every pair by itself, several at once."""

    colour = True

    def __init__(self, options: Options, device: Device = CPU):
        if options.half and device.name == "cpu":
            raise GaitloomError("gmflow's option half needs a GPU; set it to false, or run with `device: cuda`.")
        self._device = _torch.device_of(device)
        self._batch = device.batch
        path = options.weight.verify()
        model = getattr(_ptlflow(), options.model)()
        model.output_stride = options.padding or PADDING[options.model]
        self._model = _torch.fill(model, _state(_torch.read_checkpoint(path)), path).to(self._device)
        if options.half:
            halve(self._model, self._device.type)

    def flows(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """(h, w, 2) float32 displacement in pixels for every pair of RGB frames (h, w, 3) uint8, all of one size.

        Raises:
            GaitloomError: the device's memory does not take a single pair.
        """
        return batches(pairs, self._batch, self._run)

    def _run(self, pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        import torch

        with torch.inference_mode():
            pictures = torch.from_numpy(np.array(pairs)).to(self._device)  # (n, 2, h, w, 3)
            images = pictures.flip(-1).permute(0, 1, 4, 2, 3) / 255  # ptlflow takes OpenCV's order of colours, in 0..1
            flow = self._model({"images": images})["flows"][:, 0]
            return list(flow.permute(0, 2, 3, 1).contiguous().cpu().numpy())


def halve(model: Any, device: str) -> None:
    """Run a model's encoder and transformer in float16 on a type of device, and leave the matching in float32.

    Matching sums pixel coordinates, of which float16 has every 0.25 px only from 256 px on; and for float16, ptlflow
    0.4.2 masks places outside the picture with -0.0001 where -1e9 is meant.
    """
    import torch

    def cast(forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **named: Any) -> list[Any]:
            with torch.autocast(device, torch.float16):
                found = forward(*given, **named)
            return [f.float() for f in found]

        return run

    for part in (model.backbone, model.transformer):
        part.forward = cast(part.forward)


def _state(checkpoint: Any) -> Any:
    """The tensors by name: the authors' files have them under `model`, ptlflow's under `state_dict`, by equal names."""
    found = checkpoint if isinstance(checkpoint, dict) else {}
    return next((found[k] for k in ("model", "state_dict") if k in found), checkpoint)


@cache
def _ptlflow() -> ModuleType:
    """ptlflow's module of GMFlow alone: its package imports all its models, with many packages that GMFlow needs not.

    Raises:
        GaitloomError: it is not installed, or a package that it needs is not.
    """
    found = importlib.util.find_spec("ptlflow")
    if found is None or not found.submodule_search_locations:
        raise GaitloomError("ptlflow is not installed; install it with `make env-torch`.")
    root = Path(found.submodule_search_locations[0])
    before = _loaded()
    for name, folder in {"ptlflow": root, "ptlflow.models": root / "models"}.items():
        bare = sys.modules[name] = ModuleType(name)
        bare.__path__ = [str(folder)]
    try:
        return importlib.import_module("ptlflow.models.gmflow.gmflow")
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that does not fit torch
        raise GaitloomError(f"ptlflow cannot be loaded ({error}); install it with `make env-torch`.") from None
    finally:  # whoever imports ptlflow later gets the whole
        for name in _loaded():
            del sys.modules[name]
        sys.modules.update(before)


def _loaded() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] == "ptlflow"}
