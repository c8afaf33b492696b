"""What ONNX Runtime's backends share: a session that runs where the configuration says, and nowhere else."""

import importlib.metadata
from pathlib import Path
from typing import Any

from gaitloom.backends import Device
from gaitloom.errors import GaitloomError

CUDA = "CUDAExecutionProvider"


def package() -> str:
    """The distribution that gives `onnxruntime` here: onnxruntime-gpu takes the place of onnxruntime."""
    try:
        importlib.metadata.version("onnxruntime-gpu")
    except importlib.metadata.PackageNotFoundError:
        return "onnxruntime"
    return "onnxruntime-gpu"


def session(path: Path, device: Device, model: bytes | None = None) -> Any:
    """An `onnxruntime.InferenceSession` of a local file, or of what was made of it, one thread and deterministic.

    Raises:
        GaitloomError: onnxruntime is not installed or has no such GPU, or the file is no model that it reads.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise GaitloomError(f"onnxruntime cannot be loaded ({error}); install it with `make env`.") from None
    gpu = device.name != "cpu"
    if gpu and CUDA not in onnxruntime.get_available_providers():
        raise GaitloomError(
            f"The configuration asks for the device {device.name}, and this onnxruntime has no CUDA; "
            "install onnxruntime-gpu in its place, or set `device: cpu`."
        )
    if gpu:
        onnxruntime.preload_dlls()  # CUDA's libraries, where pip put them
    options = onnxruntime.SessionOptions()
    options.use_deterministic_compute = True
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # clips run side by side; sums keep their order
    options.log_severity_level = 4  # what goes wrong is raised as well
    providers = [_cuda(device) if gpu else "CPUExecutionProvider"]
    try:
        made = onnxruntime.InferenceSession(model or str(path), options, providers=providers, enable_fallback=0)
    except Exception as error:  # onnxruntime has an error class for each of its status codes
        raise GaitloomError(
            f"The weights {path} cannot be loaded by onnxruntime on the device {device.name} ({line_of(error)})."
        ) from None
    if gpu and made.get_providers()[0] != CUDA:  # it goes on with the CPU, quietly
        raise GaitloomError(
            f"The configuration asks for the device {device.name}, and onnxruntime cannot use it (no such GPU, or its "
            "CUDA or cuDNN libraries do not load); mend that, or set `device: cpu`."
        )
    return made


def _cuda(device: Device) -> tuple[str, dict[str, Any]]:
    """CUDA as exact as the CPU: no TF32, and convolution algorithms by rule, not by a race between them."""
    number = int(device.name.partition(":")[2] or 0)
    return CUDA, {"device_id": number, "cudnn_conv_algo_search": "HEURISTIC", "use_tf32": 0}


def line_of(error: Exception) -> str:
    """What an error says on one line, short enough to stand in a sentence."""
    return " ".join(str(error).split())[:200] or type(error).__name__
