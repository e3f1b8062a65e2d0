"""The difference between two arms from one value for each user, and its fixed-horizon interval.

A ratio metric (spend per order) becomes one value for each user by the delta method, so that all
that follows, CUPED and confidence sequences too, treats it as a mean. Next:
``confidence_sequence.py`` for an interval that may be looked at every day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """What an effect needs of one arm's users."""

    num: int
    mean: float
    variance: float
    """Of one user's value, with n - 1."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Mean of the treated arm above that of the control."""

    value: float
    deviation: float
    """Standard error of `value`."""
    control: Sample
    treated: Sample

    @property
    def num(self) -> int:
        """Users in both arms."""
        return self.control.num + self.treated.num

    @property
    def lift(self) -> float:
        """The effect as a share of the control's mean; NaN where that is 0."""
        return self.value / self.control.mean if self.control.mean else float("nan")


def sample(values: Values) -> Sample:
    """Number, mean and variance of one arm's values ``(n,)``; the variance of fewer than 2 is NaN.

    Raises
    ------
    ValueError
        When a value is missing or infinite.
    """
    if not np.isfinite(values).all():
        num = int((~np.isfinite(values)).sum())
        raise ValueError(
            f"{num} values are missing or infinite; leave those users out, or mend them"
        )
    num = len(values)
    if num == 0:
        return Sample(0, float("nan"), float("nan"))
    variance = float(np.var(values, ddof=1)) if num > 1 else float("nan")
    return Sample(num, float(np.mean(values)), variance)


def linearised(numerator: Values, denominator: Values) -> Values:
    """One value ``(n,)`` for each user whose mean is the ratio of sums, by the delta method.

    z = R + (y - R x) / mean(x) with R = sum(y) / sum(x). Its mean is R, and var(z) / n is the
    delta-method variance of R, (var(y) - 2 R cov(x, y) + R² var(x)) / (n mean(x)²), clustered by
    user: a user's many orders count as one draw (Deng, Knoblich and Lu, 2018).

    Raises
    ------
    ValueError
        When the denominators sum to 0 or less.
    """
    total = float(np.sum(denominator))
    if not total > 0:
        raise ValueError(
            f"the denominator of the ratio sums to {total:g} in an arm; give a column that counts "
            "something, such as orders"
        )
    ratio = float(np.sum(numerator)) / total
    return ratio + (numerator - ratio * denominator) / float(np.mean(denominator))


def effect(control: Values, treated: Values) -> Effect:
    """The difference of means, its standard error by unequal variances (Welch, 1947)."""
    left, right = sample(control), sample(treated)
    deviation = float("nan")
    if min(left.num, right.num) > 1:
        deviation = float(np.sqrt(left.variance / left.num + right.variance / right.num))
    return Effect(right.mean - left.mean, deviation, left, right)


def welch_interval(found: Effect, alpha: float = 0.05) -> tuple[float, float]:
    """The interval of level 1 - `alpha` for ONE look at a number of users fixed before.

    effect ± t(1 - alpha / 2, df) · deviation, df by Welch and Satterthwaite. Looked at again and
    again until it excludes 0 it errs far more often than `alpha`.
    """
    width = float(stats.t.isf(alpha / 2, _degrees(found))) * found.deviation
    return found.value - width, found.value + width


def welch_p_value(found: Effect) -> float:
    """Two-sided p-value of no effect, for one look (Welch's t-test)."""
    if not found.deviation > 0:
        return 1.0 if not found.value else float(np.isnan(found.deviation))
    return float(2 * stats.t.sf(abs(found.value) / found.deviation, _degrees(found)))


def _degrees(found: Effect) -> float:
    """Welch and Satterthwaite's degrees of freedom."""
    parts = [arm.variance / arm.num for arm in (found.control, found.treated)]
    nums = [arm.num for arm in (found.control, found.treated)]
    below = sum(part**2 / (num - 1) for part, num in zip(parts, nums, strict=True) if num > 1)
    return sum(parts) ** 2 / below if below > 0 else float("inf")
