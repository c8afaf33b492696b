"""`gaitloom accept` on small nodes made by hand, and copies in place of computing: what is said is counted here."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from gaitloom import backends, config
from gaitloom import derive as deriving
from gaitloom.accept import Change, accept
from gaitloom.cli import app
from gaitloom.clips import Clip, NodeKey, write_sheet
from gaitloom.config import Kept
from gaitloom.derive import derive
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.provenance import KEPT, changes, differences, keeping
from gaitloom.reconcile import _guard_kept
from gaitloom.store import Store
from typer.testing import CliRunner

NODES: dict[str, Any] = {
    "track": {"backend": "blazepose"},
    "keypoints": {"backend": "blazepose"},
    "silhouette": {"backend": "blazepose"},
    "silhouette_next": {"backend": "blazepose", "backend_options": {"threshold": 0.3}},
    "parts": {"backend": "skeleton"},
    "faces": {"backend": "centerface"},
    "deidentified": {"backend": "mosaic"},
    "deidentified_next": {"backend": "mosaic", "options": {"margin": 1.5}},
    "audit": {"backend": "basic"},
}
CLIPS = [Clip(f"P{n}", trial="1", video=f"/nowhere/secret-{n}.mp4", sha256=str(n) * 64) for n in (1, 2, 3, 4)]
PLACES = {
    "P1": [25, 25],
    "P2": [20, 20],
    "P3": [30, 20],
}  # left sides of the variant's squares, 10 wide; the base's: 20
IOU = {"P1": 1 / 3, "P2": 1, "P3": 1 / 2}


def put(plan: Plan, clip: Clip, node: str, **arrays: np.ndarray) -> None:
    store, recipe = Store(plan.config.results), plan.recipes(clip)[node]
    staged = store.stage(plan.key(clip, node))
    for name, values in arrays.items():
        staged.put(name, values, ("time", "y", "x")[: values.ndim])
    staged.publish(recipe, {"modality": recipe["modality"]})


def squares(*left: int) -> dict[str, np.ndarray]:
    mask = np.zeros((len(left), 20, 60), bool)
    for t, x in enumerate(left):
        mask[t, 5:15, x : x + 10] = True
    return {"mask": mask, "valid": np.ones(len(left), bool)}


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """The plan of four clips in an empty folder; nodes may be changed."""
    monkeypatch.chdir(tmp_path)

    def plan(**nodes: Any) -> Plan:
        chosen = {k: v for k, v in {**NODES, **nodes}.items() if v is not None}
        return Plan(config.parse({"results": "results", "clips": {"folders": ["data"]}, "nodes": chosen}), CLIPS)

    return plan


@pytest.fixture
def plan(make: Callable[..., Plan]) -> Plan:
    """Both silhouettes of three clips; the fourth has the base alone."""
    made = make()
    for clip in CLIPS:
        put(made, clip, "silhouette", **squares(20, 20))
        if clip.subject in PLACES:
            put(made, clip, "silhouette_next", **squares(*PLACES[clip.subject]))
    return made


def report(plan: Plan, variant: str) -> tuple[str, list[dict[str, str]]]:
    accept(plan, variant, None)
    rows = io.StringIO((plan.config.results / f"changes/{variant}.tsv").read_text())
    return (plan.config.results / f"changes/{variant}.md").read_text(), list(csv.DictReader(rows, delimiter="\t"))


def test_every_clip_stands_in_the_table_worst_first(plan: Plan) -> None:
    text, rows = report(plan, "silhouette_next")
    assert [r["clip"] for r in rows] == ["P1/trial-1", "P3/trial-1", "P2/trial-1", "P4/trial-1", "all"]
    found = {r["clip"][:2]: float(r["iou"]) for r in rows[:3]}
    assert found == pytest.approx(IOU, rel=1e-3)
    assert [r["differs"] for r in rows] == ["mask", "mask", "", "", "2"], "squares at the same place are the same bytes"
    assert [r["lacks"] for r in rows] == ["", "", "", "silhouette_next", "1"]
    assert float(rows[-1]["iou"]) == pytest.approx(sum(IOU.values()) / 3, rel=1e-3)
    assert "3 of 4 clips have both nodes as planned; 1 lack" in text
    assert "On 1 of the 3 they are the same to the last bit." in text
    assert f"| iou | {rows[-1]['iou']} |" in text
    assert "| backend_options.threshold | 0.5 | 0.3 |" in text
    assert not any(word in text for word in ("P1", "trial", "secret", "nowhere"))
    assert "secret" not in (plan.config.results / "changes/silhouette_next.tsv").read_text()


def test_what_would_be_made_is_what_reads_it(plan: Plan) -> None:
    text, _ = report(plan, "silhouette_next")
    counted = [line for line in text.split("made anew |")[1].splitlines() if line.startswith("| ")]
    assert counted[1:] == ["| silhouette | 4 | 3 | 1 |", "| parts | 4 | 0 | 4 |"], "parts alone are made of silhouettes"
    assert "None is touched." in text


def test_a_chain_of_variants_is_copied(make: Callable[..., Plan]) -> None:
    """Where the variant has readers of its own already, these stand in for the old ones as well."""
    above = {"backend": "skeleton", "reads": {"silhouette": "silhouette_next"}}
    made = make(parts_next=above)
    for clip in CLIPS[:2]:
        for node in ("silhouette", "silhouette_next"):
            put(made, clip, node, **squares(20, 20))
        put(made, clip, "parts_next", **squares(20))
    text, _ = report(made, "silhouette_next")
    assert "| parts | 4 | 2 | 2 |" in text


def test_the_printed_lines_do_it(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(plan.config.model_dump_json())
    write_sheet(plan.config.results / "clips.tsv", plan.clips)
    done = CliRunner().invoke(app, ["accept", "silhouette_next", "--config", str(tmp_path / "config.yaml")])
    assert done.exit_code == 0, done.output
    lines = yaml.safe_load(done.stdout)
    assert list(lines) == ["silhouette", "silhouette_next"]
    assert lines["silhouette_next"] is None
    nodes = {k: v for k, v in {**NODES, **lines}.items() if v is not None}
    values = {"results": "results", "clips": {"folders": ["data"]}, "nodes": nodes}
    after = Plan(config.parse(values), CLIPS).digests_of("P1/trial-1")
    before = plan.digests_of("P1/trial-1")
    assert after["silhouette"] == before["silhouette_next"]
    assert after["keypoints"] == before["keypoints"]


def test_a_variant_that_others_read_has_to_stay(make: Callable[..., Plan], capsys: pytest.CaptureFixture[str]) -> None:
    made = make(parts_next={"backend": "skeleton", "reads": {"silhouette": "silhouette_next"}})
    for node in ("silhouette", "silhouette_next"):
        put(made, CLIPS[0], node, **squares(20))
    accept(made, "silhouette_next", "silhouette")
    printed = capsys.readouterr().out
    assert list(yaml.safe_load(printed)) == ["silhouette"]
    assert "# silhouette_next has to stay: the configuration: nodes.parts_next.reads.silhouette" in printed


def test_decisions_that_are_touched_are_named(make: Callable[..., Plan]) -> None:
    """Row 2 accepts the making that would be replaced, row 3 the one that replaces it, row 4 an older one; row 5 covers
    in both."""
    digests = {c.subject: make().digests_of(c.path) for c in CLIPS}
    looked = [digests["P1"]["deidentified"], digests["P2"]["deidentified_next"], "0" * 12]
    rows = [f"{c.path}\taccept\t\t{of[:12]}\tyes\tyes\tyes" for c, of in zip(CLIPS, looked, strict=False)]
    header = "clip\tdecision\tstart\tof\tmirrors\ttattoos\tname_tags"
    Path("config").mkdir()
    Path("config/decisions.tsv").write_text("\n".join([header, *rows, "P4/trial-1\tcover\t3\t\t\t\t"]) + "\n")
    made = make()
    for node in ("deidentified", "deidentified_next"):
        put(made, CLIPS[0], node, level=np.arange(len(node)))
    text, table = report(made, "deidentified_next")
    assert "was accepted: rows 2 of the decision file" in text
    assert "as they are: rows 5 of the decision file" in text
    assert "There is no measure of agreement for deidentified nodes" in text
    assert table[0] == {"clip": "P1/trial-1", "lacks": "", "differs": "level"}
    assert "| audit | 4 | 0 | 4 |" in text
    for node in ("silhouette", "silhouette_next"):
        put(made, CLIPS[0], node, **squares(20))
    assert "None is touched." in report(made, "silhouette_next")[0], "no de-identified node is made of silhouettes"


def test_labels_that_differ_are_no_reason_to_fail(
    make: Callable[..., Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {"backend": "skeleton", "reads": {"silhouette": "silhouette_next"}}
    made = make(parts_next=parts)
    for node, space in (("parts", "coarse"), ("parts_next", "fine")):
        staged = Store(made.config.results).stage(made.key(CLIPS[0], node))
        staged.put("label", np.zeros((1, 4, 4), np.uint8), ("time", "y", "x"))
        staged.put("valid", np.ones(1, bool), ("time",))
        staged.publish(made.recipes(CLIPS[0])[node], {"label_space": space})
    text, _ = report(made, "parts_next")
    assert "`gaitloom evaluate parts_next parts` says why" in text
    assert "do not use the same labels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variant", "over", "sentence"),
    [
        ("silhouette_nxt", None, "'silhouette_nxt' is not a node of the configuration; choose: "),
        ("silhouette_next", "silhouette_old", "'silhouette_old' is not a node"),
        ("silhouette", None, "Nothing says in whose place silhouette shall be"),
        ("silhouette_next", "track", "silhouette_next is no track node"),
        ("silhouette", "silhouette", "Nothing says in whose place silhouette shall be"),
        ("deidentified_next", None, "No clip has both deidentified and deidentified_next as planned; run snakemake"),
    ],
)
def test_refusals(plan: Plan, variant: str, over: str | None, sentence: str) -> None:
    with pytest.raises(GaitloomError, match=sentence) as caught:
        accept(plan, variant, over)
    assert "\n" not in str(caught.value)
    assert not (plan.config.results / "changes").exists()


def test_what_is_accepted_already_is_said(make: Callable[..., Plan]) -> None:
    with pytest.raises(GaitloomError, match="silhouette is made as silhouette_next is already; there is nothing to"):
        accept(make(silhouette=NODES["silhouette_next"]), "silhouette_next", None)


def test_a_circle_is_refused(make: Callable[..., Plan]) -> None:
    made = make(silhouette_manual={"backend": "manual"}, silhouette_next=None)
    with pytest.raises(GaitloomError, match=r"silhouette_manual cannot take the place of silhouette: .* in a circle"):
        _ = Change(made, "silhouette", "silhouette_manual").after


# what an earlier version made


def test_kept_recipes_are_those_of_the_earlier_version(make: Callable[..., Plan]) -> None:
    """The parts that another version writes otherwise, and only they; what reads the node stays as it is too."""
    now = make().recipes(CLIPS[0])
    old = make(silhouette={"backend": "blazepose", "kept": {"backend_version": 99, "options": {"gone": True}}})
    recipes = old.recipes(CLIPS[0])
    assert differences(now["silhouette"], recipes["silhouette"]) == ["backend_version", "options.gone"]
    assert differences(now["parts"], recipes["parts"]) == ["inputs.silhouette"]
    assert list(old.kept) == ["silhouette"]
    same = make(silhouette={"backend": "blazepose", "kept": {"backend_version": now["silhouette"]["backend_version"]}})
    assert not same.kept, "that is this version's own: it can be made"
    line = yaml.safe_load(keeping(recipes["silhouette"], now["silhouette"]))
    assert make(silhouette={"backend": "blazepose", "kept": line}).recipes(CLIPS[0]) == recipes


def test_only_what_a_version_changed_is_offered_to_be_kept(plan: Plan) -> None:
    recipe = plan.recipes(CLIPS[0])["silhouette"]
    assert keeping({**recipe, "modality_version": 7}, recipe) == "{modality_version: 7}"
    assert keeping({**recipe, "backend_options": {"threshold": 0.1}}, recipe) == "", "somebody's choice"
    assert keeping({**recipe, "backend_version": 7, "inputs": {}}, recipe) == "", "not all of it can be kept"
    assert keeping({}, recipe) == ""
    assert set(KEPT) == set(Kept.model_fields)
    assert changes({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "d": 4}) == {"a.b": (1, 3), "c": (2, None), "d": (None, 4)}


def test_what_is_kept_is_not_made(make: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(silhouette={"backend": "blazepose", "kept": {"backend_version": 99}})
    monkeypatch.setattr(deriving, "_same_content", lambda *_: None)
    key = made.key(CLIPS[0], "silhouette")
    planned = made.planned(key)
    assert planned
    with pytest.raises(GaitloomError, match=r"nodes\.silhouette\.kept keeps what .* \(backend_version\); accept a"):
        derive(made, key, planned)
    assert Store(made.config.results).list() == []


def test_no_run_begins_that_would_replace_what_is_kept(make: Callable[..., Plan]) -> None:
    """Other content, and what a copy gives back, are no reason to stop; another option is."""
    kept = {"backend": "blazepose", "kept": {"backend_version": 99}}
    made = make(silhouette=kept)
    put(made, CLIPS[0], "silhouette", **squares(20))
    _guard_kept(made)
    _guard_kept(Plan(made.config, [replace(CLIPS[0], sha256="9" * 64), *CLIPS[1:]]))
    changed = make(silhouette={**kept, "backend_options": {"threshold": 0.9}})
    with pytest.raises(GaitloomError, match=r"P1/trial-1/silhouette could not be made again, .*backend_options\.thr"):
        _guard_kept(changed)
    _guard_kept(make(silhouette={**kept, "backend_options": {"threshold": 0.9}, "kept": {}}))
    as_it_was = make(silhouette_v1={**kept, "backend_options": {"threshold": 0.9}})
    put(as_it_was, CLIPS[0], "silhouette_v1", **squares(20))
    _guard_kept(changed)


# copies


@pytest.fixture
def swapped(plan: Plan, make: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> tuple[Plan, NodeKey, Path]:
    """The plan once the variant took the base's place, the base of a clip, and the folder of its variant; a backend
    that is called says so."""
    monkeypatch.setattr(deriving, "_same_content", lambda *_: None)

    def called(*_: Any) -> None:
        raise GaitloomError("the backend was called")

    monkeypatch.setattr(backends, "load", called)
    put(plan, CLIPS[0], "video", time=np.arange(2.0))
    after = make(silhouette=NODES["silhouette_next"], silhouette_next=None)
    return after, after.key(CLIPS[0], "silhouette"), Path("results/store.zarr/P1/trial-1/silhouette_next")


def make_it(plan: Plan, key: NodeKey) -> None:
    planned = plan.planned(key)
    assert planned
    derive(plan, key, planned)


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    found = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): (p.read_bytes(), p.stat().st_ino) for p in found}


def test_a_copy_is_one(swapped: tuple[Plan, NodeKey, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Every byte of it, in files of its own, so that what happens to one does not happen to the other; the variant need
    not be in the configuration any more."""
    plan, key, variant = swapped
    make_it(plan, key)
    copied, source = files(variant.with_name("silhouette")), files(variant)
    assert {k: v[0] for k, v in copied.items()} == {k: v[0] for k, v in source.items()}
    assert not {v[1] for v in copied.values()} & {v[1] for v in source.values()}
    assert "P1/trial-1/silhouette is a copy of silhouette_next" in capsys.readouterr().err
    record = json.loads(Path("results/provenance/P1/trial-1/silhouette.json").read_text())
    assert record["copied_from"] == "silhouette_next"
    assert record["recipe_digest"] == plan.planned(key)
    assert list(Path("results/.staging").iterdir()) == []


