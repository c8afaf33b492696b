"""What people read of a release: held against the release's own files and against what was put in; and what must not
stand there does not."""

import dataclasses
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import zarr
import zarr.storage
from gaitloom import gate
from gaitloom.clips import Clip
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.release import build, consent, documents, parts
from gaitloom.release import participants as people_of
from gaitloom.release.contents import Contents
from gaitloom.release.dataset import Dataset, Entry
from gaitloom.release.documents import answers, card, completeness, facts, figures, told
from gaitloom.release.settings import EXPORTERS, Tier, TierName

from release import people, sample

BERTA, CARL = sample.SUBJECTS
ALL = {"controlled": {"k": 1, "exporters": list(EXPORTERS)}}
FEW = {"k": 1, "exporters": ["alphapose"]}


def part(dataset: Dataset, entry: Entry) -> parts.Part:
    """A clip's part, made where it is not there as planned."""
    try:
        return parts.read(dataset, entry)
    except GaitloomError:
        parts.make(dataset.plan, entry.clip.path, dataset.tier)
    return parts.read(dataset, entry)


def keys(folder: Path) -> Path:
    """A folder with keys of its own that are always the same."""
    rows = [(tier, hashlib.sha256(tier.encode()).hexdigest()) for tier in ("open", "registered", "controlled")]
    folder.mkdir(exist_ok=True)
    (folder / "release.key").write_text("".join(f"{tier}\t{key}\n" for tier, key in [("tier", "key"), *rows]))
    return folder


def built(plan: Plan, tier: TierName) -> tuple[Path, Dataset]:
    """The tier's release, finished."""
    dataset = Dataset.of(plan, tier)
    for entry in dataset.entries:
        part(dataset, entry)
    return build.build(plan, tier), dataset


def written(dataset: Dataset, folder: Path, change: Callable[[Contents], None] = lambda _: None) -> dict[str, str]:
    """The documents of a data set, as a build writes them, without archives; `change` is done before."""
    (folder / "data").mkdir(parents=True)
    people_of.write(dataset, folder / "data")
    contents = Contents(dataset, folder, tuple(part(dataset, e) for e in dataset.entries), None)
    contents.write_clips()
    change(contents)
    documents.write(contents)
    return texts(folder)


def texts(folder: Path) -> dict[str, str]:
    """Every text beside data/."""
    return {p.name: p.read_text() for p in sorted(folder.iterdir()) if p.suffix in (".md", ".txt", ".tsv")}


def tables(text: str) -> list[list[list[str]]]:
    """The tables of a Markdown text, each with its head, the line below that, and its rows."""
    found: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", line)[1:-1]]
            found = found if inside else [*found, []]
            found[-1].append(cells)
        inside = line.startswith("|")
    return found


