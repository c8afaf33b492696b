"""One contract for every backend file, also for those that come later: whatever lies in backends/*/ is tested here."""

import importlib.metadata
import json
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import backend_options
import gaitloom
import numpy as np
import pytest
import torch_stand_in
from face_pictures import scene
from gait_walkers import PICTURE, Setting, Walker
from gaitloom import backends, modalities
from gaitloom.deidentify.mosaic import FINEST, GRID, Look, View
from gaitloom.errors import GaitloomError
from gaitloom.faces import Faces
from gaitloom.gait.course import Walk as GaitWalk
from gaitloom.gait.measure import Gait
from gaitloom.gait.steps import COLUMNS
from gaitloom.gait.summary import PARAMETERS
from gaitloom.keypoint_formats import KeypointFormat
from gaitloom.modalities.parts import Person
from gaitloom.tracking import People
from gaitloom.weight_files import Download, Weight
from gaitloom.weights import Chosen
from pydantic import ValidationError
from walker import GAITS, SIDES, Walk

FOLDER = Path(gaitloom.__file__).parent / "backends"
FILES = sorted((p.parent.name, p.stem) for p in FOLDER.glob("*/*.py") if not p.stem.startswith("_"))
# What those give that read files instead of pixels is tested in test_from_files.py.
BACKENDS = [(m, n) for m, n in FILES if backends.find(m, n).SPEC.files is None]
every_file = pytest.mark.parametrize(("modality", "name"), FILES, ids=["-".join(b) for b in FILES])
every_backend = pytest.mark.parametrize(("modality", "name"), BACKENDS, ids=["-".join(b) for b in BACKENDS])
METHODS = {
    "track": "people",
    "keypoints": "points",
    "silhouette": "masks",
    "parts": "parts",
    "flow": "flows",
    "gait": "gaits",
    "faces": "faces",
    "deidentified": "patterns",
    "audit": "faces",
}
SIZES = [(320, 240), (241, 319), (323, 181)]
CROP = 0.4  # of width and height, cut off all around for flow, which is slow
HEAVY = ("cv2", "mediapipe", "torch", "av", "tensorflow", "onnxruntime", "scipy", "zarr", "numba", "llvmlite", "pandas")


@cache
def walk(size: tuple[int, int]) -> Walk:
    return Walk(GAITS["normal"], frames=4, fps=8, size=size, seed=1)


def items(modality: str, size: tuple[int, int], backend: Any) -> list[Any]:
    """What a backend of this modality is given: images, (image, box) pairs or pairs of grey or coloured images; or
    whole walks."""
    if modality == "gait":
        walkers = [Walker(GAITS["normal"], Setting(fps=30, side=side), seed=i) for i, side in enumerate(SIDES)]
        return [GaitWalk(w.time, w.keypoints, PICTURE) for w in walkers]
    images = list(walk(size).frames())
    if modality == "track":
        return images
    if modality in ("faces", "audit"):
        return [scene(size, [(10 + 8 * i, 5, 170)], seed=i)[0] for i in range(4)]
    if modality == "deidentified":
        heads = [scene((160, 160), [(40 + 4 * i, 40, 80)], seed=i)[0] for i in range(2)]
        box, mean = np.array([40, 40, 120, 120]), np.full((GRID, GRID, 3), 90, np.float32)
        return [Look(mean + 40 * i, (View(image, box),)) for i, image in enumerate(heads)]
    if modality == "flow":
        x, y = (round(CROP * n) for n in size)
        cut = [np.ascontiguousarray(i[y:-y, x:-x]) for i in images]
        if backend.colour:
            return list(pairwise(cut))
        return list(pairwise((i @ [0.299, 0.587, 0.114]).astype(np.uint8) for i in cut))
    assert modality in METHODS, f"say here what a {modality} backend is given and gives"
    if modality == "parts":
        whole, score = walk(size), np.ones(23, np.float32)
        return [
            Person(whole.box[t], image, whole.keypoints[t], score, whole.silhouette(t))
            for t, image in enumerate(images)
        ]
    return list(zip(images, walk(size).box, strict=True))


def module_of(modality: str, name: str) -> ModuleType:
    return backends.find(modality, name)


def options_of(modality: str, name: str) -> Any:
    """Options with which the backend can really be loaded here; skips where its packages or weights are not there."""
    spec = module_of(modality, name).SPEC
    for package in spec.packages:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{package} is not installed")
    if "torchvision" in spec.packages:
        torch_stand_in.install()
    return spec.options(**backend_options.MAKERS.get((modality, name), dict)())


@cache
def instance(modality: str, name: str) -> Any:
    return loaded(modality, name)


def loaded(modality: str, name: str) -> Any:
    return backends.load(modality, name, options_of(modality, name))


