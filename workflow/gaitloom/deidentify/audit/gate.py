"""What a gate says."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

GATES: tuple[str, ...] = ("coverage", "application", "squint", "outside", "heads", "time")
GREEN, RED, NOT_RUN = "green", "red", "not run"
# Heads found in the clip as it was, by whose they are, and whether one of them was missed.
Heads = dict[Any, bool]


@dataclass(frozen=True)
class Finding:
    """A place to look at: `box` (4,) in frame `frame`, the ledger's track there (-1: nobody's), the judges' score.
    One that is not `red` is only listed."""

    frame: int
    box: np.ndarray
    track: int
    score: float
    red: bool


@dataclass(frozen=True)
class Gate:
    """The result, one of green, red and not run; its numbers, as attributes of the node; and its findings."""

    result: str
    numbers: dict[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    heads: Heads = field(default_factory=dict)

    @property
    def attributes(self) -> dict[str, Any]:
        """As the node has it."""
        return {"result": self.result, **self.numbers}

    def noting(self, **numbers: Any) -> "Gate":
        """The same gate with further numbers."""
        return replace(self, numbers={**self.numbers, **numbers})


def verdict(findings: Iterable[Finding], numbers: dict[str, Any], heads: Heads | None = None) -> Gate:
    """Red where a finding is."""
    every = tuple(sorted(findings, key=lambda f: (f.frame, not f.red, *f.box.tolist())))
    red = sum(f.red for f in every)
    about = {**numbers, "red": red, "listed": len(every) - red}
    return Gate(RED if red else GREEN, about, every, heads or {})


def most(owners: Sequence[int | None], nobody: str) -> Any:
    """Whose a row of hits is: the ledger's track that most of them are on; `nobody` where none is on any."""
    known = [owner for owner in owners if owner is not None and owner >= 0]
    return max(sorted(set(known)), key=known.count) if known else nobody


def not_run(reason: str) -> Gate:
    """A gate without a judge, or one that cannot be believed."""
    return Gate(NOT_RUN, {"reason": reason})
