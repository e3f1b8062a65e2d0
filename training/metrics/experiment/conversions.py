"""How many times as likely a conversion is in one arm as in the other, exactly and at all times.

Given that a user converts, the arm is the treated one with probability

    theta = share r / (share r + 1 - share),   r = rate treated / rate control,

so the conversions alone are coin tosses, whatever the rates are and however they drift with time.
The beta mixture of ``sample_ratio.py`` bounds theta, and so r (Lindon and Malek, "Anytime-valid
inference for multinomial count data", 2022). It needs no large numbers: one conversion is enough to
be right, if not to be sharp. Next: ``corrections.py``.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import betaln

from training.metrics.experiment import sample_ratio

WEIGHT = 100.0
"""Of the mixture, in conversions: narrowest for rates some 10 to 30 % above or below."""
_FAR = 40.0
"""In log odds: beyond any rate that counts can tell."""


def rate_ratio_interval(
    control: int, treated: int, share: float, alpha: float = 0.05
) -> tuple[float, float]:
    """Covers rate treated / rate control at every look at once with probability 1 - `alpha`.

    Parameters
    ----------
    control, treated
        Conversions of each arm so far.
    share
        The treated arm's share of the users of these two arms, as they are assigned.
    """
    told = betaln(WEIGHT * share + treated, WEIGHT * (1 - share) + control)
    told -= betaln(WEIGHT * share, WEIGHT * (1 - share))

    def outside(log_odds: float) -> float:
        """Above 0 where the evidence against these odds of the treated arm exceeds 1 / alpha."""
        likelihood = -treated * _softplus(-log_odds) - control * _softplus(log_odds)
        return float(told - likelihood + math.log(alpha))

    middle = math.log((treated + 0.5) / (control + 0.5))
    low = brentq(outside, -_FAR, middle) if outside(-_FAR) > 0 else -math.inf
    high = brentq(outside, middle, _FAR) if outside(_FAR) > 0 else math.inf
    fair = math.log(share / (1 - share))
    return math.exp(low - fair), math.exp(high - fair)


def p_value(control: int, treated: int, share: float) -> float:
    """P-value of equal rates, at any time of stopping: conversions fall by the share of users."""
    evidence = sample_ratio.log_evidence([control, treated], [1 - share, share], WEIGHT)
    return min(1.0, math.exp(-evidence))


def _softplus(value: float) -> float:
    """log(1 + exp(value)) without overflow."""
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))
