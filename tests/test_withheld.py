"""Consent withdrawn for one kind of data: what the plan, and whoever asks it, makes of a clip without some nodes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gaitloom
import numpy as np
import pytest
from gaitloom import (
    audit_report,
    config,
    export,
    gate,
    index,
    preview,
    remains,
    report,
    review,
    status,
    tombstones,
    verify,
    view,
    withdraw,
)
from gaitloom.clips import Clip, NodeKey, write_sheet
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.provenance import Recipe, digest
from gaitloom.store import Store
from gaitloom.tombstones import Tombstones
from reviewed import Reviewed, raw_pixels

A, B = "A/trial-1", "B/trial-1"
KEYPOINTS = {"keypoints", "faces", "deidentified", "audit"}  # with what reads them


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reviewed:
    """Two clips with the nodes of a de-identified one; a table of withdrawals beside them."""
    monkeypatch.chdir(tmp_path)
    case = Reviewed(tmp_path)
    case.values["clips"] = {**case.values["clips"], "withdrawn": tmp_path / "withdrawn.tsv"}
    return case


def mark(case: Reviewed, *nodes: str, subject: str = "A", session: str | None = None, content: str = "") -> Plan:
    marks = Tombstones.of(config.parse(case.values))
    marks.add(subject, session, [content] if content else [], nodes)
    return case.plan


def put(store: Store, key: NodeKey, recipe: Recipe) -> None:
    """A node with this recipe."""
    staged = store.stage(key)
    staged.put("time", np.arange(3.0), ("time",))
    staged.publish(recipe, {"modality": recipe["modality"]})


def put_planned(plan: Plan, path: str, *nodes: str) -> None:
    clip = plan.clip(path)
    for node in nodes or plan.nodes_of_clip(path):
        put(Store(plan.config.results), plan.key(clip, node), plan.recipes(clip)[node])


def test_a_withheld_node_and_what_reads_it_are_planned_for_nobody_else(case: Reviewed) -> None:
    before = case.plan
    plan = mark(case, "keypoints")
    assert set(plan.withheld(A)) == KEYPOINTS and plan.nodes_of_clip(A) == ["video", "track"]
    assert plan.nodes_of_clip(B) is plan.nodes, "clips that have every node share one list"
    assert plan.digests_of(A) == {n: d for n, d in before.digests_of(A).items() if n not in KEYPOINTS}
    assert plan.digests_of(B) == before.digests_of(B)
    assert set(map(str, before.keys())) - set(map(str, plan.keys())) == {f"{A}/{n}" for n in KEYPOINTS}
    assert before.index_digest(A) != plan.index_digest(A) and before.index_digest(B) == plan.index_digest(B)
    assert before.report_digest() != plan.report_digest()
    with pytest.raises(GaitloomError, match="audit is not made: consent for it, or for what it reads, was withdrawn"):
        plan.recipe(NodeKey("A", "trial-1", "audit"), before.digests_of(A)["audit"])


def test_a_reader_is_never_made_from_nothing(case: Reviewed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the readers are forgotten, no recipe comes out at all."""
    plan = mark(case, "keypoints")
    monkeypatch.setattr(tombstones, "withheld", lambda marks, clip, reads: marks.nodes(clip, reads))
    assert "keypoints" not in plan.nodes_of_clip(A) and "faces" in plan.nodes_of_clip(A), "the planted fault"
    with pytest.raises(KeyError, match="keypoints"):
        plan.digests_of(A)


