"""RetinaFace with MobileNet 0.25, the network and its decoding written anew for the published weights.

Deng et al., "RetinaFace: Single-shot Multi-level Face Localisation in the Wild", CVPR 2020, in the small version that
its PyTorch port (biubug6/Pytorch_Retinaface, MIT) was trained with: MobileNetV1 at a quarter of its width (Howard et
al. 2017), a feature pyramid, SSH's context modules (Najibi et al., ICCV 2017), and two anchors a place.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from gaitloom.backends import CPU, Device, Spec, _torch
from gaitloom.backends._batches import batches
from gaitloom.backends._pictures import by_size
from gaitloom.errors import GaitloomError
from gaitloom.faces import Faces
from gaitloom.weights import Chosen

if TYPE_CHECKING:
    import torch
    from torch import nn

MEAN = (123.0, 117.0, 104.0)  # of red, green, blue; the network takes them in the order blue, green, red
STRIDES = (8, 16, 32)  # pixels between the places of each map
ANCHORS = ((16, 32), (64, 128), (256, 512))  # their sides in pixels
VARIANCES = (0.1, 0.2)  # of centres and of the logarithms of sizes, by which the network's answers are scaled
OVERLAP = 0.4  # IoU from which two are one face, as the port has it


class Options(Chosen):
    """Which model, how sure it must be, and how exact."""

    weights: str = Field(
        "retinaface_mobilenet0.25_Final.pth", description="Name of a registered weight file, or the path of one."
    )
    min_score: float = Field(0.6, gt=0, lt=1, description="Faces below this probability are ignored.")
    half: bool = Field(False, description="The network in half precision; on a GPU only.")


SPEC = Spec(
    version=1,
    options=Options,
    packages=("torch",),
    licence="MIT",
    environment="torch",
    accelerated=True,
)


class Backend:
    """Every image by itself, those of one size together."""

    def __init__(self, options: Options, device: Device = CPU):
        if options.half and device.name == "cpu":
            raise GaitloomError("retinaface's option half needs a GPU; set it to false, or run with `device: cuda`.")
        self._options, self._batch = options, device.batch
        self._device = _torch.device_of(device)
        path = options.weight.verify()
        model = _torch.fill(network(), _state(_torch.read_checkpoint(path), path), path)
        self._model = (model.half() if options.half else model).to(self._device)

    def faces(self, images: Iterable[np.ndarray]) -> Iterator[Faces]:
        """The faces in each RGB image (h, w, 3) uint8 of any size.

        Raises:
            GaitloomError: the device's memory does not take a single image.
        """
        return batches(images, self._batch, lambda batch: by_size(batch, self._run))

    def _run(self, images: np.ndarray) -> list[Faces]:
        import torch

        with torch.inference_mode():
            pictures = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2)
            mean = torch.tensor(MEAN, device=self._device)[:, None, None]
            answers = self._model((pictures - mean).flip(1).to(next(self._model.parameters()).dtype))
            score, shift, points = (a.float().cpu().numpy() for a in answers)
        height, width = images.shape[1:3]
        anchor = anchors(width, height)
        return [self._decode(*of_one, anchor, (width, height)) for of_one in zip(score, shift, points, strict=True)]

    def _decode(
        self, score: np.ndarray, shift: np.ndarray, points: np.ndarray, anchor: np.ndarray, size: tuple[int, int]
    ) -> Faces:
        rows = np.flatnonzero(score > self._options.min_score)
        shift, points, centre, side = shift[rows], points[rows], anchor[rows, :2], anchor[rows, 2:]
        middle = centre + VARIANCES[0] * shift[:, :2] * side
        half = side * np.exp(VARIANCES[1] * shift[:, 2:]) / 2
        landmarks = centre[:, None] + VARIANCES[0] * points.reshape(-1, 5, 2) * side[:, None]
        return Faces.of(np.hstack([middle - half, middle + half]), score[rows], landmarks, size, OVERLAP)


def anchors(width: int, height: int) -> np.ndarray:
    """(A, 3) float32 centre x, y and side in pixels of every anchor of an image, in the order of the network's answers:
    map by map, row by row, the smaller one first."""
    every = []
    for stride, sides in zip(STRIDES, ANCHORS, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, side = np.meshgrid(np.arange(rows), np.arange(columns), sides, indexing="ij")
        every.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, side], axis=-1).reshape(-1, 3))
    return np.concatenate(every).astype(np.float32)


def _state(checkpoint: Any, path: Path) -> dict[str, Any]:
    """The tensors by the network's own names: files of several GPUs' training say `module.` before each."""
    state = checkpoint.get("state_dict", checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(isinstance(k, str) for k in state):
        raise GaitloomError(f"The weights {path} are another model's (no tensors by name).")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def network() -> "nn.Module":
    """RetinaFace of 0.25 width, untrained; its tensors are named as in the published file.

    Takes (n, 3, h, w) and gives, for every anchor, the probability of a face (n, A), the shift of its box (n, A, 4) and
    of the five landmarks (n, A, 10).
    """
    import torch
    from torch import nn
    from torch.nn import functional

    def block(inner: int, outer: int, kernel: int = 3, stride: int = 1, slope: float | None = 0.1) -> nn.Sequential:
        """Convolution, normalisation and, unless `slope` is None, a leaky rectifier."""
        layers = [nn.Conv2d(inner, outer, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outer)]
        return nn.Sequential(*layers, *([] if slope is None else [nn.LeakyReLU(slope)]))

    def separable(inner: int, outer: int, stride: int = 1) -> nn.Sequential:
        """A convolution of each channel by itself, then one across channels."""
        each = nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False)
        return nn.Sequential(each, nn.BatchNorm2d(inner), nn.LeakyReLU(0.1), *block(inner, outer, 1))

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stage1 = nn.Sequential(
                block(3, 8, stride=2), separable(8, 16), separable(16, 32, 2), separable(32, 32),
                separable(32, 64, 2), separable(64, 64),
            )  # fmt: skip
            self.stage2 = nn.Sequential(separable(64, 128, 2), *(separable(128, 128) for _ in range(5)))
            self.stage3 = nn.Sequential(separable(128, 256, 2), separable(256, 256))

        def forward(self, x: "torch.Tensor") -> "list[torch.Tensor]":
            fine = self.stage1(x)
            middle = self.stage2(fine)
            return [fine, middle, self.stage3(middle)]

    class Pyramid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.output1, self.output2, self.output3 = block(64, 64, 1), block(128, 64, 1), block(256, 64, 1)
            self.merge1, self.merge2 = block(64, 64), block(64, 64)

        def forward(self, maps: "list[torch.Tensor]") -> "list[torch.Tensor]":
            fine, middle, coarse = (f(m) for f, m in zip((self.output1, self.output2, self.output3), maps, strict=True))
            middle = self.merge2(middle + functional.interpolate(coarse, size=middle.shape[2:], mode="nearest"))
            fine = self.merge1(fine + functional.interpolate(middle, size=fine.shape[2:], mode="nearest"))
            return [fine, middle, coarse]

    class Context(nn.Module):
        """SSH: fields of 3, 5 and 7 pixels side by side, the larger ones by stacked small convolutions."""

        def __init__(self) -> None:
            super().__init__()
            self.conv3X3 = block(64, 32, slope=None)
            self.conv5X5_1, self.conv5X5_2 = block(64, 16), block(16, 16, slope=None)
            self.conv7X7_2, self.conv7x7_3 = block(16, 16), block(16, 16, slope=None)

        def forward(self, x: "torch.Tensor") -> "torch.Tensor":
            shared = self.conv5X5_1(x)
            fields = [self.conv3X3(x), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared))]
            return functional.relu(torch.cat(fields, dim=1))

    class Head(nn.Module):
        """`values` answers for either anchor of every place: (n, anchors, values)."""

        def __init__(self, values: int) -> None:
            super().__init__()
            self.values = values
            self.conv1x1 = nn.Conv2d(64, 2 * values, 1)

        def forward(self, x: "torch.Tensor") -> "torch.Tensor":
            return self.conv1x1(x).permute(0, 2, 3, 1).reshape(len(x), -1, self.values)

    class RetinaFace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.fpn = Body(), Pyramid()
            self.ssh1, self.ssh2, self.ssh3 = Context(), Context(), Context()
            self.ClassHead, self.BboxHead, self.LandmarkHead = (
                nn.ModuleList(Head(values) for _ in STRIDES) for values in (2, 4, 10)
            )

        def forward(self, x: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
            maps = [c(m) for c, m in zip((self.ssh1, self.ssh2, self.ssh3), self.fpn(self.body(x)), strict=True)]

            def answers(heads: Any) -> "torch.Tensor":
                return torch.cat([head(m) for head, m in zip(heads, maps, strict=True)], dim=1)

            score = torch.softmax(answers(self.ClassHead), dim=-1)[..., 1]
            return score, answers(self.BboxHead), answers(self.LandmarkHead)

    return RetinaFace()
