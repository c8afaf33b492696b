"""The decision file: strict to the letter, and each row changes what it means and nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest
from gaitloom import decisions
from gaitloom.clips import EXCLUDED, OK, REJECTED, Clip
from gaitloom.errors import GaitloomError
from gaitloom.tombstones import Tombstones
from reviewed import Reviewed

CLIPS = [Clip("A", trial="1"), Clip("B", trial="1"), Clip("C", trial="1", status=REJECTED, reason="no video")]
OF = "0123456789ab"


@pytest.fixture
def case(tmp_path: Path) -> Reviewed:
    return Reviewed(tmp_path)


def write(folder: Path, text: str) -> Path:
    path = folder / "decisions.tsv"
    path.write_text(text.replace("|", "\t"))
    return path


FULL = "clip|decision|start|end|box|of|mirrors|tattoos|name_tags|by|note\n"


def refusal(path: Path) -> str:
    with pytest.raises(GaitloomError) as caught:
        decisions.read(path, CLIPS)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.startswith(str(path)), sentence
    return sentence.removeprefix(str(path)).strip()


def test_every_kind_of_row_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        FULL
        + f"A/trial-1|accept||||{OF}|yes|yes|yes|KL|looked twice\n\n"
        + "A/trial-1|cover|3|9|1,2,30.5,40||||||a mirror\n"
        + "B/trial-1|exclude|||||||||consent withdrawn\n",
    )
    found = decisions.read(path, CLIPS)
    (accept, cover), (exclude,) = found["A/trial-1"], found["B/trial-1"]
    assert (accept.decision, accept.of, accept.row) == ("accept", OF, 2)
    assert (cover.start, cover.end, cover.box, cover.row) == (3, 9, (1, 2, 30.5, 40), 4)
    assert (exclude.decision, exclude.note) == ("exclude", "consent withdrawn")


def test_few_columns_in_any_order_are_enough(tmp_path: Path) -> None:
    path = write(tmp_path, "decision|clip\ncover|A/trial-1\n")
    (row,) = decisions.read(path, CLIPS)["A/trial-1"]
    assert (row.start, row.end, row.box) == (None, None, None)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("A/trail-1|exclude|||||||||", "row 2, column clip: there is no clip 'A/trail-1'"),
        ("A/trail-1|exclude|||||||||", "did you mean A/trial-1"),
        ("zzz|exclude|||||||||", "`gaitloom status` lists the clips."),
        ("|exclude|||||||||", "row 2, column clip: there is no clip ''"),
        ("A/trial-1|agree|||||||||", "row 2, column decision: 'agree' is none; write accept, cover or exclude."),
        ("A/trial-1||||||||||", "row 2, column decision: '' is none"),
        ("A/trial-1|cover|9|9|||||||", "row 2: the frames 9 to 9 are none"),
        ("A/trial-1|cover|9|3|||||||", "row 2: the frames 9 to 3 are none"),
        ("A/trial-1|cover|-1|3|||||||", "row 2: the frames -1 to 3 are none"),
        ("A/trial-1|cover||0|||||||", "row 2: the frames 0 to 0 are none"),
        ("A/trial-1|cover|nan||||||||", "row 2, column start: 'nan' is not a frame number"),
        ("A/trial-1|cover|1.5||||||||", "row 2, column start: '1.5' is not a frame number"),
        ("A/trial-1|cover|||1,2,3||||||", "row 2, column box: '1,2,3' is not a box"),
        ("A/trial-1|cover|||5,2,1,9||||||", "row 2, column box: '5,2,1,9' is not a box"),
        ("A/trial-1|cover|||nan,2,1,9||||||", "row 2, column box: 'nan,2,1,9' is not a box"),
        ("A/trial-1|cover|||0,0,inf,9||||||", "row 2, column box: '0,0,inf,9' is not a box"),
        (f"A/trial-1|cover||||{OF}|||||", "row 2, column of: 'cover' takes no such value"),
        ("A/trial-1|exclude|3||||||||", "row 2, column start: 'exclude' takes no such value"),
        (f"A/trial-1|accept|||1,2,3,4|{OF}|yes|yes|yes||", "row 2, column box: 'accept' takes no such value"),
        ("A/trial-1|accept|||||yes|yes|yes||", "row 2, column of: '' does not say what was looked at"),
        ("A/trial-1|accept||||012|yes|yes|yes||", "row 2, column of: '012' does not say"),
        (f"A/trial-1|accept||||{OF}|yes||yes||", "row 2, column tattoos: an accept needs 'yes' here"),
        (f"A/trial-1|accept||||{OF}|yes|yes|?||", "row 2, column name_tags: an accept needs 'yes' here"),
        (f"A/trial-1|accept||||{OF}|no|yes|yes||", "row 2, column mirrors: an accept needs 'yes' here"),
        ("A/trial-1|exclude", "row 2 does not have 11 columns"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_row(tmp_path: Path, row: str, says: str) -> None:
    assert says in refusal(write(tmp_path, FULL + row + "\n"))


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("clip|decide\n", "has no column 'decision'"),
        ("clip|decision|startx\n", "has an unknown column 'startx'; did you mean 'start'?"),
        ("clip|decision|colour\n", "has an unknown column 'colour'; remove it."),
        ("clip|decision|clip\n", "has the column 'clip' twice"),
        ("", "has no column 'clip'"),
    ],
)
def test_a_wrong_header_is_one_sentence(tmp_path: Path, header: str, says: str) -> None:
    assert says in refusal(write(tmp_path, header))


def test_no_file_is_no_decision_at_the_default_path_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert decisions.read(decisions.DEFAULT, CLIPS) == {} == decisions.read(None, CLIPS)
    with pytest.raises(GaitloomError, match=r"There is no decision file at mine\.tsv; correct review\.decisions"):
        decisions.read(Path("mine.tsv"), CLIPS)
    decisions.DEFAULT.parent.mkdir()
    decisions.DEFAULT.write_text("clip\tdecision\nnobody\texclude\n")
    with pytest.raises(GaitloomError, match="there is no clip 'nobody'"):
        decisions.read(decisions.DEFAULT, CLIPS)


def test_rows_on_who_withdrew_are_passed_over(case: Reviewed) -> None:
    case.values["clips"] = {**case.values["clips"], "withdrawn": case.folder / "withdrawn.tsv"}
    case.decide("Z/ses-02_trial-1 | cover", "A/trial-1 | cover")
    with pytest.raises(GaitloomError, match="there is no clip 'Z/ses-02_trial-1'"):
        _ = case.plan
    Tombstones(case.folder / "withdrawn.tsv").add("Z", "01", [])
    with pytest.raises(GaitloomError, match="there is no clip"):
        _ = case.plan
    Tombstones(case.folder / "withdrawn.tsv").add("Z", "02", [])
    assert [d.clip for d in case.plan.decisions_on(case.plan.clip("A/trial-1"))] == ["A/trial-1"]


def changed(case: Reviewed, *rows: str) -> set[str]:
    """The nodes, `clip/node`, that rows in the decision file give another digest."""
    case.decide()
    before = {f"{p}/{n}": d for p in ("A/trial-1", "B/trial-1") for n, d in case.plan.digests_of(p).items()}
    case.decide(*rows)
    after = {f"{p}/{n}": d for p in case.plan.accepted for n, d in case.plan.digests_of(p).items()}
    return {key for key, digest in before.items() if after.get(key) != digest}


def test_a_cover_changes_one_clips_deidentified_node_and_audit(case: Reviewed) -> None:
    expected = {"A/trial-1/deidentified", "A/trial-1/audit"}
    assert changed(case, "A/trial-1 | cover | 3 | 5 | 1,2,30,40") == expected
    assert changed(case, "A/trial-1 | cover") == expected


def test_an_accept_changes_one_clips_audit(case: Reviewed) -> None:
    row = f"A/trial-1 | accept | | | | {case.of()[:12]} | yes | yes | yes"
    assert changed(case, row) == {"A/trial-1/audit"}
    assert changed(case, row.replace(case.of()[:12], case.of())) == {"A/trial-1/audit"}


def test_an_accept_of_something_else_changes_nothing(case: Reviewed) -> None:
    assert changed(case, f"A/trial-1 | accept | | | | {case.of('B/trial-1')[:12]} | yes | yes | yes") == set()


def test_an_exclusion_takes_one_clip_out_and_says_why(case: Reviewed) -> None:
    gone = set(changed(case, "A/trial-1 | exclude | | | | | | | | KL | a face in the window"))
    assert gone == {f"A/trial-1/{n}" for n in case.plan.nodes}
    by_name = {c.path: (c.status, c.reason) for c in case.plan.clips}
    assert by_name == {"A/trial-1": (EXCLUDED, "a face in the window"), "B/trial-1": (OK, "")}
    case.decide("A/trial-1 | exclude")
    assert case.plan.clips[0].reason == "excluded in review"


def test_an_exclusion_leaves_other_statuses_alone() -> None:
    rows = {"C/trial-1": [decisions.Decision(2, "C/trial-1", "exclude", note="why")]}
    assert decisions.without_excluded(CLIPS, rows) == CLIPS


def test_order_notes_and_names_change_nothing(case: Reviewed) -> None:
    first, second = "A/trial-1 | cover | 3 | 5", "A/trial-1 | cover | | | 1,2,30,40"
    case.decide(first, second)
    before = case.plan.digests_of("A/trial-1")
    case.decide("B/trial-1 | exclude", second, first + " | | | | | | KL | Jane waves", first)
    assert case.plan.digests_of("A/trial-1") == before
    recipe = case.plan.recipes(case.plan.clip("A/trial-1"))["deidentified"]
    assert recipe["decisions"] == [
        {"start": None, "end": None, "box": [1, 2, 30, 40]},
        {"start": 3, "end": 5, "box": None},
    ]
    assert "Jane" not in json.dumps(case.plan.recipes(case.plan.clip("A/trial-1")))


def test_covers_become_frames_and_boxes_cut_to_the_picture() -> None:
    rows = [{"start": 1, "end": 3, "box": [-5, 10, 20, 30]}, {"start": None, "end": None, "box": None}]
    found = [(t, box.tolist()) for t, box in decisions.boxes(rows, 4, (100, 50))]
    assert found == [(1, [0, 10, 20, 30]), (2, [0, 10, 20, 30]), *((t, [0, 0, 100, 50]) for t in range(4))]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"start": 4, "end": None, "box": None}, "has 4 frames, so frames 4 to 4 cannot be covered"),
        ({"start": 0, "end": 5, "box": None}, "has 4 frames, so frames 0 to 5 cannot be covered"),
        ({"start": None, "end": None, "box": [100, 0, 120, 9]}, "has nothing to cover at the box [100, 0, 120, 9]"),
    ],
)
def test_a_cover_of_nothing_is_refused(row: dict, says: str) -> None:
    with pytest.raises(GaitloomError) as caught:
        list(decisions.boxes([row], 4, (100, 50)))
    assert says in str(caught.value) and "correct the decision file" in str(caught.value)


def test_rows_that_are_handed_out_read_back(tmp_path: Path) -> None:
    text = decisions.tsv(
        {"clip": "A/trial-1", "decision": "cover", "start": 2, "end": 9, "box": "1,2,3,4"},
        {"clip": "B/trial-1", "decision": "exclude", "note": 'a "quoted" word'},
    )
    path = tmp_path / "decisions.tsv"
    path.write_text("\t".join(decisions.COLUMNS) + "\n" + text)
    found = decisions.read(path, CLIPS)
    assert found["A/trial-1"][0].box == (1, 2, 3, 4) and found["A/trial-1"][0].end == 9
    assert found["B/trial-1"][0].note == 'a "quoted" word'
    np.testing.assert_equal(len(found), 2)
