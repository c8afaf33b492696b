"""RTMPose through rtmlib: its own points on every box, dots found where they are, and files that are no RTMPose.

The models are small convolutions with RTMPose's signature (`onnx_nets`); they prove crop, colours, batches and
decoding.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx_nets
import pytest
from gaitloom import config, keypoint_formats
from gaitloom.backends import Device, _onnx, find
from gaitloom.errors import GaitloomError
from gaitloom.keypoint_formats import HALPE_26, WHOLEBODY_23
from gaitloom.weights import REGISTRY
from walker import Walk

for package in ("rtmlib", "onnxruntime", "onnx"):
    pytest.importorskip(package, reason=f"{package} is not installed")

# WholeBody's 23 ← Halpe's 26, by index: a foot's points stand together there, left and right alternate here.
FROM_HALPE = [*range(17), 20, 22, 24, 21, 23, 25]
ALL = {"min_score": 0}


def backend(device: Device | None = None, **options: Any) -> Any:
    module = find("keypoints", "rtmpose")
    return module.Backend(module.Options(**options), device or Device())


def run(model: Any, *people: tuple[np.ndarray, np.ndarray]) -> list[Any]:
    return list(model.points(iter(people)))


def rtmlib_says(file: str, size: tuple[int, int], image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(26, 3) from rtmlib's own call; no place for points that it marks as without response."""
    from rtmlib import RTMPose

    xy, score = RTMPose(file, model_input_size=size, backend="onnxruntime")(image, [box])
    xy[score <= 0] = np.nan
    return np.concatenate([xy[0], score[0, :, None]], axis=1).astype(np.float32)


def agrees(found: np.ndarray, expected: np.ndarray) -> bool:
    """The same places exactly; scores to the rounding of sums."""
    return np.array_equal(found[:, :2], expected[:, :2], equal_nan=True) and np.allclose(
        found[:, 2], expected[:, 2], rtol=1e-5
    )


def boxes(width: int, height: int) -> dict[str, list[float]]:
    return {
        "inside": [width * 0.3, height * 0.2, width * 0.5, height * 0.9],
        "fractions": [101.37, 33.51, 160.92, 199.13],
        "over the left and top edge": [-40, -25, 60, 120],
        "over the right and bottom edge": [width - 50, height - 90, width + 31, height + 47],
        "larger than the picture": [-30, -20, width + 30, height + 20],
        "wide": [20, 90, 300, 130],
        "tiny": [70, 60, 77, 71],
    }


@pytest.mark.parametrize(("size", "picture"), [((192, 256), (641, 363)), ((288, 384), (321, 240))])
@pytest.mark.parametrize("colours", ["rgb", "bgr"])
def test_points_are_rtmlibs_own(size: tuple[int, int], picture: tuple[int, int], colours: str) -> None:
    """The model's input size is read from the file; three boxes at once give what rtmlib gives one by one."""
    options = onnx_nets.simcc(f"{size[0]}.onnx", size)
    model = backend(Device(batch=3), **options, **ALL, colours=colours)
    walk = Walk(frames=2, size=picture)
    people = [
        (walk.frame(i % 2), np.array(box, (np.float32, np.float64)[i % 2]))
        for i, box in enumerate(boxes(*picture).values())
    ]
    found = run(model, *people)
    assert len({f.tobytes() for f in found}) == len(people)
    for f, (image, box), what in zip(found, people, boxes(*picture), strict=True):
        assert (f.shape, f.dtype) == ((26, 3), np.float32)
        assert len(np.unique(f[:, :2])) > 10, "the model does not follow the picture"
        shown = image if colours == "rgb" else np.ascontiguousarray(image[..., ::-1])
        assert agrees(f, rtmlib_says(options["weights"], size, shown, box)), what


