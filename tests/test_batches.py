"""Frames in batches that shrink with the memory, and what PyTorch's backends share: devices and safe checkpoints."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gaitloom.backends import Device
from gaitloom.backends._batches import batches, ran_out
from gaitloom.errors import GaitloomError


class Model:
    """Doubles numbers, notes its batches, and runs out of memory above `most`, from its `since`-th call on."""

    def __init__(self, most: int = 99, since: int = 0, error: type[Exception] = MemoryError):
        self.most, self.since, self.error, self.tried = most, since, error, []

    def __call__(self, batch: list[int]) -> list[int]:
        self.tried.append(list(batch))
        if len(batch) > self.most and len(self.tried) > self.since:
            raise self.error("CUDA out of memory")
        return [2 * n for n in batch]

    @property
    def sizes(self) -> list[int]:
        return [len(b) for b in self.tried]


@pytest.mark.parametrize("size", [1, 3, 4, 10, 11])
@pytest.mark.parametrize("count", [0, 1, 10])
def test_one_output_an_item_in_order(size: int, count: int) -> None:
    model = Model()
    assert list(batches(range(count), size, model)) == [2 * n for n in range(count)]
    assert [n for b in model.tried for n in b] == list(range(count))
    assert all(s == size for s in model.sizes[:-1]) and all(s <= size for s in model.sizes)


@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_it_goes_on_with_the_same_frames_and_half_the_batch(error: type[Exception], capfd: Any) -> None:
    model = Model(most=3, error=error)
    assert list(batches(range(20), 8, model)) == [2 * n for n in range(20)]
    assert model.tried[:2] == [list(range(8)), list(range(4))]
    assert model.tried[2:6] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert set(model.sizes[2:]) == {2}, "halved for good"
    said = "".join(capfd.readouterr())
    assert said.count("frames at once from here on") == 2 and "2 frames at once" in said


def test_memory_that_runs_out_later_costs_no_frame() -> None:
    model = Model(most=2, since=2)
    assert list(batches(range(13), 4, model)) == [2 * n for n in range(13)]
    assert model.sizes == [4, 4, 4, 2, 2, 1]
    assert model.tried[2:4] == [[8, 9, 10, 11], [8, 9]]


def test_a_short_last_batch_is_halved_from_its_own_length() -> None:
    model = Model(most=1)
    assert list(batches(range(3), 64, model)) == [0, 2, 4]
    assert model.sizes == [3, 1, 1, 1]


@pytest.mark.parametrize("size", [1, 4])
def test_a_single_frame_that_does_not_fit_is_one_sentence(size: int) -> None:
    with pytest.raises(GaitloomError, match=r"does not fit .* even one frame at a time; choose a smaller") as caught:
        list(batches(range(4), size, Model(most=0)))
    assert "\n" not in str(caught.value)


def test_frames_before_the_one_that_does_not_fit_come_out() -> None:
    stream = batches(range(6), 2, Model(most=0, since=2))
    assert [next(stream) for _ in range(4)] == [0, 2, 4, 6]
    with pytest.raises(GaitloomError, match="even one frame"):
        next(stream)


@pytest.mark.parametrize(
    "error", [ValueError("no such shape"), RuntimeError("CUDA error: invalid device"), KeyError(1)]
)
def test_other_errors_pass_through(error: Exception) -> None:
    calls = []

    def run(batch: list[int]) -> list[int]:
        calls.append(batch)
        raise error

    with pytest.raises(type(error)) as caught:
        list(batches(range(4), 4, run))
    assert caught.value is error and len(calls) == 1


@pytest.mark.parametrize("most", [1, 2, 8])
def test_the_stream_is_never_read_ahead_by_more_than_a_batch(most: int) -> None:
    taken = 0

    def source() -> Iterator[int]:
        nonlocal taken
        for n in range(50):
            taken = n + 1
            yield n

    for given, _ in enumerate(batches(source(), 8, Model(most=most))):
        assert taken - given <= 8


def test_frames_of_a_failed_batch_are_not_kept_by_its_error() -> None:
    """What the attempt held on the device must be free before the next one."""
    import gc
    import weakref

    held: list[Any] = []

    def run(batch: list[int]) -> list[int]:
        block = np.zeros(len(batch))
        if len(batch) > 1:
            held.append(weakref.ref(block))
            raise MemoryError
        gc.collect()
        assert all(ref() is None for ref in held)
        return batch

    assert list(batches(range(4), 4, run)) == [0, 1, 2, 3]


# As the libraries say it.
@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_model_that_gives_another_number_of_outputs_is_found_out(kept: int) -> None:
    with pytest.raises(ValueError, match=f"{kept} outputs came of 2 frames"):
        list(batches([1, 2, 3, 4], 2, lambda items: [*items, 0][:kept]))


OUT_OF_MEMORY = [
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 8 GiB"),
    RuntimeError(
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
        "bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 1073741824"
    ),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("Available memory of 1024 is smaller than requested bytes of 4096"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda e: str(e)[:20])
def test_memory_that_runs_out_is_known_by_its_words(error: Exception) -> None:
    assert ran_out(error)


def test_real_errors_of_memory_are_known() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    cv2 = pytest.importorskip("cv2")
    assert ran_out(torch.cuda.OutOfMemoryError("tried to allocate"))
    for wasteful in (
        lambda: np.empty(10**15),
        lambda: cv2.resize(np.zeros((9, 9, 3), np.uint8), (2_000_000_000, 30_000)),
    ):
        with pytest.raises((MemoryError, cv2.error)) as caught:
            wasteful()
        assert ran_out(caught.value)
    assert not ran_out(RuntimeError("CUDA error: an illegal memory access was encountered"))


class TestTorch:
    """Devices and checkpoints of PyTorch's backends."""

    @pytest.fixture(autouse=True)
    def torch(self) -> Any:
        return pytest.importorskip("torch", reason="PyTorch is not installed")

    def test_the_cpu_is_the_cpu(self, torch: Any) -> None:
        from gaitloom.backends._torch import device_of

        assert device_of(Device()) == torch.device("cpu")

    @pytest.mark.parametrize(("name", "count"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1), ("cuda:2", 2)])
    def test_a_gpu_that_is_not_there(self, torch: Any, monkeypatch: Any, name: str, count: int) -> None:
        from gaitloom.backends._torch import device_of

        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        with pytest.raises(GaitloomError, match=rf"device {name}, and PyTorch sees {count} GPUs here.*`device: cpu`"):
            device_of(Device(name))

    @pytest.mark.parametrize(("name", "count"), [("cuda", 1), ("cuda:0", 1), ("cuda:1", 2)])
    def test_a_gpu_that_is_there(self, torch: Any, monkeypatch: Any, name: str, count: int) -> None:
        from gaitloom.backends._torch import device_of

        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        assert device_of(Device(name)) == torch.device(name)

    def test_without_pytorch_the_sentence_says_how_to_install_it(self, monkeypatch: Any) -> None:
        from gaitloom.backends._torch import device_of

        monkeypatch.setitem(sys.modules, "torch", None)
        with pytest.raises(GaitloomError, match=r"PyTorch cannot be loaded .*make env-torch"):
            device_of(Device())

    def test_a_checkpoint_that_would_run_code_is_refused(self, torch: Any, tmp_path: Path) -> None:
        """The same file, loaded with trust, does run it: so the refusal is what protects."""
        from gaitloom.backends._torch import read_checkpoint

        marker, file = tmp_path / "ran", tmp_path / "evil.pth"
        torch.save({"weight": _Code(marker)}, file)
        with pytest.raises(GaitloomError, match=r"evil\.pth are not a checkpoint of tensors alone") as caught:
            read_checkpoint(file)
        assert "\n" not in str(caught.value)
        assert not marker.exists()
        torch.load(file, weights_only=False)
        assert marker.exists()

    @pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 half a zip"])
    def test_a_corrupt_checkpoint_is_refused(self, tmp_path: Path, content: bytes) -> None:
        from gaitloom.backends._torch import read_checkpoint

        file = tmp_path / "corrupt.pth"
        file.write_bytes(content)
        with pytest.raises(GaitloomError, match=r"corrupt\.pth are not a checkpoint") as caught:
            read_checkpoint(file)
        assert "\n" not in str(caught.value)

    def test_tensors_in_plain_containers_are_read(self, torch: Any, tmp_path: Path) -> None:
        from gaitloom.backends._torch import read_checkpoint

        file = tmp_path / "good.pth"
        torch.save({"model": {"weight": torch.arange(3)}, "epoch": 7, "names": ["a"]}, file)
        found = read_checkpoint(file)
        assert (found["model"]["weight"].tolist(), found["epoch"], found["names"]) == ([0, 1, 2], 7, ["a"])

    def test_a_model_is_filled_and_ready(self, torch: Any, tmp_path: Path) -> None:
        from gaitloom.backends._torch import fill

        source, target = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
        filled = fill(target, source.state_dict(), tmp_path / "any.pth")
        assert torch.equal(filled.weight, source.weight)
        assert not filled.training and not any(p.requires_grad for p in filled.parameters())

    @pytest.mark.parametrize("which", ["another shape", "one missing", "one too many", "no tensors", "no state"])
    def test_another_models_tensors_are_refused(self, torch: Any, which: str) -> None:
        from gaitloom.backends._torch import fill

        state = torch.nn.Linear(3, 2).state_dict()
        wrong: Any = {
            "another shape": torch.nn.Linear(4, 2).state_dict(),
            "one missing": {"weight": state["weight"]},
            "one too many": {**state, "more": torch.zeros(1)},
            "no tensors": {"weight": 1, "bias": 2},
            "no state": [1],
        }[which]
        with pytest.raises(GaitloomError, match=r"other\.pth are another model's") as caught:
            fill(torch.nn.Linear(3, 2), wrong, Path("other.pth"))
        assert "\n" not in str(caught.value)


class _Code:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)
