"""AlphaPose's results: `{subject}/{clip}/alphapose-results.json`, one list a clip, and `index.json` of all clips.

The backend's own points where AlphaPose's list has a form for them, else COCO-WholeBody's first 23; pictures are called
by the clip's frames, from `0.jpg`. `index.json` says for each clip whose points they are: the layout names no method.
"""

from pathlib import Path

from gaitloom.exchange import alphapose
from gaitloom.keypoint_formats import WHOLEBODY_23, of
from gaitloom.release.dataset import Dataset, Source
from gaitloom.release.exporters import _held, _made

VERSION = "1"
ARCHIVE, FILE = "data", "alphapose-results.json"


def clip(source: Source, folder: Path) -> None:
    """Write the clip's points: one entry for every frame in which the person is there."""
    node = source.preferred("keypoints")
    if node is None:
        return
    who = _made.person(source, node)
    if of(who.names).name not in alphapose.FORMATS:
        who = _made.person(source, node, WHOLEBODY_23.points)
    alphapose.write_results(folder / ARCHIVE / source.entry.path / FILE, who)


def dataset(dataset: Dataset, folder: Path) -> None:
    """Write the index: which file is whose, its frames, its points by name, and how they were made."""
    rows = []
    for source in dataset.sources():
        node = source.preferred("keypoints")
        if node is None:
            continue
        names = tuple(source.attributes(node)["keypoint_names"])
        form = of(names) if of(names).name in alphapose.FORMATS else WHOLEBODY_23
        row = _made.index(source, f"{source.entry.path}/{FILE}", [node])
        rows.append({**row, "keypoint_format": form.name, "keypoint_names": list(form.points)})
    _made.write_index(folder / ARCHIVE, rows)


def refused(dataset: Dataset) -> dict[str, str]:
    """Keypoints for which others stand."""
    return _held.second(dataset, ("keypoints",))
