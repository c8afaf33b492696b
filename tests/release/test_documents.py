"""What people read of a release: held against the release's own files and against what was put in."""

import dataclasses
import json
import math
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import zarr
import zarr.storage
from gaitloom import gate
from gaitloom.errors import GaitloomError
from gaitloom.release.contents import Archive, Contents
from gaitloom.release.dataset import Dataset
from gaitloom.release.documents import answers, card, facts
from gaitloom.release.settings import EXPORTERS

from release import documented, sample
from release.documented import ALL, built, keys, part, rows, tables, texts, written


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished release in every layout."""
    return built(sample.plan(keys(tmp_path_factory.mktemp("release")), tiers=ALL), "controlled")[0]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished sample in one folder; each test says who takes part."""
    return keys(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def of(lab: Path) -> Callable[..., Dataset]:
    """`documented.of` of the sample."""
    return partial(documented.of, lab)


def test_what_the_card_and_statistics_count_is_what_the_release_holds(release: Path) -> None:
    found = texts(release)
    archives = {p.name: p for p in (release / "data").glob("*.zip")}
    listed = rows(found["README.md"], "archive")
    assert {re.findall(r"`(.*)`", name)[0] for name in listed} == set(archives)
    for name, (layout, count, size) in listed.items():
        path = archives[re.findall(r"`(.*)`", name)[0]]
        assert int(count.replace(",", "")) == len(zipfile.ZipFile(path).namelist())
        number, unit = size.split()
        assert float(number) * 1000 ** ("B", "kB", "MB").index(unit) == pytest.approx(path.stat().st_size, rel=6e-3)
        assert path.name.startswith(f"{layout}_")
    clips = pd.read_csv(release / "data/clips.tsv", sep="\t")
    counted = {k: int(v[0]) for k, v in rows(found["STATISTICS.md"], "").items() if k != "time"}
    expected = {"people": clips["subject"].nunique(), "clips": len(clips), "frames": clips["frames"].sum()}
    assert counted == expected == {"people": 2, "clips": 4, "frames": 160}
    assert "**2 people, 4 clips, 160 frames.**" in found["README.md"]
    shares = {name.strip("`"): cells for name, cells in rows(found["STATISTICS.md"], "node").items()}
    for node, (count, share) in shares.items():
        store = zarr.storage.ZipStore(archives[f"zarr_{node.split('_')[0]}.zip"], mode="r")
        held = zarr.open_group(store, mode="r")
        valid = np.concatenate([np.asarray(held[f"{r.subject}/{r.clip}/{node}/valid"]) for r in clips.itertuples()])
        assert (count, share) == ("4", f"{100 * valid.mean():.1f} %"), node
    assert len(shares) == 7 and shares["flow_dis"][1] == "97.5 %"


def test_every_table_is_one_and_no_figure_or_link_leads_nowhere(release: Path) -> None:
    for name, text in texts(release).items():
        for table in tables(text) if name.endswith(".md") else ():
            assert len(table) > 2, f"{name} has an empty table: {table}"
            assert len({len(row) for row in table}) == 1, f"{name}: {table}"
        for target in re.findall(r"\]\(([^)]+)\)", text):
            assert (release / target).is_file(), f"{name} leads to {target}"
        assert not re.findall(r"https?://", text), f"{name}: nobody gave an address"
        assert "\n\n\n\n" not in text


def test_each_layout_opens_by_the_lines_of_the_card(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release, tmp_path / "release")
    code = re.findall(r"```python\n(.*?)```", texts(release)["README.md"], re.S)
    (tmp_path / "code.json").write_text(json.dumps(code))
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    command = [sys.executable, str(Path(__file__).with_name("opened.py")), str(tmp_path / "code.json")]
    done = subprocess.run(command, cwd=tmp_path / "release", env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(code) == 1 + len(EXPORTERS)
    assert found.pop("modules") == []
    assert found == {
        "tables": 4, "people": [2, ["Age", "BMI", "Height", "ID", "Sex", "Weight"]], "videos": 4, "parquet": 40,
        "pickle": 40, "coco": 40, "alphapose": 40, "zarr": [4, 40],
    }  # fmt: skip


def test_an_array_archive_in_several_parts_opens_too(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    with zipfile.ZipFile(release / "data/zarr_flow.zip") as whole:
        for part in (1, 2):
            with zipfile.ZipFile(tmp_path / f"data/zarr_flow-0{part}.zip", "w") as piece:
                for name in whole.namelist()[part - 1 :: 2]:
                    piece.writestr(name, whole.read(name))
    names: dict[str, Any] = {}
    exec(card._zarr([Archive(f"zarr_flow-0{n}.zip", "zarr", "flow", 1, (), 1, "") for n in (1, 2)]), names)
    assert len(names["clips"]["data"]) == 4
    flow = names["clip"]["flow_dis"]
    assert flow.sizes["time"] == 40 and np.isfinite(flow["flow"][:5]).all()


def test_the_hub_reads_the_card_and_loads_the_tables(release: Path, tmp_path: Path) -> None:
    script = (
        "import datasets, huggingface_hub, json, os\n"
        "card = huggingface_hub.DatasetCard.load('README.md').data.to_dict()\n"
        "tables = {c['config_name']: datasets.load_dataset(os.getcwd(), c['config_name'])['train'].to_list() "
        "for c in card['configs']}\n"
        "print(json.dumps([card, tables, datasets.load_dataset(os.getcwd())['train'].num_rows]))"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run([sys.executable, "-c", script], cwd=release, env=env, capture_output=True, check=True)
    about, loaded, count = json.loads(done.stdout.splitlines()[-1])
    assert about["license"] == "other" and about["license_name"] == "dua" and about["extra_gated_fields"]
    assert (release / about["license_link"]).is_file()
    assert about["size_categories"] == ["n<1K"] and about["pretty_name"] == sample.RELEASE["title"]
    for name, got in loaded.items():
        table = pd.read_csv(release / f"data/{name}.tsv", sep="\t")
        assert got == table.astype(object).where(table.notna(), None).to_dict("records"), name
    assert set(loaded) == {"clips", "participants", "gait"} and count == 4


def test_no_title_breaks_the_head_or_a_table(of: Any, tmp_path: Path) -> None:
    import huggingface_hub

    release = {"title": 'Walks: "up and | down"\n# not a heading', "keywords": ["a: b", "c, d", "#e"]}
    found = written(of(people={"diagnosis": ("a|b", "c")}, **release), tmp_path / "r")
    about = huggingface_hub.DatasetCard(found["README.md"]).data.to_dict()
    assert about["pretty_name"] == release["title"] and about["tags"] == release["keywords"]
    assert 'Walks: "up and | down" # not a heading' in found["README.md"].split("---")[2]
    assert not re.search(r"^# not a heading", "".join(found[n] for n in found if n != "README.md"), re.M)
    assert rows(found["STATISTICS.md"], "diagnosis") == {"a|b": ["1"], "c": ["1"]}


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC-BY-NC-ND-4.0", {"license": "cc-by-nc-nd-4.0"}),
        ("ODbL-1.0", {"license": "odbl"}),
        ("CDLA-Permissive-2.0", {"license": "other", "license_name": "cdla-permissive-2.0"}),
    ],
)
def test_licences_are_called_as_the_hub_calls_them(
    of: Any, tmp_path: Path, licence: str, expected: dict[str, str]
) -> None:
    found = written(of("open", licence=licence), tmp_path / "r")
    head = card.yaml.safe_load(found["README.md"].split("---")[1])
    assert {k: head[k] for k in expected} == expected and "extra_gated_fields" not in head
    assert f"https://spdx.org/licenses/{licence}" in found["LICENSE.txt"]
    assert "DEIDENTIFICATION.md" not in found and "We ask of everybody" in found["DATA_USE.md"]


def test_gait_is_that_of_both_sides_in_the_clips_condition() -> None:
    names, units = ["step_length", "cadence", "speed", "width"], ["m", "min-1", "m s-1", "m"]
    node = mock.Mock(attributes={"parameter_names": names, "parameter_units": units})
    node.load = {"summary_mean": np.array([[0.6, 110, 1.2, 9], [1, 1, 1, 1], [2, 2, 2, 2]])}.__getitem__
    source = mock.Mock(
        entry=mock.Mock(subject="P1", columns={"speed": "NW", "condition": "alone"}), open=lambda _: node
    )
    known: dict[str, str] = {}
    expected = {"subject": "P1", "condition": "alone, NW", "speed": 1.2, "cadence": 110.0, "step_length": 0.6}
    assert facts._gait(source, "gait", known) == expected
    assert known["cadence"] == "min-1"


def test_deidentification_tells_what_audits_said(of: Any, tmp_path: Path) -> None:
    judge, looked = gate.judge, []

    def flagged(*args: Any) -> gate.Verdict:
        verdict = judge(*args)
        looked.append(verdict.clip.path)
        audit = {**(verdict.audit or {}), "missed": {"tracks": 10, "missed": 1}}
        if len(looked) == 1:
            return dataclasses.replace(verdict, audit=audit, flags=("whole_frame",), accepted=True)
        return dataclasses.replace(verdict, audit=audit)

    dataset = of()
    for entry in dataset.entries:
        part(dataset, entry)
    with mock.patch.object(gate, "judge", flagged):
        text = written(dataset, tmp_path / "r")["DEIDENTIFICATION.md"]
    assert len(looked) == 4
    assert set(map(tuple, rows(text, "gate").values())) == {("4", "0", "0")} and len(rows(text, "gate")) == 6
    assert rows(text, "reason") == {"face": ["160"]} and rows(text, "flag") == {"whole frame": ["1"]}
    assert "Of 40 heads that the judges followed they saw 4 uncovered" in text
    share = float(re.findall(r"at most ([\d.]+) %", text)[0]) / 100
    as_few = sum(math.comb(40, n) * share**n * (1 - share) ** (40 - n) for n in range(5))
    assert as_few == pytest.approx(0.05, abs=2e-4), "Clopper and Pearson's bound: 4 or fewer are seen in one of twenty"
    assert "accepted: 1." in text and "less than 14.4 pixels" in text


@pytest.mark.parametrize(
    ("tier", "gone"),
    [
        ({"modalities": ["keypoints"]}, "## Gait"),
        ({"columns": {}}, "## People"),
        ({"modalities": ["gait"], "columns": {}, "clip_columns": []}, "| sex"),
    ],
)
def test_a_release_may_lack_gait_columns_or_all_but_one_clip(
    of: Any, tmp_path: Path, tier: dict[str, Any], gone: str
) -> None:
    dataset = of(**tier)
    dataset = dataclasses.replace(dataset, entries=dataset.entries[:1])
    found = written(dataset, tmp_path / "r")
    assert gone not in found["STATISTICS.md"] and "**1 people, 1 clips, 40 frames.**" in found["README.md"]
    found.pop("PRIVACY.md")
    for table in (t for text in found.values() for t in tables(text)):
        assert len(table) > 2 or table[0] == ["archive", "layout", "files", "size"]  # there is none here


def test_the_laboratorys_own_texts_take_their_place(of: Any, tmp_path: Path) -> None:
    (tmp_path / "answers.md").write_text("# Ours\n\n## Motivation\n\nTo learn {{ settings.keys }}.\n\n## uses\nNone.\n")
    (tmp_path / "terms.md").write_text("Ask first.\n")
    found = written(of(terms=tmp_path / "terms.md", answers=tmp_path / "answers.md"), tmp_path / "r")
    sheet = found["DATASHEET.md"]
    assert "To learn {{ settings.keys }}." in sheet.split("## Motivation")[1].split("## ")[0], "text, not a template"
    assert sheet.count("To be answered by the laboratory") == len(answers.SECTIONS) - 2
    assert found["DATA_USE.md"] == "Ask first.\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"## motives\nx\n", r"answers\.md: '## motives' is no section of a datasheet; use motivation, "),
        (b"To learn.\n", r"answers\.md: 'To learn\.' is below no heading"),
        (b"\xff\xfe", r"answers\.md cannot be read as UTF-8 text; correct release\.answers"),
        (None, r"answers\.md cannot be read as UTF-8 text; correct release\.answers"),
    ],
)
def test_answers_that_cannot_be_used_are_one_sentence(tmp_path: Path, text: bytes | None, sentence: str) -> None:
    if text is not None:
        (tmp_path / "answers.md").write_bytes(text)
    with pytest.raises(GaitloomError, match=sentence):
        answers.read(tmp_path / "answers.md")


def test_layouts_say_in_few_lines_what_they_lack(of: Any, lab: Path) -> None:
    dataset = of()
    clip = dataset.entries[0].path
    said = {"flow_dis": "why", **{f"{clip}{n}": "no place" for n in range(1500)}, f"{clip}/parts": "not theirs"}
    with mock.patch("gaitloom.release.exporters.find", lambda _: mock.Mock(refused=lambda _: said)):
        lines = facts._refused(Contents(dataset, lab, (), None), "health_gait")
    assert Counter(lines) == {
        "no `flow_dis`: why": 1,
        "nothing of 1 clips (`parts`): not theirs": 1,
        "nothing of 1500 clips (all): no place": 1,
    }
