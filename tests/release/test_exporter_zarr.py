"""The released store: other people's zarr and xarray open it in the zip, every value is the store's, no name is."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import zarr
from gaitloom.agreement import MIRROR
from gaitloom.backends.flow.tvl1 import Options as Flow
from gaitloom.config import modality_of
from gaitloom.errors import GaitloomError
from gaitloom.modalities.deidentified import Options as Deidentified
from gaitloom.modalities.gait import Options as Gait
from gaitloom.release import exporters
from gaitloom.release.dataset import Dataset, Source
from gaitloom.release.exporters import _made
from gaitloom.store import METADATA, seal_of
from zarr.storage import ZipStore

from . import sample
from .exported import export, files, walks, zips

# Run where there is no gaitloom: what others have.
CLIENT = """
import hashlib, json, sys, warnings
sys.modules["gaitloom"] = None
sys.path = [p for p in sys.path if "workflow" not in p]
import numpy as np, xarray as xr, zarr
warnings.simplefilter("error")
warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
every = {}
for path in sys.argv[1:]:
    found = every[path] = {}
    store = zarr.storage.ZipStore(path, mode="r")
    root = zarr.open_group(store, mode="r")
    tree = xr.open_datatree(store, engine="zarr", consolidated=False, mask_and_scale=False)
    for subject, people in root.groups():
        for clip, walk in people.groups():
            for node, group in walk.groups():
                for name, array in group.arrays():
                    values = np.asarray(array[...])
                    key = f"{subject}/{clip}/{node}/{name}"
                    found[key] = hashlib.sha256(values.tobytes()).hexdigest()
                    theirs = tree[f"{subject}/{clip}/{node}"][name].values
                    assert np.array_equal(theirs, values, equal_nan=values.dtype.kind == "f"), key
    table = root.attrs["clips"]
    listed = {row[table["columns"].index("path")] for row in table["data"]}
    assert listed == {f"{s}/{c}" for s, people in root.groups() for c in people.group_keys()}
print(json.dumps(every))
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return sample.dataset(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def exported(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(dataset, "zarr", tmp_path_factory.mktemp("out") / "zarr")


@pytest.fixture(scope="module")
def packed(exported: Path) -> dict[str, Path]:
    return zips(exported)


def opened(*paths: Path) -> list[dict[str, str]]:
    """Of each archive, array → SHA-256 of its values, by clients that have no gaitloom."""
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, *paths], capture_output=True, text=True, cwd=paths[0].parent, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout).values())


def truth(dataset: Dataset) -> dict[str, str]:
    """The same of the laboratory's store, under released names."""
    return {
        f"{s.entry.path}/{node}/{name}": hashlib.sha256(s.open(node).load(name).tobytes()).hexdigest()
        for s in dataset.sources()
        for node in s.entry.nodes
        for name in s.open(node).arrays
    }


def test_zarr_and_xarray_open_every_archive_in_place_without_us(dataset: Dataset, packed: dict[str, Path]) -> None:
    assert sorted(packed) == ["deidentified", "flow", "gait", "keypoints", "parts", "silhouette", "track"]
    found = opened(*packed.values())
    assert {k: v for one in found for k, v in one.items()} == truth(dataset)
    for modality, one in zip(packed, found, strict=True):
        assert {modality_of(k.split("/")[2]) for k in one} == {modality}


def test_what_it_shows_is_the_walker(dataset: Dataset, packed: dict[str, Path]) -> None:
    with ZipStore(packed["silhouette"], mode="r") as store:
        for path, walk in walks(dataset).items():
            mask = zarr.open_group(store, mode="r", path=f"{path}/silhouette")["mask"]
            np.testing.assert_array_equal(mask, [walk.silhouette(t) for t in range(sample.LENGTH)])  # type: ignore[arg-type]


