"""Which weight files there are, and which of them a configuration means: registry, choice, licences, preparation.

A backend lists files that it always loads in its `SPEC.weights`; where the configuration may choose, its options
derive from `Chosen`. Light to import: the planner does so.
"""

import difflib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from gaitloom.errors import GaitloomError
from gaitloom.strict import Strict
from gaitloom.weight_files import AnyWeight, Download, Local, Weight, fault_of

if TYPE_CHECKING:
    from gaitloom.config import Config

CHECKED = "2026-11-20"
_META = "https://dl.fbaipublicfiles.com"
_GMFLOW = "GMFlow's authors (the model zoo of github.com/haofeixu/gmflow)"


def _yolo(which: str, size: int, sha256: str) -> Download:
    name = f"yolov8{which}.pt"
    url = f"https://github.com/ultralytics/assets/releases/download/v8.3.0/{name}"
    return Download(name, url, size, sha256, "AGPL-3.0", "Ultralytics", CHECKED)


def _sam(which: str, size: int, sha256: str) -> Download:
    name = f"sam2.1_hiera_{which}.pt"
    url = f"{_META}/segment_anything_2/092824/{name}"
    return Download(name, url, size, sha256, "Apache-2.0", "Meta, SAM 2.1", CHECKED)


def _gmflow(name: str, sha256: str) -> Download:
    return Download(name, None, 18_768_907, sha256, "Apache-2.0", _GMFLOW, CHECKED)


def _retinaface(name: str, size: int, sha256: str) -> Download:
    url = f"https://github.com/xinntao/facexlib/releases/download/v0.1.0/detection_{name}"
    return Download(f"retinaface_{name}", url, size, sha256, "MIT", "Pytorch_Retinaface, as facexlib has it", CHECKED)


def _rtmpose(name: str, size: int, sha256: str) -> Download:
    name = f"rtmpose-{name}"
    place = f"https://download.openmmlab.com/mmpose/v1/projects/rtmposev1/onnx_sdk/{name}.zip"
    return Download(f"{name}.onnx", None, size, sha256, "Apache-2.0", f"end2end.onnx inside {place}", CHECKED)


