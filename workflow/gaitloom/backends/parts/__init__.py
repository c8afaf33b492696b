"""Backends of the modality parts."""
