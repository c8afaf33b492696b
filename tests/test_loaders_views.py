"""Kinematic prompts and mask-guided patches: what is drawn where, and which tokens are kept."""

from pathlib import Path

import loaders_store
import numpy as np
import pytest
from gaitloom.errors import GaitloomError
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.loaders import Options, Patches, Prompts, Samples
from gaitloom.loaders.views import draw_skeleton, positions, savings, tokens, tubelets
from gaitloom.store import Store
from walker import Walk

SIZE = (224, 224)


@pytest.fixture(scope="module")
def walk() -> Walk:
    return Walk(frames=16, fps=30, size=(320, 240), seed=4)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Store(tmp_path_factory.mktemp("views"))
    nodes = ("silhouette", "keypoints", "deidentified")
    return loaders_store.finish(made, [loaders_store.put_clip(made, "A", nodes=nodes)])


def test_a_skeleton_lies_on_the_walker(walk: Walk) -> None:
    """Lines in the three colours, along the true bones, and on the body."""
    black = np.zeros((16, 240, 320, 3), np.uint8)
    xy = walk.keypoints.astype(np.float32)
    prompts = Prompts(width=1, radius=0, left=(255, 0, 0), right=(0, 255, 0), middle=(0, 0, 255))
    drawn = draw_skeleton(black, xy, np.ones((16, 23)), prompts)
    assert not black.any(), "the pictures that were given stay as they are"
    for t in (0, 7, 15):
        lit = (drawn[t] > 128).any(axis=2)
        assert (lit & walk.silhouette(t)).sum() > 0.9 * lit.sum()
        for a, b in WHOLEBODY_23.edges:  # each by itself, since lines cross
            names = {WHOLEBODY_23.points[i].split("_")[0] for i in (a, b)}
            colour = 0 if names == {"left"} else 1 if names == {"right"} else 2
            alone = draw_skeleton(black[:1], xy[t : t + 1], np.isin(np.arange(23), (a, b))[None], prompts)[0]
            assert not np.delete(alone, colour, axis=2).any()
            for share in np.linspace(0, 1, 9):
                x, y = np.rint(xy[t, a] + share * (xy[t, b] - xy[t, a])).astype(int)
                assert alone[y - 1 : y + 2, x - 1 : x + 2, colour].max() > 60, (t, a, b)


def test_what_is_not_known_is_not_drawn() -> None:
    ankle, knee = WHOLEBODY_23.points.index("left_ankle"), WHOLEBODY_23.points.index("left_knee")
    xy = np.full((1, 23, 2), np.nan, np.float32)
    xy[0, [ankle, knee]] = (30, 50), (30, 20)
    score = np.ones((1, 23))
    black = np.zeros((1, 64, 64, 3), np.uint8)
    assert draw_skeleton(black, xy, score)[0, 35, 30].tolist() == [255, 140, 0]
    score[0, ankle] = 0.29
    one = draw_skeleton(black, xy, score)
    assert not one[0, 35:].any() and one[0, 20, 30].tolist() == [80, 255, 80]
    xy[0, ankle] = 1e9, -1e9
    score[0, ankle] = 1
    draw_skeleton(black, xy, score)  # far outside, and no crash
    assert not draw_skeleton(black, np.full((1, 23, 2), np.nan), score).any()


def test_width_is_in_pixels_of_the_resized_picture() -> None:
    ankle, knee = WHOLEBODY_23.points.index("left_ankle"), WHOLEBODY_23.points.index("left_knee")
    xy = np.full((1, 23, 2), np.nan, np.float32)
    xy[0, [ankle, knee]] = (32, 60), (32, 4)
    black = np.zeros((1, 64, 64, 3), np.uint8)
    counts = [
        (draw_skeleton(black, xy, np.ones((1, 23)), Prompts(width=w, radius=0))[0, 32] > 127).any(axis=1).sum()
        for w in (1, 3, 7)
    ]
    assert counts == sorted(counts) and counts[0] == 1
    assert 7 <= counts[2] <= 9, "OpenCV draws smooth lines a little wider"


def test_prompts_are_drawn_by_the_loader_before_patches_are_cut(store: Path) -> None:
    plain = Samples(store, Options(inputs="deidentified", frames=8, size=(96, 160)))[0]
    options = Options(inputs=("deidentified", "keypoints", "silhouette"), frames=8, size=(96, 160), prompts=Prompts())
    sample = Samples(store, options)[0]
    pictures = np.rint(plain["video"] * 255).astype(np.uint8)
    truth = 2 * (loaders_store.points(50)[plain["frame"]] + 0.5) - 0.5  # the picture is doubled
    drawn = draw_skeleton(pictures, truth, np.full((8, 23), 0.9))
    np.testing.assert_allclose(sample["video"][..., :3], drawn / 255, atol=1e-6)
    assert (sample["video"][..., :3] != plain["video"]).any(axis=-1).mean() > 0.02
    mask = Samples(store, Options(frames=8, size=(96, 160)))[0]["video"]
    np.testing.assert_array_equal(sample["video"][..., 3:], mask)


