"""Accuracy of gait: parameters and events of random walkers against their exact truth.

    python benchmarks/gait_accuracy.py [--walkers 25] [--seed N] [--scale walkway]
    python benchmarks/gait_accuracy.py pixels       the same five gaits, rendered, through the embedded backends
    python benchmarks/gait_accuracy.py residuals    what BlazePose does on them: the figures in tests/gait_walkers.py
    python benchmarks/gait_accuracy.py marks --clips FOLDER    filmed people: events against those marked by eye

The first makes `--walkers` of each of the five gaits with speed, cadence, step length, stature, camera distance, height
and angle (up to 15 degrees) drawn at random, at 25 to 120 frames a second, with keypoints as wrong as BlazePose's; and
as many again at 60 frames a second for the contacts. Seeds are fresh unless `--seed` says otherwise. Errors are of each
walker's means; `refused` are those that gave no speed, with their reason. A bound that is not met is listed under
`not_met`.
"""

import argparse
import os
import random
import tempfile
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

import common
import numpy as np
from gait_walkers import Walker, random_walker
from gaitloom.gait.measure import Gait, gait
from gaitloom.gait.summary import PARAMETERS
from walker import GAITS, SIDES, Walk

BOUNDS = {  # of the mean absolute error
    "speed": 0.03, "cadence": 1.5, "step_length": 0.02, "stride_length": 0.03, "step_time": 0.015,
    "initial_double_support": 0.03, "double_support": 0.03,
}  # fmt: skip
ONE_FRAME = 0.95  # share of contacts within one frame at 60 frames a second
EDGE = 0.15  # s at either end in which events are not counted: half of what shows them is missing


def errors(walkers: list[Walker], known: str) -> dict[str, list[float]]:
    """Found minus true mean of every parameter."""
    found: dict[str, list[float]] = defaultdict(list)
    for walker in walkers:
        mean = gait(walker.walk(known)).summary.mean[0]
        for name, true in walker.parameters.items():
            found[name].append(float(mean[list(PARAMETERS).index(name)]) - true)
    return found


def event_errors(times: dict[tuple[str, str], np.ndarray], made: Gait, kind: str) -> list[float]:
    """Seconds from each true event to the nearest that was found, NaN where none is within 0.25 s."""
    found = []
    for foot, side in enumerate(SIDES):
        mine = made.events.of(foot, ("contact", "off").index(kind))
        for true in times[kind, side]:
            off = mine - true
            found.append(float(off[np.abs(off).argmin()]) if len(off) and np.abs(off).min() < 0.25 else np.nan)
    return found


def contacts(walkers: list[Walker], kind: str = "contact") -> tuple[np.ndarray, np.ndarray]:
    """Seconds from each true event to the one found, and whether they fall on the same frame or its neighbour."""
    off, near = [], []
    for walker in walkers:
        made = gait(walker.walk())
        used = walker.time[made.used]
        times = {(kind, side): walker.events(kind, side) for side in SIDES}
        if len(used):
            times = {k: t[(t > used[0] + EDGE) & (t < used[-1] - EDGE)] for k, t in times.items()}
        mine = np.array(event_errors(times, made, kind))
        true = np.concatenate([times[kind, side] for side in SIDES])
        rate = walker.setting.fps
        off.append(mine)
        near.append(np.abs(np.rint((true + np.nan_to_num(mine, nan=9)) * rate) - np.rint(true * rate)) <= 1)
    return np.concatenate(off), np.concatenate(near)


def figures(kind: str, count: int, rng: np.random.Generator, known: str) -> dict[str, Any]:
    """Everything of one gait type."""
    found = errors([random_walker(rng, kind) for _ in range(count)], known)
    row: dict[str, Any] = {
        name: {
            "mae": round(float(np.nanmean(np.abs(values))), 4),
            "bias": round(float(np.nanmean(values)), 4),
            "worst": round(float(np.nanmax(np.abs(values))), 4),
        }
        for name, values in found.items()
    }
    row["refused"] = int(np.isnan(found["speed"]).sum())
    steady = [random_walker(rng, kind, fps=60.0) for _ in range(count)]
    for event in ("contact", "off"):
        off, near = contacts(steady, event)
        row[event] = {
            "events": len(off),
            "missed": int(np.isnan(off).sum()),
            "bias_s": round(float(np.nanmean(off)), 4),
            "sd_s": round(float(np.nanstd(off)), 4),
            "within_one_frame": round(float(near.mean()), 4),
        }
    return row


