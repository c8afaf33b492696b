"""Where each array of a release comes from: a row a clip and node, and each way of making once."""

import csv
import io
from dataclasses import dataclass, field
from typing import Any

from gaitloom.provenance import digest
from gaitloom.release.contents import Contents
from gaitloom.release.exporters._made import provenance

TABLE = "provenance.tsv"
COLUMNS = ("subject", "clip", "node", "making", "recipe", "inputs", "content")


@dataclass
class Making:
    """One way in which nodes were made: `what` is their provenance but for the clip's own digests, `nodes` their names,
    `clips` how many they are. `id` is the column `making` of the table."""

    id: str
    what: dict[str, Any]
    nodes: set[str] = field(default_factory=set)
    clips: int = 0


def write(contents: Contents) -> list[Making]:
    """Write data/provenance.tsv, and return the ways of making, by id.

    `recipe` and `inputs` are keyed digests: what has the same was made the same way from the same, and nobody can tell
    from them what from. `content` is the keyed digest of the node's bytes in the laboratory's store.
    """
    dataset = contents.dataset
    rows: list[tuple[str, ...]] = []
    makings: dict[str, Making] = {}
    for entry, part in zip(dataset.entries, contents.parts, strict=True):
        source = dataset.source(entry)
        for node in part.nodes:
            told = provenance(source, node)
            recipe, inputs = told.pop("digest"), told.pop("inputs")
            name = digest(told)[:12]
            making = makings.setdefault(name, Making(name, told))
            making.nodes.add(node)
            making.clips += 1
            content = source.names.digest(source.open(node).attributes["seal"])
            reads = " ".join(f"{modality}:{inputs[modality]}" for modality in sorted(inputs))
            rows.append((entry.subject, entry.name, node, name, recipe, reads or "n/a", content))
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([COLUMNS, *rows])
    (contents.data / TABLE).write_text(text.getvalue(), encoding="utf-8")
    return [makings[name] for name in sorted(makings)]
