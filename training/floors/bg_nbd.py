"""BG/NBD: how a shopper's purchases go on, from when they came, and whether they still come.

While alive, purchases come at a rate of the shopper's own, which is Gamma(r, alpha) over shoppers;
after each one the shopper leaves for good with a chance that is Beta(a, b) over shoppers (Fader,
Hardie and Lee, "Counting Your Customers the Easy Way", Marketing Science 2005). By hand, as the
libraries that have it are no longer kept. Next: ``gamma_gamma.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, hyp2f1


class Purchases(NamedTuple):
    """All that the model sees of shoppers (n,), in one unit of time."""

    repeats: np.ndarray
    """x: purchases after the first."""
    last: np.ndarray
    """t_x: from the first to the last one, 0 without a repeat."""
    age: np.ndarray
    """T: from the first one to the moment of asking."""


@dataclass(frozen=True, slots=True)
class BgNbd:
    """A fitted model."""

    r: float
    alpha: float
    a: float
    b: float

    @classmethod
    def fit(cls, seen: Purchases) -> Self:
        """The parameters under which `seen` is likeliest; unequal ages are no matter."""

        def loss(logs: np.ndarray) -> float:
            return -float(cls(*np.exp(logs)).log_likelihood(seen).mean())

        typical = max(float(np.mean(seen.age)), 1e-9)
        start = np.log([0.5, 0.25 * typical, 1.0, 2.0])
        bounds = [(one - 9.0, one + 9.0) for one in start]
        found = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
        return cls(*map(float, np.exp(found.x)))

    def log_likelihood(self, seen: Purchases) -> np.ndarray:
        """Log density (n,) of each shopper's purchases (equation 6 of the paper)."""
        return np.asarray(np.logaddexp(*self._alive_and_left(seen, 0.0)))

    def alive(self, seen: Purchases) -> np.ndarray:
        """Chance (n,) that the shopper has not left at the moment of asking."""
        alive, left = self._alive_and_left(seen, 0.0)
        return np.asarray(np.exp(alive - np.logaddexp(alive, left)))

    def none_within(self, seen: Purchases, ahead: float) -> np.ndarray:
        """Chance (n,) of no purchase within `ahead` from now: left already, or alive and silent.

        (A(T + ahead) + B) / (A(T) + B), with A and B the densities of what was seen for those alive
        until then without another purchase, and for those who left after the last.
        """
        alive, left = self._alive_and_left(seen, 0.0)
        silent, _ = self._alive_and_left(seen, ahead)
        return np.asarray(np.exp(np.logaddexp(silent, left) - np.logaddexp(alive, left)))

    def expected(self, seen: Purchases, ahead: float) -> np.ndarray:
        """Purchases (n,) to be expected within `ahead` from now (equation 10)."""
        x, _, age = seen
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        gone = ((alpha + age) / (alpha + age + ahead)) ** (r + x)
        series = hyp2f1(r + x, b + x, a + b + x - 1, ahead / (alpha + age + ahead))
        while_alive = (a + b + x - 1) / (a - 1) * (1.0 - gone * series)
        return np.asarray(while_alive * self.alive(seen))

    def _alive_and_left(self, seen: Purchases, ahead: float) -> tuple[np.ndarray, np.ndarray]:
        """Log of A(T + ahead) and of B, see :meth:`none_within`; B is 0 without a repeat."""
        x, last, age = seen
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        common = gammaln(r + x) - gammaln(r) + r * np.log(alpha) - betaln(a, b)
        alive = common + betaln(a, b + x) - (r + x) * np.log(alpha + age + ahead)
        again = np.maximum(x, 1)
        left = common + betaln(a + 1, b + again - 1) - (r + x) * np.log(alpha + last)
        return alive, np.where(x > 0, left, -np.inf)
