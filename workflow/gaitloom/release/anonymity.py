"""How surely nobody can be picked out by the table of participants: classes of people who look alike, how diverse the
sensitive columns are within them, and what two versions side by side would show.

Quasi-identifiers are all released columns of participants but the tier's `sensitive` ones, and those released columns
of the clip sheet that describe a person (all but `participants.PROTOCOL`), which are told as they are. What moves is
not part of this: skeletons and silhouettes can identify people by their gait, whatever these tables say.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gaitloom.errors import GaitloomError
from gaitloom.release import generalise, participants, tables
from gaitloom.release.consent import MISSING
from gaitloom.release.dataset import Dataset

SHOWN = 5  # smallest classes that are shown

Report = dict[str, Any]


def report(dataset: Dataset, previous: Path | None = None) -> Report:
    """Everything of the above, plain values only; `refusal` is why the tier may not be released, "" where it may.
    `previous` is the folder of the tier's release before this one.

    Raises:
        GaitloomError: the table of participants is at fault, or `previous` has none.
    """
    found = participants.generalised(dataset)
    k, sensitive = dataset.settings.k(dataset.tier), dataset.settings.tiers[dataset.tier].sensitive
    told_of_all = found.table.drop(columns=list(sensitive), errors="ignore")
    hidden = pd.concat([told_of_all, participants.beside(dataset)], axis=1)
    classes = _classes(hidden, found.sizes)
    before = None if previous is None else _table(previous).drop(columns=list(sensitive), errors="ignore")
    return {
        "tier": dataset.tier,
        "k": k,
        "people": len(found.table),
        "smallest": min((c["people"] for c in classes), default=0),
        "small_classes": sum(c["people"] < k for c in classes),
        "people_in_small_classes": sum(c["people"] for c in classes if c["people"] < k),
        "refusal": participants.refusal(dataset, found),
        "quasi_identifiers": {c: found.rungs[c].how if c in found.rungs else "as it is" for c in tables.names(hidden)},
        "generalised": list(found.steps),
        "smallest_classes": classes[:SHOWN],
        "diversity": {c: diversity(found.table[c], hidden) for c in sensitive if c in found.table},
        "difference": None if before is None else difference(told_of_all, before, k),
    }


def _classes(hidden: pd.DataFrame, sizes: pd.Series) -> list[dict[str, Any]]:
    """Number of people and values of each class, the smallest first."""
    rows = hidden.assign(**{"": sizes}).drop_duplicates().to_dict("records")
    classes = [{"people": row[""], "values": {str(c): v for c, v in row.items() if c}} for row in rows]
    return sorted(classes, key=lambda c: (c["people"], *c["values"].values()))


def diversity(values: pd.Series, hidden: pd.DataFrame) -> dict[str, Any]:
    """l-diversity (Machanavajjhala et al. 2007, ACM TKDD 1:3) of a sensitive column over classes of the
    quasi-identifiers `hidden`: the least number of distinct values in a class, and the least exp(entropy); n/a is no
    value, and classes without any do not count (None where there is no other). `alone`: how many people have a value
    that nobody else has."""
    columns = list(hidden.columns)
    groups = [g for _, g in values.groupby([hidden[c] for c in columns])] if columns else [values]
    shares = [g[g != MISSING].value_counts(normalize=True).to_numpy() for g in groups]
    known = [s for s in shares if len(s)]
    counts = Counter(values[values != MISSING])
    return {
        "distinct": min((len(s) for s in known), default=None),
        "entropy": round(min(float(np.exp(-(s * np.log(s)).sum())) for s in known), 3) if known else None,
        "classes_of_one_value": sum(len(s) == 1 for s in known),
        "unknown": int((values == MISSING).sum()),
        "alone": sum(count == 1 for count in counts.values()),
    }


def difference(now: pd.DataFrame, before: pd.DataFrame, k: int) -> dict[str, int]:
    """What a version shows beside the one before, whose pseudonyms are the same: who joined, who left, and whose values
    were told otherwise. Whoever has both sees people by both rows; `alone` are those whose pair of rows nobody else
    has although they joined, left or changed with less than k like them, `fewer_than_k` all such people."""
    both = now.add_suffix(" now").join(before.add_suffix(" before"), how="outer").fillna("")
    state = pd.Series("stayed", index=both.index)
    state[~both.index.isin(before.index)] = "joined"
    state[~both.index.isin(now.index)] = "left"
    pairs = both.assign(**{"": state})
    sizes = generalise.sizes(pairs)
    found: dict[str, int] = {}
    for kind in ("joined", "left", "stayed"):
        own = sizes[state == kind]
        found |= {kind: len(own), f"{kind}_fewer_than_k": int((own < k).sum()), f"{kind}_alone": int((own == 1).sum())}
    return found


def _table(previous: Path) -> pd.DataFrame:
    path = previous / "data" / f"{participants.NAME}.tsv"
    try:
        table = pd.read_csv(path, sep="\t", dtype="str", keep_default_na=False)
    except OSError as error:
        raise GaitloomError(f"{path} cannot be read ({error.strerror}); put the previous release back.") from None
    return table.set_index(participants.INDEX)


def markdown(report: Report) -> str:
    """The report as text for people, without a word on anybody who left but their number."""
    tier, k = report["tier"], report["k"]
    lines = [
        "# Privacy",
        "",
        f"This {tier} release holds {report['people']} people. By what its tables say of them (quasi-identifiers), "
        f"the smallest class of people who look alike has {report['smallest']} (k; aimed at: {k}). "
        "Skeletons, silhouettes and gait parameters are not part of this figure: people can be told by their gait.",
        "",
        *(
            _table_of(("quasi-identifier", "told"), report["quasi_identifiers"].items())
            if report["quasi_identifiers"]
            else ["It has no quasi-identifiers."]
        ),
    ]
    if report["generalised"]:
        lines += ["", "Told less exactly than the tier allows, so that k is met:", ""]
        lines += [f"- {step}" for step in report["generalised"]]
    if report["small_classes"]:
        people = report["people_in_small_classes"]
        lines += ["", f"{report['small_classes']} classes have fewer than {k} people, {people} in all."]
    lines += ["", "## Smallest classes", ""]
    shown = [
        (str(c["people"]), _values(c["values"]) if c["people"] >= k else f"not told, fewer than {k}")
        for c in report["smallest_classes"]
    ]
    lines += _table_of(("people", "who look alike"), shown)
    lines += ["", "## Sensitive columns", ""]
    lines += _diversity(report["diversity"])
    lines += ["", "## Beside the previous version", ""]
    lines += _difference(report["difference"], k)
    return "\n".join(lines) + "\n"


def _values(values: dict[str, str]) -> str:
    return ", ".join(f"{c}: {v}" for c, v in values.items()) or "everybody"


def _diversity(found: dict[str, dict[str, Any]]) -> list[str]:
    """Its lines."""
    if not found:
        return ["None is released."]
    head = ("column", "distinct l", "entropy l", "classes of one value", "n/a", "people with a value of their own")
    rows = [(c, *(tables.told(v) for v in values.values())) for c, values in found.items()]
    return [
        "l: the fewest values in a class, counted, and as exp(entropy). Where a class has one value alone, whoever is "
        "known to be in it is known to have it.",
        "",
        *_table_of(head, rows),
    ]


def _difference(found: dict[str, int] | None, k: int) -> list[str]:
    """Its lines."""
    if found is None:
        return ["There is none."]
    head = ("", "people", f"with fewer than {k} alike in both versions", "alone")
    rows = [
        (kind, *(str(found[f"{kind}{end}"]) for end in ("", "_fewer_than_k", "_alone")))
        for kind in ("joined", "left", "stayed")
    ]
    return [
        "Whoever has both versions can compare them: people alike in each may differ in what changed.",
        "",
        *_table_of(head, rows),
    ]


def _table_of(head: tuple[str, ...], rows: Any) -> list[str]:
    cells = [head, ("---",) * len(head), *rows]
    return [f"| {' | '.join(str(c).replace('|', '/') for c in row)} |" for row in cells]
