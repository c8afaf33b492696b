"""GaitLoom: raw gait videos in, one verified multimodal Zarr store out."""

__version__ = "0.1.0"
