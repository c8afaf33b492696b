"""What is known of cameras: the configuration's table `cameras`."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from gaitloom.errors import GaitloomError
from gaitloom.strict import Strict


class Intrinsics(Strict):
    """Pinhole intrinsics in pixels and OpenCV's distortion coefficients (k1, k2, p1, p2, k3)."""

    fx: float = Field(gt=0, description="Focal length along x, in pixels.")
    fy: float = Field(gt=0, description="Focal length along y, in pixels.")
    cx: float = Field(description="Principal point, x in pixels.")
    cy: float = Field(description="Principal point, y in pixels.")
    distortion: tuple[float, ...] = Field((), description="OpenCV's k1, k2, p1, p2, k3.")


class FloorPoint(Strict):
    """A point of the floor, seen at a pixel and measured in metres."""

    pixel: tuple[float, float] = Field(description="x (right) and y (down) in full-frame pixels.")
    metres: tuple[float, float] = Field(description="Position on the floor in metres, any fixed origin.")


class Pose(Strict):
    """Where a camera is: x in its own frame is rotation · X + translation of floor coordinates X, z up, in metres."""

    rotation: tuple[float, float, float, float, float, float, float, float, float] = Field(
        description="The rotation matrix, row by row."
    )
    translation: tuple[float, float, float] = Field(description="In metres.")


class Walkway(Strict):
    """Two lines across the walkway's floor, each through two points of the picture, a known length apart."""

    start: tuple[tuple[float, float], tuple[float, float]] = Field(description="Two pixels of the first line.")
    end: tuple[tuple[float, float], tuple[float, float]] = Field(description="Two pixels of the second line.")
    metres: float = Field(gt=0, description="Length between the lines.")


class Camera(Strict):
    """What is known of one camera; its name is what the sheet's column `camera` says."""

    view: Literal["sagittal", "frontal", "oblique"] | None = Field(None, description="The camera's view of the walk.")
    calibration: Path | None = Field(
        None,
        description="A file with intrinsics and, if it has one, the camera's pose: OpenCV's YAML or JSON, or "
        "Pose2Sim's TOML. It stands for `intrinsics` and `pose`.",
    )
    intrinsics: Intrinsics | None = Field(None, description="Calibration, where there is one.")
    pose: Pose | None = Field(None, description="Where the camera is, over a floor at z = 0.")
    floor_points: tuple[FloorPoint, ...] = Field((), description="Floor points with known positions.")
    walkway: Walkway | None = Field(None, description="A known length on the floor.")

    @model_validator(mode="before")
    @classmethod
    def _calibration_is_read(cls, values: Any) -> Any:
        """Numbers in place of the file, so that its content is in the recipes, and its path is not."""
        if not isinstance(values, dict) or not values.get("calibration"):
            return values
        from gaitloom.gait.calibration import read

        try:
            return {**values, **read(Path(values["calibration"])), "calibration": None}
        except GaitloomError as error:
            raise ValueError(str(error)) from None
