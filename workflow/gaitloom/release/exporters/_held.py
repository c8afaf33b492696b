"""What layouts that have room for one node of a modality share."""

from collections.abc import Iterable

from gaitloom.release.dataset import Dataset


def second(dataset: Dataset, modalities: Iterable[str]) -> dict[str, str]:
    """Nodes of these modalities for which another stands in every clip that has them, each with which."""
    stands: dict[str, set[str]] = {}
    for source in dataset.sources():
        for modality in modalities:
            chosen = source.preferred(modality)
            for node in source.entry.of(modality):
                stands.setdefault(node, set()).add(str(chosen))
    return {
        node: f"the layout has room for one, and {' or '.join(sorted(by))} stands for it"
        for node, by in stands.items()
        if node not in by
    }
