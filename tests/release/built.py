"""The sample's releases, built once: all layouts, in an open and a controlled tier."""

import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType
from unittest import mock

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


class _Documents(ModuleType):
    """Stands for the documents that people read, which have tests of their own."""

    @staticmethod
    def write(contents: Contents) -> None:
        (contents.folder / "CHANGELOG.md").write_text("# 1.0.0\n\nThe first.\n")


@cache
def _plan() -> Plan:
    return sample.plan(Path(tempfile.mkdtemp(prefix="laboratory-")), tiers=TIERS)


@cache
def release(tier: TierName) -> Contents:
    """A release as its last check sees it: built, and looked at by that check. Not to be changed."""
    plan = _plan()
    for path in plan.parts(tier):
        parts.make(plan, path, tier)
    with mock.patch.dict(sys.modules, {"gaitloom.release.documents": _Documents("documents")}):
        target = build.build(plan, tier)
    dataset = Dataset.of(plan, tier)
    return Contents(dataset, target, build._parts(dataset), None)