def rows(text: str, head: str) -> dict[str, list[str]]:
    """Of the table whose head begins with a word: first cell → the others."""
    (table,) = (t for t in tables(text) if t[0][0] == head)
    return {row[0]: row[1:] for row in table[2:]}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished release in every layout."""
    return built(sample.plan(keys(tmp_path_factory.mktemp("release")), tiers=ALL), "controlled")[0]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished sample in one folder; each test says who takes part."""
    return keys(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def of(lab: Path) -> Iterator[Callable[..., Dataset]]:
    """A tier of the sample, with participants' columns and keys of the tier as given."""

    def make(tier: TierName = "controlled", people: dict[str, Any] | None = None, **release: Any) -> Dataset:
        keys = {k: release.pop(k) for k in list(release) if k in Tier.model_fields}
        plan = sample.plan(lab, tiers={tier: {**FEW, **keys}}, **release)
        sample.participants(lab, **(people or {}))
        return Dataset.of(plan, tier)

    yield make
    sample.participants(lab)


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
    assert set(loaded) == {"clips", "participants"} and count == 4


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


def test_small_groups_are_told_by_nothing() -> None:
    random = np.random.default_rng(7)
    for _ in range(500):
        least = int(random.integers(1, 8))
        members = {f"g{n}": {f"{n}.{i}" for i in range(random.integers(1, 12))} for n in range(random.integers(1, 7))}
        shown, hidden = told.groups(members, least)
        assert all(len(members[name]) >= least for name in shown)
        assert hidden == set().union(*(m for name, m in members.items() if name not in shown))
        assert not hidden or len(hidden) >= least or not shown, "the rest is found by taking away"
        if all(len(m) >= least for m in members.values()):
            assert not hidden


def test_counts_of_people_are_in_bands_and_add_up() -> None:
    ages = ["34.5", "18", "17.9", "61", "62", "63", "90+", "n/a"]
    table = pd.DataFrame({"age": ages, "sex": list("FFFFFFFM")}, index=[f"P{n}" for n in range(8)])
    assert told.counts(table, "age", 1) == {"15-17": 1, "18-34": 2, "50-64": 3, "90+": 1, "n/a": 1}
    assert told.counts(table, "age", 2) == {"18-34": 2, "50-64": 3, told.OTHERS: 3}
    assert told.counts(table, "sex", 2) == {told.OTHERS: 8}, "M is 8 less the F"
    banded = pd.DataFrame({"age": ["5-9", "10-14", "<3", "90+"]}, index=list("abcd"))
    assert list(told.counts(banded, "age", 1)) == ["<3", "5-9", "10-14", "90+"]


def test_nothing_is_said_of_fewer_than_k(of: Any, tmp_path: Path) -> None:
    found = written(of(people={"diagnosis": ("rarum", "rarissimum")}, k=2), tmp_path / "r")
    assert "rarum" in (tmp_path / "r/data/participants.tsv").read_text()
    for column in ("sex", "age (years)", "bmi (kg/m²)", "diagnosis"):
        assert rows(found["STATISTICS.md"], column) == {told.OTHERS: ["2"]}
    assert not (tmp_path / "r/figures/people.png").exists()
    for name in set(found) - {"PRIVACY.md"}:  # which is about the smallest classes
        assert not re.search(r"rarum|rarissimum|18-34|34\.5", found[name]), name


def _walks() -> tuple[pd.DataFrame, dict[str, str]]:
    """Five people at one speed, two at another, one without a cadence."""
    random = np.random.default_rng(3)
    gait = [
        {"subject": f"P{n}", "condition": condition, "speed": 1 + 0.1 * n + shift + 0.01 * i, "cadence": 100.0 + n}
        for condition, count, shift in (("usual", 5, 0.0), ("fast", 2, 0.5))
        for n in range(count)
        for i in range(random.integers(1, 4))
    ]
    gait[0]["cadence"] = np.nan
    return pd.DataFrame(gait), {"speed": "m s-1", "cadence": "min-1"}


def test_gait_is_told_of_conditions_with_k_people() -> None:
    gait, units = _walks()
    told_of = {(r["parameter"], r["condition"]): r for r in told.by_condition(gait, units, 3)}
    assert set(told_of) == {("speed", "usual"), ("cadence", "usual")}
    usual = gait[gait["condition"] == "usual"]
    theirs = [np.mean(usual["speed"].to_numpy()[usual["subject"] == f"P{n}"]) for n in range(5)]
    assert told_of["speed", "usual"]["mean"] == pytest.approx(np.mean(theirs))
    assert told_of["speed", "usual"]["sd"] == pytest.approx(np.std(theirs, ddof=1))
    assert told_of["speed", "usual"]["people"] == 5 and told_of["speed", "usual"]["unit"] == "m s-1"
    assert {r["condition"] for r in told.by_condition(gait, units, 2)} == {"usual", "fast"}
    assert told.by_condition(pd.DataFrame(), {}, 1) == []


@pytest.fixture
def drawn(of: Any, tmp_path: Path) -> Callable[..., tuple[Path, dict[str, str]]]:
    """Draws figures of the sample with many more people, at k."""
    ages = [f"{20 + n * 1.5:g}" for n in range(40)]
    people = pd.DataFrame({"age": ages, "sex": ["F", "M"] * 19 + ["O", "F"]}, index=[f"P{n}" for n in range(40)])

    def draw(name: str, k: int = 3) -> tuple[Path, dict[str, str]]:
        dataset = of(k=k)
        held = tuple(part(dataset, e) for e in dataset.entries)
        (tmp_path / name / "data").mkdir(parents=True)
        people_of.write(dataset, tmp_path / name / "data")
        contents = Contents(dataset, tmp_path / name, held, None)
        gait, units = _walks()
        told_of = dataclasses.replace(facts.of(contents), people=people, gait=gait, units=units)
        return tmp_path / name / "figures", figures.write(contents, told_of)

    return draw


def test_figures_are_the_same_bytes_whatever_this_machine_prefers(drawn: Any) -> None:
    import matplotlib as mpl
    from PIL import Image

    first, captions = drawn("a")
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 20, "savefig.dpi": 30}):
        second, _ = drawn("b")
    assert {p.name for p in first.iterdir()} == {"frames.png", "valid.png", "people.png", "gait.png"}
    assert set(captions) == {f"figures/{p.name}" for p in first.iterdir()}
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()
        with Image.open(path) as image:
            assert set(image.info) <= {"dpi"}


