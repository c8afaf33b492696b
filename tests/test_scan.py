"""Scanning: only what is new is hashed, every video gets its row, and one bad video never stops the others."""

import csv
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import footage
import pytest
from gaitloom import clips, config, scan
from gaitloom.clips import EXCLUDED, OK, REJECTED, Clip
from gaitloom.errors import GaitloomError


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three good videos of different content."""
    folder = tmp_path_factory.mktemp("videos")
    return [footage.write(folder / f"{i}.mp4", [footage.picture(i)] * 4) for i in range(3)]


class Lab:
    """A folder with input folders, an optional sheet, and the clips as the last scan found them."""

    def __init__(self, folder: Path, videos: list[Path]):
        self.folder, self.videos = folder, videos
        self.data, self.results = folder / "data", folder / "results"
        self.data.mkdir()
        self.settings: dict[str, Any] = {"folders": [str(self.data)], "pattern": "{subject}_{trial}"}
        self.hashed: list[str] = []

    def add(self, name: str, content: int = 0, folder: str = "data") -> Path:
        target = self.folder / folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.videos[content], target)
        return target

    def sheet(self, text: str) -> None:
        """Write the sheet; `|` stands for a tab."""
        path = self.folder / "clips.tsv"
        path.write_text(text.replace("|", "\t"))
        self.settings["sheet"] = str(path)

    def scan(self) -> list[Clip]:
        """Scan; `hashed` then names the files that were hashed."""
        self.hashed.clear()
        found = scan.scan(config.parse({"results": str(self.results), "clips": self.settings, "nodes": {}}))
        assert found == clips.read_sheet(self.results / "clips.tsv")
        return found

    def state(self) -> dict[str, str]:
        """File name → status, after a scan."""
        return {Path(c.video).name: c.status for c in self.scan()}

    def reason(self, name: str) -> str:
        """Why a file is rejected, after a scan."""
        (clip,) = (c for c in self.scan() if Path(c.video).name == name and c.status == REJECTED)
        return clip.reason

    def cache(self) -> dict[str, dict[str, str]]:
        """File name → row of the cache."""
        with (self.results / "videos.tsv").open(newline="") as file:
            return {Path(row["path"]).name: row for row in csv.DictReader(file, delimiter="\t")}


@pytest.fixture
def lab(tmp_path: Path, videos: list[Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    lab = Lab(tmp_path, videos)
    digest = scan.hashlib.file_digest

    def counted(file: Any, name: str) -> Any:
        lab.hashed.append(Path(file.name).name)
        return digest(file, name)

    monkeypatch.setattr(scan.hashlib, "file_digest", counted)
    return lab


def test_only_an_added_video_is_hashed(lab: Lab):
    lab.add("P1_1.mp4")
    (first,) = lab.scan()
    assert lab.hashed == ["P1_1.mp4"]
    assert (first.path, first.status) == ("P1/trial-1", OK)
    lab.add("P2_1.mp4", 1)
    assert [c.path for c in lab.scan()] == ["P1/trial-1", "P2/trial-1"]
    assert lab.hashed == ["P2_1.mp4"]


def test_nothing_new_hashes_nothing_writes_nothing_and_says_nothing(lab: Lab, capsys: pytest.CaptureFixture[str]):
    lab.add("P1_1.mp4")
    lab.add("nonsense.mp4", 1)
    first = lab.scan()
    assert "nonsense.mp4" in capsys.readouterr().err
    before = {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in lab.results.iterdir()}
    assert lab.scan() == first
    assert not lab.hashed
    assert {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in lab.results.iterdir()} == before
    assert capsys.readouterr().err == ""


def test_a_touched_video_is_hashed_again_and_stays_the_same(lab: Lab):
    path = lab.add("P1_1.mp4")
    lab.add("P2_1.mp4", 1)
    first, row = lab.scan(), lab.cache()["P1_1.mp4"]
    os.utime(path, ns=(1, 1))
    assert lab.scan() == first
    assert lab.hashed == ["P1_1.mp4"]
    assert lab.cache()["P1_1.mp4"] == {**row, "mtime_ns": "1"}
    lab.scan()
    assert not lab.hashed


def test_a_changed_video_gets_its_new_digest(lab: Lab):
    path = lab.add("P1_1.mp4")
    (before,) = lab.scan()
    lab.add("P1_1.mp4", 1)
    os.utime(path, ns=(1, 1))  # also where the copy keeps its old time
    (after,) = lab.scan()
    assert after.path == before.path
    assert after.sha256 != before.sha256
    assert after.sha256 == lab.cache()["P1_1.mp4"]["sha256"]


def test_a_removed_video_is_forgotten(lab: Lab):
    lab.add("P1_1.mp4")
    path = lab.add("P2_1.mp4", 1)
    lab.scan()
    path.unlink()
    assert [c.path for c in lab.scan()] == ["P1/trial-1"]
    assert list(lab.cache()) == ["P1_1.mp4"]
    assert not lab.hashed


@pytest.mark.parametrize("name", ["P0_1.mp4", "P2_1.mp4"], ids=["sorts before", "sorts after"])
def test_a_copy_is_rejected_and_names_the_first(lab: Lab, name: str):
    incumbent = lab.add("P1_1.mp4")
    lab.scan()
    lab.add(name)
    for _ in range(3):  # and it stays so
        assert lab.state() == {"P1_1.mp4": OK, name: REJECTED}
        assert "the same content" in lab.reason(name)
        assert "P1_1.mp4" in lab.reason(name)
    incumbent.unlink()
    assert lab.state() == {name: OK}


@pytest.mark.parametrize("name", ["a/P1_1.mp4", "c/P1_1.mp4", "c/p1_1.mp4"], ids=["before", "after", "case"])
def test_a_colliding_name_is_rejected_and_names_who_has_it(lab: Lab, name: str):
    lab.settings |= {"columns": ["room"], "pattern": "{room}/{subject}_{trial}"}
    lab.add("b/P1_1.mp4")
    lab.scan()
    lab.add(name, 1)
    for _ in range(3):
        states = {Path(c.video).relative_to(lab.data).as_posix(): (c.status, c.reason) for c in lab.scan()}
        assert states["b/P1_1.mp4"] == (OK, "")
        assert states[name][0] == REJECTED
        assert "is taken by" in states[name][1]
        assert "b/P1_1.mp4" in states[name][1]


@pytest.mark.parametrize(
    ("rows", "accepted"),
    [
        ("1||50\n2|50|", {"1", "2"}),
        ("1|0|50\n2|50|90\n3|90|", {"1", "2", "3"}),
        ("1|0|50\n2|49|90", {"1"}),
        ("1||\n2|10|20", {"1"}),
        ("2|10|20\n1||", {"1"}),
        ("1||\n2||", {"1"}),
    ],
)
def test_segments_of_one_content_may_not_overlap(lab: Lab, rows: str, accepted: set[str]):
    lab.sheet("video|segment|start|end\n" + "".join(f"P1_1.mp4|{row}\n" for row in rows.splitlines()))
    lab.add("P1_1.mp4")
    found = lab.scan()
    assert {c.segment for c in found if c.status == OK} == accepted
    assert all("segments apart" in c.reason for c in found if c.status != OK)


def test_a_copy_with_another_segment_is_welcome(lab: Lab):
    lab.sheet("video|start|end\nP1_1.mp4||2\nP2_1.mp4|2|\n")
    lab.add("P1_1.mp4")
    lab.add("P2_1.mp4")
    assert lab.state() == {"P1_1.mp4": OK, "P2_1.mp4": OK}


def test_an_excluded_clip_keeps_its_reason_and_stands_in_nobodys_way(lab: Lab):
    lab.sheet("video|exclude\nP1_1.mp4|consent withdrawn\ngone_1.mp4|lost\n")
    lab.add("P1_1.mp4")
    lab.add("P2_1.mp4")
    found = {Path(c.video).name: (c.status, c.reason) for c in lab.scan()}
    assert found == {
        "P1_1.mp4": (EXCLUDED, "consent withdrawn"),
        "P2_1.mp4": (OK, ""),
        "gone_1.mp4": (EXCLUDED, "lost"),
    }


def test_the_sheet_says_what_the_name_does_not(lab: Lab):
    lab.sheet("video|subject|camera|condition\nvisit1/x.mp4|P7|side|slow\nP1_1.mp4||front|\n")
    lab.add("visit1/x.mp4")
    lab.add("P1_1.mp4", 1)
    lab.add("P2_1.mp4", 2)
    found = {c.path: c for c in lab.scan()}
    assert set(found) == {"P7/cam-side", "P1/trial-1_cam-front", "P2/trial-1"}
    assert found["P7/cam-side"].extra == {"condition": "slow"}


def test_extra_columns_come_from_the_name_unless_the_sheet_says_otherwise(lab: Lab):
    lab.settings["pattern"] = "{subject}_{condition}"
    lab.sheet("video|condition\nP2_slow.mp4|slower\n")
    lab.add("P1_slow.mp4")
    lab.add("P2_slow.mp4", 1)
    assert [c.extra for c in lab.scan()] == [{"condition": "slow"}, {"condition": "slower"}]


def test_a_row_without_its_video_is_rejected(lab: Lab):
    lab.sheet("video|subject\nP1_1.MP4|P1\n")
    lab.add("P1_1.mp4")
    assert "P1_1.MP4" in lab.reason("P1_1.MP4")
    assert lab.state() == {"P1_1.MP4": REJECTED, "P1_1.mp4": OK}


def test_a_name_that_does_not_fit_is_rejected_with_both_ways_out(lab: Lab):
    lab.add("walk.mp4")
    assert "{subject}_{trial}" in lab.reason("walk.mp4")
    assert "clips.sheet" in lab.reason("walk.mp4")
    lab.sheet("video\n")
    assert str(lab.folder / "clips.tsv") in lab.reason("walk.mp4")


@pytest.mark.parametrize("missing", ["nowhere", "file"])
def test_a_missing_input_folder_is_named(lab: Lab, missing: str):
    (lab.folder / "file").touch()
    lab.settings["folders"].append(str(lab.folder / missing))
    with pytest.raises(GaitloomError, match=rf"{missing} does not exist; correct clips\.folders"):
        lab.scan()


def test_files_that_are_no_videos_are_passed_over(lab: Lab):
    for name in ("notes.txt", "P1_1.mp4.part", ".P1_1.mp4", "P1_1", "mp4"):
        lab.add(name)
    (lab.data / "P3_1.mp4").mkdir()
    assert lab.scan() == []
    lab.add("P2_1.MP4")
    lab.settings["extensions"] = [".Mp4"]
    assert lab.state() == {"P2_1.MP4": OK}


def test_videos_of_several_folders_with_subfolders(lab: Lab):
    lab.settings["folders"].append(str(lab.folder / "more"))
    lab.settings["pattern"] = "{session}/{subject}_{trial}"
    lab.add("v1/P1_1.mp4")
    lab.add("v2/P1_1.mp4", 1, "more")
    assert [c.path for c in lab.scan()] == ["P1/ses-v1_trial-1", "P1/ses-v2_trial-1"]


def test_a_name_is_read_from_the_folder_that_the_configuration_names(lab: Lab):
    lab.add("P9_9/P1_1.mp4")
    assert lab.state() == {"P1_1.mp4": REJECTED}
    lab.settings["folders"] = [str(lab.data / "P9_9")]
    (clip,) = lab.scan()
    assert (clip.path, clip.status) == ("P1/trial-1", OK)
    assert not lab.hashed


def broken(path: Path, how: str) -> None:
    if how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("Subject 7 did not turn up.\n" * 9)
    elif how == "sound":
        footage.sound(path)
    elif how == "link":
        path.symlink_to("nowhere")
    elif how == "loop":
        path.symlink_to(path)
    else:
        footage.cut(footage.write(path.with_suffix(".whole"), format="mp4"), path, 0.3)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("empty", "it is empty; copy it again"),
        ("text", "it is not a readable video"),
        ("cut off", "it is not a readable video"),
        ("sound", "it holds no video stream"),
        ("link", "it cannot be read"),
        ("loop", "it cannot be read"),
    ],
)
def test_a_bad_video_is_rejected_and_never_stops_the_others(
    lab: Lab, capsys: pytest.CaptureFixture[str], how: str, says: str
):
    lab.add("P0_1.mp4")
    bad = lab.data / "P1_1.mp4"
    broken(bad, how)
    lab.add("P2_1.mp4", 1)
    assert lab.state() == {"P0_1.mp4": OK, "P1_1.mp4": REJECTED, "P2_1.mp4": OK}
    said = capsys.readouterr().err
    assert "2 clips, 0 excluded, 1 rejected" in said
    (warning,) = (line for line in said.splitlines() if "warning" in line)
    assert warning.startswith(f"gaitloom: warning: {bad} is rejected: {says}")
    assert lab.reason("P1_1.mp4").startswith(says)
    bad.unlink()
    lab.add("P1_1.mp4", 2)
    assert lab.state() == {"P0_1.mp4": OK, "P1_1.mp4": OK, "P2_1.mp4": OK}


def test_a_video_without_permission_is_taken_once_it_has_one(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    """Mode bits leave size and time as they are; and root may read anything, so the refusal is played."""
    lab.add("P1_1.mp4")
    lab.add("P2_1.mp4", 1)
    opened = Path.open

    def refused(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path.name == "P1_1.mp4":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refused)
        assert lab.state() == {"P1_1.mp4": REJECTED, "P2_1.mp4": OK}
        assert lab.reason("P1_1.mp4").startswith("it cannot be read (Permission denied)")
    assert lab.state() == {"P1_1.mp4": OK, "P2_1.mp4": OK}


def test_a_video_that_is_still_being_copied_is_taken_when_it_is_complete(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    path = lab.add("P1_1.mp4")
    lab.add("P2_1.mp4", 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    digest = scan.hashlib.file_digest

    def meanwhile(file: Any, name: str) -> Any:
        found = digest(file, name)
        if Path(file.name) == path:
            path.write_bytes(whole[:900])
        return found

    with monkeypatch.context() as patch:
        patch.setattr(scan.hashlib, "file_digest", meanwhile)
        found = {Path(c.video).name: c.reason for c in lab.scan()}
    assert found["P2_1.mp4"] == ""
    assert found["P1_1.mp4"].startswith("it changed while it was being read; run again")
    path.write_bytes(whole)
    assert lab.state() == {"P1_1.mp4": OK, "P2_1.mp4": OK}


def test_a_video_that_vanishes_while_it_is_read_is_rejected(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    path = lab.add("P1_1.mp4")
    lab.add("P2_1.mp4", 1)
    digest = scan.hashlib.file_digest

    def meanwhile(file: Any, name: str) -> Any:
        path.unlink(missing_ok=True)
        return digest(file, name)

    with monkeypatch.context() as patch:
        patch.setattr(scan.hashlib, "file_digest", meanwhile)
        assert lab.state() == {"P1_1.mp4": REJECTED, "P2_1.mp4": OK}
    assert lab.state() == {"P2_1.mp4": OK}


def test_a_name_that_is_not_utf_8_is_rejected(lab: Lab):
    path = lab.add("P1_1.mp4")
    lab.add("P2_1.mp4", 1)
    path.rename(os.fsdecode(os.fsencode(lab.data) + b"/P\xe4_1.mp4"))
    found = {c.status: c for c in lab.scan()}
    assert found[REJECTED].reason == "its name is not valid UTF-8; rename it"
    assert found[OK].path == "P2/trial-1"


@pytest.mark.parametrize("name", ["Pä_1.mp4", "P 1_1.mp4", 'P"1\t_\n1.mp4'])
def test_odd_names_are_rejected_and_come_through_the_sheet(lab: Lab, name: str):
    lab.add(name)
    lab.add("P2_1.mp4", 1)
    assert lab.state() == {name: REJECTED, "P2_1.mp4": OK}
    assert lab.state() == {name: REJECTED, "P2_1.mp4": OK}
    assert not lab.hashed
