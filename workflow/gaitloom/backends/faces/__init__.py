"""Backends of the modality faces."""
