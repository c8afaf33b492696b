"""Health&Gait's layout, walked through as its own loaders do, and held against the walker and the store."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pandas as pd
import pytest
from gaitloom import backends
from gaitloom.agreement import MIRROR
from gaitloom.errors import GaitloomError
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.part_labels import FINE_OF_COARSE
from gaitloom.release import exporters
from gaitloom.release.dataset import Dataset, Source
from gaitloom.release.exporters import _health_gait_tables, health_gait

from . import sample
from .exported import GONE, corrected, export, files, nobody, walks

FULL = {"region": "frame", "longest_side": None}
NODES = {"flow_tvl1": {"backend": "dis", "options": FULL}, "flow_gmflow": {"backend": "dis", "options": FULL}}
# Whose output the sample's nodes pass for: what it shows is known, and no model is needed.
BACKENDS = {
    "keypoints": "alphapose",
    "silhouette": "yolov8_seg",
    "parts": "densepose",
    "flow_gmflow": "gmflow",
    "flow_tvl1": "tvl1",
}
TVL1 = backends.find("flow", "tvl1").SPEC.options(schedule="opencv").model_dump(mode="json", by_alias=True)
# FORMATS section 2: coarse label → RGB in Health&Gait's pictures.
PALETTE = """0,0,0 255,0,0 0,0,255 0,255,0 255,255,0 128,0,0 128,128,0 0,128,128 128,0,128 128,128,128 255,128,0
255,0,128 255,128,255 128,255,128 255,255,255"""
RGB = np.array([list(map(int, c.split(","))) for c in PALETTE.split()], np.uint8)
SHORT = [n.replace("left_", "l_").replace("right_", "r_") for n in WHOLEBODY_23.points]
T = range(sample.LENGTH)
Truth = dict[str, Callable[[Path], bool]]


@contextmanager
def made_by(**others: str) -> Iterator[None]:
    """The sample's nodes pass for those of other backends, flow with the options of its recipe."""
    backend, attributes = Source.backend, Source.attributes

    def told(self: Source, node: str) -> Any:
        found = attributes(self, node)
        if node == "flow_tvl1":
            found["recipe"] |= {"backend": "tvl1", "backend_options": dict(TVL1)}
        return found

    with (
        mock.patch.object(Source, "backend", lambda s, n: {**BACKENDS, **others}.get(n) or backend(s, n)),
        mock.patch.object(Source, "attributes", told),
    ):
        yield


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return sample.dataset(tmp_path_factory.mktemp("lab"), nodes=NODES)


def tree(dataset: Dataset, folder: Path) -> Path:
    """The archives, each unzipped over the others."""
    for archive in sorted(export(dataset, "health_gait", folder / "archives").iterdir()):
        shutil.copytree(archive, folder / "tree", dirs_exist_ok=True)
    count = sum(len(files(a)) for a in (folder / "archives").iterdir())
    assert len(files(folder / "tree")) == count, "one archive's file lies over another's"
    return folder / "tree"


