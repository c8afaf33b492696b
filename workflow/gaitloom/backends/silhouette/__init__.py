"""Backends of the modality silhouette."""
