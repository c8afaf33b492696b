"""Consent withdrawn: nothing of that person is left, nobody else loses anything, and they cannot come back."""

import base64
import contextlib
import json
import shutil
from pathlib import Path

import gaitloom
import pytest
from gaitloom import config
from gaitloom.clips import Clip, write_sheet
from gaitloom.config import Config
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.remains import Remains
from gaitloom.tombstones import Tombstones
from gaitloom.withdraw import Withdrawn, withdraw
from project import Project
from walker import GAITS, Walk

VIDEOS = "A_1_1.mp4", "A_2_1.mp4", "AB_1_1.mp4"


def configured(folder: Path) -> Project:
    project = Project(folder)
    project.config["clips"] |= {"pattern": "{subject}_{session}_{trial}", "withdrawn": "withdrawn.tsv"}
    project.config["nodes"] = {"track": {"backend": "blazepose"}, "flow_dis": {"backend": "dis"}}
    project.config["preview"] = {"flow": "flow_dis", "height": 120}
    return project


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Subject A in two sessions, and subject AB, whose run is done."""
    project = configured(tmp_path_factory.mktemp("finished"))
    for number, name in enumerate(VIDEOS):
        Walk(gait=GAITS["normal"], frames=6, size=(160, 120), seed=number).write(project.data / name)
    project.run()
    return project.folder


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Project:
    """A copy of the finished project, records included."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder, symlinks=True)
    return configured(folder)


def naming(project: Project, *words: str) -> list[str]:
    """Files of results and records with one of these words in their path, their decoded path, or their bytes."""
    found = []
    for root in (project.results, project.folder / ".snakemake"):
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            where = path.relative_to(root).as_posix()
            with contextlib.suppress(ValueError):
                where += base64.b64decode(path.name, validate=True).decode()
            if any(w in where or w.encode() in path.read_bytes() for w in words):
                found.append(where)
    return found


OF_A = "A/ses-", "data/A_", "A.ses-"


def test_nothing_is_left_and_nobody_else_loses_anything(done: Project) -> None:
    hashes = [
        line.split("\t")[6] for line in (done.results / "clips.tsv").read_text().splitlines() if "data/A_" in line
    ]
    orphan = done.results / "logs/track/A/ses-1_trial-1.log.old"
    orphan.write_text("")
    (done.results / ".staging" / "A.ses-1_trial-1.track~host~1~abc").mkdir(parents=True)
    assert len(hashes) == 2 and naming(done, *OF_A, *hashes), "there is something to remove"
    before = {p: b for p, b in done.bytes().items() if p.startswith("AB/")}
    split, page = done.results / "splits" / "partition_0.json", done.results / "technical_validation" / "all" / "x.md"
    for path in (split, page):
        path.parent.mkdir(parents=True)
        path.write_text('{"train": ["A"], "validation": [], "test": ["AB"]}')

    listed = done.gaitloom("withdraw", "a")
    assert listed.returncode == 0 and "--yes" in listed.stderr
    assert "store.zarr/A/ses-1_trial-1/track/zarr.json" in listed.stdout and "AB/" not in listed.stdout
    assert not (done.folder / "withdrawn.tsv").exists() and (done.store / "A").is_dir(), "listed only"

    said = done.gaitloom("withdraw", "a", "--yes")
    assert said.returncode == 0, said.stderr
    assert "remove data/A_1_1.mp4 from the input folder" in said.stderr
    assert naming(done, *OF_A, *hashes) == []
    assert not (done.store / "A").exists() and not page.parent.parent.exists()
    assert json.loads(split.read_text()) == {"train": [], "validation": [], "test": ["AB"]}
    after = done.bytes()
    assert {p: b for p, b in after.items() if p.startswith("AB/")} == before
    assert "AB" in (done.results / "ledger.tsv").read_text() and (done.store / "zarr.json").is_file()
    assert done.gaitloom("verify").returncode == 0
    assert not set(done.plan()) - {"report"}, "no job of anybody else, though the raw videos are still there"
    done.run()
    assert naming(done, *OF_A, *hashes) == []


def test_one_session(done: Project) -> None:
    said = done.gaitloom("withdraw", "A", "--session", "2", "--yes")
    assert said.returncode == 0, said.stderr
    assert naming(done, "A/ses-2", "A_2_1") == []
    assert (done.store / "A/ses-1_trial-1/track/zarr.json").is_file()
    assert not set(done.plan()) - {"report"}


ONE = "A/ses-1_trial-1"
OF_ITS_TRACK = tuple(f"{ONE}/{node}" for node in ("track", "flow_dis")) + tuple(
    f"{node}/{ONE}" for node in ("track", "flow_dis")
)


