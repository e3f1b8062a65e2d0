"""Numbers of several sources side by side, with intervals over shoppers and paired differences.

Next: ``measure.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from training.evaluate.answers import MODEL
from training.metrics.bootstrap import interval, replicates

LOWER_IS_BETTER = frozenset(
    {"log_loss", "brier", "ece", "days_error", "deviance", "rmse", "mae", "total_error"}
)


@dataclass(frozen=True, slots=True)
class Number:
    """A measured value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """The model minus the floor that is hardest to beat, on the same draws of shoppers."""

    floor: str
    value: float
    low: float
    high: float
    verdict: str
    """better, worse, or "not told apart" when the interval holds 0."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Numbers by source and metric, and the difference by metric."""

    num_examples: int
    num_shoppers: int
    sources: dict[str, dict[str, Number]]
    differences: dict[str, Difference]

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)


Measure = Callable[[np.ndarray], Mapping[str, Mapping[str, float]]]
"""From row indices (possibly repeated) to numbers by source and metric."""


@dataclass(frozen=True, slots=True)
class Draws:
    """How many times shoppers are drawn anew, and from which seed."""

    num_bootstrap: int
    seed: int = 0


def compare(measure: Measure, users: np.ndarray, draws: Draws) -> Comparison:
    """`measure` all rows, and again on draws of their `users` (n,)."""
    whole = measure(np.arange(len(users)))
    keys = [(source, metric) for source, found in whole.items() for metric in found]

    def flat(rows: np.ndarray) -> np.ndarray:
        found = measure(rows)
        return np.array([found[source][metric] for source, metric in keys])

    rng = np.random.default_rng(draws.seed)
    drawn = replicates(flat, users, draws.num_bootstrap, rng)
    columns = {key: drawn[:, place] for place, key in enumerate(keys)}
    sources: dict[str, dict[str, Number]] = {}
    for source, metric in keys:
        low, high = interval(columns[source, metric])
        sources.setdefault(source, {})[metric] = Number(whole[source][metric], low, high)
    differences = {
        metric: _difference(metric, whole, columns) for metric in whole[MODEL] if len(whole) > 1
    }
    return Comparison(len(users), len(np.unique(users)), sources, differences)


def _difference(
    metric: str,
    whole: Mapping[str, Mapping[str, float]],
    columns: Mapping[tuple[str, str], np.ndarray],
) -> Difference:
    """The model against the floor that is best on these very rows: the hardest choice."""
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    floors = [source for source in whole if source != MODEL]
    best = max(floors, key=lambda source: sign * np.nan_to_num(whole[source][metric], nan=-np.inf))
    low, high = interval(columns[MODEL, metric] - columns[best, metric])
    value = whole[MODEL][metric] - whole[best][metric]
    return Difference(best, value, low, high, _verdict(sign * low, sign * high))


def _verdict(one: float, other: float) -> str:
    """In words, for the ends of an interval in which above 0 is better."""
    if min(one, other) > 0:
        return "better"
    return "worse" if max(one, other) < 0 else "not told apart"