# Sizes in bytes. Hashes as the publisher or several independent uploads have them; of YOLOv8's m, l and x, SAM's small
# and base_plus, GMFlow things and RTMPose x a single source was known.
_FILES = (
    _yolo("n-seg", 7_071_756, "a7cd8f929e1903d78a12a48efecab430209f18dc46cb96c3599a5980c63c423c"),
    _yolo("s-seg", 23_914_764, "0bac0770b55e5eb5b76a61bc535673288dcec36c2bc0cd25ee0d584c632f3413"),
    _yolo("m-seg", 54_921_020, "51fa7e5ef385efa6d5b1d8e31b73399be6ed5d7ca71bda4bd4b2794bb445c4f4"),
    _yolo("l-seg", 92_417_004, "ca3ec94c445aeaf79c2b57982fb451060f18a7561e2c20b4d26bb9dc1fcabf93"),
    _yolo("x-seg", 144_101_612, "c333d6a7aff884ec821050eacdab29871f3edd10d996cf48746a02f8e01f1b5d"),
    _yolo("n", 6_549_796, "f59b3d833e2ff32e194b5bb8e08d211dc7c5bdf144b90d2c8412c47ccfc83b36"),
    _yolo("s", 22_588_772, "1f47a78bf100391c2a140b7ac73a1caae18c32779be7d310658112f7ac9aa78a"),
    _yolo("m", 52_136_884, "5d4a90cdc7a21786cc59cd19778e9eafff836df9e2da32524737c7ee6efe4fe5"),
    _yolo("l", 87_792_836, "64c9115303f6a25575f82200d1b22ec409fa6bd7d08d0313884fc20d919478cd"),
    _yolo("x", 136_890_692, "3df4ada6b4dad6d657868f2fdf7faecfb34dcfccf3a25c4b82079064718524c8"),
    _yolo("n-pose", 6_832_633, "c6fa93dd1ee4a2c18c900a45c1d864a1c6f7aba75d84f91648a30b7fb641d212"),
    _yolo("s-pose", 23_513_657, "234314cd8baf62616791aceb9ea6ad5c19f26cf6c0d8f3a1bfce1e23b186cfb3"),
    _sam("tiny", 156_008_466, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"),
    _sam("small", 184_416_285, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"),
    _sam("base_plus", 323_606_802, "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"),
    _sam("large", 898_083_611, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"),
    _gmflow("gmflow_sintel-0c07dcb3.pth", "0c07dcb35770464f38a5ff4de18c04177b242dc5de8cd2068adf46f3d4fe193a"),
    _gmflow("gmflow_things-e9887eda.pth", "e9887eda6165e0813c03f35998d6af86e265aafce2e3349af93d691a59696088"),
    _retinaface(
        "mobilenet0.25_Final.pth", 1_789_735, "2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220"
    ),
    _retinaface("Resnet50_Final.pth", 109_497_761, "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d"),
    _rtmpose(
        "m_simcc-body7_pt-body7-halpe26_700e-256x192-4d3e73dd_20230605",
        55_685_444,
        "26f3a19e61304a600dfb82d1001d41d24343b89fc70a33ffc84657e0b0bf2ecf",
    ),
    _rtmpose(
        "x_simcc-body7_pt-body7-halpe26_700e-384x288-7fb6e239_20230606",
        199_918_283,
        "21bdaefd1a9b7934160987e754d8eca191bc44cccbfa3ba2ef71142c6dd05a9a",
    ),
    Download(
        "face_detection_yunet_2023mar.onnx",
        "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/face_detection_yunet_2023mar.onnx",
        232_589,
        "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        "MIT",
        "OpenCV Zoo",
        CHECKED,
    ),
    Download(
        "model_final_162be9.pkl",
        f"{_META}/densepose/densepose_rcnn_R_50_FPN_s1x/165712039/model_final_162be9.pkl",
        255_757_821,
        "b8a7382001b16e453bad95ca9dbc68ae8f2b839b304cf90eaf5c27fbdb4dae91",
        "Apache-2.0 (the code's; the weights state none)",
        "Meta, DensePose R50-FPN-s1x",
        CHECKED,
    ),
)
REGISTRY = {file.name: file for file in _FILES}


class Chosen(Strict):
    """Base of the options of a backend whose weights the configuration chooses; it gives `weights` its default."""

    weights: str = Field(description="Name of a registered weight file, or the path of one.")
    weights_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="SHA-256 of the file at that path, where it is not registered."
    )

    @property
    def weight(self) -> "Download | Local":
        """The chosen file; a backend loads `options.weight.verify()`."""
        return resolve(self.weights, self.weights_sha256)


def chosen(options: Any) -> tuple[AnyWeight, ...]:
    """The weight files that a backend's options choose, also those of options inside them; none for backends that leave
    no choice.

    Raises:
        GaitloomError: there is no such file, and its name is not registered.
    """
    own = (options.weight,) if isinstance(options, Chosen) else ()
    return (*own, *(weight for inner in _inside(options).values() for weight in chosen(inner)))


def recorded(options: Any) -> dict[str, Any]:
    """A backend's options as its recipe has them: what the weights are is said there by SHA-256, not by a path."""
    choice = set(Chosen.model_fields) if isinstance(options, Chosen) else None
    values = options.model_dump(mode="json", by_alias=True, exclude=choice)
    return {**values, **{name: _recorded_inside(inner) for name, inner in _inside(options).items()}}


def _recorded_inside(options: Any) -> dict[str, Any]:
    """With the hash, since the recipe's own list of weights may call several files of one's own alike."""
    hashed = {"weights": options.weight.sha256} if isinstance(options, Chosen) else {}
    return {**recorded(options), **hashed}


def _inside(options: Any) -> dict[str, Strict]:
    """The options inside options, by name."""
    return {name: value for name, value in options if isinstance(value, Strict)}


def licences(weights: Iterable[AnyWeight]) -> dict[str, dict[str, str]]:
    """The recipe's `weight_licences`, for weights that have one of their own."""
    own = {w.label: w.licence for w in weights if w.licence is not None}
    return {"weight_licences": own} if own else {}


def resolve(name: str, sha256: str | None = None) -> Download | Local:
    """The weight file that a configuration means by a registered name, or by a path.

    A file with a registered name is held against the registry, any other against the SHA-256 given with it; only a
    renamed file without one is read here, and only if its size is that of a registered one.

    Raises:
        GaitloomError: neither the name nor the file is registered and no SHA-256 is given, or they contradict.
    """
    known = REGISTRY.get(name)
    if known is not None:
        if sha256 not in (None, known.sha256):
            raise GaitloomError(f"{name} has SHA-256 {known.sha256}; remove weights_sha256, or give your file's path")
        return known
    path = Path(name).expanduser()
    if sha256 is not None:
        return Local(path, sha256, next((w for w in REGISTRY.values() if w.sha256 == sha256), None))
    known = REGISTRY.get(path.name) or _recognised(path)
    if known is not None:
        return Local(path, known.sha256, known)
    near = difflib.get_close_matches(path.name, REGISTRY, 1)
    hint = f"; did you mean '{near[0]}'?" if near else f" (known: {', '.join(REGISTRY)})"
    raise GaitloomError(f"'{name}' is not a registered weight file; give its hash as weights_sha256{hint}")


def _recognised(path: Path) -> Download | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    if not any(w.size == stat.st_size for w in REGISTRY.values()):
        return None
    return _by_content(path, stat.st_size, stat.st_mtime_ns)


@cache
def _by_content(path: Path, size: int, mtime_ns: int) -> Download | None:
    return next((w for w in REGISTRY.values() if fault_of(path, w.sha256, w.size) is None), None)


def needs_acceptance(licence: str) -> bool:
    """Whether a licence has to be accepted by name: AGPL, and whatever is not for commercial use."""
    return bool(re.search(r"\bAGPL|\bNC\b|non-?commercial|research[- ]only", licence, re.IGNORECASE))


def unaccepted(backend: str, files: Iterable[AnyWeight], accepted: tuple[str, ...]) -> str | None:
    """What is to be accepted before a backend of this licence may load these files, as the end of a sentence."""
    used = {backend: "its backend is"}
    for file in files:
        used.setdefault(file.licence or backend, f"its weights {file.label} are")
    missing = [k for k in used if needs_acceptance(k) and k not in accepted]
    if not missing:
        return None
    what = " and ".join(f"{used[k]} under {k}" for k in missing)
    line = f"accept_licences: [{', '.join((*accepted, *missing))}]"
    return f"{what}, to be accepted by name: add `{line}` to the configuration"


def prepare(config: "Config") -> None:
    """Fetch and check every weight file that a configuration needs from outside its packages, and list them.

    Raises:
        GaitloomError: some cannot be had, or are not the expected ones.
    """
    every = dict.fromkeys(w for node in config.nodes for w in config.weights_of(node))
    rows, faults = [("name", "size (bytes)", "licence", "where")], []
    for weight in (w for w in every if not isinstance(w, Weight)):
        try:
            place = weight.verify()
            rows.append((weight.label, str(place.stat().st_size), weight.licence, str(place)))
        except GaitloomError as error:
            faults.append(str(error))
    if len(rows) == 1 and not faults:
        print("Nothing to fetch: the models of this configuration lie inside their packages.")
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows if len(rows) > 1 else ():
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if faults:
        raise GaitloomError(" ".join(faults))