def test_the_comparison_sees_what_could_go_wrong() -> None:
    options = onnx_nets.simcc()
    model = backend(**options, **ALL)
    walk = Walk(frames=2, size=(641, 363))
    image, box = walk.frame(0), walk.box[0]
    expected = rtmlib_says(options["weights"], (192, 256), image, box)
    faults = {
        "channels swapped": (np.ascontiguousarray(image[..., ::-1]), box),
        "region a pixel to the right": (image, box + np.array([1, 0, 1, 0])),
        "region a pixel too tall": (image, box + np.array([0, 0, 0, 1])),
        "picture a pixel to the right": (np.roll(image, 1, 1), box),
        "picture a pixel lower": (np.roll(image, 1, 0), box),
        "the next frame": (walk.frame(1), walk.box[1]),
    }
    (found,) = run(model, (image, box))
    assert agrees(found, expected)
    for what, person in faults.items():
        assert not agrees(run(model, person)[0], expected), what
    assert not agrees(found[[*_mirrored()]], expected), "left and right swapped"
    assert not agrees(found + np.float32([1, 0, 0]), expected), "points a pixel to the right"


def _mirrored() -> list[int]:
    order = list(range(26))
    for left, right in HALPE_26.swaps():
        order[left], order[right] = right, left
    return order


def dots(places: list[tuple[float, float]], size: tuple[int, int]) -> np.ndarray:
    """A black picture with a red, a green and a blue dot, soft and centred at full-frame pixels (x, y)."""
    y, x = np.mgrid[: size[1], : size[0]]
    layers = [255 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 2.0**2)) for px, py in places]
    return np.stack(layers, axis=-1).astype(np.uint8)


def test_colours_and_places_are_those_of_the_picture() -> None:
    """Points that look for red, green and blue find such dots where they are, to half of the model's pixels."""
    seekers = np.zeros((26, 3, 5, 5), np.float32)
    for point in range(26):
        seekers[point, :, 2, 2] = -0.5
        seekers[point, point % 3, 2, 2] = 1
    options = onnx_nets.simcc("dots.onnx", kernels=seekers)
    places = [(101, 60), (130.5, 141.25), (77, 183)]
    image, box = dots(places, (211, 243)), np.array([55, 25, 155, 225.0])

    def apart(picture: np.ndarray, **more: Any) -> np.ndarray:
        (found,) = run(backend(**options, **ALL, **more), (picture, box))
        return np.abs(found[:3, :2] - places).max(axis=1)

    assert (apart(image) < 0.6).all()  # a pixel of the model is 0.98 of the picture's
    assert (apart(image, colours="bgr") > 5).tolist() == [True, False, True]
    assert (apart(np.roll(image, 2, 1)) > 0.6).all()
    assert (apart(np.roll(image, 2, 0)) > 0.6).all()


def test_it_sees_nobody_where_the_mean_score_is_low() -> None:
    walk = Walk(frames=1, size=(320, 240))
    person = walk.frame(0), walk.box[0]
    options = onnx_nets.simcc()
    (found,) = run(backend(**options, **ALL), person)
    mean = float(found[:, 2].mean())
    assert run(backend(**options, min_score=mean + 0.01), person) == [None]
    (kept,) = run(backend(**options, min_score=mean - 0.01), person)
    np.testing.assert_array_equal(kept, found)


def test_a_point_without_any_response_has_no_place() -> None:
    """rtmlib puts it outside the crop; here it is NaN, and its score stays."""
    kernels = onnx_nets.spots()
    kernels[[3, 25]] = 0
    walk = Walk(frames=1, size=(320, 240))
    (found,) = run(backend(**onnx_nets.simcc("mute.onnx", kernels=kernels), **ALL), (walk.frame(0), walk.box[0]))
    assert np.flatnonzero(np.isnan(found[:, :2]).all(axis=1)).tolist() == [3, 25]
    assert (found[[3, 25], 2] == 0).all()
    assert np.isfinite(np.delete(found, [3, 25], axis=0)).all()