def not_met(table: dict[str, Any]) -> list[str]:
    """Each bound that a gait type misses, with the figure."""
    missed = []
    for kind, row in table.items():
        missed += [f"{kind}: {n} {row[n]['mae']} > {most}" for n, most in BOUNDS.items() if not row[n]["mae"] <= most]
        if not row["contact"]["within_one_frame"] >= ONE_FRAME:
            missed.append(f"{kind}: contacts within one frame {row['contact']['within_one_frame']} < {ONE_FRAME}")
    return missed


def pixels(fps: float, seed: int) -> dict[str, Any]:
    """Parameters of rendered walkers through the embedded backends, as a run makes them, scaled by body height."""
    from gaitloom.derive import derive
    from gaitloom.plan import Plan
    from gaitloom.store import Store

    table: dict[str, Any] = {}
    for i, (kind, model) in enumerate(GAITS.items()):
        walk = Walk(
            model, direction=("right", "left")[i % 2], frames=round(5 * fps), fps=fps, size=(1280, 720), seed=seed
        )
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "data").mkdir()
            walk.write(folder / "data" / "S_1.mp4")
            (folder / "sheet.tsv").write_text(f"video\theight_cm\nS_1.mp4\t{100 * model.height:g}\n")
            nodes = {
                "track": {"backend": "blazepose"},
                "keypoints": {"backend": "blazepose"},
                "gait": {"backend": "events"},
            }
            clips = {"folders": [str(folder / "data")], "pattern": "{subject}_{trial}", "columns": ["height_cm"]}
            clips["sheet"] = str(folder / "sheet.tsv")
            plan = Plan.load({"results": str(folder / "results"), "clips": clips, "nodes": nodes}, scan=True)
            store = Store(plan.config.results)
            for node in plan.nodes:
                key = plan.key(plan.clips[0], node)
                derive(plan, key, str(plan.planned(key)))
            node = store.open(key)
            truth = Walker(model, _setting(walk)).parameters
            mean = dict(zip(PARAMETERS, node.load("summary_mean")[0].tolist(), strict=True))
            table[kind] = {"reason": node.attributes["reason"]}
            table[kind] |= {n: {"found": round(mean[n], 4), "true": round(t, 4)} for n, t in truth.items()}
            for event in (0, 1):
                table[kind][("contact", "off")[event]] = _pixel_events(walk, node, event)
    return table


def _setting(walk: Walk) -> Any:
    from gait_walkers import Setting

    return Setting(side=walk.direction, fps=walk.fps)


def _pixel_events(walk: Walk, node: Any, kind: int) -> dict[str, Any]:
    time, foot = (node.load(f"event_{n}")[node.load("event_kind") == kind] for n in ("time", "foot"))
    used = node.load("time")[node.load("valid")]
    off = []
    for true, side, name in walk.events:
        if name != ("contact", "off")[kind] or not len(used) or not used[0] + EDGE < true < used[-1] - EDGE:
            continue
        mine = time[foot == SIDES.index(side)] - true
        off.append(mine[np.abs(mine).argmin()] if len(mine) and np.abs(mine).min() < 0.25 else np.nan)
    off = np.array(off)
    near = float((np.abs(off) <= 1 / walk.fps).mean()) if len(off) else None
    return {"events": len(off), "bias_s": round(float(np.nanmean(off)), 4), "within_one_frame": near}


JOINTS = {"shoulder": (5, 6), "hip": (11, 12), "knee": (13, 14), "ankle": (15, 16), "heel": (19, 22), "toe": (17, 20)}


