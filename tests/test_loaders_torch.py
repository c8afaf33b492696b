"""PyTorch: the same batches with any number of workers, and training that learns what is there and nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pendulums
import pytest
from gaitloom.loaders import Options, Samples

torch = pytest.importorskip("torch", reason="torch is not installed")

from gaitloom.loaders.pytorch import Clips, Order  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

FRAMES, SIDE = 16, pendulums.SIDE


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 people with one clip each: how fast the bar swings is the label, half of them are trained on."""
    return pendulums.put(tmp_path_factory.mktemp("pendulums"), 120)


HALF = 60
SPLIT = {"train": tuple(f"P{i:03}" for i in range(HALF)), "test": tuple(f"P{i:03}" for i in range(HALF, 2 * HALF))}


def options(part: str = "train", **others: Any) -> Options:
    size = (SIDE, SIDE)
    return Options(frames=FRAMES, skip=0.0, start="random", size=size, stride=1, split=SPLIT, part=part, **others)


def epochs(store: Path, workers: int, context: str | None = None, persistent: bool = False) -> list[dict[str, Any]]:
    """Two epochs' batches."""
    samples = Samples(store, options(target="swing"))
    order = Order(samples, shard=0, shards=2)
    loader = DataLoader(
        Clips(samples),
        batch_size=6,
        sampler=order,
        num_workers=workers,
        multiprocessing_context=context,
        persistent_workers=persistent,
    )
    samples[0]  # the parent has read something before it forks
    found = []
    for epoch in range(2):
        order.set_epoch(epoch)
        found += list(loader)
    return found


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
@pytest.mark.parametrize(
    ("workers", "context", "persistent"), [(1, "fork", False), (4, "fork", True), (2, "spawn", True)]
)
def test_batches_are_the_same_with_any_number_of_workers(
    store: Path, workers: int, context: str, persistent: bool
) -> None:
    alone, many = epochs(store, 0), epochs(store, workers, context, persistent)
    assert len(alone) == len(many) == 10
    for a, b in zip(alone, many, strict=True):
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    first, second = (torch.cat([batch["index"] for batch in alone[i : i + 5]]) for i in (0, 5))
    assert not torch.equal(first, second), "the second epoch has an order of its own"
    starts = {int(i): (a["frame"][n, 0], b["frame"][m, 0]) for a in alone[:5] for b in alone[5:]
              for n, i in enumerate(a["index"]) for m, j in enumerate(b["index"]) if i == j}  # fmt: skip
    assert any(a != b for a, b in starts.values()), "and starts of its own"


def test_numpy_batches_are_the_same_as_torchs(store: Path) -> None:
    samples = Samples(store, options(target="swing"))
    theirs = epochs(store, 0)[:5]
    for ours, batch in zip(samples.batches(6, shard=0, shards=2), theirs, strict=True):
        np.testing.assert_array_equal(ours["video"].transpose(0, 4, 1, 2, 3), batch["video"].numpy())
        np.testing.assert_array_equal(ours["target"], batch["target"].numpy())


def test_layouts(store: Path) -> None:
    samples = Samples(store, options())
    shapes = {name: tuple(Clips(samples, name)[0]["video"].shape) for name in ("CTHW", "TCHW", "THWC")}  # type: ignore[arg-type]
    assert shapes == {"CTHW": (1, 16, 24, 24), "TCHW": (16, 1, 24, 24), "THWC": (16, 24, 24, 1)}


Batches = list[dict[str, Any]]


@pytest.fixture(scope="module")
def batches(store: Path) -> tuple[Batches, Batches]:
    """Four epochs of those trained on, with other frames in each; and one of the others."""
    found = []
    for part, many in (("train", 4), ("test", 1)):
        samples = Samples(store, options(part, target="swing"))
        order = Order(samples)
        loader, read = DataLoader(Clips(samples), batch_size=10, sampler=order), []
        for epoch in range(many):
            order.set_epoch(epoch)
            read += list(loader)
        found.append(read)
    return found[0], found[1]


def trained(batches: tuple[Batches, Batches], permuted: bool, seed: int = 0) -> tuple[float, float]:
    """Shares of clips that a small video model gets right, of those trained on (as they were labelled) and of those
    held out."""
    torch.manual_seed(seed)
    new = torch.randperm(HALF)
    labels = torch.zeros(HALF, dtype=torch.int64)
    for batch in batches[0]:
        labels[batch["index"]] = batch["target"]
    labels = labels[new] if permuted else labels
    model = torch.nn.Sequential(
        torch.nn.Conv3d(1, 8, (1, 5, 5), (1, 3, 3)),
        torch.nn.BatchNorm3d(8),
        torch.nn.ReLU(),
        torch.nn.Conv3d(8, 16, (5, 3, 3), (2, 2, 2)),
        torch.nn.BatchNorm3d(16),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool3d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 2),
    )
    steps = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(8):
        for batch in batches[0]:
            steps.zero_grad()
            torch.nn.functional.cross_entropy(model(batch["video"]), labels[batch["index"]]).backward()
            steps.step()

    model.eval()

    def right(part: Batches, truth: Any) -> float:
        with torch.no_grad():
            return float(torch.cat([model(b["video"]).argmax(1) == truth(b) for b in part]).float().mean())

    return right(batches[0], lambda b: labels[b["index"]]), right(batches[1], lambda b: b["target"])


def test_a_planted_signal_is_learned_and_permuted_labels_are_not(batches: tuple[Batches, Batches]) -> None:
    """Each on 60 held-out people, with their true labels; a permutation may be near them by chance."""
    assert min(trained(batches, permuted=False)) >= 0.9
    assert 0.3 <= np.mean([trained(batches, True, seed)[1] for seed in range(3)]) <= 0.7
