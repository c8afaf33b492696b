"""SAM 2.1's silhouettes through ultralytics: prompted with the tracked box, then carried from frame to frame."""

import atexit
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from pydantic import Field

from gaitloom.backends import CPU, Device, Needs, Spec, _ultralytics
from gaitloom.backends._batches import batches
from gaitloom.backends._pictures import bgr
from gaitloom.backends._torch import device_of, read_checkpoint
from gaitloom.errors import GaitloomError
from gaitloom.tracking import iou
from gaitloom.weights import Chosen

# Blocks of the image encoder → ultralytics' letter; its builders go by the file's name, Meta's files have others.
SIZES = {12: "t", 16: "s", 24: "b", 48: "l"}
ENDLESS = 1 << 30  # frames of a clip whose length is not known


class Options(Chosen):
    """Which model, how fine its picture, and when its masks begin anew from the track."""

    weights: str = Field("sam2.1_hiera_tiny.pt", description="Name of a registered weight file, or the path of one.")
    image_size: int = Field(
        1024, ge=64, multiple_of=64, description="The picture's longest side inside the model, in pixels."
    )
    reprompt_every: int | None = Field(
        150, ge=1, description="After this many frames the mask begins anew from the tracked box; null: never."
    )
    overlap: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="Where the mask's box overlaps the tracked one less (IoU), it begins anew from that.",
    )
    half: bool = Field(False, description="Half precision, on a GPU.")


SPEC = Spec(
    version=1,
    options=Options,
    packages=_ultralytics.PACKAGES,
    licence=_ultralytics.LICENCE,
    environment="torch",
    accelerated=True,
    needs=Needs(memory_mb=5000, seconds=6),
)


class Backend:
    """One frame after the other: each mask comes from its picture and from the memory of the frames before."""

    temporal = True

    def __init__(self, options: Options, device: Device = CPU):
        self._options, chosen = options, device_of(device)
        if options.half and chosen.type == "cpu":
            raise GaitloomError("The option `half` needs a GPU; leave it out, or set `device: cuda`.")
        weights = options.weight.verify()
        size = _size(weights)
        _ultralytics.closed()
        from ultralytics.models.sam import SAM2VideoPredictor  # pyright: ignore[reportMissingImports]

        self._sam: Any = SAM2VideoPredictor(
            overrides={
                "model": str(_named(weights, f"sam2.1_{size}.pt")),
                "imgsz": options.image_size,
                "device": chosen,
                "quantize": 16 if options.half else None,
                "verbose": False,
            }
        )
        try:
            self._sam.setup_model(None, verbose=False)
        except (RuntimeError, KeyError, AttributeError) as error:
            line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise GaitloomError(f"The weights {weights} are not those of SAM 2.1 ({line}).") from None
        self._sam.setup_source(np.zeros((64, 64, 3), np.uint8))  # tells the model its picture's size

    def masks(
        self, people: Iterable[tuple[np.ndarray, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, tuple[int, int]] | None]:
        """A bool mask of the full frame, at (0, 0), for each (image, box) of one clip; None where it is empty.

        The first box prompts the model (Ravi et al. 2024); from then on its memory says who is meant, and the track
        only corrects it: where the mask strays from the box, and every `reprompt_every` frames. ultralytics keeps the
        memory of the prompted frame and of the last few, whatever the clip's length.
        """
        since = 0  # frames since the prompt

        def step(batch: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, tuple[int, int]] | None]:
            nonlocal since
            (image, box), every = batch[0], self._options.reprompt_every
            picture = self._look(image)
            anew = since == 0 or (every is not None and since >= every)
            mask = None if anew else self._segment(picture, since)
            if mask is None or iou(_bounds(mask), box[None])[0, 0] < self._options.overlap:
                since = 0
                mask = self._segment(picture, since, box)
            since = 0 if mask is None else since + 1
            return [None if mask is None else (mask, (0, 0))]

        return batches(people, 1, step)

    def _look(self, image: np.ndarray) -> Any:
        """Encode a picture once, whatever is asked of it."""
        import torch

        sam, shown = self._sam, bgr(image)
        sam.batch = ([""], [shown], [""])
        with torch.inference_mode():
            picture = sam.preprocess([shown])
            sam.backbone_out = sam.model.forward_image(picture)
        return picture

    def _segment(self, picture: Any, frame: int, box: np.ndarray | None = None) -> np.ndarray | None:
        """(H, W) bool by memory, `frame` frames after the prompt; with a box that prompts, memory begins anew."""
        import torch

        sam = self._sam
        sam.dataset = SimpleNamespace(frame=frame, mode="video")
        if box is not None:
            sam.inference_state = sam._init_state(ENDLESS)
        with torch.inference_mode():
            found = sam.inference(picture, bboxes=None if box is None else box[None].astype(np.float32))
            masks = sam.postprocess(found, picture, sam.batch[1])[0].masks
        return None if masks is None or not len(masks.data) else masks.data[0].cpu().numpy().astype(bool)


def _size(weights: Path) -> str:
    """ultralytics' letter for the checkpoint's size. It is read without running code; ultralytics' own loader would
    run what a file says."""
    content = read_checkpoint(weights)
    state = content.get("model") if isinstance(content, dict) else None
    blocks = {name.split(".")[3] for name in state or () if str(name).startswith("image_encoder.trunk.blocks.")}
    if len(blocks) not in SIZES:
        raise GaitloomError(f"The weights {weights} are not those of SAM 2.1 (no image encoder of its sizes).")
    return SIZES[len(blocks)]


def _named(weights: Path, name: str) -> Path:
    private = Path(tempfile.mkdtemp(prefix="gaitloom-sam2-"))
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    (private / name).symlink_to(weights.absolute())
    return private / name


def _bounds(mask: np.ndarray) -> np.ndarray:
    """(1, 4) xyxy around a mask."""
    y, x = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return np.array([[x[0], y[0], x[-1] + 1, y[-1] + 1]], float)
