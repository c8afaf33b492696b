"""Walks proposed from a track whose direction at any time is known."""

import numpy as np
import pytest
from gaitloom.passes import one_direction

TALL = 200.0
SPEED = 0.7  # heights a second: a slow walk
TURN = 4.0  # s until the turn, and from there to the end


def track(centre: np.ndarray, noise: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """(T, 4) boxes of a person around `centre` (T,), in heights; trembling by `noise` heights."""
    x = (centre + np.random.default_rng(1).normal(0, 1, centre.shape) * noise) * TALL
    flat = np.zeros_like(x)
    return scale * np.column_stack([x - 40, flat + 100, x + 40, flat + 100 + TALL])


def there_and_back(time: np.ndarray) -> np.ndarray:
    return 2 + SPEED * np.where(time < TURN, time, 2 * TURN - time)


def clock(fps: float, seconds: float = 2 * TURN) -> np.ndarray:
    return np.arange(round(seconds * fps)) / fps


UNEVEN = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.08, 175))
CLOCKS = pytest.mark.parametrize("time", [clock(25), clock(60), clock(240), UNEVEN], ids=["25", "60", "240", "uneven"])


@CLOCKS
@pytest.mark.parametrize("noise", [0, 0.01])
@pytest.mark.parametrize("scale", [0.2, 3.0])
def test_there_and_back_is_two_walks(time: np.ndarray, noise: float, scale: float) -> None:
    found = one_direction(track(there_and_back(time), noise, scale), time)
    assert [np.sign(speed) for _, _, speed in found] == [1, -1]
    (start, end, speed), (back_start, back_end, back_speed) = found
    assert (start, back_end) == (0, len(time))
    assert 0 < end <= back_start
    for frame in (end - 1, back_start):  # the turn itself, half a second around it, belongs to neither or is shared
        assert abs(time[frame] - TURN) < 0.4
    assert (speed, -back_speed) == pytest.approx((SPEED, SPEED), rel=0.15)


@CLOCKS
@pytest.mark.parametrize(
    "centre",
    [
        lambda t: np.full_like(t, 3.0),
        lambda t: 3 + 0.04 * np.sin(2 * np.pi * 0.7 * t),  # swaying
        lambda t: 3 + 0.1 * t,  # drifting: slower than 0.2 heights a second
    ],
    ids=["still", "swaying", "drifting"],
)
def test_standing_is_no_walk(time: np.ndarray, centre) -> None:
    assert one_direction(track(centre(time)), time) == []


@pytest.mark.parametrize(("seconds", "walks"), [(0.8, 0), (1.2, 1)])
def test_a_walk_lasts_a_second(seconds: float, walks: int) -> None:
    time = clock(50)
    box = track(3 + SPEED * time)
    box[time >= seconds] = np.nan
    assert len(one_direction(box, time)) == walks


@pytest.mark.parametrize(("gap", "walks"), [(0.3, 1), (0.8, 2)])
def test_a_long_gap_parts_a_walk(gap: float, walks: int) -> None:
    time = clock(50)
    box = track(3 + SPEED * time)
    box[(time >= 4) & (time < 4 + gap)] = np.nan
    found = one_direction(box, time)
    assert len(found) == walks
    assert (found[0][0], found[-1][1]) == (0, len(time))
    if walks == 2:
        assert (found[0][1], found[1][0]) == (200, 240)


def test_a_walk_begins_where_the_person_appears() -> None:
    time = clock(50)
    box = track(9 - SPEED * time)
    box[:60] = np.nan
    box[350:] = np.nan
    ((start, end, speed),) = one_direction(box, time)
    assert (start, end) == (60, 350)
    assert speed == pytest.approx(-SPEED, rel=0.05)


@pytest.mark.parametrize("seen", [0, 1, 2])
def test_too_little_is_nothing(seen: int) -> None:
    time = clock(50)
    box = track(3 + SPEED * time)
    box[seen:] = np.nan
    assert one_direction(box, time) == []
