"""Gait parameters and the foot schedule of the synthetic walker.

World frame (metres, right-handed): X forward along the walkway, Y to the walker's LEFT, Z up,
the ground is z = 0. The walker always walks towards +X. Times are seconds of gait time: the left
foot makes contact at t = 0, stride_time, 2 * stride_time, ...

Everything about a foot is closed-form in time, so that contacts and offs are exact and a planted
foot stands still to rounding error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = Floats | float
Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")

# Shares of body height. Ankle height 0.039 and foot length 0.152: Winter, Biomechanics and Motor
# Control of Human Movement, 4th ed., fig. 4.1 (after Drillis & Contini). The ankle sits about a
# quarter of the foot's length in front of the heel.
ANKLE_HEIGHT = 0.039
FOOT_LENGTH = 0.152
HEEL_BACK = 0.26 * FOOT_LENGTH
TOE_FORWARD = 0.74 * FOOT_LENGTH

STEP_WIDTH = 0.11  # metres between the two feet's centre lines; typical adult 0.08 to 0.12
STRIKE_PITCH = np.deg2rad(18.0)  # toe-up pitch of the foot at heel strike (about 20 deg in adults)
TOE_PITCH = np.deg2rad(-20.0)  # heel-up pitch a toe walker keeps in stance
# How much quicker the heel rises when the toe leaves than on average since it began to.
QUICKER = 1.75
# A foot neither lands nor leaves at rest. At contact the heel has two thirds of the walking speed (0.87 m/s; Winter,
# Physical Therapy 1992;72:45-53) and comes to rest under load. At the off by force plate the toe is as quick as the
# pelvis: otherwise the method of Zeni et al. (Gait & Posture 2008;27:710-714) would not agree with it within a frame.
# Filmed toes and heels do likewise, at about 30 m/s^2.
LANDS, LEAVES = 0.67, 1.0  # shares of the walking speed
QUICKENS = 30.0  # m/s^2
HIKE = np.deg2rad(12.0)  # pelvic roll of a fully stiff knee's swing (hip hike)
CIRCUMDUCTION = 0.09  # metres the foot swings outward for a fully stiff knee


@dataclass(frozen=True)
class Gait:
    """Parameters of one periodic gait; both feet share stride time and stride length.

    stride_time (s), stride_length (m), duty (share of the stride a foot is on the ground, mean of
    both sides). step_time_asymmetry / step_length_asymmetry: the right step (left contact to right
    contact) takes 0.5 + asymmetry of the stride's time / length. duty_asymmetry: left duty minus
    right duty. strike: which part of the foot touches first. clearance (m): greatest height of the
    sole's lowest point in swing. push_off (deg): heel-up pitch when the toe leaves. stiff_side with
    knee_stiffness in [0, 1]: that leg swings with less knee flexion, hip hike and circumduction.
    crouch (m): pelvis lowered below the highest feasible path. bob, sway (m): amplitudes of the
    pelvis. arm_swing, lean (deg). height (m): body height.
    """

    name: str = "normal"
    stride_time: float = 1.08
    stride_length: float = 1.40
    duty: float = 0.62
    step_time_asymmetry: float = 0.0
    step_length_asymmetry: float = 0.0
    duty_asymmetry: float = 0.0
    strike: Literal["heel", "flat", "toe"] = "heel"
    clearance: float = 0.025
    push_off: float = 60.0
    stiff_side: Side | None = None
    knee_stiffness: float = 0.0
    crouch: float = 0.0
    bob: float = 0.018
    sway: float = 0.02
    arm_swing: float = 22.0
    lean: float = 4.0
    height: float = 1.75

    @property
    def speed(self) -> float:
        """Walking speed, m/s."""
        return self.stride_length / self.stride_time

    @property
    def cadence(self) -> float:
        """Steps per minute."""
        return 120.0 / self.stride_time

    def side_duty(self, side: Side) -> float:
        """Share of the stride that this side's foot is on the ground."""
        return self.duty + (0.5 if side == "left" else -0.5) * self.duty_asymmetry

    def stiffness(self, side: Side) -> float:
        """Knee stiffness of this side, 0 (free) to 1."""
        return self.knee_stiffness if side == self.stiff_side else 0.0

    def offset(self, side: Side) -> tuple[float, float]:
        """(time s, distance m) of this side's first contact after the left foot's at (0, 0)."""
        if side == "left":
            return 0.0, 0.0
        return (
            (0.5 + self.step_time_asymmetry) * self.stride_time,
            (0.5 + self.step_length_asymmetry) * self.stride_length,
        )


