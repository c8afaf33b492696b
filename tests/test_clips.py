"""Clips: keys, names, and the two sheets."""

import errno
from pathlib import Path

import pytest
from gaitloom import clips
from gaitloom.clips import EXCLUDED, OK, REJECTED, Clip, NodeKey
from gaitloom.errors import GaitloomError

EXTRA = ("condition", "speed")


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ({"session": "01", "trial": "03", "camera": "side", "segment": "1"}, "P1/ses-01_trial-03_cam-side_seg-1"),
        ({"trial": "03"}, "P1/trial-03"),
        ({"session": "2", "camera": "a.b"}, "P1/ses-2_cam-a.b"),
        ({}, "P1/clip"),
    ],
)
def test_a_clip_is_named_by_the_parts_of_its_key_that_are_used(key: dict[str, str], path: str):
    assert Clip("P1", **key).path == path


def test_different_keys_give_different_paths():
    values = ("", "1", "2-1", "seg-1")
    paths = [
        Clip("P", session=s, trial=t, camera=c, segment=g).path
        for s in values
        for t in values
        for c in values
        for g in values
    ]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize(
    ("a", "b", "shared"),
    [
        ((None, None), (None, None), True),
        ((None, None), (50, 60), True),
        ((0, 50), (50, 100), False),
        ((0, 51), (50, 100), True),
        ((None, 50), (50, None), False),
        ((50, None), (70, None), True),
        ((10, 90), (20, 30), True),
    ],
)
def test_overlap_is_shared_frames(a: tuple, b: tuple, shared: bool):
    one, other = (Clip("P", start=s, end=e) for s, e in (a, b))
    assert one.overlaps(other) is other.overlaps(one) is shared


@pytest.mark.parametrize(
    ("pattern", "path", "fields"),
    [
        ("{subject}", "P1", {"subject": "P1"}),
        (
            "{subject}/{session}_{trial}_{camera}",
            "P-1/v1_03_side.left",
            {"subject": "P-1", "session": "v1", "trial": "03", "camera": "side.left"},
        ),
        (
            "{subject}-{session}_{condition}_{segment}",
            "0001-0001_backward_203-514",
            {"subject": "0001", "session": "0001", "condition": "backward", "segment": "203-514"},
        ),
        ("sub-{subject}/ses-{session}/video", "sub-7/ses-2/video", {"subject": "7", "session": "2"}),
        ("{camera}.{subject}", "cam1.P7", {"camera": "cam1", "subject": "P7"}),
        ("{subject}_{trial}", "P1", None),
        ("{subject}_{trial}", "P1_1_2", None),
        ("{subject}_{trial}", "day1/P1_1", None),
        ("{subject}_{trial}", "P1_", None),
        ("{subject}_{trial}", "P1_a b", None),
        ("{subject}_{trial}", "P1_é", None),
        ("{subject}_{trial}", "P1_..", None),
        ("{subject}.x", "P1-x", None),
    ],
)
def test_a_pattern_reads_names(pattern: str, path: str, fields: dict[str, str] | None):
    assert clips.from_name(path, pattern) == fields


def sheet(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    """A sheet written by hand; `|` stands for a tab."""
    path = tmp_path / "clips.tsv"
    path.write_text(text.replace("|", "\t"), encoding=encoding)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(GaitloomError) as caught:
        clips.read_by_hand(path, EXTRA)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence.replace(str(path), "SHEET")


def test_a_row_gives_everything_that_a_clip_has(tmp_path: Path):
    path = sheet(
        tmp_path,
        "video|subject|session|trial|camera|segment|start|end|box|capture_fps|sync_offset_s|condition|speed\n"
        "a/b.mp4|P1|s|t|c|g|10|52|1.5, 2,30,40|239.76|-0.25|usual|\n",
    )
    assert clips.read_by_hand(path, EXTRA) == [
        Clip(
            "P1",
            "s",
            "t",
            "c",
            "g",
            video="a/b.mp4",
            start=10,
            end=52,
            box=(1.5, 2, 30, 40),
            capture_fps=239.76,
            sync_offset_s=-0.25,
            extra={"condition": "usual"},
        )
    ]


def test_only_the_video_is_needed_and_the_rest_is_left_open(tmp_path: Path):
    assert clips.read_by_hand(sheet(tmp_path, "video\na.mp4\n"), EXTRA) == [Clip("", video="a.mp4")]


def test_exclude_carries_its_reason(tmp_path: Path):
    found = clips.read_by_hand(sheet(tmp_path, "video|exclude\na.mp4|fell ill\nb.mp4|\n"), EXTRA)
    assert [(c.status, c.reason) for c in found] == [(EXCLUDED, "fell ill"), (OK, "")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_sheets_of_other_programs_are_read(tmp_path: Path, encoding: str, newline: str):
    """A byte-order mark, Windows line ends, blanks around values, quotes, and empty rows."""
    text = newline.join(["video|subject|condition", '" a.mp4 "| P1 |größer', "||", "", "b.mp4|P2|", "||", ""])
    found = clips.read_by_hand(sheet(tmp_path, text, encoding), EXTRA)
    assert found == [Clip("P1", video="a.mp4", extra={"condition": "größer"}), Clip("P2", video="b.mp4")]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("subject|trial", "SHEET has no column 'video'"),
        ("video,subject", "SHEET has no column 'video'"),
        ("", "SHEET has no column 'video'"),
        ("video|trail", "SHEET has an unknown column 'trail'; did you mean 'trial'?"),
        ("video|cndition", "SHEET has an unknown column 'cndition'; did you mean 'condition'?"),
        ("video|qqq", "SHEET has an unknown column 'qqq'; list it under clips.columns"),
        ("video|sha256", "SHEET has an unknown column 'sha256'"),
        ("video|trial|trial", "SHEET has the column 'trial' twice"),
    ],
)
def test_a_wrong_column_is_named(tmp_path: Path, header: str, says: str):
    assert refusal(sheet(tmp_path, header + "\n")).startswith(says)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *((k, v) for k in clips.KEY for v in ("a b", "a_b", "../x", ".x", "é", "a/b")),
        *(("start", v) for v in ("ten", "1.5")),
        *(("capture_fps", v) for v in ("0", "-30", "nan", "inf", "fast")),
        *(("sync_offset_s", v) for v in ("late", "nan")),
        *(("box", v) for v in ("1,2,3", "30,2,1,40", "1,40,30,2", "a,b,c,d", "nan,0,1,1")),
    ],
)
def test_a_bad_value_names_row_column_and_value(tmp_path: Path, column: str, value: str):
    path = sheet(tmp_path, f"video|{column}\na.mp4|\n\nb.mp4|{value}\n")
    sentence = refusal(path)
    assert sentence.startswith(f"SHEET row 4, column {column}: ")
    assert (value if column != "capture_fps" else "") in sentence


