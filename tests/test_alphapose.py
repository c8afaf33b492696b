"""AlphaPose as another program: a stand-in of its command line and output, which reads the pictures it is given."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import alphapose_stand_in
import numpy as np
import pytest
from gaitloom.backends import CPU, Device, find
from gaitloom.errors import GaitloomError
from walker import GAITS, Walk

WALK = Walk(GAITS["normal"], frames=5, fps=8, size=(320, 240), seed=1)


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    return alphapose_stand_in.install(tmp_path)["installation"]


def options(installation: Path, **others: Any) -> Any:
    folder = installation.parent
    given = {
        "weights": str(folder / "weights.pth"),
        "weights_sha256": hashlib.sha256(b"weights").hexdigest(),
        "installation": installation,
        "python": Path(sys.executable),
        "model": "model.yaml",
    }
    return find("keypoints", "alphapose").Options(**given, **others)


def backend(installation: Path, device: Device = CPU, **others: Any) -> Any:
    return find("keypoints", "alphapose").Backend(options(installation, **others), device)


def people() -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames with a mark where the first point is, and the box around it."""
    pairs = []
    for t, image in enumerate(WALK.frames()):
        image = image.copy()
        image[60 + t : 63 + t, 40 + 3 * t : 43 + 3 * t] = (255, 0, 255)
        pairs.append((image, np.array([20 + 3 * t, 40 + t, 100 + 3 * t, 120 + t], np.float32)))
    return pairs


@pytest.mark.parametrize("at_once", [1, 2, 512])
def test_its_points_are_the_subjects_frame_by_frame(installation: Path, at_once: int) -> None:
    found = list(backend(installation, frames_at_once=at_once).points(people()))
    for t, points in enumerate(found):
        expected = [[41 + 3 * t + k, 61 + t + 2 * k, 2.5] for k in range(26)]
        np.testing.assert_allclose(points, expected, atol=1e-4)
    calls = (installation / "calls").read_text().splitlines()
    assert len(calls) == -(-5 // at_once)


def test_where_the_track_is_elsewhere_nobody_is_posed(installation: Path) -> None:
    away = [(image, np.array([250, 150, 300, 230], np.float32)) for image, _ in people()]
    assert list(backend(installation).points(away)) == [None] * 5


def test_the_pictures_are_removed_also_after_a_failure(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = installation.parent / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    list(backend(installation).points(people()))
    assert list(scratch.iterdir()) == []
    (installation / "fails").touch()
    with pytest.raises(GaitloomError, match=r"^AlphaPose gave no results \(An error as above .* by hand to see\.$"):
        list(backend(installation).points(people()))
    assert list(scratch.iterdir()) == []
    left = scratch / "gaitloom-alphapose-999999999-abc"
    left.mkdir()
    (installation / "fails").unlink()
    list(backend(installation).points(people()))
    assert not left.exists()


def test_a_model_of_other_points_is_refused(installation: Path) -> None:
    (installation / "points").write_text("17")
    with pytest.raises(GaitloomError, match="AlphaPose's model gives 17 points, not halpe_26; correct"):
        list(backend(installation).points(people()))
    assert len(list(backend(installation, format="coco_17").points(people()))) == 5


@pytest.mark.parametrize(("device", "gpus"), [("cpu", "-1"), ("cuda", "0"), ("cuda:2", "2")])
def test_the_device_is_handed_on(installation: Path, device: str, gpus: str) -> None:
    list(backend(installation, Device(device, 4)).points(people()))
    assert (installation / "calls").read_text().strip().endswith(f"|{gpus}")


def test_where_it_is_not_installed_one_sentence_says_so(installation: Path) -> None:
    with pytest.raises(GaitloomError, match=r"There is no AlphaPose at .*nowhere: scripts/demo_inf.* is missing"):
        find("keypoints", "alphapose").Backend(
            options(installation).model_copy(update={"installation": installation / "nowhere"}), Device()
        )
    with pytest.raises(GaitloomError, match=r"AlphaPose's Python .*no-python cannot be run \(No such file"):
        list(
            find("keypoints", "alphapose")
            .Backend(options(installation).model_copy(update={"python": Path("/no-python")}), Device())
            .points(people())
        )


def test_where_it_is_does_not_matter_to_the_recipe(installation: Path) -> None:
    from gaitloom.weights import recorded

    one = recorded(options(installation, version="c60106d"))
    assert str(installation) not in str(one) and one["version"] == "c60106d"
    assert set(one) == {"version", "model", "format", "detector", "flip"}
