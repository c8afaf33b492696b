"""Backends of the modality deidentified."""
