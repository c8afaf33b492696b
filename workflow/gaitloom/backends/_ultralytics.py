"""ultralytics behind closed doors: it may not reach the network, report usage, or install anything."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from gaitloom.errors import GaitloomError

LICENCE = "AGPL-3.0"
PACKAGES = ("ultralytics", "torch", "torchvision")
DEVICE = "cpu"  # said outright: ultralytics would take a GPU by itself, and run records say cpu


def load(weights: Path, task: str) -> Any:
    """An ultralytics model of any file format that it reads (.pt, .onnx, .engine, .tflite); `task` is its own word.

    Raises:
        GaitloomError: ultralytics is not installed, or the file is not one of its models.
    """
    private = tempfile.mkdtemp(prefix="gaitloom-ultralytics-")  # its settings file: one a process, so no two write it
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    os.environ |= {
        "YOLO_OFFLINE": "1",
        "YOLO_AUTOINSTALL": "False",
        "YOLO_VERBOSE": "False",
        "YOLO_CONFIG_DIR": private,
    }
    try:
        from ultralytics import YOLO, settings  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise GaitloomError(f"ultralytics cannot be loaded ({error}); install it with `make env-torch`.") from None
    settings.update({"sync": False})
    try:
        model = YOLO(str(weights), task=task)
        model.predict(
            np.zeros((64, 64, 3), np.uint8), device=DEVICE, verbose=False
        )  # most formats are read at the first picture
    except Exception as error:  # each file format fails with an error of its own
        raise GaitloomError(
            f"The weights {weights} are not a model that ultralytics reads ({_first_line(error)})."
        ) from None
    return model


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