@pytest.fixture(scope="module")
def exported(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with made_by():
        return tree(dataset, tmp_path_factory.mktemp("out"))


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def places(dataset: Dataset) -> dict[str, tuple[str, str]]:
    """Released path → the place that its columns and direction give: `{subject}/{group}` and the folder's name."""
    order = sorted(dataset.plan.accepted)
    found = {}
    for entry in dataset.entries:
        _, _, speed, clothing, direction = sample.CLIPS[order.index(entry.clip.path)]
        group = {"NW": "UGS", "FW": "FGS"}[speed]
        found[entry.path] = f"{entry.subject}/{group}", f"{speed}-{clothing}_{ {'left': 1, 'right': 2}[direction] }"
    return found


def pictures(folder: Path, how: int = cv2.IMREAD_COLOR) -> dict[int, np.ndarray]:
    """A folder's pictures by frame, in the order in which its loaders take them."""
    found = {int(Path(name).stem): cv2.imread(str(folder / name), how) for name in names(folder)}
    assert list(found) == sorted(found) and all(p is not None for p in found.values())
    return found  # type: ignore[return-value]


def hsv(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Direction in degrees and magnitude from the least (0) to the greatest (1) of a frame's flow, (H, W, 2) px."""
    size = np.hypot(flow[..., 0], flow[..., 1])
    return np.degrees(np.arctan2(flow[..., 1], flow[..., 0])) % 360, (size - size.min()) / np.ptp(size)


def flow_fits(picture: np.ndarray, flow: np.ndarray) -> bool:
    angle, size = hsv(flow)
    found = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV).astype(float)
    apart = np.abs((2 * found[..., 0] - angle + 180) % 360 - 180)
    return bool(apart[size > 0.3].max() <= 3 and np.abs(found[..., 2] / 255 - size).max() < 0.01)


def truth(dataset: Dataset) -> Truth:
    """Path in the tree → how what lies there is held against the walker, or the store's labels and flow."""
    checks: Truth = {}
    for source in dataset.sources():
        where, name = places(dataset)[source.entry.path]
        walk = walks(dataset)[source.entry.path]
        masks = [walk.silhouette(t) for t in T]
        checks[f"pose/{where}/{name}_AlphaPose.json"] = partial(same_pose, walk.keypoints.astype(np.float32))
        checks[f"silhouette/{where}/{name}_YOLOV8"] = partial(same_masks, masks)
        label = source.open("parts").load("label")
        checks[f"semantic_segmentation/{where}/{name}_DensePose"] = partial(same_labels, label)
        for method in ("TVL1", "GMFLOW"):
            flow = source.open(f"flow_{method.lower()}").load("flow") / 64
            checks[f"optical_flow/{where}/{method}/{name}"] = partial(same_flow, flow)
    return checks


def wrong(root: Path, checks: Truth) -> list[str]:
    """What of a tree does not show what it should, or is not there."""
    return [path for path, fits in checks.items() if not (root / path).exists() or not fits(root / path)]


def same_masks(masks: list[np.ndarray], folder: Path) -> bool:
    found = pictures(folder, cv2.IMREAD_GRAYSCALE)
    return [*found] == [*T] and all(np.array_equal(found[t] > 127, masks[t]) for t in T)


def same_labels(label: np.ndarray, folder: Path) -> bool:
    found = pictures(folder)
    return [*found] == [*T] and all(np.array_equal(found[t][..., ::-1], RGB[label[t]]) for t in T)


def same_flow(flow: np.ndarray, folder: Path) -> bool:
    found = pictures(folder)
    return [*found] == [*T][:-1] and all(flow_fits(found[t], flow[t]) for t in T[:-1])


def same_pose(keypoints: np.ndarray, path: Path) -> bool:
    entries = json.loads(path.read_text())
    points = [[[e["joints"][n][axis] for axis in "xy"] for n in SHORT] for e in entries]
    return [e["frame"] for e in entries] == [*T] and np.array_equal(points, keypoints)


@pytest.fixture(scope="module")
def checks(dataset: Dataset) -> Truth:
    return truth(dataset)


def test_every_picture_and_point_is_where_its_loaders_look(exported: Path, checks: Truth) -> None:
    assert len(checks) == 20 and wrong(exported, checks) == []


def test_its_training_code_would_find_every_walk(dataset: Dataset, exported: Path) -> None:
    """The way through the folders of its training scripts: subject, speed, (method,) class by the second word; all that
    lies there must be such folders, and every subject is a row of the table."""
    ids = set(pd.read_csv(exported / "participants_measures.csv")["ID"])
    for data_type, methods in (
        ("silhouette", [""]),
        ("semantic_segmentation", [""]),
        ("optical_flow", ["TVL1", "GMFLOW"]),
    ):
        assert set(names(exported / data_type)) == ids
        for method in methods:
            classes: dict[str, int] = {}
            for subject in names(exported / data_type):
                for speed in names(exported / data_type / subject):
                    for folder in names(exported / data_type / subject / speed / method):
                        jacket = folder.split("_")[0].split("-")[1]
                        classes[jacket] = classes.get(jacket, 0) + 1
                        assert (speed, folder.split("-")[0]) in (("UGS", "NW"), ("FGS", "FW"))
            assert classes == {"WJ": 2, "WoJ": 2}
    assert names(exported) == [
        "README.md",
        "gait_parameters.csv",
        "optical_flow",
        "participants_measures.csv",
        "pose",
        "semantic_segmentation",
        "silhouette",
    ]


@pytest.mark.parametrize("what", ["pose", "silhouette", "semantic_segmentation", "optical_flow"])
@pytest.mark.parametrize("fault", ["missing", "shifted", "swapped"])
def test_planted_faults_are_found(exported: Path, tmp_path: Path, checks: Truth, what: str, fault: str) -> None:
    one = next(c for c in checks if c.startswith(f"{what}/"))
    path = tmp_path / one
    path.parent.mkdir(parents=True)
    (shutil.copyfile if what == "pose" else shutil.copytree)(exported / one, path)
    assert wrong(tmp_path, {one: checks[one]}) == []
    if what == "pose":
        entries = json.loads(path.read_text())
        if fault == "missing":
            del entries[20]
        for t, entry in enumerate(entries):
            if fault == "shifted":
                entry["frame"] = (t + 1) % sample.LENGTH
            elif fault == "swapped":
                joints = list(entry["joints"].values())
                entry["joints"] = {n: joints[MIRROR[i]] for i, n in enumerate(entry["joints"])}
        path.write_text(json.dumps(entries))
    elif fault == "missing":
        sorted(path.iterdir())[20].unlink()
    elif fault == "shifted":
        for file in sorted(path.iterdir(), reverse=True):
            file.rename(path / f"{int(file.stem) + 1:03d}{file.suffix}")
    else:
        for file in sorted(path.iterdir()):
            picture = cv2.imread(str(file))
            assert picture is not None
            if what == "semantic_segmentation":  # left and right upper legs
                sides = [(picture == RGB[part][::-1]).all(axis=2) for part in (6, 7)]
                picture[sides[0]], picture[sides[1]] = RGB[7][::-1], RGB[6][::-1]
            else:
                picture = picture[:, ::-1]
            cv2.imwrite(str(file), np.ascontiguousarray(picture))
    assert wrong(tmp_path, {one: checks[one]}) == [one]


def test_no_name_of_a_tool_on_what_it_did_not_make(dataset: Dataset, tmp_path: Path) -> None:
    """BlazePose's points and masks, geometric parts and DIS flow are in no folder, and each has its sentence."""
    exporter = exporters.find("health_gait")
    root = tree(dataset, tmp_path)
    assert names(root) == ["README.md", "gait_parameters.csv", "participants_measures.csv"]
    refused = exporter.refused(dataset)
    assert set(refused) == {"keypoints", "silhouette", "parts", "flow_gmflow", "flow_tvl1", "flow_dis"}
    assert "blazepose" in refused["silhouette"] and "YOLOV8" in refused["silhouette"]
    assert "skeleton" in refused["parts"] and "DensePose" in refused["parts"]
    with made_by():
        assert list(exporter.refused(dataset)) == ["flow_dis"]
    with made_by(), corrected(dataset, "silhouette") as changed:  # corrected by hand it is the tool's still, and wins
        assert exporter.refused(changed)["silhouette"] == "silhouette_manual stands for it"
    with made_by(silhouette="blazepose"), corrected(dataset, "silhouette") as changed:
        assert set(exporter.refused(changed)) == {"flow_dis", "silhouette", "silhouette_manual"}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"region": [0, 0, 80, 60]}, "full frame"),
        ({"scale": [0.5, 0.5]}, "full frame"),
        ({"schedule": "fast"}, "OpenCV's schedule"),
        ({"scales": 8}, "OpenCV's schedule"),
    ],
)
def test_tvl1_is_opencvs_on_the_full_frame(dataset: Dataset, values: dict[str, Any], says: str) -> None:
    with made_by():
        attributes = Source.attributes

        def told(self: Source, node: str) -> Any:
            found = attributes(self, node)
            if node == "flow_tvl1":
                found |= {k: v for k, v in values.items() if k in found}
                options = found["recipe"]["backend_options"]
                options |= {k: v for k, v in values.items() if k in options}
            return found

        with mock.patch.object(Source, "attributes", told):
            refused = exporters.find("health_gait").refused(dataset)
    assert set(refused) == {"flow_dis", "flow_tvl1"} and says in refused["flow_tvl1"]


