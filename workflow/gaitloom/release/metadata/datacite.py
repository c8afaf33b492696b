"""datacite.json: the fields of DataCite's metadata schema 4.6 (doi 10.14454/mzv1-5b55), as its REST API takes them."""

import json
from typing import Any

from gaitloom.release.contents import Contents
from gaitloom.release.metadata import licences


def document(contents: Contents) -> str:
    """The text of datacite.json."""
    settings, tier = contents.dataset.settings, contents.dataset.tier
    rights: dict[str, str] = {"rights": licences.title(settings, tier)}
    if (page := licences.url(settings, tier)) is not None:
        rights |= {
            "rightsUri": page,
            "rightsIdentifier": settings.licence(tier),
            "rightsIdentifierScheme": "SPDX",
            "schemeUri": "https://spdx.org/licenses/",
        }
    about: dict[str, Any] = {
        "schemaVersion": "http://datacite.org/schema/kernel-4",
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": f"gait data set, {tier} tier"},
        "creators": [_creator(c.name, c.affiliation, c.orcid) for c in settings.creators],
        "titles": [{"title": settings.title}],
        "publisher": {"name": settings.publisher},
        "publicationYear": settings.date.year,
        "dates": [{"date": settings.date.isoformat(), "dateType": "Issued"}],
        "subjects": [{"subject": word} for word in settings.keywords],
        "version": settings.version,
        "language": "en",
        "descriptions": [{"description": settings.description, "descriptionType": "Abstract"}],
        "rightsList": [rights],
        "formats": ["application/zip", "text/tab-separated-values"],
        "sizes": [f"{sum(a.bytes for a in contents.archives)} bytes", f"{len(contents.parts)} clips"],
    }
    if settings.doi:
        about["doi"] = settings.doi
    if settings.url:
        about["url"] = settings.url
    return json.dumps(about, indent=2, ensure_ascii=False) + "\n"


def _creator(name: str, affiliation: str | None, orcid: str | None) -> dict[str, Any]:
    family, _, given = (part.strip() for part in name.partition(","))
    creator: dict[str, Any] = {"name": name, "nameType": "Personal" if given else "Organizational"}
    if given:
        creator |= {"familyName": family, "givenName": given}
    if affiliation:
        creator["affiliation"] = [{"name": affiliation}]
    if orcid:
        identifier = {"nameIdentifier": f"https://orcid.org/{orcid}", "nameIdentifierScheme": "ORCID"}
        creator["nameIdentifiers"] = [{**identifier, "schemeUri": "https://orcid.org"}]
    return creator
