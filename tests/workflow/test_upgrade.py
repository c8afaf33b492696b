"""docs/upgrading.md on real runs: a variant beside the old node, the report, the lines it prints, and the next run.

The package is a copy with a toy finder of people, which counts how often it is loaded and takes the subject's
place from its weights; a silhouette of the tracked box stands above it.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zarr
from project import ROOT, Project
from walker import GAITS, Walk

FINDER = """
import os
import numpy as np
from gaitloom.backends import Spec
from gaitloom.tracking import People
from gaitloom.weights import Chosen

class Options(Chosen):
    weights: str = "old.txt"

SPEC = Spec(version=1, options=Options, packages=("numpy",), licence="MIT")

class Backend:
    def __init__(self, options):
        with open(os.environ["CALLS"], "a") as calls:
            calls.write("loaded\\n")
        self._x = float(options.weight.verify().read_text())

    def people(self, images):
        for _ in images:
            yield People(np.array([[self._x, 20, self._x + 40, 120]], np.float32), np.ones(1, np.float32))
"""
BOX = """
import numpy as np
from gaitloom.backends import Spec
from gaitloom.strict import Strict

class Options(Strict):
    pass

SPEC = Spec(version=1, options=Options, packages=("numpy",), licence="MIT")

class Backend:
    def __init__(self, options):
        pass

    def masks(self, people):
        for _, box in people:
            x0, y0, x1, y1 = box.astype(int)
            yield np.ones((y1 - y0, x1 - x0), bool), (x0, y0)
"""


DERIVE = """
from pathlib import Path
import yaml
from gaitloom.derive import derive
from gaitloom.plan import Plan

plan = Plan.load(yaml.safe_load(Path("config.yaml").read_text()), scan=True)
for key in plan.keys():
    derive(plan, key, plan.planned(key))
