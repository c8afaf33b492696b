"""Gait from keypoints: pure functions between arrays; `modalities/gait.py` puts what they give into the store."""
