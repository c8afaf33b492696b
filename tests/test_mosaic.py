"""How heads are painted: constant, coarse, by all pixels of a block, and as coarse as the squint demands."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from face_pictures import portrait
from gaitloom.backends.deidentified import mosaic as backend
from gaitloom.deidentify import mosaic
from gaitloom.deidentify.heads import BEYOND, FACE, FRAME, PERSON, Regions
from gaitloom.deidentify.mosaic import GRID, Look, View
from gaitloom.faces import Faces

SIZE = (120, 90)


def regions(*rows: tuple[int, tuple[float, ...], int, int]) -> Regions:
    frame, box, track, why = zip(*rows, strict=True)
    return Regions(np.array(frame), np.array(box, np.float32), np.array(track), np.array(why), np.ones(len(frame)))


def random_image(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


@pytest.mark.parametrize("level", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(48, 48), (50, 37), (13, 5), (3, 2), (1, 1)])
def test_blocks_are_equal_and_fill_the_box(level: int, size: tuple[int, int]) -> None:
    colours = np.arange(level * level * 3, dtype=np.uint8).reshape(level, level, 3)
    shown = mosaic.blocks(colours, *size)
    assert shown.shape == (size[1], size[0], 3)
    for n, axis in ((size[0], 1), (size[1], 0)):
        if n >= level:
            line = np.moveaxis(shown, axis, 0)[:, 0, 0]
            edges = np.flatnonzero(np.diff(line.astype(int))) + 1
            lengths = np.diff(np.concatenate([[0], edges, [n]]))
            assert len(lengths) == level and lengths.max() - lengths.min() <= 1


def test_painting_covers_every_pixel_it_touches_and_no_other() -> None:
    image = random_image(1)
    boxes = np.array([[10.4, 20.6, 30.1, 44.0], [25, 30, 60.5, 50], [-9, 80, 8, 99]])
    patterns = [np.full((1, 1, 3), c, np.uint8) for c in (1, 2, 3)]
    before = image.copy()
    shown = mosaic.paint(image, boxes, patterns)
    np.testing.assert_array_equal(image, before)
    expected = image.copy()
    expected[20:44, 10:31], expected[30:50, 25:61], expected[80:90, 0:8] = 1, 2, 3
    np.testing.assert_array_equal(shown, expected)
    assert (shown[43, 26] == 2).all()  # the later over the earlier


def test_colours_are_means_over_all_pixels_and_frames_in_steps() -> None:
    """Against means taken directly; a single pixel a block, or one frame alone, gives others."""
    box = (24.0, 12.0, 72.0, 60.0)
    images = [random_image(s) // 2 + np.uint8(40 * s) for s in range(3)]
    looks = mosaic.Looks(regions(*((t, box, 5, FACE) for t in range(3))), SIZE)
    for t, image in enumerate(images):
        looks.add(t, image)
    (look,) = looks.all().values()
    for level in (1, 2, 3, 4):
        n = 48 // level
        crop = np.mean([i[12:60, 24:72].astype(float) for i in images], axis=0)
        means = crop.reshape(level, n, level, n, 3).mean(axis=(1, 3))
        made = mosaic.pattern(look.mean, level)
        assert (made % 16 == 0).all()
        assert np.abs(made - means).max() <= 8.01
    one = images[0][12:60, 24:72].astype(float).mean(axis=(0, 1))
    assert np.abs(mosaic.pattern(look.mean, 1)[0, 0] - one).min() > 16
    assert mosaic.pattern(np.full((GRID, GRID, 3), 254, np.float32), 1).max() == 255


def test_heads_are_judged_by_frames_that_show_them_whole() -> None:
    """Not by guesses, nor by what the border cuts, where there is better."""
    rows = [(0, (10, 10, 40, 40), 1, FACE), (1, (0, 10, 20, 40), 1, FACE), (2, (10, 10, 60, 60), 1, BEYOND)]
    bright = {t: np.full((*SIZE[::-1], 3), 60 * t + 60, np.uint8) for t in range(4)}
    found = _looked(regions(*rows), bright)
    assert np.allclose(found[1].mean, 60) and len(found[1].views) == 1
    found = _looked(regions(*rows[1:]), bright)
    assert np.allclose(found[1].mean, 150)
    found = _looked(regions((3, (0, 0, 30, 90), 2, PERSON), (3, (0, 0, *SIZE), -1, FRAME)), bright)
    assert list(found) == [2] and found[2].views == ()


def _looked(these: Regions, images: dict[int, np.ndarray]) -> dict[int, Look]:
    looks = mosaic.Looks(these, SIZE)
    for t, image in images.items():
        looks.add(t, image)
    return looks.all()


def test_views_are_few_and_small() -> None:
    wide = (1200, 900)
    looks = mosaic.Looks(regions(*((t, (300, 200, 700, 640), 0, FACE) for t in range(50))), wide)
    for t in range(50):
        looks.add(t, random_image(t, wide))
    (look,) = looks.all().values()
    assert len(look.views) == mosaic.VIEWS
    for view in look.views:
        assert view.image.shape[0] <= mosaic.AROUND * mosaic.KEPT + 2
        assert view.box[3] - view.box[1] == pytest.approx(mosaic.KEPT, abs=1)


def test_every_region_gets_its_pattern() -> None:
    head = np.zeros((2, 2, 3), np.uint8)
    head[0] = 96
    rows = regions((0, (0, 0, 9, 9), 4, FACE), (0, (0, 0, 9, 9), 4, PERSON), (0, (0, 0, 9, 9), -1, FRAME))
    made = mosaic.patterns_of(rows, {4: head})
    np.testing.assert_array_equal(made[0], head)
    assert made[1].tolist() == [[[48] * 3]] and made[2].tolist() == [[[128] * 3]]


# Judges that see as is told.


def judge(
    *sees: int, box: tuple[float, ...] | None = None, score: float = 0.9, asked: list[int] | None = None
) -> mosaic.Judge:
    """A judge that sees a face, in the middle or in `box`, in `VIEW` at these of the sizes, counted from 0; the sizes
    that it was shown are appended to `asked`."""
    pictures = [picture for picture, _ in mosaic.squints(VIEW, None)]

    def faces(images: Iterable[np.ndarray]) -> Iterator[Faces]:
        for image in images:
            size = next(i for i, picture in enumerate(pictures) if np.array_equal(picture, image))
            if asked is not None:
                asked.append(size)
            x, y = image.shape[1] / 2, image.shape[0] / 2
            found = np.array([box or (x - 30, y - 40, x + 30, y + 40)], np.float32)[: int(size in sees)]
            yield Faces(found, np.full(len(found), score, np.float32))

    return faces


VIEW = View(random_image(3, (160, 160)), np.array([48, 48, 112, 112]))


def test_a_face_is_seen_where_all_judges_see_it_at_one_size() -> None:
    assert mosaic.seen(VIEW, None, [judge(1), judge(1)], 0.5)
    assert mosaic.seen(VIEW, None, [judge(0, 1, 4), judge(2, 4)], 0.5)
    assert not mosaic.seen(VIEW, None, [judge(1), judge(2)], 0.5)
    assert not mosaic.seen(VIEW, None, [judge(1, 2), judge()], 0.5)
    assert not mosaic.seen(VIEW, None, [judge(1), judge(1, score=0.4)], 0.5)
    assert not mosaic.seen(VIEW, None, [judge(1, box=(0, 0, 60, 60))], 0.5)  # beside the head
    assert not mosaic.seen(VIEW, None, [judge(1, box=(115, 115, 130, 130))], 0.5)  # a speck on it


def test_a_judge_is_asked_only_about_what_is_a_face_to_those_before() -> None:
    asked: list[list[int]] = [[], [], []]
    judges = [judge(1, 3, asked=asked[0]), judge(0, 3, asked=asked[1]), judge(asked=asked[2])]
    assert not mosaic.seen(VIEW, None, judges, 0.5)
    assert asked == [[0, 1, 2, 3, 4], [1, 3], [3]]


def test_squinting_reduces_and_enlarges() -> None:
    """The head's box stays where it is, detail beyond the size goes."""
    spread = []
    for picture, box in mosaic.squints(VIEW, None):
        np.testing.assert_allclose(box, VIEW.box * picture.shape[0] / 160, atol=0.01)
        assert box[3] - box[1] == pytest.approx(mosaic.SHOWN, abs=2)
        spread.append(picture.astype(float).std())
    assert spread == sorted(spread)
    painted = next(iter(mosaic.squints(VIEW, np.zeros((1, 1, 3), np.uint8))))
    x0, y0, x1, y1 = np.round(painted[1]).astype(int)
    assert painted[0][y0 + 20 : y1 - 20, x0 + 20 : x1 - 20].max() < 30


