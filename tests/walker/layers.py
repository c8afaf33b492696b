"""The figure's parts as textured two-dimensional layers.

A layer hangs on a bone from joint `start` to joint `end`. Its own coordinates are metres: s along the
bone (0 at `start`), r across it. In the side view r > 0 is towards the walker's front (for the foot:
up); in the front view r > 0 is towards the image's right, which is the walker's left. A layer is
drawn once, on a canvas of `resolution` px per metre; canvas pixel (u, v) has its centre at
r = (u - u0) / resolution, s = (v - v0) / resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from .body import FOREARM, REFERENCE_HEIGHT, SHANK, THIGH, TRUNK, UPPER_ARM

View = Literal["sagittal", "frontal"]
Colour = tuple[float, float, float]
FloatImage = NDArray[np.float32]
Outline = list[tuple[float, float, float]]

# DensePose's coarse labels.
PARTS: dict[str, int] = {
    "background": 0, "torso": 1, "right_hand": 2, "left_hand": 3, "left_foot": 4, "right_foot": 5,
    "right_upper_leg": 6, "left_upper_leg": 7, "right_lower_leg": 8, "left_lower_leg": 9,
    "left_upper_arm": 10, "right_upper_arm": 11, "left_lower_arm": 12, "right_lower_arm": 13, "head": 14,
}  # fmt: skip

# The foot in the front view goes from the ankle to the tread, which are not rigidly connected: it is
# drawn this long (m at 1.75 m body height) and stretched to fit.
FRONT_FOOT = 0.10
_T, _TH, _SH, _UA, _FA = (REFERENCE_HEIGHT * x for x in (TRUNK, THIGH, SHANK, UPPER_ARM, FOREARM))


def _even(rows: list[tuple[float, float]]) -> Outline:
    """An outline with the same half width on both sides."""
    return [(s, w, w) for s, w in rows]


# Outlines at 1.75 m body height: (s, extent towards +r, extent towards -r), metres, drawn by eye.
SIDE: dict[str, Outline] = {
    "torso": [
        (-0.085, 0.045, 0.060), (-0.05, 0.060, 0.085), (0.02, 0.085, 0.105), (0.12, 0.125, 0.110),
        (0.22, 0.118, 0.095), (0.34, 0.105, 0.085), (0.44, 0.110, 0.105), (_T + 0.02, 0.108, 0.122),
        (_T + 0.08, 0.090, 0.105), (_T + 0.11, 0.05, 0.06),
    ],
    "upper_leg": [
        (-0.085, 0.040, 0.05), (-0.03, 0.085, 0.095), (0.05, 0.090, 0.098), (0.20, 0.080, 0.085),
        (0.35, 0.066, 0.066), (_TH, 0.058, 0.058), (_TH + 0.04, 0.045, 0.045), (_TH + 0.06, 0.02, 0.02),
    ],
    "lower_leg": [
        (-0.055, 0.025, 0.025), (-0.03, 0.048, 0.048), (0.0, 0.056, 0.056), (0.10, 0.054, 0.070),
        (0.20, 0.050, 0.066), (0.33, 0.046, 0.052), (_SH - 0.02, 0.050, 0.055), (_SH + 0.02, 0.052, 0.056),
        (_SH + 0.03, 0.04, 0.045),
    ],
    "foot": [
        (-0.016, 0.050, 0.0), (0.0, 0.085, 0.004), (0.07, 0.095, 0.006), (0.12, 0.072, 0.006),
        (0.18, 0.052, 0.006), (0.24, 0.040, 0.004), (0.270, 0.028, 0.002), (0.280, 0.015, -0.006),
    ],
    "head": [
        (0.0, 0.02, 0.03), (0.015, 0.06, 0.065), (0.05, 0.085, 0.095), (0.10, 0.090, 0.105),
        (0.125, 0.088, 0.105), (0.155, 0.110, 0.100), (0.166, 0.097, 0.096), (0.178, 0.090, 0.09),
        (0.200, 0.090, 0.075), (0.225, 0.080, 0.055), (0.240, 0.050, 0.050), (0.26, 0.045, 0.055),
        (0.34, 0.05, 0.06),
    ],
}  # fmt: skip
FRONT: dict[str, Outline] = {
    "torso": _even([
        (-0.09, 0.05), (-0.06, 0.09), (-0.04, 0.135), (-0.01, 0.172), (0.03, 0.186), (0.10, 0.182),
        (0.20, 0.165), (0.32, 0.148), (0.42, 0.155), (_T, 0.168), (_T + 0.05, 0.160), (_T + 0.09, 0.10),
        (_T + 0.11, 0.04),
    ]),
    "upper_leg": _even([
        (-0.085, 0.04), (-0.03, 0.078), (0.05, 0.088), (0.20, 0.080), (0.35, 0.063), (_TH, 0.055),
        (_TH + 0.04, 0.045), (_TH + 0.06, 0.02),
    ]),
    "lower_leg": _even([
        (-0.055, 0.025), (-0.03, 0.046), (0.0, 0.054), (0.10, 0.060), (0.20, 0.055), (0.33, 0.046),
        (_SH - 0.02, 0.050), (_SH + 0.02, 0.052), (_SH + 0.03, 0.04),
    ]),
    "foot": _even([
        (-0.03, 0.030), (-0.015, 0.038), (0.0, 0.042), (0.05, 0.049), (0.085, 0.051),
        (FRONT_FOOT, 0.046), (FRONT_FOOT + 0.010, 0.030), (FRONT_FOOT + 0.014, 0.012),
    ]),
    "head": _even([
        (0.0, 0.03), (0.012, 0.05), (0.05, 0.074), (0.10, 0.079), (0.15, 0.075), (0.19, 0.062),
        (0.215, 0.050), (0.235, 0.050), (0.28, 0.056), (0.34, 0.07),
    ]),
}  # fmt: skip
BOTH: dict[str, Outline] = {
    "upper_arm": _even([
        (-0.045, 0.02), (-0.03, 0.04), (0.0, 0.054), (0.05, 0.057), (0.20, 0.048), (_UA - 0.01, 0.042),
        (_UA + 0.02, 0.034), (_UA + 0.035, 0.015),
    ]),
    "lower_arm": _even([
        (-0.035, 0.022), (0.0, 0.040), (0.06, 0.043), (0.18, 0.033), (_FA - 0.01, 0.028),
        (_FA + 0.01, 0.024),
    ]),
    "hand": _even([
        (-0.018, 0.022), (0.03, 0.034), (0.08, 0.042), (0.12, 0.034), (0.155, 0.02), (0.165, 0.006),
    ]),
}  # fmt: skip
BONES: dict[str, tuple[str, str]] = {
    "upper_leg": ("hip", "knee"), "lower_leg": ("knee", "ankle"), "foot": ("heel", "toe_tip"),
    "upper_arm": ("shoulder", "elbow"), "lower_arm": ("elbow", "wrist"), "hand": ("wrist", "hand"),
}  # fmt: skip
# Metres a layer is drawn nearer than its bone's middle: clothes over what they cover. In the front
# view the trunk also covers the upper end of a thigh that swings forward.
NEARER: dict[View, dict[str, float]] = {
    "sagittal": {"torso": 0.03, "upper_leg": 0.02, "lower_leg": 0.01, "upper_arm": 0.02, "lower_arm": 0.01},
    "frontal": {"torso": 0.03, "upper_leg": -0.14, "lower_leg": -0.10, "foot": -0.08},
}


@dataclass(frozen=True, eq=False)
class Layer:
    """One drawn part. canvas: (h, w, 4) float32, premultiplied RGB 0..255 and alpha 0..1."""

    name: str
    label: int
    start: str
    end: str
    nearer: float
    canvas: FloatImage
    resolution: float
    origin: tuple[float, float]  # canvas pixel (u0, v0) of r = s = 0
    length: float | None = None  # s of `end`, metres; None: the bone's own length


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scales: tuple[float, ...]) -> FloatImage:
    """Sum of blurred noises (h,w), one per scale (px); zero mean, unit deviation / len(scales)."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    for scale in scales:
        step = max(1.0, scale / 2.0)
        small = rng.standard_normal((int(height / step) + 4, int(width / step) + 4), dtype=np.float32)
        small = cv2.GaussianBlur(small, (0, 0), max(0.8, scale / step / 1.5))
        grown = cv2.resize(small, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)[:height, :width]
        total += ((grown - grown.mean()) / (grown.std() + 1e-6)).astype(np.float32)
    return (total / len(scales)).astype(np.float32)


