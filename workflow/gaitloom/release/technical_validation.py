"""A tier's technical validation, as the workflow found it, in its release: `technical_validation/`."""

import shutil

from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.release.contents import Contents
from gaitloom.release.settings import TierName

FOLDER = "technical_validation"
KINDS = ("*.md", "*.png", "technical_validation.tsv", "re_identification.tsv")


def planned(plan: Plan, tier: TierName) -> str | None:
    """Digest of what it is made from; None where the configuration has none."""
    if plan.config.technical_validation is None:
        return None
    from gaitloom.technical_validation.cases import Cases

    return Cases.of(plan, tier).page_digest()


def write(contents: Contents) -> None:
    """Copy page, tables and figures, where the configuration has a technical validation.

    Raises:
        GaitloomError: the workflow has not made them.
    """
    dataset = contents.dataset
    if dataset.plan.config.technical_validation is None:
        return
    from gaitloom.technical_validation.page import PAGE
    from gaitloom.technical_validation.run import folder

    made, target = folder(dataset.plan, dataset.tier), contents.folder / FOLDER
    if not (made / PAGE).is_file():
        raise GaitloomError(f"{made / PAGE} is not there; run `snakemake technical_validation`.")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for path in sorted({p for kind in KINDS for p in made.glob(kind)}):
        shutil.copyfile(path, target / path.name)