def level(first_hidden: int, finest: int = 4) -> int:
    """The level chosen by a judge who sees every pattern of more than `first_hidden` blocks across."""

    def faces(images: Iterable[np.ndarray]) -> Iterator[Faces]:
        for image in images:
            across = finest - calls[0] // len(mosaic.SQUINT)
            calls[0] += 1
            x, y = image.shape[1] / 2, image.shape[0] / 2
            found = np.array([(x - 30, y - 40, x + 30, y + 40)], np.float32)[: int(across > first_hidden)]
            yield Faces(found, np.full(len(found), 0.9, np.float32))

    calls = [0]
    return mosaic.level(Look(np.zeros((GRID, GRID, 3), np.float32), (VIEW,)), [faces], finest, 0.5)


def test_the_level_is_the_finest_that_hides_the_face() -> None:
    assert [level(hidden) for hidden in (4, 3, 2, 1, 0)] == [4, 3, 2, 1, 1]
    assert level(4, finest=2) == 2
    assert mosaic.level(Look(np.zeros((GRID, GRID, 3), np.float32), ()), [judge()], 4, 0.5) == 1


# The real judges on a real face.


def made_with(**options: Any) -> backend.Backend:
    return backend.Backend(backend.Options(**options))


@pytest.fixture(scope="module")
def real() -> backend.Backend:
    return made_with()


