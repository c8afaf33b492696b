"""What the benchmarks share: timing in turn, one JSON object, a project in a temporary folder, videos, backends."""

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "workflow"), str(ROOT / "tests")]

import av  # noqa: E402
import numpy as np  # noqa: E402
from gaitloom import backends  # noqa: E402
from gaitloom.clips import Clip, NodeKey  # noqa: E402
from gaitloom.derive import derive  # noqa: E402
from gaitloom.plan import Plan  # noqa: E402
from gaitloom.store import Store  # noqa: E402

DEMO = ROOT / "data" / "demo.mp4"


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and seconds of processor time of this process and the children it waited for."""

    wall: float
    cpu: float


def measure(work: Callable[[], Any]) -> Cost:
    """What one call costs."""
    cpu, wall = _cpu(), time.perf_counter()
    work()
    return Cost(time.perf_counter() - wall, _cpu() - cpu)


def in_turn(
    works: Mapping[str, Callable[[], Any]], rounds: int, before: Callable[[], Any] | None = None
) -> dict[str, list[Cost]]:
    """Measure every piece of work once a round; each round begins with another one, so that drift hits all alike.

    `before` runs ahead of each piece and is not measured.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in works}
    names = list(works)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            if before:
                before()
            costs[name].append(measure(works[name]))
    return costs


def median(costs: Sequence[Cost]) -> Cost:
    """The medians of wall and processor time, each by itself."""
    return Cost(statistics.median(c.wall for c in costs), statistics.median(c.cpu for c in costs))


def paired_ratio(above: Sequence[Cost], below: Sequence[Cost], kind: str) -> float:
    """The median over rounds of the ratio within a round, of `wall` or `cpu`."""
    return statistics.median(getattr(a, kind) / getattr(b, kind) for a, b in zip(above, below, strict=True))


def seconds(costs: Sequence[Cost]) -> dict[str, Any]:
    """The medians over rounds and the range, for the JSON."""
    middle = median(costs)
    return {
        "wall_s": round(middle.wall, 3),
        "wall_s_range": [round(f(c.wall for c in costs), 3) for f in (min, max)],
        "cpu_s": round(middle.cpu, 3),
        "cpu_s_range": [round(f(c.cpu for c in costs), 3) for f in (min, max)],
        "rounds": len(costs),
    }


def at_least(value: float, limit: float) -> dict[str, Any]:
    """A goal from below."""
    return {"value": round(value, 4), "goal": f">= {limit:g}", "met": bool(value >= limit)}


def at_most(value: float, limit: float) -> dict[str, Any]:
    """A goal from above."""
    return {"value": round(value, 4), "goal": f"<= {limit:g}", "met": bool(value <= limit)}


def report(name: str, goals: dict[str, Any], **figures: Any) -> None:
    """Print the benchmark's one JSON object."""
    machine = {"cores": os.cpu_count(), "machine": f"{platform.system()} {platform.machine()}"}
    versions = {p: importlib.metadata.version(p) for p in ("numpy", "zarr", "av", "mediapipe", "snakemake")}
    setting = {**machine, "python": platform.python_version(), **versions}
    text = json.dumps({"benchmark": name, "goals": goals, **figures, "setting": setting}, indent=1)
    print(re.sub(r"([\[{])\n\s*([^][{}]*?)\n\s*([]}])", lambda m: m[1] + " ".join(m[2].split()) + m[3], text))


def say(text: str) -> None:
    """How far it is, on standard error."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


# A project in a temporary folder.

NODES: dict[str, Any] = {
    "track": {"backend": "blazepose"},
    "keypoints": {"backend": "blazepose"},
    "silhouette": {"backend": "blazepose"},
    "flow_tvl1": {"backend": "tvl1", "options": {"region": "subject", "longest_side": 320}},
}


def one_clip(
    folder: Path,
    video: Path,
    start: int | None = None,
    end: int | None = None,
    nodes: Mapping[str, Any] = NODES,
    **others: Any,
) -> Plan:
    """The plan of a project that holds one video, linked into it, as one clip: all of it, or frames [start, end);
    `others` are further keys of its configuration."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "clip.mp4").symlink_to(video.absolute())
    cells = ["clip.mp4", "P1", *("" if n is None else str(n) for n in (start, end))]
    (folder / "sheet.tsv").write_text("video\tsubject\tstart\tend\n" + "\t".join(cells) + "\n")
    clips = {"folders": [str(folder / "data")], "sheet": str(folder / "sheet.tsv")}
    values = {"results": str(folder / "results"), "clips": clips, "nodes": dict(nodes), **others}
    return Plan.load(values, scan=True)


def only_clip(plan: Plan) -> Clip:
    """The clip of a project of one clip."""
    (clip,) = plan.accepted.values()
    return clip


def make(plan: Plan, node: str) -> NodeKey:
    """Make one node of the only clip anew, in this process, exactly as the workflow's job does."""
    clip = only_clip(plan)
    key = plan.key(clip, node)
    derive(plan, key, plan.digests_of(clip.path)[node])
    return key


def forget(plan: Plan, node: str) -> None:
    """Remove a node from the store, so that the next making of it is published and not thrown away."""
    Store(plan.config.results).drop(plan.key(only_clip(plan), node))


# Backends.


def backend(modality: str, name: str, **options: Any) -> Any:
    """A backend on the CPU, its model loaded; with its default options, but for these."""
    return backends.load(modality, name, backends.find(modality, name).SPEC.options(**options))


@contextlib.contextmanager
def using(modality: str, name: str, loaded: Any) -> Iterator[None]:
    """Have `derive` use this object where it would load the backend's model."""
    module = backends.find(modality, name)
    original = module.Backend
    module.Backend = lambda *_: loaded
    try:
        yield
    finally:
        module.Backend = original


# Videos.


def write_video(path: Path, pictures: Iterator[np.ndarray], rate: int = 30, repeat: int = 1) -> None:
    """Encode (H, W, 3) uint8 RGB pictures as H.264, cheaply; the encoded packets go into the file `repeat` times."""
    first = path if repeat == 1 else path.with_name(f"once-{path.name}")
    with av.open(str(first), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "23"})
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            if not stream.codec_context.is_open:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    if repeat > 1:
        _loop(first, path, repeat)
        first.unlink()


def _loop(once: Path, path: Path, repeat: int) -> None:
    """Copy a video's packets `repeat` times into a new file; nothing is encoded."""
    with av.open(str(path), "w") as target:
        stream, shift = None, 0
        for _ in range(repeat):
            end = 0
            with av.open(str(once)) as source:
                stream = stream or target.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.dts is None or packet.pts is None:
                        continue
                    end = max(end, packet.pts + packet.duration)
                    packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
                    target.mux(packet)
            shift += end
