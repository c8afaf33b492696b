"""CITATION.cff, Citation File Format 1.2.0 (doi 10.5281/zenodo.5171937)."""

from typing import Any

import yaml

from gaitloom.release.contents import Contents
from gaitloom.release.metadata import licences


def document(contents: Contents) -> str:
    """The text of CITATION.cff."""
    settings, tier = contents.dataset.settings, contents.dataset.tier
    about: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use this data set, please cite it.",
        "type": "dataset",
        "title": settings.title,
        "version": settings.version,
        "date-released": settings.date.isoformat(),
        "authors": [_author(c.name, c.affiliation, c.orcid) for c in settings.creators],
        "abstract": settings.description,
        "keywords": list(settings.keywords),
    }
    if settings.doi:
        about["doi"] = settings.doi
    if settings.url:
        about["url"] = settings.url
    if (page := licences.url(settings, tier)) is not None:
        about["license"] = settings.licence(tier)
        about["license-url"] = page
    return yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=10_000)


def _author(name: str, affiliation: str | None, orcid: str | None) -> dict[str, str]:
    family, _, given = (part.strip() for part in name.partition(","))
    author = {"family-names": family, "given-names": given} if given else {"name": name}
    if affiliation:
        author["affiliation"] = affiliation
    if orcid:
        author["orcid"] = f"https://orcid.org/{orcid}"
    return author