def palette(rng: np.random.Generator) -> dict[str, Colour]:
    """Clothes, hair and skin, RGB 0..255."""

    def pick(options: list[Colour]) -> Colour:
        return options[int(rng.integers(len(options)))]

    return {
        "skin": pick([(224.0, 182.0, 155.0), (205.0, 158.0, 128.0), (166.0, 118.0, 88.0)]),
        "hair": pick([(52.0, 38.0, 30.0), (84.0, 58.0, 38.0), (30.0, 28.0, 28.0)]),
        "shirt": pick([(178.0, 52.0, 48.0), (44.0, 110.0, 92.0), (212.0, 196.0, 88.0), (60.0, 92.0, 160.0)]),
        "trousers": pick([(46.0, 54.0, 84.0), (70.0, 68.0, 66.0), (108.0, 92.0, 70.0)]),
        "shoe": pick([(40.0, 38.0, 38.0), (110.0, 66.0, 40.0)]),
    }


def _curve(outline: Outline, scale: float) -> tuple[NDArray[np.float64], ...]:
    """Densely sampled (s, +r, -r) of an outline, corners rounded by a short moving average."""
    knots = np.array(outline) * scale
    s = np.linspace(knots[0, 0], knots[-1, 0], 200)
    kernel = np.hanning(15)[1:-1] / np.hanning(15)[1:-1].sum()
    sides = []
    for column in (1, 2):
        fine = np.interp(s, knots[:, 0], knots[:, column])
        sides.append(np.convolve(np.pad(fine, 6, mode="edge"), kernel, mode="valid"))
    return s, sides[0], sides[1]


