"""TV-L1, our own solver: the published algorithm with OpenCV's choices, at a fraction of its time.

Zach, Pock and Bischof, "A Duality Based Approach for Realtime TV-L1 Optical Flow", DAGM 2007; Sánchez Pérez,
Meinhardt-Llopis and Facciolo, "TV-L1 Optical Flow Estimation", IPOL 2013. docs/tvl1.md has the derivation, the
schedules and what was measured.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from gaitloom.backends import CPU, Device, Spec
from gaitloom.backends.flow._tvl1_schedule import PRESETS, Parameters
from gaitloom.strict import Strict

AHEAD = 2  # pairs taken from the stream ahead of the one that is waited for, for each thread


class Options(Strict):
    """A schedule, and what differs from it; null leaves the schedule's value. The recipe holds the numbers."""

    schedule: Literal["fast", "opencv"] = Field("fast", description="opencv: its scales, iterations and stopping rule.")
    tau: float = Field(gt=0, description="Time step of the numerical scheme.")
    lambda_: float = Field(gt=0, alias="lambda", description="Weight of the data term.")
    theta: float = Field(gt=0, description="Tightness between the flow and its smoothed copy.")
    scales: int = Field(ge=1, description="Levels of the image pyramid.")
    scale_step: float = Field(gt=0, lt=1, description="Size of a level against the finer one.")
    warps: int = Field(ge=1, description="Warpings a level.")
    epsilon: float = Field(ge=0, description="A warp ends when the flow changes less than this; 0 never tests.")
    inner_iterations: int = Field(ge=1, description="Iterations after each median filter on the finest level.")
    coarse_iterations: int = Field(ge=1, description="The same on the other levels; opencv: inner_iterations.")
    outer_iterations: int = Field(ge=1, description="Repetitions of filter and inner iterations a warp.")
    median_filtering: Literal[1, 3, 5] = Field(description="Size of the median filter: 1 (none), 3 or 5.")
    warm_start: bool = Field(
        False, description="Begin with the flow of the pair before; a frame's flow then depends on those before it."
    )

    @model_validator(mode="before")
    @classmethod
    def _schedule(cls, given: dict[str, Any]) -> dict[str, Any]:
        preset = PRESETS.get(str(given.get("schedule", "fast")), {})
        values = {**preset, **{k: v for k, v in given.items() if v is not None}}
        return {"coarse_iterations": values.get("inner_iterations"), **values}


SPEC = Spec(
    version=2,
    options=Options,
    packages=("numba", "llvmlite", "opencv-contrib-python-headless"),
    licence="MIT",
    accelerated=True,
)


class Backend:
    """On the CPU `device.batch` pairs at once, each in a thread; on a GPU as one batch. Neither changes a flow."""

    colour = False

    def __init__(self, options: Options, device: Device = CPU):
        parameters = Parameters(**options.model_dump(exclude={"schedule", "warm_start"}))
        self._batch, self._warm, self._on_cpu = device.batch, options.warm_start, device.name == "cpu"
        if self._on_cpu:
            from gaitloom.backends.flow._tvl1_numba import Solver

            self._solvers: SimpleQueue[Any] = SimpleQueue()
            for _ in range(self._batch):
                self._solvers.put(Solver(parameters))
        else:
            from gaitloom.backends.flow._tvl1_torch import Solver as BatchSolver

            self._solve_batch = BatchSolver(parameters, device)

    def flows(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """(h, w, 2) float32 displacement in pixels for every pair of grey frames (h, w) uint8."""
        if self._warm:
            return self._one_by_one(pairs)
        if not self._on_cpu:
            from gaitloom.backends import _batches

            return _batches.batches(pairs, self._batch, self._solve_batch)
        return (self._solve(*pair) for pair in pairs) if self._batch == 1 else self._threaded(pairs)

    def _solve(self, before: np.ndarray, after: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
        solver = self._solvers.get()
        try:
            return solver(before, after, start)
        finally:
            self._solvers.put(solver)

    def _threaded(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        with ThreadPoolExecutor(self._batch) as pool:
            waiting: deque[Future[np.ndarray]] = deque()
            for before, after in pairs:
                waiting.append(pool.submit(self._solve, before, after))
                if len(waiting) > AHEAD * self._batch:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _one_by_one(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        flow = None
        for before, after in pairs:
            start = flow if flow is not None and flow.shape[:2] == before.shape else None
            flow = self._solve(before, after, start) if self._on_cpu else self._solve_batch([(before, after)], start)[0]
            yield flow
