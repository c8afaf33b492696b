"""OpenGait's inputs read and made anew, from the description of its loader and of its pretreatment alone: what the
exporter writes is held against this."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np

GPS_OF_COARSE = {0: 0, 14: 1, 1: 2, 10: 3, 12: 3, 11: 4, 13: 4, 3: 5, 2: 6, 7: 7, 9: 7, 6: 8, 8: 8, 4: 9, 5: 10}
LIMBS = ((0, 1), (0, 2), (1, 3), (2, 4), (0, 5), (5, 7), (7, 9), (0, 6), (6, 8), (8, 10), (5, 11), (11, 13), (13, 15),
         (6, 12), (12, 14), (14, 16), (11, 12))  # fmt: skip


def sequences(
    root: Path, partition: Path, training: bool, in_use: list[bool] | list[int] | None = None
) -> list[tuple[str, str, str, list[np.ndarray]]]:
    """Label, type, view and arrays of every sequence, as the loader has them, and as strict as it is."""
    wanted = json.loads(partition.read_text())["TRAIN_SET" if training else "TEST_SET"]
    found = []
    for label in (w for w in wanted if (root / w).is_dir()):
        for kind in sorted((root / label).iterdir()):
            for view in sorted(kind.iterdir()):
                files = sorted(view.iterdir())
                if in_use and isinstance(in_use[0], bool):
                    files = [f for f, used in zip(files, in_use, strict=False) if used]
                elif in_use:
                    files = [files[i] for i in in_use]
                found.append((label, kind.name, view.name, [load(f) for f in files]))
                lengths = {len(a) for a in found[-1][3]}
                if len(lengths) != 1 or not min(lengths):
                    raise ValueError(f"{view}: lengths {sorted(lengths)}")
    return found


def load(path: Path) -> np.ndarray:
    """One pickle, with nothing but `pickle`."""
    if path.suffix != ".pkl":
        raise ValueError(f"{path}: only .pkl is read")
    with path.open("rb") as file:
        return pickle.load(file)


def aligned(image: np.ndarray, labels: bool = False) -> np.ndarray | None:
    """(64, 64) uint8 of one grey picture, or None where the frame is dropped; step by step, as described."""
    shape = ((image > 0) * 255).astype(np.uint8) if labels else image
    if int(shape.sum(dtype=np.int64)) <= 10000:
        return None
    filled = [r for r in range(len(shape)) if shape[r].sum(dtype=np.int64) != 0]
    image, shape = image[min(filled) : max(filled) + 1], shape[min(filled) : max(filled) + 1]
    height, width = image.shape
    how = cv2.INTER_NEAREST if labels else cv2.INTER_CUBIC
    image = cv2.resize(image, (int(64 * (width / height)), 64), interpolation=how)
    shape = cv2.resize(shape, (int(64 * (width / height)), 64), interpolation=how)
    total, so_far, centre = int(shape.sum(dtype=np.int64)), 0, None
    for x in range(shape.shape[1]):
        so_far += int(shape[:, x].sum(dtype=np.int64))
        if so_far > total / 2:
            centre = x
            break
    if centre is None or centre == 0:
        return None
    left, right = centre - 32, centre + 32
    if left <= 0 or right >= image.shape[1]:
        blank = np.zeros((64, 32), np.uint8)
        image, left, right = np.hstack([blank, image, blank]), left + 32, right + 32
    return image[:, left:right]


def pretreated(folder: Path, labels: bool = False) -> dict[int, np.ndarray]:
    """Frame → (64, 64) uint8 of every picture in a folder that the rule keeps."""
    found = {int(f.stem): aligned(cv2.imread(str(f), cv2.IMREAD_GRAYSCALE), labels) for f in sorted(folder.iterdir())}
    return {frame: picture for frame, picture in found.items() if picture is not None}


def heatmap(pose: np.ndarray) -> np.ndarray:
    """(2, 64, 64) uint8 of one pose (17, 3) without absent points, pixel by pixel."""
    xy = pose[:, :2].astype(float) - (pose[11, :2].astype(float) + pose[12, :2]) / 2
    xy = xy * 85.0 / (xy[:, 1].max() - xy[:, 1].min()) + 64
    score = pose[:, 2].astype(float)
    ys, xs = np.mgrid[:128, :128].astype(float)
    maps = []
    for lines in (LIMBS, [(i, i) for i in range(17)]):
        best = np.zeros((128, 128))
        for a, b in lines:
            (ax, ay), (bx, by) = xy[a], xy[b]
            length = (bx - ax) ** 2 + (by - ay) ** 2
            if length < 1:
                (bx, by), peak, share = (ax, ay), score[a], 0.0
            else:
                peak = min(score[a], score[b])
                share = np.clip(((xs - ax) * (bx - ax) + (ys - ay) * (by - ay)) / length, 0, 1)
            away = np.hypot(xs - ax - share * (bx - ax), ys - ay - share * (by - ay))
            near = (xs >= int(min(ax, bx) - 24)) & (xs <= int(max(ax, bx) + 24))
            near &= (ys >= int(min(ay, by) - 24)) & (ys <= int(max(ay, by) + 24))
            best = np.maximum(best, np.where(near, peak * np.exp(-((away / 8.0) ** 2) / 2), 0))
        grey = np.minimum(np.floor(best * 256), 255).astype(int)
        grey = np.floor(np.linspace(0, 1, 256) * 255)[grey]
        filled = np.flatnonzero(grey.sum(axis=1))
        half = (filled[-1] - filled[0] + 1) // 2
        square = grey[filled[0] : filled[-1] + 1, 64 - half : 64 + half + 1] / 255
        maps.append((cv2.resize(square, (64, 64), interpolation=cv2.INTER_AREA) * 255).astype(np.uint8))
    return np.array(maps)


def faults(unzipped: Path, place: str, pictures: Path, labels: Path, pose: np.ndarray) -> list[str]:
    """What is wrong with the sequence `{subject}/{type}/{view}`, whose silhouettes lie in `pictures` and parsing in
    `labels` as PNG, named by their frames, and whose pose is (T, 17, 3)."""
    about = json.loads((unzipped / "frames" / f"{place}.json").read_text())
    files = sorted(f.name for f in (unzipped / "pkl" / place).iterdir())
    if files != about["files"]:
        return [f"there are {files}, not {about['files']}"]
    heat, sil, parsing, points = (load(unzipped / "pkl" / place / f) for f in files)
    kept = about["kept"]
    if {len(heat), len(sil), len(parsing), len(points)} != {len(kept)}:
        return ["lengths differ from the index"]
    found = []
    silhouettes, parts = pretreated(pictures), pretreated(labels, labels=True)
    if list(silhouettes) != kept or sorted([*kept, *about["dropped"]]) != list(range(about["frames"])):
        found.append("the index names other frames than the rule keeps")
    nobody = np.zeros((64, 64), np.uint8)
    for what, array, expected in (("silhouette", sil, silhouettes), ("parsing", parsing, parts)):
        if array.dtype != np.uint8 or not np.array_equal(array, [expected.get(t, nobody) for t in kept]):
            found.append(f"{what} differs")
    if not np.allclose(points, pose[kept], atol=1e-3):
        found.append("pose differs")
    looked = [i for i in (1, len(kept) // 2) if points[i].all()]
    if any(np.abs(heat[i].astype(int) - heatmap(points[i])).max() > 2 for i in looked):
        found.append("heat maps differ")
    return found
