"""The real clips against heads marked by hand: every head is covered, and little else. Takes minutes: it runs track,
keypoints, faces and deidentified over five whole clips."""

import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, SHARED
from gaitloom.deidentify.boxes import grown
from gaitloom.store import Node

sys.path.append(str(ROOT / "benchmarks"))

import deidentification  # pyright: ignore[reportMissingImports]

pytestmark = pytest.mark.slow

MARKS = json.loads(deidentification.MARKS.read_text())["clips"]
REAL = [name for name in MARKS if name != "demo.mp4"]


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Node]:
    """The deidentified node of a clip, made once."""
    folder = tmp_path_factory.mktemp("marked")
    return cache(lambda video: deidentification.made([video], folder / video.stem)[video.name])


@pytest.fixture(params=["demo.mp4", *REAL])
def video(request: pytest.FixtureRequest) -> Path:
    if request.param == "demo.mp4":
        return request.getfixturevalue("demo_clip")
    path = SHARED / "clips" / request.param
    if not path.is_file():
        pytest.skip(f"the real clip {request.param} is not on this machine")
    return path


class Changed:
    """A node with other boxes."""

    def __init__(self, node: Node, box: np.ndarray):
        self.attributes, self._node, self._box = node.attributes, node, box

    def load(self, name: str) -> np.ndarray:
        return self._box if name == "region_box" else self._node.load(name)


def test_every_marked_head_is_covered_and_little_else(video: Path, nodes: Callable[[Path], Node]) -> None:
    node, marks = nodes(video), MARKS[video.name]["frames"]
    found = deidentification.figures(node, marks)
    assert found["bare"] == []
    assert found["whole_share"] <= 0.02
    assert found["area_ratio"] <= 2.5


def test_the_measure_sees_what_is_wrong(video: Path, nodes: Callable[[Path], Node]) -> None:
    """Regions that are too small, beside the heads, or too large; and frames without any."""
    node, marks = nodes(video), MARKS[video.name]["frames"]
    box = node.load("region_box")
    size = np.tile(box[:, 2:] - box[:, :2], 2)
    bounds = np.array([node.attributes["width"], node.attributes["height"]] * 2)

    def with_boxes(changed: np.ndarray) -> dict[str, Any]:
        return deidentification.figures(Changed(node, np.clip(changed, 0, bounds)), marks)  # pyright: ignore[reportArgumentType]

    small = with_boxes(np.array([grown(b, 0.6) for b in box]))
    beside = with_boxes(box + 0.6 * size)
    large = with_boxes(np.array([grown(b, 1.5) for b in box]))
    frame = node.load("region_frame")
    hole = with_boxes(np.where(frame[:, None] == int(list(marks)[5]), 0, box))
    judged = small["heads"] - small["too_small"]
    assert len(small["bare"]) > 0.8 * judged and len(beside["bare"]) > 0.8 * judged
    assert large["area_ratio"] > 2.5
    assert {row[0] for row in hole["bare"]} == {int(list(marks)[5])}


def test_enough_heads_are_judged() -> None:
    tall = [h["box"][3] - h["box"][1] for c in MARKS.values() for heads in c["frames"].values() for h in heads]
    assert sum(t >= deidentification.TOO_SMALL for t in tall) >= 300
    views = {h["view"] for c in MARKS.values() for heads in c["frames"].values() for h in heads}
    assert views == {"face", "profile", "back"}
