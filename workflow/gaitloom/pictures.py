"""The store as xarray opens it, with a lazy `picture` beside every encoded video.

xarray is told of the pictures through its documented interface for backends (`BackendArray`), so that they are a
variable like any other: sliced by name, decoded when looked at. The bytes stay there; nothing here is needed to open a
store.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from gaitloom.errors import GaitloomError
from gaitloom.lazy_video import LazyVideo

DIMS = "time", "y", "x", "channel"


class _Pictures(BackendArray):
    """A `LazyVideo` as xarray's backends hand over arrays."""

    def __init__(self, video: LazyVideo):
        self.video, self.shape, self.dtype = video, video.shape, video.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, support, self.video.__getitem__)


def open_store(path: str | Path) -> xr.DataTree | xr.Dataset:
    """Open a store or a clip as a DataTree, a node as a Dataset, all arrays lazy.

    Where a node holds an encoded video, `picture` (time, y, x, channel) uint8 RGB is added to it.

    Raises:
        GaitloomError: nothing that xarray can open is there, or a video's index does not fit its bytes.
    """
    try:
        group = json.loads((Path(path) / "zarr.json").read_bytes())
    except (OSError, ValueError):
        raise GaitloomError(f"{path} is not a store, or a clip or a node of one; give the path of one.") from None
    tree = xr.open_datatree(str(path), engine="zarr", consolidated="consolidated_metadata" in group)
    for node in tree.subtree:
        if "mp4" in node.data_vars:
            node.dataset = with_pictures(node.to_dataset(inherit=False), f"{path}{node.path.rstrip('/')}/mp4")
    return tree.to_dataset() if not tree.children and tree.data_vars else tree


def with_pictures(dataset: xr.Dataset, name: str = "mp4") -> xr.Dataset:
    """A node's dataset with its encoded video's pictures added, see `open_store`; `name` is what errors call it."""
    mp4 = dataset["mp4"].variable
    index = [np.asarray(dataset[name]) for name in ("fragment_offset", "fragment_frame", "fragment_crc32")]
    size = int(mp4.attrs["height"]), int(mp4.attrs["width"])
    video = LazyVideo(mp4, index[0], index[1], size, index[2], name)
    about = {"long_name": "picture, RGB, decoded from mp4"}
    return dataset.assign(picture=xr.Variable(DIMS, indexing.LazilyIndexedArray(_Pictures(video)), about))
