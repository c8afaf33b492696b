"""TV-L1: OpenCV's flow by the schedule `opencv`, the truth by `fast`, the same in PyTorch, on any number of threads."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from gaitloom import backends
from gaitloom.backends.flow import tvl1, tvl1_opencv
from gaitloom.backends.flow._tvl1_schedule import PRESETS, Parameters, cubic, linear, sizes
from pydantic import ValidationError
from walker import GAITS, Walk

WALK = Walk(GAITS["normal"], frames=4, fps=50, size=(200, 120), seed=1, pan=(0.3, -0.2))
GREY = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in WALK.frames()]
PAIRS = list(pairwise(GREY))
SCHEDULES = pytest.mark.parametrize("schedule", ["fast", "opencv"])
Pair = tuple[np.ndarray, np.ndarray]
FMA3 = 12  # OpenCV's CV_CPU_FMA3, which its Python module does not name
TINY = 0 if cv2.checkHardwareSupport(FMA3) else 1e-4  # without it OpenCV's resize rounds otherwise


def solve(pairs: list[Pair], device: backends.Device = backends.CPU, **options: Any) -> list[np.ndarray]:
    return list(tvl1.Backend(tvl1.Options(**options), device).flows(iter(pairs)))


def opencvs(pair: Pair, **options: Any) -> np.ndarray:
    (flow,) = tvl1_opencv.Backend(tvl1_opencv.Options(**options)).flows([pair])
    return flow


def parameters(**options: Any) -> Parameters:
    return Parameters(**tvl1.Options(**options).model_dump(exclude={"schedule", "warm_start"}))


def apart(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Mean end-point difference, and its 95th percentile where `other` moves."""
    length = np.linalg.norm(one - other, axis=2)
    moving = np.linalg.norm(other, axis=2) > 0.5
    return float(length.mean()), float(np.percentile(length[moving], 95)) if moving.any() else 0.0


def equal(one: np.ndarray, other: np.ndarray) -> None:
    """To the bit, where OpenCV's resize rounds as ours does."""
    if TINY == 0:
        np.testing.assert_array_equal(one, other)
    else:
        assert conforms(one, other)


def conforms(one: np.ndarray, other: np.ndarray) -> bool:
    mean, high = apart(one, other)
    return mean <= 0.06 and high <= 0.2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scales": 8},
        {"lambda": 0.05, "theta": 0.2, "tau": 0.2, "warps": 2, "median_filtering": 3},
        {"scale_step": 0.5, "epsilon": 0.03, "inner_iterations": 7, "outer_iterations": 3, "median_filtering": 1},
    ],
    ids=["defaults", "scales", "weights", "iterations"],
)
def test_the_schedule_opencv_is_opencvs(options: dict[str, Any]) -> None:
    for pair, found in zip(PAIRS, solve(PAIRS, schedule="opencv", **options), strict=True):
        equal(found, opencvs(pair, **options))


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (3, 40), (40, 3), (17, 33), (64, 16)], ids=str)
def test_it_is_opencvs_on_small_pictures(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    picture = cv2.GaussianBlur(rng.uniform(0, 255, (80, 80)).astype(np.float32), (0, 0), 2)
    picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)  # type: ignore[call-overload]
    pair = tuple(np.ascontiguousarray(picture[s : s + size[0], 4 : 4 + size[1]]) for s in (4, 5))
    (found,) = solve([pair], schedule="opencv")  # type: ignore[list-item]
    assert found.shape == (*size, 2) and np.isfinite(found).all()
    if min(size) > 2:  # OpenCV reads beside smaller ones
        equal(found, opencvs(pair))  # type: ignore[arg-type]


def test_planted_faults_do_not_pass_for_opencvs() -> None:
    """The comparison above sees coordinates exchanged, frames exchanged, a wrong scale step and wrong kernels."""
    pair = PAIRS[0]
    expected = opencvs(pair)
    (right,) = solve([pair], schedule="opencv")
    (backwards,) = solve([pair[::-1]], schedule="opencv")  # type: ignore[list-item]
    (turned,) = solve([tuple(np.ascontiguousarray(i.T) for i in pair)], schedule="opencv")  # type: ignore[list-item]
    (stepped,) = solve([pair], schedule="opencv", scale_step=0.5)
    shifted = np.roll(right, 1, axis=1)
    assert conforms(right, expected)
    assert conforms(turned.transpose(1, 0, 2)[..., ::-1], expected)
    for wrong in (right[..., ::-1], backwards, -right, stepped, shifted, turned.transpose(1, 0, 2), 1.25 * right):
        assert not conforms(wrong, expected)


