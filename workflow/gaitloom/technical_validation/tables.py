"""Learning from a table of numbers: gradient-boosted trees and a small perceptron, sized for 50 to 400 people.

Both weigh classes inversely to their size in training, so that a rare class counts as much as a frequent one; where
little can be told, their accuracy lies below that of always saying the most frequent class. Both use one thread, so
that the same arguments give the same bytes. Where there are people to validate on, they say when to stop.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaitloom.technical_validation.learning import Rows

TREES: dict[str, Any] = {
    "learning_rate": 0.1,
    "max_iter": 100,
    "max_leaf_nodes": 4,
    "min_samples_leaf": 10,  # scikit-learn's 20 lets nothing be split where 35 people have a clip each
    "l2_regularization": 1.0,
    "max_features": 0.3,
    "n_iter_no_change": 10,
}
HIDDEN, DECAY, RATE, BATCH = 16, 20.0, 3e-3, 32
EPOCHS, PATIENCE = 60, 10  # passes over the training clips; those without a better validation before stopping
FAR = 5.0  # standard deviations; what is farther from the training mean counts as that far


@dataclass(frozen=True)
class Trees:
    """Histogram gradient boosting (scikit-learn), which takes unknown values as they are. `values` (N, F) float64."""

    values: np.ndarray
    name: str = "trees"

    def tell(self, rows: Rows, target: np.ndarray, classes: int, seed: int) -> np.ndarray:
        """As `Learner.tell`."""
        return _told(_trees, self.values, rows, target, classes, seed)


@dataclass(frozen=True)
class Perceptron:
    """One hidden layer (scikit-learn) on standardised values; unknown ones become the median, with a flag that says so.
    `values` (N, F) float64. Median, mean and spread are those of the training clips."""

    values: np.ndarray
    name: str = "perceptron"

    def tell(self, rows: Rows, target: np.ndarray, classes: int, seed: int) -> np.ndarray:
        """As `Learner.tell`."""
        return _told(_perceptron, standardised(self.values, rows.train), rows, target, classes, seed)


Fit = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, bool, int], Any]


def _told(fit: Fit, values: np.ndarray, rows: Rows, target: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """What a model fitted to the classes that training has tells; classes that it lacks have probability 0."""
    train, validation, test = rows
    if not classes:
        centre, spread = target[train].mean(), target[train].std() or 1.0
        known = (target - centre) / spread
        with _quick():
            model = fit(values[train], known[train], values[validation], known[validation], False, seed)
            return model.predict(values[test]) * spread + centre
    present = np.unique(target[train])
    told = np.zeros((len(test), classes))
    if len(present) == 1:
        told[:, present] = 1
        return told
    known, validation = np.searchsorted(present, target), validation[np.isin(target[validation], present)]
    with _quick():
        model = fit(values[train], known[train], values[validation], known[validation], True, seed)
        told[:, present] = model.predict_proba(values[test])
    return told


@contextmanager
def _quick() -> Iterator[None]:
    """One thread, and options that are not checked again for each of thousands of small steps."""
    from sklearn import config_context
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), config_context(assume_finite=True, skip_parameter_validation=True):
        yield


def _trees(x: np.ndarray, y: np.ndarray, x_stop: np.ndarray, y_stop: np.ndarray, classes: bool, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    options: dict[str, Any] = {**TREES, "early_stopping": len(y_stop) > 0, "random_state": seed}
    stop: dict[str, Any] = {"X_val": x_stop, "y_val": y_stop} if len(y_stop) else {}
    if not classes:
        return HistGradientBoostingRegressor(**options).fit(x, y, **stop)
    if len(y_stop):
        stop["sample_weight_val"] = _weights(y, y_stop)
    return HistGradientBoostingClassifier(**options).fit(x, y, sample_weight=_weights(y, y), **stop)


def _perceptron(x: np.ndarray, y: np.ndarray, x_stop: np.ndarray, y_stop: np.ndarray, classes: bool, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    options: dict[str, Any] = {
        "hidden_layer_sizes": (HIDDEN,),
        "alpha": DECAY,
        "learning_rate_init": RATE,
        "batch_size": min(BATCH, len(y)),
        "random_state": np.random.RandomState(seed),  # one that goes on, so that each pass has another order
    }
    model: Any = (MLPClassifier if classes else MLPRegressor)(**options)
    about: dict[str, Any] = {"sample_weight": _weights(y, y), "classes": np.unique(y)} if classes else {}
    weight, least, since, best = _weights(y, y_stop) if classes else None, np.inf, 0, None
    for epoch in range(EPOCHS):
        model.partial_fit(x, y, **about)
        if not len(y_stop):
            continue
        if classes:
            right = model.predict_proba(x_stop)[np.arange(len(y_stop)), y_stop]
            loss = -np.average(np.log(np.maximum(right, 1e-12)), weights=weight)
        else:
            loss = ((model.predict(x_stop) - y_stop) ** 2).mean()
        if loss < least:
            least, since = loss, epoch
            best = [[w.copy() for w in layers] for layers in (model.coefs_, model.intercepts_)]
        elif epoch - since >= PATIENCE:
            break
    if best:
        model.coefs_, model.intercepts_ = best
    return model


def _weights(train: np.ndarray, of: np.ndarray) -> np.ndarray:
    """(n,) weight of each clip of `of`: such that classes weigh the same in training, 1 on average there."""
    sizes = np.bincount(train)
    return len(train) / (np.count_nonzero(sizes) * sizes[of])


def standardised(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """(N, G) float64: columns and then flags of what is unknown, those that vary in training, each with mean 0 and
    standard deviation 1 there, and within `FAR` everywhere."""
    known = np.isfinite(values)
    seen = known[train].any(axis=0)
    median = np.zeros(values.shape[1])
    median[seen] = np.nanmedian(np.where(known, values, np.nan)[train][:, seen], axis=0)
    _, first = np.unique(known[train], axis=1, return_index=True)  # values unknown together need one flag
    columns = np.column_stack([np.where(known, values, median), ~known[:, np.sort(first)]])
    centre, spread = columns[train].mean(axis=0), columns[train].std(axis=0)
    varies = spread > 1e-9 * np.maximum(1, np.abs(centre))
    if not varies.any():
        return np.zeros((len(values), 1))
    return np.clip((columns[:, varies] - centre[varies]) / spread[varies], -FAR, FAR)
