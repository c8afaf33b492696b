"""The same loaders on a release's archives: the same samples, under released names."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from gaitloom.errors import GaitloomError
from gaitloom.index import index_clip, index_root
from gaitloom.loaders import Options, Samples
from gaitloom.release.dataset import Dataset
from release import sample
from release.exported import export, zips

NAMES = ("silhouette", "parts:rgb", "flow_dis", "deidentified", "keypoints")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    found = sample.dataset(tmp_path_factory.mktemp("lab"))
    for path in found.plan.accepted:
        index_clip(found.plan, path)
    index_root(found.plan)
    return found


@pytest.fixture(scope="module")
def archives(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release") / "data"
    folder.mkdir()
    for name, path in zips(export(dataset, "zarr", tmp_path_factory.mktemp("out") / "zarr")).items():
        shutil.move(path, folder / f"zarr_{name}.zip")
    return folder


def test_archives_give_the_stores_samples(dataset: Dataset, archives: Path) -> None:
    options = Options(inputs=NAMES, frames=6, size=(48, 64), start="random")
    ours = Samples(dataset.plan.config.results / "store.zarr", options)
    theirs = Samples(archives.parent, options)
    released = {entry.clip.path: entry.path for entry in dataset.entries}
    assert sorted(theirs.paths) == sorted(released.values())
    for path in ours.paths:
        there = theirs.paths.index(released[path])
        frames = theirs[there]["frame"]
        before = Samples(ours.source.path, Options(inputs=NAMES, frames=40, skip=0, size=(48, 64), short="spread"))
        whole = before[before.paths.index(path)]
        at = [whole["frame"].tolist().index(t) for t in frames]
        np.testing.assert_array_equal(theirs[there]["video"], whole["video"][at])
        np.testing.assert_array_equal(theirs[there]["points"], whole["points"][at])


def test_one_archive_is_enough_for_its_modality(archives: Path) -> None:
    assert len(Samples(archives, Options(frames=6, size=(48, 64)))) == 4
    assert len(Samples(archives / "zarr_silhouette.zip", Options(frames=6, size=(48, 64)))) == 4
    with pytest.raises(GaitloomError, match="not among what was released"):
        Samples(archives / "zarr_silhouette.zip", Options(inputs="flow_dis"))


def test_archives_with_workers(archives: Path) -> None:
    """A child that shared its parent's place in the file would read what another one asked for."""
    pytest.importorskip("torch", reason="torch is not installed")
    from gaitloom.loaders.pytorch import Clips
    from torch.utils.data import DataLoader

    samples = Samples(archives, Options(inputs=("silhouette", "deidentified"), frames=6, size=(48, 64)))
    truth = [sample["video"] for sample in samples]
    for _ in range(2):
        loader = DataLoader(Clips(samples, "THWC"), batch_size=None, num_workers=2, multiprocessing_context="fork")
        for a, b in zip(truth, loader, strict=True):
            np.testing.assert_array_equal(a, b["video"].numpy())


def test_what_is_no_archive_is_said(tmp_path: Path) -> None:
    (tmp_path / "zarr_silhouette.zip").write_bytes(b"nothing")
    with pytest.raises(GaitloomError, match="copy the archive again"):
        Samples(tmp_path, Options())
