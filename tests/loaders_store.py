"""Small stores for the loaders' tests, laid out as GaitLoom's are: a disc with a moving number of dark rows, whose
frame number can be told from every picture."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from gaitloom import fragments
from gaitloom.clips import NodeKey
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.store import Store

SIZE = 48, 80  # height, width
FLOW_REGION = 20, 8, 60, 40


def masks(length: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(T, H, W) bool: a bar that begins `t` columns from the left; no two frames are alike."""
    out = np.zeros((length, *size), bool)
    for t in range(length):
        out[t, 6:-4, t % (size[1] - 12) : t % (size[1] - 12) + 10] = True
        out[t, 2, : t + 1] = True
    return out


def points(length: int) -> np.ndarray:
    """(T, 23, 2): a fan of points that moves right."""
    angle = np.arange(23) / 23 * 2 * np.pi
    fan = np.stack([40 + 15 * np.cos(angle), 24 + 15 * np.sin(angle)], axis=1)
    return (fan + np.arange(length)[:, None, None] * np.array([0.25, 0])).astype(np.float32)


def flow(length: int) -> np.ndarray:
    """(T, 16, 20, 2) int16, half the region's size: 1 px right and t / 64 px down in the scaled region."""
    out = np.empty((length, 16, 20, 2), np.int16)
    out[..., 0], out[..., 1] = 64, np.arange(length)[:, None, None]
    return out


def pictures(length: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(T, H, W, 3) uint8: a ramp that is brighter by 4 in each frame."""
    ramp = np.add.outer(np.arange(size[0]), np.arange(size[1]))[..., None] // 2 + np.array([0, 20, 40])
    return np.stack([np.clip(ramp + 2 * t, 0, 255) for t in range(length)]).astype(np.uint8)


def put_clip(
    store: Store,
    subject: str,
    name: str = "trial-1",
    length: int = 50,
    mask: np.ndarray | None = None,
    valid: np.ndarray | None = None,
    nodes: Sequence[str] = ("silhouette",),
    **columns: Any,
) -> dict[str, Any]:
    """Write one clip with some of silhouette, parts, flow_dis, keypoints and deidentified; gives its row."""
    mask = masks(length) if mask is None else mask
    length, size = len(mask), mask.shape[1:]
    valid = np.ones(length, bool) if valid is None else valid
    about = {"width": size[1], "height": size[0]}
    recipe = {"video": {"subject": subject}}

    def publish(node: str, there: np.ndarray, put: Any, **attributes: Any) -> None:
        staged = store.stage(NodeKey(subject, name, node))
        staged.put("time", np.arange(length) / 30, ("time",))
        staged.put("valid", there, ("time",))
        put(staged)
        staged.publish({**recipe, "modality": node}, attributes)

    def stream(array: str, values: np.ndarray) -> Any:
        def put(staged: Any) -> None:
            frames = staged.stream(array, values.shape, values.dtype, ("time", *"abc"[: values.ndim - 1]))
            for value in values:
                frames.append(value)

        return put

    publish("video", np.ones(length, bool), lambda _: None, **about)
    if "silhouette" in nodes:
        publish("silhouette", valid, stream("mask", mask), **about)
    if "parts" in nodes:
        label = (mask * (1 + np.arange(size[1]) % 14)).astype(np.uint8)
        publish("parts", valid, stream("label", label), label_space="densepose_coarse_14", **about)
    if "flow_dis" in nodes:
        last = np.arange(length) < length - 1
        publish("flow_dis", last, stream("flow", flow(length)), region=list(FLOW_REGION), scale=[0.5, 0.5])
    if "keypoints" in nodes:
        score = np.full((length, 23), 0.9, np.float32)

        def keypoints(staged: Any) -> None:
            staged.put("xy_23", points(length), ("time", "keypoint_23", "axis"))
            staged.put("score_23", score, ("time", "keypoint_23"))

        publish("keypoints", valid, keypoints, keypoint_23_names=list(WHOLEBODY_23.points))
    if "deidentified" in nodes:
        film = fragments.encode(pictures(length, size), list(range(length)), Fraction(1, 30), "ffv1")
        publish("deidentified", np.ones(length, bool), film.put, **about)
    index = {"subject": subject, "columns": columns, "nodes": dict.fromkeys(("video", *nodes), ""), "qc": {}}
    store.write_index(f"{subject}/{name}", index, ["video", *nodes])
    return {"path": f"{subject}/{name}", "subject": subject, **columns, "nodes": " ".join(nodes), "frames": length}


def finish(store: Store, rows: list[dict[str, Any]]) -> Path:
    """Write the store's root over the clips of these rows; gives its path."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = {"columns": columns, "data": [[row.get(c) for c in columns] for row in rows]}
    store.write_root({"title": "a store for loaders", "clips": table})
    return store.root