def test_the_client_sees_what_is_wrong(dataset: Dataset, exported: Path, tmp_path: Path) -> None:
    """A chunk that is not there reads as NaN without a word: only its values tell."""
    for fault in ("missing", "shifted", "swapped"):
        shutil.copytree(exported / "keypoints", tmp_path / "zarr" / fault)
        node = tmp_path / "zarr" / fault / dataset.entries[0].path / "keypoints"
        if fault == "missing":
            (node / "xy_23/c/0/0/0").unlink()
            continue
        xy = zarr.open_group(node, mode="r+")["xy_23"]
        assert isinstance(xy, zarr.Array)
        values = np.asarray(xy[...])
        xy[...] = np.roll(values, 1, axis=0) if fault == "shifted" else values[:, MIRROR]
    expected = {k: v for k, v in truth(dataset).items() if "/keypoints/" in k}
    for found in opened(*zips(tmp_path / "zarr").values()):
        assert [k for k in expected if found[k] != expected[k]] == [f"{dataset.entries[0].path}/keypoints/xy_23"]


def test_chunks_are_the_stores_own_bytes(dataset: Dataset, exported: Path) -> None:
    theirs: dict[str, bytes] = {}
    for source in dataset.sources():
        for node in source.entry.nodes:
            prefix = f"{modality_of(node)}/{source.entry.path}/{node}"
            theirs |= {f"{prefix}/{n}": b for n, b in files(source.folder(node)).items() if not n.endswith(METADATA)}
    ours = files(exported)
    assert {n: b for n, b in ours.items() if not n.endswith(METADATA)} == theirs
    assert any(n.endswith("mask/c/0/0/0") for n in theirs)


def test_nothing_of_the_laboratory_is_in_it(dataset: Dataset, exported: Path) -> None:
    documents = {n: b.decode() for n, b in files(exported).items() if n.endswith(METADATA)}
    text = "\n".join([*documents, *documents.values()])
    for name in (*sample.SUBJECTS, sample.SESSION, "recipe_digest", "checksums", '"seal"', "source_", str(exported)):
        assert name.casefold() not in text.casefold(), name
    digests = set(re.findall(r"\b[0-9a-f]{64}\b", text))
    lab = {w for p in dataset.store.root.rglob(METADATA) for w in re.findall(r"\b[0-9a-f]{64}\b", p.read_text())}
    weights = {
        w
        for s in dataset.sources()
        for node in s.entry.nodes
        for w in s.open(node).attributes["recipe"]["weights"].values()
    }
    assert digests & lab == weights, "digests of the laboratory's, but for those of published weights"
    assert dataset.names.digest(next(iter(dataset.entries[0].nodes.values()))) in digests


def test_metadata_tells_how_a_node_was_made(dataset: Dataset, exported: Path) -> None:
    entry = dataset.entries[0]
    document = json.loads((exported / "silhouette" / entry.path / "silhouette" / METADATA).read_text())
    assert set(document["attributes"]) == {"Conventions", "modality", "width", "height", "provenance"}
    made = document["attributes"]["provenance"]
    assert made["backend"] == "blazepose" and made["backend_options"] == {"threshold": 0.5}
    assert made["licence"] == "Apache-2.0" and list(map(len, made["weights"].values())) == [64]
    track = json.loads((exported / "track" / entry.path / "track" / METADATA).read_text())
    assert made["inputs"]["track"] == track["attributes"]["provenance"]["digest"]
    group = json.loads((exported / "silhouette" / entry.path / METADATA).read_text())
    assert {"silhouette", "silhouette/mask", "silhouette/time", "silhouette/valid"} == set(
        group["consolidated_metadata"]["metadata"]
    )
    assert group["attributes"]["fps"] == "20" and group["attributes"]["columns"] == {"speed": "NW", "clothing": "WJ"}