def _paint_head(rgb: FloatImage, to_px: float, origin: tuple[float, float], view: View,
                colours: dict[str, Colour]) -> None:  # fmt: skip
    """Hair, eyes, brows, mouth and ears on the skin-coloured head canvas (h,w,3)."""

    def px(r: float, s: float) -> tuple[int, int]:
        return round((r * to_px + origin[0]) * 16), round((s * to_px + origin[1]) * 16)

    def ellipse(r: float, s: float, half_r: float, half_s: float, colour: Colour) -> None:
        axes = (max(1, round(half_r * to_px * 16)), max(1, round(half_s * to_px * 16)))
        cv2.ellipse(rgb, px(r, s), axes, 0.0, 0.0, 360.0, colour, -1, cv2.LINE_AA, 4)

    def polygon(points: list[tuple[float, float]], colour: Colour) -> None:
        cv2.fillPoly(rgb, [np.array([px(*p) for p in points], np.int32)], colour, cv2.LINE_AA, 4)

    skin, hair = colours["skin"], colours["hair"]
    dark: Colour = (skin[0] * 0.72, skin[1] * 0.66, skin[2] * 0.64)
    lips: Colour = (skin[0] * 0.80, skin[1] * 0.55, skin[2] * 0.55)
    if view == "sagittal":
        polygon([(0.14, -0.03), (0.14, 0.04), (0.075, 0.055), (0.045, 0.075), (0.03, 0.105),
                 (0.012, 0.12), (-0.02, 0.12), (-0.03, 0.17), (-0.06, 0.20), (-0.16, 0.20),
                 (-0.16, -0.03)], hair)  # fmt: skip
        ellipse(-0.006, 0.132, 0.017, 0.029, dark)
        ellipse(-0.003, 0.131, 0.012, 0.022, skin)
        polygon([(0.055, 0.102), (0.088, 0.098), (0.088, 0.103), (0.055, 0.107)], hair)
        ellipse(0.073, 0.114, 0.013, 0.0065, (236.0, 232.0, 226.0))
        ellipse(0.078, 0.114, 0.0055, 0.006, (44.0, 32.0, 28.0))
        ellipse(0.095, 0.163, 0.007, 0.004, dark)
        polygon([(0.066, 0.190), (0.10, 0.186), (0.10, 0.196)], lips)
        polygon([(0.055, 0.236), (-0.02, 0.215), (-0.05, 0.24), (0.06, 0.262)], dark)
        return
    ellipse(0.0, 0.255, 0.10, 0.028, dark)  # the chin's shadow on the neck, below the face
    ellipse(0.0, 0.195, 0.052, 0.036, skin)
    polygon([(-0.12, -0.03), (0.12, -0.03), (0.12, 0.06), (0.10, 0.13), (0.068, 0.13), (0.062, 0.075),
             (0.03, 0.052), (-0.03, 0.05), (-0.062, 0.075), (-0.068, 0.13), (-0.10, 0.13), (-0.12, 0.06)],
            hair)  # fmt: skip
    for side in (-1.0, 1.0):
        brow = [(0.014, 0.100), (0.048, 0.096), (0.05, 0.101), (0.014, 0.106)]
        polygon([(side * r, s) for r, s in brow], hair)
        ellipse(side * 0.032, 0.114, 0.014, 0.0075, (236.0, 232.0, 226.0))
        ellipse(side * 0.032, 0.114, 0.0065, 0.007, (44.0, 32.0, 28.0))
        ellipse(side * 0.009, 0.161, 0.005, 0.003, dark)
    polygon([(-0.004, 0.112), (0.010, 0.155), (0.014, 0.16), (-0.010, 0.162)], dark)
    ellipse(-0.003, 0.135, 0.006, 0.024, skin)
    ellipse(0.0, 0.187, 0.026, 0.0075, lips)


