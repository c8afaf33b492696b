"""The articulated body: where every joint is at any time, with rigid segments.

World frame as in gait.py: X forward, Y to the walker's left, Z up, metres.
"""

from __future__ import annotations

import numpy as np

from .gait import (
    ANKLE_HEIGHT,
    HEEL_BACK,
    HIKE,
    SIDES,
    TOE_FORWARD,
    Floats,
    Gait,
    Side,
    foot,
    stride_phase,
    swing_share,
)

# COCO-WholeBody's first 23 key points, in its order.
KEYPOINTS: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
    "right_knee", "left_ankle", "right_ankle", "left_big_toe", "left_small_toe", "left_heel",
    "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip
# Further points that only the drawing needs; toe_tip lies between the two toes on the foot's axis. The
# tread is no point of the body: it moves along the sole from the toe tip (heel raised) to the heel
# (toes raised) and marks the foot's lower end in the front view.
EXTRAS: tuple[str, ...] = (
    "neck", "pelvis", "head_top", "left_hand", "right_hand", "left_toe_tip", "right_toe_tip",
    "left_tread", "right_tread",
)  # fmt: skip

# Segment lengths as shares of body height: Winter, Biomechanics and Motor Control of Human Movement,
# 4th ed., fig. 4.1 (after Drillis & Contini).
THIGH = 0.530 - 0.285
SHANK = 0.285 - ANKLE_HEIGHT
TRUNK = 0.818 - 0.530
HEAD = 1.0 - 0.818
UPPER_ARM = 0.186
FOREARM = 0.146
HAND = 0.108
# Joint centres, not body breadths (Winter's 0.129 and 0.0955 per side are breadths): shoulders from a
# biacromial breadth of 0.40 m at 1.75 m; hips at 0.36 of the inter-ASIS distance (Bell et al. 1989).
SHOULDER_HALF = 0.108
HIP_HALF = 0.055
# Face, metres at 1.75 m body height: (down from the crown, forward of the head's axis, to the left).
REFERENCE_HEIGHT = 1.75
FACE: dict[str, tuple[float, float, float]] = {
    "nose": (0.155, 0.104, 0.0),
    "left_eye": (0.114, 0.074, 0.032),
    "right_eye": (0.114, 0.074, -0.032),
    "left_ear": (0.130, -0.006, 0.074),
    "right_ear": (0.130, -0.006, -0.074),
}
TOE_SPREAD = 0.025  # metres the big (small) toe lies inside (outside) the foot's axis
TREAD_TURN = np.deg2rad(6.0)  # foot pitch over which the tread passes between heel and toe
SMALL_TOE_BACK = 0.035  # metres the small toe lies behind the big one

# The straight leg is never used up: at 0.996 of its length the knee is still flexed by 10 degrees,
# so that the solution stays smooth.
REACH = 0.996
PELVIC_YAW = np.deg2rad(5.0)
MIDSTANCE = 0.3  # share of the stride from contact to the middle of stance


def _direction(angle: Floats, out: Floats | float) -> Floats:
    """Unit vectors (T,3) hanging down, turned forward by `angle` rad and sideways (+Y) by `out` rad."""
    out = np.broadcast_to(out, angle.shape)
    return np.stack([np.sin(angle) * np.cos(out), np.sin(out), -np.cos(angle) * np.cos(out)], axis=-1)


def _knee(hip: Floats, ankle: Floats, thigh: float, shank: float) -> Floats:
    """Knee (T,3) of the two-link leg from hip to ankle (T,3), bent towards +X."""
    line = ankle - hip
    dist = np.linalg.norm(line, axis=-1, keepdims=True)
    if np.any(dist > thigh + shank) or np.any(dist < abs(thigh - shank)):
        raise ValueError("the leg cannot reach the foot")
    unit = line / dist
    along = (thigh**2 - shank**2 + dist**2) / (2.0 * dist)
    forward = np.array([1.0, 0.0, 0.0]) - unit * unit[..., :1]
    forward /= np.linalg.norm(forward, axis=-1, keepdims=True)
    return hip + along * unit + np.sqrt(np.maximum(thigh**2 - along**2, 0.0)) * forward