def test_only_known_attributes_leave(tmp_path: Path) -> None:
    """Who corrected, notes, and texts with a height, planted in nodes that are sealed with them."""
    dataset = sample.dataset(tmp_path / "lab")
    entry = dataset.entries[0]
    planted = {"annotator": "Doris", "note": "filmed at home", "corrections_base": "0" * 64, "later": "BertaMuster"}
    source = dataset.source(entry)
    for node, more in {
        "silhouette": planted,
        "gait": {"reason": "the walker is 1.9 m tall", "reasons": {"speed": "not 168.5 cm, the body height"}},
    }.items():
        path = source.folder(node) / METADATA
        document = json.loads(path.read_text())
        document["attributes"] |= more
        document["attributes"]["seal"] = seal_of(document)
        path.write_text(json.dumps(document))
    text = b"".join(b for n, b in files(export(dataset, "zarr", tmp_path / "out")).items() if n.endswith(METADATA))
    for word in (b"Doris", b"home", b"000000000000", b"Berta", b" tall", b"168.5"):
        assert word not in text, word
    assert b"its scale is not known well enough" in text


def test_options_that_a_laboratory_wrote_do_not_leave() -> None:
    fixed: Any = {"fixed": {"ward-7": [[0, 0, 9, 9]]}, "margin": 1.5}
    told = _made._ours(Deidentified(**fixed).model_dump(mode="json"), Deidentified)
    assert told == {"margin": 1.5, "bystanders": "head", "text": True, "codec": "h264", "crf": None}
    assert _made._ours({"height_column": "height_cm"}, Gait) == {"height_column": "height_cm"}
    assert _made._ours({"height_column": "groesse_patient"}, Gait) == {}
    flow = Flow.model_validate({"schedule": "opencv"}).model_dump(mode="json", by_alias=True)
    assert _made._ours(flow, Flow) == flow and flow["lambda"] == 0.15


@pytest.mark.parametrize(
    ("fault", "says"), [("missing", "lacks mask/c/0/0/0"), ("changed", "changed mask/c/0/0/0"), ("extra", "not belong")]
)
def test_a_node_that_is_not_as_it_was_sealed_is_not_released(
    dataset: Dataset, tmp_path: Path, fault: str, says: str
) -> None:
    bad = tmp_path / "silhouette"
    shutil.copytree(dataset.source(dataset.entries[0]).folder("silhouette"), bad)
    chunk, folder = bad / "mask/c/0/0/0", Source.folder
    if fault == "missing":
        chunk.unlink()
    elif fault == "changed":
        data = bytearray(chunk.read_bytes())
        data[9] ^= 1
        chunk.write_bytes(data)
    else:
        (chunk.parent / "1").write_bytes(b"x")
    with (
        mock.patch.object(Source, "folder", lambda s, node: bad if node == "silhouette" else folder(s, node)),
        pytest.raises(GaitloomError, match=says),
    ):
        export(dataset, "zarr", tmp_path / "out")


def test_the_same_bytes_again(dataset: Dataset, packed: dict[str, Path], tmp_path: Path) -> None:
    again = zips(export(dataset, "zarr", tmp_path / "zarr"))
    assert {n: p.read_bytes() for n, p in again.items()} == {n: p.read_bytes() for n, p in packed.items()}


def test_pictures_that_may_not_be_released_are_not_listed(dataset: Dataset, tmp_path: Path) -> None:
    """As a part leaves them out, the table of all clips does."""
    withheld = dataset.entries[0]
    nodes = {n: d for n, d in withheld.nodes.items() if n != "deidentified"}
    with mock.patch.object(Dataset, "unaudited", lambda _, entry: ["red"] if entry.path == withheld.path else []):
        exporter = exporters.find("zarr")
        for entry in dataset.entries:
            held = replace(entry, nodes=nodes) if entry is withheld else entry
            exporter.clip(dataset.source(held), tmp_path / "zarr")
        exporter.dataset(dataset, tmp_path / "zarr")
    (found,) = opened(zips(tmp_path / "zarr")["deidentified"])
    assert len({k.rsplit("/", 2)[0] for k in found}) == 3 and not any(k.startswith(withheld.path) for k in found)
