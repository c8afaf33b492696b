"""TRC, OpenSim's text table of marker positions: one file a clip, in pixels.

Names are those of Pose2Sim and Sports2D (`RHip`, `LBigToe`), which read it (`load_trc_px`) where they would run a pose
model of their own; x right, y down, z 0. An absent point has empty cells; one that is never there has no columns.
Layout: OpenSim's documentation, "Marker (.trc) files".
"""

from pathlib import Path

import numpy as np

from gaitloom.exchange import Person, _common


def write_trc(path: Path, person: Person, time: np.ndarray) -> None:
    """Write a person's points with the clip's time axis (T,) in seconds; frames count from 1.

    The rate in the header is the median one. Sports2D wants `_px` in the file's name, and takes frames as even.
    """
    there = np.flatnonzero(np.isfinite(person.xy[..., 0]).any(axis=0))
    count = len(time)
    rate = f"{1 / np.median(np.diff(time)):.6g}" if count > 1 else "0"
    names = [marker(person.names[k]) for k in there]
    axes = "\t".join(f"X{i}\tY{i}\tZ{i}" for i in range(1, len(names) + 1))
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate}\t{rate}\t{count}\t{len(names)}\tpx\t{rate}\t1\t{count}",
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
        f"\t\t{axes}",
    ]
    for frame, (t, xy) in enumerate(zip(time.tolist(), person.xy[:, there].tolist(), strict=True), start=1):
        cells = ("\t\t" if x != x else f"{x:.9g}\t{y:.9g}\t0" for x, y in xy)
        lines.append("\t".join([str(frame), f"{t:.9g}", *cells]))
    with _common.writing(path) as file:
        file.write("\n".join([*lines, ""]).encode())


def marker(name: str) -> str:
    """A point's name as Pose2Sim has it: `left_big_toe` → `LBigToe`, `nose` → `Nose`."""
    side, *rest = name.split("_")
    short = {"left": "L", "right": "R"}.get(side, side.capitalize())
    return short + "".join(part.capitalize() for part in rest)
