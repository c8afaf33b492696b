"""A seeded procedural room: wall, floor, panels, frames and texture at several scales."""

from __future__ import annotations

import cv2
import numpy as np

from .layers import FloatImage, smooth_noise


def make_background(size: tuple[int, int], horizon: float, rng: np.random.Generator) -> FloatImage:
    """(h,w,3) float32 RGB 0..255 for size (w,h) px; the wall meets the floor in row `horizon`."""
    width, height = size
    floor_row = int(np.clip(horizon, 0, height))
    # Muted colours, as of a corridor: a grey level and a slight tint.
    wall = rng.uniform(150, 185) + rng.uniform(-14, 14, 3)
    floor = rng.uniform(100, 130) + rng.uniform(-14, 14, 3)
    image = np.empty((height, width, 3), np.float32)
    image[:floor_row] = wall
    image[floor_row:] = floor
    unit = max(8, height // 24)

    # Large structures: wall panels and framed pictures with their own colours.
    x = int(rng.integers(-3 * unit, 0))
    while x < width:
        step = int(rng.integers(4 * unit, 9 * unit))
        tone = float(rng.uniform(0.86, 1.1))
        image[:floor_row, max(x, 0) : max(x + step, 0)] *= tone
        if rng.random() < 0.7 and floor_row > 8 * unit:
            top = int(rng.integers(unit, max(unit + 1, floor_row // 3)))
            low = top + int(rng.integers(3 * unit, 6 * unit))
            a, b = (x + unit, top), (x + step - unit, min(low, floor_row - 2 * unit))
            colour = tuple(float(c) for c in rng.uniform(70, 190) + rng.uniform(-35, 35, 3))
            cv2.rectangle(image, a, b, colour, -1)
            cv2.rectangle(image, a, b, (70.0, 60.0, 50.0), max(1, unit // 6))
        cv2.line(image, (x, 0), (x, floor_row), (95.0, 92.0, 88.0), max(1, unit // 10), cv2.LINE_AA)
        x += step
    cv2.rectangle(image, (0, floor_row - unit // 2), (width, floor_row), (88.0, 78.0, 70.0), -1)

    # Middle structures: floor tiles that widen towards the camera, rows of bricks low on the wall.
    seam = tuple(float(c) * 0.81 for c in floor)
    row, step = float(floor_row), 0.35 * unit
    while row < height:
        cv2.line(image, (0, int(row)), (width, int(row)), seam, 1, cv2.LINE_AA)
        row, step = row + step, step * 1.35
    for k in range(-40, 41):
        ends = (int(width / 2 + k * 1.6 * unit), floor_row), (int(width / 2 + k * 5.0 * unit), height)
        cv2.line(image, *ends, seam, 1, cv2.LINE_AA)

    noise = smooth_noise(rng, (height, width), (2.5, 7.0, 22.0, 70.0))
    image = cv2.GaussianBlur(image, (0, 0), 0.7) * (1.0 + 0.09 * noise)[..., None]
    light = 1.06 - 0.16 * np.linspace(0.0, 1.0, width, dtype=np.float32)
    return np.clip(image * light[None, :, None], 0.0, 255.0).astype(np.float32)
