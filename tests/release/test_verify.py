"""A release checked from its folder alone: a whole one passes, and every fault is said, also where checksums fit."""

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from gaitloom.release import verify
from gaitloom.release.contents import Contents

from release import built, leaks


def test_a_whole_release_is_whole_on_any_machine(tmp_path: Path) -> None:
    for tier in ("open", "controlled"):
        copy = tmp_path / f"downloaded-{tier}"
        shutil.copytree(built.release(tier).folder, copy)
        assert verify.verify(copy) == []
        assert verify.main(copy) == 0


def _changed(contents: Contents) -> str:
    path = contents.data / "alphapose_data.zip"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return r"data/alphapose_data\.zip has another hash than in SHA256SUMS"


def _damaged(contents: Contents) -> str:
    _changed(contents)
    leaks.remake(contents)
    return r"alphapose_data\.zip: is damaged|alphapose_data\.zip is damaged"


def _missing(contents: Contents) -> str:
    (contents.data / "alphapose_data.zip").unlink()
    return r"data/alphapose_data\.zip is in SHA256SUMS, and not there"


def _extra(contents: Contents) -> str:
    (contents.folder / "notes.txt").write_text("x")
    return r"notes\.txt is there, and not in SHA256SUMS"


def _not_described(contents: Contents) -> str:
    (contents.data / "more.tsv").write_text("a\tb\n1\t2\n")
    leaks.remake(contents)
    return r"data/more\.tsv is there, and not in croissant\.json"


def _not_in_the_crate(contents: Contents) -> str:
    (contents.folder / "more.md").write_text("x")
    leaks.remake(contents)
    return r"more\.md is there, and not in ro-crate-metadata\.json"


def _not_in_the_bag(contents: Contents) -> str:
    path = contents.folder / verify.MANIFEST
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    return r"is there, and not in manifest-sha256\.txt"


def _oxum(contents: Contents) -> str:
    path = contents.folder / "bag-info.txt"
    path.write_text(re.sub(r"Payload-Oxum: .*", "Payload-Oxum: 1.1", path.read_text()))
    return r"is no valid bag"


def _wrong_hash(contents: Contents) -> str:
    path = contents.folder / "croissant.json"
    document = json.loads(path.read_text())
    document["distribution"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(document))
    leaks.remake(contents)
    return r"has another hash than in croissant\.json"


def _without_a_clip(contents: Contents) -> str:
    subject, name, *_ = leaks.clip_of(contents)
    with zipfile.ZipFile(contents.data / "zarr_gait.zip") as archive:
        gone = [n for n in archive.namelist() if n.startswith(f"{subject}/{name}/")]
    leaks.put(contents, "zarr_gait.zip", dict.fromkeys(gone))
    return rf"zarr_gait\.zip lacks {subject}/{name}/gait, which clips\.tsv names"


def _another_length(contents: Contents) -> str:
    name, data = leaks.get(contents, "zarr_keypoints.zip", "keypoints/xy/zarr.json")
    document = json.loads(data)
    document["shape"][0] -= 1
    leaks.put(contents, "zarr_keypoints.zip", {name: json.dumps(document).encode()})
    return r"keypoints/xy/zarr\.json has 39 frames, and .* 40"


def _another_clip(contents: Contents) -> str:
    path = contents.data / "clips.tsv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    leaks.remake(contents)
    return r"index\.json has .*, which is not in clips\.tsv"


def _file_of_the_index(contents: Contents) -> str:
    name, _ = leaks.get(contents, "alphapose_data.zip", "results.json")
    leaks.put(contents, "alphapose_data.zip", {name: None})
    return rf"index\.json has the file {name}, which is not there"


def _clip_of_the_table(contents: Contents) -> str:
    path = contents.data / "participants.tsv"
    path.write_text(f"{path.read_text()}PABCDEFGH\tF\t18-34\t25-29.9\n")
    leaks.remake(contents)
    return r"participants\.tsv has a row of 'PABCDEFGH', nobody whom the tier holds"


FAULTS = (
    _changed,
    _damaged,
    _missing,
    _extra,
    _not_described,
    _not_in_the_crate,
    _not_in_the_bag,
    _oxum,
    _wrong_hash,
    _without_a_clip,
    _another_length,
    _another_clip,
    _file_of_the_index,
    _clip_of_the_table,
)
# Leaks that can be seen without knowing the laboratory.
SEEN: tuple[leaks.Leak, ...] = (
    leaks.raw_frame,
    leaks.raw_array,
    leaks.raw_pickle,
    leaks.unconsented,
    leaks.masks_in_coco,
    leaks.finer_precision,
    leaks.name_in_an_attribute,
    leaks.absolute_path,
    leaks.gzip_header,
    leaks.date_in_exif,
    leaks.text_in_png,
    leaks.container_tag,
    leaks.somebody_else,
    leaks.zip_comment,
    leaks.zip_date,
    leaks.nested,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_fault_is_said(tmp_path: Path, fault: Callable[[Contents], str]) -> None:
    keep = "alphapose_data.zip", "zarr_gait.zip", "zarr_keypoints.zip"
    contents = _alone(tmp_path, "open", *keep)
    sentence = fault(contents)
    found = verify.verify(contents.folder)
    assert any(re.search(sentence, f) for f in found), found
    assert verify.main(contents.folder) == 1


@pytest.mark.parametrize("leak", SEEN, ids=lambda leak: leak.__name__)
def test_a_leak_is_seen_without_secrets(tmp_path: Path, leak: leaks.Leak) -> None:
    tier, archive = ("open", leaks.OPEN[leak]) if leak in leaks.OPEN else ("controlled", leaks.CONTROLLED[leak])
    contents = _alone(tmp_path, tier, archive)
    sentence = leak(contents)
    found = verify.verify(contents.folder)
    assert any(re.search(sentence, f) for f in found), found
    assert not any("hash" in f for f in found), "a checksum noticed it"


def test_no_release(tmp_path: Path) -> None:
    assert re.search(r"is no release: SHA256SUMS", verify.verify(tmp_path)[0])
    assert verify.main(tmp_path) == 1


def _alone(tmp_path: Path, tier: str, *archives: str) -> Contents:
    """A copy with some of its archives, whole as far as metadata says."""
    contents = leaks.copied(built.release(tier), tmp_path / "release", *archives)  # type: ignore[arg-type]
    leaks.remake(contents)
    there = {f"data/{p.relative_to(contents.data).as_posix()}" for p in contents.data.rglob("*")}
    for name, key, at in (
        ("croissant.json", "distribution", "contentUrl"),
        ("ro-crate-metadata.json", "@graph", "@id"),
    ):
        path = contents.folder / name
        document = json.loads(path.read_text())
        document[key] = [e for e in document[key] if not (p := e.get(at, "")).startswith("data/") or p in there]
        path.write_text(json.dumps(document))
    leaks.remake(contents)
    return contents
