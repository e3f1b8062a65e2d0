"""Spend where it changes most: expected incremental profit under budgets, one shopper at a time.

The threshold policy gives coupons to those at risk; this one to those whom a coupon changes. What
an action earns comes from the model's uplift heads, the budgets enter as prices. Next:
``bandit.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from training.policies.effects import Effects
from training.policies.inputs import Floats, Scores, matrix, tuples
from training.policies.policy import NOTHING, Context, allowed_actions, explored
from training.policies.prices import best, solve_prices

DAY, HOUR = 86_400_000_000, 3_600_000_000
HOURS = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Budgeted:
    """The action with the greatest expected profit above doing nothing, after the budgets' prices.

    gain(a) = (value - discount(a)) P(outcome | a) - value P(outcome | nothing) - cost(a)

    p(a) = (1 - epsilon) [a is best] + epsilon / (number of allowed actions). The prices are those
    at which shoppers like the `sample` would spend what is left today on the decisions still
    expected today: spending is paced over the day by itself, without a rule for it.
    """

    name: ClassVar[str] = "uplift_budget"

    actions: tuple[str, ...] = (NOTHING, "reminder", "coupon")
    outcome: str = "purchase_7d"
    """Without a table the scores are called ``OUTCOME@ACTION``: its chance if that is done."""
    effects: Effects | None = None
    """A table that says the chances from named inputs, in place of the model's scores."""
    value: float = 10.0
    """Profit of one outcome before discount, base currency."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """What an action costs by itself; 0 where not named."""
    discounts: Mapping[str, float] = field(default_factory=dict)
    """What an outcome after the action earns less; 0 where not named."""
    draws: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Budget to what each action takes from it, in the unit of the budget."""
    sample: tuple[tuple[float, ...], ...] = ()
    """Gains of shoppers like those to come, a number for each action; made by :meth:`fit`."""
    num_daily: float = 1.0
    """Decisions expected in a day."""
    hours: tuple[float, ...] = (1 / HOURS,) * HOURS
    """Share of a day's decisions by UTC hour."""
    epsilon: float = 0.05
    """Share of decisions left to chance, so that other policies can be judged by the log."""

    def __post_init__(self) -> None:
        if self.actions[:1] != (NOTHING,) or len(set(self.actions)) < len(self.actions):
            raise ValueError(
                f"uplift_budget: actions are {self.actions}; {NOTHING!r} comes first, each once"
            )
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"uplift_budget: epsilon is {self.epsilon}; it must lie in 0..1")
        if len(self.hours) != HOURS or min(self.hours) < 0 or abs(sum(self.hours) - 1) > 1e-6:
            raise ValueError(
                "uplift_budget: hours do not sum to 1; give 24 shares of a day, or none"
            )
        if self.num_daily <= 0:
            raise ValueError(f"uplift_budget: num_daily is {self.num_daily}; it must be above 0")
        amounts = (self.costs, self.discounts, *self.draws.values())
        for action, amount in ((a, x) for some in amounts for a, x in some.items()):
            if action not in self.actions or action == NOTHING or amount < 0:
                raise ValueError(
                    f"uplift_budget: {action!r} has the amount {amount}; amounts are at least 0 "
                    f"and of {self.actions[1:]}"
                )

    @property
    def needs(self) -> tuple[str, ...]:
        """The inputs of its table, or the model's heads where it has none."""
        if self.effects is not None:
            return self.effects.inputs
        return tuple(f"{self.outcome}@{action}" for action in self.actions)

    def probabilities(self, scores: Scores, context: Context) -> Floats:
        """``(n, actions)``, in the order of ``actions``.

        Raises
        ------
        ValueError
            When a score is missing or NaN, or a budget's rest is not told.
        """
        gains = self.gains(scores)
        allowed = allowed_actions(context, *gains.shape)
        charged = np.where(allowed, gains, -np.inf)
        return explored(best(charged, self._drawn(), self.prices(context)), allowed, self.epsilon)

    def gains(self, scores: Scores) -> Floats:
        """Expected profit ``(n, actions)`` above doing nothing, before the budgets' prices."""
        chance = self._chances(scores)
        earned = self.value - self._amounts(self.discounts)
        return earned * chance - self.value * chance[:, :1] - self._amounts(self.costs)

    def prices(self, context: Context) -> Floats:
        """What a unit of each budget is worth now, (budgets,): 0 while there is enough.

        Without a sample a budget has no price, and is spent as long as it lasts.
        """
        if not self.draws or not self.sample:
            return np.zeros(len(self.draws))
        unknown = [name for name in self.draws if name not in context.budgets_left]
        if unknown:
            raise ValueError(
                f"uplift_budget draws on {unknown}, and what is left of it is not told; name it in "
                "budgets_left, or leave it out of draws"
            )
        num_left = max(1.0, self.num_daily * self._day_left(context.asked_at))
        left = np.array([max(0.0, context.budgets_left[name]) for name in self.draws])
        return solve_prices(np.array(self.sample), self._drawn(), left / num_left)

    def fit(
        self,
        scores: Scores,
        asked_at: NDArray[np.int64],
        num_kept: int = 500,
        seed: int = 0,
    ) -> Self:
        """The policy with the `sample`, `num_daily` and `hours` of decisions of the past.

        Parameters
        ----------
        scores
            Of n decisions, each (n,).
        asked_at
            When they were asked for (n,), microseconds since 1970 (UTC).
        """
        gains = self.gains(scores)
        if not len(gains):
            raise ValueError(
                "uplift_budget has no past decisions to learn from; decide by threshold first"
            )
        rows = np.random.default_rng(seed).permutation(len(gains))[:num_kept]
        num_days = len(np.unique(asked_at // DAY))
        by_hour = np.bincount(asked_at % DAY // HOUR, minlength=HOURS) + 1.0
        return replace(
            self,
            sample=tuple(map(tuple, gains[rows].tolist())),
            num_daily=len(gains) / num_days,
            hours=tuple((by_hour / by_hour.sum()).tolist()),
        )

    def to_dict(self) -> dict[str, Any]:
        """Its settings as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``to_dict`` gave, also by way of JSON."""
        values = {name: tuples(value) for name, value in plain.items() if name != "effects"}
        table = plain.get("effects")
        return cls(**values, effects=None if table is None else Effects.from_dict(table))

    def _chances(self, scores: Scores) -> Floats:
        """P(outcome | action) ``(n, actions)``."""
        if self.effects is not None:
            return self.effects.chances(scores, self.name)
        names = [f"{self.outcome}@{action}" for action in self.actions]
        chances = matrix(scores, names, self.name)
        if unknown := int(np.isnan(chances).any(axis=1).sum()):
            raise ValueError(f"{self.name}: {unknown} rows of {names} are NaN; leave them out")
        return chances

    def _day_left(self, asked_at: int) -> float:
        """Share of the day's decisions that are still to come."""
        hour, within = divmod(asked_at % DAY, HOUR)
        return sum(self.hours[hour + 1 :]) + self.hours[hour] * (1 - within / HOUR)

    def _amounts(self, named: Mapping[str, float]) -> Floats:
        return np.array([named.get(action, 0.0) for action in self.actions])

    def _drawn(self) -> Floats:
        """(actions, budgets)."""
        columns = [self._amounts(amounts) for amounts in self.draws.values()]
        return np.array(columns).reshape(len(columns), len(self.actions)).T
