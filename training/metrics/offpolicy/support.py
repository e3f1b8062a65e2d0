"""Whether a log can tell what a policy would earn: overlap, effective sample size, and refusals.

Next: ``estimates.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from training.metrics.offpolicy.estimators import weights

MIN_EFFECTIVE = 100.0
"""Rows that a log must be worth before policies are ranked by it."""
MAX_UNSEEN = 0.01
"""Share of the policy's choices that may fall on actions which the log never took."""
MAX_OFF = 4.0
"""Standard errors by which the mean weight may miss 1."""
LEAST_OFF = 0.02
"""And by how much at least: a large log sees differences that do not matter."""


@dataclass(frozen=True, slots=True)
class Support:
    """How far a log reaches for one policy."""

    num_rows: int
    effective: float
    """(sum w)^2 / sum w^2 (Kish, 1965): so many rows of the policy's own log are worth as much."""
    max_weight: float
    mean_weight: float
    """1 but for chance, where propensities are right and cover the policy."""
    mean_weight_error: float
    """Its standard error."""
    unseen: float
    """Share of the policy's choices on actions that the log never took."""
    needed: int
    """Rows of actions drawn evenly at random, which would be worth ``MIN_EFFECTIVE``."""

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why the data cannot tell, with what to collect; empty when it can."""
        found = []
        collect = f"collect about {self.needed:,} decisions with actions drawn evenly at random"
        if self.effective < MIN_EFFECTIVE:
            found.append(
                f"its {self.num_rows:,} rows are worth {self.effective:,.1f} for this policy, "
                f"{MIN_EFFECTIVE:.0f} are needed (greatest weight {self.max_weight:,.1f}): "
                f"{collect}"
            )
        if self.unseen > MAX_UNSEEN:
            found.append(
                f"{100 * self.unseen:.1f} % of the policy's choices fall on actions that the log "
                f"never took: {collect}, these among them"
            )
        elif self._is_off:
            found.append(
                f"the weights average {self.mean_weight:.3f} ± {self.mean_weight_error:.3f} and "
                "should average 1: the logged propensities are not those that were used, or the "
                "policy does what the log could not; check the propensities"
            )
        return tuple(found)

    @property
    def _is_off(self) -> bool:
        off = abs(self.mean_weight - 1.0)
        return off > LEAST_OFF and off > MAX_OFF * self.mean_weight_error

    def check(self) -> None:
        """Go on only where the data can tell.

        Raises
        ------
        ValueError
            With all that stands against it.
        """
        if self.refusals:
            raise ValueError(
                f"the data cannot tell what this policy earns, since {' and '.join(self.refusals)}"
                "; until then keep the policy that there is"
            )


def support(actions: np.ndarray, propensities: np.ndarray, target: np.ndarray) -> Support:
    """The reach of the log for the policy `target` (n, A); see ``estimators.py`` for the rest."""
    w, num = weights(actions, propensities, target), len(actions)
    seen = np.bincount(actions, minlength=target.shape[1]) > 0
    squares = float((w**2).sum())
    evenly = target.shape[1] * float((target**2).sum(axis=1).mean())
    return Support(
        num_rows=num,
        effective=float(w.sum()) ** 2 / squares if squares else 0.0,
        max_weight=float(w.max()),
        mean_weight=float(w.mean()),
        mean_weight_error=float(w.std() / math.sqrt(num)),
        unseen=float(target[:, ~seen].sum() / num),
        needed=math.ceil(MIN_EFFECTIVE * max(evenly, 1.0)),
    )


def check_log(
    rewards: np.ndarray, actions: np.ndarray, propensities: np.ndarray, target: np.ndarray
) -> None:
    """Refuse arrays that are no log and no policy.

    Raises
    ------
    ValueError
        With the number of rows and the first value that is wrong.
    """
    num = len(rewards)
    if not (len(actions) == len(propensities) == len(target) == num > 0):
        raise ValueError(
            f"there are {num} rewards, {len(actions)} actions, {len(propensities)} propensities "
            f"and {len(target)} rows of the policy; give one of each for every decision"
        )
    for name, wrong, rule in (
        ("reward", ~np.isfinite(rewards), "give finite numbers"),
        ("propensity", ~((propensities > 0) & (propensities <= 1)), "it must lie in (0, 1]"),
        ("action", (actions < 0) | (actions >= target.shape[1]), "number them from 0"),
        ("policy's chance", ((target < 0) | (target > 1 + 1e-9)).any(axis=1), "give 0 to 1"),
        ("policy's sum", target.sum(axis=1) > 1 + 1e-6, "chances of a row sum to 1"),
    ):
        if wrong.any():
            raise ValueError(
                f"the {name} is wrong in {int(wrong.sum()):,} of {num:,} rows, the first is row "
                f"{int(np.argmax(wrong)):,} ({rule}); mend these rows or leave them out"
            )
