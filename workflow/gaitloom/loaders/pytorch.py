"""PyTorch: a map-style `Dataset`, and a sampler that tells it the epoch, through workers too.

samples = Samples("results/store.zarr", Options(...))
sampler = Order(samples)
loader = DataLoader(Clips(samples), batch_size=8, sampler=sampler, num_workers=4)
for epoch in range(20):
    sampler.set_epoch(epoch)
    for batch in loader: ...
"""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from gaitloom.loaders.samples import Key, Samples

AXES = {"CTHW": (3, 0, 1, 2), "TCHW": (0, 3, 1, 2), "THWC": (0, 1, 2, 3)}


class Clips(Dataset[dict[str, torch.Tensor]]):
    """`samples` as tensors; `video` has its axes in the order of `layout` (CTHW is what torch's 3-D layers take)."""

    def __init__(self, samples: Samples, layout: Literal["CTHW", "TCHW", "THWC"] = "CTHW"):
        self.samples, self.layout = samples, layout

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: int | Key) -> dict[str, torch.Tensor]:
        sample: dict[str, Any] = dict(self.samples[key])
        if "video" in sample:
            sample["video"] = np.ascontiguousarray(sample["video"].transpose(AXES[self.layout]))
        return {name: torch.as_tensor(value) for name, value in sample.items()}


class Order(Sampler[Key]):
    """The keys of an epoch, see `Samples.keys`. The epoch is in each key, so workers that persist know it as well.

    For several processes (DDP) `shard` is the rank and `shards` the world size.
    """

    def __init__(
        self,
        samples: Samples,
        shuffle: bool = True,
        shard: int = 0,
        shards: int = 1,
        uneven: Literal["keep", "drop", "repeat"] = "repeat",
    ):
        self._samples = samples
        self._how: dict[str, Any] = {"shuffle": shuffle, "shard": shard, "shards": shards, "uneven": uneven}
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Before each epoch, as for PyTorch's own DistributedSampler."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._samples.keys(**self._how))

    def __iter__(self) -> Iterator[Key]:
        return iter(self._samples.keys(self.epoch, **self._how))