def test_its_defaults_are_opencvs() -> None:
    theirs = tvl1_opencv.Options().model_dump(by_alias=True)
    assert PRESETS["opencv"] == {name: theirs[name] for name in PRESETS["opencv"]}
    assert set(theirs) - set(PRESETS["opencv"]) == {"gamma"}


def test_resizing_and_warping_are_opencvs_to_the_bit() -> None:
    from gaitloom.backends.flow import _tvl1_numba as kernels

    rng = np.random.default_rng(5)
    solver, fine = kernels.Solver(parameters(schedule="opencv")), kernels.Level(74, 131)
    solver._tables = {}
    image = fine.picture(fine.i1)
    image[...] = rng.normal(100, 50, image.shape)
    coarse = kernels.Level(*sizes(74, 131, parameters(schedule="opencv"))[1])
    solver._resize(fine, fine.i1, coarse, coarse.i1, 1.25)
    expected = cv2.resize(image, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(coarse.picture(coarse.i1), expected, atol=TINY)
    for u in fine.u:
        fine.picture(u)[...] = rng.normal(0, 20, image.shape)
    kernels.mix(*fine.shape, fine.i1, fine.mixed)
    kernels.warp(False, *fine.shape, fine.mixed, solver._across, solver._down, fine.i0, *fine.u, *fine.constants)
    x, y = np.meshgrid(np.arange(131, dtype=np.float32), np.arange(74, dtype=np.float32))
    place = x + fine.picture(fine.u[0]), y + fine.picture(fine.u[1])
    mixed = fine.mixed.reshape(74 + 8, 131 + 8, 4)[4:-4, 4:-4]
    for channel, plane in ((1, fine.constants[0]), (2, fine.constants[1])):
        expected = cv2.remap(np.ascontiguousarray(mixed[..., channel]), *place, cv2.INTER_CUBIC)
        np.testing.assert_array_equal(fine.picture(plane), expected)


def test_the_tables() -> None:
    weights = cubic()
    assert weights.shape == (32, 4) and weights[0].tolist() == [0, 1, 0, 0]
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(weights[1:], weights[:0:-1, ::-1], atol=1e-6)
    low, high, weight = linear(5, 4, 1.25)
    assert low.tolist() == [0, 1, 2, 3] and high.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(weight, [0.125, 0.375, 0.625, 0.875])
    assert linear(1, 3, 1 / 3)[2].tolist() == [0, 0, 0]
    fast = parameters()
    assert sizes(180, 320, fast)[:3] == [(180, 320), (144, 256), (115, 205)]
    assert sizes(20, 300, fast) == [(20, 300), (16, 240)] and sizes(3, 5, fast) == [(3, 5)]


@pytest.mark.parametrize("shape", [(1, 7), (5, 1), (16, 17), (33, 40)], ids=str)
def test_the_iterations_are_the_papers(shape: tuple[int, int]) -> None:
    """Both kernels against the equations written out in numpy."""
    from gaitloom.backends.flow import _tvl1_numba as kernels

    rng, p = np.random.default_rng(7), parameters()
    data, theta, step = p.factors
    given = [rng.normal(0, 4, shape).astype(np.float32) for _ in range(5)]  # I1x, I1y, rho, u1, u2
    norm = given[0] ** 2 + given[1] ** 2
    before = u = np.stack(given[3:])
    dual = np.zeros((2, 2, *shape), np.float32)
    for _ in range(12):
        f = np.clip((given[2] + given[0] * u[0] + given[1] * u[1]) / norm, -data, data)
        divergence = np.diff(dual[:, 0], axis=2, prepend=0) + np.diff(dual[:, 1], axis=1, prepend=0)
        before, u = u, u - f * np.stack(given[:2]) + theta * divergence
        slope = np.stack([np.diff(u, axis=2, append=u[:, :, -1:]), np.diff(u, axis=1, append=u[:, -1:])], axis=1)
        dual = (dual + step * slope) / (1 + step * np.linalg.norm(slope, axis=1, keepdims=True))
    for until in (False, True):
        level = kernels.Level(*shape)
        planes = [*given[:2], norm if until else 1 / norm, *given[2:]]
        for plane, values in zip([*level.constants, *level.u], planes, strict=True):
            level.picture(plane)[...] = values
        state = (*level.shape, *level.constants, *level.u, *level.p, *p.factors)
        if until:
            change = kernels.iterate_until(12, np.float32(-1), level.inside, level.squares, *state)
            assert change == pytest.approx(((u - before) ** 2).sum(), rel=1e-3)
        else:
            kernels.iterate(12, *state)
        for plane, values in zip([*level.u, *level.p], [*u, *dual[0], *dual[1]], strict=True):
            np.testing.assert_allclose(level.picture(plane), values, atol=1e-4)


@SCHEDULES
def test_the_same_again_and_on_any_number_of_threads(schedule: str) -> None:
    many = [*PAIRS, *PAIRS[::-1], PAIRS[1]]
    expected = solve(many, schedule=schedule)
    assert all(np.array_equal(one, other) for one, other in zip(expected[:3], expected[5:2:-1], strict=True))
    for threads in (2, 3):
        found = solve(many, backends.Device("cpu", threads), schedule=schedule)
        assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


@SCHEDULES
def test_still_pictures_have_no_flow(schedule: str) -> None:
    flat = np.full((40, 60), 128, np.uint8)
    for still in (flat, GREY[0]):
        (found,) = solve([(still, still)], schedule=schedule)
        assert np.abs(found).max() < 1e-3
    (found,) = solve([(flat, flat // 2)], schedule=schedule)
    assert np.abs(found).max() < 1e-3


@SCHEDULES
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3), (15, 15)], ids=str)
def test_tiny_pictures_and_noise_give_numbers(schedule: str, size: tuple[int, int]) -> None:
    """Two unrelated pictures of black and white: as far as anything can move."""
    pictures = (np.random.default_rng(1).integers(0, 2, (2, *size)) * 255).astype(np.uint8)
    (found,) = solve([(pictures[0], pictures[1])], schedule=schedule)
    assert found.shape == (*size, 2) and found.dtype == np.float32 and np.isfinite(found).all()


@SCHEDULES
def test_views_are_taken_as_they_are(schedule: str) -> None:
    wide = [np.repeat(np.repeat(i, 2, axis=0), 3, axis=1) for i in PAIRS[0]]
    views = tuple(i[::2, ::3] for i in wide)
    assert not views[0].flags.c_contiguous
    (found,), (expected,) = solve([views], schedule=schedule), solve(PAIRS[:1], schedule=schedule)  # type: ignore[list-item]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("view", ["sagittal", "frontal"])
def test_the_fast_schedule_is_as_right_as_opencvs(view: Any) -> None:
    """End-point error on moving and on all pixels that stay in sight, against OpenCV with as many scales."""
    walk = Walk(GAITS["normal"], view, frames=3, fps=30, size=(240, 180), seed=11, pan=(0.3, 0.1))
    pair = tuple(cv2.cvtColor(walk.frame(t), cv2.COLOR_RGB2GRAY) for t in (0, 1))
    seen, truth = walk.visible(0), walk.flow(0)
    fast, theirs = solve([pair])[0], opencvs(pair, scales=8)  # type: ignore[list-item,arg-type]
    for where in (seen, seen & walk.silhouette(0)):
        error = [float(np.linalg.norm(f - truth, axis=2)[where].mean()) for f in (fast, theirs, 0 * truth)]
        assert error[0] < 1.1 * error[1] < error[2]


def test_a_warm_start_begins_with_the_pair_before() -> None:
    cold = solve(PAIRS, scales=2, warps=1)
    warm = solve(PAIRS, scales=2, warps=1, warm_start=True)
    np.testing.assert_array_equal(warm[0], cold[0])
    assert not np.array_equal(warm[1], cold[1])
    truth, seen = WALK.flow(2), WALK.visible(2) & WALK.silhouette(2)
    error = [float(np.linalg.norm(f[2] - truth, axis=2)[seen].mean()) for f in (warm, cold)]
    assert error[0] < error[1]
    small = tuple(np.ascontiguousarray(i[:40, :50]) for i in PAIRS[0])
    *_, after = solve([small, PAIRS[1]], scales=2, warps=1, warm_start=True)  # type: ignore[list-item]
    np.testing.assert_array_equal(after, cold[1])
    threaded = solve(PAIRS, backends.Device("cpu", 2), scales=2, warps=1, warm_start=True)
    assert all(np.array_equal(one, other) for one, other in zip(threaded, warm, strict=True))


def test_the_recipe_holds_every_number() -> None:
    options = tvl1.Options(schedule="opencv", theta=0.2, tau=None)  # type: ignore[arg-type]
    found = options.model_dump(by_alias=True)
    assert found == {
        "schedule": "opencv", **PRESETS["opencv"], "coarse_iterations": 30, "theta": 0.2, "warm_start": False
    }  # fmt: skip
    assert tvl1.Options(**found) == options
    for wrong in ({"schedule": "quick"}, {"median_filtering": 4}, {"scale_step": 1}, {"gamma": 1.0}, {"tau": 0}):
        with pytest.raises(ValidationError):
            tvl1.Options(**wrong)  # type: ignore[arg-type]


def test_every_option_changes_the_flow() -> None:
    values = {
        "tau": 0.2, "lambda": 0.1, "theta": 0.2, "scales": 3, "scale_step": 0.6, "warps": 2, "epsilon": 0.05,
        "inner_iterations": 5, "coarse_iterations": 5, "outer_iterations": 2, "median_filtering": 5,
    }  # fmt: skip
    assert set(values) == set(PRESETS["fast"]) == {*PRESETS["opencv"], "coarse_iterations"}
    (usual,) = solve(PAIRS[:1])
    for name, value in values.items():
        assert not np.array_equal(solve(PAIRS[:1], **{name: value})[0], usual), name


@SCHEDULES
def test_pytorch_gives_the_same(schedule: str) -> None:
    """The GPU's form, on the CPU: with pairs of other sizes in the batch, and each pair as if it were alone."""
    torch = pytest.importorskip("torch")
    from gaitloom.backends.flow._tvl1_torch import Solver

    torch.set_num_threads(1)
    small = [tuple(np.ascontiguousarray(i[20:80, 60:160]) for i in pair) for pair in PAIRS]
    mixed: list[Any] = [*small, tuple(np.ascontiguousarray(i[:30, :40]) for i in PAIRS[0])]
    chosen = replace(parameters(schedule=schedule), scales=3, warps=2)
    solver = Solver(chosen)
    found, expected = solver(mixed), solve(mixed, schedule=schedule, scales=3, warps=2)
    for one, other in zip(found, expected, strict=True):
        assert apart(one, other)[0] < 0.01 and conforms(one, other)
    assert not conforms(found[0][..., ::-1], expected[0])
    (alone,) = solver(mixed[1:2])
    np.testing.assert_array_equal(alone, found[1])
    (warm,) = solver(mixed[:1], start=expected[0])
    (same,) = solve(mixed[:2], schedule=schedule, scales=3, warps=2, warm_start=True)[1:]
    (warm,) = solver(mixed[1:2], start=expected[0])
    assert conforms(warm, same) and not np.array_equal(warm, alone)


FUSED = """
import torch
from gaitloom.backends.flow import _tvl1_torch, _tvl1_triton

chance = torch.Generator().manual_seed(3)


def noise(*shape):
    return torch.rand(*shape, generator=chance) * 2 - 1


for pairs, height, width in ((2, 9, 150), (1, 4, 128), (3, 1, 7), (2, 8, 1)):
    u, p = noise(2, pairs, height, width), noise(2, 2, pairs, height, width)
    gradient, rho = 30 * noise(2, pairs, height, width), 40 * noise(pairs, height, width)
    inverse = 1 / (gradient * gradient).sum(0)
    inverse[:, 0, 0] = 0  # flat
    given = [x.clone() for x in (u, p, gradient, inverse, rho)]
    for _ in range(2):
        expected = _tvl1_torch.step(u, p, gradient, inverse, rho, (0.0375, 0.25, 0.9))
        found = _tvl1_triton.step(u, p, gradient, inverse, rho, (0.0375, 0.25, 0.9))
        assert all(torch.equal(x, y) for x, y in zip((u, p, gradient, inverse, rho), given))
        for one, other in zip(found, expected):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
        turned = expected[1].flip(0)  # across and down exchanged: must not pass for the same
        assert pairs * height * width < 8 or (found[1] - turned).abs().max() > 0.1
        u, p = expected
        given[:2] = u.clone(), p.clone()
"""


def test_the_gpus_kernel_does_the_same_step() -> None:
    """Triton's interpreter runs it on the CPU, pixel by pixel what a GPU would do."""
    pytest.importorskip("triton", reason="Triton, which PyTorch for CUDA brings along, is not installed")
    pytest.importorskip("torch")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-c", FUSED], env=environment, check=True)


@pytest.mark.parametrize("capability", [80, 90])
def test_the_gpus_kernel_compiles(capability: int) -> None:
    """To machine code for A100 and H100, which takes no GPU."""
    pytest.importorskip("triton", reason="Triton, which PyTorch for CUDA brings along, is not installed")
    pytest.importorskip("torch")
    from gaitloom.backends.flow._tvl1_triton import COLUMNS, ROWS, iterate
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    blocks = {"rows": ROWS, "columns": COLUMNS}
    kinds = {"height": "i32", "width": "i32", "data": "fp32", "theta": "fp32", "step": "fp32"}
    signature = {name: "constexpr" if name in blocks else kinds.get(name, "*fp32") for name in iterate.arg_names}
    made = compile(ASTSource(iterate, signature, blocks), GPUTarget("cuda", capability, 32))
    assert made.asm["cubin"][:4] == b"\x7fELF"


def test_a_gpu_takes_the_kernel_and_the_cpu_does_not() -> None:
    torch = pytest.importorskip("torch")
    from gaitloom.backends.flow import _tvl1_torch

    assert _tvl1_torch.fastest(torch.device("cpu")) is _tvl1_torch.step
    pytest.importorskip("triton", reason="Triton, which PyTorch for CUDA brings along, is not installed")
    from gaitloom.backends.flow import _tvl1_triton

    assert _tvl1_torch.fastest(torch.device("cuda")) is _tvl1_triton.step


def test_on_a_gpu_pairs_are_batched_and_memory_may_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is the CPU, and has room for one pair."""
    torch = pytest.importorskip("torch")
    from gaitloom.backends.flow import _tvl1_torch

    monkeypatch.setattr(_tvl1_torch, "device_of", lambda device: torch.device("cpu"))
    backend = tvl1.Backend(tvl1.Options(scales=2, warps=1), backends.Device("cuda", 3))
    expected, sizes_seen, whole = list(backend.flows(PAIRS)), [], backend._solve_batch

    def short_of_memory(pairs: list[Pair]) -> list[np.ndarray]:
        sizes_seen.append(len(pairs))
        if len(pairs) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(pairs)

    monkeypatch.setattr(backend, "_solve_batch", short_of_memory)
    for one, other in zip(backend.flows(PAIRS), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert sizes_seen == [3, 1, 1, 1]


CHILD = """
import hashlib, sys
import numpy as np
from gaitloom.backends.flow import tvl1
rng = np.random.default_rng(0)
pair = tuple(rng.integers(0, 255, (2, 40, 50)).astype(np.uint8))
(flow,) = tvl1.Backend(tvl1.Options()).flows([pair])
print(hashlib.sha256(flow.tobytes()).hexdigest())
"""


def child(cache: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, "GAITLOOM_NUMBA": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_the_cache_of_compiled_functions(tmp_path: Path) -> None:
    """Two processes on an empty folder, one on what they left, one on damaged files: all solve, and alike."""
    rng = np.random.default_rng(0)
    pair = tuple(rng.integers(0, 255, (2, 40, 50)).astype(np.uint8))
    expected = hashlib.sha256(solve([pair])[0].tobytes()).hexdigest()  # type: ignore[list-item]
    both = [child(tmp_path) for _ in range(2)]
    for process in both:
        out, err = process.communicate()
        assert (process.returncode, out.strip()) == (0, expected), err
    machine_code = sorted(tmp_path.rglob("*.nbc"))
    assert len(machine_code) == len(list(tmp_path.rglob("*.nbi"))) == 5
    stamps = [f.stat().st_mtime_ns for f in machine_code]
    out, err = child(tmp_path).communicate()
    assert out.strip() == expected, err
    assert [f.stat().st_mtime_ns for f in machine_code] == stamps
    machine_code[0].write_bytes(b"damaged")
    out, err = child(tmp_path).communicate()
    assert out.strip() == expected and "cannot be used" in err


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out, err = child(tmp_path / "file" / "below").communicate()
    assert len(out.strip()) == 64 and "cannot be written" in err
