"""What learns: anything that is shown some people's clips with their target and then tells that of others."""

from typing import NamedTuple, Protocol

import numpy as np


class Rows(NamedTuple):
    """Which of the N clips are learned from, which say when to stop, and which are told: (n,) int64 each, and no person
    in two of them. `validation` may be empty."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


class Learner(Protocol):
    """One way of learning, with its N clips."""

    @property
    def name(self) -> str:
        """As it stands in the table of results."""
        ...

    def tell(self, rows: Rows, target: np.ndarray, classes: int, seed: int) -> np.ndarray:
        """Learn afresh and tell the target of `rows.test`.

        `target` (N,) is int64, the number of one of the `classes`, or float64 where `classes` is 0; at `rows.test` it
        is -1 or NaN, so that nobody can peek. Returns (len(test), classes) float64 probabilities, each row's sum 1, or
        (len(test),) float64; NaN for a clip that says nothing, such as one without pictures: it is not told. Same
        arguments, same answer.
        """
        ...
