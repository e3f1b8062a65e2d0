"""Gamma-Gamma: what a shopper's next purchase is worth, from the mean of those before.

The values of a shopper's purchases are Gamma(p, nu), and nu is Gamma(q, v) over shoppers; the mean
of few purchases is therefore drawn towards everybody's (Fader and Hardie, "The Gamma-Gamma Model of
Monetary Value", 2013). How much and how often are taken as independent. Next:
``buy_till_you_die.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """A fitted model."""

    p: float
    q: float
    v: float

    @classmethod
    def fit(cls, number: np.ndarray, mean: np.ndarray) -> Self:
        """The likeliest parameters for shoppers of `number` (n,) purchases worth `mean` (n,) each.

        Both are above 0. q stays above 1, where a mean over shoppers exists.
        """

        def loss(logs: np.ndarray) -> float:
            p, over, v = np.exp(logs)
            return -float(cls(p, 1.0 + over, v).log_likelihood(number, mean).mean())

        start = np.log([2.0, 2.0, 2.0 * max(float(np.mean(mean)), 1e-9)])
        bounds = [(one - 9.0, one + 9.0) for one in start]
        p, over, v = np.exp(minimize(loss, start, method="L-BFGS-B", bounds=bounds).x)
        return cls(float(p), 1.0 + float(over), float(v))

    def log_likelihood(self, number: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Log density (n,) of each mean (equation 1a of the note)."""
        p, q, v = self.p, self.q, self.v
        shape = p * number
        return np.asarray(
            gammaln(shape + q) - gammaln(shape) - gammaln(q)
            + q * np.log(v) + (shape - 1) * np.log(mean) + shape * np.log(number)
            - (shape + q) * np.log(number * mean + v)
        )  # fmt: skip

    def expected(self, number: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Worth (n,) of the next purchase: a mean of the shopper's and everybody's (equation 5)."""
        total = self.p * (self.v + number * mean)
        return np.asarray(total / (self.p * number + self.q - 1))