def changed_chunk(node: Path) -> None:
    chunk = node / "mask/c/0/0/0"
    data = bytearray(chunk.read_bytes())
    data[-1] ^= 1
    chunk.write_bytes(data)


def changed_attribute(node: Path) -> None:
    document = json.loads((node / "zarr.json").read_text())
    document["attributes"]["modality"] = "track"
    (node / "zarr.json").write_text(json.dumps(document))


FAULTS: list[Callable[[Path], object]] = [
    changed_chunk,
    changed_attribute,
    lambda node: (node / "mask/c/0/0/0").unlink(),
    lambda node: (node / "mask/c/0/0/1").write_bytes(b"more"),
    lambda node: (node / "zarr.json").unlink(),
    lambda node: (node / "zarr.json").write_text("{"),
    lambda node: shutil.copytree(node.with_name("silhouette"), node, dirs_exist_ok=True),
]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_whole_is_not_copied(swapped: tuple[Plan, NodeKey, Path], fault: Callable[[Path], object]) -> None:
    """Changed, missing and added files, no metadata, and (the last one) a whole node of another recipe."""
    plan, key, variant = swapped
    fault(variant)
    old = files(variant.with_name("silhouette"))
    with pytest.raises(GaitloomError):
        make_it(plan, key)
    assert files(variant.with_name("silhouette")) == old
    assert list(Path("results/.staging").iterdir()) == []


def test_one_that_is_made_anew_while_it_is_copied_is_not_taken(
    swapped: tuple[Plan, NodeKey, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, key, variant = swapped
    monkeypatch.setattr(Store, "alike", lambda *_: [NodeKey("P1", "trial-1", "silhouette")])
    old = files(variant.with_name("silhouette"))
    with pytest.raises(GaitloomError):
        make_it(plan, key)
    assert files(variant.with_name("silhouette")) == old