GAITS: dict[str, Gait] = {
    gait.name: gait
    for gait in (
        Gait(),
        Gait(
            "asymmetric",
            stride_time=1.24,
            stride_length=1.10,
            duty=0.64,
            step_time_asymmetry=0.07,
            step_length_asymmetry=0.05,
            duty_asymmetry=0.08,
            push_off=50.0,
            arm_swing=15.0,
        ),
        Gait(
            "stiff_knee",
            stride_time=1.20,
            stride_length=1.15,
            duty=0.63,
            step_time_asymmetry=0.03,
            stiff_side="right",
            knee_stiffness=0.9,
            arm_swing=15.0,
        ),
        Gait(
            "shuffling",
            stride_time=1.00,
            stride_length=0.56,
            duty=0.72,
            strike="flat",
            clearance=0.006,
            push_off=10.0,
            crouch=0.01,
            bob=0.006,
            sway=0.025,
            arm_swing=5.0,
            lean=14.0,
        ),
        Gait(
            "toe_walking",
            stride_time=1.00,
            stride_length=1.10,
            duty=0.58,
            strike="toe",
            push_off=62.0,
            bob=0.02,
            arm_swing=18.0,
        ),
    )
}


def hermite(u: Floats, x0: Numbers, x1: Numbers, m0: Numbers, m1: Numbers) -> Floats:
    """Cubic Hermite at u in [0, 1] from x0 to x1 with slopes m0, m1 per unit of u."""
    u2, u3 = u * u, u * u * u
    return (2 * u3 - 3 * u2 + 1) * x0 + (u3 - 2 * u2 + u) * m0 + (3 * u2 - 2 * u3) * x1 + (u3 - u2) * m1


def pitch_knots(gait: Gait, side: Side) -> tuple[Floats, Floats, Floats]:
    """Foot pitch over a stride: knots (share of stride since contact), pitch (rad, toe-up > 0), rate.

    Pitch is a cubic Hermite between knots; rates are rad per stride. In stance a positive pitch
    means the heel is the pivot, a negative one the toe, exact zero a flat foot.
    """
    duty = gait.side_duty(side)
    stiff = gait.stiffness(side)
    off = -np.deg2rad(gait.push_off) * (1.0 - 0.7 * stiff)
    rise = 0.56 * duty  # heel rise begins at about a third of the stride
    if gait.strike == "toe":
        knots = [0.0, 0.3 * duty, rise, duty, 1.0]
        pitch = [TOE_PITCH * 1.15, TOE_PITCH * 0.9, TOE_PITCH, off, TOE_PITCH * 1.15]
        rate = [0.2, 0.0, 0.0, QUICKER * (off - TOE_PITCH) / (duty - rise), 0.2]
    elif gait.strike == "heel":
        down = 0.2 * duty
        knots = [0.0, down, rise, duty, 1.0]
        pitch = [STRIKE_PITCH, 0.0, 0.0, off, STRIKE_PITCH]
        rate = [-STRIKE_PITCH / down, 0.0, 0.0, QUICKER * off / (duty - rise), -STRIKE_PITCH / down]
    else:
        knots, pitch = [0.0, rise, duty, 1.0], [0.0, 0.0, off, 0.0]
        rate = [0.0, 0.0, QUICKER * off / (duty - rise), 0.0]
    return np.array(knots), np.array(pitch), np.array(rate)


def foot_pitch(gait: Gait, side: Side, share: Floats) -> Floats:
    """Pitch (rad, toe-up > 0) at `share` (any shape) of the stride in [0, 1] since contact."""
    knots, pitch, rate = pitch_knots(gait, side)
    i = np.clip(np.searchsorted(knots, share, side="right") - 1, 0, len(knots) - 2)
    width = knots[i + 1] - knots[i]
    u = (share - knots[i]) / width
    return hermite(u, pitch[i], pitch[i + 1], rate[i] * width, rate[i + 1] * width)


def stride_phase(gait: Gait, side: Side, times: Floats) -> tuple[Floats, Floats]:
    """(stride number, share of the stride in [0, 1) since contact) of one foot at `times` (T,) s."""
    phase = (times - gait.offset(side)[0]) / gait.stride_time
    number = np.floor(phase)
    return number, phase - number


def swing_share(gait: Gait, side: Side, times: Floats) -> Floats:
    """Progress of the swing in [0, 1]; 0 all through stance. (T,)"""
    duty = gait.side_duty(side)
    return np.clip((stride_phase(gait, side, times)[1] - duty) / (1.0 - duty), 0.0, 1.0)