@pytest.mark.parametrize(
    ("marked", "clip", "gone"),
    [
        ({"nodes": ["flow"]}, Clip("a", session="2"), {"flow_dis", "flow_tvl1"}),
        ({"nodes": ["flow_dis"]}, Clip("A"), {"flow_dis"}),
        ({"nodes": ["flow_dis"]}, Clip("AB"), set()),
        ({"nodes": ["flow"], "session": "1"}, Clip("A", session="1"), {"flow_dis", "flow_tvl1"}),
        ({"nodes": ["flow"], "session": "1"}, Clip("A", session="2"), set()),
        ({"nodes": ["flow_dis"], "content": "ab" * 32}, Clip("X", sha256="ab" * 32), {"flow_dis"}),
        ({"nodes": ["track"], "content": "ab" * 32}, Clip("X", sha256="ab" * 32), {"track", "flow_dis", "flow_tvl1"}),
        ({"nodes": ["trac"]}, Clip("A"), set()),
    ],
)
def test_whose_nodes_are_withheld(tmp_path: Path, marked: dict[str, Any], clip: Clip, gone: set[str]) -> None:
    reads = {"video": {}, "track": {"video": "video"}}
    reads |= {flow: {"video": "video", "track": "track"} for flow in ("flow_dis", "flow_tvl1")}
    content = marked.get("content")
    Tombstones(tmp_path / "t.tsv").add("A", marked.get("session"), [content] if content else [], marked["nodes"])
    marks = Tombstones(tmp_path / "t.tsv")
    assert tombstones.withheld(marks, clip, reads) == gone
    assert not marks.refuse(clip), "the clip itself stays"
    text = (tmp_path / "t.tsv").read_text()
    assert not any(word in text for word in ("flow", "track", "\tA", "abab")), "nothing in clear"


def test_a_lost_mark_stops_every_plan(case: Reviewed) -> None:
    plan = mark(case, "keypoints")
    table = plan.config.clips.withdrawn
    rows = table.read_text().splitlines(keepends=True)
    table.write_text("".join(rows[:1]))  # the planted fault: the mark is deleted, or an old table put back
    with pytest.raises(GaitloomError, match=r"withdrawn.tsv lacks 1 marks of who withdrew; put it back"):
        _ = case.plan
    table.unlink()
    with pytest.raises(GaitloomError, match="lacks 1 marks"):
        _ = case.plan
    (plan.config.results / ".withdrawn.tsv").unlink()
    assert case.plan.withheld(A) == [], "so it is the marks alone that withhold"


def test_everything_lives_with_a_clip_that_lacks_nodes(case: Reviewed, capsys: pytest.CaptureFixture[str]) -> None:
    case.all()
    case.video(B)
    case.deidentified(B)
    case.audit(B, flags=["unproven"])
    case.store.drop(NodeKey("A", "trial-1", "deidentified"))
    case.store.drop(NodeKey("A", "trial-1", "audit"))
    plan = mark(case, "deidentified")
    index.index_root(plan)
    report.write(plan)
    ledger = {(r.clip, r.node): (r.state, r.reason) for r in status.ledger(plan)}
    withheld = "withdrawn", "consent for it, or for what it reads"
    assert ledger[A, "deidentified"] == ledger[A, "audit"] == withheld
    assert {n for c, n in ledger if c == A} == set(plan.nodes)
    status.status(plan, as_tsv=False)
    assert "withdrawn" in capsys.readouterr().out

    (refusal,) = gate.releasable(plan, case.store, plan.clip(A), "basic")
    assert refusal.startswith("consent for audit and deidentified was withdrawn")
    assert audit_report.audit(plan, None, "basic") == 1
    assert [v.clip.path for v in review.queue(plan)] == [B], "there is nothing of A to look at"
    assert A not in (plan.config.results / "review" / "index.html").read_text()

    preview.render(plan, A)
    preview.contact_sheet(plan, plan.config.results / "contact.png")
    import cv2

    strip = cv2.imread(str(plan.config.results / "preview" / f"{A}.jpg"))
    assert strip is not None and raw_pixels(strip[..., ::-1]) == 0, "never over raw pictures"
    assert raw_pixels(np.full((4, 4, 3), (20, 20, 230), np.uint8)) == 16

    capsys.readouterr()
    view.view(plan, A)
    assert "deidentified: withdrawn" in capsys.readouterr().out
    tree = gaitloom.open(case.store.root / A)
    assert set(tree.children) == {"video"} and tree["video"]["time"].shape == (12,)
    with pytest.raises(GaitloomError, match="No clip has keypoints"):
        export.export(mark(case, "keypoints"), "keypoints", [A], "coco", case.folder / "export")


