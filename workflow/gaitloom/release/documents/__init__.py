"""What people read of a release: the card, the datasheet, terms, figures, what is complete, and what changed.

Templates stand in `templates/`; facts are gathered once in `facts`. What is told of fewer people than the tier's k is
for `told` to say.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gaitloom import __version__
from gaitloom.release import anonymity
from gaitloom.release.contents import Contents
from gaitloom.release.documents import answers, card, changelog, completeness, facts, figures, told
from gaitloom.release.metadata import licences

TEMPLATES = Path(__file__).with_name("templates")
COUNTED = ("sex", "age", "bmi", "diagnosis", "patient")  # columns of participants
SHOWN = 60  # parts of partitions


def write(contents: Contents) -> None:
    """Write them beside data/, which is complete but for its table of provenance.

    Raises:
        GaitloomError: a text of the laboratory's, or the previous release, cannot be read.
    """
    dataset = contents.dataset
    settings, tier, found = dataset.settings, dataset.tier, facts.of(contents)
    k, terms = settings.k(tier), settings.tiers[tier].terms
    values: dict[str, Any] = {
        "contents": contents,
        "facts": found,
        "settings": settings,
        "tier": tier,
        "k": k,
        "version": __version__,
        "frames": sum(part.frames for part in contents.parts),
        "head": card.head(contents, found),
        "opened": card.opened(contents),
        "licence": licences.title(settings, tier),
        "licence_id": settings.licence(tier),
        "licence_url": licences.url(settings, tier),
        "address": licences.address(settings, tier),
        "figures": figures.write(contents, found),
        "answers": answers.read(settings.answers),
        "people": {c: told.counts(found.people, c, k) for c in COUNTED if c in found.people},
        "gait": told.by_condition(found.gait, found.units, k),
        "gait_by_age": told.by_age(found.gait, found.units, found.people, k),
        "parts": told.parts(found.people, found.classes, found.splits, k)[: SHOWN + 1],
        "validated": dataset.plan.config.technical_validation is not None,
        "missing": completeness.left_out(contents),
        "labels": sorted(p.stem for p in (contents.data / "labels").glob("*.tsv")),
        "sizes": sorted({(part.width, part.height) for part in contents.parts}),
        "rates": sorted({float(Fraction(part.fps)) for part in contents.parts}),
    }
    names = {"README.md", "DATASHEET.md", "STATISTICS.md", "LICENSE.txt"}
    names |= {"DEIDENTIFICATION.md"} if found.pictures else set()
    names |= {"DATA_USE.md"} if terms is None else set()
    environment = _environment()
    pages = {name: environment.get_template(f"{name}.j2").render(values) for name in sorted(names)}
    if terms is not None:
        pages["DATA_USE.md"] = answers.text(terms, f"release.tiers.{tier}.terms")
    pages["PRIVACY.md"] = anonymity.markdown(anonymity.report(dataset, contents.previous))
    pages["COMPLETENESS.tsv"] = completeness.text(contents)
    pages |= changelog.pages(contents, found)
    for name, text in pages.items():
        (contents.folder / name).write_text(text.rstrip() + "\n", encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"line": _line, "cell": _cell, "size": _size}
    return environment


def _line(text: Any) -> str:
    """A text on one line."""
    return " ".join(str(text).split())


def _cell(text: Any) -> str:
    """A text as the cell of a Markdown table."""
    return _line(text).replace("|", "\\|")


def _size(count: int) -> str:
    """Bytes as people say them."""
    amount, unit = float(count), 0
    while amount >= 999.5 and unit < 4:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[unit]}"
