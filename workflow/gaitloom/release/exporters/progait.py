"""ProGait's layout, a Hugging Face VideoFolder, to unzip over each other: `videos/{subset}/{ID}.mp4`, `previews/`
beside it, `metadata.jsonl`, and `annotations/{subset}/{ID}_keypoints.npy.gz`, `_masks.npy.gz`, `_annotations.xml`.

An ID is `{subject}_{prosthesis}_{clip}_{s|f}`. The subset is the clip's column `setting`, `inside` unless it says
`outside`; the prosthesis its column `prosthesis`, 0 where there is none; `f` is a frontal view, `s` any other. A point
is `outside` in the XML where it is absent, not by its score: scores of one model do not compare with another's.
Without de-identified videos there are annotations alone.
"""

import json
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from gaitloom.exchange import Person, _common, cvat, progait
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.lazy_video import LazyVideo
from gaitloom.release import labels
from gaitloom.release.dataset import Dataset, Entry, Source
from gaitloom.release.exporters import _held, _made
from gaitloom.store import Node

VERSION = "1"
MODALITIES = ("deidentified", "keypoints", "silhouette")
SUBSETS = ("inside", "outside")
MASK = "a human with prosthetic leg."  # the label of ProGait's XML, which its users look for
PREVIEW = 360  # height in pixels, at most
PIECE = 1 << 24  # bytes copied at a time


def clip(source: Source, folder: Path) -> None:
    """Write a clip's annotations, and its video with a preview where the tier holds it."""
    place = f"{subset(source.entry)}/{name(source.entry)}"
    points, masks = source.preferred("keypoints"), source.preferred("silhouette")
    who = _made.person(source, points, WHOLEBODY_23.points) if points else None
    if who is not None:
        progait.write_keypoints(folder / "keypoints" / "annotations" / f"{place}_keypoints.npy.gz", who)
    if masks:
        path = folder / "masks" / "annotations" / f"{place}_masks.npy.gz"
        progait.write_masks(path, _masks(source, masks), source.length, source.size)
    if who is not None or masks:
        path = folder / "cvat" / "annotations" / f"{place}_annotations.xml"
        drawn = _masks(source, masks) if masks else None
        cvat.write(path, source.length, source.size, who, drawn, mask_label=MASK, task=name(source.entry))
    if node := source.preferred("deidentified"):
        video = source.open(node)
        _copy(video, folder / "videos" / "videos" / f"{place}.mp4")
        drawn = _masks(source, masks) if masks else None
        _preview(source, video, who, drawn, folder / "videos" / "previews" / f"{place}.mp4")


def dataset(dataset: Dataset, folder: Path) -> None:
    """Write `metadata.jsonl` and `README.md`, where there are videos."""
    entries = [e for e in dataset.entries if e.of("deidentified") and not dataset.unaudited(e)]
    if not entries:
        return
    texts = labels.texts(dataset)
    rows = [
        {
            "subset": subset(entry),
            "ID": name(entry),
            "file_name": f"videos/{subset(entry)}/{name(entry)}.mp4",
            "annotation_file_name": f"previews/{subset(entry)}/{name(entry)}.mp4",
            "txt": texts.get(entry.path, ""),
        }
        for entry in entries
    ]
    with _common.writing(folder / "videos" / "metadata.jsonl") as file:
        file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n".encode() for row in rows)
    with _common.writing(folder / "videos" / "README.md") as file:
        file.write(_card(dataset, sorted({subset(e) for e in entries})).encode())


def refused(dataset: Dataset) -> dict[str, str]:
    """Nodes for which another of their modality stands."""
    return _held.second(dataset, MODALITIES)


def subset(entry: Entry) -> str:
    """`inside` or `outside`."""
    setting = entry.columns.get("setting", "")
    return setting if setting in SUBSETS else SUBSETS[0]


