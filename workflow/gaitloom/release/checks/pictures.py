"""What a picture shows, by its pixels: a silhouette, parts, flow, a figure, or the scene."""

import numpy as np

SILHOUETTE, PARTS, FLOW, SCENE, NOTHING = "silhouette", "parts", "flow", "deidentified", ""
BETWEEN = 24, 231  # grey levels that a silhouette has at its edges alone; JPEG moves black and white by less
EDGES, OFF = 0.3, 0.02  # share of its pixels that may be grey, and of those that may lie off an edge
LEAST = 16  # px: what is smaller shows nobody
COLOURS = 64  # of a part map; Health&Gait has 15, and OpenGait's grey ones fewer
PLAIN = 0.4  # share of a figure that is one colour


def shows(data: bytes) -> str:
    """The modality that an encoded picture is of; "" where nothing can be seen in it.

    Raises:
        ValueError: it cannot be decoded.
    """
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("cannot be decoded")
    return modality(image)


def modality(image: np.ndarray) -> str:
    """The modality that (H, W) or (H, W, C) pixels are of."""
    if min(image.shape[:2]) < LEAST:
        return NOTHING
    if image.dtype == bool:
        return SILHOUETTE
    if image.dtype != np.uint8:
        image = (image / max(1, np.abs(image).max()) * 255).astype(np.uint8)
    pixels = image.reshape(*image.shape[:2], -1)[..., :3]
    if pixels.shape[2] == 1 or (pixels == pixels[..., :1]).all():
        grey = pixels[..., 0]
        if _silhouette(grey):
            return SILHOUETTE
        return PARTS if len(np.unique(grey)) <= COLOURS / 2 and _flat(grey[..., None]) else SCENE
    if (pixels.min(axis=2) == 0).all():
        colours = np.unique(pixels.reshape(-1, 3), axis=0)
        if len(colours) <= COLOURS:
            return PARTS
        return FLOW  # full saturation in every pixel: hue and value alone
    if len(np.unique(pixels.reshape(-1, 3), axis=0)) <= COLOURS and _flat(pixels):
        return PARTS
    return SCENE


def _silhouette(grey: np.ndarray) -> bool:
    """Whether (H, W) is black and white, with grey along edges alone."""
    import cv2

    between = (grey > BETWEEN[0]) & (grey < BETWEEN[1])
    around = np.ones((5, 5), np.uint8)
    edge = (cv2.dilate(grey, around) >= BETWEEN[1]) & (cv2.erode(grey, around) <= BETWEEN[0])
    return bool(between.mean() <= EDGES and (between & ~edge).mean() <= OFF)


def _flat(pixels: np.ndarray) -> bool:
    """Whether nearly all pixels are as their neighbours, as in maps of parts."""
    return bool((pixels[:, 1:] == pixels[:, :-1]).all(axis=2).mean() > 0.9)


def figure(data: bytes) -> bool:
    """Whether an encoded picture is a drawing: much of it is one colour."""
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return False
    _, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    return bool(counts.max() >= PLAIN * counts.sum())