def test_a_node_left_behind_is_found(case: Reviewed, capsys: pytest.CaptureFixture[str]) -> None:
    put_planned(case.plan, A)
    put_planned(case.plan, B)
    plan = mark(case, "keypoints")
    assert {str(k) for k in remains.Remains(plan).nodes()} == {f"{A}/{n}" for n in KEYPOINTS}
    rows = {r.node: r.reason for r in status.ledger(plan) if r.state == "withdrawn"}
    assert set(rows) == KEYPOINTS and all(
        "it is in the store; run `gaitloom withdraw` again" in r for r in rows.values()
    )
    assert verify.main(plan, drop=True) == 1
    said = capsys.readouterr().out
    assert said.count("is there, though consent for it, or for what it was made from, was withdrawn") == len(KEYPOINTS)
    assert not list(remains.Remains(plan).nodes()), "dropped"


def test_what_may_have_been_made_from_it_counts_as_made_from_it(case: Reviewed) -> None:
    """Nodes that the plan knows nothing of, or not as they are: only a chain of known digests speaks for one."""
    plan = mark(case, "keypoints")
    put_planned(plan, A)
    store, base = Store(plan.config.results), plan.digests_of(A)

    def other(node: str, **inputs: str) -> str:
        recipe = {"modality": node.split("_")[0], "inputs": {"video": base["video"], **inputs}}
        put(store, NodeKey("A", "trial-1", node), recipe)
        return digest(recipe)

    old = other("track_old")
    other("flow_old", track=old)
    other("gait_old", track=old, keypoints="of what is gone")
    other("keypoints_old", track=old)
    other("parts_lost", track="of nobody knows what")
    (store.path(NodeKey("A", "trial-1", "silhouette_torn"))).mkdir()
    (store.path(NodeKey("A", "trial-1", "silhouette_torn")) / "chunk").touch()
    found = {k.node for k in remains.Remains(plan).nodes()}
    assert found == {"gait_old", "keypoints_old", "parts_lost", "silhouette_torn"}


@pytest.mark.parametrize(
    ("left", "found"),
    [
        ("provenance/A/trial-1/keypoints.json", True),
        ("failures/A/trial-1/audit.json", True),
        ("logs/keypoints_old/A/trial-1.log", True),
        ("logs/slurm/rule_keypoints/A_trial-1/17.log", True),
        ("logs/track/A/trial-1.log", False),
        ("provenance/A/trial-1/video.json", False),
        ("preview/A/trial-1.mp4", False),
        ("provenance/B/trial-1/keypoints.json", False),
        ("provenance/AB/trial-1/keypoints.json", False),
        ("provenance/Z/ses-2_trial-1/track.json", True),
        ("preview/z/ses-2_trial-7.jpg", True),
        ("logs/slurm/rule_track/Z_ses-2_trial-1/17.log", True),
        ("logs/track/Z/ses-2_trial-1.log.old", True),
        ("provenance/Z/ses-1_trial-1/track.json", False),
    ],
)
def test_files_left_behind_are_found_by_marks_alone(
    case: Reviewed, capsys: pytest.CaptureFixture[str], left: str, found: bool
) -> None:
    """Of A, keypoints were withdrawn; of Z, who is in no table any more, a session."""
    mark(case, subject="Z", session="2")
    plan = mark(case, "keypoints")
    file = plan.config.results / left
    file.parent.mkdir(parents=True)
    file.touch()
    assert list(remains.Remains(plan).files()) == ([file] if found else [])
    assert verify.main(plan, drop=False) == int(found)
    assert (f"{file} is of what was withdrawn" in capsys.readouterr().out) == found


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("ledger.tsv", "clip\tnode\nB/trial-1\ttrack\nZ/ses-2_trial-1\ttrack\n"),
        ("gait.tsv", "subject\tsession\nZ\t1\nz\t2\n"),
        ("clips.tsv", "subject\tsession\tsha256\nB\t\t11\nY\t\tcd\n"),
        ("videos.tsv", "path\tsha256\nb.mp4\t11\nz.mp4\tcd\n"),
    ],
)
def test_rows_left_behind_are_found_by_marks_alone(case: Reviewed, table: str, text: str) -> None:
    plan = mark(case, subject="Z", session="2", content="cd")
    (plan.config.results / table).write_text(text)
    assert list(remains.Remains(plan).rows()) == [f"{plan.config.results / table} row 3"]


