"""A rendered clip of the synthetic walker with its exact ground truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from .background import make_background
from .body import KEYPOINTS, REFERENCE_HEIGHT, Body
from .camera import Camera, Direction, frontal_camera, sagittal_camera
from .gait import GAITS, SIDES, Floats, Gait, events_between, in_contact
from .layers import View, make_figure
from .render import Renderer, layer_maps

VARIABLE_TIME_BASE = Fraction(1, 90000)  # MPEG's clock, for clips whose frames are not evenly spaced


class Walk:
    """`frames` pictures of size (width, height) px of one walker.

    gait: see Gait. view: 'sagittal' (side view) or 'frontal' (the walker comes nearer). direction:
    the side of the picture the walker goes to in the sagittal view; unused in the frontal one.
    fps: frames per second; `times` (s, rising) replaces the even spacing i / fps. seed: clothes,
    textures and noise. noise: standard deviation of the sensor noise in grey levels. pan: (dx, dy) px
    per frame by which the whole picture moves (a panning camera). phase: share of a stride by which
    the clip starts after a left contact.

    Attributes: times (T,) float64 s; joints: name -> (T,3) float64, metres, world; world (T,23,3)
    float64 metres and keypoints (T,23,2) float64 px, in the order of KEYPOINTS; contacts (T,2) bool
    [left, right]; events: (time s, 'left' | 'right', 'contact' | 'off') within the clip;
    metres_per_pixel: of the plane y = 0 (sagittal view only, else nan). World: X forward, Y to the
    walker's left, Z up, x = 0 under the pelvis' path at gait time 0.
    """

    def __init__(
        self,
        gait: Gait = GAITS["normal"],
        view: View = "sagittal",
        direction: Direction = "right",
        frames: int = 60,
        fps: float = 30.0,
        size: tuple[int, int] = (640, 360),
        seed: int = 0,
        noise: float = 1.5,
        pan: tuple[float, float] = (0.0, 0.0),
        phase: float = 0.2,
        times: Sequence[float] | None = None,
    ) -> None:
        self.gait, self.size = gait, size
        self.view: View = view
        self.direction: Direction = direction
        self.seed, self.noise, self.fps = seed, noise, fps
        self.rate = Fraction(fps).limit_denominator(1001)
        even = np.arange(frames, dtype=np.float64) * float(1 / self.rate)
        self._even = times is None
        self.times: Floats = even if times is None else np.asarray(times, np.float64)
        if len(self.times) < 1 or np.any(np.diff(self.times) <= 0):
            raise ValueError("a clip needs at least one frame, and rising times")
        start = phase * gait.stride_time
        gait_times = self.times + start
        self.joints: dict[str, Floats] = Body(gait).joints(gait_times)
        self.world: Floats = np.stack([self.joints[name] for name in KEYPOINTS], axis=1)
        self.contacts = np.stack([in_contact(gait, side, gait_times) for side in SIDES], axis=1)
        found = events_between(gait, float(gait_times[0]), float(gait_times[-1]))
        self.events = [(time - start, side, kind) for time, side, kind in found]
        self.pan: Floats = np.arange(len(self))[:, None] * np.asarray(pan, np.float64)
        self.camera = self._make_camera()
        self.keypoints: Floats = self.camera.project(self.world) + self.pan[:, None]
        self._renderer = self._make_renderer()

    def __len__(self) -> int:
        return len(self.times)

    def _make_camera(self) -> Camera:
        path = self.joints["pelvis"][:, 0]
        span, whole = (float(path[0]), float(path[-1])), (float(self.pan[-1, 0]), float(self.pan[-1, 1]))
        if self.view == "sagittal":
            return sagittal_camera(self.direction, span, self.gait.height, self.size, whole)
        return frontal_camera(span, self.gait.height, self.size, whole)

    def _make_renderer(self) -> Renderer:
        # Two canvas pixels per picture pixel at the nearest point: the renderer's supersampling.
        depth = self.camera.depth(self.joints["pelvis"])
        resolution = 2.0 * self.camera.fx / float(depth.min())
        rng = np.random.default_rng([self.seed, 1])
        layers = make_figure(self.view, self.gait.height / REFERENCE_HEIGHT, resolution, rng)
        mirror = -1.0 if self.view == "sagittal" and self.direction == "left" else 1.0
        maps, depths = layer_maps(layers, self.joints, self.camera, self.pan, mirror)
        # One background large enough for the whole pan, one pixel to spare for interpolation.
        low, high = np.floor(self.pan.min(axis=0)), np.ceil(self.pan.max(axis=0))
        corner = (float(high[0]) + 1.0, float(high[1]) + 1.0)
        width, height = (int(s + h - d) + 2 for s, h, d in zip(self.size, high, low, strict=True))
        far = np.array([[self.joints["pelvis"][0, 0], 0.0, 0.0]])
        floor = float(self.camera.project(far)[0, 1])
        if self.view == "sagittal":
            floor -= 0.12 * self.gait.height / self.metres_per_pixel  # the wall stands behind the walkway
        rng = np.random.default_rng([self.seed, 2])
        background = make_background((width, height), floor + corner[1], rng)
        return Renderer(layers, maps, depths, background, corner, self.pan, self.size)

    @property
    def metres_per_pixel(self) -> float:
        """Size of a pixel in the plane y = 0 of the sagittal view, metres; nan for the frontal view."""
        if self.view != "sagittal":
            return float("nan")
        return float(abs(self.camera.position[1])) / self.camera.fx

    def _index(self, t: int, end: int) -> int:
        if not 0 <= t < end:
            raise IndexError(f"frame {t} of {len(self)}")
        return t

    def frame(self, t: int) -> NDArray[np.uint8]:
        """(H,W,3) uint8 RGB."""
        image = self._renderer.clean(self._index(t, len(self)))
        if self.noise > 0:
            rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([self.seed, 3, t])))
            image += np.float32(self.noise) * rng.standard_normal(image.shape, dtype=np.float32)
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Every frame in turn, drawn when asked for."""
        return (self.frame(t) for t in range(len(self)))

    def parts(self, t: int) -> NDArray[np.uint8]:
        """(H,W) uint8 DensePose coarse labels 0..14 at pixel centres."""
        return self._renderer.lut[self._renderer.ids(self._index(t, len(self)))]

    def silhouette(self, t: int) -> NDArray[np.bool_]:
        """(H,W) bool: the walker."""
        return self._renderer.ids(self._index(t, len(self))) > 0

    def flow(self, t: int) -> NDArray[np.float32]:
        """(H,W,2) float32 px: where each pixel of frame t goes in frame t + 1, t < T - 1."""
        return self._renderer.flow(self._index(t, len(self) - 1))

    def visible(self, t: int) -> NDArray[np.bool_]:
        """(H,W) bool: the point at this pixel of frame t is in frame t + 1 and not covered there."""
        return self._renderer.visible(self._index(t, len(self) - 1))

    @cached_property
    def box(self) -> Floats:
        """(T,4) float64 x0, y0, x1, y1 of the silhouette, half-open pixel ranges; nan where it is empty."""
        boxes = np.full((len(self), 4), np.nan)
        for t in range(len(self)):
            mask = self.silhouette(t)
            xs, ys = np.nonzero(mask.any(axis=0))[0], np.nonzero(mask.any(axis=1))[0]
            if len(xs):
                boxes[t] = xs[0], ys[0], xs[-1] + 1, ys[-1] + 1
        return boxes

    def write(self, path: str | Path, crf: int = 10, times: Sequence[float] | None = None) -> None:
        """Encode as H.264 yuv420p (libx264); width and height must be even.

        An even clip gets pts i in the time base 1 / fps; `times` (T,) s, or a Walk made with times,
        gets pts in 1/90000 s.
        """
        even = self._even and times is None
        stamps = self.times if times is None else np.asarray(times, np.float64)
        if len(stamps) != len(self):
            raise ValueError("one time per frame is needed")
        base = 1 / self.rate if even else VARIABLE_TIME_BASE
        with av.open(str(path), "w") as container:
            options = {"crf": str(crf), "preset": "veryfast"}
            stream = container.add_stream("libx264", rate=self.rate, options=options)
            stream.width, stream.height = self.size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = base
            stream.codec_context.thread_count = 1  # the same bytes on every machine
            for i, image in enumerate(self.frames()):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.time_base = base
                frame.pts = i if even else round(float(stamps[i]) * VARIABLE_TIME_BASE.denominator)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
