"""Experiments of known truth, looked at again and again: how often is an effect told?

Users come one by one and are dealt to two arms by a coin; after the first look, each look asks for
the p-value. What is counted is runs in which it fell to alpha or below at ANY look.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from training.metrics.experiment import confidence_sequence as sequence
from training.metrics.experiment import conversions, cuped
from training.metrics.experiment.effects import Effect, Sample, effect, welch_p_value

ALPHA = 0.05
Draw = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Told:
    """In how many of `num_runs` something was told, and at how many users."""

    num: int
    num_runs: int
    users: list[int]

    @property
    def rate(self) -> float:
        return self.num / self.num_runs

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's 95 % interval of the rate."""
        found = stats.binomtest(self.num, self.num_runs).proportion_ci()
        return found.low, found.high

    def __str__(self) -> str:
        low, high = self.interval
        middle = f", at a median of {np.median(self.users):,.0f} users" if self.users else ""
        return f"{self.num} of {self.num_runs} ({self.rate:.1%}, {low:.1%} to {high:.1%}){middle}"


def conversion(rate: float) -> Draw:
    return lambda rng, num: (rng.random(num) < rate).astype(float)


def spend(rate: float, sigma: float = 1.0) -> Draw:
    """Most spend nothing; the others a lognormal amount, a few of them very much."""
    return lambda rng, num: (rng.random(num) < rate) * rng.lognormal(3.0, sigma, num)


def bell() -> Draw:
    return lambda rng, num: rng.normal(10.0, 3.0, num)


def run(
    draw: Draw, lift: float, num_users: int, every: int, rng: np.random.Generator, test: str
) -> int | None:
    """Users at which `test` told an effect; None when it never did."""
    values, treated = draw(rng, num_users), rng.random(num_users) < 0.5
    values = values + lift * treated
    if test == "conversions":
        return _by_conversions(values, treated, every)
    commonest = stats.mode(values).mode
    counts = [np.cumsum(arm) for arm in (~treated, treated)]
    sums = [np.cumsum(arm * values) for arm in (~treated, treated)]
    squares = [np.cumsum(arm * values**2) for arm in (~treated, treated)]
    apart = [np.cumsum(arm & (values != commonest)) for arm in (~treated, treated)]
    rho2 = sequence.tuning(5_000, ALPHA)
    for end in range(every - 1, num_users, every):
        if min(c[end] for c in counts) < sequence.FIRST_LOOK:
            continue
        if min(a[end] for a in apart) < sequence.FIRST_CHANGES:
            continue
        found = _effect(
            *(
                _sample(c[end], s[end], q[end])
                for c, s, q in zip(counts, sums, squares, strict=True)
            )
        )
        p_value = welch_p_value(found) if test == "welch" else sequence.p_value(found, rho2)
        if p_value <= ALPHA:
            return end + 1
    return None


def run_adjusted(
    lift: float, num_users: int, every: int, rng: np.random.Generator, correlation: float
) -> int | None:
    """The same with a bell's values, whose part was known before, taken out by CUPED."""
    before = rng.normal(size=num_users)
    treated = rng.random(num_users) < 0.5
    noise = np.sqrt(1 - correlation**2) * rng.normal(size=num_users)
    values = correlation * before + noise + lift * treated
    rho2 = sequence.tuning(5_000, ALPHA)
    for end in range(every, num_users + 1, every):
        arms = [values[:end][~treated[:end]], values[:end][treated[:end]]]
        if not sequence.may_look(arms):
            continue
        earlier = [before[:end][~treated[:end]], before[:end][treated[:end]]]
        if sequence.p_value(effect(*cuped.adjust(arms, earlier).values), rho2) <= ALPHA:
            return end
    return None


def many(num_runs: int, seed: int, once: Callable[[np.random.Generator], int | None]) -> Told:
    """`once` with a generator of its own for each run."""
    found = [once(np.random.default_rng([seed, place])) for place in range(num_runs)]
    users = [place for place in found if place is not None]
    return Told(len(users), num_runs, users)


def _by_conversions(values: np.ndarray, treated: np.ndarray, every: int) -> int | None:
    """Exact: from the first user on."""
    control, other = np.cumsum(values * ~treated), np.cumsum(values * treated)
    for end in range(every - 1, len(values), every):
        if conversions.p_value(int(control[end]), int(other[end]), 0.5) <= ALPHA:
            return end + 1
    return None


def _sample(num: int, total: float, square: float) -> Sample:
    mean = total / num
    return Sample(int(num), mean, max((square - num * mean**2) / (num - 1), 0.0))


def _effect(control: Sample, treated: Sample) -> Effect:
    deviation = np.sqrt(control.variance / control.num + treated.variance / treated.num)
    return Effect(treated.mean - control.mean, float(deviation), control, treated)
