"""The small video model and how it is trained: on one device, or on several by DistributedDataParallel."""

import copy
import math
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import distributed, nn
from torch.multiprocessing.spawn import ProcessException, start_processes
from torch.nn import functional

from gaitloom.errors import GaitloomError
from gaitloom.technical_validation.settings import VideoModel
from gaitloom.technical_validation.windows import Windows

GROUPS = 4  # of channels that are normalised together
RATE, DECAY, LARGEST = 2e-3, 1e-2, 1.0  # AdamW's, and the largest norm of a step's gradient
SHIFT = 16  # what is learned from is shifted by up to a 16th of its size
CACHE, STATE = "cache.npy", "state.pt"


@dataclass(frozen=True)
class Task:
    """What is learned: of N clips `wanted` (N,), int64 of so many `classes`, or float32 where `classes` is 0, counted
    `weight` (N,) float32 times; from the rows `train`, until `validation`, which may be empty, gets no better."""

    windows: Windows
    settings: VideoModel
    train: np.ndarray
    validation: np.ndarray
    wanted: np.ndarray
    weight: np.ndarray
    classes: int
    seed: int


class _Step(nn.Module):
    """Half the space, then time: a (2+1)D convolution (Tran et al. 2018), past whose second half there is a way round.
    Normalised by groups of channels, since batches are small, and so that any number of processes may share them."""

    def __init__(self, before: int, after: int, pace: int):
        super().__init__()
        self.space = nn.Conv3d(before, after, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        self.time = nn.Conv3d(after, after, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, after) for _ in range(2))
        self.pace = pace

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        space = functional.relu(self.norms[0](self.space(video)))
        time = functional.relu(self.norms[1](self.time(space)))
        return (space + time)[:, :, :: self.pace]


class Network(nn.Module):
    """(B, C, T, H, W) float32 → (B, outputs): four steps, then mean and maximum over space and time."""

    def __init__(self, channels: int, width: int, outputs: int):
        super().__init__()
        wide = [channels, *(width * 2**i for i in range(4))]
        self.steps = nn.Sequential(*(_Step(wide[i], wide[i + 1], 1 + i % 2) for i in range(4)))
        self.out = nn.Sequential(nn.LayerNorm(2 * wide[-1]), nn.Linear(2 * wide[-1], outputs))

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        """Scores of classes, or one number."""
        found = self.steps(video)
        return self.out(torch.cat([found.mean(dim=(2, 3, 4)), found.amax(dim=(2, 3, 4))], dim=1))


def learn(task: Task, devices: Sequence[str]) -> Network:
    """A trained network on the first of the devices. Several train together: a step is then a batch on each.

    Raises:
        GaitloomError: one of several processes failed; the others are ended.
    """
    network = _network(task)
    if len(devices) == 1:
        state = _fit(network, task, devices[0], 0, 1)
    else:
        with TemporaryDirectory() as folder:
            _together(task, list(devices), Path(folder))
            state = torch.load(Path(folder) / STATE, map_location="cpu", weights_only=True)
    network.load_state_dict(state)
    return network.to(devices[0])


def tell(network: Network, task: Task, rows: np.ndarray, device: str) -> np.ndarray:
    """(n, classes) float64 probabilities or (n, 1) float64 numbers of clips: the mean over their windows."""
    count, told = task.settings.windows, []
    network.eval()
    with _exactly(task.settings.threads, device), torch.no_grad():
        each = np.repeat(rows, count), np.tile(np.arange(count), len(rows))
        for video in task.windows.batches(*each, task.settings.batch):
            told.append(_forward(network, video, device).double().cpu())
    found = torch.cat(told)
    found = found.softmax(dim=1) if task.classes else found
    return found.numpy().reshape(len(rows), count, -1).mean(axis=1)


def _network(task: Task) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        return Network(task.windows.channels, task.settings.width, task.classes or 1)


