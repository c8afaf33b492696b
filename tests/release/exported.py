"""What the tests of exporters share: one layout of a data set on the disk, the truth beside it, and nodes with gaps."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
from gaitloom.release import archives, exporters
from gaitloom.release.dataset import Dataset, Source
from walker import Walk

from . import sample

GONE = (0, 7, 8, 39)  # frames that `nobody` empties


def export(dataset: Dataset, name: str, folder: Path) -> Path:
    """Write a layout below `folder`, one folder an archive."""
    folder.mkdir(parents=True, exist_ok=True)
    exporter = exporters.find(name)
    for source in dataset.sources():
        exporter.clip(source, folder)
    exporter.dataset(dataset, folder)
    return folder


def zips(folder: Path) -> dict[str, Path]:
    """Pack an export, one zip an archive, beside it."""
    found = {p.name: folder.with_name(f"{folder.name}_{p.name}.zip") for p in sorted(folder.iterdir())}
    for name, target in found.items():
        archives.pack(folder / name, target)
    return found


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path in it."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def walks(dataset: Dataset) -> dict[str, Walk]:
    """Released `{subject}/{clip}` → the walker that it shows."""
    order = sorted(dataset.plan.accepted)
    return {e.path: sample.walk(order.index(e.clip.path)) for e in dataset.entries}


def nobody() -> mock._patch:
    """Nodes are not valid in the frames `GONE`, though their arrays go on as if they were."""
    open_node = Source.open

    def opened(self: Source, node: str) -> "Emptied":
        return Emptied(open_node(self, node))

    return mock.patch.object(Source, "open", opened)


@contextmanager
def corrected(dataset: Dataset, modality: str) -> Iterator[Dataset]:
    """The data set with a node corrected by hand beside each of a modality, in which nothing was changed."""
    manual, key, reads, backend = f"{modality}_manual", Source._key, Source.reads, Source.backend
    entries = tuple(
        dataclasses.replace(e, nodes={**e.nodes, manual: e.nodes[modality]}) if modality in e.nodes else e
        for e in dataset.entries
    )
    with (
        mock.patch.object(Source, "_key", lambda s, n: key(s, modality if n == manual else n)),
        mock.patch.object(Source, "reads", lambda s, n: {modality: modality} if n == manual else reads(s, n)),
        mock.patch.object(Source, "backend", lambda s, n: "manual" if n == manual else backend(s, n)),
    ):
        yield dataclasses.replace(dataset, entries=entries)


@dataclasses.dataclass
class Emptied:
    """A node that is not valid in some frames."""

    node: object

    def __getattr__(self, name: str) -> object:
        return getattr(self.node, name)

    def load(self, name: str) -> np.ndarray:
        values = self.node.load(name)  # type: ignore[attr-defined]
        if name == "valid":
            values[list(GONE)] = False
        return values

    def frames(self, name: str) -> Iterator[np.ndarray]:
        return self.node.frames(name)  # type: ignore[attr-defined]
