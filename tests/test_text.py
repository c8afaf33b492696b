"""On-frame text: found where it was drawn, on pictures without any not at all, and covered while it may be there."""

import importlib.util
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from conftest import SHARED
from gaitloom.backends.deidentified import _text
from gaitloom.deidentify import text
from gaitloom.video import decode
from walker import Walk

needs_wheel = pytest.mark.skipif(importlib.util.find_spec("rapidocr") is None, reason="rapidocr is not installed")
LINES = (
    ("2024-03-05 14:22:07", (0.02, 0.07), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2),
    ("Anna Example, 03.04.2011", (0.5, 0.95), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 0), 1),
    ("CAM 3  P0017", (0.7, 0.12), cv2.FONT_HERSHEY_DUPLEX, 0.6, (0, 0, 0), 1),
    ("Miller, J.", (0.03, 0.93), cv2.FONT_HERSHEY_COMPLEX, 0.5, (255, 80, 80), 1),
)


def box(x: float, y: float, wide: float = 100, high: float = 20) -> np.ndarray:
    return np.array([x, y, x + wide, y + high], float)


def pictures() -> Iterator[tuple[str, np.ndarray]]:
    for size in ((960, 540), (1280, 720)):  # strange enough to be taken for text as a whole
        yield f"walker {size}", Walk(frames=2, size=size, seed=1).frame(0)
    for path in sorted((SHARED / "clips").glob("*.mp4")):
        yield path.stem, next(decode(path, 5, 6)).rgb()


@needs_wheel
def test_every_line_is_found_whole_and_little_else() -> None:
    finder = _text.Finder()
    for name, plain in pictures():
        drawn, height, width = plain.copy(), *plain.shape[:2]
        scale = max(1, min(width, height) / 720)  # what cameras write grows with the picture
        for words, (x, y), font, size, colour, thick in LINES:
            place = int(x * width), int(y * height)
            cv2.putText(drawn, words, place, font, scale * size, colour, round(scale * thick), cv2.LINE_AA)
        ink = (drawn != plain).any(axis=-1)
        found, without = finder.boxes([drawn, plain])
        covered = np.zeros(ink.shape, bool)
        for x0, y0, x1, y1 in found.astype(int):
            covered[y0 : y1 + 1, x0 : x1 + 1] = True
        assert (ink & covered).sum() >= 0.98 * ink.sum(), name
        assert covered.mean() < 0.05 and len(without) <= 2, name


@needs_wheel
def test_small_and_odd_pictures_are_taken() -> None:
    for found in _text.Finder().boxes([np.zeros((7, 5, 3), np.uint8), np.zeros((33, 2000, 3), np.uint8)]):
        assert found.shape == (0, 4) and found.dtype == np.float32


def test_looks_are_a_second_apart_and_see_both_ends() -> None:
    frames = text.looks(np.arange(301) / 30)
    assert frames[0] == 0 and frames[-1] == 300 and max(np.diff(frames)) <= 30
    assert text.looks(np.arange(5) / 30) == [0, 1, 3, 4]
    assert text.looks(np.zeros(1)) == [0]


def test_text_counts_from_the_look_before_to_the_look_after() -> None:
    frames = [0, 30, 60, 90, 120, 150]
    none = np.zeros((0, 4))
    stamp = [box(10, 10), box(10, 10, 104), box(9, 10), box(10, 10), box(10, 10), box(10, 10)]
    card = {2: box(300, 200), 3: box(300, 200)}
    found = [np.array([s, *([card[i]] if i in card else [])]) for i, s in enumerate(stamp)]
    (a, b, always), (c, d, shown) = text.lasting(frames, found)
    assert (a, b) == (0, 150) and always.tolist() == [9, 10, 114, 30]  # as large as it ever was
    assert (c, d) == (30, 120) and shown.tolist() == card[2].tolist()
    assert text.lasting(frames, [none] * 6) == []


def test_text_that_one_look_misses_is_covered_throughout() -> None:
    frames = [0, 30, 60, 90]
    here, none = box(10, 10)[None], np.zeros((0, 4))
    assert [r[:2] for r in text.lasting(frames, [here, none, here, none])] == [(0, 90)]
    assert text.lasting(frames, [here, none, none, here]) == []


def test_what_moves_or_is_found_once_is_no_overlay() -> None:
    frames = [0, 30, 60, 90]
    assert text.lasting(frames, [box(10 + 80 * i, 10)[None] for i in range(4)]) == []
    assert text.lasting(frames, [box(10, 10)[None], *[np.zeros((0, 4))] * 3]) == []
