"""A synthetic walker with exact ground truth, the yardstick of the tests.

World frame: X forward along the walkway, Y to the walker's left, Z up, metres, ground at z = 0.
Image frame: pixels, x right, y down, pixel centres at integers. Left and right are the walker's.
"""

from .body import EXTRAS, KEYPOINTS, Body
from .camera import Camera, frontal_camera, sagittal_camera
from .gait import GAITS, SIDES, Gait, events_between, foot, in_contact
from .layers import PARTS
from .walk import Walk

__all__ = [
    "EXTRAS", "GAITS", "KEYPOINTS", "PARTS", "SIDES", "Body", "Camera", "Gait", "Walk", "events_between",
    "foot", "frontal_camera", "in_contact", "sagittal_camera",
]  # fmt: skip
