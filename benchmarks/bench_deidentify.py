"""De-identification, end to end, beside the `deface` command on the same clips: processor time, heads, bytes.

Ours is a project's own jobs, one process a node as the workflow runs them (`python -m gaitloom derive`), start-up and
loading of models included: `faces` and `deidentified` (decoding twice, mosaics, encoding) are what de-identification
costs; `video`, `track` and `keypoints`, which it reads and every data set makes anyway, stand beside, and in the sum
`all`. The peer is the command `deface CLIP -o FILE` as it comes. Both run in turn; processor seconds are those of the
child processes and all their threads, so it matters little that deface's ONNX Runtime takes every core and ours one.

Heads: those marked by hand in tests/heads.json, where a clip has some. One is unprotected if less than 80 % of its box
is covered. Ours is covered by the ledger's regions, and the output must show them: in every marked box the picture
expected from ledger and source differs from the decoded one by no more than codecs do (`shown_db`, PSNR; as a control,
`bare_db` takes the source for expected). deface keeps no ledger: it runs once more, told to paint plain green without
loss, and what is green is covered. Its default covers the ellipse inside; the whole rectangle counts, in its favour.

Gates: those of our own `basic` audit of the output, its cost beside and in no sum; deface has nothing to compare.

Goal: at most half of deface's processor seconds at 720p and above, `all` included. Without `--deface` and none on the
PATH, only ours is measured. deface has an environment of its own: pip install deface onnxruntime onnx.

    python benchmarks/bench_deidentify.py [CLIP ...] [--rounds 2] [--deface COMMAND]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import common
import cv2
import numpy as np
from gaitloom.deidentify import mosaic
from gaitloom.lazy_video import LazyVideo
from gaitloom.plan import Plan
from gaitloom.store import Node, Store
from gaitloom.video import decode

NODES = {
    "track": {"backend": "blazepose"},
    "keypoints": {"backend": "blazepose"},
    "faces": {"backend": "centerface"},
    "deidentified": {"backend": "mosaic"},
    "audit": {"backend": "basic"},
}
READ, OWN = ("video", "track", "keypoints"), ("faces", "deidentified")
COVERED = 0.8
HALF_AT = 720  # lines
GREEN = (0, 255, 0)
LOSSLESS = {"codec": "ffv1", "pixelformat": "bgr0", "macro_block_size": 1}
MARKED = json.loads((common.ROOT / "tests" / "heads.json").read_text())["clips"]

Covered = Callable[[int, np.ndarray], np.ndarray]  # frame, picture -> (H, W) bool


def child(*command: str | Path) -> None:
    """Run a command to its end, silently; what it says stands in the error where it fails."""
    environment = {**os.environ, "PYTHONPATH": str(common.ROOT / "workflow")}
    run = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{Path(command[0]).name} failed: {run.stderr[-2000:]}")


def node_of(plan: Plan, name: str) -> Node:
    return Store(plan.config.results).open(plan.key(common.only_clip(plan), name))


def ours(plan: Plan, costs: dict[str, list[common.Cost]]) -> None:
    """Make every node of the only clip that belongs to de-identification."""
    for name in (*READ, *OWN):
        costs.setdefault(name, []).append(make(plan, name))


def make(plan: Plan, name: str) -> common.Cost:
    """Make one node of the only clip anew, in a process of its own."""
    common.forget(plan, name)
    key = plan.key(common.only_clip(plan), name)
    recipe = plan.digests_of(key.clip)[name]
    command = [sys.executable, "-m", "gaitloom", "derive", str(key), "--recipe", recipe, "--config", plan.path]
    return common.measure(partial(child, *command))


def deface(command: str, video: Path, folder: Path) -> Path:
    """The file as deface writes it by default."""
    output = folder / "deface.mp4"
    child(command, video, "-o", output)
    return output


def green(command: str, video: Path, folder: Path) -> Covered:
    """What deface covers, by having it paint that green."""
    paint, output = folder / "green.png", folder / "green.mkv"
    cv2.imwrite(str(paint), np.full((16, 16, 3), np.array(GREEN, np.uint8)))
    said = ["--replacewith", "img", "--replaceimg", paint, "--ffmpeg-config", json.dumps(LOSSLESS)]
    child(command, video, "-o", output, *said)
    masks = [
        np.packbits((np.abs(f.rgb() - np.array(GREEN, np.int16)) < 8).all(axis=-1), axis=1) for f in decode(output)
    ]
    return lambda t, picture: np.unpackbits(masks[t], axis=1, count=picture.shape[1]).astype(bool)


def ledger(node: Node) -> Covered:
    """What the ledger says is covered."""
    frame, box = node.load("region_frame"), node.load("region_box")

    def covered(t: int, picture: np.ndarray) -> np.ndarray:
        mask = np.zeros((*picture.shape[:2], 1), np.uint8)
        rows = box[frame == t]
        return mosaic.paint(mask, rows, [np.ones((1, 1, 1), np.uint8)] * len(rows))[..., 0] > 0

    return covered


def heads(video: Path, covered: Covered) -> dict[str, Any]:
    """The marked heads of a clip, and those that are not covered."""
    views: dict[str, list[int]] = {}
    bare: list[tuple[int, str]] = []
    least = 1.0
    for t, picture, head in marked(video):
        x0, y0, x1, y1 = head["box"]
        share = float(covered(t, picture)[y0:y1, x0:x1].mean())
        counts = views.setdefault(head["view"], [0, 0])
        counts[0] += 1
        least = min(least, share)
        if share < COVERED:
            counts[1] += 1
            bare.append((x1 - x0, f"frame {t}: {head['person']}, {head['view']}, {x1 - x0} px wide, {share:.2f}"))
    seen = {view: {"marked": a, "unprotected": b} for view, (a, b) in sorted(views.items())}
    found: dict[str, Any] = {"marked": sum(a for a, _ in views.values()), "unprotected": len(bare)}
    largest = [text for _, text in sorted(bare, key=lambda one: -one[0])[:20]]
    return {**found, "least_covered": round(least, 3), "by_view": seen, "largest_unprotected": largest}


def marked(video: Path) -> Any:
    """Frame, its picture and the mark of every marked head, in order."""
    frames = MARKED.get(video.name, {"frames": {}})["frames"]
    for frame in decode(video):
        for head in frames.get(str(frame.index), ()):
            yield frame.index, frame.rgb(), head


def shown(video: Path, node: Node) -> dict[str, float]:
    """PSNR in dB of the output inside the marked boxes, the median: against what the ledger says, and the source."""
    frame, box = node.load("region_frame"), node.load("region_box")
    colours = dict(zip(node.load("pattern_track").tolist(), node.load("pattern"), strict=True))
    size = node.attributes["height"], node.attributes["width"]
    output = LazyVideo(node.load("mp4"), node.load("fragment_offset"), node.load("fragment_frame"), size)
    errors: dict[str, list[float]] = {"shown_db": [], "bare_db": []}
    for t, picture, head in marked(video):
        rows = np.flatnonzero(frame == t)
        grey = np.full((1, 1, 3), mosaic.GREY, np.uint8)
        chosen = [colours.get(int(i), grey) for i in node.load("region_track")[rows]]
        x0, y0, x1, y1 = head["box"]
        for name, expected in (("shown_db", mosaic.paint(picture, box[rows], chosen)), ("bare_db", picture)):
            difference = expected[y0:y1, x0:x1].astype(float) - output.frame(t)[y0:y1, x0:x1]
            errors[name].append(float((difference**2).mean()))
    return {name: round(float(10 * np.log10(255**2 / np.median(e))), 1) for name, e in errors.items()}


def together(costs: list[common.Cost]) -> common.Cost:
    return common.Cost(sum(c.wall for c in costs), sum(c.cpu for c in costs))


def compare(video: Path, command: str | None, rounds: int, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures and goals of one clip."""
    plan = common.one_clip(folder / "project", video, nodes=NODES)
    nodes: dict[str, list[common.Cost]] = {}
    works: dict[str, Callable[[], Any]] = {"ours": lambda: ours(plan, nodes)}
    if command:
        works["deface"] = lambda: deface(command, video, folder)
    costs = common.in_turn(works, rounds)
    node, header = node_of(plan, "deidentified"), node_of(plan, "video").attributes
    frames = header["frames"]

    def per_frame(each: list[common.Cost]) -> float:
        return round(1000 * common.median(each).cpu / frames, 1)

    figures: dict[str, Any] = {
        "size": [header["width"], header["height"]],
        "frames": frames,
        "rounds": rounds,
        "ours": {
            "cpu_ms_per_frame": {**{n: per_frame(c) for n, c in nodes.items()}, "all": per_frame(costs["ours"])},
            "cpu_ms_per_frame_of_faces_and_deidentified": round(sum(per_frame(nodes[n]) for n in OWN), 1),
            "bytes": len(node.load("mp4")),
        },
    }
    audit = make(plan, "audit")
    gates = {name: gate["result"] for name, gate in node_of(plan, "audit").attributes["gates"].items()}
    figures["ours"]["audit"] = {"cpu_ms_per_frame": per_frame([audit]), "gates": gates}
    if MARKED.get(video.name):
        figures["ours"]["heads"] = {**heads(video, ledger(node)), **shown(video, node)}
    if not command:
        return figures, {}
    figures["deface"] = {
        "cpu_ms_per_frame": per_frame(costs["deface"]),
        "bytes": (folder / "deface.mp4").stat().st_size,
    }
    if MARKED.get(video.name):
        figures["deface"]["heads"] = heads(video, green(command, video, folder))
    own = [together([nodes[n][turn] for n in OWN]) for turn in range(rounds)]
    ratios = {"own": own, "all": costs["ours"]}
    found = {name: common.paired_ratio(c, costs["deface"], "cpu") for name, c in ratios.items()}
    if min(header["width"], header["height"]) < HALF_AT:
        figures["cpu_ratio"] = {name: round(value, 3) for name, value in found.items()}
        return figures, {}
    return figures, {f"{video.stem}_{name}_cpu_ratio": common.at_most(value, 0.5) for name, value in found.items()}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument(
        "clips", nargs="*", type=Path, default=[common.DEMO], help="videos; the demo clip by default"
    )
    arguments.add_argument("--rounds", type=int, default=2, help="times that each is run")
    arguments.add_argument("--deface", default="deface", help="the peer's command")
    chosen = arguments.parse_args()
    figures: dict[str, Any] = {}
    goals: dict[str, Any] = {}
    command = chosen.deface and shutil.which(chosen.deface)
    if not command or subprocess.run([command, "--version"], capture_output=True).returncode:
        common.say("no `deface` command that runs is on the PATH, so only ours is measured; name one with --deface")
        command = None
    for video in chosen.clips:
        with tempfile.TemporaryDirectory() as folder:
            figures[video.stem], found = compare(video, command, chosen.rounds, Path(folder))
        goals |= found
        common.say(f"{video.stem}: {json.dumps(found)}")
    common.report("deidentify", goals, clips=figures)


if __name__ == "__main__":
    main()