def residuals() -> dict[str, Any]:
    """BlazePose on rendered walkers: bias, spread and memory of each joint's error in statures, and how often and how
    long it exchanges the legs."""
    from gaitloom import keypoint_formats
    from gaitloom.backends.keypoints import blazepose

    poser = blazepose.Backend(blazepose.Options())
    seen: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    runs: list[float] = []
    seconds = 0.0
    plan = [(k, d, r) for k in GAITS for d in ("right", "left") for r in ((30.0, 60.0) if k == "normal" else (30.0,))]
    for seed, (kind, direction, fps) in enumerate(plan):
        walk = Walk(
            GAITS[kind],
            direction=direction,
            frames=int(4.2 * fps),
            fps=fps,
            size=(1280, 720),
            seed=seed,
            phase=0.1 * seed,
        )
        whole = np.concatenate([walk.keypoints, walk.camera.project(walk.joints["head_top"])[:, None]], axis=1)
        box = np.concatenate([whole.min(axis=1) - 8, whole.max(axis=1) + 8], axis=1)
        posed = list(poser.points((walk.frame(t), box[t]) for t in range(len(walk))))
        points = np.stack([np.full((33, 3), np.nan) if p is None else p for p in posed])
        xy, _ = keypoint_formats.view(points[..., :2], points[..., 2], poser.format.points)
        truth, stature = walk.keypoints, walk.gait.height / walk.metres_per_pixel
        swap = _exchanged(xy, truth)
        runs += [(b - a) / fps for a, b in _runs(swap)]
        seconds += len(walk) / fps
        for joint, (left, right) in JOINTS.items():
            near, far = (right, left) if direction == "right" else (left, right)
            for which, point in (("near", near), ("far", far)):
                error = (xy[:, point] - truth[:, point]) / stature * ((1 if direction == "right" else -1), 1)
                error[swap] = np.nan
                centred = error - np.nanmedian(error, axis=0)
                astray = np.abs(centred).max(axis=1) > 0.06
                centred[astray] = np.nan
                keeps = np.nanmean(centred[1:] * centred[:-1], axis=0) / np.nanmean(centred**2, axis=0)
                lasts = -1 / (fps * np.log(np.clip(keeps, 0.01, 0.99)))
                seen[joint, which].append(
                    [*np.nanmean(error, axis=0), *np.nanstd(centred, axis=0), *lasts, astray.mean()]
                )
    table = {}
    for key, rows in seen.items():
        values = np.array(rows)
        names = ("bias_x", "bias_y", "sd_x", "sd_y", "lasts_x", "lasts_y", "astray")
        mean, spread = values.mean(axis=0).round(4).tolist(), values.std(axis=0).round(4).tolist()
        table[" ".join(key)] = {**dict(zip(names, mean, strict=True)), "between_x": spread[0], "between_y": spread[1]}
    swaps = {
        "a_second": round(len(runs) / seconds, 2),
        "lasting_s": round(float(np.mean(runs)), 3),
        "longest_s": max(runs),
    }
    return {"joints": table, "swaps": swaps}


def _exchanged(xy: np.ndarray, truth: np.ndarray) -> np.ndarray:
    left, right = [13, 15, 17, 19], [14, 16, 20, 22]
    kept, other = (
        np.linalg.norm(xy[:, left + right] - truth[:, order], axis=2).mean(axis=1)
        for order in (left + right, right + left)
    )
    return other < 0.5 * kept


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    from gaitloom.gait.signals import stretches

    return stretches(mask)


def marks(folder: Path) -> dict[str, Any]:
    """Events of filmed people within two frames of those marked by eye (tests/gait_events.json), by moments (the
    node's, or a detector's own), for clips with one person and for those in which two cross."""
    from gait_marks import WALKS, compared
    from scipy.stats import binomtest

    table: dict[str, Any] = {}
    for which, name in product(("time", "zeni", "desailly"), ("one person", "two cross")):
        rows = []
        for number, walk in enumerate(WALKS):
            paths = [path for path in (common.DEMO.parent / walk["clip"], folder / walk["clip"]) if path.is_file()]
            if ("alone" in walk) == (name == "two cross") and paths:
                rows.append(compared(paths[0], number, which))
        if not rows:
            continue
        kinds = {kind: np.concatenate([getattr(row, kind) for row in rows]) for kind in ("step", "contact", "off")}
        kinds["contact and off"] = np.concatenate([kinds["contact"], kinds["off"]])
        for kind, apart in kinds.items():
            near = int((np.abs(apart) <= 2).sum())
            low, high = binomtest(near, len(apart)).proportion_ci()
            table[f"{name}, {which}, {kind}"] = {
                "marks": len(apart),
                "found": int(np.isfinite(apart).sum()),
                "within_two": near,
                "share": round(near / len(apart), 3),
                "interval": [round(float(low), 3), round(float(high), 3)],
                "median_s": round(float(np.nanmedian(apart)) / 30, 4),
                "mean_s": round(float(np.nanmean(apart)) / 30, 4),
                "mae_s": round(float(np.nanmean(np.abs(apart))) / 30, 4),
            }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="walkers", choices=("walkers", "pixels", "residuals", "marks"))
    parser.add_argument("--walkers", type=int, default=25, help="of each gait type")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--scale", default="walkway", choices=("walkway", "floor", "height"))
    parser.add_argument("--clips", type=Path, default=common.ROOT.parent / "shared" / "clips", help="filmed people")
    given = parser.parse_args()
    if given.what == "residuals":
        common.report("gait_residuals", {}, **residuals())
    elif given.what == "marks":
        common.report("gait_marks", {}, events=marks(given.clips))
    elif given.what == "pixels":
        common.report("gait_pixels", {}, seed=given.seed, gaits=pixels(60.0, given.seed))
    else:
        rng = np.random.default_rng(given.seed)
        table = {kind: figures(kind, given.walkers, rng, given.scale) for kind in GAITS}
        settings = {"seed": given.seed, "walkers_each": given.walkers, "scale": given.scale}
        common.report("gait_accuracy", {}, **settings, gaits=table, not_met=not_met(table))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
