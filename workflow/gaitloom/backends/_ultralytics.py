"""ultralytics behind closed doors: it may not reach the network, report usage, or install anything."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import Field

from gaitloom.backends import Device
from gaitloom.backends._batches import batches, ran_out
from gaitloom.backends._pictures import bgr
from gaitloom.backends._torch import device_of
from gaitloom.errors import GaitloomError
from gaitloom.tracking import iou
from gaitloom.weights import Chosen

LICENCE = "AGPL-3.0"
PACKAGES = ("ultralytics", "torch", "torchvision")
PERSON = 0  # COCO's class; the only one of YOLO's pose models
MARGIN = 1.25  # side of the region in longer sides of the box, as for the embedded models
T = TypeVar("T")


class Options(Chosen):
    """Which YOLO model, how sure it must be, and how fine its picture."""

    confidence: float = Field(
        0.25, gt=0, lt=1, description="Instances below this score are ignored (ultralytics' default)."
    )
    image_size: int = Field(640, ge=32, description="The picture's longest side inside the model, in pixels.")
    half: bool = Field(False, description="Half precision, on a GPU.")


class SubjectOptions(Options):
    """Also what the model is shown, and who of those it sees is the subject."""

    region: Literal["subject", "frame"] = Field(
        "subject",
        description="What the model is shown: a square around the tracked box (finer), or the full frame.",
    )
    overlap: float = Field(0.3, gt=0, lt=1, description="Least overlap (IoU) of instance and track.")


@cache
def closed() -> Any:
    """The module ultralytics, imported with its switches for network, usage reports and installing set.

    Raises:
        GaitloomError: it is not installed.
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
        import ultralytics  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise GaitloomError(f"ultralytics cannot be loaded ({error}); install it with `make env-torch`.") from None
    ultralytics.settings.update({"sync": False})
    return ultralytics


class Model:
    """A YOLO model of any file format that ultralytics reads (.pt, .onnx, .engine, .tflite), on one device.

    `weights` is a file whose hash was checked: ultralytics unpickles .pt files, which runs what they say. `tasks` are
    the tasks, in ultralytics' words, of which the file's must be one.

    Raises:
        GaitloomError: ultralytics or the device is not there, the file is not such a model, or it cannot run as asked.
    """

    def __init__(self, weights: Path, tasks: tuple[str, ...], options: Options, device: Device, **more: Any):
        self._device = device_of(device)
        if options.half and self._device.type == "cpu":
            raise GaitloomError("The option `half` needs a GPU; leave it out, or set `device: cuda`.")
        self._arguments = {
            "classes": [PERSON],
            "conf": options.confidence,
            "imgsz": options.image_size,
            "quantize": 16 if options.half else None,
            "retina_masks": True,  # masks at the picture's own size
            "device": self._device,
            "verbose": False,
            **more,
        }
        self._model = self._open(weights, tasks)
        loaded = self._model.predictor.model
        self.keypoints = tuple(getattr(loaded, "kpt_shape", None) or ())
        if loaded.device.type != self._device.type:  # some formats run on the CPU whatever one asks
            raise GaitloomError(f"The weights {weights} do not run on {device.name} here; set `device: cpu`.")
        if options.half and not loaded.fp16:
            raise GaitloomError(f"The weights {weights} have a precision of their own; leave out `half`.")
        free = loaded.format == "pt" or loaded.dynamic
        self.batch = device.batch if free else min(device.batch, loaded.batch)

    def _open(self, weights: Path, tasks: tuple[str, ...]) -> Any:
        """Most formats are read at the first picture, and say only then what they are for."""
        model, error = self._try(weights, tasks[0])
        loaded = getattr(getattr(model, "predictor", None), "model", None)
        task = getattr(loaded, "task", None) or getattr(model, "task", tasks[0])
        if model is not None and task not in tasks:
            raise GaitloomError(f"The weights {weights} are a model for '{task}', not for '{tasks[0]}'.")
        if model is not None and task != model.task:
            model, error = self._try(weights, task)
        if model is None or error is not None:
            raise GaitloomError(
                f"The weights {weights} are not a model for '{tasks[0]}' that ultralytics reads ({_first_line(error)})."
            )
        return model

    def _try(self, weights: Path, task: str) -> tuple[Any, Exception | None]:
        model = None
        try:
            model = closed().YOLO(str(weights), task=task)
            model.predict(np.zeros((64, 64, 3), np.uint8), **self._arguments)
        except GaitloomError:
            raise
        except Exception as error:  # each file format fails with an error of its own
            if ran_out(error):
                raise
            return model, error
        return model, None

    def predict(self, images: Sequence[np.ndarray], rect: bool) -> list[Any]:
        """ultralytics' own results for RGB images (H, W, 3) uint8: people only, masks at the picture's size.

        With `rect` the picture is padded to the next multiple of the stride, as `YOLO.predict` does, else to a square.
        ultralytics changes from one to the other where pictures of several sizes come together; here they never do.
        """
        if rect and len({image.shape for image in images}) > 1:
            return [found for image in images for found in self.predict([image], rect)]
        pictures = [bgr(image) for image in images]  # it takes OpenCV's order of colours
        return self._model.predict(pictures, rect=rect, **self._arguments)

    def subjects(
        self,
        people: Iterable[tuple[np.ndarray, np.ndarray]],
        options: SubjectOptions,
        take: Callable[[Any, int, tuple[int, int]], T | None],
    ) -> Iterator[T | None]:
        """For each (image, box): `take(result, i, (x, y))` of the instance i that overlaps the box best, where (x, y)
        is the full-frame pixel at which the shown picture begins; None where nobody overlaps it enough."""

        def run(batch: list[tuple[np.ndarray, np.ndarray]]) -> list[T | None]:
            shown = [_shown(image, box, options.region) for image, box in batch]
            cut = [image[y0:y1, x0:x1] for (image, _), (x0, y0, x1, y1) in zip(batch, shown, strict=True)]
            taken: list[T | None] = []
            for result, (_, box), (x, y, _, _) in zip(
                self.predict(cut, rect=options.region == "frame"), batch, shown, strict=True
            ):
                best = _overlapping(result, box - (x, y, x, y), options.overlap)
                taken.append(None if best is None else take(result, best, (x, y)))
            return taken

        return batches(people, self.batch, run)


def _shown(image: np.ndarray, box: np.ndarray, region: str) -> tuple[int, int, int, int]:
    height, width = image.shape[:2]
    if region == "frame":
        return 0, 0, width, height
    side = MARGIN * max(box[2] - box[0], box[3] - box[1])
    x, y = (box[0] + box[2] - side) / 2, (box[1] + box[3] - side) / 2
    return max(0, int(x)), max(0, int(y)), min(width, int(x + side) + 1), min(height, int(y + side) + 1)


def _overlapping(found: Any, box: np.ndarray, least: float) -> int | None:
    if not len(found.boxes):
        return None
    shared = iou(box[None].astype(float), found.boxes.xyxy.cpu().numpy().astype(float))[0]
    best = int(shared.argmax())
    return best if shared[best] >= least else None


def _first_line(error: Exception | None) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
