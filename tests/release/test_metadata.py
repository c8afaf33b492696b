"""What machines read of a release, read by their own clients; and each planted defect is caught by one of them."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bagit
import mlcroissant
import pandas as pd
import pytest
import yaml
from gaitloom.release import build, parts
from rocrate.rocrate import ROCrate

from release import sample

BIN = Path(sys.executable).parent
TIERS = {"open": {"k": 1, "exporters": ["zarr", "alphapose"]}, "controlled": {"k": 1, "exporters": ["zarr", "coco"]}}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    plan = sample.plan(folder, tiers=TIERS)
    for path in plan.parts("controlled"):
        parts.make(plan, path, "controlled")
    return build.build(plan, "controlled")


@pytest.fixture
def release(built: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    shutil.copytree(built, folder)
    return folder


def document(release: Path, name: str) -> dict[str, Any]:
    return json.loads((release / name).read_text())


def records(release: Path, name: str) -> list[dict[str, Any]]:
    """The records of a set, as mlcroissant loads them."""
    dataset = mlcroissant.Dataset(release / "croissant.json")
    return [{k.split("/")[-1]: told(v) for k, v in record.items()} for record in dataset.records(name)]


def told(value: Any) -> Any:
    """A value of a table: a number where it is one, None where it says n/a."""
    text = value.decode() if isinstance(value, bytes) else str(value)
    try:
        return None if text in ("n/a", "nan", "None") else float(text)
    except ValueError:
        return text


def crate_faults(release: Path, tmp_path: Path) -> dict[str, list[str]]:
    command = [sys.executable, str(Path(__file__).with_name("roc.py")), str(release), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))


def test_croissant_validates_and_every_record_set_loads(release: Path) -> None:
    done = subprocess.run(
        [BIN / "mlcroissant", "validate", "--jsonld", release / "croissant.json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "Done" in done.stderr, done.stderr
    sets = {s["@id"] for s in document(release, "croissant.json")["recordSet"]}
    assert {"clips", "participants", "provenance"} <= sets
    for name in sets:
        table = pd.read_csv(release / "data" / f"{name}.tsv", sep="\t", dtype=str, keep_default_na=False)
        assert records(release, name) == table.map(told).astype(object).where(table != "n/a", None).to_dict(
            "records"
        ), name


def test_croissant_names_every_archive_with_its_hash_and_what_is_inside(release: Path) -> None:
    distribution = document(release, "croissant.json")["distribution"]
    objects = {d["contentUrl"]: d for d in distribution if d["@type"] == "cr:FileObject"}
    for path in sorted((release / "data").rglob("*.*")):
        entry = objects.pop(path.relative_to(release).as_posix())
        assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert entry["contentSize"] == f"{path.stat().st_size} B"
    assert not objects
    (inside,) = (d for d in distribution if d["@id"] == "coco_data.zip.json")
    assert inside["containedIn"] == {"@id": "coco_data.zip"} and inside["includes"] == "**/*.json"


def test_a_renamed_column_does_not_load(release: Path) -> None:
    table = release / "data" / "clips.tsv"
    table.write_text(table.read_text().replace("frames", "pictures", 1))
    with pytest.raises(Exception, match=r"Download\(clips\.tsv\)"):  # by its hash
        records(release, "clips")
    old = next(d["sha256"] for d in document(release, "croissant.json")["distribution"] if d["@id"] == "clips.tsv")
    text = (release / "croissant.json").read_text()
    (release / "croissant.json").write_text(text.replace(old, hashlib.sha256(table.read_bytes()).hexdigest()))
    with pytest.raises(Exception, match="clips"):
        records(release, "clips")


def test_the_bag_is_valid_by_its_own_program(release: Path) -> None:
    done = subprocess.run([BIN / "bagit.py", "--validate", release], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    info = bagit.Bag(str(release)).info
    assert info["Bagging-Date"] == "2026-11-20"


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "defect",
    [
        lambda r: (r / "data/clips.tsv").unlink(),
        lambda r: (r / "data/extra.tsv").write_text("x\n"),
        lambda r: _flip(r / "data/zarr_keypoints.zip"),
        lambda r: _flip(r / "croissant.json"),
        lambda r: (r / "CITATION.cff").unlink(),
    ],
    ids=["missing", "extra", "changed archive", "changed metadata", "missing metadata"],
)
def test_a_damaged_bag_is_not_valid(release: Path, defect: Callable[[Path], Any]) -> None:
    defect(release)
    assert subprocess.run([BIN / "bagit.py", "--validate", release], capture_output=True, check=False).returncode != 0
    sums = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=release, capture_output=True, check=False)
    listed = {line.split("  ")[1] for line in (release / "SHA256SUMS").read_text().splitlines()}
    there = {p.relative_to(release).as_posix() for p in release.rglob("*") if p.is_file()}
    assert sums.returncode != 0 or there - listed != {"SHA256SUMS", "tagmanifest-sha256.txt"}


def test_the_crate_meets_its_profiles(release: Path, tmp_path: Path) -> None:
    assert crate_faults(release, tmp_path) == {
        "ro-crate-1.1": [], "process-run-crate-0.5": [], "workflow-ro-crate-1.0": [], "workflow-run-crate-0.5": [],
    }  # fmt: skip


def test_a_crate_with_faults_does_not(release: Path, tmp_path: Path) -> None:
    crate = document(release, "ro-crate-metadata.json")
    for entity in crate["@graph"]:
        if entity["@type"] == "CreateAction":
            del entity["instrument"]
        if entity["@id"] == "./":
            del entity["license"]
        if entity["@id"] == "Snakefile":
            entity["@type"] = "File"
    (release / "ro-crate-metadata.json").write_text(json.dumps(crate))
    (release / "data/zarr_gait.zip").unlink()
    faults = {profile: " ".join(found) for profile, found in crate_faults(release, tmp_path).items()}
    assert "license" in faults["ro-crate-1.1"] and "zarr_gait.zip" in faults["ro-crate-1.1"]
    assert "instrument" in faults["process-run-crate-0.5"]
    assert "ComputationalWorkflow" in faults["workflow-run-crate-0.5"]


def test_the_crate_says_how_every_node_was_made(release: Path) -> None:
    crate = ROCrate(str(release))
    actions = [e for e in crate.contextual_entities if e.type == "CreateAction"]
    table = pd.read_csv(release / "data" / "provenance.tsv", sep="\t", dtype=str)
    assert len(actions) == 1 + table["making"].nunique()
    assert set(table["node"]) == {
        "track", "keypoints", "silhouette", "parts", "gait", "flow_dis", "deidentified",
    }  # fmt: skip
    assert len(table) == 4 * 7
    (mosaic,) = (a for a in actions if a["name"].startswith("deidentified by mosaic"))
    told = {p["name"]: p.get("value") or p.get("identifier") for p in mosaic["object"]}
    assert told["blocks"] == 3 and told["margin"] == 1.3
    assert any(str(v).startswith("sha256:") for v in told.values()), "no weights"
    assert "data/zarr_deidentified.zip" in {r.id for r in mosaic["result"]}
    keys = dict(zip(table["recipe"], table["node"], strict=True))
    for node, inputs in zip(table["node"], table["inputs"], strict=True):
        for given in inputs.split() if isinstance(inputs, str) else ():
            modality, key = given.split(":")
            assert keys.get(key, modality).split("_")[0] == modality, f"{node} reads another's {modality}"


def test_every_reference_in_the_crate_leads_somewhere(release: Path) -> None:
    graph = document(release, "ro-crate-metadata.json")["@graph"]
    ids = {entity["@id"] for entity in graph}

    def references(value: Any) -> set[str]:
        if isinstance(value, list):
            return {r for v in value for r in references(v)}
        return {value["@id"]} if isinstance(value, dict) and set(value) == {"@id"} else set()

    dangling = {r for e in graph for v in e.values() for r in references(v)} - ids
    assert dangling <= {"http://schema.org/CompletedActionStatus", "https://w3id.org/ro/crate/1.1"}
    files = {e["@id"]: e.get("sha256") for e in graph if "File" in e["@type"]}
    for name, sha256 in files.items():
        assert sha256 == hashlib.sha256((release / name).read_bytes()).hexdigest()


def test_two_builds_have_the_same_metadata(built: Path, tmp_path: Path) -> None:
    shutil.copy(built.parents[2] / "release.key", tmp_path / "release.key")
    plan = sample.plan(tmp_path, tiers=TIERS)
    for path in plan.parts("controlled"):
        parts.make(plan, path, "controlled")
    again = build.build(plan, "controlled")
    names = sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(built) for p in built.rglob("*") if p.is_file())
    assert [n for n in names if (again / n).read_bytes() != (built / n).read_bytes()] == []


def test_nothing_says_when_or_where_it_ran(release: Path) -> None:
    import re
    import socket

    for path in (p for p in release.iterdir() if p.is_file()):
        text = path.read_text()
        assert set(re.findall(r"\b20\d\d-\d\d-\d\d\b", text)) <= {"2026-11-20"}, path
        assert socket.gethostname() not in text and str(Path.home()) not in text, path


def test_datacite_and_citation_say_what_the_configuration_says(release: Path) -> None:
    cite = document(release, "datacite.json")
    needed = {"creators", "titles", "publisher", "publicationYear", "types", "schemaVersion"}
    assert needed <= set(cite)
    assert cite["creators"][0]["familyName"] == "Loom" and cite["publicationYear"] == 2026
    assert cite["types"]["resourceTypeGeneral"] == "Dataset"
    citation = yaml.safe_load((release / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "dataset"
    assert citation["authors"] == [
        {"family-names": "Loom", "given-names": "Gait", "affiliation": "Institute of Examples"}
    ]
    assert citation["version"] == "1.0.0" and str(citation["date-released"]) == "2026-11-20"
    assert "license" not in citation, "the controlled tier's terms are no SPDX licence"