def test_frames_without_anybody_have_no_picture(dataset: Dataset, tmp_path: Path) -> None:
    one = dataclasses.replace(dataset, entries=dataset.entries[:1])
    with made_by(), nobody():
        root = tree(one, tmp_path)
    shown = sorted(set(T) - set(GONE))
    for where, name in places(one).values():
        for folder in (f"silhouette/{where}/{name}_YOLOV8", f"semantic_segmentation/{where}/{name}_DensePose"):
            assert list(pictures(root / folder)) == shown
        pose = json.loads((root / f"pose/{where}/{name}_AlphaPose.json").read_text())
        assert [e["frame"] for e in pose] == [*T] and [e["frame"] for e in pose if e["joints"]] == shown


def test_fine_parts_are_written_as_the_coarse_ones(dataset: Dataset, checks: Truth, tmp_path: Path) -> None:
    fine = np.array([parts[-1] for parts in FINE_OF_COARSE], np.uint8)
    open_node = Source.open

    def opened(self: Source, node: str) -> Any:
        found = open_node(self, node)
        if node == "parts":
            frames = found.frames
            found.attributes["label_space"] = "densepose_fine_24"
            found.frames = lambda name: (fine[f] for f in frames(name))  # type: ignore[method-assign]
        return found

    with mock.patch.object(Source, "open", opened), made_by():
        root = tree(dataclasses.replace(dataset, entries=dataset.entries[:1]), tmp_path)
    (one,) = root.glob("semantic_segmentation/*/*/*")
    assert wrong(root, {one.relative_to(root).as_posix(): checks[one.relative_to(root).as_posix()]}) == []


