"""A decision in the review file re-runs one clip's deidentified node and audit, what shows them, and nothing else."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from gaitloom import decisions
from gaitloom.clips import NodeKey
from gaitloom.lazy_video import LazyVideo
from gaitloom.plan import Plan
from gaitloom.store import Store
from project import NODES, Project
from walker import GAITS, Walk

DEIDENTIFIED = {
    "faces": {"backend": "centerface"},
    "deidentified": {"backend": "mosaic"},
    "audit": {"backend": "basic"},
}
A, B = "A/trial-1", "B/trial-1"
ABOVE = Counter({"index": 1, "report": 1})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two de-identified and audited clips whose run is done."""
    project = Project(tmp_path_factory.mktemp("decided"))
    project.config["nodes"] = {**NODES, **DEIDENTIFIED}
    for number, name in enumerate(("normal", "shuffling")):
        walk = Walk(gait=GAITS[name], frames=8, size=(320, 180), seed=number)
        walk.write(project.data / f"{'AB'[number]}_1.mp4")
    project.run()
    return project.folder


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Project:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder, symlinks=True)
    project = Project(folder)
    project.config["nodes"] = {**NODES, **DEIDENTIFIED}
    return project


def decide(project: Project, *rows: dict[str, object]) -> None:
    """Write the decision file at its default place."""
    path = project.folder / decisions.DEFAULT
    path.parent.mkdir(exist_ok=True)
    path.write_text("\t".join(decisions.COLUMNS) + "\n" + decisions.tsv(*rows))


def test_a_cover_remakes_one_clips_node_and_audit(done: Project) -> None:
    assert done.plan() == Counter()
    decide(done, {"clip": A, "decision": "cover", "start": 2, "end": 4, "box": "10,10,90,90"})
    assert done.plan() == Counter({"deidentified": 1, "audit": 1, "preview": 1}) + ABOVE
    before = done.bytes()
    done.run()
    after = done.bytes()
    changed = {path.rsplit("/zarr.json")[0].split("/c/")[0] for path in before if before[path] != after.get(path)}
    inside = (f"{A}/deidentified", f"{A}/audit")
    assert all(path.startswith(inside) or path in (A, "zarr.json") for path in changed), changed
    node = Store(done.results).open(NodeKey.parse(f"{A}/deidentified"))
    assert node.attributes["regions"]["decision"] == 2
    shown = LazyVideo.of(node, "A")
    grey = [float(np.abs(shown.frame(t)[14:86, 14:86].astype(int) - 128).mean()) for t in (1, 2, 3, 4)]
    assert max(grey[1:3]) < 3 < 10 < min(grey[0], grey[3]), "the frames 2 and 3, and no other"


def test_an_accept_remakes_one_clips_audit(done: Project) -> None:
    of = Store(done.results).digest(NodeKey.parse(f"{A}/deidentified"))
    looked = dict.fromkeys(decisions.CHECKLIST, "yes")
    decide(done, {"clip": A, "decision": "accept", "of": str(of)[: decisions.SHORT], **looked})
    assert done.plan() == Counter({"audit": 1}) + ABOVE
    decide(done, {"clip": A, "decision": "accept", "of": "0" * decisions.SHORT, **looked})
    assert done.plan() == Counter({"report": 1}), "one of something else only changes what the ledger says"


def test_an_exclusion_remakes_nothing_and_stands_in_the_ledger(done: Project) -> None:
    decide(done, {"clip": B, "decision": "exclude", "note": "a face in the window"})
    assert done.plan() == Counter({"report": 1})
    assert done.gaitloom("report").returncode == 0
    assert done.ledger()[B, ""] == ("excluded", "a face in the window")
    assert B not in (done.results / "audit.tsv").read_text()


def test_a_box_outside_the_picture_fails_that_node(done: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    decide(done, {"clip": A, "decision": "cover", "box": "400,10,500,90"})
    monkeypatch.chdir(done.folder)
    planned = Plan.read(done.write_config()).digests_of(A)["deidentified"]
    failed = done.gaitloom("derive", f"{A}/deidentified", "--recipe", planned)
    assert failed.returncode == 1
    assert "has nothing to cover at the box [400.0, 10.0, 500.0, 90.0]" in failed.stderr


def test_a_wrong_row_stops_the_run_with_a_sentence(done: Project) -> None:
    decide(done, {"clip": "A/trial-11", "decision": "exclude"})
    refused = done.snakemake("--dry-run")
    assert refused.returncode != 0
    said = " ".join((refused.stdout + refused.stderr).split())
    assert "row 2, column clip: there is no clip 'A/trial-11'" in said and "Traceback" not in said


def test_the_run_writes_the_review_page_and_the_audits_figures(done: Project) -> None:
    assert (done.results / "review/index.html").is_file() and not (done.results / "review/raw").exists()
    rows = (done.results / "audit.tsv").read_text().splitlines()
    assert [row.split("\t")[0] for row in rows] == ["clip", A, B]
    shown = done.gaitloom("audit", A, "--tier", "full")
    assert shown.returncode == 1 and "the audit is basic" in " ".join(shown.stdout.split())
    assert "other bytes" not in " ".join(shown.stdout.split()), "the audit says which bytes it looked at"