def look_of(image: np.ndarray, box: tuple[float, ...], blur: int = 1) -> Look:
    looks = mosaic.Looks(regions((0, box, 0, FACE)), (image.shape[1], image.shape[0]))
    looks.add(0, image)
    return looks.all()[0]


HEAD = (120.0, 40.0, 410.0, 380.0)  # in the portrait


def test_the_judges_see_a_bare_face_and_none_in_what_is_chosen(real: backend.Backend) -> None:
    look = look_of(portrait(), HEAD)
    (view,) = look.views
    (made,) = real.patterns([look])
    assert mosaic.seen(view, None, real._judges, 0.5)
    assert not mosaic.seen(view, made, real._judges, 0.5)
    # A mosaic of a fixed size in pixels, as others have it: 17 blocks across are readable.
    fine = np.zeros((17, 17, 3), np.uint8)
    x0, y0, x1, y1 = (int(n) for n in HEAD)
    crop = portrait()[y0:y1, x0:x1]
    for i, rows in enumerate(np.array_split(crop, 17)):
        for j, block in enumerate(np.array_split(rows, 17, axis=1)):
            fine[i, j] = block.mean(axis=(0, 1))
    assert mosaic.seen(view, fine, real._judges, 0.5)


def test_patterns_are_the_backends_options(real: backend.Backend) -> None:
    look = look_of(portrait(), HEAD)
    solid = made_with(blocks=1)
    (made,) = solid.patterns([look])
    assert made.shape == (1, 1, 3) and made.dtype == np.uint8
    assert [p.tolist() for p in real.patterns([look, look])] == [p.tolist() for p in real.patterns([look, look])]
    assert next(iter(real.patterns([look]))).shape[0] <= 4
