"""Lengths of gait that are scaled by the body height give it away: tiers that do not tell it do not hold them."""

from typing import Any, cast

import pytest
from gaitloom.clips import Clip
from gaitloom.plan import Plan
from gaitloom.release import dataset
from gaitloom.release.settings import Release

POINTS = [{"pixel": [0, 0], "metres": [0, 0]}] * 4
LENS = {"fx": 1, "fy": 1, "cx": 0, "cy": 0}


class Planned:
    """A plan of one gait node in this scene."""

    def __init__(self, scene: dict[str, Any]):
        self.scene = scene

    def recipes(self, clip: Clip) -> dict[str, Any]:
        return {"gait": {"scene": self.scene}}


class Told:
    """A tier that tells heights so."""

    def __init__(self, height: Any):
        self.height = height

    def columns(self, tier: str) -> dict[str, Any]:
        return {"height_cm": self.height} if self.height else {}


@pytest.mark.parametrize(
    ("camera", "height", "told", "left_out"),
    [
        ({}, "168.5", None, True),
        ({}, "168.5", 5.0, True),
        ({}, "168.5", "exact", False),
        ({}, "", None, False),
        ({"view": "sagittal"}, "168.5", None, True),
        ({"walkway": {}}, "168.5", None, False),
        ({"floor_points": POINTS}, "168.5", None, False),
        ({"floor_points": POINTS[:3]}, "168.5", None, True),
        ({"pose": {}}, "168.5", None, True),
        ({"pose": {}, "intrinsics": LENS}, "168.5", None, False),
    ],
)
def test_gait_is_left_out_where_the_height_is_its_scale(
    camera: dict[str, Any], height: str, told: Any, left_out: bool
) -> None:
    plan = cast(Plan, Planned({"camera": camera, "height_cm": height}))
    reason = dataset._tells_height(plan, cast(Release, Told(told)), "open", Clip("A"), "gait")
    assert bool(reason) == left_out
