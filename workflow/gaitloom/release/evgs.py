"""Edinburgh Visual Gait Score: 17 items a leg, each 0, 1 or 2, by one rater in one round.

Items, their order and the binary form (0 typical, 1 and 2 atypical) are those of the ChildGait-Video benchmark; levels
by Read et al., Journal of Pediatric Orthopaedics 2003;23:296-301.
"""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from gaitloom.release import tables

ITEMS = {
    "IC": "initial contact, stance",
    "HL": "heel lift, stance",
    "SAD": "greatest ankle dorsiflexion, stance",
    "WAD": "greatest ankle dorsiflexion, swing",
    "HVV": "hind-foot varus or valgus, stance",
    "FRT": "foot rotation, stance",
    "FCL": "foot clearance, swing",
    "KPA": "knee progression angle, mid-stance",
    "KEX": "peak knee extension, stance",
    "KPS": "knee in terminal swing",
    "KFX": "peak knee flexion, swing",
    "HEX": "peak hip extension, stance",
    "HFX": "peak hip flexion, swing",
    "POB": "pelvic obliquity, mid-stance",
    "PRT": "pelvic rotation, mid-stance",
    "TSG": "peak sagittal trunk position, stance",
    "TLT": "greatest lateral shift of the trunk",
}
NS = "ns"
SEVERITY = ("typical", "moderate", "marked")
LEVELS = {"0": "typical", "1": "moderate deviation", "2": "marked deviation", NS: "not scorable"}
COLUMNS = {
    "side": tables.one_of("L", "R"),
    "round": tables.one_of(*map(str, range(1, 10))),
    **dict.fromkeys(ITEMS, tables.one_of(*LEVELS)),
}
WHO = ("rater", "round")
ABOUT: dict[str, dict[str, Any]] = {
    "side": {"LongName": "Side", "Description": "The person's own side.", "Levels": {"L": "left", "R": "right"}},
    **{c: {"LongName": c, "Description": f"EVGS item: {what}.", "Levels": LEVELS} for c, what in ITEMS.items()},
    "rater": {"LongName": "Rater", "Description": "Code of who scored."},
    "round": {"LongName": "Round", "Description": "Which time this rater scored, from 1."},
    "scored": {"LongName": "Items scored", "Description": "Number of items with a score, of 17."},
    "total": {"LongName": "Total", "Description": "Sum of the items, 0 to 34; n/a unless all 17 are scored."},
    "severity": {
        "LongName": "Severity",
        "Description": "The worst item's level; n/a unless all 17 are scored.",
        "Levels": dict(zip(SEVERITY, ("all items 0", "some item 1, none 2", "some item 2"), strict=True)),
    },
    **{
        f"{c}_atypical": {
            "LongName": f"{c}, binary",
            "Description": f"EVGS item in two levels: {what}.",
            "Levels": {"0": "typical (0)", "1": "atypical (1 or 2)"},
        }
        for c, what in ITEMS.items()
    },
}
KAPPA: dict[str, dict[str, Any]] = {
    "item": {"LongName": "Item", "Description": "EVGS item."},
    "between": {
        "LongName": "Between",
        "Description": "What is compared.",
        "Levels": {"raters": "two raters in one round", "rounds": "two rounds of one rater"},
    },
    "first": {"LongName": "First", "Description": "Rater and round."},
    "second": {"LongName": "Second", "Description": "Rater and round."},
    "n": {"LongName": "Legs", "Description": "Number of legs that both scored."},
    "agreement": {"LongName": "Agreement", "Description": "Share of legs with the same score.", "Units": "1"},
    "kappa_linear": {
        "LongName": "Weighted kappa, linear",
        "Description": "Cohen 1968; weights |i - j|; n/a where both gave one same score throughout.",
    },
    "kappa_quadratic": {
        "LongName": "Weighted kappa, quadratic",
        "Description": "Cohen 1968; weights (i - j)²; n/a where both gave one same score throughout.",
    },
}


def scores(table: pd.DataFrame) -> pd.DataFrame:
    """(N, 17) float: 0, 1, 2; NaN where not scorable or empty."""
    return table[list(ITEMS)].replace(NS, None).apply(tables.numeric)


def completed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with `scored`, `total`, `severity` and the binary items, whole numbers as text."""
    found = scores(table)
    whole = found.notna().all(axis=1)
    worst = found.max(axis=1).where(whole)
    derived = {
        "scored": found.notna().sum(axis=1).astype(str),
        "total": found.sum(axis=1).where(whole),
        "severity": worst.map(dict(enumerate(SEVERITY))),
        **{f"{c}_atypical": (found[c] > 0).astype(float).where(found[c].notna()) for c in ITEMS},
    }
    return table.assign(**derived)


def weighted_kappa(first: np.ndarray, second: np.ndarray, power: int) -> float:
    """Weighted kappa (Cohen 1968, Psychological Bulletin 70:213-220) of two raters' (N,) scores, with disagreement
    |i - j| ** power: 1 - observed / expected by chance. NaN where chance would not disagree either."""
    observed = (np.abs(first - second) ** power).mean() if len(first) else np.nan
    expected = (np.abs(first[:, None] - second) ** power).mean() if len(first) else np.nan
    return float(1 - observed / expected) if expected > 0 else float("nan")


def kappa(table: pd.DataFrame, legs: list[str]) -> pd.DataFrame:
    """Agreement of every two raters within a round, and of every two rounds of a rater, item by item; columns as in
    `KAPPA`, no rows where nobody scored twice. `legs` are the columns that say which leg it is."""
    who = [table[c].fillna("").to_numpy() if c in table else np.full(len(table), "") for c in WHO]
    found = scores(table).set_axis(pd.MultiIndex.from_frame(table[legs].fillna("")), axis=0)
    keys = sorted(set(zip(*who, strict=True)))
    readings = {key: found[(who[0] == key[0]) & (who[1] == key[1])] for key in keys}
    rows = []
    for first, second in combinations(readings, 2):
        if (first[0] == second[0]) == (first[1] == second[1]):
            continue  # another rater in another round says neither
        a, b = readings[first].align(readings[second], join="inner", axis=0)
        for item in ITEMS if len(a) else ():
            both = (a[item].notna() & b[item].notna()).to_numpy()
            x, y = a[item].to_numpy()[both], b[item].to_numpy()[both]
            same = float((x == y).mean()) if len(x) else float("nan")
            between = "rounds" if first[0] == second[0] else "raters"
            measured = (str(len(x)), round(same, 4), *(round(weighted_kappa(x, y, power), 4) for power in (1, 2)))
            rows.append((item, between, *(" ".join(filter(None, key)) for key in (first, second)), *measured))
    return pd.DataFrame(rows, columns=list(KAPPA))