def run(backend: Any, modality: str, given: Iterable[Any]) -> list[Any]:
    """The backend's stream over `given`: one output per input."""
    given = list(given)
    found = list(getattr(backend, METHODS[modality])(iter(given)))
    assert len(found) == len(given)
    return found


def arrays(output: Any) -> list[np.ndarray]:
    """The arrays of one output, whatever its kind."""
    if output is None:
        return []
    if isinstance(output, Faces):
        return [output.box, output.score, *([] if output.landmarks is None else [output.landmarks])]
    if isinstance(output, tuple) and isinstance(output[0], Faces):
        return [array for faces in output for array in arrays(faces)]
    if isinstance(output, Look):
        return [output.mean, *(a for view in output.views for a in (view.image, view.box))]
    if isinstance(output, People):
        return [a for a in (output.box, output.score, output.identity) if a is not None]
    if isinstance(output, Person):
        return [a for a in vars(output).values() if a is not None]
    if isinstance(output, GaitWalk):
        return [output.time, output.xy]
    if isinstance(output, Gait):
        return [output.events.time, output.steps.values, output.summary.mean, output.angle, output.cycle]
    return [np.asarray(a) for a in (output if isinstance(output, tuple) else (output,))]


def same(one: Any, other: Any) -> bool:
    pairs = list(zip(arrays(one), arrays(other), strict=True))
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)


def test_there_are_backends_of_every_modality() -> None:
    assert {modality for modality, _ in BACKENDS} == set(modalities.NAMES) - {"video"} == set(METHODS)


@every_file
def test_spec(modality: str, name: str) -> None:
    spec = module_of(modality, name).SPEC
    assert spec.version >= 1
    assert spec.licence.strip()
    assert spec.packages
    options_of(modality, name)
    for weight in spec.weights:
        assert len(weight.sha256) == 64
        assert weight.verify().is_file()
    defaults = spec.options()
    assert spec.options(**defaults.model_dump(by_alias=True)) == defaults
    json.dumps(defaults.model_dump(mode="json", by_alias=True))
    with pytest.raises(ValidationError):
        spec.options(no_such_option=1)
    assert all(field.description for field in spec.options.model_fields.values())


LIGHT = """
import importlib, sys
importlib.import_module(sys.argv[1]).SPEC.options()
print(*sorted({m.split(".")[0] for m in sys.modules} & set(sys.argv[2:])))
"""


@every_file
def test_its_import_is_light(modality: str, name: str) -> None:
    command = [sys.executable, "-c", LIGHT, f"gaitloom.backends.{modality}.{name}", *HEAVY]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@every_backend
@pytest.mark.parametrize("size", SIZES, ids=["x".join(map(str, s)) for s in SIZES])
def test_shapes_and_types(modality: str, name: str, size: tuple[int, int]) -> None:
    backend = instance(modality, name)
    given = items(modality, size, backend)
    found = run(backend, modality, given)
    assert any(len(arrays(output)) and arrays(output)[0].size for output in found), "it found nothing at all"
    for source, output in zip(given, found, strict=True):
        _shape_of[modality](backend, source, output, size)


def _people(backend: Any, image: np.ndarray, output: People, size: tuple[int, int]) -> None:
    assert (output.box.dtype, output.score.dtype) == (np.float32, np.float32)
    assert output.box.shape == (len(output.score), 4)
    if output.identity is not None:
        assert (output.identity.dtype, output.identity.shape) == (np.int32, output.score.shape)
    assert np.isfinite(output.box).all() and np.isfinite(output.score).all()
    assert (output.box[:, :2] >= 0).all() and (output.box[:, 2:] <= size).all()
    assert (output.box[:, 2:] > output.box[:, :2]).all()


def _points(backend: Any, source: Any, output: np.ndarray | None, size: tuple[int, int]) -> None:
    assert isinstance(backend.format, KeypointFormat) and backend.score_kind.strip()
    if output is not None:
        assert (output.shape, output.dtype) == ((len(backend.format.points), 3), np.float32)
        assert np.isfinite(output[:, 2]).all()


def _mask(backend: Any, source: Any, output: Any, size: tuple[int, int]) -> None:
    if output is not None:
        mask, (x, y) = output
        assert mask.dtype == bool and mask.ndim == 2
        assert isinstance(x, int) and isinstance(y, int) and x >= 0 and y >= 0
        assert x + mask.shape[1] <= size[0] and y + mask.shape[0] <= size[1]


def _flow(backend: Any, source: tuple[np.ndarray, np.ndarray], output: np.ndarray, size: tuple[int, int]) -> None:
    assert (output.shape, output.dtype) == ((*source[0].shape[:2], 2), np.float32)
    assert np.isfinite(output).all()


