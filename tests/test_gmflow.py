"""GMFlow: ptlflow's own flow, from every layout of its weights, for every size of picture. The weights are random."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch_stand_in
from gaitloom import config
from gaitloom.backends import CPU, Device
from gaitloom.backends.flow import gmflow
from gaitloom.errors import GaitloomError
from pydantic import ValidationError
from walker import GAITS, Walk

torch = pytest.importorskip("torch", reason="torch is not installed")
for name in ("ptlflow", "lightning"):
    if not gmflow.importlib.util.find_spec(name):
        pytest.skip(f"{name} is not installed", allow_module_level=True)
torch_stand_in.install()

MODELS = ["gmflow", "gmflow_refine"]
SIZES = [(64, 48), (97, 65), (45, 33), (16, 16), (3, 1)]  # width, height: whole, odd, smaller than the padding
FRAMES = list(Walk(GAITS["normal"], frames=4, fps=8, size=(320, 180), seed=1).frames())
WRAPPED = {
    "authors": lambda state: {"model": state},
    "ptlflow": lambda state: {"state_dict": state, "hyper_parameters": {"lr": 1e-4}, "epoch": 3},
    "bare": lambda state: state,
}
every_model = pytest.mark.parametrize("model", MODELS)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """On pictures this small, threads mostly wait for each other where tests run beside tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def net(model: str, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return getattr(gmflow._ptlflow(), model)().eval()


def saved(path: Path, content: Any) -> dict[str, str]:
    """A checkpoint, and the options that name it."""
    torch.save(content, path)
    return {"weights": str(path), "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def backend(path: Path, model: str = "gmflow", form: str = "authors", device: Device = CPU, **options: Any) -> Any:
    """With ptlflow's own padding, unless another is given."""
    file = saved(path / "random.pth", WRAPPED[form](net(model).state_dict()))
    return gmflow.Backend(gmflow.Options(model=model, **file, **{"padding": 32, **options}), device)  # type: ignore[arg-type]


def pair(size: tuple[int, int], t: int = 0) -> tuple[np.ndarray, np.ndarray]:
    width, height = size
    first, second = (np.ascontiguousarray(f[60 : 60 + height, 110 : 110 + width]) for f in FRAMES[t : t + 2])
    return first, second


def theirs(model: Any, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """ptlflow's own call: a batch of BGR pictures in 0..1, as its own reader makes them with OpenCV."""
    import cv2

    pictures = [cv2.cvtColor(p, cv2.COLOR_RGB2BGR).transpose(2, 0, 1) / np.float32(255) for p in (before, after)]
    with torch.no_grad():
        return model({"images": torch.from_numpy(np.stack(pictures)[None])})["flows"][0, 0].numpy().transpose(1, 2, 0)


def padded(picture: np.ndarray, multiple: int, shift: int = 0) -> tuple[np.ndarray, tuple[slice, slice]]:
    """A picture in the middle of its own repeated edges, and where it lies; `shift` plants a fault."""
    more = [-n % multiple for n in picture.shape[:2]]
    start = [m // 2 for m in more]
    around = [(s + shift, m - s - shift) for s, m in zip(start, more, strict=True)]
    inside = tuple(slice(s, s + n) for s, n in zip(start, picture.shape[:2], strict=True))
    return np.pad(picture, [*around, (0, 0)], "edge"), inside  # type: ignore[return-value]


def off(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference in pixels."""
    assert (found.shape, found.dtype) == (expected.shape, np.float32)
    return float(np.abs(found - expected).max())


@every_model
@pytest.mark.parametrize("form", WRAPPED)
def test_it_is_ptlflows_own(tmp_path: Path, model: str, form: str) -> None:
    """To 1e-4 px for every size; whatever could be got wrong must show in the same comparison."""
    ours, reference = backend(tmp_path, model, form), net(model)
    for size in SIZES if form == "authors" else SIZES[1:2]:
        before, after = pair(size)
        (found,) = ours.flows([(before, after)])
        assert off(found, theirs(reference, before, after)) <= 1e-4, size
        if min(size) < 32:
            continue
        assert found.std() > 0.1
        wrong = {
            "colours swapped": theirs(reference, before[..., ::-1], after[..., ::-1]),
            "frames swapped": theirs(reference, after, before),
            "axes swapped": theirs(reference, before, after)[..., ::-1],
            "one pixel aside": np.roll(theirs(reference, before, after), 1, 1),
            "another frame": theirs(reference, *pair(size, 1)),
            "other weights": theirs(net(model, 1), before, after),
        }
        for fault, flow in wrong.items():
            assert off(found, flow) > 1e-2, fault


@pytest.mark.parametrize(("model", "padding"), [("gmflow", 16), ("gmflow", 32), ("gmflow_refine", 32)])
def test_padding_is_as_published(tmp_path: Path, model: str, padding: int) -> None:
    """Against pictures padded by numpy to a size that ptlflow leaves as it is; a padding off by one must show."""
    ours, reference = backend(tmp_path, model, padding=padding), net(model)
    reference.output_stride = padding
    before, after = pair((97, 65))
    (found,) = ours.flows([(before, after)])

    def expected(multiple: int, shift: int = 0) -> np.ndarray:
        (first, inside), (second, _) = padded(before, multiple, shift), padded(after, multiple, shift)
        return theirs(reference, first, second)[inside]

    assert off(found, expected(padding)) <= 1e-4
    assert off(found, expected(padding, 1)) > 1e-2
    assert off(found, expected(2 * padding)) > 1e-2


@pytest.mark.parametrize(("model", "published"), [("gmflow", 16), ("gmflow_refine", 32)])
def test_the_published_padding_is_the_default(tmp_path: Path, model: str, published: int) -> None:
    given = [pair(SIZES[1])]
    (found,) = backend(tmp_path, model, padding=None).flows(given)
    (same,) = backend(tmp_path, model, padding=published).flows(given)
    np.testing.assert_array_equal(found, same)


@every_model
def test_a_batch_is_as_its_pairs(tmp_path: Path, model: str) -> None:
    """Other batches only round otherwise (random weights make much of it); pairs mixed up must show."""
    pairs = [pair((97, 65), t) for t in range(3)]
    alone = list(backend(tmp_path, model).flows(pairs))
    together = list(backend(tmp_path, model, device=Device("cpu", 2)).flows(iter(pairs)))
    for t in range(3):
        assert np.median(np.abs(together[t] - alone[t])) < 1e-3
        assert np.median(np.abs(together[t] - alone[t - 1])) > 1e-1


def test_it_goes_on_with_half_the_batch_when_memory_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [pair((64, 48), t % 3) for t in range(5)]
    expected = list(backend(tmp_path).flows(pairs))
    ours = backend(tmp_path, device=Device("cpu", 4))
    whole, room = ours._model.forward, 1

    def forward(inputs: dict[str, Any]) -> Any:
        if len(inputs["images"]) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return whole(inputs)

    monkeypatch.setattr(ours._model, "forward", forward)
    for found, flow in zip(ours.flows(pairs), expected, strict=True):
        np.testing.assert_array_equal(found, flow)
    assert "1 frames at once from here on" in capsys.readouterr().err
    room = 0
    with pytest.raises(GaitloomError, match=r"even one frame at a time"):
        list(ours.flows(pairs))


@every_model
def test_weights_of_another_model_are_refused(tmp_path: Path, model: str) -> None:
    other = next(m for m in MODELS if m != model)
    files = [
        saved(tmp_path / "other.pth", {"model": net(other).state_dict()}),
        saved(tmp_path / "linear.ckpt", {"state_dict": torch.nn.Linear(2, 2).state_dict()}),
        saved(tmp_path / "list.pth", [1, 2]),
    ]
    for file in files:
        with pytest.raises(
            GaitloomError, match=r"The weights .*(other|linear|list)\.\w+ are another model's"
        ) as caught:
            gmflow.Backend(gmflow.Options(model=model, **file))  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    """One that is broken off, and one whose reading would run code."""
    whole = tmp_path / "whole.pth"
    saved(whole, {"model": net("gmflow").state_dict()})
    broken = tmp_path / "broken.pth"
    broken.write_bytes(whole.read_bytes()[:100_000])
    code = saved(tmp_path / "code.pth", {"model": Path("a class that is not torch's")})
    for file in ({"weights": str(broken), "weights_sha256": hashlib.sha256(broken.read_bytes()).hexdigest()}, code):
        with pytest.raises(GaitloomError, match=r"(broken|code)\.pth are not a checkpoint") as caught:
            gmflow.Backend(gmflow.Options(**file))  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)


def test_half_needs_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(GaitloomError, match=r"half needs a GPU; set it to false"):
        backend(tmp_path, half=True)


def test_half_keeps_the_matching_in_single_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU's own float16: the features are rounded, and what they are matched in is not."""
    before, after = pair((97, 65))
    single, ours = backend(tmp_path), backend(tmp_path)
    gmflow.halve(ours._model, "cpu")
    seen = []
    matmul = torch.matmul

    def watched(a: Any, b: Any) -> Any:
        found = matmul(a, b)
        seen.append(found.dtype)
        return found

    monkeypatch.setattr(torch, "matmul", watched)
    (found,) = ours.flows([(before, after)])
    monkeypatch.undo()
    (expected,) = single.flows([(before, after)])
    assert found.dtype == np.float32 and np.isfinite(found).all()
    assert set(seen[:-4]) == {torch.float16}  # the transformer's
    assert set(seen[-4:]) == {torch.float32}  # two of the matching, two of the propagation
    assert 0 < np.median(np.abs(found - expected)) < 0.2 * expected.std()


def test_options_that_do_not_fit_together() -> None:
    with pytest.raises(ValidationError, match="gmflow_refine needs a padding of 32"):
        gmflow.Options(model="gmflow_refine", padding=16, weights="w.pth")
    nodes: dict[str, Any] = {
        "track": {"backend": "blazepose"},
        "flow_gmflow": {"backend": "gmflow", "backend_options": {"model": "gmflow_refine"}},
    }
    with pytest.raises(
        GaitloomError, match=r"flow_gmflow\.backend_options: no weights of gmflow_refine are registered"
    ):
        config.parse({"clips": {"folders": ["data"]}, "nodes": nodes})


def test_ptlflow_is_left_whole_for_others() -> None:
    """Only a part of it is imported, and the next who imports it does not get the part for the whole."""
    gmflow._ptlflow.__wrapped__()
    assert not [name for name in sys.modules if name.split(".")[0] == "ptlflow"]


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    with pytest.raises(GaitloomError, match=r"ptlflow cannot be loaded \(.*lightning.*\); install it with `make env-"):
        gmflow._ptlflow.__wrapped__()
    monkeypatch.setattr(gmflow.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GaitloomError, match=r"ptlflow is not installed; install it with `make env-torch`"):
        gmflow._ptlflow.__wrapped__()
