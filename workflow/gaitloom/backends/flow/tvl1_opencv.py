"""TV-L1 as OpenCV computes it.

Zach, Pock and Bischof, "A Duality Based Approach for Realtime TV-L1 Optical Flow", DAGM 2007; after the implementation
of Sánchez Pérez, Meinhardt-Llopis and Facciolo, "TV-L1 Optical Flow Estimation", IPOL 2013.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from pydantic import Field

from gaitloom.backends import Needs, Spec
from gaitloom.strict import Strict


class Options(Strict):
    """Every parameter of OpenCV's DualTVL1OpticalFlow, with OpenCV's defaults."""

    tau: float = Field(0.25, gt=0, description="Time step of the numerical scheme.")
    lambda_: float = Field(0.15, gt=0, alias="lambda", description="Weight of the data term.")
    theta: float = Field(0.3, gt=0, description="Tightness between the flow and its smoothed copy.")
    scales: int = Field(5, ge=1, description="Levels of the image pyramid.")
    warps: int = Field(5, ge=1, description="Warpings a level.")
    epsilon: float = Field(0.01, gt=0, description="Stop when the flow changes less than this.")
    inner_iterations: int = Field(30, ge=1, description="Iterations between two tests of outlier filtering.")
    outer_iterations: int = Field(10, ge=1, description="Repetitions of the inner iterations a warp.")
    scale_step: float = Field(0.8, gt=0, lt=1, description="Size of a level against the finer one.")
    gamma: float = Field(0.0, ge=0, description="Weight of brightness change; 0 turns it off.")
    median_filtering: int = Field(5, ge=1, le=5, description="Size of the median filter: 1 (none), 3 or 5.")


SPEC = Spec(
    version=1,
    options=Options,
    packages=("opencv-contrib-python-headless",),
    licence="Apache-2.0",
    needs=Needs(threads=2, seconds_mpx=10),
)


class Backend:
    """One solver, reused for every pair."""

    colour = False

    def __init__(self, options: Options):
        import cv2

        self._scales = options.scales
        self._solver = cv2.optflow.DualTVL1OpticalFlow.create()
        # The setters: the constructor's keywords are misspelt in OpenCV's binding.
        self._solver.setTau(options.tau)
        self._solver.setLambda(options.lambda_)
        self._solver.setTheta(options.theta)
        self._solver.setWarpingsNumber(options.warps)
        self._solver.setEpsilon(options.epsilon)
        self._solver.setInnerIterations(options.inner_iterations)
        self._solver.setOuterIterations(options.outer_iterations)
        self._solver.setScaleStep(options.scale_step)
        self._solver.setGamma(options.gamma)
        self._solver.setMedianFiltering(options.median_filtering)

    def flows(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """(h, w, 2) float32 displacement in pixels for every pair of grey frames (h, w) uint8."""
        for before, after in pairs:
            self._solver.setScalesNumber(self._scales)  # a small picture lowers it for good, for later ones too
            yield self._solver.calc(before, after, None)  # pyright: ignore[reportCallIssue,reportArgumentType]