def _label(backend: Any, source: Person, output: Any, size: tuple[int, int]) -> None:
    assert len(backend.labels) in (15, 25) and backend.labels[0] == "background"
    assert isinstance(backend.learned, bool) and isinstance(backend.needs_image, bool)
    if output is not None:
        label, corner = output
        assert label.dtype == np.uint8 and label.max() < len(backend.labels)
        _mask(backend, source, (label > 0, corner), size)


def _faces(backend: Any, image: np.ndarray, output: Faces, size: tuple[int, int]) -> None:
    assert (output.box.dtype, output.score.dtype) == (np.float32, np.float32)
    assert output.box.shape == (len(output.score), 4)
    assert (output.box[:, :2] >= 0).all() and (output.box[:, 2:] <= size).all()
    assert (output.box[:, 2:] > output.box[:, :2]).all()
    assert (np.diff(output.score) <= 0).all()
    if output.landmarks is not None:
        assert (output.landmarks.dtype, output.landmarks.shape) == (np.float32, (len(output.box), 5, 2))


def _pair(backend: Any, image: np.ndarray, output: tuple[Faces, Faces], size: tuple[int, int]) -> None:
    assert len(output) == len(backend.judges) == 2 and backend.tier in ("basic", "full")
    for faces in output:
        _faces(backend, image, faces, size)


def _pattern(backend: Any, look: Look, output: np.ndarray, size: tuple[int, int]) -> None:
    assert output.dtype == np.uint8 and output.shape == (len(output), len(output), 3)
    assert 1 <= len(output) <= FINEST


def _gait(backend: Any, source: GaitWalk, output: Gait, size: tuple[int, int]) -> None:
    assert output.used.shape == source.time.shape and output.used.dtype == bool
    assert output.angle.shape == (len(source.time), 7)
    assert output.steps.values.shape == (len(output.steps.foot), len(COLUMNS))
    assert output.summary.mean.shape == (3, len(PARAMETERS))
    assert bool(output.reason) == (not np.isfinite(output.summary.mean).any())


_shape_of = {
    "gait": _gait,
    "deidentified": _pattern,
    "faces": _faces,
    "audit": _pair,
    "track": _people,
    "keypoints": _points,
    "silhouette": _mask,
    "parts": _label,
    "flow": _flow,
}


@every_backend
def test_nothing_depends_on_what_came_before(modality: str, name: str) -> None:
    """Another instance, warm from smaller pictures, on the same frames in another order: the same for every frame.

    A method about time (its class says `temporal`) may look back within a stream, not beyond: there the order stays.
    """
    fresh, warm = loaded(modality, name), loaded(modality, name)
    given = items(modality, SIZES[0], fresh)
    expected = run(fresh, modality, given)
    run(warm, modality, items(modality, SIZES[2], warm)[:1])
    order = [*range(len(given))] if getattr(warm, "temporal", False) else [*reversed(range(len(given))), 0]
    for index, output in zip(order, run(warm, modality, [given[i] for i in order]), strict=True):
        assert same(output, expected[index]), f"frame {index} came out otherwise"


@every_backend
def test_inputs_are_left_as_they_are(modality: str, name: str) -> None:
    backend = instance(modality, name)
    given = items(modality, SIZES[0], backend)[:1]
    before = [a.copy() for item in given for a in arrays(item)]
    run(backend, modality, given)
    for array, copy in zip([a for item in given for a in arrays(item)], before, strict=True):
        np.testing.assert_array_equal(array, copy)


@every_backend
def test_frames_are_taken_as_they_come(modality: str, name: str) -> None:
    """Memory must not grow with the clip: outputs come before the whole stream has been read."""
    taken = 0

    def endless() -> Iterator[Any]:
        nonlocal taken
        while taken < 100_000:
            taken += 1
            yield items_[taken % len(items_)]

    backend = instance(modality, name)
    items_ = items(modality, SIZES[0], backend)
    next(iter(getattr(backend, METHODS[modality])(endless())))
    assert taken < 1000


@every_backend
def test_a_blank_picture_shows_nobody(modality: str, name: str) -> None:
    backend = instance(modality, name)
    blank = np.full((180, 320, 3), 128, np.uint8)
    box = np.array([100, 20, 200, 170], np.float32)
    grey = blank[:40, :60, 0].copy()
    nobody = Person(box, blank, np.full((23, 2), np.nan), np.zeros(23), np.zeros((180, 320), bool))
    still = (blank[:40, :60], blank[:40, :60]) if getattr(backend, "colour", False) else (grey, grey)
    unseen = Look(np.full((GRID, GRID, 3), 128, np.float32), ())
    others = {"track": blank, "faces": blank, "audit": blank, "flow": still, "parts": nobody, "deidentified": unseen}
    others["gait"] = GaitWalk(np.arange(90) / 30, np.full((90, 23, 2), np.nan), (320, 180))
    given = others.get(modality, (blank, box))
    (found,) = run(backend, modality, [given])
    _shape_of[modality](backend, given, found, (320, 180))
    if (modality, name) in backend_options.UNTRAINED:
        return
    if modality == "deidentified":
        assert found.shape == (1, 1, 3)
    elif modality in ("track", "faces"):
        assert len(found.box) == 0
    elif modality == "audit":
        assert [len(faces.box) for faces in found] == [0, 0]
    elif modality == "gait":
        assert found.reason == "nobody was posed"
    elif modality == "flow":
        assert np.abs(found).max() < 1e-3
    elif modality in ("silhouette", "parts") and found is not None:
        assert not found[0].any()
    elif modality == "keypoints" and found is not None:
        assert not np.isfinite(found[:, :2]).any()


