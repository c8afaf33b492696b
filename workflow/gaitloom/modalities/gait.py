"""gait: foot events, steps, parameters with their spread, and joint angles, from the subject's keypoints."""

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from gaitloom.strict import Strict

if TYPE_CHECKING:
    from gaitloom.clips import Clip
    from gaitloom.derive import Job
    from gaitloom.gait.events import Events
    from gaitloom.gait.measure import Gait

VERSION = 1
READS = ("track", "keypoints")
ARRAYS = {
    "time": ("time",),
    "valid": ("time",),
    "event_foot": ("event",),
    "event_kind": ("event",),
    "event_time": ("event",),
    "event_frame": ("event",),
    "event_zeni": ("event",),
    "event_desailly": ("event",),
    "event_confidence": ("event",),
    "event_far": ("event",),
    "step_foot": ("step",),
    "step_contact": ("step",),
    "step_steady": ("step",),
    "step_far": ("step",),
    "step_confidence": ("step",),
    "step": ("step", "step_parameter"),
    "summary_n": ("side", "parameter"),
    "summary_mean": ("side", "parameter"),
    "summary_sd": ("side", "parameter"),
    "symmetry": ("parameter",),
    "angle": ("time", "angle"),
    "cycle_foot": ("cycle",),
    "cycle_time": ("cycle", "edge"),
    "cycle": ("cycle", "joint", "percent"),
}
OPTIONAL: dict[str, tuple[str, ...]] = {}


class Options(Strict):
    """Where the body height stands."""

    height_column: str = Field(
        "height_cm",
        description="Column of the clip sheet with the body height in cm, for cameras of which nothing else is known.",
    )


def scene(clip: "Clip", camera: Any, options: Options) -> dict[str, Any]:
    """What of the sheet and of the camera's settings is part of a clip's recipe."""
    from gaitloom.gait.scene import recorded

    return recorded(camera, clip.extra.get(options.height_column, ""))


def derive(job: "Job") -> dict[str, Any]:
    """Measure the subject's gait where the track sees them.

    A backend's `gaits(walks)` takes `gaitloom.gait.course.Walk`s and gives a `gaitloom.gait.measure.Gait` for each. Bad
    walks are no errors: their reason stands in the node, and what they cannot give is NaN. From the front, the events
    are those of the clip's sibling, whatever the backend.
    """
    from gaitloom.gait import frontal
    from gaitloom.gait.course import Walk
    from gaitloom.gait.measure import nothing
    from gaitloom.gait.scene import read

    keypoints, box = job.read("keypoints"), job.read("track").load("box")
    xy = keypoints.load("xy_23").astype(float)
    xy[~keypoints.load("valid") | ~np.isfinite(box[:, 0])] = np.nan
    walk = Walk(job.time, xy, job.size, read(job.recipe["scene"]))
    if job.sibling:
        found = frontal.gait(walk, *_events_of(job))
    elif walk.scene.view == "frontal":
        found = nothing(walk, frontal.ALONE)
    else:
        (found,) = job.backend.gaits(iter([walk]))
    job.put_valid(found.used, "the gait was measured in this frame")
    _put_events(job, found)
    _put_steps(job, found)
    _put_summary(job, found)
    _put_angles(job, found)
    return {**_attributes(found), **({"events_of": job.sibling.clip} if job.sibling else {})}


def _events_of(job: "Job") -> "tuple[Events, str]":
    """The sibling's events on this clip's time axis, and why there are none, if so."""
    from gaitloom.gait.events import Events

    node, later = job.read_sibling(), job.recipe["sync_s"]
    found = {name: node.load(f"event_{name}") for name in ("foot", "kind", "time", "zeni", "desailly", "confidence")}
    return Events(**{k: v + later if k in ("time", "zeni", "desailly") else v for k, v in found.items()}), str(
        node.attributes["reason"]
    )


FEET: dict[str, Any] = {"flag_values": [0, 1], "flag_meanings": "left right"}
FAR: dict[str, Any] = {"flag_values": [0, 1], "flag_meanings": "near far"}


def _far(found: "Gait", foot: np.ndarray) -> np.ndarray:
    """(N,) bool; from the front no leg is."""
    far = found.notes.get("far_side")
    return foot == ("left", "right").index(str(far)) if far else np.zeros(len(foot), bool)


