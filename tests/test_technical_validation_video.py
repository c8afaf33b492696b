"""The video model: it learns what is there and nothing else, and several processes learn what one does."""

from multiprocessing import resource_tracker
from pathlib import Path

import loaders_store
import numpy as np
import pendulums
import pytest
from gaitloom.errors import GaitloomError
from gaitloom.store import Store
from gaitloom.technical_validation.learning import Rows
from gaitloom.technical_validation.settings import VideoModel

torch = pytest.importorskip("torch", reason="torch is not installed")

from gaitloom.technical_validation import train  # noqa: E402
from gaitloom.technical_validation.video import Video  # noqa: E402
from gaitloom.technical_validation.windows import Windows  # noqa: E402

PEOPLE, FOLDS = 48, 3
PATHS = [f"P{i:03}/trial-1" for i in range(PEOPLE)]
FAST = np.arange(PEOPLE) % 2
PERIOD = np.random.default_rng(3).uniform(5, 18, PEOPLE)
NOBODY = np.zeros(0, np.int64)
HALF = Rows(np.arange(24), NOBODY, np.arange(24, 48))


def settings(**others: object) -> VideoModel:
    """A frame is a frame: 16 of them at 30 a second."""
    usual = {"frames": 16, "seconds": 16 / 30, "size": 32, "width": 4, "epochs": 8, "batch": 4}
    return VideoModel.model_validate({**usual, **others})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One clip a person; how fast a bar swings is all there is."""
    return pendulums.put(tmp_path_factory.mktemp("pendulums"), PEOPLE)


def video(store: Path, **others: object) -> Video:
    return Video(store, PATHS, "silhouette", settings(**others))


def over_folds(learner: Video, target: np.ndarray, classes: int) -> np.ndarray:
    """What it tells of everybody, learned from the others; what it is to tell is hidden from it."""
    told = np.full((PEOPLE, classes) if classes else PEOPLE, np.nan)
    for fold in range(FOLDS):
        test = np.flatnonzero(np.arange(PEOPLE) // 2 % FOLDS == fold)
        shown = target.copy()
        shown[test] = -1 if classes else np.nan
        told[test] = learner.tell(Rows(np.setdiff1d(np.arange(PEOPLE), test), NOBODY, test), shown, classes, 0)
    return told


def test_a_planted_signal_is_learned_and_permuted_labels_are_not(store: Path) -> None:
    learner = video(store, epochs=12)
    told = over_folds(learner, FAST, 2)
    np.testing.assert_allclose(told.sum(axis=1), 1)
    assert (told.argmax(axis=1) == FAST).mean() >= 0.9
    permuted = [np.random.default_rng(seed).permutation(FAST) for seed in range(2)]
    right = [(over_folds(learner, labels, 2).argmax(axis=1) == labels).mean() for labels in permuted]
    assert 0.3 <= np.mean(right) <= 0.7


def test_a_number_is_learned(tmp_path: Path) -> None:
    made, rows = Store(tmp_path), []
    for i in range(PEOPLE):
        mask = pendulums.pendulum(PERIOD[i], np.random.default_rng(i))
        rows.append(loaders_store.put_clip(made, f"P{i:03}", mask=mask))
    rate = 1000 + PERIOD  # far from 0, as heights and weights are
    told = over_folds(video(loaders_store.finish(made, rows), epochs=16, width=8), rate, 0)
    assert np.abs(told - rate).mean() < 0.5 * np.abs(rate - rate.mean()).mean()


def test_what_is_to_be_told_is_not_looked_at(store: Path) -> None:
    hidden, seen = FAST.copy(), FAST.copy()
    hidden[HALF.test], seen[HALF.test] = -1, 1 - FAST[HALF.test]
    one, other = (video(store, epochs=2).tell(HALF, target, 2, 0) for target in (hidden, seen))
    np.testing.assert_array_equal(one, other)


def test_the_same_seed_tells_the_same_and_leaves_torch_alone(store: Path) -> None:
    learner = video(store, epochs=2)
    torch.manual_seed(5)
    threads, drawn = torch.get_num_threads(), torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (learner.tell(HALF, FAST, 2, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert torch.equal(torch.rand(1), drawn) and torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_without_memory_it_is_the_same(store: Path) -> None:
    """Windows that are read again for each batch, by two workers as well, are those that are kept."""
    rows = Rows(np.arange(8), NOBODY, np.arange(8, 12))
    kept, read, by_two = (video(store, epochs=1, **o) for o in ({}, {"cache_gb": 0}, {"cache_gb": 0, "threads": 2}))
    told = kept.tell(rows, FAST, 2, 0)
    np.testing.assert_array_equal(told, read.tell(rows, FAST, 2, 0))
    np.testing.assert_allclose(told, by_two.tell(rows, FAST, 2, 0), atol=1e-4)


def test_validation_ends_it_and_its_best_pass_is_kept(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong labels there get no better: after `patience` passes it ends, with the weights of the first pass."""
    losses = iter([1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(train, "_validated", lambda *_: next(losses))
    rows = Rows(HALF.train[:16], HALF.train[16:], HALF.test)
    stopped = video(store, epochs=6, patience=2).tell(rows, FAST, 2, 0)
    assert next(losses) == 4.0, "three passes, of which two were worse"
    losses = iter([1.0] + [2.0] * 5)
    np.testing.assert_array_equal(stopped, video(store, epochs=6, patience=1).tell(rows, FAST, 2, 0))


def test_classes_that_were_not_seen_and_clips_without_pictures(tmp_path: Path) -> None:
    """Of three classes one has nobody to learn from: probability 0. What gives no window is NaN, not a guess."""
    made, rows = Store(tmp_path), []
    for i in range(12):
        mask = pendulums.pendulum(6, np.random.default_rng(i))
        there = np.zeros(len(mask), bool) if i in (0, 11) else None
        rows.append(loaders_store.put_clip(made, f"P{i:03}", mask=mask, valid=there))
    learner = Video(loaders_store.finish(made, rows), [*PATHS[:12], "P099/trial-1"], "silhouette", settings(epochs=1))
    assert set(learner.left_out) == {PATHS[0], PATHS[11], "P099/trial-1"}
    target = np.array([0, 0, 2, 0, 2, 0, 2, 0, *[-1] * 5])
    told = learner.tell(Rows(np.arange(8), NOBODY, np.arange(8, 13)), target, 3, 0)
    np.testing.assert_array_equal(np.isnan(told).all(axis=1), [False, False, False, True, True])
    assert (told[:3, 1] == 0).all() and (told[:3, [0, 2]] > 0).all()
    nothing = learner.tell(Rows(np.array([0, 11]), NOBODY, np.array([3])), target * 1.0, 0, 0)
    assert np.isnan(nothing).all() and nothing.shape == (1,)


def test_what_the_model_sees(tmp_path: Path) -> None:
    """Channels and values by node; flow in heights of the frame a second, whatever the stride."""
    made = Store(tmp_path)
    nodes = ("silhouette", "parts", "flow_dis", "deidentified", "keypoints")
    row = loaders_store.put_clip(made, "P000", nodes=nodes)
    root = loaders_store.finish(made, [row])

    def windows(node: str) -> Windows:
        return Windows(root, PATHS[:1], node, settings(size=80, frames=8))

    for node, channels, kind in (
        ("silhouette", 1, torch.uint8),
        ("parts", 3, torch.uint8),
        ("deidentified", 3, torch.uint8),
        ("flow_dis", 2, torch.float16),
    ):
        made_of = windows(node)
        seen = made_of[0, 0]
        assert seen.shape == (channels, 8, 80, 80) and seen.dtype == kind and made_of.channels == channels
    silhouette, flow = windows("silhouette")[0, 1], windows("flow_dis")[0, 1].float()
    np.testing.assert_array_equal(np.unique(silhouette), [0, 255])
    across = flow[0, :, 36:44, 40:44]  # the store's flow goes 2 full-frame px to the right, 30 times a second, of 48
    np.testing.assert_allclose(across, 2 * 30 / 48, rtol=2e-3)
    down = flow[1, :, 40, 42].numpy()  # 2 t / 64 px in frame t, and every second frame is seen
    np.testing.assert_allclose(np.diff(down), 2 * 2 / 64 * 30 / 48, rtol=0.05)
    with pytest.raises(GaitloomError, match="cannot learn from keypoints"):
        windows("keypoints")


def test_flow_is_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which way it goes: a mirror image would be of the other class, so nothing may be mirrored."""
    made, rows, flow = Store(tmp_path), [], loaders_store.flow
    for i in range(16):
        monkeypatch.setattr(loaders_store, "flow", lambda n, x=1 - 2 * FAST[i]: (flow(n) * [x, 1]).astype(np.int16))
        rows.append(loaders_store.put_clip(made, f"P{i:03}", length=20, nodes=("flow_dis",)))
    learner = Video(loaders_store.finish(made, rows), PATHS[:16], "flow_dis", settings())
    told = learner.tell(Rows(np.arange(10), NOBODY, np.arange(10, 16)), FAST[:16], 2, 0)
    assert (told.argmax(axis=1) == FAST[10:16]).all()


def test_pictures_are_shifted_and_never_mirrored() -> None:
    pictures, shifts = torch.rand(3, 2, 2, 8, 8), np.array([[2, 2], [0, 3], [4, 1]])
    shifted = train._shifted(pictures, shifts, 2).numpy()
    for was, now, (y, x) in zip(np.pad(pictures, [(0, 0)] * 3 + [(2, 2)] * 2), shifted, shifts, strict=True):
        np.testing.assert_array_equal(now, was[..., y : y + 8, x : x + 8])


def together(store: Path, **others: object) -> Video:
    """A learner whose two processes share each step, over gloo on the loopback."""
    learner = video(store, **others)
    learner.devices = ("cpu", "cpu")
    return learner


def children() -> set[int]:
    """This process's own, without the one by which Python tidies up after all others."""
    lists = [file.read_text().split() for file in Path("/proc/self/task").glob("*/children")]
    return {int(pid) for pids in lists for pid in pids} - {resource_tracker._resource_tracker._pid}  # type: ignore[attr-defined]


def test_two_processes_learn_what_one_does_with_twice_the_batch(store: Path) -> None:
    apart = together(store, epochs=2, batch=4).tell(HALF, FAST, 2, 0)
    alone, half = (video(store, epochs=2, batch=batch).tell(HALF, FAST, 2, 0) for batch in (8, 4))
    np.testing.assert_allclose(apart, alone, atol=1e-3)
    assert np.abs(half - alone).max() > 1e-2, "which another batch does not"


@pytest.mark.slow
def test_a_process_that_fails_ends_them_all(tmp_path: Path) -> None:
    """One of two comes upon a clip that is gone, while the other waits for its part of the step."""
    root, before = pendulums.put(tmp_path, 8), children()
    learner = Video(root, PATHS[:8], "silhouette", settings(cache_gb=0))
    learner.devices = ("cpu", "cpu")
    next(f for f in (root / PATHS[2] / "silhouette" / "mask" / "c").rglob("*") if f.is_file()).unlink()
    with pytest.raises(GaitloomError, match=r"^One of 2 processes .*P002/trial-1/silhouette.* is gone"):
        learner.tell(Rows(np.arange(6), NOBODY, np.arange(6, 8)), FAST[:8], 2, 0)
    assert children() <= before
