"""Change X → exactly these jobs. Every test starts from one finished run, copied afresh."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from project import Project
from walker import GAITS, Walk

CLIP = Counter({"video": 1, "track": 1, "keypoints": 1, "index": 1, "preview": 1, "report": 1})
REPORT = Counter({"report": 1})


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three short walks with different content."""
    folder = tmp_path_factory.mktemp("walks")
    paths = []
    for number, gait in enumerate(("normal", "shuffling", "toe_walking")):
        path = folder / f"{gait}.mp4"
        Walk(gait=GAITS[gait], frames=8, size=(320, 180), seed=number).write(path)
        paths.append(path)
    return paths


@pytest.fixture(scope="module")
def finished(walks: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two clips whose run is done."""
    project = Project(tmp_path_factory.mktemp("finished"))
    project.add(walks[0], "A_1.mp4")
    project.add(walks[1], "B_1.mp4")
    assert project.plan() == Counter({r: n * (1 if r == "report" else 2) for r, n in CLIP.items()})
    project.run()
    return project.folder


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Project:
    """A copy of the finished project, records included."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder, symlinks=True)
    return Project(folder)


def test_nothing_to_do(done: Project) -> None:
    assert done.plan() == Counter()


def test_added_video(done: Project, walks: list[Path]) -> None:
    done.add(walks[2], "C_1.mp4")
    assert done.plan() == CLIP


def test_changed_video(done: Project, walks: list[Path]) -> None:
    done.add(walks[2], "B_1.mp4")
    assert done.plan() == CLIP


def test_touched_video(done: Project) -> None:
    os.utime(done.data / "A_1.mp4", (2e9, 2e9))
    assert done.plan() == Counter()


def test_removed_video_only_changes_the_report(done: Project) -> None:
    (done.data / "B_1.mp4").unlink()
    assert done.plan() == REPORT
    before = done.bytes()
    done.run()
    after = done.bytes()
    assert {p for p in before if before[p] != after.get(p)} == {"zarr.json"}, "only the root's table changes"
    assert done.ledger()["B/trial-1", "keypoints"][0] == "unplanned"


@pytest.mark.parametrize("name", ["B_2.mp4", "0_1.mp4"])
def test_copied_video_makes_nothing(done: Project, name: str) -> None:
    shutil.copy(done.data / "A_1.mp4", done.data / name)
    assert done.plan() == REPORT, "a copy is rejected, which the ledger says; no node is planned"


def test_renamed_video_is_another_clip(done: Project) -> None:
    (done.data / "B_1.mp4").rename(done.data / "B_2.mp4")
    assert done.plan() == CLIP


def test_copied_store_plans_nothing(done: Project, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(done.folder, elsewhere, symlinks=True)
    assert Project(elsewhere).plan() == Counter()


def test_changed_backend_option(done: Project) -> None:
    done.config["nodes"]["track"]["backend_options"] = {"min_score": 0.6}
    assert done.plan() == Counter({"track": 2, "keypoints": 2, "index": 2, "preview": 2, "report": 1}), (
        "the track, what reads it, and what stands above; not the video node"
    )


def test_added_node(done: Project) -> None:
    done.config["nodes"]["silhouette"] = {"backend": "blazepose"}
    assert done.plan() == Counter({"silhouette": 2, "index": 2, "preview": 2, "report": 1})


def test_added_variant_beside_the_old_node(done: Project) -> None:
    done.config["nodes"]["keypoints_again"] = {"backend": "blazepose"}
    assert done.plan() == Counter({"keypoints_again": 2, "index": 2, "report": 1})


def test_capture_fps_remakes_the_clip(done: Project) -> None:
    done.sheet("video | capture_fps\n B_1.mp4 | 60")
    assert done.plan() == CLIP


def test_label_remakes_no_node(done: Project) -> None:
    done.sheet("video | condition\n B_1.mp4 | barefoot")
    assert done.plan() == Counter({"index": 1, "report": 1})


def test_excluded_clip_only_changes_the_report(done: Project) -> None:
    done.sheet("video | exclude\n B_1.mp4 | consent is missing")
    assert done.plan() == REPORT
    done.run()
    assert done.ledger()["B/trial-1", ""] == ("excluded", "consent is missing")


def test_removed_node_is_made_again(done: Project) -> None:
    before = done.bytes()
    shutil.rmtree(done.store / "A/trial-1/track")
    assert done.plan() == CLIP - Counter({"video": 1}), "the node, what reads it, and what stands above"
    done.run()
    assert done.bytes() == before


def test_lost_records_stop_the_run_and_reconcile_keeps_what_is_up_to_date(done: Project) -> None:
    before = done.bytes()
    shutil.rmtree(done.folder / ".snakemake")
    refused = done.snakemake("--dry-run")
    assert refused.returncode != 0
    assert "gaitloom reconcile" in refused.stdout + refused.stderr
    assert done.gaitloom("reconcile").returncode == 0
    assert done.plan() == REPORT
    done.run()
    assert done.bytes() == before


def test_reconcile_drops_what_is_stale(done: Project) -> None:
    shutil.rmtree(done.folder / ".snakemake")
    done.config["nodes"]["keypoints"]["reads"] = {"track": "track_strict"}
    done.config["nodes"]["track_strict"] = {"backend": "blazepose", "backend_options": {"min_score": 0.7}}
    assert done.gaitloom("reconcile").returncode == 0
    assert done.plan() == Counter({"track_strict": 2, "keypoints": 2, "index": 2, "preview": 2, "report": 1})
    done.run()
    assert done.gaitloom("verify").returncode == 0


def test_reconcile_prunes_a_removed_clip_only_when_asked(done: Project) -> None:
    (done.data / "B_1.mp4").unlink()
    assert done.gaitloom("reconcile").returncode == 0
    assert (done.store / "B/trial-1/keypoints").is_dir()
    assert done.gaitloom("reconcile", "--prune").returncode == 0
    assert not (done.store / "B").exists()
    assert (done.store / "A/trial-1/keypoints").is_dir()


def test_another_store_beside_these_records_is_refused(done: Project, walks: list[Path], tmp_path: Path) -> None:
    fresh = Project(tmp_path / "fresh")
    fresh.add(walks[2], "C_1.mp4")
    fresh.run()
    shutil.rmtree(fresh.results)
    shutil.copytree(done.results, fresh.results)
    refused = fresh.snakemake("--dry-run")
    assert refused.returncode != 0
    assert "gaitloom reconcile" in refused.stdout + refused.stderr
