"""How many users an experiment needs, and what chance it has of finding an effect.

Next: ``effects.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from training.metrics.experiment.confidence_sequence import tuning, width
from training.metrics.experiment.effects import Values, linearised


@dataclass(frozen=True, slots=True)
class Design:
    """An effect to be found between two arms, and the noise of it at one user in all."""

    effect: float
    variance: float
    """n times the variance of the difference of means, n the users of both arms."""
    null_variance: float
    """The same if there were no effect."""

    def __post_init__(self) -> None:
        if not self.effect:
            raise ValueError("an effect of 0 needs endless users; name the least one worth finding")
        if not self.variance > 0:
            raise ValueError(
                f"the metric's variance is {self.variance:g}; choose a metric that differs between "
                "users"
            )


def mean_design(effect: float, variance: float, share: float = 0.5) -> Design:
    """For a mean: var (1 / share + 1 / (1 - share)), `share` of the users in the treated arm.

    A ratio metric is a mean of ``effects.linearised`` values: give :func:`ratio_variance`.
    """
    noise = variance * (1 / share + 1 / (1 - share))
    return Design(effect, noise, noise)


def proportion_design(control: float, effect: float, share: float = 0.5) -> Design:
    """For a proportion of `control` without treatment (Fleiss, Levin and Paik, 2003, 4.2).

    Pooled variance without an effect, separate ones with it.

    Raises
    ------
    ValueError
        When a proportion leaves 0..1.
    """
    treated = control + effect
    if not (0 < control < 1 and 0 < treated < 1):
        raise ValueError(
            f"proportions of {control:g} and {treated:g} must lie between 0 and 1; choose a "
            "smaller effect"
        )
    pooled = share * treated + (1 - share) * control
    alone = treated * (1 - treated) / share + control * (1 - control) / (1 - share)
    return Design(effect, alone, pooled * (1 - pooled) * (1 / share + 1 / (1 - share)))


def ratio_variance(numerator: Values, denominator: Values) -> float:
    """Variance of one user's part in a ratio of sums, by the delta method (Deng et al., 2018)."""
    return float(np.var(linearised(numerator, denominator), ddof=1))


def power(design: Design, num: float, alpha: float = 0.05) -> float:
    """Chance that a two-sided test at `num` users in both arms tells the effect from 0.

    Phi((|effect| sqrt(n) - z sigma0) / sigma1) + Phi((-|effect| sqrt(n) - z sigma0) / sigma1).
    """
    edge = norm.isf(alpha / 2) * math.sqrt(design.null_variance)
    signal = abs(design.effect) * math.sqrt(num)
    noise = math.sqrt(design.variance)
    return float(norm.cdf((signal - edge) / noise) + norm.cdf((-signal - edge) / noise))


def num_users(design: Design, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Users in both arms for a test at one look: ((z sigma0 + z' sigma1) / effect)², rounded up."""
    reach = norm.isf(alpha / 2) * math.sqrt(design.null_variance)
    reach += norm.ppf(power) * math.sqrt(design.variance)
    return math.ceil((reach / design.effect) ** 2)


def num_users_always_valid(design: Design, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Users at which a confidence sequence tuned for them has this power at that one look.

    The root n of |effect| sqrt(n) = w sigma0 + z' sigma1, w the sequence's width in deviations. It
    usually tells earlier: every look before counts too.
    """
    reach = width(tuning(1, alpha), alpha) * math.sqrt(design.null_variance) + norm.ppf(
        power
    ) * math.sqrt(design.variance)
    return math.ceil((reach / design.effect) ** 2)


def least_effect(design: Design, num: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The effect that `num` users in both arms tell with this power, by the design's noise."""
    return float((norm.isf(alpha / 2) + norm.ppf(power)) * math.sqrt(design.variance / num))
