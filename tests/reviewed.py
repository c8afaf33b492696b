"""For tests only: clips with a head of a colour that nothing else has, their deidentified nodes without it, and audits
that say what a test wants; written by the store's own means, as jobs do."""

from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from gaitloom import fragments
from gaitloom.clips import Clip
from gaitloom.deidentify.audit.gate import GATES
from gaitloom.plan import Plan
from gaitloom.store import Store
from walker import GAITS, PARTS, Walk

LENGTH, SIZE = 12, (240, 180)
HEAD = 20, 20, 230  # RGB of the raw heads
COVER = 128
CLIPS = [Clip("A", trial="1", sha256="a" * 64), Clip("B", trial="1", sha256="b" * 64)]
NODES: dict[str, Any] = {
    "track": {"backend": "blazepose"},
    "keypoints": {"backend": "blazepose"},
    "faces": {"backend": "centerface"},
    "deidentified": {"backend": "mosaic"},
    "audit": {"backend": "basic"},
}


@cache
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """A walk (T, H, W, 3) whose head has its colour, and the boxes (T, 4) of the head."""
    walk = Walk(GAITS["normal"], frames=LENGTH, fps=10.0, size=SIZE, seed=2)
    images, boxes = np.stack(list(walk.frames())), []
    for t, image in enumerate(images):
        head = walk.parts(t) == PARTS["head"]
        image[head] = HEAD
        y, x = np.nonzero(head)
        boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
    return images, np.array(boxes, np.float32)


def raw_pixels(image: np.ndarray) -> int:
    """How many pixels of (H, W, 3) uint8 RGB have the raw heads' colour."""
    red, green, blue = np.moveaxis(image.astype(int), -1, 0)
    return int(((blue > 150) & (red < 90) & (green < 90)).sum())