def test_a_walk_that_fits_no_name_is_said(tmp_path: Path, dataset: Dataset) -> None:
    """Not in the tier, not of its words, or not across the picture: no file, and a sentence."""
    first, second, third, fourth = dataset.entries
    odd = dataclasses.replace(
        dataset,
        entries=(
            dataclasses.replace(first, columns={}),
            dataclasses.replace(second, columns={"speed": "FW", "clothing": "coat"}),
            dataclasses.replace(third, nodes={"silhouette": third.nodes["silhouette"]}),
            fourth,
        ),
    )
    with made_by(), mock.patch.object(health_gait, "FAR", 1e9):  # nobody goes that far: only gait says which way
        refused = exporters.find("health_gait").refused(odd)
        root = tree(odd, tmp_path)
    assert set(refused) == {first.path, second.path, third.path, "flow_dis"}
    assert "speed" in refused[first.path] and "coat" in refused[second.path] and "across" in refused[third.path]
    where, name = places(dataset)[fourth.path]
    assert [p.relative_to(root).as_posix() for p in root.glob("silhouette/*/*/*")] == [
        f"silhouette/{where}/{name}_YOLOV8"
    ]


@pytest.mark.parametrize("held", ["gait", "track", "keypoints", "silhouette", "parts"])
def test_the_direction_from_whatever_the_tier_holds(dataset: Dataset, held: str) -> None:
    order = sorted(dataset.plan.accepted)
    for entry in dataset.entries:
        only = dataclasses.replace(entry, nodes={held: entry.nodes[held]})
        expected = {"left": 1, "right": 2}[sample.CLIPS[order.index(entry.clip.path)][4]]
        assert health_gait._direction(dataset.source(only)) == expected


def test_two_walks_of_one_name_stop_the_release_or_carry_their_trial(dataset: Dataset, tmp_path: Path) -> None:
    first = dataset.entries[0]
    twice = dataclasses.replace(dataset, entries=(first, dataclasses.replace(first, name="ses-2_trial-9")))
    with made_by(), pytest.raises(GaitloomError, match=r"health_gait_trials"):
        exporters.find("health_gait").dataset(twice, tmp_path / "none")
    tiers = {**dataset.settings.tiers, "controlled": dataset.settings.tiers["controlled"].model_copy(
        update={"health_gait_trials": True})}  # fmt: skip
    named = dataclasses.replace(twice, settings=dataset.settings.model_copy(update={"tiers": tiers}))
    with made_by():
        root = tree(named, tmp_path)
    where, name = places(dataset)[first.path]
    words, direction = name.split("_")
    found = {p.name for p in (root / "silhouette" / where).iterdir()}
    session = first.name.split("_")[0].removeprefix("ses-")
    assert found == {
        f"{words}-ses{session}-trial1-camsagittal_{direction}_YOLOV8",
        f"{words}-ses2-trial9_{direction}_YOLOV8",
    }
    assert {f.split("_")[0].split("-")[1] for f in found} == {words.split("-")[1]}  # as its loaders see the class


