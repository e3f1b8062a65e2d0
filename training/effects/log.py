"""What was done to whom, with what chance, and what came of it: all that a learner is given.

Letters in shapes: n rows, d features, A actions, number 0 of which is to do nothing. Effects are
always (n, A): what an action adds over nothing, so that column 0 is 0. Next: ``base.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from training.effects.base import Base

Predict = Callable[[np.ndarray], np.ndarray]
"""From features (n, d) to (n, A)."""
MIN_ROWS = 5
"""Of each action, or nothing can be fitted; ``overlap.py`` asks for more."""


@dataclass(frozen=True, slots=True)
class Log:
    """Rows of an experiment, or of decisions whose chances were logged."""

    features: np.ndarray
    """(n, d) numbers known before the action: a table's columns, or a network's user vectors. NaN
    is unknown."""
    action: np.ndarray
    """(n,) whole numbers, 0 is nothing."""
    outcome: np.ndarray
    """(n,) 0 and 1, or any value such as a profit."""
    propensity: np.ndarray
    """(n,) chance with which the row's own action was taken."""
    actions: tuple[str, ...]

    def __post_init__(self) -> None:
        num = len(self.outcome)
        if {len(self.features), len(self.action), len(self.propensity)} != {num}:
            raise ValueError(
                f"the log has {len(self.features)} rows of features, {len(self.action)} actions, "
                f"{num} outcomes and {len(self.propensity)} propensities; give one of each a row"
            )
        if not ((self.propensity > 0) & (self.propensity <= 1)).all():
            raise ValueError(
                "propensities of a log lie in (0, 1]; leave out rows whose action had no chance"
            )
        if not np.isfinite(self.outcome).all():
            raise ValueError("outcomes of a log are finite; leave out rows without one")
        for name, count in zip(self.actions, self.counts, strict=True):
            if count < MIN_ROWS:
                raise ValueError(
                    f"action {name!r} was taken {count} times and {MIN_ROWS} are needed; leave it "
                    "out or collect more"
                )

    @property
    def counts(self) -> np.ndarray:
        """Rows (A,) of each action."""
        return np.bincount(self.action, minlength=len(self.actions))

    def take(self, rows: np.ndarray) -> Log:
        """Some rows, by number or by a mask."""
        return Log(
            self.features[rows],
            self.action[rows],
            self.outcome[rows],
            self.propensity[rows],
            self.actions,
        )


class Learner(Protocol):
    """Learns from a log what each action changes for whom."""

    def __call__(self, log: Log, base: Base, rng: np.random.Generator) -> Predict:
        """Effects (n, A) as a function of features (n, d)."""


def over_nothing(means: np.ndarray) -> np.ndarray:
    """Effects (n, A) from mean outcomes (n, A) under each action."""
    return means - means[:, :1]
