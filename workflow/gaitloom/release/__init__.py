"""Releases: what leaves the laboratory, for whom, in whose layout, and the proof that nothing else does.

`settings` (configuration) -> `consent` and `pseudonyms` -> `dataset` (which clips and nodes a tier holds) -> one part a
clip (`parts`, through `exporters/`) -> `build`: archives, tables, metadata -> `tier_check` -> one rename.
"""
