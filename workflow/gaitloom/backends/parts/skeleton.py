"""Parts by geometry: every pixel of the silhouette goes to a limb of the skeleton. Nothing is learned here.

Limbs are capsules around the bones, as wide as average people's; they are tried from near to far, and a pixel that lies
in none goes to the nearest. The side whose joints score lower is taken to be behind.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from gaitloom.backends import Spec
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.modalities.parts import Person
from gaitloom.part_labels import COARSE
from gaitloom.strict import Strict


class Options(Strict):
    """The skeleton has no options."""


SPEC = Spec(version=1, options=Options, packages=("numpy",), licence="MIT", reads=("track", "keypoints", "silhouette"))

# Half widths in shares of stature (Winter 2009, fig. 4.1 for lengths; widths read off the average adult's outline).
RADIUS = {
    "head": 0.075,
    "torso": 0.08,  # seen from the side; see `limbs`
    "upper_arm": 0.033,
    "lower_arm": 0.027,
    "hand": 0.033,
    "upper_leg": 0.058,
    "lower_leg": 0.042,
    "foot": 0.03,
}
HAND = 0.108 / 0.146  # a hand's length against a forearm's (Winter 2009, fig. 4.1)
CROWN = 0.54  # how far the crown lies above the ears, against ears above shoulders (as for track's boxes)
BEHIND = 0.02  # a side whose joints score lower by this is behind


class Backend:
    """Needs no picture: the mask and the joints say it all."""

    labels = COARSE
    learned = False
    needs_image = False

    def __init__(self, options: Options):
        pass

    def parts(self, people: Iterable[Person]) -> Iterator[tuple[np.ndarray, tuple[int, int]] | None]:
        """Coarse labels (h, w) uint8 on the mask's bounding box, and its first pixel (x, y), for each person."""
        for person in people:
            if person.mask is None or person.points is None or person.score is None or not person.mask.any():
                yield None
                continue
            rows, columns = np.flatnonzero(person.mask.any(axis=1)), np.flatnonzero(person.mask.any(axis=0))
            top, left = int(rows[0]), int(columns[0])
            mask = person.mask[top : rows[-1] + 1, left : columns[-1] + 1]
            ys, xs = np.nonzero(mask)
            label = np.zeros(mask.shape, np.uint8)
            label[ys, xs] = assign(np.stack([xs + left, ys + top], axis=1), person.points, person.score)
            yield label, (left, top)


def assign(pixels: np.ndarray, points: np.ndarray, score: np.ndarray) -> np.ndarray:
    """The coarse label (N,) uint8 of each pixel (N, 2) x, y, by joints (23, 2) and their scores (23,).

    A limb whose joints are not known gets no pixel.
    """
    stature = _stature(points)
    nearest = np.full(len(pixels), np.inf)
    label = np.zeros(len(pixels), np.uint8)
    settled = np.zeros(len(pixels), bool)
    for name, start, end, radius in limbs(points, score):
        if not (np.isfinite(start).all() and np.isfinite(end).all()):
            continue
        apart = _distance(pixels, start, end) / (radius * stature)
        takes = ~settled & ((apart < 1) | (apart < nearest))
        label[takes] = COARSE.index(name)
        nearest[takes] = apart[takes]
        settled |= apart < 1
    return label


def limbs(points: np.ndarray, score: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray, float]]:
    """Name, start, end (pixels) and radius (statures) of every capsule, near ones first."""
    at = {name: points[i] for i, name in enumerate(WHOLEBODY_23.points)}
    known = {name: float(score[i]) for i, name in enumerate(WHOLEBODY_23.points)}
    shoulders = (at["left_shoulder"] + at["right_shoulder"]) / 2
    hips = (at["left_hip"] + at["right_hip"]) / 2
    ears = (at["left_ear"] + at["right_ear"]) / 2
    head = ("head", shoulders + 0.8 * (ears - shoulders), ears + 0.5 * CROWN * (ears - shoulders), RADIUS["head"])
    across = max(np.linalg.norm(at[f"left_{j}"] - at[f"right_{j}"]) for j in ("shoulder", "hip")) / _stature(points)
    # From the front the trunk is as wide as the joints of either side lie apart, and hangs over the legs.
    wide = 0.5 * across > RADIUS["torso"]
    torso = ("torso", shoulders, hips, 0.5 * float(across) if wide else RADIUS["torso"])
    behind_arm = _behind(known, ("elbow", "wrist"))
    behind_leg = _behind(known, ("knee", "ankle"))
    near, far = [], []
    for side in ("left", "right"):
        shoulder, elbow, wrist = (at[f"{side}_{j}"] for j in ("shoulder", "elbow", "wrist"))
        arm = [
            (f"{side}_hand", wrist + 0.25 * HAND * (wrist - elbow), wrist + HAND * (wrist - elbow), RADIUS["hand"]),
            (f"{side}_lower_arm", elbow, wrist, RADIUS["lower_arm"]),
            (f"{side}_upper_arm", shoulder, elbow, RADIUS["upper_arm"]),
        ]
        hip, knee, ankle, heel, toe = (at[f"{side}_{j}"] for j in ("hip", "knee", "ankle", "heel", "big_toe"))
        leg = [
            (f"{side}_foot", heel, toe, RADIUS["foot"]),
            (f"{side}_lower_leg", knee, ankle, RADIUS["lower_leg"]),
            (f"{side}_upper_leg", hip, knee, RADIUS["upper_leg"]),
        ]
        (far if behind_arm == side else near).extend(arm)
        (far if behind_leg == side else near).extend(leg)
    arms = [limb for limb in near if "leg" not in limb[0] and "foot" not in limb[0]]
    legs = [limb for limb in near if limb not in arms]
    return [head, *arms, torso, *legs, *far] if wide else [head, *arms, *legs, torso, *far]


def _behind(score: dict[str, float], joints: tuple[str, str]) -> str:
    """The side that is behind, empty where neither is."""
    left, right = (sum(score[f"{side}_{j}"] for j in joints) / len(joints) for side in ("left", "right"))
    if abs(left - right) < BEHIND:
        return ""
    return "left" if left < right else "right"


def _stature(points: np.ndarray) -> float:
    """Stature in pixels, from trunk and longer leg as seen: 0.288 and 0.491 statures (Winter 2009, fig. 4.1)."""
    at = {name: points[i] for i, name in enumerate(WHOLEBODY_23.points)}
    trunk = np.linalg.norm((at["left_shoulder"] + at["right_shoulder"] - at["left_hip"] - at["right_hip"]) / 2)
    legs = [
        np.linalg.norm(at[f"{s}_hip"] - at[f"{s}_knee"]) + np.linalg.norm(at[f"{s}_knee"] - at[f"{s}_ankle"])
        for s in ("left", "right")
    ]
    return float(trunk + np.nanmax(legs)) / (0.288 + 0.491)


def _distance(pixels: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distance (N,) of pixels (N, 2) from the segment between two points, in pixels."""
    along = end - start
    share = np.clip((pixels - start) @ along / max(float(along @ along), 1e-9), 0, 1)
    return np.linalg.norm(pixels - start - share[:, None] * along, axis=1)
