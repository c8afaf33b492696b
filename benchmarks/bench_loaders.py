"""Loaders: clips a second from the store, against a generator that reads loose pictures as Health&Gait's does.

The synthetic walker's exact silhouettes at 960x540, 112 frames a clip, as a `silhouette` node and as a folder of 8-bit
grey PNG a clip. Both give the same sample: 40 frames, 15 % skipped at either end, even stride, padded to 224x224,
float32 RGB; that they do is checked. The peer's recipe is that of `frames_from_video_file` in its repository: list,
`cv2.imread`, float32 of the whole picture, bilinear, pad, stack, reverse the channels. TensorFlow is not installed, so
OpenCV does the resizing, which costs the peer less. One process, one thread, page cache warm, in turn (goal: three
times the clips a second).

Without goals: JPEG of quality 95, which is what Health&Gait ships silhouettes as; and the de-identified pictures, H.264
in the store, against RGB PNG of the same frames. A frame of a video needs those before it in its group of 8.

    python benchmarks/bench_loaders.py [--clips 3] [--rounds 7]
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import common
import cv2
import loaders_store
import numpy as np
from gaitloom import fragments
from gaitloom.clips import NodeKey
from gaitloom.lazy_video import LazyVideo
from gaitloom.loaders import HEALTH_GAIT, Options, Samples
from gaitloom.loaders.grid import Fit
from gaitloom.store import Store
from walker import GAITS, Walk

SIZE, LENGTH, FRAMES = (960, 540), 112, 40


def made(folder: Path, clips: int) -> Path:
    """The store, and beside it `png`, `jpg` and `rgb` with a folder a clip; gives the store's path."""
    store, rows = Store(folder), []
    for number in range(clips):
        walk = Walk(GAITS[list(GAITS)[number % len(GAITS)]], frames=LENGTH, fps=30, size=SIZE, seed=number)
        mask = np.stack([np.asarray(walk.silhouette(t)) for t in range(LENGTH)])
        rows.append(loaders_store.put_clip(store, f"P{number}", mask=mask))
        put(folder, "png", number, (m.astype(np.uint8) * 255 for m in mask), ".png")
        put(folder, "jpg", number, (m.astype(np.uint8) * 255 for m in mask), ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95)
        staged = store.stage(NodeKey(f"P{number}", "trial-1", "deidentified"))
        film = fragments.encode(walk.frames(), list(range(LENGTH)), Fraction(1, 30), folder=folder)
        film.put(staged)
        staged.put("valid", np.ones(LENGTH, bool), ("time",))
        staged.publish({"made": "for a benchmark"}, {"width": SIZE[0], "height": SIZE[1]})
        video = LazyVideo.of(store.open(NodeKey(f"P{number}", "trial-1", "deidentified")))
        put(folder, "rgb", number, (video.frame(t)[..., ::-1] for t in range(LENGTH)), ".png")
        common.say(f"clip {number + 1} of {clips} made")
    return loaders_store.finish(store, rows)


def put(folder: Path, kind: str, number: int, pictures: Any, suffix: str, *how: int) -> None:
    place = folder / kind / f"P{number}"
    place.mkdir(parents=True)
    for t, picture in enumerate(pictures):
        cv2.imwrite(str(place / f"{t:03}{suffix}"), picture, how)


def loose(place: Path) -> np.ndarray:
    """One clip by the published recipe."""
    files = sorted(os.listdir(place))  # noqa: PTH208
    skipped = int(len(files) * 0.15)
    step = (len(files) - 2 * skipped) // FRAMES
    fit, frames = Fit.of((SIZE[1], SIZE[0]), (224, 224)), []
    (top, left), (rows, columns) = fit.corner, fit.inner
    for i in range(FRAMES):
        picture = cv2.imread(os.path.join(place, files[skipped + i * step])).astype(np.float32) * np.float32(1 / 255)  # noqa: PTH118
        small = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_LINEAR)
        frames.append(cv2.copyMakeBorder(small, top, 224 - top - rows, left, 224 - left - columns, cv2.BORDER_CONSTANT))
    return np.array(frames)[..., [2, 1, 0]]


def every(place: Path) -> Callable[[], list[np.ndarray]]:
    folders = sorted(place.iterdir())
    return lambda: [loose(folder) for folder in folders]


def ours(store: Path, name: str) -> Callable[[], list[np.ndarray]]:
    samples = Samples(store, Options(**{**HEALTH_GAIT, "inputs": name}))
    return lambda: [sample["video"] for sample in samples]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--clips", type=int, default=3)
    arguments.add_argument("--rounds", type=int, default=7)
    chosen = arguments.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = made(folder, chosen.clips)
        works = {
            "store silhouette": ours(store, "silhouette:rgb"),
            "loose png": every(folder / "png"),
            "loose jpg": every(folder / "jpg"),
            "store pictures": ours(store, "deidentified"),
            "loose rgb png": every(folder / "rgb"),
        }
        for mine, theirs in (("store silhouette", "loose png"), ("store pictures", "loose rgb png")):
            apart = max(float(np.abs(a - b).max()) for a, b in zip(works[mine](), works[theirs](), strict=True))
            if apart > 1e-4:
                raise SystemExit(f"{mine} and {theirs} differ by {apart}")
        costs = common.in_turn(works, chosen.rounds)
    goals = {
        f"clips a second against loose PNG, {kind}": common.at_least(
            common.paired_ratio(costs["loose png"], costs["store silhouette"], kind), 3
        )
        for kind in ("wall", "cpu")
    }
    others = {
        f"{theirs} {kind}": round(common.paired_ratio(costs[theirs], costs[mine], kind), 2)
        for mine, theirs in (("store silhouette", "loose jpg"), ("store pictures", "loose rgb png"))
        for kind in ("wall", "cpu")
    }
    rates = {name: round(chosen.clips / common.median(cost).wall, 2) for name, cost in costs.items()}
    seconds = {name: common.seconds(cost) for name, cost in costs.items()}
    common.report("loaders", goals, without_goals=others, clips_a_second=rates, clips=chosen.clips, seconds=seconds)


if __name__ == "__main__":
    main()
