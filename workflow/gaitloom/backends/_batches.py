"""Frames handed to a model several at a time, and fewer where its memory does not take that many."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from gaitloom.errors import GaitloomError
from gaitloom.progress import say

T = TypeVar("T")
U = TypeVar("U")

# How the libraries say it: PyTorch on GPU and CPU, CUDA's libraries, ONNX Runtime's arenas, C++.
_WORDS = (
    "out of memory", "outofmemory", "not enough memory", "can't allocate memory", "failed to allocate memory",
    "smaller than requested bytes", "cublas_status_alloc_failed", "cudnn_status_alloc_failed", "bad_alloc",
    "bad allocation",
)  # fmt: skip


def batches(items: Iterable[T], size: int, run: Callable[[list[T]], list[U]]) -> Iterator[U]:
    """`run` over a stream in batches of `size`: one output an item, in order.

    Where the device's memory runs out, the batch is halved for good, and the work goes on with the same frames.

    Raises:
        GaitloomError: memory runs out on a single frame.
    """
    stream = iter(items)
    while batch := list(islice(stream, size)):
        while batch:
            found = _run(run, batch[:size])
            if found is None:
                if min(size, len(batch)) == 1:
                    raise GaitloomError(
                        "does not fit into the device's memory even one frame at a time; "
                        "choose a smaller model or image size, or `device: cpu`"
                    )
                size = min(size, len(batch)) // 2
                say(f"the device's memory ran out: {size} frames at once from here on")
                continue
            yield from found
            batch = batch[len(found) :]


def _run(run: Callable[[list[T]], list[U]], batch: list[T]) -> list[U] | None:
    """None where memory ran out; what the failed attempt held is free again, since its frames are gone."""
    try:
        found = run(batch)
        if len(found) != len(batch):
            raise ValueError(f"{len(found)} outputs came of {len(batch)} frames")
        return found
    except Exception as error:
        if not ran_out(error):
            raise
    _release()
    return None


def ran_out(error: BaseException) -> bool:
    """Whether an error of any of the libraries says that the device's memory ran out."""
    text = f"{type(error).__name__} {error}".lower()
    return isinstance(error, MemoryError) or any(word in text for word in _WORDS)


def _release() -> None:
    """Give PyTorch's cached blocks back, where it is in use: the next, smaller batch needs other sizes."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
