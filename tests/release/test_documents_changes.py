"""What the changelog of a release says against the one before, and that nobody who left stands in it."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from gaitloom.errors import GaitloomError
from gaitloom.release.contents import Contents

from release import sample
from release.documented import CARL, FEW, built, keys, texts, written


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


def test_what_was_made_otherwise_or_is_gone_is_said(tmp_path: Path) -> None:
    previous, dataset = built(sample.plan(keys(tmp_path / "lab"), tiers={"controlled": FEW}), "controlled")
    shutil.copytree(previous, tmp_path / "previous")
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
        "Archives no longer here: `alphapose_data`, `zarr_track`.",
        "New columns of `clips.tsv`: `speed`.",
        "Columns no longer in `clips.tsv`: `pace`.",
    ):
        assert f"- {line}\n" in found["CHANGELOG.md"]
    assert found["CHANGES.tsv"].count("\tchanged\n") == 1
    table.unlink()
    with pytest.raises(GaitloomError, match=r"previous is the release before this one, and cannot be read"):
        written(dataset, tmp_path / "again", change)
