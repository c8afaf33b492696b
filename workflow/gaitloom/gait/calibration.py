"""Calibration files as configuration values: OpenCV's FileStorage (YAML, JSON), and TOML of Pose2Sim and Anipose."""

from pathlib import Path
from typing import Any

import numpy as np

from gaitloom.errors import GaitloomError


def read(path: Path) -> dict[str, Any]:
    """`intrinsics` and, where the file has one, `pose`, as `gaitloom.cameras.Camera` takes them.

    OpenCV: `camera_matrix`, `distortion_coefficients`, and `rvec` with `tvec`. Pose2Sim: one camera's table with
    `matrix`, `distortions`, `rotation` (Rodrigues) and `translation`; a file of several cameras is refused, since
    nothing says which is meant.

    Raises:
        GaitloomError: the file is missing or holds none of that.
    """
    if not path.is_file():
        raise GaitloomError(f"There is no calibration at {path}; correct cameras.<name>.calibration.")
    try:
        found = _toml(path) if path.suffix.lower() == ".toml" else _opencv(path)
    except GaitloomError:
        raise
    except Exception as error:
        line = " ".join(str(error).split())[:150]
        raise GaitloomError(f"{path} is not a calibration that can be read ({line}); see docs/gait.md.") from None
    return found


def _toml(path: Path) -> dict[str, Any]:
    import tomllib

    cameras = [t for t in tomllib.loads(path.read_text()).values() if isinstance(t, dict) and "matrix" in t]
    if len(cameras) != 1:
        raise GaitloomError(f"{path} holds {len(cameras)} cameras; give a file with the one that is meant.")
    camera = cameras[0]
    rotation, translation = camera.get("rotation"), camera.get("translation")
    return _values(np.array(camera["matrix"], float), camera.get("distortions", ()), rotation, translation)


def _opencv(path: Path) -> dict[str, Any]:
    import cv2

    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    matrix, *others = (
        storage.getNode(name).mat() for name in ("camera_matrix", "distortion_coefficients", "rvec", "tvec")
    )
    if matrix is None:
        raise GaitloomError(f"{path} has no camera_matrix; see docs/gait.md for what is read.")
    distortion, rotation, translation = others
    return _values(matrix, () if distortion is None else distortion.ravel(), rotation, translation)


def _values(matrix: np.ndarray, distortion: Any, rotation: Any, translation: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "intrinsics": {
            "fx": float(matrix[0, 0]),
            "fy": float(matrix[1, 1]),
            "cx": float(matrix[0, 2]),
            "cy": float(matrix[1, 2]),
            "distortion": [float(d) for d in distortion],
        }
    }
    if rotation is not None and translation is not None:
        import cv2

        turned = np.asarray(rotation, float)
        turned = turned if turned.shape == (3, 3) else cv2.Rodrigues(turned.reshape(3, 1))[0]
        found["pose"] = {
            "rotation": turned.ravel().tolist(),
            "translation": np.asarray(translation, float).ravel().tolist(),
        }
    return found
