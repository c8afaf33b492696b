"""Archives are the same bytes for the same files, whole or not there, and below the limits of where they go."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest
from gaitloom.release import archives


def files(folder: Path, **content: bytes) -> Path:
    for name, data in content.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def test_order_times_and_modes_of_the_files_do_not_matter(tmp_path: Path) -> None:
    one = files(tmp_path / "1", b=b"2" * 9, a__z_dot_json=b"{}" * 99)
    two = files(tmp_path / "2", a__z_dot_json=b"{}" * 99, b=b"2" * 9)
    os.utime(two / "b", (1, 1))
    (two / "b").chmod(0o600)
    for folder in (one, two):
        archives.pack(folder, tmp_path / f"{folder.name}.part")
        archives.Merged([tmp_path / f"{folder.name}.part"]).write(["a/z.json", "b"], tmp_path / f"{folder.name}.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    (two / "b").write_bytes(b"3" * 9)
    archives.pack(two, tmp_path / "2.part")
    assert (tmp_path / "1.part").read_bytes() != (tmp_path / "2.part").read_bytes()


def test_another_program_reads_them(tmp_path: Path) -> None:
    archives.pack(files(tmp_path / "in", a__b_dot_txt=b"text\n" * 1000, c_dot_png=b"\x00\xff" * 50), tmp_path / "part")
    archives.Merged([tmp_path / "part"]).write(["a/b.txt", "c.png"], tmp_path / "x.zip")
    code = (
        "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; z.extractall(sys.argv[2])"
    )
    subprocess.run(["python3", "-c", code, tmp_path / "x.zip", tmp_path / "out"], check=True)
    assert (tmp_path / "out/a/b.txt").read_bytes() == b"text\n" * 1000
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        text, picture = archive.infolist()
        assert text.compress_size < text.file_size / 10
        assert picture.compress_type == zipfile.ZIP_STORED
        assert {i.date_time for i in (text, picture)} == {(1980, 1, 1, 0, 0, 0)}
        assert not any(i.extra or i.comment for i in (text, picture))


@pytest.mark.parametrize("limit", [900, 2000, 20_000])
def test_no_archive_is_larger_than_the_limit_and_each_can_be_used_alone(tmp_path: Path, limit: int) -> None:
    clips = [tmp_path / f"{n:02}.part" for n in range(12)]
    for n, part in enumerate(clips):
        archives.pack(files(tmp_path / f"{n}", **{f"c{n:02}__{f}": os.urandom(20 + 10 * n) for f in "ab"}), part)
    archives.pack(files(tmp_path / "common", index=b"x"), tmp_path / "common.part")
    merged = archives.Merged(reversed(clips), tmp_path / "common.part")
    groups = list(merged.groups(limit))
    assert [n for g in groups for n in g if n != "index"] == [f"c{n:02}/{f}" for n in range(12) for f in "ab"]
    for number, group in enumerate(groups):
        assert "index" in group
        assert {n[:3] for n in group if n != "index"} == {n[:3] for n in group if n.endswith("a")}
        merged.write(group, tmp_path / f"{number}.zip")
        assert (tmp_path / f"{number}.zip").stat().st_size <= limit
    for n in range(12):
        assert (
            sum(f"c{n:02}/a" in g for g in groups) == sum(f"c{n:02}/b" in g and f"c{n:02}/a" in g for g in groups) == 1
        )


def test_two_parts_with_one_name_are_refused(tmp_path: Path) -> None:
    for part in "12":
        archives.pack(files(tmp_path / part, a=part.encode()), tmp_path / f"{part}.part")
    with pytest.raises(ValueError, match="a is both in"):
        archives.Merged([tmp_path / "1.part", tmp_path / "2.part"])


def test_an_archive_that_breaks_off_is_not_there(tmp_path: Path) -> None:
    archives.pack(files(tmp_path / "in", a=b"1" * 5000), tmp_path / "part")
    merged = archives.Merged([tmp_path / "part"])
    data = bytearray((tmp_path / "part").read_bytes())
    data[100] ^= 1  # damage on the disk
    (tmp_path / "part").write_bytes(data)
    with pytest.raises(zipfile.BadZipFile, match="CRC"):
        merged.write(["a"], tmp_path / "x.zip")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "part"]
