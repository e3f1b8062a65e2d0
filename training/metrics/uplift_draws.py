"""Uplift metrics of several scores side by side, with bootstrap intervals and paired differences.

Next: ``offpolicy.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.metrics.bootstrap import draw_counts, interval
from training.metrics.uplift import (
    SHARES,
    Ranked,
    perfect_qini_ranking,
    perfect_uplift_ranking,
    uplift_metrics,
)


@dataclass(frozen=True, slots=True)
class Trial:
    """What happened to treated and control, (n,) each; see :class:`Ranked`."""

    outcome: np.ndarray
    treated: np.ndarray
    propensity: np.ndarray | None = None
    users: np.ndarray | None = None
    """Whose row it is, where somebody has several; None: each row is one."""

    @property
    def is_binary(self) -> bool:
        """Whether every outcome is 0 or 1."""
        return bool(np.isin(self.outcome, (0, 1)).all())


@dataclass(frozen=True, slots=True)
class Drawn:
    """A number, its 95 % bootstrap interval, and the replicates behind it (num_bootstrap,)."""

    value: float
    low: float
    high: float
    replicates: np.ndarray

    def minus(self, other: Drawn) -> Drawn:
        """The difference, on the same draws."""
        return _drawn(self.value - other.value, self.replicates - other.replicates)


def measure(
    scores: Mapping[str, np.ndarray],
    trial: Trial,
    *,
    shares: Sequence[float] = SHARES,
    num_bootstrap: int = 200,
    seed: int = 0,
) -> dict[str, dict[str, Drawn]]:
    """Metrics by score and name; all scores are measured on the same draws of users.

    Raises
    ------
    ValueError
        When there are no treated or no control rows.
    """
    num_treated, num = int((trial.treated == 1).sum()), len(trial.outcome)
    if not 0 < num_treated < num:
        raise ValueError(
            f"{num_treated:,} of {num:,} rows were treated; uplift needs treated and control rows"
        )
    given = (trial.outcome, trial.treated, trial.propensity)
    rankings = {name: Ranked.by(score, *given) for name, score in scores.items()}
    perfect = (perfect_qini_ranking(*given), perfect_uplift_ranking(*given))

    def all_metrics(counts: np.ndarray | None) -> dict[str, dict[str, float]]:
        best_qini, best_uplift = (
            ranking.sums(counts) if trial.is_binary else None for ranking in perfect
        )
        return {
            name: uplift_metrics(ranked.sums(counts), best_qini, best_uplift, shares)
            for name, ranked in rankings.items()
        }

    users = np.arange(num) if trial.users is None else trial.users
    rng = np.random.default_rng(seed)
    drawn = [all_metrics(counts) for counts in draw_counts(users, num_bootstrap, rng)]
    return {
        name: {
            metric: _drawn(value, np.array([one[name][metric] for one in drawn]))
            for metric, value in found.items()
        }
        for name, found in all_metrics(None).items()
    }


def _drawn(value: float, replicates: np.ndarray) -> Drawn:
    return Drawn(value, *interval(replicates), replicates)
