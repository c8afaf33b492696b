"""Backends of the modality flow."""
