"""Archives of a release: packing clips' files into parts and merging parts into archives, against `zip -0` of the same
files on the same disk (Info-ZIP, or Python's zipfile where that is missing).

The files are like a Health&Gait export: for each clip, FRAMES silhouettes (JPEG-sized noise, 8 kB), one pose JSON and
one video (2 MB). `pack` runs where a clip is exported, on as many cores as there are jobs; `merge` is what the release
itself does, hashing the archives included (zip does not). Wall time, since disks count; caches are warm for both.

    python benchmarks/bench_release.py [--clips 40] [--frames 150] [--rounds 3]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import common
import numpy as np
from gaitloom.release import archives
from gaitloom.store import file_sha256

GOAL = 0.6


def loose(folder: Path, clips: int, frames: int) -> None:
    """Write the files, `{clip}/{archive}/{path}`."""
    noise = np.random.default_rng(1)
    for clip in range(clips):
        name = f"PA{clip:03}/UGS/NW-WJ_1"
        silhouettes = folder / str(clip) / "silhouette" / f"{name}_YOLOV8"
        silhouettes.mkdir(parents=True)
        for frame in range(frames):
            (silhouettes / f"{frame:03}.jpg").write_bytes(noise.bytes(8000))
        for archive, suffix, size in (("pose", ".json", 200_000), ("video", ".mp4", 2_000_000)):
            path = folder / str(clip) / archive / f"{name}{suffix}"
            path.parent.mkdir(parents=True)
            path.write_bytes(noise.bytes(size) if suffix == ".mp4" else noise.bytes(size // 2).hex().encode())


def pack(files: Path, parts: Path) -> None:
    """Every clip's files into its parts."""
    for clip in sorted(files.iterdir()):
        for archive in sorted(clip.iterdir()):
            (parts / clip.name).mkdir(parents=True, exist_ok=True)
            archives.pack(archive, parts / clip.name / f"{archive.name}.zip")


def merge(parts: Path, target: Path) -> None:
    """All parts into archives, with their hashes."""
    target.mkdir()
    for name in ("pose", "silhouette", "video"):
        merged = archives.Merged(sorted(parts.glob(f"*/{name}.zip")))
        for names in merged.groups(50_000_000_000):
            merged.write(names, target / f"{name}.zip")
        file_sha256(target / f"{name}.zip")


def plain(files: Path, target: Path) -> None:
    """The peer: one archive of everything, stored."""
    if program := shutil.which("zip"):
        subprocess.run([program, "-0", "-q", "-r", str(target), "."], cwd=files, check=True)
        return
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(p for p in files.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(files))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loose(folder / "files", args.clips, args.frames)
        pack(folder / "files", folder / "ready")

        def clean() -> None:
            for path in ("parts", "archives"):
                shutil.rmtree(folder / path, ignore_errors=True)
            (folder / "plain.zip").unlink(missing_ok=True)

        costs = common.in_turn(
            {
                "pack": lambda: pack(folder / "files", folder / "parts"),
                "merge": lambda: merge(folder / "ready", folder / "archives"),
                "zip": lambda: plain(folder / "files", folder / "plain.zip"),
            },
            args.rounds,
            clean,
        )
        clean()
        merge(folder / "ready", folder / "archives")
        files = {p.stem: len(zipfile.ZipFile(p).namelist()) for p in sorted((folder / "archives").glob("*.zip"))}
        size = sum(p.stat().st_size for p in (folder / "files").rglob("*") if p.is_file())
    ratio = common.paired_ratio(costs["zip"], costs["merge"], "wall")
    result = {
        "benchmark": "release",
        "megabytes": round(size / 1e6),
        "loose_files": sum(files.values()),
        "archives": files,
        "peer": "zip -0" if shutil.which("zip") else "zipfile, stored",
        "seconds": {n: common.seconds(c) for n, c in costs.items()},
        "merge_over_zip": {"throughput_ratio": round(ratio, 2), "goal": GOAL, "met": ratio >= GOAL},
        "pack_over_zip": {"throughput_ratio": round(common.paired_ratio(costs["zip"], costs["pack"], "wall"), 2)},
    }
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
