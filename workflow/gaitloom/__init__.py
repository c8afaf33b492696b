"""GaitLoom: raw gait videos in, one verified multimodal Zarr store out."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import xarray

__version__ = "0.1.0"


def open(path: "str | Path") -> "xarray.DataTree | xarray.Dataset":
    """Open a store, a clip or a node with xarray, lazily, its encoded videos as pictures; see `gaitloom.pictures`."""
    from gaitloom.pictures import open_store  # here, so that planning does not load xarray

    return open_store(path)