def name(entry: Entry) -> str:
    """The clip's ID: no other clip of the release has it."""
    prosthesis = entry.columns.get("prosthesis", "")
    camera = re.search(r"(?:^|_)cam-([^_]+)", entry.name)
    view = entry.columns.get("view") or (camera[1] if camera else "")
    frontal = view.lower() in ("frontal", "front", "back")
    parts = (
        entry.subject,
        prosthesis if re.fullmatch(r"[A-Za-z0-9.-]+", prosthesis) else "0",
        entry.name.replace("_", "-"),
        "f" if frontal else "s",
    )
    return "_".join(parts)


def _masks(source: Source, node: str) -> Iterator[np.ndarray]:
    """(H, W) bool for every frame, empty where it is not valid."""
    opened = source.open(node)
    valid = opened.load("valid")
    return (mask & valid[t] for t, mask in enumerate(opened.frames("mask")))


def _copy(video: Node, path: Path) -> None:
    """The encoded video as it is: a fragmented MP4 without tags."""
    mp4 = video.arrays["mp4"]
    with _common.writing(path) as file:
        for start in range(0, mp4.shape[0], PIECE):
            file.write(np.asarray(mp4[start : start + PIECE]).data)


def _preview(source: Source, video: Node, who: Person | None, masks: Iterator[np.ndarray] | None, path: Path) -> None:
    """Skeleton and silhouette over the de-identified frames, small, with the clip's own times."""
    from gaitloom import fragments

    size = source.size
    scale = min(1.0, PREVIEW / size[1])
    small = max(2, round(size[0] * scale)), max(2, round(size[1] * scale))
    pictures = LazyVideo.of(video)

    def drawn() -> Iterator[np.ndarray]:
        for t in range(source.length):
            mask = next(masks) if masks is not None else None
            yield _drawn(pictures.frame(t), mask, None if who is None else who.xy[t] * scale, small)

    path.parent.mkdir(parents=True, exist_ok=True)
    pts = np.rint(source.time * 90_000).astype(int).tolist()
    encoded = fragments.encode(drawn(), pts, Fraction(1, 90_000), "h264", crf=28, folder=path.parent)
    with _common.writing(path) as file:
        file.write(encoded.mp4.data)


def _drawn(image: np.ndarray, mask: np.ndarray | None, xy: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) uint8 RGB: the image scaled to `size`, with the mask's outline and the skeleton `xy` (23, 2)."""
    import cv2

    from gaitloom.preview import LEFT, MIDDLE, OUTLINE, RIGHT

    canvas = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if mask is not None:
        shown = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(shown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(canvas, contours, -1, OUTLINE, 1, cv2.LINE_AA)
    for edge in WHOLEBODY_23.edges:
        if xy is not None and np.isfinite(xy[list(edge)]).all():
            sides = {WHOLEBODY_23.points[i].split("_")[0] for i in edge}
            colour = LEFT if sides == {"left"} else RIGHT if sides == {"right"} else MIDDLE
            start, end = np.rint(xy[list(edge)]).astype(int).tolist()
            cv2.line(canvas, start, end, colour, 1, cv2.LINE_AA)
    return canvas


def _card(dataset: Dataset, subsets: list[str]) -> str:
    """The data set's card with the head that the Hugging Face hub reads."""
    licence = dataset.settings.licence(dataset.tier)
    files = [f"{kind}/{s}/*.mp4" for kind in ("videos", "previews") for s in subsets]
    own = licence.startswith("LicenseRef-")
    head = [
        "---",
        f"license: {'other' if own else licence.lower()}",
        *([f"license_name: {licence.removeprefix('LicenseRef-').lower()}"] if own else []),
        f"pretty_name: {json.dumps(dataset.settings.title, ensure_ascii=False)}",
        "language:\n- en",
        "task_categories:\n- keypoint-detection\n- mask-generation\n- video-classification",
        "tags:\n- progait",
        "configs:\n- config_name: default\n  drop_labels: true\n  data_files:",
        *(f"  - {json.dumps(path)}" for path in [*files, "metadata.jsonl"]),
        "---",
    ]
    body = "Videos, previews and annotations in ProGait's layout; see the release's own README for all else."
    return "\n".join([*head, "", f"# {dataset.settings.title}", "", body, ""])
