"""How sure the mean of several trainings is: other shoppers would change it, and other seeds.

Next: ``../evaluate``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import t


def over_seeds(
    values: Sequence[float], lows: Sequence[float], highs: Sequence[float]
) -> tuple[float, float, float]:
    """Mean of what S seeds gave (S,), each with the 95 % interval of its shoppers, and its own.

    The margin of shoppers is the seeds' mean margin, as if all of them erred the same way (they are
    asked about the same shoppers); that of seeds is Student's with S - 1 degrees of freedom. The
    two are added as squares (MOVER: Zou and Donner, 2008). An end on the wrong side of its value,
    as noise brings forth where it pushes draws one way, is no margin. One seed keeps its interval.
    """
    mean, num = float(np.mean(values)), len(values)
    if num == 1:
        return mean, float(lows[0]), float(highs[0])
    of_seeds = t.ppf(0.975, num - 1) * np.std(values, ddof=1) / np.sqrt(num)
    below, above = np.maximum([mean - np.mean(lows), np.mean(highs) - mean], 0.0)
    return mean, float(mean - np.hypot(below, of_seeds)), float(mean + np.hypot(above, of_seeds))
