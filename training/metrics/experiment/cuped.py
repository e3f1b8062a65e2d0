"""CUPED: what was known of each user before the experiment takes noise out of the outcome.

Deng, Xu, Kohavi and Walker, "Improving the sensitivity of online controlled experiments by
utilizing pre-experiment data" (2013). Next: ``effects.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.metrics.experiment.effects import Values


@dataclass(frozen=True, slots=True)
class Adjusted:
    """Outcomes with what could be told before taken out."""

    values: list[Values]
    """By arm, as given; their means differ by the same effect as before."""
    variance_cut: float
    """Share of the variance within arms that is gone: the squared correlation."""


def adjust(values: Sequence[Values], before: Sequence[Values]) -> Adjusted:
    """y - theta (x - mean(x)), theta = cov(x, y) / var(x) pooled within the arms.

    `before` holds a value from before the first exposure for each of `values`, by arm: spend in
    the weeks before, say. The variance that is left is (1 - corr²) of what it was. Within arms, so
    that a true effect does not leak into theta.

    Raises
    ------
    ValueError
        When the two differ in their numbers of users.
    """
    if [len(arm) for arm in values] != [len(arm) for arm in before]:
        raise ValueError("outcomes and earlier values differ in number; give one of each a user")
    inside = np.concatenate([arm - arm.mean() if len(arm) else arm for arm in values])
    earlier = np.concatenate([arm - arm.mean() if len(arm) else arm for arm in before])
    power, total = float(earlier @ earlier), float(inside @ inside)
    if power == 0 or total == 0:
        return Adjusted([np.array(arm) for arm in values], 0.0)
    shared = float(earlier @ inside)
    middle = float(np.concatenate(before).mean())
    kept = [y - shared / power * (x - middle) for y, x in zip(values, before, strict=True)]
    return Adjusted(kept, shared**2 / (power * total))
