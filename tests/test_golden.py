"""An output that changes without a version bump would leave old and new nodes under one recipe: caught here."""

import json
from typing import Any

import golden
import pytest

HOW = "if the change is meant, bump the VERSION of the modality or the version of the backend, and run tests/golden.py"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return golden.measure(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("node", ["video", *golden.NODES])
def test_outputs_change_only_with_a_version(measured: dict[str, Any], node: str) -> None:
    recorded = json.loads(golden.FILE.read_text())[node]
    assert measured[node]["making"] == recorded["making"], f"{node}'s recipe changed; run tests/golden.py"
    assert measured[node]["arrays"].keys() == recorded["arrays"].keys(), HOW
    for name, expected in recorded["arrays"].items():
        found = measured[node]["arrays"][name]
        assert found["shape"] == expected["shape"], f"{node}/{name}: {HOW}"
        scale = abs(expected["mean"]) + expected["spread"]
        for figure in ("mean", "spread"):
            assert found[figure] == pytest.approx(expected[figure], abs=0.01 * scale + 1e-4), f"{node}/{name}: {HOW}"
