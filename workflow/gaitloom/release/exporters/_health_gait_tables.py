"""Health&Gait's tables: what is known of its participants, and how they walk at usual and fast speed."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gaitloom.exchange.health_gait import GROUPS, SPEEDS
from gaitloom.gait import summary
from gaitloom.release import participants, partitions
from gaitloom.release.dataset import Dataset, Source
from gaitloom.store import Node

# Column of participants → Health&Gait's; others go through under their own names.
MEASURES = {
    "sex": "Sex",
    "age": "Age",
    "pa_level": "PA_level",
    "height_cm": "Height",
    "weight_kg": "Weight",
    "bmi": "BMI",
    "waist_cm": "WaistC",
    "hip_cm": "HipC",
    "neck_cm": "NeckC",
}
SEX = {"F": "0", "M": "1"}
MISSING = "n/a"
# Health&Gait's parameter → ours, and its units in ours. Its README has Speed, its code Velocity.
GAIT = {
    "Step": ("step_length", 100),
    "Stride": ("stride_length", 100),
    "Cadence": ("cadence", 1),
    "MonoSP": ("single_support", 1),
    "BiSP": ("double_support", 1),
    "Speed": ("speed", 1),
    "Velocity": ("speed", 1),
}
# Its two tables of gait, the backend that each is from, and parameters that the second does not know.
TABLES = {"gait_parameters": ("events", ()), "gait_parameters_estimation": ("health_gait", ("MonoSP", "BiSP"))}
README = """# In Health&Gait's layout

- `ID` is the participant's folder. Frames count from 0; a silhouette, part map or flow picture that is not there is a
  frame without one.
- Folders end in the direction (1: right to left, 2: left to right) and the tool that made the files.
- Silhouettes are JPEG: grey above 127 is the person. Parts are DensePose's 14 in the published colours.
- Flow: hue is the direction (0 right, 90 down), value the magnitude between the frame's own least and greatest.
- `Sex` is 0 for F and 1 for M. Values in bands are text: this release gives no more.
- `gait_parameters.csv` was measured in the videos, by foot events, and not by an instrument;
  `gait_parameters_estimation.csv`, where it is, by the distance of the ankles. `Step_`, `Stride_` cm; `Cadence_` steps
  a minute; `MonoSP_`, `BiSP_` s; `Speed_` and `Velocity_` (the same) m/s; `_UGS` usual, `_FGS` fast.
"""
SPLITS = "- `partitions/partition_0.json`, …: who is trained on, validated on and tested on, each by their ID.\n"


def write(dataset: Dataset, folder: Path) -> None:
    """Write `participants_measures.csv`, the tables of gait for which the tier holds nodes, `partitions/` where the
    configuration has splits, and `README.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = partitions.released(dataset)
    partitions.save(found, folder / "partitions")
    (folder / "README.md").write_text(README + (SPLITS if found else ""), encoding="utf-8")
    released = participants.released(dataset).rename(columns=MEASURES)
    columns = list(released.columns)
    rows = [[str(name), *_measures(columns, values)] for name, *values in released.itertuples()]
    _write(folder / "participants_measures.csv", ["ID", *columns], rows)
    for name, (backend, unknown) in TABLES.items():
        names = [n for n in GAIT if n not in unknown]
        columns = [f"{n}_{group}" for n in names for group in GROUPS.values()]
        means = _means(list(_nodes(dataset.sources(), backend)))
        rows = [[subject, *(values.get(c, "") for c in columns)] for subject, values in sorted(means.items())]
        if rows:
            _write(folder / f"{name}.csv", ["ID", *columns], rows)


def _measures(columns: list[str], values: Iterable[Any]) -> list[str]:
    told = ["" if str(v) == MISSING else str(v) for v in values]
    return [SEX.get(v, "") if c == "Sex" else v for c, v in zip(columns, told, strict=True)]


def _nodes(sources: Iterable[Source], backend: str) -> Iterator[tuple[dict[str, str], Node]]:
    """Of every walk at usual or fast speed, whose and which it is, and its gait by that backend."""
    for source in sources:
        speed = SPEEDS.get(source.entry.columns.get("speed", ""))
        node = next((n for n in sorted(source.entry.of("gait")) if source.backend(n) == backend), None)
        if speed is not None and node is not None:
            yield {"subject": source.entry.subject, "condition": GROUPS[speed]}, source.open(node)


def _means(nodes: list[tuple[dict[str, str], Node]]) -> dict[str, dict[str, str]]:
    """Subject → column → mean over the walks; of scales of several kinds, that of most walks."""
    best: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in summary.report(nodes):
        key = row["subject"], row["condition"], row["parameter"]
        if row["side"] == "both" and (key not in best or row["clips"] > best[key]["clips"]):
            best[key] = row
    found: dict[str, dict[str, str]] = {what["subject"]: {} for what, _ in nodes}
    for (subject, group, parameter), row in best.items():
        for name, (ours, units) in GAIT.items():
            if ours == parameter and np.isfinite(row["mean"]):
                found[subject][f"{name}_{group}"] = f"{row['mean'] * units:.6g}"
    return found


def _write(path: Path, columns: list[str], rows: Iterable[Iterable[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    path.write_text(text.getvalue(), encoding="utf-8")