def test_other_peoples_manual_corrections_and_exports_stay(case: Reviewed, capsys: pytest.CaptureFixture[str]) -> None:
    case.values["nodes"] = {
        "track": {"backend": "blazepose"},
        "keypoints": {"backend": "blazepose"},
        "silhouette": {"backend": "blazepose"},
        **{f"{m}_manual": {"backend": "manual"} for m in ("keypoints", "silhouette")},
    }
    kinds = "keypoints.xml", "keypoints.exported.xml", "keypoints.about.json", "silhouette.xml"
    theirs = [Path("corrections", clip, name) for clip in (A, B) for name in kinds]
    exported = [Path("export", clip, "alphapose-results.json") for clip in (A, B)]
    for file in (*theirs, *exported):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    for clip in case.clips():
        case.video(clip.path)
    file = run(case, "keypoints_manual")
    assert [p for p in (*theirs, *exported) if not p.exists()] == [*theirs[:3], exported[0]]
    withdraw.withdraw(file, "A", None, True)
    assert [p for p in (*theirs, *exported) if p.exists()] == [*theirs[4:], exported[1]]
    assert not Path("corrections/A").exists() and not Path("export/A").exists(), "no empty folders either"
    said = capsys.readouterr().err
    assert "remove" in said and "A_1.mkv from the input folder" in said


def run(case: Reviewed, *nodes: str, really: bool = True, before: Callable[[Plan], Any] | None = None) -> Path:
    """`gaitloom withdraw A --node ... --yes`; gives the configuration file."""
    import yaml

    values = config.parse(case.values).model_dump(mode="json", exclude_unset=True)
    file = case.folder / "config.yaml"
    file.write_text(yaml.safe_dump(values))
    write_sheet(case.folder / "results" / "clips.tsv", case.clips())
    if before:
        before(case.plan)
    withdraw.withdraw(file, "A", None, really, nodes)
    return file


def test_releases_are_set_aside_and_never_over_each_other(tmp_path: Path) -> None:
    releases = tmp_path / "releases"
    for turn, name in enumerate(("v1", "v1-2", "v1")):
        for begun in ("building", "done"):
            (tmp_path / "release" / begun).mkdir(parents=True, exist_ok=True)
        (releases / name).mkdir(parents=True)
        (releases / name / "turn").write_text(str(turn))
        aside = withdraw.set_releases_aside(tmp_path)
        assert [(p / "turn").read_text() for p in aside] == [str(n) for n in range(turn + 1)], "earlier ones too"
        assert [p.name for p in releases.iterdir()] == [".withdrawn"] and not list((tmp_path / "release").iterdir())
    assert [p.name for p in withdraw.set_releases_aside(tmp_path)] == ["v1", "v1-2", "v1-3"]
    assert withdraw.set_releases_aside(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ("video", "Every node is made from video; leave --node out"),
        ("keypionts", "There is no node 'keypionts'; choose from: audit, "),
        ("flow_tvl9", "There is no node 'flow_tvl9'"),
    ],
)
def test_a_wrong_node_is_one_sentence_and_marks_nothing(case: Reviewed, node: str, says: str) -> None:
    with pytest.raises(GaitloomError, match=says):
        run(case, node)
    assert not (case.folder / "withdrawn.tsv").exists() and not (case.folder / "withdrawn.key").exists()