def test_the_participants_table_has_its_words(dataset: Dataset, exported: Path) -> None:
    table = pd.read_csv(exported / "participants_measures.csv").set_index("ID")
    given = pd.DataFrame(sample.PARTICIPANTS).set_index("subject")
    for entry in dataset.entries:
        theirs, row = given.loc[entry.clip.subject], table.loc[entry.subject]
        assert row["Sex"] == {"F": 0, "M": 1}[theirs["sex"]]
        assert [row[c] for c in ("Age", "Height", "Weight")] == [
            float(theirs[c]) for c in ("age", "height_cm", "weight_kg")
        ]
        assert row["BMI"] == pytest.approx(
            float(theirs["weight_kg"]) / (float(theirs["height_cm"]) / 100) ** 2, abs=0.1
        )


class Walked:
    """A gait node with given means and numbers of steps."""

    def __init__(self, scale: str, means: dict[str, float], n: int):
        from gaitloom.gait.summary import PARAMETERS, SIDES

        self.mean = np.full((len(SIDES), len(PARAMETERS)), np.nan)
        self.mean[0, [list(PARAMETERS).index(p) for p in means]] = list(means.values())
        self.n = np.where(np.isfinite(self.mean), n, 0)
        self.attributes = {"scale": scale, "reasons": {}}

    def load(self, name: str) -> np.ndarray:
        return {"summary_mean": self.mean, "summary_sd": 0 * self.mean, "summary_n": self.n}[name]


def test_the_gait_table_has_both_names_of_speed_and_its_units() -> None:
    whole = {"step_length": 0.6, "stride_length": 1.2, "cadence": 110.0, "single_support": 0.4, "double_support": 0.2}
    nodes: list[Any] = [
        ({"subject": "P1", "condition": "UGS"}, Walked("height", {**whole, "speed": 1.0}, 4)),
        ({"subject": "P1", "condition": "UGS"}, Walked("height", {"speed": 1.3}, 8)),
        ({"subject": "P1", "condition": "UGS"}, Walked("floor", {"speed": 9.0}, 99)),  # one walk of another scale
        ({"subject": "P1", "condition": "FGS"}, Walked("none", {"cadence": 130.0}, 4)),
        ({"subject": "P2", "condition": "UGS"}, Walked("none", {}, 0)),
    ]
    found = _health_gait_tables._means(nodes)
    assert found["P2"] == {}
    expected = {
        "Step_UGS": 60, "Stride_UGS": 120, "Cadence_UGS": 110, "MonoSP_UGS": 0.4, "BiSP_UGS": 0.2, "Speed_UGS": 1.2,
        "Velocity_UGS": 1.2, "Cadence_FGS": 130,
    }  # fmt: skip
    assert {k: float(v) for k, v in found["P1"].items()} == pytest.approx(expected)


def test_the_gait_table_of_the_sample(dataset: Dataset, exported: Path) -> None:
    """Two steps are too few for means; its columns and rows are there."""
    table = pd.read_csv(exported / "gait_parameters.csv").set_index("ID")
    assert set(table.index) == {e.subject for e in dataset.entries}
    for name in ("Step", "Stride", "Cadence", "MonoSP", "BiSP", "Speed", "Velocity"):
        assert {f"{name}_UGS", f"{name}_FGS"} <= set(table.columns)


def test_the_same_bytes_again_and_no_names(dataset: Dataset, exported: Path, tmp_path: Path) -> None:
    with made_by():
        again = files(tree(dataset, tmp_path))
    assert again == files(exported)
    text = " ".join(again) + b" ".join(b for n, b in again.items() if n.endswith((".json", ".csv", ".md"))).decode()
    assert not any(name.casefold() in text.casefold() for name in (*sample.SUBJECTS, sample.SESSION))
