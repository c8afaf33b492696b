"""Backends of the modality audit."""
