"""Backends of the gait modality."""
