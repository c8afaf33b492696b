"""What machines read of a release: where arrays come from, Croissant, RO-Crate, DataCite, CITATION.cff, and the bag.

All of it is the same bytes for the same release: dates are the release's own, identifiers are derived from content.
"""

import shutil

from gaitloom.reconcile import SNAKEFILE
from gaitloom.release.contents import Contents
from gaitloom.release.metadata import bag, citation, croissant, datacite, provenance, rocrate


def write(contents: Contents) -> None:
    """Write it beside data/, which is complete but for its table of provenance; the bag's manifests come last."""
    makings = provenance.write(contents)
    shutil.copyfile(SNAKEFILE, contents.folder / "Snakefile")
    (contents.folder / "croissant.json").write_text(croissant.document(contents), encoding="utf-8")
    (contents.folder / "datacite.json").write_text(datacite.document(contents), encoding="utf-8")
    (contents.folder / "CITATION.cff").write_text(citation.document(contents), encoding="utf-8")
    (contents.folder / "ro-crate-metadata.json").write_text(rocrate.document(contents, makings), encoding="utf-8")
    bag.write(contents)
