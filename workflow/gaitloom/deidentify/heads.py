"""Heads in single frames, by a face, by a pose, by a person's box; and the words in which the ledger speaks of them.

Boxes are xyxy in full-frame pixels, x right, y down. What is not known is covered more, never less: the whole person
where a tracked person's head is not known (`cover`), the whole frame where nobody is (`regions`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaitloom.deidentify.boxes import around, centre, cut, grown, height, hull, upright, whole_of

# Why a region is there, in the order of the ledger's flag values.
WHY = ("face", "pose", "between", "before_or_after", "doubtful", "person", "frame", "fixed", "decision", "text")
FACE, POSE, BETWEEN, BEYOND, DOUBTFUL, PERSON, FRAME, FIXED, DECISION, TEXT = range(len(WHY))
HEADS = (FACE, POSE, BETWEEN, BEYOND, DOUBTFUL)  # one head's each; the others are painted in one colour
# What is painted first in a frame, and so lies below: whole persons, then heads, what was given by hand, whole frames.
ORDER = (1, 1, 1, 1, 1, 0, 3, 2, 2, 2)

# From Winter, Biomechanics and Motor Control of Human Movement, 4th ed., fig. 4.1: shares of stature. The ears' height
# is also the middle of the head.
STATURE_HEAD, STATURE_EAR, STATURE_SHOULDER = 0.130, 0.936, 0.818
HEAD = STATURE_HEAD / (STATURE_EAR - STATURE_SHOULDER)  # height of the head in distances from shoulders to ears
# The same seen from the front, the side, or above, where that distance is foreshortened: a head is 0.23 m tall, its
# ears are 0.15 m apart, its nose lies 0.11 m before them.
BY_EARS, BY_NOSE = 0.23 / 0.15, 0.23 / 0.11
# Width in heads' heights, 0.03 m of hair included: a head is 0.20 m deep, and, seen from the front, 0.155 m broad.
WIDE, WIDE_IN_FRONT, WIDE_FROM_BEHIND = 0.97, 0.80, 1.10
EARS_IN_FRONT = 0.15 / 0.23  # the ears' distance then
UP = 0.12  # heads by which the region's middle is moved away from the shoulders: crowns matter more than necks
OF_BOX = 0.13, 0.45  # least and greatest height of a head in heights of a whole person's box, standing or crouching

# Pixels. With less than 62.5 of them a metre not even characteristic details of a person are seen; to recognise one who
# is known takes 125 (EN 62676-4:2015, video surveillance, "observe" and "recognise"). A head is 0.23 m tall.
TOO_SMALL = round(62.5 * 0.23, 1)

# A face's box reaches from the brow or hairline to the chin, and to one ear in profile, who knows which.
FACE_TALL, FACE_WIDE, FACE_UP = 1.4, 1.15, 0.10  # head's height in those of the face, its width and its middle's way up


@dataclass(frozen=True)
class Head:
    """A head seen in a frame: its box (4,), hair, ears and nape included, `FACE` or `POSE`, how sure, and how many
    signs speak for it; with none, it is covered, but believed no further."""

    box: np.ndarray
    why: int
    confidence: float
    weight: int = 1


@dataclass(frozen=True)
class Regions:
    """What is covered, sorted by frame and by the order of painting: `frame` (N,) int32, `box` (N, 4) float32 inside
    the frame, `track` (N,) int32, whose it is, -1 where nobody's, `why` (N,) uint8 of `WHY`, `confidence` (N,)
    float32. `lost`: (frame, track) of everyone who was last seen, or first, in the middle of the picture."""

    frame: np.ndarray
    box: np.ndarray
    track: np.ndarray
    why: np.ndarray
    confidence: np.ndarray
    lost: tuple[tuple[int, int], ...] = ()


def of_face(face: np.ndarray, confidence: float) -> Head:
    """The whole head around a face's box (4,)."""
    tall = FACE_TALL * max(height(face), 1.1 * (face[2] - face[0]))
    x, y = centre(face)
    wide = max(FACE_WIDE * tall, face[2] - face[0])
    return Head(around(x, y - FACE_UP * height(face), wide, tall), FACE, confidence)


def of_pose(points: np.ndarray, score: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> Head | None:
    """The head of a person with this box (4,) by points (23, 2) in COCO-WholeBody's order with scores (23,), in a frame
    of (width, height): around the ears, since a skull reaches as far back as forward.

    None where the points do not say, or contradict the box.
    """
    known = np.isfinite(points[:, 0]) & (score > 0)
    if not known[:5].any() or not known[5:7].any():
        return None
    ears = points[3:5][known[3:5]] if known[3:5].any() else points[:5][known[:5]]
    middle = ears.mean(axis=0)
    tall = HEAD * float(np.linalg.norm(middle - points[5:7][known[5:7]].mean(axis=0)))
    if known[3:5].all():
        tall = max(tall, BY_EARS * float(np.linalg.norm(points[3] - points[4])))
    if known[0]:
        tall = max(tall, BY_NOSE * float(np.linalg.norm(points[0] - middle)))
    tall = max(tall, OF_BOX[0] * height(box))
    up = middle - points[5:7][known[5:7]].mean(axis=0)
    up /= max(float(np.linalg.norm(up)), 1e-6)
    tall *= 1 + 0.5 * max(0.0, abs(float(up[0])) - 0.4)  # whoever leans is posed less exactly
    if not cut(box, size) and tall > OF_BOX[1] * max(height(box), box[2] - box[0]):
        return None
    # A head is the body's end, so it lies at one side of a box that is tight.
    inside = np.concatenate([middle - box[:2], box[2:] - middle]) / tall
    if inside.min() < -0.5 or inside.min() > 1.5:
        return None
    x, y = middle + UP * tall * up
    # How far the left ear is on the right of the picture, as in somebody who faces it: 1; -1 from behind.
    ears_apart = float((points[3] - points[4]) @ (-up[1], up[0])) if known[3:5].all() else 0.0
    facing = np.clip(ears_apart / (EARS_IN_FRONT * tall), -1, 1)
    wide = WIDE + facing * ((WIDE_IN_FRONT - WIDE) if facing > 0 else (WIDE - WIDE_FROM_BEHIND))
    found = around(x, y, wide * tall, tall)
    nose = points[:5][known[:5]]
    return Head(hull(found, [*nose.min(axis=0), *nose.max(axis=0)]), POSE, float(score[:7][known[:7]].mean()))


def of_box(box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where the head of a person with this box (4,) must be: in the upper part of who stands whole in the picture, arms
    raised or not, else anywhere."""
    whole = whole_of(box)
    if upright(box) and box[3] < size[1] - 1:
        whole[3] = box[1] + 0.35 * height(box)
    return whole


def agree(a: Head, b: Head) -> bool:
    """Whether two heads in one frame are one."""
    return bool(np.linalg.norm(centre(a.box) - centre(b.box)) <= 0.6 * max(height(a.box), height(b.box)))


def both(face: Head, pose: Head) -> Head:
    """One head of a face and a pose that agree: the pose knows where its back is, the face how large it is."""
    box = hull(grown(face.box, 0.6), pose.box)
    return Head(box, FACE, max(face.confidence, pose.confidence), pose.weight + 2)


def posed_twice(first: Sequence[Head], second: Head) -> list[Head]:
    """The heads of one person in a frame by one pose estimator, and by a second one: where both agree, one head."""
    same = [replace(h, box=hull(h.box, second.box), weight=h.weight + second.weight) for h in first if agree(h, second)]
    return [*(h for h in first if not agree(h, second)), *(same or [second])]