def test_figures_show_no_small_group() -> None:
    from matplotlib.figure import Figure

    ages = pd.Series([f"{20 + n * 1.5:g}" for n in range(40)])
    table = pd.DataFrame({"age": ages, "sex": ["F", "M"] * 19 + ["O", "F"]}).rename(index="P{}".format)
    figure = Figure()
    figures._people(figure, cast(Any, None), cast(Any, mock.Mock(people=table)), 3)
    bars = [
        {
            label.get_text(): cast(Any, bar).get_height()
            for label, bar in zip(axes.get_xticklabels(), axes.patches, strict=True)
        }
        for axes in figure.axes
    ]
    assert bars[1] == {"F": 20, told.OTHERS: 20}, "O is one, and M what is left when F and O are known"
    counted = {"18-34": (ages.astype(float) < 35).sum(), "35-49": ages.astype(float).between(35, 49.9).sum()}
    assert {k: bars[0][k] for k in counted} == counted
    assert sum(bars[0].values()) == 40 and min(bars[0].values()) >= 3


def test_why_clips_are_left_out_is_told_without_names_or_small_numbers(tmp_path: Path) -> None:
    clips = [Clip(f"Berta{n}Muster", session="20240517") for n in range(12)]
    clips += [Clip("Dora", video="dora.mp4", status="rejected", reason="dora.mp4 cannot be read")]
    dataset = people.dataset(tmp_path, [{**people.AGREED, "subject": c.subject} for c in clips], clips)
    reasons = [f"subject {c.subject} is not in {tmp_path}/participants.tsv" for c in clips[:5]]
    reasons += ["consent expired on 2024-05-17"] * 5 + ["of age since 2024-05-17, and consent not renewed"] * 2
    left = {c.path: reason for c, reason in zip(clips, reasons, strict=False)}
    dataset = dataclasses.replace(dataset, left_out={**left, f"{clips[0].path}/gait": "no consent to gait"})
    contents = Contents(dataset, tmp_path, (), None)
    with mock.patch.object(type(dataset.settings), "k", lambda *_: 5):
        found = completeness.left_out(contents)
        # Two, and one: fewer than five; with the five of one of the others, no longer.
        assert sorted(found.values()) == ["5 clips", "8 clips"] and completeness.VARIOUS in found
    with mock.patch.object(type(dataset.settings), "k", lambda *_: 20):
        assert completeness.left_out(contents) == {completeness.VARIOUS: "clips of fewer than 20 people"}
    with mock.patch.object(type(dataset.settings), "k", lambda *_: 1):
        found = completeness.left_out(contents)
    assert found == {
        "no row in the table of participants": "5 clips", "consent expired": "5 clips",
        "consent not renewed at majority": "2 clips", completeness.UNUSED: "1 clips",
    }  # fmt: skip
    assert not re.search(r"Berta|Dora|2024|participants\.tsv", str(found))


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"consent": "no"}, "no consent to this"),
        ({"consent": "keypoints"}, "no consent to this"),
        ({"consent_version": ""}, "no consent to this"),
        ({"ethics": ""}, "no consent to this"),
        ({"consent_expires": "2025-01-01"}, "consent expired"),
        ({"adult_on": "2025-01-01"}, "consent not renewed at majority"),
        ({"age": "9"}, "consent of a minor incomplete"),
        ({"age": "9", "guardian": "yes"}, "consent of a minor incomplete"),
        ({"age": "9", "guardian": "yes", "assent": "yes"}, "consent of a minor incomplete"),
        ({"patient": "yes"}, "patients and minors are not in this tier"),
        ({"consent_scope": "registered"}, "no consent to this"),
    ],
)
def test_each_reason_that_consent_gives_has_its_kind(tmp_path: Path, row: dict[str, str], kind: str) -> None:
    settings = people.settings(tmp_path, [{**people.AGREED, "subject": BERTA, **row}])
    reason = consent.read(settings)[BERTA].refuses("gait", "open", None)
    assert reason and completeness.kind(reason) == kind


