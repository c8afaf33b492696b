"""Options for backends that carry no weights in a package: real weights where they are here, else random ones.

A maker gives the options' keywords, or skips the test with the reason. Models with random weights are of the right
architecture and prove plumbing only: `UNTRAINED` lists them, so that nothing is expected of what they see.
"""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import SHARED


def real(file: str, sha256: str) -> dict[str, Any]:
    """A weight file beside the project; skips where it is not."""
    path = SHARED / "weights" / file
    if not path.is_file():
        pytest.skip(f"the real weights {file} are not on this machine")
    return {"weights": str(path), "weights_sha256": sha256}


def yolov8_seg() -> dict[str, Any]:
    return real("yolov8n-seg_int8.tflite", "ad5a89a78acae95be79a1f6dc7399b952f96a7c767af3fad86b9647fecb0658f")


MAKERS: dict[tuple[str, str], Callable[[], dict[str, Any]]] = {("silhouette", "yolov8_seg"): yolov8_seg}
UNTRAINED: set[tuple[str, str]] = set()
