"""AlphaPose as another program: a stand-in of its command line and output, which reads the pictures it is given."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gaitloom.backends import CPU, Device, find
from gaitloom.errors import GaitloomError
from walker import GAITS, Walk

WALK = Walk(GAITS["normal"], frames=5, fps=8, size=(320, 240), seed=1)

# Every pixel brighter than the rest is a point's own: the stand-in finds the four marks that the test has painted, and
# reports somebody else beside them.
PROGRAM = """
import argparse, json, os, sys
from pathlib import Path
import cv2, numpy as np
parser = argparse.ArgumentParser()
for name in ("cfg", "checkpoint", "indir", "outdir", "format", "detector", "gpus", "posebatch"):
    parser.add_argument("--" + name, required=True)
parser.add_argument("--sp", action="store_true")
parser.add_argument("--flip", action="store_true")
args = parser.parse_args()
assert args.format == "coco" and Path(args.checkpoint).is_file() and os.path.exists(args.cfg), args
assert os.stat(Path(args.indir).parent).st_mode & 0o077 == 0, "others could read the pictures"
Path("calls").open("a").write(" ".join(sorted(os.listdir(args.indir))) + "|" + args.gpus + chr(10))
if Path("fails").exists():
    print("An error as above occurs when processing the images, please check it")
    sys.exit(0)
found = []
for name in sorted(os.listdir(args.indir)):
    image = cv2.imread(str(Path(args.indir) / name))[..., ::-1]
    y, x = np.argwhere((image == (255, 0, 255)).all(axis=2)).mean(axis=0)
    points = [[x + k, y + 2 * k, 2.5] for k in range(int(Path("points").read_text()))]
    for idx, dx in ((0, 150), (1, 0)):
        moved = [[a + dx, b, s] for a, b, s in points]
        found.append({"image_id": name, "category_id": 1, "keypoints": sum(moved, []), "score": 3.0,
                      "box": [x + dx - 20, y - 20, 80, 80], "idx": idx})
os.makedirs(args.outdir)
(Path(args.outdir) / "alphapose-results.json").write_text(json.dumps(found))
"""


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    folder = tmp_path / "AlphaPose"
    (folder / "scripts").mkdir(parents=True)
    (folder / "scripts" / "demo_inference.py").write_text(PROGRAM)
    (folder / "model.yaml").write_text("")
    (folder / "points").write_text("26")
    (tmp_path / "weights.pth").write_bytes(b"weights")
    return folder


def options(installation: Path, **others: Any) -> Any:
    import hashlib

    return find("keypoints", "alphapose").Options(
        weights=str(installation.parent / "weights.pth"),
        weights_sha256=hashlib.sha256(b"weights").hexdigest(),
        installation=installation,
        python=Path(sys.executable),
        model="model.yaml",
        **others,
    )


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