class Body:
    """Joint positions of a gait. `place` (m) and `base` (m) set the pelvis' path over the feet."""

    def __init__(self, gait: Gait) -> None:
        self.gait = gait
        self.place, self.base = 0.0, 0.0
        self.place, self.base = self._fit_pelvis()

    def _fit_pelvis(self) -> tuple[float, float]:
        """Pelvis offset along X and base height: the highest path on which both legs always reach."""
        gait = self.gait
        times = np.linspace(0.0, gait.stride_time, 360, endpoint=False)
        ankles = [foot(gait, side, times)[0] for side in SIDES]
        _, hips = self._pelvis(times)
        reach = REACH * (THIGH + SHANK) * gait.height
        best = (0.0, -np.inf)
        for place in np.linspace(-0.4, 0.4, 81) * gait.stride_length:
            lowest = np.inf
            for ankle, hip in zip(ankles, hips, strict=True):
                flat = np.sum((ankle - hip - [place, 0.0, 0.0])[:, :2] ** 2, axis=1)
                room = reach**2 - flat
                if room.min() <= 0:
                    lowest = -np.inf
                    break
                lowest = min(lowest, float(np.min(ankle[:, 2] + np.sqrt(room) - hip[:, 2])))
            if lowest > best[1]:
                best = (float(place), lowest)
        if not np.isfinite(best[1]):
            raise ValueError(f"gait {gait.name}: the steps are too long for the legs")
        return best[0], best[1] - gait.crouch

    def _yaw(self, times: Floats) -> Floats:
        """Pelvic yaw (rad, about +Z): the hip of the foot that makes contact is in front."""
        length = min(1.0, self.gait.stride_length / 1.4)
        return -PELVIC_YAW * length * np.cos(2 * np.pi * stride_phase(self.gait, "left", times)[1])

    def _pelvis(self, times: Floats) -> tuple[Floats, tuple[Floats, Floats]]:
        """Pelvis centre (T,3) and (left hip, right hip), each (T,3)."""
        gait = self.gait
        half = HIP_HALF * gait.height
        phase = stride_phase(gait, "left", times)[1] - MIDSTANCE
        roll = np.zeros_like(times)  # > 0 lifts the left hip
        for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
            roll += sign * HIKE * gait.stiffness(side) * np.sin(np.pi * swing_share(gait, side, times)) ** 2
        yaw = self._yaw(times)
        pelvis = np.stack(
            [
                gait.speed * times + self.place,
                gait.sway * np.cos(2 * np.pi * phase),
                self.base + gait.bob * np.cos(4 * np.pi * phase) + half * np.abs(np.sin(roll)),
            ],
            axis=-1,
        )
        level = np.cos(roll)
        arm = half * np.stack([-np.sin(yaw) * level, np.cos(yaw) * level, np.sin(roll)], axis=-1)
        return pelvis, (pelvis + arm, pelvis - arm)

    def _leg(self, side: Side, times: Floats, hip: Floats, out: dict[str, Floats]) -> None:
        """Adds hip, knee, ankle, heel and toes of one side."""
        height = self.gait.height
        ankle, pitch = foot(self.gait, side, times)
        outward = 1.0 if side == "left" else -1.0
        zeros = np.zeros_like(pitch)
        ahead = np.stack([np.cos(pitch), zeros, np.sin(pitch)], axis=-1)
        up = np.stack([-np.sin(pitch), zeros, np.cos(pitch)], axis=-1)
        lateral = np.array([0.0, outward, 0.0])
        sole = ankle - ANKLE_HEIGHT * height * up
        tip = sole + TOE_FORWARD * height * ahead
        out[f"{side}_hip"], out[f"{side}_ankle"] = hip, ankle
        out[f"{side}_knee"] = _knee(hip, ankle, THIGH * height, SHANK * height)
        heel = sole - HEEL_BACK * height * ahead
        on_heel = 0.5 + 0.5 * np.tanh(pitch / TREAD_TURN)[:, None]
        out[f"{side}_heel"], out[f"{side}_toe_tip"] = heel, tip
        out[f"{side}_tread"] = on_heel * heel + (1.0 - on_heel) * tip
        out[f"{side}_big_toe"] = tip - TOE_SPREAD * lateral
        out[f"{side}_small_toe"] = tip + TOE_SPREAD * lateral - SMALL_TOE_BACK * ahead

    def _arm(self, side: Side, times: Floats, shoulder: Floats, out: dict[str, Floats]) -> None:
        """Adds shoulder, elbow, wrist and finger tips; the arm is back when its own foot is in front."""
        height, swing = self.gait.height, np.deg2rad(self.gait.arm_swing)
        forward = -np.cos(2 * np.pi * stride_phase(self.gait, side, times)[1])
        outward = 1.0 if side == "left" else -1.0
        angle = swing * forward
        bend = np.deg2rad(12.0) + 0.45 * swing * (1.0 + forward)
        out[f"{side}_shoulder"] = shoulder
        elbow = shoulder + UPPER_ARM * height * _direction(angle, outward * np.deg2rad(9.0))
        wrist = elbow + FOREARM * height * _direction(angle + bend, outward * np.deg2rad(3.0))
        out[f"{side}_elbow"], out[f"{side}_wrist"] = elbow, wrist
        out[f"{side}_hand"] = wrist + HAND * height * _direction(angle + bend, 0.0)

    def _trunk(self, times: Floats, pelvis: Floats, out: dict[str, Floats]) -> None:
        """Adds neck, head and face, and both arms."""
        height, scale = self.gait.height, self.gait.height / REFERENCE_HEIGHT
        lean = np.full_like(times, np.deg2rad(self.gait.lean))
        neck = pelvis - TRUNK * height * _direction(-lean, 0.0)
        # The head keeps half the trunk's lean.
        down = _direction(-0.5 * lean, 0.0)
        ahead = np.stack([-down[:, 2], np.zeros_like(lean), down[:, 0]], axis=-1)
        top = neck - HEAD * height * down
        for name, (below, front, left) in FACE.items():
            out[name] = top + scale * (below * down + front * ahead + left * np.array([0.0, 1.0, 0.0]))
        out["neck"], out["head_top"], out["pelvis"] = neck, top, pelvis
        yaw = -0.8 * self._yaw(times)
        reach = SHOULDER_HALF * height * np.stack([-np.sin(yaw), np.cos(yaw), np.zeros_like(yaw)], axis=-1)
        self._arm("left", times, neck + reach, out)
        self._arm("right", times, neck - reach, out)

    def joints(self, times: Floats) -> dict[str, Floats]:
        """Every point of KEYPOINTS and EXTRAS at gait times (T,) s: name -> (T,3) float64, metres."""
        times = np.asarray(times, dtype=np.float64)
        out: dict[str, Floats] = {}
        pelvis, hips = self._pelvis(times)
        for side, hip in zip(SIDES, hips, strict=True):
            self._leg(side, times, hip, out)
        self._trunk(times, pelvis, out)
        return out