def test_frames_without_a_valid_skeleton_are_left_as_they_are(tmp_path: Path) -> None:
    made, valid = Store(tmp_path), np.arange(50) % 2 == 0
    rows = [loaders_store.put_clip(made, "A", valid=valid, nodes=("keypoints", "deidentified"))]
    options = Options(inputs="deidentified", frames=50, skip=0, size=None)
    path = loaders_store.finish(made, rows)
    plain, drawn = (Samples(path, options.model_copy(update={"prompts": p}))[0]["video"] for p in (None, Prompts()))
    assert (plain != drawn).any(axis=(1, 2, 3)).tolist() == valid.tolist()
    points = Samples(path, options.model_copy(update={"inputs": ("keypoints",)}))[0]
    assert points["frame"].tolist() == [2 * (i // 2) for i in range(50)] and "video" not in points


def by_hand(masks: np.ndarray, threshold: float, combine: str) -> np.ndarray:
    """The rule, patch by patch."""
    n, height, width = masks.shape
    kept = np.zeros((n // 2, height // 16, width // 16), bool)
    for t, y, x in np.ndindex(kept.shape):
        shares = [int(masks[2 * t + i, 16 * y : 16 * y + 16, 16 * x : 16 * x + 16].sum()) / 256 for i in (0, 1)]
        value = {"mean": sum(shares) / 2, "any": max(shares), "all": min(shares)}[combine]
        kept[t, y, x] = value >= threshold
    return kept


@pytest.mark.parametrize("combine", ["mean", "any", "all"])
@pytest.mark.parametrize("threshold", [1 / 256, 0.05, 0.5, 1.0])
def test_tubelets_hold_enough_of_the_walker(walk: Walk, combine: str, threshold: float) -> None:
    masks = np.stack([walk.silhouette(t) for t in range(16)])
    kept = tubelets(masks, Patches(threshold=threshold, combine=combine))  # type: ignore[arg-type]
    np.testing.assert_array_equal(kept, by_hand(masks, threshold, combine))


def test_frames_of_a_tubelet_combine_as_asked() -> None:
    """A patch that is full in the first frame and empty in the second."""
    masks = np.zeros((2, 16, 16), bool)
    masks[0] = True
    found = {how: tubelets(masks, Patches(threshold=0.6, combine=how)).item() for how in ("mean", "any", "all")}
    assert found == {"mean": False, "any": True, "all": False}
    assert tubelets(masks, Patches(threshold=0.5)).item()


def test_kept_tokens_keep_their_positions() -> None:
    """Each token says where it is from: picking by position finds those that hold the mask."""
    t, y, x = np.meshgrid(np.arange(16), np.arange(224), np.arange(224), indexing="ij")
    where = np.stack([t // 2, y // 16, x // 16], axis=-1).astype(np.float32)
    cut = tokens(where)
    assert cut.shape == (1568, 2 * 16 * 16 * 3)  # VideoMAE v2: 16 frames of 224 give 1568 tokens
    masks = np.zeros((2, 16, 224, 224), bool)
    masks[0, 4:6, 32:48, 64:80] = True
    masks[1, 14:16, 208:, 208:] = masks[1, :2, :16, :16] = True
    kept = np.stack([tubelets(m) for m in masks])
    chosen = positions(kept)
    assert chosen.tolist() == [[2 * 196 + 2 * 14 + 4, -1], [0, 1567]]
    assert cut[chosen[0, 0], :3].tolist() == [2, 2, 4] and cut[chosen[1, 1], :3].tolist() == [7, 13, 13]
    assert positions(np.zeros((2, 1, 1, 1), bool)).shape == (2, 0)
    many = np.random.default_rng(0).random((5, 8, 14, 14)) < 0.3
    for found, one in zip(positions(many), many, strict=True):
        count = one.sum()
        assert found[:count].tolist() == np.flatnonzero(one).tolist() and (found[count:] == -1).all()
    assert savings(kept) == {"tokens": 1568, "kept": 1.5, "least": 1, "most": 2, "saved": 1 - 3 / 3136}


def test_tokens_are_in_the_order_of_a_convolutions() -> None:
    torch = pytest.importorskip("torch")
    video = np.random.default_rng(0).random((4, 32, 48, 3), np.float32)
    convolution = torch.nn.Conv3d(3, 5, (2, 16, 16), (2, 16, 16), bias=False)
    theirs = convolution(torch.from_numpy(video.transpose(3, 0, 1, 2)[None])).flatten(2)[0].T
    weight = convolution.weight.permute(2, 3, 4, 1, 0).reshape(-1, 5)
    np.testing.assert_allclose((torch.from_numpy(tokens(video)) @ weight).detach(), theirs.detach(), atol=1e-5)


def test_the_loader_gives_the_same_patches(store: Path) -> None:
    options = Options(inputs="deidentified", frames=8, size=(96, 160), patches=Patches(combine="any"))
    sample = Samples(store, options)[0]
    mask = np.repeat(np.repeat(loaders_store.masks(50)[sample["frame"]], 2, 1), 2, 2)
    np.testing.assert_array_equal(sample["kept"], by_hand(mask, 0.02, "any"))
    assert sample["kept"].shape == (4, 6, 10)
    with pytest.raises(GaitloomError, match=r"lower patches\.threshold"):
        Samples(store, options.model_copy(update={"patches": Patches(threshold=1.0, combine="all")}))[0]


def test_sizes_that_tubelets_do_not_divide_are_refused() -> None:
    with pytest.raises(GaitloomError, match="do not divide"):
        tubelets(np.zeros((3, 32, 32), bool))
