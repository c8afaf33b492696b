"""Random walkers with exact truth, and keypoints of them as wrong as BlazePose's.

`MEASURED` holds what BlazePose does on the rendered walker (12 clips: the five gaits both ways at 30 fps, the normal
one at 60 fps too; 4.2 s each, 1280x720), measured once by `python benchmarks/gait_accuracy.py residuals`. Units:
statures and seconds; x is forwards, y down. Near is the side towards the camera.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from gaitloom.gait.course import Walk as GaitWalk
from gaitloom.gait.scene import Scene
from walker import GAITS, SIDES, Gait, events_between
from walker.body import KEYPOINTS, Body
from walker.camera import Camera, look_along

RATES = (25.0, 30.0, 50.0, 60.0, 100.0, 120.0)
PICTURE = (1920, 1080)


@dataclass(frozen=True)
class Error:
    """Of a joint: mean offset, its spread between clips, spread in time (x, y), and how long an error lasts (s)."""

    bias: tuple[float, float]
    between: tuple[float, float]
    sd: tuple[float, float]
    lasts: tuple[float, float]


# (near, far). `lasts` follows from the correlation of neighbouring frames.
MEASURED: dict[str, tuple[Error, Error]] = {
    "shoulder": (
        Error((0.0052, -0.0044), (0.001, 0.0018), (0.0099, 0.0039), (0.4544, 0.1155)),
        Error((-0.0084, -0.0061), (0.0067, 0.0029), (0.0122, 0.0064), (0.2739, 0.2166)),
    ),
    "hip": (
        Error((0.0104, 0.0048), (0.0069, 0.0023), (0.0066, 0.005), (0.1077, 0.111)),
        Error((0.0062, 0.0087), (0.006, 0.0024), (0.0086, 0.0048), (0.1259, 0.1102)),
    ),
    "knee": (
        Error((-0.0027, 0.0017), (0.0039, 0.0018), (0.0114, 0.0066), (0.1083, 0.1127)),
        Error((-0.0065, -0.002), (0.0056, 0.0016), (0.0134, 0.0079), (0.0903, 0.1097)),
    ),
    "ankle": (
        Error((0.0035, -0.0086), (0.005, 0.0026), (0.0104, 0.0081), (0.0419, 0.0577)),
        Error((-0.0005, -0.0116), (0.0041, 0.0022), (0.0112, 0.0104), (0.0477, 0.0942)),
    ),
    "heel": (
        Error((0.0157, -0.0043), (0.004, 0.0066), (0.0096, 0.013), (0.037, 0.1187)),
        Error((0.0126, -0.0045), (0.0043, 0.0078), (0.0111, 0.0151), (0.0328, 0.0995)),
    ),
    "toe": (
        Error((0.0001, -0.0123), (0.0052, 0.0031), (0.0133, 0.0069), (0.0472, 0.0664)),
        Error((-0.0045, -0.0191), (0.0095, 0.0027), (0.015, 0.0072), (0.062, 0.0539)),
    ),
}
SWAPS = 0.9  # a second: the legs' left and right change places ...
SWAPPED = 0.05  # ... for this many seconds on average, never more than
LONGEST_SWAP = 0.17
COLLAPSED = 0.004  # share of the frames in which one leg's foot is put on the other's
ASTRAY = 0.027  # share of a leg's points that lie far off, by about
FAR_OFF = 0.08


@dataclass(frozen=True)
class Setting:
    """Where the camera stands: `side` of the walker it sees, distance and height in metres, how far it is turned out of
    the side view (radians), frames a second."""

    side: str = "right"
    distance: float = 7.0
    height: float = 1.0
    yaw: float = 0.0
    fps: float = 60.0


class Walker:
    """A walk of about `steps` steps, seen from the side, as keypoints alone."""

    def __init__(self, gait: Gait, setting: Setting, steps: int = 10, phase: float = 0.2, seed: int = 0):
        self.gait, self.setting, self.seed = gait, setting, seed
        duration = (steps / 2 + 0.3) * gait.stride_time
        self.time = np.arange(round(duration * setting.fps)) / setting.fps
        self.start = phase * gait.stride_time
        joints = Body(gait).joints(self.time + self.start)
        self.world = np.stack([joints[name] for name in KEYPOINTS], axis=1)
        self.path = float(joints["pelvis"][0, 0]), float(joints["pelvis"][-1, 0])
        self.camera = self._camera()

    def _camera(self) -> Camera:
        width, rows = PICTURE
        sign = 1.0 if self.setting.side == "right" else -1.0  # from the right one sees walks to the picture's right
        view = np.array([np.sin(self.setting.yaw), sign * np.cos(self.setting.yaw), 0.0])
        middle = np.array([sum(self.path) / 2, 0.0, self.setting.height])
        span = (self.path[1] - self.path[0]) * (1 + 0.5 * abs(np.sin(self.setting.yaw))) + 1.2 * self.gait.height
        scale = min(0.94 * width / span, 0.75 * rows / self.gait.height)
        return Camera(
            scale * self.setting.distance,
            0.5 * (width - 1),
            0.9 * rows - scale * self.setting.height,
            look_along((float(view[0]), float(view[1]), 0.0)),
            middle - self.setting.distance * view,
        )

    @cached_property
    def truth(self) -> np.ndarray:
        """(T, 23, 2) px."""
        return self.camera.project(self.world)

    def floor(self, *points: tuple[float, float]) -> list[tuple[float, float]]:
        """Pixels of floor points (x, y) in metres."""
        return [tuple(p) for p in self.camera.project(np.array([(x, y, 0.0) for x, y in points])).tolist()]

    def events(self, kind: str, side: str) -> np.ndarray:
        """True times (s) of one foot's contacts or offs."""
        found = events_between(self.gait, self.start, self.start + float(self.time[-1]))
        return np.array([t - self.start for t, s, k in found if (s, k) == (side, kind)])

    @property
    def parameters(self) -> dict[str, float]:
        """True means of both sides, by the names of `gaitloom.gait.summary.PARAMETERS`."""
        gait, stride = self.gait, self.gait.stride_time
        stance = {side: gait.side_duty(side) * stride for side in SIDES}
        start = {side: gait.offset(side)[0] for side in SIDES}
        both = [(start[b] + stance[b] - start[a]) % stride for a, b in (SIDES, SIDES[::-1])]
        return {
            "speed": gait.speed,
            "cadence": gait.cadence,
            "step_length": gait.stride_length / 2,
            "stride_length": gait.stride_length,
            "step_time": stride / 2,
            "stride_time": stride,
            "stance_time": sum(stance.values()) / 2,
            "swing_time": stride - sum(stance.values()) / 2,
            "single_support": stride - sum(stance.values()) / 2,
            "initial_double_support": sum(both) / 2,
            "double_support": sum(both),
        }

    def scene(self, known: str = "walkway") -> Scene:
        """What a laboratory would know: a `walkway` between two lines, four points of the `floor`, or the `height`."""
        start, end = self.path[0] - 0.3, self.path[1] + 0.3
        if known == "walkway":
            lines = [self.floor((x, -0.4), (x, 0.4)) for x in (start, end)]
            return Scene("sagittal", walkway=np.array(lines), walkway_m=end - start)
        if known == "floor":
            corners = [(start, -0.5), (start, 0.5), (end, 0.5), (end, -0.5)]
            seen = self.floor(*corners)
            return Scene("sagittal", floor=np.array([(*p, *c) for p, c in zip(seen, corners, strict=True)]))
        return Scene("sagittal", height_cm=100 * self.gait.height)

    def walk(self, known: str = "walkway") -> GaitWalk:
        """What a backend is given."""
        return GaitWalk(self.time, self.keypoints, PICTURE, self.scene(known))

    @cached_property
    def keypoints(self) -> np.ndarray:
        """(T, 23, 2) px, with errors as they were measured."""
        rng = np.random.default_rng([self.seed, 1])
        xy = self.truth.copy()
        stature = self.gait.height * self.camera.fx / self.setting.distance
        forwards = np.sign(self.truth[-1, 11, 0] - self.truth[0, 11, 0])
        for side in SIDES:
            for joint, pair in MEASURED.items():
                name = {"toe": "big_toe"}.get(joint, joint)
                error = pair[0 if side == self.setting.side else 1]
                wrong = np.array(error.bias) + rng.normal(size=2) * error.between
                offsets = wrong + np.stack(
                    [self._drift(rng, s, t) for s, t in zip(error.sd, error.lasts, strict=True)], 1
                )
                if joint in ("knee", "ankle", "heel", "toe"):
                    astray = rng.random(len(offsets)) < ASTRAY
                    offsets[astray] += FAR_OFF * rng.normal(size=(astray.sum(), 2))
                xy[:, KEYPOINTS.index(f"{side}_{name}")] += stature * offsets * (forwards, 1)
        xy[:, [KEYPOINTS.index(f"{s}_small_toe") for s in SIDES]] = np.nan
        self._swap(rng, xy)
        return xy

    def _drift(self, rng: np.random.Generator, sd: float, lasts: float) -> np.ndarray:
        """An autoregressive error (T,) of first order."""
        from scipy.signal import lfilter

        keep = np.exp(-1 / (lasts * self.setting.fps))
        noise = rng.normal(size=len(self.time)) * sd * np.sqrt(1 - keep**2)
        noise[0] = rng.normal() * sd
        return lfilter([1.0], [1.0, -keep], noise)

    def _swap(self, rng: np.random.Generator, xy: np.ndarray) -> None:
        left, right = ([KEYPOINTS.index(f"{side}_{p}") for p in ("knee", "ankle", "heel", "big_toe")] for side in SIDES)
        for start in np.flatnonzero(rng.random(len(xy)) < SWAPS / self.setting.fps):
            lasts = min(rng.exponential(SWAPPED), LONGEST_SWAP)
            frames = slice(start, start + max(1, round(lasts * self.setting.fps)))
            xy[frames, left + right] = xy[frames, right + left]
        for t in np.flatnonzero(rng.random(len(xy)) < COLLAPSED):
            one, other = (left, right) if rng.random() < 0.5 else (right, left)
            xy[t, one] = xy[t, other]


def random_walker(rng: np.random.Generator, kind: str, steps: int = 10, fps: float | None = None) -> Walker:
    """A walker of one of the gait types: other speed, cadence, step length, stature, camera and frame rate."""
    base = GAITS[kind]
    for _ in range(100):
        height = float(rng.uniform(1.2, 1.95))
        gait = replace(
            base,
            height=height,
            stride_time=base.stride_time * float(rng.uniform(0.85, 1.2)),
            stride_length=base.stride_length * height / 1.75 * float(rng.uniform(0.8, 1.1)),
        )
        setting = Setting(
            side=str(rng.choice(SIDES)),
            distance=float(rng.uniform(5, 9)),
            height=float(rng.uniform(0.8, 1.4)),
            yaw=float(np.deg2rad(rng.uniform(-15, 15))),
            fps=fps or float(rng.choice(RATES)),
        )
        try:
            return Walker(gait, setting, steps, float(rng.uniform(0, 1)), int(rng.integers(2**31)))
        except ValueError:  # steps too long for these legs
            continue
    raise AssertionError(f"no walker of the kind {kind} can be made")