class Reviewed:
    """A results folder with two clips, `A/trial-1` and `B/trial-1`."""

    def __init__(self, folder: Path, **values: Any):
        self.folder, self.decisions = folder, folder / "decisions.tsv"
        self.values = {
            "results": folder / "results",
            "clips": {"folders": [folder / "data"], "pattern": "{subject}_{trial}"},
            "nodes": NODES,
            "review": {"decisions": self.decisions},
            **values,
        }
        self.decide("")

    def decide(self, *rows: str) -> None:
        """Write the decision file: rows with columns separated by `|`."""
        from gaitloom.decisions import COLUMNS

        lines = ["\t".join(COLUMNS), *("\t".join(v.strip() for v in row.split("|")) for row in rows)]
        width = len(COLUMNS)
        self.decisions.write_text("".join(line + "\t" * (width - 1 - line.count("\t")) + "\n" for line in lines))

    @property
    def plan(self) -> Plan:
        """The plan as everything stands now."""
        from gaitloom import config

        return Plan(config.parse(self.values), self.clips())

    def clips(self) -> list[Clip]:
        from dataclasses import replace

        return [replace(c, video=str(self.folder / "data" / f"{c.subject}_1.mkv")) for c in CLIPS]

    @property
    def store(self) -> Store:
        return Store(self.folder / "results")

    def of(self, path: str = "A/trial-1") -> str:
        """The digest of the deidentified node that is planned."""
        return self.plan.digests_of(path)["deidentified"]

    def video(self, path: str = "A/trial-1") -> None:
        """The clip's file, without loss, and its video node."""
        file = self.folder / "data" / f"{path[0]}_1.mkv"
        file.parent.mkdir(exist_ok=True)
        with av.open(str(file), "w") as container:
            stream = container.add_stream("ffv1", rate=Fraction(10))
            stream.width, stream.height = SIZE
            stream.pix_fmt = "bgr0"
            for image in pictures()[0]:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        with av.open(str(file)) as container:
            pts = sorted(int(p.pts) for p in container.demux(video=0) if p.pts is not None)
        staged = self._stage(path, "video")
        staged.put("pts", np.array(pts), ("time",))
        self._publish(staged, path, "video", {"width": SIZE[0], "height": SIZE[1], "fps": "10"})

    def deidentified(self, path: str = "A/trial-1", confidence: float = 0.9, **attributes: Any) -> None:
        """The clip without its head, and one region a frame."""
        images, boxes = pictures()
        images = images.copy()
        for image, (x0, y0, x1, y1) in zip(images, boxes.astype(int), strict=True):
            image[y0:y1, x0:x1] = COVER
        staged = self._stage(path, "deidentified")
        encoded = fragments.encode(images, list(range(LENGTH)), Fraction(1, 10), "ffv1", folder=self.folder)
        encoded.put(staged)
        rows = np.arange(LENGTH)
        staged.put("covered", np.zeros(LENGTH, bool), ("time",))
        columns = {"frame": rows, "track": 0 * rows, "why": 0 * rows, "level": 1 + 0 * rows}
        for name, values in {**columns, "confidence": np.full(LENGTH, confidence, np.float32)}.items():
            staged.put(f"region_{name}", values, ("region",))
        staged.put("region_box", boxes, ("region", "corner"))
        staged.put("pattern_track", np.zeros(1, np.int32), ("head",))
        staged.put("pattern", np.full((1, 12, 12, 3), COVER, np.uint8), ("head", "block_y", "block_x", "colour"))
        about = {"width": SIZE[0], "height": SIZE[1], "flagged": False, "lost": [], "whole_frame_share": 0.0}
        self._publish(staged, path, "deidentified", {**about, **attributes})

    def audit(
        self,
        path: str = "A/trial-1",
        tier: str = "full",
        found: Iterable[tuple[int, Any, str, bool]] = (),
        gates: dict[str, str] | None = None,
        **attributes: Any,
    ) -> None:
        """An audit of the deidentified node that is there; `gates` are those that are not green, `found` are findings:
        frame, box, gate, red."""
        results = {**dict.fromkeys(GATES, "green"), **(gates or {})}
        found = list(found)
        staged = self._stage(path, "audit")
        frame, box, gate, red = zip(*found, strict=True) if found else ((), (), (), ())
        staged.put("finding_frame", np.array(frame, np.int32), ("finding",))
        staged.put("finding_box", np.array(box, np.float32).reshape(-1, 4), ("finding", "corner"))
        numbers = np.array([GATES.index(g) for g in gate], np.uint8)
        staged.put("finding_gate", numbers, ("finding",), flag_meanings=" ".join(GATES))
        staged.put("finding_track", np.zeros(len(found), np.int32), ("finding",))
        staged.put("finding_score", np.full(len(found), 0.7, np.float32), ("finding",))
        staged.put("finding_red", np.array(red, bool), ("finding",))
        seal = (self.store.attributes(self.key(path, "deidentified")) or {}).get("seal")
        about = {
            "tier": tier,
            "gates": {g: {"result": r} for g, r in results.items()},
            "passed": set(results.values()) == {"green"},
            "flags": [],
            "audited_seal": seal,
            "missed": {"tracks": 3, "missed": 0, "upper_95": 0.63},
            "regions": {"face": {"1": LENGTH}},
        }
        self._publish(staged, path, "audit", {**about, **attributes})

    def all(self, **audit: Any) -> None:
        """Clip A's video, deidentified and audit nodes."""
        self.video()
        self.deidentified()
        self.audit(**audit)

    def key(self, path: str, node: str) -> Any:
        """The place of a clip's node."""
        plan = self.plan
        return plan.key(plan.clip(path), node)

    def _stage(self, path: str, node: str) -> Any:
        key = self.key(path, node)
        if self.store.path(key).exists():
            self.store.drop(key)
        return self.store.stage(key)

    def _publish(self, staged: Any, path: str, node: str, attributes: dict[str, Any]) -> None:
        plan = self.plan
        staged.put("time", np.arange(LENGTH) / 10, ("time",))
        if node != "video":
            staged.put("valid", np.ones(LENGTH, bool), ("time",))
        staged.publish(plan.recipes(plan.clip(path))[node], {**attributes, "modality": node})
