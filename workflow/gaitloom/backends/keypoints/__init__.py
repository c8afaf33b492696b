"""Backends of the modality keypoints."""