@every_backend
def test_it_needs_no_network(modality: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a backend reached for the network")

    for function in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, function, refuse)
    backend = loaded(modality, name)
    run(backend, modality, items(modality, SIZES[0], backend)[:1])


WEIGHTS = [
    (m, n, i) for m, n in BACKENDS for i, w in enumerate(backends.find(m, n).SPEC.weights) if isinstance(w, Weight)
]


@pytest.mark.parametrize(("modality", "name", "number"), WEIGHTS)
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sha256": "0" * 64}, "have SHA-256 [0-9a-f]{64}, not 0{64}; run `make env`"),
        ({"path": "modules/none.tflite"}, "The weights .*modules/none.tflite are missing; run `make env`"),
        ({"package": "no_such_package"}, "The package no_such_package is not installed; run `make env`"),
    ],
)
def test_weights_that_are_not_those(
    modality: str, name: str, number: int, change: dict[str, str], sentence: str
) -> None:
    weight = replace(module_of(modality, name).SPEC.weights[number], **change)
    with pytest.raises(GaitloomError, match=sentence) as caught:
        weight.verify()
    assert "\n" not in str(caught.value)


CHOOSING = [(m, n) for m, n in BACKENDS if issubclass(backends.find(m, n).SPEC.options, Chosen)]


@pytest.mark.parametrize(("modality", "name"), CHOOSING, ids=["-".join(b) for b in CHOOSING])
def test_without_its_weights_one_sentence_says_where_to_get_them(
    modality: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*args: Any) -> Any:
        raise OSError("no network")

    options_of(modality, name)  # skips where its packages are not here
    monkeypatch.setenv("GAITLOOM_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(Download, "_retrieve", cut_off)
    with pytest.raises(GaitloomError) as caught:
        backends.load(modality, name, module_of(modality, name).SPEC.options())
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert f"put it at {tmp_path}" in sentence or "is not a registered weight file; give its hash" in sentence


def test_an_unknown_backend_names_those_that_exist() -> None:
    with pytest.raises(GaitloomError, match=r"track has no backend named 'nobody'; choose one of: .*blazepose"):
        backends.find("track", "nobody")


@pytest.mark.parametrize("options", [{}, {"lambda": 0.05, "scales": 3, "warps": 2, "median_filtering": 3, "tau": 0.2}])
def test_tvl1_is_opencvs_own(options: dict[str, Any]) -> None:
    """Exactly what a direct call gives, also when the solver was used before."""
    import cv2

    setters = {
        "lambda": "Lambda", "scales": "ScalesNumber", "warps": "WarpingsNumber", "median_filtering": "MedianFiltering",
        "tau": "Tau",
    }  # fmt: skip
    module = module_of("flow", "tvl1_opencv")
    pairs = items("flow", SIZES[0], module.Backend)
    for (before, after), found in zip(
        pairs, run(module.Backend(module.Options(**options)), "flow", pairs), strict=True
    ):
        solver = cv2.optflow.DualTVL1OpticalFlow.create()
        for option, value in options.items():
            getattr(solver, f"set{setters[option]}")(value)
        np.testing.assert_array_equal(found, solver.calc(before, after, None))


def test_tvl1s_defaults_are_opencvs() -> None:
    import cv2

    solver = cv2.optflow.DualTVL1OpticalFlow.create()
    getters = {
        "tau": "Tau", "lambda": "Lambda", "theta": "Theta", "scales": "ScalesNumber", "warps": "WarpingsNumber",
        "epsilon": "Epsilon", "inner_iterations": "InnerIterations", "outer_iterations": "OuterIterations",
        "scale_step": "ScaleStep", "gamma": "Gamma", "median_filtering": "MedianFiltering",
    }  # fmt: skip
    defaults = module_of("flow", "tvl1_opencv").Options().model_dump(by_alias=True)
    assert {option: getattr(solver, f"get{name}")() for option, name in getters.items()} == pytest.approx(defaults)
