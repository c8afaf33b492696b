"""Backends of the modality track."""