class Watched:
    """A session that notes its batches, and runs out of memory above `most`."""

    def __init__(self, session: Any, most: int = 99):
        self.session, self.most, self.batches = session, most, []

    def run(self, outputs: Any, given: dict[str, np.ndarray]) -> list[np.ndarray]:
        size = len(next(iter(given.values())))
        self.batches.append(size)
        if size > self.most:
            raise RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9")
        return self.session.run(outputs, given)


def walkers(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    walk = Walk(frames=count, size=(320, 240))
    return list(zip(walk.frames(), walk.box, strict=True))


def watched(most: int = 99, batch: int = 4, **options: Any) -> tuple[Any, Watched]:
    model = backend(Device(batch=batch), **options, **ALL)
    model._session = Watched(model._session, most)
    return model, model._session


def test_a_batch_changes_no_frame() -> None:
    options = onnx_nets.simcc()
    people = walkers(5)
    expected = [run(backend(**options, **ALL), p)[0] for p in people]
    model, session = watched(**options)
    assert all(np.array_equal(f, e) for f, e in zip(run(model, *people), expected, strict=True))
    assert session.batches == [4, 1]


def test_out_of_memory_goes_on_with_half_the_batch(capfd: pytest.CaptureFixture[str]) -> None:
    options = onnx_nets.simcc()
    people = walkers(5)
    model, session = watched(most=2, **options)
    found = run(model, *people)
    assert session.batches == [4, 2, 2, 1]
    assert "2 frames at once from here on" in "".join(capfd.readouterr())
    for f, person in zip(found, people, strict=True):
        np.testing.assert_array_equal(f, run(backend(**options, **ALL), person)[0])
    model, _ = watched(most=0, **options)
    with pytest.raises(GaitloomError, match="even one frame at a time"):
        run(model, *people)


def test_a_model_of_single_pictures_is_given_one_by_one() -> None:
    people = walkers(3)
    model, session = watched(**onnx_nets.simcc("single.onnx", batch=1))
    open_, _ = watched(**onnx_nets.simcc())
    assert all(np.array_equal(f, e) for f, e in zip(run(model, *people), run(open_, *people), strict=True))
    assert session.batches == [1, 1, 1]


def test_rtmlib_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import rtmlib.tools.base as base
    import rtmlib.tools.file as file

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("rtmlib reached for the network")

    monkeypatch.setattr(base, "download_checkpoint", refuse)
    monkeypatch.setattr(file, "urlopen", refuse)
    run(backend(**onnx_nets.simcc(), **ALL), *walkers(1))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "COCO's 17 points": ({"kernels": onnx_nets.spots(17)}, r"it gives .*\(1, 17, 384\)"),
    "WholeBody's 133 points": ({"kernels": onnx_nets.spots(133)}, r"it gives .*\(1, 133, 384\)"),
    "three bins a pixel": ({"split": 3}, r"it gives .*\(1, 26, 576\)"),
    "four pictures at once": ({"batch": 4}, "Expected: 4"),
}


@pytest.mark.parametrize("what", list(REFUSED))
def test_other_models_are_refused(what: str) -> None:
    changes, why = REFUSED[what]
    options = onnx_nets.simcc(f"{what[:4]}.onnx", **changes)
    with pytest.raises(GaitloomError, match=rf"{what[:4]}\.onnx are not an RTMPose model .*{why}") as caught:
        backend(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x08" * 999])
def test_a_corrupt_file_is_refused(tmp_path: Path, content: bytes) -> None:
    import hashlib

    path = tmp_path / "corrupt.onnx"
    path.write_bytes(content)
    with pytest.raises(
        GaitloomError, match=r"corrupt\.onnx (cannot be loaded by onnxruntime|are not an RTM)"
    ) as caught:
        backend(weights=str(path), weights_sha256=hashlib.sha256(content).hexdigest())
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    import hashlib

    whole = Path(onnx_nets.simcc()["weights"]).read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GaitloomError, match=r"cut\.onnx cannot be loaded by onnxruntime on the device cpu"):
        _onnx.session(path, Device())
    with pytest.raises(GaitloomError, match="have SHA-256"):
        backend(weights=str(path), weights_sha256=hashlib.sha256(whole).hexdigest())