@pytest.mark.parametrize(("start", "end"), [("-1", ""), ("", "1"), ("10", "11"), ("10", "10"), ("10", "5")])
def test_a_segment_has_two_frames_at_least(tmp_path: Path, start: str, end: str):
    path = sheet(tmp_path, f"video|start|end\nb.mp4|{start}|{end}\n")
    assert refusal(path).startswith("SHEET row 2: ")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a.mp4|P1", "SHEET row 3 does not have 3 columns"),
        ("a.mp4|P1|1|2", "SHEET row 3 does not have 3 columns"),
        ("|P1|1", "SHEET row 3, column video: "),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path: Path, row: str, says: str):
    assert refusal(sheet(tmp_path, f"video|subject|trial\nb.mp4|P|1\n{row}\n")).startswith(says)


def test_a_sheet_that_is_missing_or_no_text_is_named(tmp_path: Path):
    assert "There is no clip sheet at SHEET" in refusal(tmp_path / "clips.tsv")
    assert "UTF-8" in refusal(sheet(tmp_path, "video|condition\na.mp4|größer\n", "latin-1"))
    assert "UTF-8" in refusal(sheet(tmp_path, "video|condition\na.mp4|usual\n", "utf-16"))


CLIPS = [
    Clip("P1", "1", "2", "side", "3", "data/a.mp4", "ab" * 32, 5, 70, (0.1 + 0.2, 1.0, 1e3, 4.5), 239.76, -0.125),
    Clip("P1", "1", "3", video="data/b.mp4", sha256="cd" * 32, extra={"condition": "very\tslow", "notes": 'say "hi"'}),
    Clip("P2", video="data/ä.mp4", status=EXCLUDED, reason="fell ill,\nor so"),
    Clip("", video="data/c.mp4", status=REJECTED, reason="it is empty; copy it again"),
]


def test_the_resolved_sheet_reads_as_it_was_written(tmp_path: Path):
    path = tmp_path / "results/clips.tsv"
    assert clips.write_sheet(path, CLIPS)
    assert sorted(clips.read_sheet(path), key=CLIPS.index) == CLIPS


def test_the_resolved_sheet_is_written_only_if_it_changes(tmp_path: Path):
    path = tmp_path / "clips.tsv"
    assert clips.write_sheet(path, CLIPS)
    before = path.stat()
    assert not clips.write_sheet(path, reversed(CLIPS))  # the order that clips come in is nothing
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert clips.write_sheet(path, CLIPS[:2])
    assert clips.read_sheet(path) == CLIPS[:2]
    assert [p.name for p in tmp_path.iterdir()] == ["clips.tsv"]


def test_a_sheet_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "clips.tsv"
    clips.write_sheet(path, CLIPS)

    def full(draft: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="space"):
        clips.write_sheet(path, CLIPS[:1])
    assert clips.read_sheet(path) == sorted(CLIPS, key=lambda c: c.subject)
    assert [p.name for p in tmp_path.iterdir()] == ["clips.tsv"]


def test_no_resolved_sheet_yet(tmp_path: Path):
    with pytest.raises(GaitloomError, match="gaitloom scan"):
        clips.read_sheet(tmp_path / "clips.tsv")


@pytest.mark.parametrize("text", ["P1/trial-1/track", "/P1/trial-1/track/"])
def test_a_node_is_named_by_its_place(text: str):
    key = NodeKey.parse(text)
    assert key == NodeKey("P1", "trial-1", "track")
    assert (str(key), key.clip) == ("P1/trial-1/track", "P1/trial-1")


@pytest.mark.parametrize("text", ["", "P1/trial-1", "P1/trial-1/track/box", "P1/../track", "P1/./track", "P1//track"])
def test_what_names_no_node_is_refused(text: str):
    with pytest.raises(GaitloomError, match="subject/clip/node"):
        NodeKey.parse(text)
