"""A stand-in of AlphaPose's program: its command line and its output, on the pictures that it is given.

A magenta mark is a point's place; it reports that person, and somebody else beside. Without a mark it reports people
of several sizes all over the picture.
"""

import hashlib
import sys
from pathlib import Path
from typing import Any

PROGRAM = """
import argparse, json, os, sys
from pathlib import Path
import cv2, numpy as np
parser = argparse.ArgumentParser()
for name in ("cfg", "checkpoint", "indir", "outdir", "format", "detector", "gpus", "posebatch"):
    parser.add_argument("--" + name, required=True)
parser.add_argument("--sp", action="store_true")
parser.add_argument("--flip", action="store_true")
args = parser.parse_args()
assert args.format == "coco" and Path(args.checkpoint).is_file() and os.path.exists(args.cfg), args
assert os.stat(Path(args.indir).parent).st_mode & 0o077 == 0, "others could read the pictures"
Path("calls").open("a").write(" ".join(sorted(os.listdir(args.indir))) + "|" + args.gpus + chr(10))
if Path("fails").exists():
    print("An error as above occurs when processing the images, please check it")
    sys.exit(0)
found = []
for name in sorted(os.listdir(args.indir)):
    image = cv2.imread(str(Path(args.indir) / name))[..., ::-1]
    h, w = image.shape[:2]
    mark = np.argwhere((image == (255, 0, 255)).all(axis=2))
    if len(mark):
        y, x = mark.mean(axis=0)
        places = [(0, x + 150, y, [x + 130, y - 20, 80, 80]), (1, x, y, [x - 20, y - 20, 80, 80])]
    else:
        places = [
            (k, x + w * s / 3, y + 10, [x, y, w * s, h * t])
            for k, (s, t, x, y) in enumerate(
                (s, t, x, y) for s in (0.2, 0.4) for t in (0.5, 0.9)
                for x in np.arange(0, w * (1 - s), w * s / 2) for y in (0, h * (1 - t) / 2, h * (1 - t))
            )
        ]
    for idx, x, y, box in places:
        points = [[x + k, y + 2 * k, 2.5] for k in range(int(Path("points").read_text()))]
        person = {"keypoints": sum(points, []), "score": 3.0, "box": box, "idx": idx}
        found.append({"image_id": name, "category_id": 1, **person})
os.makedirs(args.outdir)
(Path(args.outdir) / "alphapose-results.json").write_text(json.dumps(found))
"""


def install(folder: Path) -> dict[str, Any]:
    """Put it into a folder; gives the backend's options."""
    place = folder / "AlphaPose"
    (place / "scripts").mkdir(parents=True)
    (place / "scripts" / "demo_inference.py").write_text(PROGRAM)
    (place / "model.yaml").write_text("")
    (place / "points").write_text("26")
    (folder / "weights.pth").write_bytes(b"weights")
    return {
        "weights": str(folder / "weights.pth"),
        "weights_sha256": hashlib.sha256(b"weights").hexdigest(),
        "installation": place,
        "python": Path(sys.executable),
        "model": "model.yaml",
    }
