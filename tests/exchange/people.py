"""What the tests of all layouts share: a person, masks, and the one sentence that a bad file gets."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from gaitloom.errors import GaitloomError
from gaitloom.exchange import Person

LENGTH, SIZE = 5, (48, 32)


def person(names: tuple[str, ...], length: int = LENGTH, **more: np.ndarray) -> Person:
    """Somebody with awkward floats, a point absent in some frames, and one frame (2) without anybody."""
    rng = np.random.default_rng(len(names))
    xy = (rng.random((length, len(names), 2)) * SIZE).astype(np.float32)
    score = rng.random((length, len(names))).astype(np.float32) * 3
    xy[2], xy[0, 1], xy[3:, 4] = np.nan, np.nan, np.nan
    score[np.isnan(xy[..., 0])] = 0
    return Person(xy, score, names, **more)


def boxes(length: int = LENGTH) -> np.ndarray:
    """(T, 4) float32 boxes, none in frame 2."""
    box = np.tile(np.array([0.1, 0.3, SIZE[0] - 1.7, SIZE[1] - 0.9], np.float32), (length, 1))
    box[2] = np.nan
    return box


def masks(length: int = LENGTH) -> list[np.ndarray]:
    """Speckled masks; full, of one pixel in the last corner, and empty ones among them."""
    rng = np.random.default_rng(1)
    out = [rng.random(SIZE[::-1]) < 0.4 for _ in range(length)]
    out[0][:] = True
    out[1][:], out[1][-1, -1] = False, True
    out[2][:] = False
    return out


def same(found: Person, expected: Person, *fields: str) -> None:
    """Equal to the last bit, in the type that the vocabulary says."""
    assert found.names == expected.names
    for name in ("xy", "score", *fields):
        a, b = getattr(found, name), getattr(expected, name)
        assert a is not None and a.dtype == b.dtype, name
        np.testing.assert_array_equal(a, b, err_msg=name)
    assert found.xy.dtype == found.score.dtype == np.float32


@contextmanager
def refused(*parts: str | Path) -> Iterator[None]:
    """One sentence that names these."""
    with pytest.raises(GaitloomError) as caught:
        yield
    text = str(caught.value)
    assert all(str(part) in text for part in parts), text
    assert "\n" not in text and text.endswith(".")