def _put_events(job: "Job", found: "Gait") -> None:
    events, put, dims = found.events, job.staged.put, ("event",)
    put("event_foot", events.foot, dims, long_name="whose foot", **FEET)
    about = "what happens"
    put("event_kind", events.kind, dims, long_name=about, flag_values=[0, 1], flag_meanings="contact off")
    put("event_time", events.time, dims, units="s", long_name="when, from the clip's first frame")
    frame = np.interp(events.time, job.time, np.arange(job.length)).astype(np.float32)
    put("event_frame", frame, dims, long_name="the same in frames, between them")
    put("event_zeni", events.zeni, dims, units="s", long_name="when by Zeni et al. 2008; NaN where it sees none")
    put("event_desailly", events.desailly, dims, units="s", long_name="when by Desailly et al. 2009; NaN likewise")
    about = "1 where both detectors agree and the foot was seen, 0 where they are 0.1 s apart"
    put("event_confidence", events.confidence.astype(np.float32), dims, long_name=about)
    put("event_far", _far(found, events.foot), dims, long_name="the leg away from the camera", **FAR)


def _put_steps(job: "Job", found: "Gait") -> None:
    from gaitloom.gait.steps import COLUMNS

    steps, put, dims = found.steps, job.staged.put, ("step",)
    put("step_foot", steps.foot, dims, long_name="whose contact ends the step", **FEET)
    put("step_contact", steps.time, dims, units="s", long_name="when that is")
    steady: dict[str, Any] = {"flag_values": [0, 1], "flag_meanings": "unsteady steady"}
    put("step_steady", steps.steady, dims, long_name="as long as the foot's other steps; summaries use these", **steady)
    put("step_far", _far(found, steps.foot), dims, long_name="the leg away from the camera", **FAR)
    put("step_confidence", steps.confidence.astype(np.float32), dims, long_name="of the contact")
    about = f"columns: {', '.join(f'{name} ({unit})' for name, unit in COLUMNS.items())}; NaN where unknown"
    put("step", steps.values, ("step", "step_parameter"), long_name=about)


def _put_summary(job: "Job", found: "Gait") -> None:
    from gaitloom.gait.summary import SYMMETRY

    dims, whole = ("side", "parameter"), found.summary
    job.staged.put("summary_n", whole.n, dims, long_name="number of values")
    job.staged.put("summary_mean", whole.mean, dims, long_name="mean over steady steps, in parameter_units")
    job.staged.put("summary_sd", whole.sd, dims, long_name="standard deviation over steady steps")
    job.staged.put("symmetry", whole.symmetry, ("parameter",), units="%", long_name=SYMMETRY)


def _put_angles(job: "Job", found: "Gait") -> None:
    about = "joint angles in the picture's plane, low-passed at 6 Hz; angle_names; zeros: docs/gait.md"
    put = job.staged.put
    put("angle", found.angle.astype(np.float32), ("time", "angle"), units="degree", long_name=about)
    put("cycle_foot", found.cycle_foot, ("cycle",), long_name="whose gait cycle", **FEET)
    put("cycle_time", found.cycle_span, ("cycle", "edge"), units="s", long_name="from contact to contact")
    about = "joint angles at 0 to 100 % of each gait cycle; joint_names"
    dims = ("cycle", "joint", "percent")
    put("cycle", found.cycle.astype(np.float32), dims, units="degree", long_name=about)


def _attributes(found: "Gait") -> dict[str, Any]:
    from gaitloom.gait import angles, signals, steps, summary

    return {
        "reason": found.reason,
        "reasons": found.summary.reasons,
        **{k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in found.notes.items()},
        "filter": f"Butterworth, 4th order, no lag, {signals.CUTOFF:g} Hz",
        "symmetry_formula": summary.SYMMETRY,
        "least_steps": summary.LEAST,
        "side_names": list(summary.SIDES),
        "parameter_names": list(summary.PARAMETERS),
        "parameter_units": list(summary.PARAMETERS.values()),
        "step_parameter_names": list(steps.COLUMNS),
        "step_parameter_units": list(steps.COLUMNS.values()),
        "angle_names": list(angles.NAMES),
        "joint_names": list(angles.CYCLE_NAMES),
    }