def test_who_has_no_row_is_a_number(lab: Path, of: Any, tmp_path: Path) -> None:
    found = written(of(people={"subject": (BERTA, "SomebodyElse")}), tmp_path / "r")
    last = found["COMPLETENESS.tsv"].splitlines()[-1].split("\t")
    assert last == ["n/a", "2 clips", "all", "not in this release: no row in the table of participants"]
    assert "2 clips (no row in the table of participants)" in found["DATASHEET.md"]
    everything = "".join(found.values()).casefold()
    for secret in (BERTA, CARL, "somebodyelse", sample.SESSION, str(lab)):
        assert secret.casefold() not in everything


def test_what_became_of_each_clip_is_told_apart(of: Any, tmp_path: Path) -> None:
    """Held, withheld by an audit, not consented, withdrawn, not made."""
    dataset = of(people={"consent": ("all", "keypoints, gait, deidentified")})
    names = {e.clip.path: (e.subject, e.name) for e in dataset.entries}
    first, second = (p for p in names if p.startswith(BERTA))
    lacks = {first: {"flow_dis", "deidentified"}, second: {"parts"}}

    def change(contents: Contents) -> None:
        pairs = [(lacks.get(e.clip.path, set()), p) for e, p in zip(dataset.entries, contents.parts, strict=True)]
        contents.parts = tuple(
            dataclasses.replace(
                p, nodes=tuple(n for n in p.nodes if n not in gone), withheld=("red",) * ("deidentified" in gone)
            )
            for gone, p in pairs
        )

    with mock.patch.object(Plan, "withheld", lambda _, path: ["flow_dis"] if path == first else []):
        found = written(dataset, tmp_path / "r", change)
    ledger = {tuple(r.split("\t")[:3]): r.split("\t")[3] for r in found["COMPLETENESS.tsv"].splitlines()[1:]}
    assert len(ledger) == 4 * 7
    odd = {k: v for k, v in ledger.items() if v != "released"}
    assert odd == {
        (*names[first], "flow"): "not consented",
        (*names[first], "deidentified"): "withheld: its audit does not allow it",
        (*names[second], "parts"): "not made",
        **{(*names[p], m): "not consented" for p in names if p.startswith(CARL)
           for m in ("flow", "parts", "silhouette", "track")},
    }  # fmt: skip
    assert "Pictures of 1 clips are withheld" in found["README.md"]
    assert found["DEIDENTIFICATION.md"].startswith("# De-identification\n\nPictures of 3 clips are released")
    assert rows(found["STATISTICS.md"], "node")["`track`"][0] == "2"


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


