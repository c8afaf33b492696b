"""What jobs ask for: from the clip's header alone, more at each attempt, a GPU where the device is one."""

import re

import av
import numpy as np
import pytest
from gaitloom import scan, video
from gaitloom.clips import Clip
from gaitloom.needs import LEAST_MINUTES, UNKNOWN, Needs
from project import Project
from walker import Walk

HD = Clip("P", width=1920, height=1080, frames=3000)


def test_memory_grows_with_the_picture_and_the_attempt() -> None:
    needs = Needs(memory_mb=1000, memory_mb_mpx=100)
    assert needs.memory(Clip("P", width=1000, height=1000, frames=1)) == 1100
    assert needs.memory(Clip("P", width=2000, height=1000, frames=1), attempt=2) == 2 * 1200
    assert needs.memory(HD, gpu=True) > needs.memory(HD)


def test_time_grows_with_the_frames_and_not_with_what_is_scaled_away() -> None:
    needs = Needs(seconds=0.1, seconds_mpx=1)
    ten = Clip("P", width=1000, height=1000, frames=600)
    assert needs.minutes(ten) == LEAST_MINUTES + 4 * 11
    assert needs.minutes(ten, attempt=3) == 3 * needs.minutes(ten)
    assert needs.minutes(ten, longest_side=100) == LEAST_MINUTES + 5
    assert needs.minutes(ten, longest_side=5000) == needs.minutes(ten)
    assert needs.minutes(ten, gpu=True) < needs.minutes(ten)


def test_a_segment_is_given_the_time_of_its_own_frames() -> None:
    needs = Needs(seconds=1)
    one = Clip("P", width=640, height=360, frames=10_000, start=9_000, end=9_100)
    assert needs.minutes(one) < needs.minutes(Clip("P", width=640, height=360, frames=1_000))
    assert needs.minutes(one) > needs.minutes(Clip("P", width=640, height=360, frames=10_000, start=0, end=100))


def test_a_header_that_says_nothing_counts_as_a_long_video() -> None:
    width, height, frames = UNKNOWN
    known = Clip("P", width=width, height=height, frames=frames)
    assert Needs().memory(Clip("P")) == Needs().memory(known)
    assert Needs().minutes(Clip("P")) == Needs().minutes(known)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi"])
def test_the_sheet_says_what_the_header_says(project: Project, ending: str) -> None:
    with av.open(str(project.data / f"S_1.{ending}"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for grey in range(50):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), grey, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    header = video.probe(project.data / f"S_1.{ending}")
    assert (header.width, header.height) == (64, 48)
    assert abs(header.about - 50) <= 1
    assert project.snakemake("--dry-run").returncode == 0
    (known,) = scan.read_cache(project.results / "videos.tsv").values()
    assert (known.width, known.height, known.frames) == (64, 48, header.about)


def test_rules_ask_for_what_their_node_needs(project: Project) -> None:
    project.config["device"] = "cuda"
    project.config["nodes"] |= {"flow_tvl1": {"backend": "tvl1_opencv"}, "faces": {"backend": "centerface"}}
    Walk(frames=4, size=(640, 360)).write(project.data / "S_1.mp4")
    done = project.snakemake("--dry-run")
    assert done.returncode == 0, done.stderr
    asked = dict(re.findall(r"rule (\w+):.*?\n    (resources: .*?)\n", done.stdout + done.stderr, re.S))
    threads = dict(re.findall(r"rule (\w+):(?:(?!rule ).)*?\n    threads: (\d+)\n", done.stdout + done.stderr, re.S))
    assert {rule for rule, text in asked.items() if re.search(r"gpu=1\b", text)} == {"faces"}
    assert threads == {"flow_tvl1": "2", "faces": "2"}
    for rule in ("video", "track", "keypoints", "preview"):
        assert re.search(r"mem_mb=1093\b", asked[rule]), asked[rule]
        assert re.search(r"runtime=16\b", asked[rule]), asked[rule]


def test_a_cache_of_before_is_looked_at_again(project: Project) -> None:
    Walk(frames=4, size=(320, 180)).write(project.data / "S_1.mp4")
    assert project.snakemake("--dry-run").returncode == 0
    cache = project.results / "videos.tsv"
    full = cache.read_text()
    cache.write_text("".join("\t".join(row.split("\t")[:6]) + "\n" for row in full.splitlines()))
    assert project.snakemake("--dry-run").returncode == 0
    assert cache.read_text() == full
