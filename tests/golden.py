"""What every embedded backend gives on one synthetic walk, in a few figures an array.

`python tests/golden.py` records them in golden.json; test_golden.py compares. The figures are coarse enough to be the
same on every type of processor, and fine enough to notice a change that someone made.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("golden.json")
FLOW = {"longest_side": 96}
NODES: dict[str, Any] = {
    "track": {"backend": "blazepose"},
    "keypoints": {"backend": "blazepose"},
    "silhouette": {"backend": "blazepose"},
    "parts": {"backend": "skeleton"},
    "flow_tvl1": {"backend": "tvl1", "options": FLOW},
    "flow_opencv": {"backend": "tvl1_opencv", "options": FLOW},
    "faces": {"backend": "centerface"},
    "flow_dis": {"backend": "dis", "options": FLOW},
}


def measure(folder: Path) -> dict[str, Any]:
    """Derive every node of `NODES` on a walk in `folder`: node → digest of its recipe without
    what it reads, and array → shape, mean, spread."""
    from gaitloom.derive import derive
    from gaitloom.plan import Plan
    from gaitloom.provenance import digest
    from gaitloom.store import Store
    from walker import Walk

    before = Path.cwd()
    os.chdir(folder)
    try:
        Path("data").mkdir()
        Walk(frames=10, size=(480, 270), seed=7).write(Path("data/S_1.mp4"))
        plan = Plan.load({"clips": {"folders": ["data"], "pattern": "{subject}_{trial}"}, "nodes": NODES}, scan=True)
        store, found = Store(plan.config.results), {}
        for key in [plan.key(plan.clips[0], node) for node in plan.nodes]:
            derive(plan, key, str(plan.planned(key)))
            node = store.open(key)
            arrays = {name: figures(node.load(name)) for name in node.arrays}
            making = {k: v for k, v in node.attributes["recipe"].items() if k not in ("source", "inputs")}
            found[key.node] = {"making": digest(making), "arrays": arrays}
        return found
    finally:
        os.chdir(before)


def figures(values: np.ndarray) -> dict[str, Any]:
    """Shape, mean and standard deviation of an array's finite values."""
    known = values[np.isfinite(values)].astype(float)
    mean, spread = (float(known.mean()), float(known.std())) if known.size else (0.0, 0.0)
    return {"shape": list(values.shape), "mean": round(mean, 4), "spread": round(spread, 4)}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    with tempfile.TemporaryDirectory() as name:
        FILE.write_text(json.dumps(measure(Path(name)), indent=1) + "\n")