def in_contact(gait: Gait, side: Side, times: Floats) -> NDArray[np.bool_]:
    """(T,) bool: the foot is on the ground, from contact (included) to off (included)."""
    return stride_phase(gait, side, times)[1] <= gait.side_duty(side)


def glides(gait: Gait) -> tuple[float, float]:
    """Seconds after contact until the foot rests, and from rest until the off."""
    return LANDS * gait.speed / QUICKENS, LEAVES * gait.speed / QUICKENS


def foot(gait: Gait, side: Side, times: Floats) -> tuple[Floats, Floats]:
    """Ankle (T,3) in metres, world frame, and pitch (T,) in rad of one foot.

    Stance: the pivot (heel or toe tip) is fixed but for `glides`, in which it moves forwards, and the
    rigid foot turns about it. Swing: x is a
    Hermite with matching speeds at both ends, z keeps the sole's lowest point at `clearance` times
    a bump that is zero, with zero slope, at off and contact.
    """
    heel, toe, high = (gait.height * s for s in (HEEL_BACK, TOE_FORWARD, ANKLE_HEIGHT))
    number, share = stride_phase(gait, side, times)
    duty = gait.side_duty(side)
    pitch = foot_pitch(gait, side, share)
    start = gait.offset(side)[1] + number * gait.stride_length

    def ankle_x(angle: Floats) -> Floats:
        """Ankle x relative to the flat foot's ankle, with the pivot in place."""
        pivot = np.where(angle > 0, -heel, toe)
        return pivot - pivot * np.cos(angle) - high * np.sin(angle)

    def ankle_speed(angle: float, rate: float) -> float:
        pivot = -heel if angle > 0 else toe
        return (pivot * np.sin(angle) - high * np.cos(angle)) * rate

    _, angles, rates = pitch_knots(gait, side)
    u = np.clip((share - duty) / (1.0 - duty), 0.0, 1.0)
    ends = ankle_x(angles[-2:])
    slopes = [ankle_speed(angles[k], rates[k]) * (1.0 - duty) for k in (-2, -1)]
    lands, leaves = LANDS * gait.speed, LEAVES * gait.speed
    slopes = [s + v * (1.0 - duty) * gait.stride_time for s, v in zip(slopes, (leaves, lands), strict=True)]
    (landing, leaving), (short, far) = glides(gait), (0.5 * lands**2 / QUICKENS, 0.5 * leaves**2 / QUICKENS)
    swing = hermite(u, ends[0] + far, gait.stride_length + ends[1] - short, slopes[0], slopes[1])
    early = np.clip(1.0 - share * gait.stride_time / landing, 0.0, 1.0)
    late = np.clip(1.0 - (duty - share) * gait.stride_time / leaving, 0.0, 1.0)
    x = start + np.where(share <= duty, ankle_x(pitch) - short * early**2 + far * late**2, swing)

    # Height of the ankle over the lowest of heel and toe; the smooth maximum rounds the change-over
    # in mid-swing and is the plain maximum in stance, where `soft` is 0.
    over_heel, over_toe = heel * np.sin(pitch), -toe * np.sin(pitch)
    soft = 0.5 * gait.clearance * np.sin(np.pi * u) ** 2
    lift = 0.5 * (over_heel + over_toe + np.hypot(over_heel - over_toe, soft))
    z = high * np.cos(pitch) + lift + gait.clearance * 16.0 * (u * (1.0 - u)) ** 2
    outward = 1.0 if side == "left" else -1.0
    bump = np.sin(np.pi * u) ** 2
    y = outward * (0.5 * STEP_WIDTH + CIRCUMDUCTION * gait.stiffness(side) * bump)
    return np.stack([x, y, z], axis=-1), pitch


def events_between(gait: Gait, start: float, end: float) -> list[tuple[float, Side, str]]:
    """All (gait time s, foot, 'contact' | 'off') with start <= time <= end, in order of time."""
    found: list[tuple[float, Side, str]] = []
    for side in SIDES:
        first = gait.offset(side)[0]
        low = int(np.floor((start - first) / gait.stride_time)) - 1
        high = int(np.ceil((end - first) / gait.stride_time)) + 1
        for n in range(low, high + 1):
            contact = first + n * gait.stride_time
            found.append((contact, side, "contact"))
            found.append((contact + gait.side_duty(side) * gait.stride_time, side, "off"))
    return sorted(e for e in found if start <= e[0] <= end)
