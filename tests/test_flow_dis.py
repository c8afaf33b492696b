"""DIS flow: OpenCV's own to the bit, whatever came before and on however many threads, and right on the walker."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from gaitloom.backends.flow import dis
from gaitloom.errors import GaitloomError
from walker import GAITS, Walk

WALK = Walk(GAITS["normal"], frames=3, fps=15, size=(320, 180), seed=1)
GREY = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in WALK.frames()]
PAIRS = list(pairwise(GREY))
CHANGES = [
    {},
    {"preset": "fast"},
    {"preset": "ultrafast"},
    {"finest_scale": 0, "patch_size": 12, "patch_stride": 5, "gradient_descent_iterations": 7},
    {"variational_refinement_iterations": 2, "variational_refinement_alpha": 9.0},
    {"preset": "fast", "variational_refinement_delta": 1.0, "variational_refinement_gamma": 2.0},
]
SETTERS = {
    "finest_scale": "FinestScale",
    "patch_size": "PatchSize",
    "patch_stride": "PatchStride",
    "gradient_descent_iterations": "GradientDescentIterations",
    "variational_refinement_iterations": "VariationalRefinementIterations",
    "variational_refinement_alpha": "VariationalRefinementAlpha",
    "variational_refinement_delta": "VariationalRefinementDelta",
    "variational_refinement_gamma": "VariationalRefinementGamma",
}
every_change = pytest.mark.parametrize("options", CHANGES, ids=["-".join(map(str, c.values())) for c in CHANGES])


def backend(**options: Any) -> dis.Backend:
    return dis.Backend(dis.Options(**options))


def opencvs(before: np.ndarray, after: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    preset = options.get("preset", "medium").upper()
    solver = cv2.DISOpticalFlow.create(getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{preset}"))
    for name, value in options.items():
        if name != "preset":
            getattr(solver, f"set{SETTERS[name]}")(value)
    return solver.calc(before, after, None)  # type: ignore[call-overload]


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(number)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


@every_change
def test_it_is_opencvs_own(options: dict[str, Any]) -> None:
    for (before, after), found in zip(PAIRS, backend(**options).flows(PAIRS), strict=True):
        np.testing.assert_array_equal(found, opencvs(before, after, options))


def test_every_option_changes_the_flow() -> None:
    values = {
        "finest_scale": 2, "patch_size": 10, "patch_stride": 5, "gradient_descent_iterations": 3,
        "variational_refinement_iterations": 1, "variational_refinement_alpha": 3.0,
        "variational_refinement_delta": 1.0, "variational_refinement_gamma": 1.0,
    }  # fmt: skip
    assert set(values) == set(SETTERS) == set(dis.Options.model_fields) - {"preset"}
    (usual,) = backend().flows(PAIRS[:1])
    for name, value in values.items():
        (found,) = backend(**{name: value}).flows(PAIRS[:1])
        assert not np.array_equal(found, usual), name


def test_a_small_picture_before_changes_nothing() -> None:
    """A solver used again would keep the finer scale that OpenCV chose for the small picture."""
    small = tuple(np.ascontiguousarray(g[:24, :24]) for g in PAIRS[0])
    *_, found = backend().flows([small, PAIRS[1]])  # type: ignore[list-item]
    (alone,) = backend().flows(PAIRS[1:])
    np.testing.assert_array_equal(found, alone)
    worn = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    worn.calc(*small, None)  # type: ignore[call-overload]
    assert not np.array_equal(worn.calc(*PAIRS[1], None), alone)  # type: ignore[call-overload]


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_the_number_of_threads_changes_nothing(preset: str) -> None:
    with threads(1):
        (expected,) = backend(preset=preset).flows(PAIRS[:1])
    for number in (2, 3, 5, 8):
        with threads(number):
            (found,) = backend(preset=preset).flows(PAIRS[:1])
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("view", ["sagittal", "frontal"])
def test_it_follows_the_walker(view: str) -> None:
    """Mean end-point error where the walker moves by more than half a pixel and stays in sight, against zero flow's.
    Measured: 1.33 px against 6.07 (sagittal), 0.54 against 1.38 (frontal)."""
    walk = Walk(GAITS["normal"], view, frames=22, fps=30, size=(640, 360))  # type: ignore[arg-type]
    error, length = [], []
    for t in (4, 12, 20):
        before, after = (cv2.cvtColor(walk.frame(i), cv2.COLOR_RGB2GRAY) for i in (t, t + 1))
        (found,) = backend().flows([(before, after)])
        truth = walk.flow(t)
        moving = walk.visible(t) & walk.silhouette(t) & (np.linalg.norm(truth, axis=2) > 0.5)
        error.append(np.linalg.norm(found - truth, axis=2)[moving])
        length.append(np.linalg.norm(truth, axis=2)[moving])
    mean, zero = np.concatenate(error).mean(), np.concatenate(length).mean()
    assert mean < 0.5 * zero


@pytest.mark.parametrize(
    ("options", "size", "least"),
    [({}, (15, 200), 16), ({"preset": "fast"}, (200, 31), 32), ({"finest_scale": 0, "patch_size": 4}, (11, 11), 12)],
)
def test_too_small_a_picture_is_refused(options: dict[str, Any], size: tuple[int, int], least: int) -> None:
    """OpenCV would write outside its arrays; at the least size it works."""
    small = np.zeros(size, np.uint8)
    with pytest.raises(GaitloomError, match=rf"{size[1]} x {size[0]} pixels .* needs {least} on the shorter side: "):
        list(backend(**options).flows([(small, small)]))
    enough = np.zeros(np.maximum(size, least), np.uint8)
    (found,) = backend(**options).flows([(enough, enough)])
    assert np.abs(found).max() < 1e-3
