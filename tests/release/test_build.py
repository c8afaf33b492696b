"""A release is the same bytes however often it was killed, never changes once it is built, and a new clip exports
nothing but itself."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
import zarr.storage
from gaitloom.errors import GaitloomError
from gaitloom.release import build

from release import many


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_killed_three_times_200_clips_end_with_the_same_bytes(tmp_path: Path) -> None:
    whole, _ = many.make(tmp_path / "whole", 200)
    killed = tmp_path / "killed"
    for at in (150, 500, 1100):
        command = [sys.executable, many.__file__, str(killed), "200", str(at)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == -9, done.stderr[-2000:]
        assert not (killed / "results/releases").exists(), "something half-written is visible"
    again, fresh = many.make(killed, 200)
    assert fresh == [], "parts were made again"
    assert content(again) == content(whole)
    assert len(list((whole / "data").glob("*.zip"))) > 3, "the kills hit nothing"


def test_what_a_killed_build_left_damaged_is_made_again(tmp_path: Path) -> None:
    whole, _ = many.make(tmp_path / "whole", 70)
    killed = tmp_path / "killed"
    command = [sys.executable, many.__file__, str(killed), "70", "400"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -9
    (building,) = (killed / "results/release/building").glob("many-*controlled")
    (first, *_) = sorted((building / "data").glob("*.zip"))
    first.write_bytes(first.read_bytes()[:-1] + b"x")
    assert content(many.make(killed, 70)[0]) == content(whole)


def test_a_new_clip_exports_itself_alone(tmp_path: Path) -> None:
    first, fresh = many.make(tmp_path, 5)
    assert len(fresh) == 5
    second, fresh = many.make(tmp_path, 6, version="1.1.0")
    assert fresh == ["Someone002/trial-1"]
    old, new = (_members(folder) for folder in (first, second))
    added = {name for name in new if name not in old}
    (subject,) = {name.split("/")[0] for name in added}
    assert len({name for name in added if "track/box" in name}) == 2
    assert subject in (second / "data/clips.tsv").read_text()
    assert {n for n in old if new[n] != old[n]} == {"zarr.json"}, "more than the table of clips at the root"


def test_a_built_release_never_changes(tmp_path: Path) -> None:
    built, _ = many.make(tmp_path, 4)
    before = content(built)
    assert many.make(tmp_path, 4)[0] == built
    with pytest.raises(GaitloomError, match=r"raise release\.version"):
        many.make(tmp_path, 6)
    assert content(built) == before


def test_another_archive_limit_changes_no_file_in_them(tmp_path: Path) -> None:
    split, _ = many.make(tmp_path / "split", 70)
    whole, _ = many.make(tmp_path / "whole", 70, limits={})
    assert _members(split) == _members(whole)
    assert {p.name for p in (whole / "data").glob("*.zip")} == {"zarr_track.zip"}
    archives = sorted((split / "data").glob("*.zip"))
    assert [p.name for p in archives[:2]] == ["zarr_track-01.zip", "zarr_track-02.zip"]
    assert all(p.stat().st_size <= 1_000_000 for p in archives)


def test_every_archive_of_a_split_layout_opens_alone(tmp_path: Path) -> None:
    built, _ = many.make(tmp_path, 70)
    seen: set[str] = set()
    for archive in sorted((built / "data").glob("*.zip")):
        root = zarr.open_group(zarr.storage.ZipStore(archive, mode="r"), mode="r")
        for subject in root.group_keys():
            for name, clip in root[subject].groups():  # type: ignore[union-attr]
                assert np.ptp(clip["track/box"][:]) > 0.9, "fill values"
                seen.add(f"{subject}/{name}")
    assert len(seen) == 70


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GaitloomError, match=r"more than the 20 of release\.limits\.files"):
        many.make(tmp_path, 70, limits={"files": 20, "archive_bytes": 1_000_000})


def test_a_missing_part_is_one_sentence(tmp_path: Path) -> None:
    many.make(tmp_path, 4)
    shutil.rmtree(tmp_path / "results/releases")
    shutil.rmtree(tmp_path / "results/release/parts/controlled/Someone001")
    with pytest.raises(GaitloomError, match=r"Someone001/trial-0/part\.json is missing or damaged; run"):
        build.build(many.plan(tmp_path, 4), "controlled")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": "1"}, r"release\.version"),
        ({"tiers": {"public": {}}}, r"release\.tiers"),
        ({"tiers": {"open": {"exporters": ["zip"]}}}, r"'zip' is no exporter; choose from: zarr, "),
        ({"tiers": {"open": {"modalities": ["faces"]}}}, r"faces never leaves the laboratory"),
        ({"tiers": {"open": {"labels": ["evgs"]}}}, r"'evgs' is not under release\.labels"),
        ({"labels": {"a b": "x.tsv"}}, r"'a b' is no name of a label table"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(GaitloomError) as error:
        many.plan(tmp_path, 2, **change)
    assert re.search(sentence, str(error.value)), str(error.value)
    assert "\n" not in str(error.value)


def _members(folder: Path) -> dict[str, tuple[int, int]]:
    """Name → size and checksum of the files in all archives."""
    import zipfile

    return {
        i.filename: (i.file_size, i.CRC)
        for p in sorted((folder / "data").glob("*.zip"))
        for i in zipfile.ZipFile(p).infolist()
    }
