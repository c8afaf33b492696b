"""Many clips in one process: the model is loaded once, and every node is the one that a process of its own makes."""

from pathlib import Path
from typing import Any

import pytest
from gaitloom import backends, config
from gaitloom.clips import NodeKey
from gaitloom.derive import derive
from gaitloom.plan import Plan
from gaitloom.store import Store
from gaitloom.warm import Worker
from project import Project
from walker import Walk


@pytest.fixture
def plan(project: Project, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Three short walks, each with its video's node made."""
    monkeypatch.chdir(project.folder)
    project.config["nodes"] = {"track": {"backend": "blazepose"}}
    for seed in range(3):
        Walk(frames=6, size=(320, 180), seed=seed).write(project.data / f"S{seed}_1.mp4")
    plan = Plan.load(config.load(project.write_config()).model_dump(mode="json"), scan=True)
    for clip in plan.accepted:
        derive(plan, NodeKey.parse(f"{clip}/video"), plan.digests_of(clip)["video"])
    return plan


def job(plan: Plan, clip: str, node: str = "track") -> dict[str, Any]:
    """A job as Snakemake has it."""
    subject, name = clip.split("/")
    return {
        "rule": node,
        "wildcards": {"subject": subject, "clip": name},
        "params": {"node": node, "recipe": plan.digests_of(clip)[node]},
        "resources": {"ray_warm": f"gaitloom.warm:Worker {plan.path}"},
    }


def content(store: Store, clip: str) -> dict[str, bytes]:
    folder = store.path(NodeKey.parse(f"{clip}/track"))
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_model_is_loaded_once_and_no_byte_differs(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a job that failed, whose model may have stopped in mid-clip: it is loaded anew."""
    store, expected = Store(plan.config.results), {}
    for clip in plan.accepted:
        key = NodeKey.parse(f"{clip}/track")
        derive(plan, key, plan.digests_of(clip)["track"])
        expected[clip] = content(store, clip)
        store.drop(key)
    loads, load = [], backends.load
    monkeypatch.setattr(backends, "load", lambda *args: loads.append(args) or load(*args))
    worker = Worker(str(plan.path))
    for clip in plan.accepted:
        worker(job(plan, clip))
    assert len(loads) == 1
    assert {clip: content(store, clip) for clip in plan.accepted} == expected
    first, *_ = plan.accepted
    Path(plan.accepted[first].video).write_bytes(b"not a video")
    with pytest.raises(SystemExit):
        worker(job(plan, first))
    worker(job(plan, list(plan.accepted)[1]))
    assert len(loads) == 2


def test_a_failure_is_the_sentence_and_the_exit_code_of_the_command(
    plan: Plan, project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    clip, *_ = plan.accepted
    wrong = job(plan, clip) | {"params": {"node": "track", "recipe": "0" * 64}}
    with pytest.raises(SystemExit) as ended:
        Worker(str(plan.path))(wrong)
    said = capfd.readouterr().err.splitlines()[-1]
    command = project.gaitloom("derive", f"{clip}/track", "--recipe", "0" * 64)
    assert (ended.value.code, said) == (command.returncode, command.stderr.splitlines()[-1])


def test_a_changed_sheet_is_read_again(plan: Plan) -> None:
    worker = Worker(str(plan.path))
    first, *others = worker.plan.accepted
    assert worker.plan is worker.plan
    sheet = plan.config.results / "clips.tsv"
    rows = sheet.read_text().splitlines(keepends=True)
    sheet.write_text("".join([*rows[:1], *rows[2:]]))
    assert list(worker.plan.accepted) == others, first


def test_what_shares_a_worker(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes with one model do, whatever else differs; another option of the backend or another device does not."""
    monkeypatch.chdir(project.folder)
    project.config["nodes"] = {
        "track": {"backend": "blazepose"},
        "track_long": {"backend": "blazepose", "options": {"max_gap_s": 2}},
        "track_sure": {"backend": "blazepose", "backend_options": {"min_score": 0.9}},
    }
    path = project.write_config()
    keys = {
        rule: Worker.key({"rule": rule, "resources": {"ray_warm": f"gaitloom.warm:Worker {path}"}})
        for rule in ("track", "track_long", "track_sure", "index", "preview", "video")
    }
    assert keys["track"] == keys["track_long"] != keys["track_sure"]
    assert len({keys["index"], keys["preview"], keys["video"], keys["track"]}) == 2
