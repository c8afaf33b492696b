"""For tests only: a release of 200 clips whose tracks are noise, built in a process of its own that may be killed.

    python many.py FOLDER CLIPS [KILL_AT]

prepares what is not there, makes the parts that are missing or stale, and builds; KILL_AT is after how many files put
into archives the process kills itself.
"""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
from gaitloom import config
from gaitloom.clips import Clip, NodeKey, write_sheet
from gaitloom.plan import Plan
from gaitloom.release import archives, build, parts
from gaitloom.store import Store

TIER, LENGTH = "controlled", 1000


def values(folder: Path, **release: Any) -> dict[str, Any]:
    """The configuration."""
    return {
        "results": folder / "results",
        "clips": {"folders": [folder / "data"]},
        "nodes": {"track": {"backend": "blazepose"}},
        "preview": {"keypoints": None, "silhouette": None, "parts": None, "flow": None, "deidentified": None},
        "release": {
            "name": "many",
            "title": "Many",
            "version": "1.0.0",
            "date": "2026-11-20",
            "description": "Many clips.",
            "creators": [{"name": "Loom, Gait"}],
            "publisher": "Institute of Examples",
            "contact": "gait@example.org",
            "participants": folder / "participants.tsv",
            "keys": folder / "release.key",
            "limits": {"archive_bytes": 1_000_000},
            "tiers": {TIER: {"exporters": ["zarr"], "k": 1}},
            **release,
        },
    }


def plan(folder: Path, clips: int, **release: Any) -> Plan:
    """The plan of that many clips, two a subject, each with the nodes video and track, which hold nothing but time."""
    (folder / "results").mkdir(parents=True, exist_ok=True)
    subjects = [f"Someone{n:03}" for n in range((clips + 1) // 2)]
    columns = ["subject", "sex", "age", "patient", "consent", "consent_version", "ethics"]
    rows = [columns, *([s, "FM"[n % 2], "40", "no", "all", "1", "E1"] for n, s in enumerate(subjects))]
    (folder / "participants.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    if not (folder / "release.key").is_file():
        keys = [f"{tier}\t{hashlib.sha256(tier.encode()).hexdigest()}\n" for tier in ("open", "registered", TIER)]
        (folder / "release.key").write_text("tier\tkey\n" + "".join(keys))
    found = [
        Clip(subjects[n // 2], trial=str(n % 2), sha256=hashlib.sha256(str(n).encode()).hexdigest())
        for n in range(clips)
    ]
    write_sheet(folder / "results" / "clips.tsv", found)
    made = Plan(config.parse(values(folder, **release)), found)
    store = Store(folder / "results")
    about = {"width": 64, "height": 48, "frames": LENGTH, "fps": "10"}
    for path, clip in made.accepted.items():
        for node in made.nodes:
            key = NodeKey.parse(f"{path}/{node}")
            if store.digest(key) is None:
                staged = store.stage(key)
                staged.put("time", np.arange(LENGTH) / 10, ("time",))
                if node == "track":
                    noise = np.random.default_rng(int(clip.sha256[:8], 16)).random((LENGTH, 4), np.float32)
                    staged.put("box", noise, ("time", "corner"))
                staged.publish(made.recipes(clip)[node], about if node == "video" else {"modality": node})
    return made


def make(folder: Path, clips: int, **release: Any) -> tuple[Path, list[str]]:
    """Build; returns the release's folder and the clips whose parts were made for it."""
    made = plan(folder, clips, **release)
    fresh = []
    for path, (digest, _) in made.parts(TIER).items():
        record = parts.folder(made.config.results, TIER, path) / parts.RECORD
        if not record.is_file() or json.loads(record.read_text())["digest"] != digest:
            parts.make(made, path, TIER)
            fresh.append(path)
    return build.build(made, TIER), fresh


if __name__ == "__main__":
    if len(sys.argv) > 3:
        left = [int(sys.argv[3])]
        put = archives._put

        def dying(*args: Any) -> Any:
            left[0] -= sys._getframe(1).f_code.co_name == "write"
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return put(*args)

        archives._put = dying
    print(make(Path(sys.argv[1]), int(sys.argv[2]))[0])
