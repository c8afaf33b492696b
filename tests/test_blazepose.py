"""BlazePose's start: mediapipe without matplotlib, and matplotlib as it was for whoever draws later."""

import subprocess
import sys

CODE = """
import sys
from gaitloom.backends import _blazepose
_blazepose.Finder()
assert "matplotlib" not in sys.modules
from matplotlib import pyplot
pyplot.switch_backend("agg")
pyplot.figure()
"""


def test_it_starts_without_matplotlib_which_still_draws_afterwards() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