def test_a_gpu_that_onnxruntime_does_not_have() -> None:
    import onnxruntime

    if _onnx.CUDA in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(GaitloomError, match=r"device cuda:1.*onnxruntime-gpu.*`device: cpu`"):
        backend(Device("cuda:1"), **onnx_nets.simcc())


def test_a_session_that_falls_back_to_the_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where CUDA's libraries do not load: a node must not say cuda and come from the CPU."""
    import onnxruntime

    if _onnx.CUDA in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [_onnx.CUDA, "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    with warnings.catch_warnings(), pytest.raises(GaitloomError, match="device cuda, and onnxruntime cannot use it"):
        warnings.simplefilter("ignore")
        _onnx.session(Path(onnx_nets.simcc()["weights"]), Device("cuda"))


def test_the_session_is_asked_for_the_gpu_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    asked: dict[str, Any] = {}

    class Session:
        def __init__(self, path: str, options: Any, **more: Any):
            asked.update(more, deterministic=options.use_deterministic_compute, threads=options.intra_op_num_threads)

        def get_providers(self) -> list[str]:
            return [p if isinstance(p, str) else p[0] for p in asked["providers"]]

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [_onnx.CUDA, "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    for name, number in (("cuda", 0), ("cuda:3", 3)):
        _onnx.session(Path("any.onnx"), Device(name, 8))
        ((provider, settings),) = asked["providers"]
        assert (provider, settings["device_id"], settings["use_tf32"]) == (_onnx.CUDA, number, 0)
        assert (asked["deterministic"], asked["threads"], asked["enable_fallback"]) == (True, 1, 0)
    _onnx.session(Path("any.onnx"), Device())
    assert asked["providers"] == ["CPUExecutionProvider"]


def test_halpe_is_rtmlibs() -> None:
    from rtmlib.visualization.skeleton.halpe26 import halpe26

    points = [halpe26["keypoint_info"][i] for i in range(26)]
    assert HALPE_26.points == tuple(p["name"] for p in points)
    links = [tuple(HALPE_26.points.index(n) for n in edge["link"]) for edge in halpe26["skeleton_info"].values()]
    assert HALPE_26.edges == tuple(links)
    swaps = {(p["id"], HALPE_26.points.index(p["swap"])) for p in points if p["name"].startswith("left_")}
    assert set(HALPE_26.swaps()) == swaps


def test_the_23_points_are_the_right_ones() -> None:
    xy = np.arange(2 * 26 * 2, dtype=np.float32).reshape(2, 26, 2)
    score = np.linspace(0.01, 1.2, 52, dtype=np.float32).reshape(2, 26)

    def matches(order: list[int]) -> bool:
        xy_23, score_23 = keypoint_formats.view(xy, score, HALPE_26.points)
        return np.array_equal(xy_23, xy[:, order]) and np.array_equal(score_23, score[:, order])

    assert matches(FROM_HALPE)
    assert not matches([*range(17), *range(20, 26)])  # the feet as they come: left and right mixed
    assert not matches([*range(17), 21, 23, 25, 20, 22, 24])  # the feet exchanged
    assert [HALPE_26.points[i] for i in FROM_HALPE] == list(WHOLEBODY_23.points)


def test_registered_files_say_where_they_are_to_be_had() -> None:
    assert find("keypoints", "rtmpose").Options().weights in REGISTRY
    for name in (n for n in REGISTRY if n.startswith("rtmpose-")):
        assert REGISTRY[name].by_hand.startswith(f"get {name} from end2end.onnx inside https://download.openmmlab.com/")
        assert f"onnx_sdk/{Path(name).stem}.zip" in REGISTRY[name].source


def test_its_licence_needs_no_acceptance() -> None:
    nodes = {"track": {"backend": "blazepose"}, "keypoints": {"backend": "rtmpose"}}
    assert config.parse({"clips": {"folders": ["data"]}, "nodes": nodes}).nodes["keypoints"].backend == "rtmpose"
