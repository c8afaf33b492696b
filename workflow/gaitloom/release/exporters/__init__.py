"""Layouts of other people: one module each, found by its name.

A module has

- `VERSION`, a string: bump it when its files change for the same store;
- `clip(source, folder)`: writes a clip's files below `folder/<archive>/`, at the paths that they have in that archive;
- `dataset(dataset, folder)`: the same with the files that the whole data set has once (tables, indexes, partitions).

`<archive>` is the short name of an archive of that layout, one a modality where the layout has one ("silhouette",
"pose"; else "data"). Files appear under released names alone, hold no date, no path and no name of a source file, and
are the same bytes for the same store. A layout that has nothing for a clip writes nothing. A node whose backend is not
what the layout's names say (`_DensePose`, `_YOLOV8`) is left out by `clip`, and said by `refused(dataset)`, which gives
node → why.
"""

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from gaitloom.release.dataset import Dataset, Source


class Exporter(Protocol):
    """A layout's module."""

    VERSION: str

    def clip(self, source: Source, folder: Path) -> None:
        """Write one clip's files."""
        ...

    def dataset(self, dataset: Dataset, folder: Path) -> None:
        """Write the files that the data set has once."""
        ...

    def refused(self, dataset: Dataset) -> dict[str, str]:
        """Node → why this layout does not hold it."""
        ...


def find(name: str) -> Exporter:
    """The exporter of that name, one of `settings.EXPORTERS`."""
    return cast(Exporter, import_module(f"gaitloom.release.exporters.{name}"))
