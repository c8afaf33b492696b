"""What PyTorch's backends share: the device that was asked for, and checkpoints that are read without running code."""

from pathlib import Path
from typing import Any

from gaitloom.backends import Device
from gaitloom.errors import GaitloomError


def device_of(device: Device) -> Any:
    """The `torch.device` that the configuration names.

    Raises:
        GaitloomError: PyTorch is not installed, or sees no such GPU.
    """
    try:
        import torch
    except ImportError as error:
        raise GaitloomError(f"PyTorch cannot be loaded ({error}); install it with `make env-torch`.") from None
    if device.name == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    chosen = torch.device(device.name)
    if (chosen.index or 0) >= count:
        raise GaitloomError(
            f"The configuration asks for the device {device.name}, and PyTorch sees {count} GPUs here; "
            "run on a machine that has it, or set `device: cpu`."
        )
    return chosen


def read_checkpoint(path: Path) -> Any:
    """A pickled checkpoint's content, on the CPU; nothing but tensors and plain containers is unpickled.

    Raises:
        GaitloomError: the file is no such checkpoint.
    """
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch each have their own
        raise GaitloomError(
            f"The weights {path} are not a checkpoint of tensors alone ({type(error).__name__}); get the file again."
        ) from None


def fill(model: Any, state: dict[str, Any], path: Path) -> Any:
    """Put a checkpoint's tensors into a model, every one of them, and return it ready for inference.

    Raises:
        GaitloomError: the checkpoint is another model's.
    """
    try:
        model.load_state_dict(state, strict=True)
    except (RuntimeError, TypeError, AttributeError) as error:
        line = " ".join(str(error).split())[:200]
        raise GaitloomError(f"The weights {path} are another model's ({line}).") from None
    return model.eval().requires_grad_(False)
