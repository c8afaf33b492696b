"""`snakemake --batch all=i/n`: the batches together make what one run makes, each clip in one batch."""

import re
from collections import Counter
from pathlib import Path

import pytest
from project import Project
from walker import GAITS, Walk

NAMES = ["A.b_1.mp4", "A_1.mp4", "A_2.mp4"]  # the clips' order and that of their paths differ
CLIP = Counter({"video": 1, "index": 1, "preview": 1})
REPORT = Counter({"report": 1})


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four short videos with different content."""
    folder = tmp_path_factory.mktemp("videos")
    paths = [folder / f"{number}.mp4" for number in range(4)]
    for number, path in enumerate(paths):
        Walk(gait=GAITS["normal"], frames=6, size=(160, 90), seed=number).write(path)
    return paths


def project(folder: Path, videos: list[Path]) -> Project:
    made = Project(folder)
    made.config["nodes"] = {}  # the cheapest: every clip has its video node alone
    for name, video in zip(NAMES, videos, strict=False):
        made.add(video, name)
    return made


def planned(made: Project, *args: str) -> tuple[Counter[str], set[str]]:
    """The rules that a run would execute, how often each, and the clips that they belong to."""
    done = made.snakemake("--dry-run", *args)
    assert done.returncode == 0, done.stderr[-3000:]
    text = done.stdout + done.stderr
    clips = {f"{s}/{c}" for s, c in re.findall(r"wildcards: subject=([\w.-]+), clip=([\w.-]+)", text)}
    return Counter(r for r in re.findall(r"^(?:local)?rule (\w+):", text, re.M) if r != "all"), clips


def run(made: Project, *args: str) -> bool:
    return made.snakemake("--quiet", "rules", *args).returncode == 0


def test_batches_make_together_what_one_run_makes(videos: list[Path], tmp_path: Path) -> None:
    whole, fresh = project(tmp_path / "whole", videos), project(tmp_path / "fresh", videos)
    whole.run()

    first, its_clips = planned(fresh, "--batch", "all=1/2")
    assert first == CLIP + CLIP, "all of two clips, nothing of the third, and no report"
    assert run(fresh, "--batch", "all=1/2")
    assert {"A.b/trial-1", "A/trial-1", "A/trial-2"} - {k.rsplit("/", 2)[0] for k in fresh.bytes() if "video" in k}
    second, other_clips = planned(fresh, "--batch", "all=2/2")
    assert second == CLIP + REPORT
    assert (len(its_clips), len(other_clips), len(its_clips | other_clips)) == (2, 1, 3)
    assert run(fresh, "--batch", "all=2/2")
    assert fresh.bytes() == whole.bytes(), "the root's table of clips too"
    assert fresh.ledger() == whole.ledger()
    assert planned(fresh) == (Counter(), set()), "a run without batches has nothing to do"

    (fresh.store / "A/trial-1/video/zarr.json").unlink()
    rules, clips = planned(fresh)
    assert rules["video"] == 1 and clips == {"A/trial-1"}, "missed, although the clip's index and the report are there"

    fresh.add(videos[3], "A_0.mp4")
    assert run(fresh, "--batch", "all=1/2")
    assert not (fresh.results / ".reported").exists(), "the report that was there does not know the new clip"


def test_a_clip_that_fails_does_not_keep_the_last_batch_from_running(videos: list[Path], tmp_path: Path) -> None:
    fresh = project(tmp_path, videos[:2])
    fresh.sheet("video | start | end\n A.b_1.mp4 | 0 | 999")
    assert not run(fresh, "--batch", "all=1/2")
    assert run(fresh, "--batch", "all=2/2")
    states = {clip: state for (clip, node), (state, _) in fresh.ledger().items() if node == "video"}
    assert states == {"A.b/trial-1": "failed", "A/trial-1": "done"}
    assert planned(fresh)[1] == {"A.b/trial-1"}, "a run without batches tries it once more"


def test_more_batches_than_clips_are_refused(videos: list[Path], tmp_path: Path) -> None:
    done = project(tmp_path, videos).snakemake("--dry-run", "--batch", "all=1/4")
    assert done.returncode != 0
    assert "choose a smaller number of batches" in done.stdout + done.stderr
