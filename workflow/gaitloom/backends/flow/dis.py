"""DIS as OpenCV computes it: fast flow from inverse patch search, then variational refinement.

Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016. On pictures too small for the scales asked
for, OpenCV itself takes 8 px patches and a finer scale. The number of threads does not change the result.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
from pydantic import Field

from gaitloom.backends import Spec
from gaitloom.errors import GaitloomError
from gaitloom.strict import Strict


class Options(Strict):
    """A preset of OpenCV's DISOpticalFlow, and what differs from it; null leaves the preset's value."""

    preset: Literal["ultrafast", "fast", "medium"] = Field("medium", description="OpenCV's preset.")
    finest_scale: int | None = Field(None, ge=0, le=6, description="Flow is computed down to 1 / 2^this of the size.")
    patch_size: int | None = Field(None, ge=4, le=64, description="Side of a patch in pixels of its scale.")
    patch_stride: int | None = Field(None, ge=1, le=64, description="Pixels from a patch to the next.")
    gradient_descent_iterations: int | None = Field(None, ge=1, description="Steps of the patch search.")
    variational_refinement_iterations: int | None = Field(
        None, ge=0, description="Fixed-point iterations of the refinement on each scale; 0 turns it off."
    )
    variational_refinement_alpha: float | None = Field(None, ge=0, description="Weight of the refinement's smoothness.")
    variational_refinement_delta: float | None = Field(None, ge=0, description="Weight of its constant colour.")
    variational_refinement_gamma: float | None = Field(None, ge=0, description="Weight of its constant gradient.")


SPEC = Spec(
    version=1,
    options=Options,
    packages=("opencv-contrib-python-headless",),
    licence="Apache-2.0",
)


class Backend:
    """A solver for every pair: one that met a small picture keeps other scales for good, and a new one costs little."""

    colour = False

    def __init__(self, options: Options):
        self._preset = f"DISOPTICAL_FLOW_PRESET_{options.preset.upper()}"
        chosen = options.model_dump(exclude={"preset"}, exclude_none=True)
        self._setters = {"set" + "".join(w.title() for w in n.split("_")): value for n, value in chosen.items()}

    def flows(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """(h, w, 2) float32 displacement in pixels for every pair of grey frames (h, w) uint8.

        Raises:
            GaitloomError: the pictures are too small.
        """
        for before, after in pairs:
            solver = self._solver()
            _refuse_small(solver, before.shape)
            yield solver.calc(before, after, None)

    def _solver(self) -> Any:
        import cv2

        solver = cv2.DISOpticalFlow.create(getattr(cv2, self._preset))
        for setter, value in self._setters.items():
            getattr(solver, setter)(value)
        return solver


def _refuse_small(solver: Any, shape: tuple[int, ...]) -> None:
    """OpenCV reads and writes outside its arrays where a picture of the finest scale is smaller than a patch."""
    patch, scale = solver.getPatchSize(), solver.getFinestScale()
    least = max(12, patch << max(1, scale))
    if min(shape) < least:
        raise GaitloomError(
            f"The region of the flow has {shape[1]} x {shape[0]} pixels once scaled; dis with patch_size {patch} and "
            f"finest_scale {scale} needs {least} on the shorter side: raise longest_side, or lower these."
        )