def _fit(bare: Network, task: Task, device: str, rank: int, world: int) -> dict[str, torch.Tensor]:
    """Train a network and return its weights where validation was best, or the last ones; the same in every rank."""
    settings, best, lowest, worse = task.settings, None, math.inf, 0
    with _exactly(settings.threads, device):
        network: nn.Module = bare.to(device)
        if world > 1:
            network = nn.parallel.DistributedDataParallel(bare, None if device == "cpu" else [torch.device(device)])
        optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
        steps = settings.epochs * math.ceil(math.ceil(len(task.train) / world) / settings.batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
        scaler = torch.amp.GradScaler("cuda", enabled=device != "cpu" and _half() == torch.float16)
        for epoch in range(settings.epochs):
            network.train()
            for loss in _losses(network, task, device, epoch, rank, world):
                optimiser.zero_grad()
                scaler.scale(loss).backward()
                scaler.unscale_(optimiser)
                nn.utils.clip_grad_norm_(network.parameters(), LARGEST)
                scaler.step(optimiser)
                scaler.update()
                schedule.step()
            if not len(task.validation):
                continue
            found = _validated(bare, task, device, rank, world)
            worse = 0 if found < lowest else worse + 1
            if found < lowest:
                best, lowest = copy.deepcopy(bare.state_dict()), found
            if worse >= settings.patience:
                break
    return best or bare.state_dict()


def _losses(network: nn.Module, task: Task, device: str, epoch: int, rank: int, world: int) -> Iterator[torch.Tensor]:
    """The loss of each of a rank's batches. One draw for all ranks, so that it does not matter how many there are."""
    random, many, most = np.random.default_rng([task.seed, epoch]), len(task.train), task.settings.size // SHIFT
    many = math.ceil(many / world) * world
    rows = np.resize(random.permutation(task.train), many)[rank::world]
    windows = random.integers(task.settings.windows, size=many)[rank::world]
    shifts = random.integers(2 * most + 1, size=(many, 2))[rank::world]
    at = 0
    for video in task.windows.batches(rows, windows, task.settings.batch):
        part = slice(at, at := at + len(video))
        yield _loss(network, task, _shifted(video, shifts[part], most), rows[part], device).mean()


def _validated(network: Network, task: Task, device: str, rank: int, world: int) -> float:
    """The mean loss of the validation's windows: rank 0's, so that all ranks stop together."""
    sums = torch.zeros(1, device=device)
    if rank == 0:
        network.eval()
        count = task.settings.windows
        rows, windows = np.repeat(task.validation, count), np.tile(np.arange(count), len(task.validation))
        at = 0
        with torch.no_grad():
            for video in task.windows.batches(rows, windows, task.settings.batch):
                part = slice(at, at := at + len(video))
                sums += _loss(network, task, video, rows[part], device).sum()
    if world > 1:
        distributed.broadcast(sums, 0)
    return sums.item()


def _loss(network: nn.Module, task: Task, video: torch.Tensor, rows: np.ndarray, device: str) -> torch.Tensor:
    """(B,): cross-entropy or smooth L1, weighted."""
    told = _forward(network, video, device)
    wanted, weight = (torch.as_tensor(values[rows], device=device) for values in (task.wanted, task.weight))
    if task.classes:
        return functional.cross_entropy(told, wanted, reduction="none") * weight
    return functional.smooth_l1_loss(told[:, 0], wanted, reduction="none") * weight


def _forward(network: nn.Module, video: torch.Tensor, device: str) -> torch.Tensor:
    """(B, outputs) float32; in half precision inside on a GPU."""
    with torch.autocast("cuda", _half() if device != "cpu" else torch.bfloat16, enabled=device != "cpu"):
        return network(video.to(device, non_blocking=True)).float()


def _half() -> torch.dtype:
    """bfloat16 where the GPU has it, since it needs no scaling of the loss."""
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _shifted(video: torch.Tensor, shifts: np.ndarray, most: int) -> torch.Tensor:
    """(B, C, T, H, W), each moved by its own `shifts` (B, 2) - `most` px, 0 where nothing was.

    Never flipped: a mirrored walk goes the other way, which flow's x would have to say, and has left for right, which
    targets of one leg would have to say.
    """
    height, width = video.shape[-2:]
    wide = functional.pad(video, (most,) * 4)
    return torch.stack([v[..., y : y + height, x : x + width] for v, (y, x) in zip(wide, shifts.tolist(), strict=True)])


@contextmanager
def _exactly(threads: int, device: str) -> Iterator[None]:
    """The same sums in the same order: so many threads and deterministic algorithms; afterwards as it was before."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=device != "cpu")
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def _together(task: Task, devices: list[str], folder: Path) -> None:
    """A process a device; rank 0 leaves its weights in the folder. None of them outlives this call."""
    if task.windows.cache is not None:
        np.save(folder / CACHE, task.windows.cache)
    light = copy.copy(task.windows)
    light.cache = None
    given = replace(task, windows=light), devices, folder
    running = start_processes(_rank, given, len(devices), join=False, start_method="spawn")
    assert running is not None
    try:
        while not running.join():
            pass
    except ProcessException as error:
        line = str(error).strip().splitlines()[-1].split("GaitloomError: ")[-1].rstrip(".")
        raise GaitloomError(
            f"One of {len(devices)} processes that train together failed ({line}); mend that, or train with `gpus: 1`."
        ) from None
    finally:
        for process in filter(None, running.processes):
            process.kill()
            process.join()


def _rank(rank: int, task: Task, devices: list[str], folder: Path) -> None:
    lo = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    for library in ("GLOO", "NCCL"):  # all of them are on this machine
        os.environ[f"{library}_SOCKET_IFNAME"] = lo
    if (folder / CACHE).is_file():
        task.windows.cache = np.load(folder / CACHE, mmap_mode="r")
    device = devices[rank]
    if device != "cpu":
        torch.cuda.set_device(device)
    backend, meeting = "gloo" if device == "cpu" else "nccl", f"file://{folder / 'meeting'}"
    distributed.init_process_group(backend, init_method=meeting, rank=rank, world_size=len(devices))
    try:
        state = _fit(_network(task), task, device, rank, len(devices))
        if rank == 0:
            torch.save(state, folder / STATE)
    finally:
        distributed.destroy_process_group()
