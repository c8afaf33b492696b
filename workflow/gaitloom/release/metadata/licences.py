"""What an SPDX identifier stands for."""

from gaitloom.release.settings import Release, TierName

NAMES = {
    "CC0-1.0": "Creative Commons Zero v1.0 Universal",
    "CC-BY-4.0": "Creative Commons Attribution 4.0 International",
    "CC-BY-SA-4.0": "Creative Commons Attribution Share Alike 4.0 International",
    "CC-BY-NC-4.0": "Creative Commons Attribution Non Commercial 4.0 International",
    "CC-BY-NC-SA-4.0": "Creative Commons Attribution Non Commercial Share Alike 4.0 International",
    "CC-BY-NC-ND-4.0": "Creative Commons Attribution Non Commercial No Derivatives 4.0 International",
    "ODbL-1.0": "Open Data Commons Open Database License v1.0",
}


def url(settings: Release, tier: TierName) -> str | None:
    """The page of a tier's licence; None where its text stands in the release alone."""
    licence = settings.licence(tier)
    return None if licence.startswith("LicenseRef-") else f"https://spdx.org/licenses/{licence}"


def title(settings: Release, tier: TierName) -> str:
    """The licence's full name."""
    licence = settings.licence(tier)
    return NAMES.get(licence, licence.removeprefix("LicenseRef-"))


def address(settings: Release, tier: TierName) -> str:
    """Where the release is, or will be, found: its DOI, its URL, else a name of its own."""
    if settings.doi:
        return f"https://doi.org/{settings.doi}"
    return settings.url or f"urn:gaitloom:{settings.name}:{settings.version}:{tier}"