def _versions(folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Three versions, a year apart: a clip comes and one changes; who came and who changed leave."""
    tiers = {"controlled": FEW}
    sample.plan(keys(folder), tiers=tiers)
    videos = sorted((folder / "data").iterdir())
    aside = folder / "aside"
    aside.mkdir()
    video = videos[1].rename(aside / videos[1].name)  # Berta's second
    for version, date in (("1.0.0", "2026-11-20"), ("1.1.0", "2027-11-20"), ("1.2.0", "2028-11-20")):
        if version == "1.1.0":
            video.rename(folder / "data" / video.name)
            sample.participants(folder, consent=("all", "keypoints, gait"))
            videos[2].rename(aside / videos[2].name)  # Carl's first
        if version == "1.2.0":
            videos[0].rename(aside / videos[0].name)
            videos[3].rename(aside / videos[3].name)
        done, dataset = built(sample.plan(folder, tiers=tiers, version=version, date=date), "controlled")
        yield done, {e.clip.path: e.path for e in dataset.entries}


def test_the_changelog_counts_what_differs_and_names_nobody_who_left(tmp_path: Path) -> None:
    (first, one), (second, two), (third, three) = _versions(tmp_path)
    assert [len(one), len(two), len(three)] == [3, 3, 1]
    log = (second / "CHANGELOG.md").read_text()
    assert log.startswith("# Changes\n\n## 1.1.0 (2027)\n")
    for line in (
        "3 clips of 2 people; 1 clips are as before.",
        "1 clips were added; 0 people joined.",
        "1 clips hold other files than before.",
        "1 clips were removed or withdrawn; 0 people left.",
    ):
        assert f"- {line}\n" in log
    assert "Made otherwise" not in log and log.endswith(
        "## 1.0.0 (2026)\n\n- 3 clips of 2 people; there is no version before this one to compare with.\n"
    )
    (added,), (changed,) = two.keys() - one.keys(), [p for p in two if p.startswith(CARL)]
    listed = dict(line.rsplit("\t", 1) for line in (second / "CHANGES.tsv").read_text().splitlines()[1:])
    assert listed == {two[added].replace("/", "\t"): "added", two[changed].replace("/", "\t"): "changed"}

    log = (third / "CHANGELOG.md").read_text()
    assert "- 2 clips were removed or withdrawn; 1 people left.\n" in log
    assert [line for line in log.splitlines() if line.startswith("## ")] == [
        "## 1.2.0 (2028)", "## 1.1.0 (2027)", "## 1.0.0 (2026)",
    ]  # fmt: skip
    # Of the three versions: who was there once and is no longer stands nowhere.
    for old, now, folder in ((one, two, second), (two, three, third)):
        left = {name for path, released in old.items() if path not in now for name in (released,)}
        everything = "".join(texts(folder).values())
        assert left and not [path for path in left if path in everything or path.replace("/", "\t") in everything]
    (gone,) = {p.split("/")[0] for p in two.values()} - {p.split("/")[0] for p in three.values()}
    for path in third.rglob("*"):
        assert gone not in path.name and (path.is_dir() or gone.encode() not in path.read_bytes()), path
    assert not (third / "CHANGES.tsv").exists() and not (first / "CHANGES.tsv").exists()


def test_what_was_made_otherwise_or_is_gone_is_said(release: Path, tmp_path: Path) -> None:
    dataset = Dataset.of(sample.plan(release.parents[2], tiers=ALL), "controlled")
    shutil.copytree(release, tmp_path / "previous")
    for archive in (tmp_path / "previous/data").glob("*.zip"):
        archive.unlink()
    table = tmp_path / "previous/data/provenance.tsv"
    lines = [r.split("\t") for r in table.read_text().splitlines()]
    lines = [[*r[:3], "0123456789ab" if r[2] == "gait" else r[3], *r[4:]] for r in lines if r[2] != "flow_dis"]
    lines.append([*lines[1][:2], "keypoints_old", *lines[1][3:]])
    table.write_text("".join("\t".join(r) + "\n" for r in lines))
    clips = tmp_path / "previous/data/clips.tsv"
    clips.write_text(re.sub(r"\b[0-9a-f]{64}\b", "0" * 64, clips.read_text().replace("speed", "pace"), count=1))
    (tmp_path / "previous/data/zarr_track-01.zip").touch()

    def change(contents: Contents) -> None:
        contents.previous = tmp_path / "previous"

    found = written(dataset, tmp_path / "r", change)
    for line in (
        "1 clips hold other files than before.",
        "New kinds of data: `flow_dis`.",
        "Kinds of data no longer held: `keypoints_old`.",
        "Made otherwise (recipe or software): `gait`.",
        "Archives no longer here: `zarr_track`.",
        "New columns of `clips.tsv`: `speed`.",
        "Columns no longer in `clips.tsv`: `pace`.",
    ):
        assert f"- {line}\n" in found["CHANGELOG.md"]
    assert found["CHANGES.tsv"].count("\tchanged\n") == 1
    table.unlink()
    with pytest.raises(GaitloomError, match=r"previous is the release before this one, and cannot be read"):
        written(dataset, tmp_path / "again", change)


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
