"""Storage: 1080p silhouettes in our store against a folder of 1-bit PNG files, and flow as int16 against float32.

Ours is a `silhouette` node as `gaitloom.derive.derive` makes it; a stub backend hands it the synthetic walker's exact
masks, drawn at 1920x1080. The peer is one 1-bit PNG a frame at level 6 (`cv2.IMWRITE_PNG_BILEVEL`; the header of every
file is checked). Measured: bytes of the `mask` array's folder (metadata included) against the PNG files', and number of
files (goals: no more bytes, 6 files or fewer, that is every file below the array's folder); the time of 60 random masks
in turn, page cache warm, ours opened once (goal: a third of the PNG's or less; `cv2.imread` gives 0 and 255, ours bool,
no conversion is charged to either), beside 8-bit PNG, as data sets ship them; and of reading all masks in order (no
goals). The same again with BlazePose's own masks of the demo clip, whose outlines are rougher: no goals there.

Flow: the demo clip's TV-L1 node (int16, 1/64 pixel) against the very same stream kept as float32.

    python benchmarks/bench_storage.py [--frames 300] [--flow-frames 24] [--rounds 9]
"""

import argparse
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import common
import cv2
import numpy as np
from gaitloom.plan import Plan
from gaitloom.store import Node, Store
from gaitloom.tracking import People
from walker import Walk

SIZE = (1920, 1080)
READS = 60


class Everything:
    """A finder that sees one person who fills the picture."""

    def __init__(self, width: int, height: int):
        self._box = np.array([(0, 0, width, height)], np.float32)

    def people(self, images: Iterable[np.ndarray]) -> Iterator[People]:
        """The same person for every image."""
        for _ in images:
            yield People(self._box, np.ones(1, np.float32), np.zeros(1, np.int32))


