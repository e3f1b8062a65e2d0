"""Intervals that hold at all times at once: look every day, stop when you like.

Asymptotic confidence sequences of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform
central limit theory and asymptotic confidence sequences" (2021; Annals of Statistics 2024). The
two-sided test is the mixture sequential probability ratio test of Johari, Koomen, Pekelis and Walsh
(2017, 2022) with a normal mixture. They hold from a first look with enough users on, for means,
proportions (the mean of 0 and 1), ratios (``effects.linearised``) and after CUPED.
Next: ``conversions.py`` for a sequence that is exact with few conversions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import lambertw

from training.metrics.experiment.effects import Effect, Values

FIRST_LOOK = 100
"""Users an arm needs before anything is concluded: the theory is of large numbers."""
FIRST_CHANGES = 20
"""Users of an arm whose value is not its commonest (who bought, say), likewise."""


def may_look(outcomes: Sequence[Values]) -> bool:
    """Whether each arm's plain outcomes are numerous enough to conclude from, by the two above."""
    return all(len(arm) >= FIRST_LOOK and _num_apart(arm) >= FIRST_CHANGES for arm in outcomes)


def _num_apart(values: Values) -> int:
    """Users whose value is not the commonest."""
    return len(values) - int(np.unique(values, return_counts=True)[1].max())


def tuning(planned_num: int, alpha: float = 0.05) -> float:
    """rho², for which the sequence is narrowest near `planned_num` users in all arms together.

    rho² = (-W₋₁(-alpha² / e) - 1) / n, W₋₁ the lower branch of Lambert's function. It must be
    chosen before the data: a number planned, never the number found.
    """
    if planned_num < 1:
        raise ValueError(f"planned_num is {planned_num}; plan at least 1 user")
    return (-float(lambertw(-(alpha**2) / math.e, -1).real) - 1.0) / planned_num


def interval(found: Effect, rho2: float, alpha: float = 0.05) -> tuple[float, float]:
    """Covers the true effect at every look at once with probability 1 - `alpha`.

    effect ± deviation · sqrt(2 (n rho² + 1) / (n rho²) · log(sqrt(n rho² + 1) / alpha)), n the
    users of both arms: the paper's theorem 2.2 with sigma = deviation · sqrt(n). Without a
    deviation it is the whole line.
    """
    return _around(found, width(found.num * rho2, alpha))


def p_value(found: Effect, rho2: float) -> float:
    """The level at which :func:`interval` just touches 0: valid at any time of stopping.

    p = min(1, sqrt(n rho² + 1) · exp(-z² n rho² / (2 (n rho² + 1)))), z = effect / deviation; 1 / p
    is the mixture likelihood ratio.
    """
    if not found.deviation > 0:
        return 1.0
    scale = found.num * rho2
    z2 = (found.value / found.deviation) ** 2
    log_p = 0.5 * math.log1p(scale) - z2 * scale / (2 * (scale + 1))
    return min(1.0, math.exp(log_p))


def upper_bound(found: Effect, rho2: float, alpha: float = 0.05) -> float:
    """Lies above the true effect at every look at once with probability 1 - `alpha`.

    The one-sided sequence (the paper's appendix B.1): log(1 + sqrt(n rho² + 1) / (2 alpha)) takes
    the place of the two-sided logarithm. Infinite without a deviation.
    """
    return _around(found, _one_sided(found.num * rho2, alpha))[1]


def lower_bound(found: Effect, rho2: float, alpha: float = 0.05) -> float:
    """Lies below the true effect at every look at once with probability 1 - `alpha`."""
    return _around(found, _one_sided(found.num * rho2, alpha))[0]


def width(scale: float, alpha: float) -> float:
    """Half the interval in deviations, at `scale` = n rho²; one for a single look has 1.96."""
    return math.sqrt(2 * (scale + 1) / scale * (0.5 * math.log1p(scale) - math.log(alpha)))


def _one_sided(scale: float, alpha: float) -> float:
    return math.sqrt(2 * (scale + 1) / scale * math.log1p(math.sqrt(scale + 1) / (2 * alpha)))


def _around(found: Effect, width: float) -> tuple[float, float]:
    if not found.deviation > 0:
        return -math.inf, math.inf
    return found.value - width * found.deviation, found.value + width * found.deviation
