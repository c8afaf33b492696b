"""What is covered on real clips: every head that was marked by hand, and how much else.

`track`, `keypoints`, `faces` and `deidentified` are made as a run makes them, with their default options; heads are
those of tests/heads.json, by the clip's file name (a clip without any gives the other figures). One JSON object a clip:

    heads, too_small     marked heads; of these, those less than 14 pixels tall, in which nobody is to be recognised
                         (`heads.TOO_SMALL`): they count in no other figure but `too_small_bare`
    least_cover          of the heads' boxes, the least share inside the union of regions, of persons and frames too
    bare                 heads covered less than 80 %: frame, person, view, share, and the reasons of the regions there
    whole_share          share of the clip's frames in which a whole person or the whole frame is covered
    area_ratio           what is covered for people in the marked frames, in areas of their heads' boxes; `area_by_why`
                         adds up to more where regions overlap
    regions, levels      rows by reason, tracks by blocks across

    python benchmarks/deidentification.py [CLIP_OR_FOLDER ...] [--keep FOLDER]

With `--keep`, nodes stay in that folder, and those whose recipe is still the same are used again.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np
from gaitloom.deidentify.heads import TOO_SMALL, WHY
from gaitloom.derive import derive
from gaitloom.plan import Plan
from gaitloom.store import Node, Store

NODES = {
    "track": {"backend": "blazepose"},
    "keypoints": {"backend": "blazepose"},
    "faces": {"backend": "centerface"},
    "deidentified": {"backend": "mosaic"},
}
MARKS = common.ROOT / "tests" / "heads.json"
LEAST = 0.8
OTHER = [WHY.index(name) for name in ("fixed", "decision", "text")]  # what is not covered for people


def made(videos: Sequence[Path], folder: Path) -> dict[str, Node]:
    """The deidentified node of every video, by file name; in this folder, what is there already is not made again."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for video in videos:
        link = folder / "data" / video.name
        link.unlink(missing_ok=True)
        link.symlink_to(video.absolute())
    rows = [f"{video.name}\tS{n}\n" for n, video in enumerate(sorted((folder / "data").iterdir()))]
    (folder / "sheet.tsv").write_text("video\tsubject\n" + "".join(rows))
    clips = {"folders": [str(folder / "data")], "sheet": str(folder / "sheet.tsv")}
    plan = Plan.load({"results": str(folder / "results"), "clips": clips, "nodes": NODES}, scan=True)
    store, found = Store(plan.config.results), {}
    for clip in plan.accepted.values():
        name = Path(clip.video).name
        if name in {video.name for video in videos}:
            for node, digest in plan.digests_of(clip.path).items():
                if store.digest(plan.key(clip, node)) != digest:
                    common.say(f"{name}: {node}")
                    derive(plan, plan.key(clip, node), digest)
            found[name] = store.open(plan.key(clip, "deidentified"))
    return found


def figures(node: Node, marks: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Of a node, and of the heads marked in its frames: frame → heads with `box`, `person`, `view`."""
    frame, box, why = (node.load(f"region_{what}") for what in ("frame", "box", "why"))
    length, size = len(node.load("time")), (node.attributes["width"], node.attributes["height"])
    shares, bare, small = [], [], []
    area: Counter[str] = Counter()
    for t, heads in ((int(t), heads) for t, heads in marks.items()):
        rows = frame == t
        covered = union(box[rows], size)
        area["covered"] += int(union(box[rows & ~np.isin(why, OTHER)], size).sum())
        for name in set(why[rows].tolist()):
            area[WHY[name]] += int(union(box[rows & (why == name)], size).sum())
        for head in heads:
            x0, y0, x1, y1 = head["box"]
            share = float(covered[y0:y1, x0:x1].mean())
            if y1 - y0 < TOO_SMALL and not head["border"]:
                small.append(share)
                continue
            shares.append(share)
            area["heads"] += (x1 - x0) * (y1 - y0)
            if share < LEAST:
                reasons = sorted({WHY[w] for w in why[rows]})
                bare.append([t, head["person"], head["view"], round(share, 2), reasons])
    by_hand = {"heads": len(shares) + len(small), "too_small": len(small)}
    if shares:
        by_hand |= {
            "too_small_bare": sum(s < LEAST for s in small),
            "least_cover": round(min(shares), 3),
            "bare": bare,
            "area_ratio": round(area["covered"] / area["heads"], 3),
            "area_by_why": {name: round(area[name] / area["heads"], 3) for name in WHY if area[name]},
        }
    whole = np.isin(why, [WHY.index("person"), WHY.index("frame")])
    return {
        "frames": length,
        **by_hand,
        "whole_share": round(len(np.unique(frame[whole])) / length, 4),
        "regions": node.attributes["regions"],
        "levels": {str(k): n for k, n in sorted(Counter(node.attributes["levels"].values()).items())},
        "lost": len(node.attributes["lost"]),
    }


def union(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: every pixel that one of the boxes (N, 4) touches."""
    out = np.zeros(size[::-1], bool)
    for x0, y0, x1, y1 in np.concatenate([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], axis=1).astype(int):
        out[y0:y1, x0:x1] = True
    return out


def main() -> None:
    """Print one JSON object a clip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path, default=[common.DEMO], metavar="CLIP_OR_FOLDER")
    parser.add_argument("--keep", type=Path, help="folder for the nodes; by default they are thrown away")
    options = parser.parse_args()
    videos = [v for path in options.clips for v in (sorted(path.glob("*.mp4")) if path.is_dir() else [path])]
    marks = json.loads(MARKS.read_text())["clips"]
    with tempfile.TemporaryDirectory() as temporary:
        for name, node in made(videos, options.keep or Path(temporary)).items():
            heads = marks.get(name, {}).get("frames", {})
            print(json.dumps({"benchmark": "deidentification", "clip": name, **figures(node, heads)}), flush=True)


if __name__ == "__main__":
    main()
