"""The sample's releases, built once: all layouts, in an open and a controlled tier."""

import tempfile
from functools import cache
from pathlib import Path

from gaitloom.plan import Plan
from gaitloom.release import build, parts
from gaitloom.release.contents import Contents
from gaitloom.release.dataset import Dataset
from gaitloom.release.settings import TierName

from . import sample

TIERS = {
    "open": {"k": 1, "exporters": ["zarr", "alphapose", "coco", "cgv", "progait", "health_gait"]},
    "registered": {"k": 1},
    "controlled": {"k": 1, "exporters": ["zarr", "progait", "opengait", "health_gait"]},
}


@cache
def _plan() -> Plan:
    return sample.plan(Path(tempfile.mkdtemp(prefix="laboratory-")), tiers=TIERS)


@cache
def release(tier: TierName) -> Contents:
    """A release as its last check sees it: built, and looked at by that check. Not to be changed."""
    plan = _plan()
    for path in plan.parts(tier):
        parts.make(plan, path, tier)
    target = build.build(plan, tier)
    dataset = Dataset.of(plan, tier)
    return Contents(dataset, target, build._parts(dataset), None)
