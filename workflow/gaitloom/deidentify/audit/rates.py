"""How many heads may be missed, with what was seen."""

from collections.abc import Iterable
from typing import Any

from gaitloom.deidentify.audit.gate import Heads

CONFIDENCE = 0.95


def upper_bound(missed: int, seen: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided upper bound of Clopper and Pearson (Biometrika 26, 1934) on the rate at which heads are missed, of
    which `missed` were among `seen`; 1 where none was seen."""
    from scipy.stats import beta

    return float(beta.ppf(confidence, missed + 1, seen - missed)) if missed < seen else 1.0


def missed(heads: Iterable[Heads]) -> dict[str, Any]:
    """Heads that judges saw in the clip as it was, those missed in any frame, and the upper bound: a head is one, in
    however many frames it is seen, since its frames are alike."""
    every: Heads = {}
    for found in heads:
        for whose, bare in found.items():
            every[whose] = every.get(whose, False) or bare
    count = sum(every.values())
    return {"tracks": len(every), "missed": count, "upper_95": round(upper_bound(count, len(every)), 4)}
