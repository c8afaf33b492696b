"""What a laboratory knows of a clip's camera and person, as the recipe holds it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gaitloom.cameras import Camera
    from gaitloom.clips import Clip

HEIGHTS = (50.0, 230.0)  # cm; what is beyond is another unit, or a slip

VIEWS = {"front": "frontal", "back": "frontal", "side": "sagittal"}  # what the column `view` may say as well


@dataclass(frozen=True)
class Scene:
    """`view` sagittal, oblique or frontal, None where not said; `matrix` (3, 3) and `distortion` of the camera; `pose`
    (3, 4) from floor coordinates in metres, z up, to the camera's; `floor` (M, 4) pixel x, y and floor X, Y in metres;
    `walkway` (2, 2, 2) px, a start and an end line by two points each, `walkway_m` apart; `height_cm` the person's;
    `height_reason` why it is not known."""

    view: str | None = None
    matrix: np.ndarray | None = None
    distortion: tuple[float, ...] = ()
    pose: np.ndarray | None = None
    floor: np.ndarray | None = None
    walkway: np.ndarray | None = None
    walkway_m: float = 0.0
    height_cm: float | None = None
    height_reason: str = ""


def recorded(camera: Any, height: str) -> dict[str, Any]:
    """What goes into a recipe of a camera (`gaitloom.cameras.Camera`, or None) and the text of the height's column."""
    known = camera.model_dump(mode="json", exclude={"calibration"}, exclude_defaults=True) if camera else {}
    return {"camera": known, "height_cm": height}


def view_of(clip: "Clip", cameras: "Mapping[str, Camera]") -> str:
    """The view of a clip's camera, else what the clip's column `view` says; empty where neither is given."""
    camera = cameras.get(clip.camera)
    said = (camera.view if camera else None) or clip.extra.get("view", "").strip().lower()
    return VIEWS.get(said, said)


def siblings(clips: "Iterable[Clip]", cameras: "Mapping[str, Camera]") -> "dict[str, tuple[Clip, float]]":
    """`{subject}/{clip}` of each frontal clip → the sagittal clip of the same walk, and the seconds to add to its time
    to get this one's. They have one subject, session, trial and segment, and both `sync_offset_s`; of several, it is
    the one whose name sorts first."""
    sagittal: dict[tuple[str, ...], tuple[Clip, float]] = {}
    frontal: list[tuple[Clip, float]] = []
    for clip in sorted(clips, key=lambda c: c.path):
        if clip.sync_offset_s is not None:
            if (view := view_of(clip, cameras)) == "sagittal":
                sagittal.setdefault(_walk(clip), (clip, clip.sync_offset_s))
            elif view == "frontal":
                frontal.append((clip, clip.sync_offset_s))
    pairs = ((clip, offset, *sagittal[_walk(clip)]) for clip, offset in frontal if _walk(clip) in sagittal)
    return {clip.path: (other, round(theirs - ours, 9)) for clip, ours, other, theirs in pairs}


def _walk(clip: "Clip") -> tuple[str, ...]:
    return clip.subject, clip.session, clip.trial, clip.segment


def read(values: dict[str, Any]) -> Scene:
    """The scene of a recipe's `recorded` values."""
    camera = values["camera"]
    lens, pose, walkway = camera.get("intrinsics"), camera.get("pose"), camera.get("walkway")
    points = camera.get("floor_points", ())
    height, reason = _height(values["height_cm"])
    return Scene(
        camera.get("view"),
        np.array([[lens["fx"], 0, lens["cx"]], [0, lens["fy"], lens["cy"]], [0, 0, 1]]) if lens else None,
        tuple(lens.get("distortion", ())) if lens else (),
        np.column_stack([np.reshape(pose["rotation"], (3, 3)), pose["translation"]]) if pose else None,
        np.array([[*p["pixel"], *p["metres"]] for p in points], float) if points else None,
        np.array([walkway["start"], walkway["end"]], float) if walkway else None,
        walkway["metres"] if walkway else 0.0,
        height,
        reason,
    )


def _height(text: str) -> tuple[float | None, str]:
    if not text:
        return None, "no walkway, floor points or calibration of the camera are given, and no body height"
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None, f"the body height '{text}' is not a number"
    if not HEIGHTS[0] <= value <= HEIGHTS[1]:
        return None, f"the body height {value:g} is not in centimetres"
    return value, ""