def _colour_field(kind: str, s: FloatImage, colours: dict[str, Colour]) -> FloatImage:
    """Base colour (h,w,3) of a part at bone coordinate s (h,w) in metres at 1.75 m height."""

    def where(mask: NDArray[np.bool_], first: Colour, second: Colour) -> FloatImage:
        return np.where(mask[..., None], np.array(first), np.array(second)).astype(np.float32)

    shirt, trousers, skin, shoe = (colours[k] for k in ("shirt", "trousers", "skin", "shoe"))
    if kind == "torso":
        return where(s < _T - 0.02, shirt, trousers)
    if kind == "upper_arm":
        return where(s < 0.6 * _UA, shirt, skin)
    if kind in ("lower_arm", "hand", "head"):
        return where(s > -9.0, skin, skin)
    return where(s > -9.0, shoe if kind == "foot" else trousers, skin)


def make_layer(kind: str, side: str, view: View, colours: dict[str, Colour], scale: float,
               resolution: float, rng: np.random.Generator) -> Layer:  # fmt: skip
    """Draw one part. side: 'left', 'right' or '' for torso and head. scale: body height / 1.75 m."""
    table = {**(SIDE if view == "sagittal" else FRONT), **BOTH}
    s, plus, minus = _curve(table[kind], scale)
    margin = 3.0
    origin = (float(np.ceil(minus.max() * resolution + margin)), float(np.ceil(-s[0] * resolution + margin)))
    width = int(origin[0] + np.ceil(plus.max() * resolution + margin)) + 1
    height = int(origin[1] + np.ceil(s[-1] * resolution + margin)) + 1

    # The outline at four times the resolution, then averaged: an edge one canvas pixel soft.
    ring = np.concatenate([np.stack([plus, s], 1), np.stack([-minus, s], 1)[::-1]]) * resolution + origin
    big = np.zeros((height * 4, width * 4), np.uint8)
    cv2.fillPoly(big, [np.round(((ring + 0.5) * 4 - 0.5) * 256).astype(np.int32)], 255, cv2.LINE_8, 8)
    alpha = cv2.resize(big, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0

    v, u = np.mgrid[:height, :width].astype(np.float32)
    along, across = (v - origin[1]) / resolution, (u - origin[0]) / resolution
    rgb = _colour_field(kind, along / np.float32(scale), colours)
    if kind == "head":
        _paint_head(rgb, resolution * scale, origin, view, colours)
    # Light from the front of +r: a cylinder's brightness across the part, and cloth or skin texture.
    edge_plus, edge_minus = (np.interp(along, s, e) for e in (plus, minus))
    turn = (2 * across + edge_minus - edge_plus) / np.maximum(edge_plus + edge_minus, 1e-6)
    shade = 1.08 - 0.36 * np.clip(np.abs(turn - 0.25), 0.0, 1.3) ** 2
    cloth = 0.03 if kind in ("head", "hand", "lower_arm") else 0.13
    grain = smooth_noise(rng, (height, width), (0.02 * resolution, 0.05 * resolution, 0.12 * resolution))
    value = rgb * (shade * (1.0 + cloth * grain))[..., None]
    if kind == "foot" and view == "sagittal":
        value[across < 0.018 * scale] = (205.0, 203.0, 198.0)  # a light sole
    canvas = np.dstack([np.clip(value, 0.0, 255.0) * alpha[..., None], alpha]).astype(np.float32)

    start, end = ("neck", "pelvis") if kind == "torso" else ("head_top", "neck")
    length = None
    if side:
        start, end = (f"{side}_{joint}" for joint in BONES[kind])
    if kind == "foot" and view == "frontal":
        start, end, length = f"{side}_ankle", f"{side}_tread", FRONT_FOOT * scale
    name, nearer = f"{side}_{kind}" if side else kind, NEARER[view].get(kind, 0.0)
    return Layer(name, PARTS[name], start, end, nearer, canvas, resolution, origin, length)


def make_figure(view: View, scale: float, resolution: float, rng: np.random.Generator) -> list[Layer]:
    """All fourteen layers of one figure; both sides wear the same clothes with their own texture."""
    colours = palette(rng)
    names = [("torso", ""), ("head", "")] + [(kind, side) for side in ("left", "right") for kind in BONES]
    return [make_layer(kind, side, view, colours, scale, resolution, rng) for kind, side in names]
