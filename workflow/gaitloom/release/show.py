"""What each tier holds, and what is left out, on the terminal."""

from collections import Counter

from rich.console import Console
from rich.table import Table

from gaitloom.config import modality_of
from gaitloom.plan import Plan
from gaitloom.release.dataset import Dataset, settings_of


def show(plan: Plan) -> None:
    """Print a table of the tiers, with the folder of each release that is built, and why clips and nodes are left out.

    Raises:
        GaitloomError: the configuration has no release, or its tables are at fault.
    """
    settings = settings_of(plan)
    console = Console(stderr=True)
    table = Table("tier", "subjects", "clips", "modalities", "release", box=None)
    reasons: Counter[tuple[str, str]] = Counter()
    for tier in settings.tiers:
        dataset = Dataset.of(plan, tier)
        modalities = sorted({modality_of(n) for e in dataset.entries for n in e.nodes})
        folder = settings.folder(plan.config.results, tier)
        state = str(folder) if folder.is_dir() else "not built; run `snakemake release`"
        subjects = str(len({e.subject for e in dataset.entries}))
        table.add_row(tier, subjects, str(len(dataset.entries)), " ".join(modalities), state)
        reasons.update((tier, reason) for reason in dataset.left_out.values())
    console.print(table)
    for (tier, reason), count in sorted(reasons.items()):
        console.print(f"left out of {tier}: {reason} ({count})", markup=False, highlight=False)