def test_one_kind_of_data(done: Project) -> None:
    """Of a session of A, the track is withdrawn, from which the flow was made: the video stays, and all of others.

    That it stays away, whatever is done to the project, is shown with the same project: each run here costs seconds.
    """
    before = done.bytes()
    rendered = (done.results / "preview" / f"{ONE}.mp4").stat().st_ino
    for left in (f"failures/{ONE}/flow_dis.json", f"logs/slurm/rule_track/{ONE.replace('/', '_')}/7.log"):
        (done.results / left).parent.mkdir(parents=True)
        (done.results / left).write_text("{}")
    (done.results / "releases" / "v1").mkdir(parents=True)
    (done.results / "releases" / "v1" / "data").write_text("flow")
    command = "withdraw", "a", "--session", "1", "--node", "track"
    assert naming(done, *OF_ITS_TRACK)

    listed = done.gaitloom(*command)
    assert "track, and what was made from it (flow_dis), of 1 clips" in listed.stderr, listed.stderr
    files = set(listed.stdout.split())
    assert {f"results/store.zarr/{ONE}/track/zarr.json", f"results/preview/{ONE}.jpg"} < files
    assert not [f for f in files if "ses-2" in f or "AB/" in f or "/video/" in f]
    assert done.bytes() == before and not (done.folder / "withdrawn.key").exists(), "listed only"

    said = done.gaitloom(*command, "--yes")
    assert said.returncode == 0, said.stderr
    assert "make the release v1 again without them, then remove results/releases/.withdrawn/v1" in said.stderr
    assert (done.results / "releases" / ".withdrawn" / "v1" / "data").is_file()
    assert naming(done, *OF_ITS_TRACK) == []
    gone = {p for p in before if p.startswith((f"{ONE}/track/", f"{ONE}/flow_dis/"))}
    tables = {"zarr.json", "A/zarr.json", f"{ONE}/zarr.json"}  # of clips, and the clip's index
    after = done.bytes()
    assert gone and set(before) - set(after) == gone
    assert {p: b for p, b in after.items() if p not in tables} == {
        p: b for p, b in before.items() if p not in gone | tables
    }
    assert set(gaitloom.open(done.store / ONE).children) == {"video"}, "readable before the next run"
    assert done.gaitloom("verify").returncode == 0

    assert done.plan() == {"index": 1, "preview": 1, "report": 1}, "of that clip alone"
    done.run()
    assert naming(done, *OF_ITS_TRACK) == []
    assert (done.results / "preview" / f"{ONE}.mp4").stat().st_ino != rendered
    rows = {node: state for (clip, node), (state, _) in done.ledger().items() if clip == ONE}
    assert rows == {"video": "done", "track": "withdrawn", "flow_dis": "withdrawn"}
    asked = done.snakemake("--dry-run", f"results/store.zarr/{ONE}/flow_dis/zarr.json")
    assert asked.returncode != 0 and "is not made: consent for it" in asked.stdout + asked.stderr

    shutil.copy(done.data / "A_1_1.mp4", done.data / "C_1_1.mp4")  # the same video by another name
    (done.data / "A_1_1.mp4").unlink()
    Walk(gait=GAITS["normal"], frames=6, size=(160, 120), seed=8).write(done.data / "a_1_2.mp4")  # a new one
    Walk(gait=GAITS["normal"], frames=6, size=(160, 120), seed=9).write(done.data / "D_1_1.mp4")
    assert done.plan() == {"video": 3, "track": 1, "flow_dis": 1, "index": 3, "preview": 3, "report": 1}, "D's only"

    for table in (done.folder / "withdrawn.tsv", done.results / ".withdrawn.tsv"):
        table.unlink()  # the planted fault
    assert done.plan()["track"] == 3, "nothing but the marks held them back"


