"""Sports2D and Pose2Sim on keypoints of ours, in an environment of their own, since they bring other builds of OpenCV:

    python -m venv peer && peer/bin/pip install sports2d==0.8.34 pose2sim==0.10.49

with `peer/bin` on the PATH. They get a TRC file in pixels (`load_trc_px`) and a black video of the clip's size and
length, so they see nothing but the points. `sports2d` gives joint angles and points in metres (scaled by body height),
and Pose2Sim's `trc_gaitevents` foot events by Zeni's method from the latter.
"""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import numpy as np
from gaitloom.exchange import Person, trc
from gaitloom.gait import angles
from gaitloom.gait.events import SIDES
from gaitloom.keypoint_formats import WHOLEBODY_23

VERSIONS = {"sports2d": "0.8.34", "pose2sim": "0.10.49"}
SWITCHES = {
    "video_input": "walk.mp4", "load_trc_px": "walk_px.trc", "result_dir": ".",
    "nb_persons_to_detect": 1, "person_ordering_method": "first_detected", "visible_side": "auto", "save_vid": "false",
    "save_img": "false", "show_realtime_results": "false", "show_graphs": "false", "save_graphs": "false",
    "make_c3d": "false", "save_calib": "false",
}  # fmt: skip


@dataclass(frozen=True)
class Peer:
    """What the peer makes of T frames: `angle` (T, 7) degrees in the order and with the zeros of ours; `events` by
    (foot, kind), s, empty where its detector fails; `metres`, x of its points in metres by name and frame; `direction`
    of the walk as it sees it; `stature`, px."""

    angle: np.ndarray
    events: dict[tuple[int, int], np.ndarray]
    metres: dict[str, np.ndarray]
    direction: str
    stature: float


def missing() -> str:
    """Why the peer cannot be run here, or nothing."""
    program = shutil.which("sports2d")
    if not program or not shutil.which("trc_gaitevents"):
        return "sports2d is not on the PATH; benchmarks/peer_sports2d.py says how to install it"
    ask = "from importlib.metadata import version; print(*map(version, ('sports2d', 'pose2sim')))"
    first = Path(program).read_text(errors="replace").splitlines()[0]  # "#!" and the environment's interpreter
    found = _output([first.removeprefix("#!").strip(), "-c", ask], Path.cwd()).split()
    wanted = list(VERSIONS.values())
    return "" if found == wanted else f"sports2d and pose2sim are {found} where {wanted} are compared with"


def _output(command: list[Any], folder: Path) -> str:
    """A program's output; it opens no window and is not told where ours is."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    setting = kept | {"MPLBACKEND": "Agg", "QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), cwd=folder, env=setting, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")
    return done.stdout + done.stderr


def run(xy: np.ndarray, rate: float, size: tuple[int, int], metres: float, **switches: Any) -> Peer:
    """The peer's gait of points (T, 23, 2) px, frames evenly `rate` a second, of a person of that height."""
    even = round(rate)  # it rounds a video's rate; its times are put right below
    person = Person(xy.astype(np.float32), np.isfinite(xy[..., 0]).astype(np.float32), WHOLEBODY_23.points)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trc.write_trc(folder / "walk_px.trc", person, np.arange(len(xy)) / even)
        black = np.zeros((size[1] + size[1] % 2, size[0] + size[0] % 2, 3), np.uint8)
        common.write_video(folder / "walk.mp4", iter([black] * len(xy)), even)
        given = SWITCHES | {"first_person_height": metres} | switches
        options = [text for key, value in given.items() for text in (f"--{key}", value)]
        said = _output(["sports2d", *options], folder)
        out = folder / "walk_Sports2D"
        angle = _angles(_table(next(out.glob("*_angles_person00.*")), "endheader"))
        points = next(out.glob("*_m_person00.trc"))
        frames, x = _points(points)
        feet = [x[f"{side}BigToe"] - x[f"{side}Heel"] for side in "LR"]
        forward = float(np.nanmean(feet))  # as its `visible_side` "auto" has it; `trc_gaitevents` wants to be told
        events = _events(points, forward, even / rate)
    whole = {k: np.full(len(xy), np.nan) for k in x}
    for k, values in x.items():
        whole[k][frames] = values
    stature = float(said.split("in meters (manual input), and of ")[1].split(" in pixels")[0])
    return Peer(angle[: len(xy)], events, whole, "right" if forward > 0 else "left", stature)


def _table(path: Path, after: str) -> dict[str, np.ndarray]:
    """A tab-separated table's columns by name, below the line that ends its header."""
    lines = path.read_text().split(f"{after}\n")[1].splitlines()
    rows = [[float(cell) if cell else np.nan for cell in line.split("\t")] for line in lines[1:]]
    return dict(zip(lines[0].split("\t"), np.array(rows).T, strict=True))


def _angles(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Its hip, knee and ankle have our zeros and signs; its trunk is measured from the horizontal."""
    columns["trunk"] = 90 - columns["trunk"]
    found = np.stack([columns[name.replace("_", " ")] for name in angles.NAMES], axis=1)
    found[np.isfinite(found).any(axis=1).argmax()] = np.nan  # the first frame is a copy of the second
    return found


def _points(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Frames (counted from 0) of its own TRC, and x in metres by marker."""
    lines = path.read_text().splitlines()
    markers = lines[3].split("\t")[2::3]
    rows = np.array([[float(c) if c else np.nan for c in line.split("\t")] for line in lines[5:]])
    return rows[:, 0].astype(int), {name: rows[:, 2 + 3 * i] for i, name in enumerate(markers) if name}


def _events(points: Path, forward: float, stretch: float) -> dict[tuple[int, int], np.ndarray]:
    axis = "X" if forward > 0 else "-X"
    found = {(foot, kind): np.zeros(0) for foot in (0, 1) for kind in (0, 1)}
    try:
        _output(["trc_gaitevents", "-i", points, "-m", "forward_coordinates", f"-g={axis}", "-p", ""], points.parent)
    except RuntimeError as error:
        if "IndexError" in str(error):  # it ends like this where one foot has no event
            return found
        raise
    said = (points.parent / "gaitevents.txt").read_text().split("Frames:")[0]
    for foot, side in enumerate(SIDES):
        for kind, name in enumerate(("on", "off")):
            listed = said.split(f"{side.capitalize()} {name}: [")[1].split("]")[0]
            found[foot, kind] = stretch * np.array([float(t) for t in listed.split(",") if t.strip()])
    return found