class Drawn:
    """A backend that gives the walker's true masks."""

    def __init__(self, walk: Walk):
        self._walk = walk

    def masks(self, people: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        """The true mask of each frame."""
        for index, _ in enumerate(people):
            yield np.asarray(self._walk.silhouette(index)), (0, 0)


class Kept:
    """A flow backend that keeps what the real one gave."""

    def __init__(self, inner: Any):
        self._inner = inner
        self.flows_seen: list[np.ndarray] = []

    def flows(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """The real backend's flow, kept and passed on."""
        for flow in self._inner.flows(pairs):
            self.flows_seen.append(flow)
            yield flow


def opened(plan: Plan, node: str) -> Node:
    return Store(plan.config.results).open(plan.key(common.only_clip(plan), node))


def files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()]


def volume(paths: Iterable[Path]) -> int:
    return sum(p.stat().st_size for p in paths)


def write_pngs(folder: Path, masks: Iterator[np.ndarray], bits: int) -> list[Path]:
    """One grey PNG a frame with 1 or 8 bits a pixel; the bit depth is read back from each header."""
    folder.mkdir()
    paths = []
    for index, mask in enumerate(masks):
        path = folder / f"{index:06d}.png"
        parameters = [cv2.IMWRITE_PNG_BILEVEL, int(bits == 1), cv2.IMWRITE_PNG_COMPRESSION, 6]
        if not cv2.imwrite(str(path), mask.astype(np.uint8) * 255, parameters):
            raise RuntimeError(f"{path} cannot be written")
        if path.read_bytes()[24:26] != bytes((bits, 0)):
            raise RuntimeError(f"{path} is not a {bits}-bit grey PNG")
        paths.append(path)
    return paths


def masks_against_pngs(plan: Plan, pngs: Path, rounds: int) -> dict[str, Any]:
    """Bytes, files and random reads of the plan's silhouette node, against PNG files of the same masks."""
    node = opened(plan, "silhouette")
    array = node.arrays["mask"]
    paths = write_pngs(pngs, node.frames("mask"), 1)
    usual = write_pngs(pngs.with_name(f"{pngs.name}-8"), node.frames("mask"), 8)
    ours = files(Store(plan.config.results).path(plan.key(common.only_clip(plan), "silhouette")) / "mask")
    chosen = np.random.default_rng(0).permutation(len(paths))[:READS]

    def read_ours() -> None:
        for index in chosen:
            np.asarray(array[index])

    def read_pngs(files: list[Path]) -> None:
        for index in chosen:
            cv2.imread(str(files[index]), cv2.IMREAD_UNCHANGED)

    for index in chosen:
        if not np.array_equal(np.asarray(array[index]), cv2.imread(str(paths[index]), cv2.IMREAD_UNCHANGED) > 0):
            raise RuntimeError(f"mask {index} differs between the store and the PNG")

    def sweep_ours() -> None:
        for _ in node.frames("mask"):
            pass

    def sweep_pngs() -> None:
        for path in paths:
            cv2.imread(str(path), cv2.IMREAD_UNCHANGED)

    costs = common.in_turn(
        {"ours": read_ours, "png": lambda: read_pngs(paths), "png_8_bit": lambda: read_pngs(usual)}, rounds
    )
    sweeps = common.in_turn({"ours": sweep_ours, "png": sweep_pngs}, 3)
    each = {f"{k}_read_ms": round(common.median(v).wall / READS * 1000, 3) for k, v in costs.items()}
    each |= {f"{k}_read_cpu_ms": round(common.median(v).cpu / READS * 1000, 3) for k, v in costs.items()}
    each |= {f"{k}_in_order_ms": round(common.median(v).wall / len(paths) * 1000, 3) for k, v in sweeps.items()}
    coverage = float(np.mean([np.asarray(array[i]).mean() for i in chosen]))
    return {
        "frames": len(paths),
        "size": list(array.shape[:0:-1]),
        "subject_share_of_picture": round(coverage, 4),
        "ours_bytes": volume(ours),
        "png_bytes": volume(paths),
        "png_8_bit_bytes": volume(usual),
        "bytes_ratio": round(volume(ours) / volume(paths), 3),
        "ours_files": len(ours),
        "png_files": len(paths),
        **each,
        "read_ratio": round(common.paired_ratio(costs["ours"], costs["png"], "wall"), 3),
        "read_cpu_ratio": round(common.paired_ratio(costs["ours"], costs["png"], "cpu"), 3),
        "in_order_ratio": round(common.paired_ratio(sweeps["ours"], sweeps["png"], "wall"), 3),
    }


def drawn(folder: Path, frames: int) -> Plan:
    """A project whose silhouettes are the walker's true masks; its video is a still, since nobody looks at it."""
    still = np.full((SIZE[1], SIZE[0], 3), 120, np.uint8)
    common.write_video(folder / "still.mp4", iter([still] * frames))
    plan = common.one_clip(folder / "drawn", folder / "still.mp4")
    common.make(plan, "video")
    with common.using("track", "blazepose", Everything(*SIZE)):
        common.make(plan, "track")
    with common.using("silhouette", "blazepose", Drawn(Walk(frames=frames, size=SIZE))):
        common.make(plan, "silhouette")
    return plan


def flow_types(plan: Plan) -> dict[str, Any]:
    """Bytes of a flow array as the node keeps it, and of the same backend's float32 through the same stream."""
    kept = Kept(common.backend("flow", "tvl1"))
    with common.using("flow", "tvl1", kept):
        key = common.make(plan, "flow_tvl1")
    store = Store(plan.config.results)
    staged = store.stage(key)
    shape = kept.flows_seen[0].shape
    stream = staged.stream(
        "flow", (len(kept.flows_seen) + 1, *shape), np.float32, ("time", "row", "column", "axis"), units="pixel"
    )
    for flow in (*kept.flows_seen, np.zeros(shape, np.float32)):
        stream.append(flow)
    stream.close()
    whole, fine = volume(files(store.path(key) / "flow")), volume(files(staged.folder / "flow"))
    staged.discard()
    stored = opened(plan, "flow_tvl1").load("flow")[:-1] / 64
    error = float(np.abs(stored - np.stack(kept.flows_seen)).max())
    return {
        "frames": len(kept.flows_seen) + 1,
        "shape": list(shape),
        "int16_bytes": whole,
        "float32_bytes": fine,
        "bytes_ratio": round(whole / fine, 3),
        "largest_rounding_px": round(error, 5),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--frames", type=int, default=300)
    arguments.add_argument("--flow-frames", type=int, default=24, help="half a second each")
    arguments.add_argument("--rounds", type=int, default=9, help="rounds of random reads")
    arguments.add_argument("--video", type=Path, default=common.DEMO, help="the clip; `make data/demo.mp4` fetches it")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exact = masks_against_pngs(drawn(folder, chosen.frames), folder / "pngs", chosen.rounds)
        common.say("walker done")
        demo = common.one_clip(folder / "demo", chosen.video)
        for node in ("video", "track", "silhouette"):
            common.make(demo, node)
        real = masks_against_pngs(demo, folder / "demo-pngs", chosen.rounds)
        common.say("demo done")
        short = common.one_clip(folder / "short", chosen.video, 0, chosen.flow_frames)
        for node in ("video", "track"):
            common.make(short, node)
        flow = flow_types(short)
    goals = {
        "mask_bytes_against_png": common.at_most(exact["bytes_ratio"], 1),
        "mask_files": common.at_most(exact["ours_files"], 6),
        "mask_read_against_png": common.at_most(exact["read_ratio"], 1 / 3),
    }
    common.report("storage", goals, walker_masks=exact, demo_masks=real, flow=flow)


if __name__ == "__main__":
    main()