def test_a_withdrawal_of_a_node_that_broke_off_is_ended_by_the_same_command(
    done: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(done.folder)
    settings = config.load(done.write_config())
    Tombstones.of(settings).add("A", None, [], ["flow"])  # and then the machine went down
    left = [str(k) for k in Remains(Plan.read(Path("config.yaml"))).nodes()]
    assert left == ["A/ses-1_trial-1/flow_dis", "A/ses-2_trial-1/flow_dis"], "verify would say so"
    shutil.rmtree(done.store / left[0])
    for _ in range(2):  # again: nothing to do
        withdraw(Path("config.yaml"), "A", None, True, ["flow"])
        assert naming(done, *left, "flow_dis/A/") == []
    assert (done.store / "A/ses-2_trial-1/track/zarr.json").is_file() and (done.store / "AB").is_dir()


def test_who_withdrew_cannot_come_back(done: Project) -> None:
    video = (done.data / "A_1_1.mp4").read_bytes()
    assert done.gaitloom("withdraw", "A", "--yes").returncode == 0
    for old in done.data.glob("A_*"):
        old.unlink()
    (done.data / "C_1_1.mp4").write_bytes(video)  # by another name
    Walk(gait=GAITS["normal"], frames=6, size=(160, 120), seed=8).write(done.data / "a_3_1.mp4")  # another video
    scanned = done.gaitloom("scan")
    assert "C_1_1.mp4 is of somebody who withdrew" in scanned.stderr and "a_3_1.mp4 is of" in scanned.stderr
    assert naming(done, "C_1_1", "a_3_1") == []
    Walk(gait=GAITS["normal"], frames=6, size=(160, 120), seed=9).write(done.data / "D_1_1.mp4")
    assert done.plan()["track"] == 1
    (done.folder / "withdrawn.key").unlink()
    refused = done.gaitloom("scan")
    assert refused.returncode == 1 and "withdrawn.key is missing" in refused.stderr, "fails closed"


def test_a_withdrawal_that_broke_off_is_ended_by_the_same_command(done: Project) -> None:
    Tombstones(done.folder / "withdrawn.tsv").add("A", None, [])  # and then the machine went down
    assert done.gaitloom("scan").returncode == 0
    assert (done.store / "A").is_dir()
    shutil.rmtree(done.store / "A")  # that far it had come: no node and no row is left, but logs and records are
    assert naming(done, *OF_A)
    assert done.gaitloom("withdraw", "A", "--yes").returncode == 0
    assert naming(done, *OF_A) == []
    assert done.gaitloom("withdraw", "A", "--yes").returncode == 0, "again: nothing to do"


def test_an_unknown_subject_is_one_sentence(done: Project) -> None:
    said = done.gaitloom("withdraw", "Z", "--yes")
    assert said.returncode == 1 and "There is no subject Z here" in said.stderr
    assert not (done.folder / "withdrawn.tsv").exists()


def test_marks_say_nothing_without_their_key(tmp_path: Path) -> None:
    table = tmp_path / "withdrawn.tsv"
    marks = Tombstones(table)
    assert not marks.refuse(Clip(subject="A"))
    marks.add("A", None, ["ab" * 32])
    marks.add("B", "1", [])
    again = Tombstones(table)
    refused = {
        "the subject": Clip(subject="a", session="7"),
        "the session": Clip(subject="B", session="1"),
        "the content": Clip(subject="X", sha256="ab" * 32),
    }
    assert all(again.refuse(c) for c in refused.values())
    assert not again.refuse(Clip(subject="B", session="2")) and not again.refuse(Clip(subject="AB", session="1"))
    text = table.read_text()
    assert "ab" * 32 not in text and "\tA" not in text
    assert (tmp_path / "withdrawn.key").stat().st_mode & 0o077 == 0, "for its owner's eyes alone"
    other = tmp_path / "other" / "withdrawn.tsv"
    Tombstones(other).add("A", None, [])
    assert not set(other.read_text().split()[2:]) & set(text.split()[2:]) - {"subject"}, "another key, other marks"
    table.write_text(text + "person\tabc\n")
    with pytest.raises(GaitloomError, match="row 5: 'person' is none of"):
        Tombstones(table)


@pytest.mark.parametrize(
    ("text", "theirs"),
    [
        ("logs/track/A/ses-1_trial-1.log", True),
        ("store.zarr/A/ses-1_trial-1/track/zarr.json", True),
        ("rule_track/A_ses-1_trial-1/17.log", True),
        ("A/ses-1_trial-1", True),
        ("store.zarr/AB/ses-1_trial-1/track/zarr.json", False),
        ("store.zarr/X-A/ses-1_trial-1/track/zarr.json", False),
        ("store.zarr/A/ses-1_trial-11/track/zarr.json", False),
        ("store.zarr/A/ses-1_trial-1.5/track/zarr.json", False),
        ("logs/track/A/ses-1_trial-1_cam-left.log", False),
    ],
)
def test_which_files_are_theirs(text: str, theirs: bool, tmp_path: Path) -> None:
    write_sheet(tmp_path / "clips.tsv", [Clip(subject="A", session="1", trial="1", video="data/A_1_1.mp4")])
    settings = Config.model_validate({"results": tmp_path, "clips": {"folders": ["data"]}, "nodes": {}})
    assert Withdrawn(settings, "A", None).named_in(text) is theirs