"""
NODES = ("video", "track", "silhouette")


class Upgraded(Project):
    """A project whose runs are those of a GaitLoom of its own, that can be upgraded."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.checkout = folder / "checkout"
        self.calls = folder / "calls"
        self.finder = self.checkout / "workflow/gaitloom/backends/track/finder.py"

    def begin(self) -> "Upgraded":
        for name in ("workflow", "profiles", "envs"):
            shutil.copytree(ROOT / name, self.checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "Snakefile", self.checkout)
        self.finder.write_text(FINDER)
        (self.checkout / "workflow/gaitloom/backends/silhouette/box.py").write_text(BOX)
        self.config["nodes"] = {"track": self.weights("old.txt", 100), "silhouette": {"backend": "box"}}
        self.config["preview"] = {"track": None, "silhouette": None, "height": 120}
        self.film("A")
        return self

    def weights(self, name: str, place: int) -> dict[str, Any]:
        """The node of a finder with weights that put the subject there."""
        (self.folder / name).write_text(str(place))
        found = sha256(str(place).encode()).hexdigest()
        return {"backend": "finder", "backend_options": {"weights": name, "weights_sha256": found}}

    def film(self, subject: str) -> None:
        gait = dict(zip("ABC", GAITS, strict=False))[subject]
        Walk(gait=GAITS[gait], frames=6, size=(320, 180), seed=ord(subject)).write(self.data / f"{subject}_1.mp4")

    def bump(self) -> None:
        """GaitLoom is upgraded: the finder's second version puts everybody two pixels to the right."""
        text = FINDER.replace("version=1", "version=2").replace("self._x = ", "self._x = 2 + ")
        self.finder.write_text(text)

    def command(self, *args: str) -> list[str]:
        return [a.replace(str(ROOT / "Snakefile"), str(self.checkout / "Snakefile")) for a in super().command(*args)]

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        path = str(self.checkout / "workflow")
        environment = {**os.environ, "CALLS": str(self.calls), "PYTHONPATH": path, "NO_COLOR": "1"}
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, env=environment)

    def loaded(self) -> int:
        """How often the finder was loaded so far."""
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0

    def accept(self, variant: str) -> str:
        """Accept a variant as a person does: run the command, paste its lines. What it gives is the report."""
        done = self.gaitloom("accept", variant)
        assert done.returncode == 0, done.stderr
        self.config["nodes"] |= yaml.safe_load(done.stdout)
        return (self.results / f"changes/{variant}.md").read_text()

    def nodes(self, *names: str) -> dict[str, bytes]:
        """The bytes of these nodes of every clip."""
        return {
            path: data for path, data in self.bytes().items() if path.split("/")[2:3] and path.split("/")[2] in names
        }

    def derive(self) -> str:
        """Make every planned node without Snakemake."""
        self.write_config()
        done = self._run([sys.executable, "-c", DERIVE])
        assert done.returncode == 0, done.stderr
        return done.stderr

    def verify(self) -> None:
        done = self.gaitloom("verify")
        assert done.returncode == 0, done.stdout

    def log(self, clip: str) -> str:
        return (self.results / f"logs/track/{clip}.log").read_text()

    def x0(self, clip: str, node: str = "track") -> float:
        return float(np.asarray(zarr.open_array(self.store / clip / node / "box", mode="r")[...])[0, 0])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip by the old weights and the old version."""
    project = Upgraded(tmp_path_factory.mktemp("finished")).begin()
    project.run()
    assert project.loaded() == 1
    return project.folder


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Upgraded:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    project = Upgraded(folder)
    project.config = yaml.safe_load((folder / "config.yaml").read_text())
    return project


def anew(project: Upgraded, folder: Path) -> dict[str, bytes]:
    """The nodes as they are where everything was as it is now from the beginning."""
    twin = Upgraded(folder)
    twin.config, twin.checkout, twin.calls = project.config, project.checkout, folder / "calls"
    shutil.copytree(project.data, twin.data, dirs_exist_ok=True)
    for weights in project.folder.glob("*.txt"):
        shutil.copy(weights, folder)
    twin.derive()
    return twin.nodes(*NODES)


def test_new_weights_are_run_beside_the_old_and_accepted(done: Upgraded, tmp_path: Path) -> None:
    old = done.nodes(*NODES)
    done.config["nodes"]["track_next"] = done.weights("new.txt", 130)
    done.run()
    assert done.loaded() == 2
    assert done.nodes(*NODES) == old, "the variant leaves all else as it was"

    report = done.accept("track_next")
    assert f"| weights.weights | {sha256(b'100').hexdigest()[:12]} | {sha256(b'130').hexdigest()[:12]} |" in report
    assert "| iou | 0.1429 |" in report, "40 wide, 30 apart: 10 of 70 shared"
    assert "| track | 1 | 1 | 0 |" in report and "| silhouette | 1 | 0 | 1 |" in report
    assert done.config["nodes"]["track_next"] is None

    done.run()
    assert done.loaded() == 2, "the accepted node was copied"
    assert done.nodes(*NODES) == anew(done, tmp_path / "anew")
    assert done.x0("A/trial-1") == 130
    record = json.loads((done.results / "provenance/A/trial-1/track.json").read_text())
    made = json.loads((done.results / "provenance/A/trial-1/track_next.json").read_text())
    assert record["copied_from"] == "track_next"
    assert record.items() >= made.items(), "when and where it was computed is still known"
    assert "is a copy of track_next" in done.log("A/trial-1")
    assert done.plan() == Counter()
    done.verify()


def test_a_bumped_backend_waits_until_it_is_accepted(done: Upgraded, tmp_path: Path) -> None:
    old = done.nodes(*NODES)
    done.bump()
    done.config["nodes"]["track_next"] = dict(done.config["nodes"]["track"])
    hint = done.gaitloom("accept", "track_next").stderr
    assert "put `kept: {backend_version: 1}` into nodes.track" in hint
    assert "`kept: {backend_version: 1}` in nodes.track keeps it" in done.gaitloom("status", "--tsv").stdout

    done.config["nodes"]["track"]["kept"] = {"backend_version": 1}
    done.film("B")
    failed = done.snakemake("--quiet", "rules")
    assert failed.returncode != 0, "B has no node of version 1, and nobody can make one"
    assert done.loaded() == 1 + 2, "the variant of both clips"
    state, reason = done.ledger()["B/trial-1", "track"]
    assert state == "failed"
    assert "nodes.track.kept keeps what an earlier version of GaitLoom made (backend_version)" in reason
    assert done.ledger()["B/trial-1", "silhouette"][0] == "waiting"
    assert {p: b for p, b in done.nodes(*NODES).items() if p[0] == "A"} == old

    report = done.accept("track_next")
    assert "| backend_version | 1 | 2 |" in report
    assert "1 of 2 clips have both nodes" in report
    assert "| track | 2 | 2 | 0 |" in report and "| silhouette | 2 | 0 | 2 |" in report
    done.run()
    assert done.loaded() == 3
    assert done.nodes(*NODES) == anew(done, tmp_path / "anew")
    assert done.x0("A/trial-1") == done.x0("B/trial-1") == 102
    done.verify()


def test_what_is_kept_is_never_lost_to_a_run(done: Upgraded) -> None:
    """It could not be made again: neither a slip in the configuration nor a lost node below it may have it deleted."""
    done.bump()
    old = done.nodes("track")
    track = done.config["nodes"]["track"]
    done.config["nodes"]["track"] = track | {"kept": {"backend_version": 3}}
    slip = done.snakemake("--quiet", "rules")
    assert "made with another backend_version; undo" in slip.stdout + slip.stderr
    done.config["nodes"]["track"] = track | {"kept": {"backend_version": 1}, "options": {"max_gap_s": 0.1}}
    assert "made with another options.max_gap_s; undo" in done.gaitloom("reconcile").stderr
    assert done.nodes("track") == old
    done.config["nodes"]["track"] = track | {"kept": {"backend_version": 1}}
    done.config["nodes"]["track_v1"] = done.config["nodes"]["track"]
    shutil.rmtree(done.store / "A/trial-1/video")
    done.run()
    assert done.nodes("track") == old
    copied = {path.replace("track_v1", "track"): data for path, data in done.nodes("track_v1").items()}
    assert copied == old, "the way back: the old nodes under another name"
    assert done.loaded() == 1
    done.verify()


def test_a_damaged_node_is_not_copied(done: Upgraded, tmp_path: Path) -> None:
    done.config["nodes"]["track_next"] = done.weights("new.txt", 130)
    done.derive()
    done.config["nodes"]["track"] = done.config["nodes"].pop("track_next")
    chunk = done.store / "A/trial-1/track_next/box/c/0/0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    before = done.loaded()
    assert "is no copy of track_next, which has a changed box/c/0/0" in done.derive()
    assert done.loaded() == before + 1
    assert done.nodes(*NODES) == anew(done, tmp_path / "anew")
