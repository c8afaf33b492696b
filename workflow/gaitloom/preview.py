"""Looking at a clip: an overlay video, a strip of stills, and one contact sheet for the run.

They lie over the de-identified pictures; where the configuration makes none, over a plain ground. Raw pictures are
shown only where somebody asks for them, in a folder of their own that no release and no contact sheet reads.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from gaitloom.clips import Clip
from gaitloom.errors import GaitloomError
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.lazy_video import LazyVideo
from gaitloom.part_labels import COLOURS, fine_to_coarse
from gaitloom.plan import Plan
from gaitloom.store import Store

LEFT, RIGHT, MIDDLE = (255, 140, 0), (0, 170, 255), (240, 240, 240)  # RGB: the person's left, right, and neither
SUBJECT, OTHER, OUTLINE, GROUND = (80, 255, 80), (200, 200, 200), (255, 60, 200), (48, 48, 48)
STILLS = 5
STILL_HEIGHT = 216


class Overlay:
    """Draws one clip's nodes over its frames; whatever node is missing is left out."""

    def __init__(self, plan: Plan, store: Store, clip: Clip):
        video = store.open(plan.key(clip, "video"))
        self.time, self.pts = video.load("time"), video.load("pts")
        width, height = video.attributes["width"], video.attributes["height"]
        self.scale = plan.config.preview.height / height
        self.size = (2 * round(width * self.scale / 2), 2 * round(height * self.scale / 2))
        self.caption = clip.path
        self._nodes = {
            role: store.open(plan.key(clip, node))
            for role, node in plan.shown_of(clip.path).items()
            if role != "deidentified" and store.digest(plan.key(clip, node)) is not None
        }
        if "track" in self._nodes:
            self._track = {n: self._nodes["track"].load(n) for n in self._nodes["track"].arrays}
        if "keypoints" in self._nodes:
            self._points = {n: self._nodes["keypoints"].load(n) for n in ("xy_23", "valid")}
        fine = "parts" in self._nodes and self._nodes["parts"].attributes["label_space"] == "densepose_fine_24"
        self._part_colours = COLOURS[fine_to_coarse()] if fine else COLOURS

    def draw(self, images: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB frames of the clip in, overlay frames of `size` out."""
        import cv2

        masks = self._nodes["silhouette"].frames("mask") if "silhouette" in self._nodes else None
        labels = self._nodes["parts"].frames("label") if "parts" in self._nodes else None
        flows = self._nodes["flow"].frames("flow") if "flow" in self._nodes else None
        for t, image in enumerate(images):
            canvas = cv2.resize(image, self.size, interpolation=cv2.INTER_AREA)
            if labels is not None:
                self._tint(canvas, next(labels))
            if masks is not None:
                self._outline(canvas, next(masks))
            self._boxes(canvas, t)
            self._skeleton(canvas, t)
            if flows is not None:
                self._flow_corner(canvas, next(flows), t)
            label = f"{self.caption}  frame {t}  {self.time[t]:.2f} s"
            for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                cv2.putText(
                    canvas, label, (8, self.size[1] - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, width, cv2.LINE_AA
                )
            yield canvas

    def telling_frames(self, count: int) -> list[int]:
        """Frames spread evenly over those that show the subject, or over the clip where none does."""
        shown = np.flatnonzero(self._track["valid"]) if "track" in self._nodes else np.arange(0)
        shown = shown if len(shown) >= count else np.arange(len(self.time))
        return shown[np.linspace(0, len(shown) - 1, count + 2)[1:-1].round().astype(int)].tolist()

    def _tint(self, canvas: np.ndarray, label: np.ndarray) -> None:
        """Colour the parts, over half of what is there."""
        import cv2

        small = np.asarray(cv2.resize(label, self.size, interpolation=cv2.INTER_NEAREST), np.intp)
        tinted = canvas // 2 + self._part_colours[small] // 2
        canvas[:] = np.where((small > 0)[..., None], tinted, canvas)

    def _outline(self, canvas: np.ndarray, mask: np.ndarray) -> None:
        import cv2

        small = cv2.resize(mask.astype(np.uint8), self.size, interpolation=cv2.INTER_AREA)
        contours, _ = cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(canvas, contours, -1, OUTLINE, 1, cv2.LINE_AA)

    def _boxes(self, canvas: np.ndarray, t: int) -> None:
        if "track" not in self._nodes:
            return
        for box in self._others(t):
            self._rectangle(canvas, box, OTHER, 1)
        if np.isfinite(self._track["box"][t, 0]):
            self._rectangle(canvas, self._track["box"][t], SUBJECT, 2 if self._track["valid"][t] else 1)

    def _others(self, t: int) -> np.ndarray:
        here = self._track["person_frame"] == t
        return self._track["person_box"][
            here & (self._track["person_id"] != self._nodes["track"].attributes["subject_id"])
        ]

    def _rectangle(self, canvas: np.ndarray, box: np.ndarray, colour: tuple, width: int) -> None:
        import cv2

        x0, y0, x1, y1 = (round(float(v) * self.scale) for v in box)
        cv2.rectangle(canvas, (x0, y0), (x1, y1), colour, width, cv2.LINE_AA)

    def _skeleton(self, canvas: np.ndarray, t: int) -> None:
        import cv2

        if "keypoints" not in self._nodes or not self._points["valid"][t]:
            return
        xy = self._points["xy_23"][t] * self.scale
        for a, b in WHOLEBODY_23.edges:
            if np.isfinite(xy[[a, b]]).all():
                names = {WHOLEBODY_23.points[i].split("_")[0] for i in (a, b)}
                colour = LEFT if names == {"left"} else RIGHT if names == {"right"} else MIDDLE
                start, end = (tuple(int(v) for v in np.round(xy[i])) for i in (a, b))
                cv2.line(canvas, start, end, colour, 2, cv2.LINE_AA)

    def _flow_corner(self, canvas: np.ndarray, stored: np.ndarray, t: int) -> None:
        import cv2

        picture = flow_colours(stored.astype(np.float32) / 64)
        width, height = picture.shape[1], picture.shape[0]
        scale = min(0.28 * self.size[0] / width, 0.4 * self.size[1] / height)
        picture = cv2.resize(picture, (max(2, round(width * scale)), max(2, round(height * scale))))
        canvas[8 : 8 + picture.shape[0], -8 - picture.shape[1] : -8] = picture


def flow_colours(flow: np.ndarray, full: float = 4.0) -> np.ndarray:
    """(h, w, 2) float32 px as (h, w, 3) uint8 RGB: hue is the direction (red right, y down), value the length up to
    `full` pixels."""
    import cv2

    angle = np.degrees(np.arctan2(flow[..., 1], flow[..., 0])) % 360
    value = np.clip(np.hypot(flow[..., 0], flow[..., 1]) / full, 0, 1) * 255
    hsv = np.dstack([angle / 2, np.full_like(angle, 255), value]).astype(np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def render(plan: Plan, path: str, raw: bool = False) -> None:
    """Write `preview/{subject}/{clip}.mp4` (H.264, the clip's own time) and `.jpg` (a strip of stills); with `raw`,
    over the raw pictures, to `preview_raw/`.

    Raises:
        GaitloomError: the clip is not planned, has no video node, or not the deidentified node that is planned; with
            `raw`, its video is gone.
    """
    import cv2

    from gaitloom.video import encode

    store, clip = Store(plan.config.results), plan.clip(path)
    overlay = Overlay(plan, store, clip)
    target = plan.config.results / ("preview_raw" if raw else "preview") / f"{path}.mp4"
    target.parent.mkdir(parents=True, exist_ok=True)
    wanted = set(overlay.telling_frames(STILLS))
    stills: list[np.ndarray] = []

    def pictures() -> Iterator[np.ndarray]:
        below = raw_pictures(clip, overlay.pts) if raw else _covered(plan, store, clip, len(overlay.pts))
        for t, picture in enumerate(overlay.draw(below)):
            if t in wanted:
                width = round(STILL_HEIGHT * picture.shape[1] / picture.shape[0])
                stills.append(cv2.resize(picture, (width, STILL_HEIGHT), interpolation=cv2.INTER_AREA))
            yield picture

    stamps = [Fraction(float(t)).limit_denominator(90_000) for t in overlay.time]
    draft = target.with_name(f".{target.name}")
    encode(draft, pictures(), stamps)
    draft.replace(target)
    _write(target.with_suffix(".jpg"), np.hstack(stills))


def raw_pictures(clip: Clip, pts: np.ndarray) -> Iterator[np.ndarray]:
    """The video's own frames (H, W, 3) uint8 RGB: for local eyes only."""
    from gaitloom.video import clip_frames

    return (frame.rgb() for frame in clip_frames(Path(clip.video), pts.tolist(), clip.start or 0))


def _covered(plan: Plan, store: Store, clip: Clip, length: int) -> Iterator[np.ndarray]:
    """The de-identified frames, or a plain ground where the configuration makes none."""
    name = plan.shown_of(clip.path).get("deidentified")
    if name is None:
        size = store.open(plan.key(clip, "video")).attributes
        ground = np.full((size["height"], size["width"], 3), GROUND, np.uint8)
        return (ground for _ in range(length))
    key = plan.key(clip, name)
    if store.digest(key) not in (None, plan.planned(key)):
        raise GaitloomError(f"{key} is not the planned one; run snakemake to make it again.")
    video = LazyVideo.of(store.open(key), str(key))
    return (video.frame(t) for t in range(length))


def contact_sheet(plan: Plan, target: Path, rows: int = 40) -> None:
    """One picture of the run: a strip a clip; with more than `rows` clips, one small still each. Nothing where no clip
    has a preview yet. Strips over another making of the deidentified node are left out: it may show what this one
    covers."""
    import cv2

    store, below = Store(plan.config.results), plan.shown.get("deidentified")
    keys = {path: plan.key(clip, below) for path, clip in plan.accepted.items()} if below else {}
    shown = [p for p in plan.accepted if p not in keys or store.digest(keys[p]) == plan.planned(keys[p])]
    strips = [plan.config.results / "preview" / f"{path}.jpg" for path in shown]
    pictures = [p for p in (cv2.imread(str(s)) for s in strips if s.is_file()) if p is not None]
    if not pictures:
        target.unlink(missing_ok=True)
        return
    if len(pictures) > rows:
        middles = [np.hsplit(p, STILLS)[STILLS // 2] if p.shape[1] % STILLS == 0 else p for p in pictures]
        small = [
            cv2.resize(m, (round(90 * m.shape[1] / m.shape[0]), 90), interpolation=cv2.INTER_AREA) for m in middles
        ]
        across = int(np.ceil(np.sqrt(len(small))))
        pictures = [_row(small[i : i + across]) for i in range(0, len(small), across)]
    _write(target, _stack(pictures)[..., ::-1])


def _row(pictures: list[np.ndarray]) -> np.ndarray:
    return np.hstack(pictures)


def _stack(pictures: list[np.ndarray]) -> np.ndarray:
    width = max(p.shape[1] for p in pictures)
    return np.vstack([np.pad(p, ((0, 4), (0, width - p.shape[1]), (0, 0))) for p in pictures])


def _write(target: Path, picture: Any) -> None:
    import cv2

    draft = target.with_name(f".{target.name}")
    draft.write_bytes(cv2.imencode(target.suffix, np.ascontiguousarray(picture[..., ::-1]))[1].tobytes())
    draft.replace(target)
