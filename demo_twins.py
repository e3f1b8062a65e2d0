"""The same people in other shops, for ``demo_shop.py``: left alone, by chance, and the oracle.

A shop that leaves everybody alone, one that sends coupons by chance as long as the budget lasts,
and one whose budgeted policy knows the true effects, as no real shop can. Next: ``demo_page.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from feature_repo.world import World
from feature_repo.world.shoppers import COUPON_DISCOUNT, EFFECT_DAYS
from training.policies import Budgeted, Context

ACTIONS = ("nothing", "coupon")
COSTS = {"coupon": 0.1}
"""What an action costs and takes from the day's budget, in the shop's currency."""
MARGIN = 0.3
"""Share of what is spent that is profit."""
NAMED = [f"purchase_7d@{action}" for action in ACTIONS]


@dataclass(slots=True)
class Books:
    """What one way of acting earned and spent, by day.

    Every order counts as one of mean worth: what lay in a basket is no merit of an action, and the
    same people with the same luck then differ by what was done to them alone.
    """

    value: float
    """Profit of an order."""
    profit: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    budgets: list[float] = field(default_factory=list)
    """What might have been spent."""
    coupons: dict[str, int] = field(default_factory=dict)
    """Shopper to the day from which a coupon no longer works."""

    def write(
        self, day: int, events: pl.DataFrame, actions: Mapping[str, str], budget: float
    ) -> None:
        """Book a day: orders, less what coupons take off and what actions cost."""
        self.coupons |= {u: day + EFFECT_DAYS for u, a in actions.items() if a == "coupon"}
        ordered = events.filter(kind="purchase")["user_id"].unique()
        earned = sum(
            self.value * (1 - COUPON_DISCOUNT * (self.coupons.get(user, 0) > day))
            for user in ordered
        )
        self.spent.append(sum(COSTS[action] for action in actions.values()))
        self.profit.append(earned - self.spent[-1])
        self.budgets.append(budget)


Choose = Callable[[np.ndarray, float, int], np.ndarray]
"""From true chances (n, A), a budget and the day to an action (n,) of each."""


@dataclass
class Twin:
    """The same people in another shop."""

    world: World
    books: Books
    oracle: Budgeted
    choose: Choose
    gains: list[float] = field(default_factory=list)
    """True gain of each day's decisions."""

    def live(self, asked: list[str], budget: float) -> None:
        """One day."""
        day, chances = self.world.day, true_chances(self.world, asked)
        chosen = self.choose(chances, budget, day)
        gained = gains(self.oracle, chances)
        self.gains.append(float(gained[np.arange(len(asked)), chosen].sum()))
        actions = {u: ACTIONS[a] for u, a in zip(asked, chosen, strict=True) if a}
        self.books.write(day, self.world.step(actions), actions, budget)


def true_chances(world: World, users: list[str]) -> np.ndarray:
    """True chance (n, A) of an order within the week under each action."""
    rows = [int(user[-5:]) for user in users]
    truth = world.truth
    return np.column_stack([truth.conversion_probability(a, EFFECT_DAYS)[rows] for a in ACTIONS])


def mean_profit(past: pl.DataFrame) -> float:
    """Of an order, by what was spent so far."""
    bought = past.filter(kind="purchase")
    spent = float((bought["price_micros"] * bought["quantity"]).sum())
    return MARGIN * spent / 1e6 / bought["order_id"].n_unique()


def oracle(value: float) -> Budgeted:
    """The budgeted policy where an order is worth `value`; it is told true chances."""
    return Budgeted(
        actions=ACTIONS,
        value=value,
        costs=COSTS,
        discounts={"coupon": COUPON_DISCOUNT * value},
        draws={"day": COSTS},
        epsilon=0.0,
    )


def gains(policy: Budgeted, chances: np.ndarray) -> np.ndarray:
    """True profit (n, A) of the week above doing nothing."""
    return policy.gains(dict(zip(NAMED, chances.T, strict=True)))


def best(policy: Budgeted, chances: np.ndarray, budget: float) -> np.ndarray:
    """The action (n,) of each shopper by the budgeted policy that is told true chances."""
    told = dict(zip(NAMED, chances.T, strict=True))
    fitted = policy.fit(told, np.zeros(len(chances), dtype=np.int64))
    return fitted.probabilities(told, Context(budgets_left={"day": budget})).argmax(axis=1)


def by_chance(chances: np.ndarray, budget: float, day: int) -> np.ndarray:
    """A coupon (n,) for as many as the budget is enough for, whoever they are."""
    chosen = np.zeros(len(chances), dtype=np.int64)
    drawn = np.random.default_rng(day).permutation(len(chances))
    chosen[drawn[: int(budget / COSTS["coupon"] + 1e-9)]] = 1
    return chosen
