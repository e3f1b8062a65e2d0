"""A simulated shop that asks weekly about each customer what to do, under a budget for each day.

A seventh of the customers is asked about each morning, in eight groups; an action works a week, so
windows of one shopper never overlap. Twins of one seed share newcomers, and each shopper's luck of
the day: two policies differ by what they do. An order is worth `VALUE`, less `DISCOUNT` while a
coupon works. Next: ``players.py``.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import polars as pl

from feature_repo.world import World
from feature_repo.world.diary import user_id
from feature_repo.world.shoppers import ACTIONS, EFFECT_DAYS
from tests.truth.knowing import Known
from training.policies import Context

VALUE, DISCOUNT = 10.0, 2.5
COSTS = np.array([0.0, 0.1, 0.1])
"""Of sending, by action."""
DRAWS = np.array([0.0, 0.5, 2.5])
"""What each action takes from the day's budget."""
WEEK, GROUPS, DAY = 7, 8, 86_400_000_000
SHOPPERS, ITEMS, WARM_UP, LOG_DAYS, PLAY_DAYS = 4_000, 200, 540, 112, 56
LEAVES_DAYS = 90
EXPLORING = np.array([0.7, 0.15, 0.15])
"""Chances by action while the shop only collects."""


NOBODY = 1e12
"""A budget that limits nobody."""


@dataclass
class Asked:
    """Decisions of one morning, n of them; `outcome` is known a week later."""

    day: int
    user: np.ndarray
    inputs: np.ndarray
    chances: np.ndarray
    """(n, A) from which each was drawn."""
    action: np.ndarray
    true: np.ndarray
    """(n, A) true chance of an order within the week, NaN where nobody asked for it."""
    outcome: np.ndarray | None = None

    @property
    def propensity(self) -> np.ndarray:
        return self.chances[np.arange(len(self.action)), self.action]

    @property
    def reward(self) -> np.ndarray:
        """What came of each in the week, after the action's cost."""
        assert self.outcome is not None
        return worth(self.outcome[:, None])[np.arange(len(self.action)), self.action]


class Player(Protocol):
    """Decides, and learns from weeks that have ended."""

    sees_truth: bool
    """Whether ``true`` is told; only an oracle decides by it."""

    def chances(self, inputs: np.ndarray, true: np.ndarray, context: Context) -> np.ndarray:
        """(n, A)."""

    def learn(self, log: list[Asked]) -> None:
        """Be told all decisions whose week has ended, once a week."""


@dataclass
class Shop:
    """A world, what is known of it, and its books."""

    world: World
    budget: float
    known: Known = field(default_factory=Known)
    log: list[Asked] = field(default_factory=list)
    profit: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    coupon_until: np.ndarray = field(default_factory=lambda: np.zeros(0))
    retention: tuple[np.ndarray, np.ndarray] = (np.zeros(0), np.zeros(0))
    """Inputs (n, d) of customers before the campaign, and whether each then left: 90 days."""

    @classmethod
    def open(cls, seed: int, shoppers: int = SHOPPERS, warm_up: int = WARM_UP) -> Shop:
        """A shop that was left alone for `warm_up` days."""
        shop = cls(World(seed, shoppers, ITEMS, paired=True), NOBODY)
        for _ in range(warm_up - LEAVES_DAYS):
            shop._see(shop.world.step())
        then, users = shop.world.day, shop.known.customers(shop.world.day)
        inputs = shop.known.inputs(users, then)
        for _ in range(LEAVES_DAYS):
            shop._see(shop.world.step())
        shop.retention = (inputs, ~shop.known.ordered_since(users, then))
        return shop

    def play(
        self, player: Player, days: int, budget: float = NOBODY, changes: float | None = None
    ) -> Shop:
        """A twin of this shop, `days` days later, with `player` deciding; its books begin anew."""
        twin = copy.deepcopy(self)
        twin.budget, twin.profit, twin.spent = budget, [], []
        if changes is not None:
            twin.world.changes = changes
        for _ in range(days):
            twin.day(player)
        return twin

    def day(self, player: Player) -> None:
        """Decide on those whose day it is, and live it."""
        day = self.world.day
        self._close(day)
        if day % WEEK == 0 and (closed := self.closed):
            player.learn(closed)
        asked, spent = self._ask(player, day)
        self.log.append(asked)
        acted = asked.action > 0
        who, action = asked.user[acted], asked.action[acted]
        events = self.world.step(
            {user_id(int(u)): ACTIONS[a] for u, a in zip(who, action, strict=True)}
        )
        self._see(events)
        self.spent.append(spent)
        self.profit.append(self._earned(events, who, action, day))

    @property
    def closed(self) -> list[Asked]:
        """Mornings whose week has ended."""
        return [one for one in self.log if one.outcome is not None]

    def _close(self, day: int) -> None:
        for asked in reversed(self.log):
            if asked.day == day - WEEK:
                asked.outcome = self.known.ordered_since(asked.user, asked.day).astype(float)
                self.known.close(asked.user, asked.action, asked.outcome)
            if asked.day <= day - WEEK:
                return

    def _see(self, events: pl.DataFrame) -> None:
        items = self.world.items.select("category", price=pl.col("price_micros").log()).select(
            pl.col("price") - pl.col("price").mean().over("category")
        )
        self.known.see(events, items["price"].to_numpy(), self.world.day - 1)

    def _ask(self, player: Player, day: int) -> tuple[Asked, float]:
        """Eight groups, one after the other, within what is left of the budget."""
        rng = np.random.default_rng([self.world.seed, 3, day])
        users = self.known.customers(day)
        users = rng.permutation(users[users % WEEK == day % WEEK])
        draw = rng.random(len(users))
        inputs = self.known.inputs(users, day)
        true = np.full((len(users), len(ACTIONS)), np.nan)
        if player.sees_truth:
            true = true_chances(self.world)[users]
        chances = np.zeros((len(users), len(ACTIONS)))
        action, left = np.zeros(len(users), dtype=np.int64), self.budget
        for number, rows in enumerate(np.array_split(np.arange(len(users)), GROUPS)):
            allowed = np.tile(left >= DRAWS, (len(rows), 1))
            at = day * DAY + DAY * number // GROUPS
            context = Context(allowed=allowed, budgets_left={"day": left}, asked_at=at)
            chances[rows] = player.chances(inputs[rows], true[rows], context)
            edges = chances[rows].cumsum(axis=1)
            action[rows] = (draw[rows, None] * edges[:, -1:] > edges).sum(axis=1)
            kept = np.cumsum(DRAWS[action[rows]]) <= left
            chances[rows[~kept]] = np.eye(len(ACTIONS))[0]
            action[rows[~kept]] = 0
            left -= DRAWS[action[rows]].sum()
        return Asked(day, users, inputs, chances, action, true), self.budget - left

    def _earned(self, events: pl.DataFrame, who: np.ndarray, action: np.ndarray, day: int) -> float:
        """Profit of the day: orders, less what coupons take off and what sending costs."""
        more = len(self.world.truth.shoppers) - len(self.coupon_until)
        self.coupon_until = np.append(self.coupon_until, np.zeros(more))
        self.coupon_until[who] = np.where(action == 2, day + EFFECT_DAYS, 0)
        orders = events.filter(kind="purchase")["user_id"].unique().str.slice(8).cast(pl.Int64)
        reduced = self.coupon_until[orders.to_numpy()] > day
        return float((VALUE - DISCOUNT * reduced).sum() - COSTS[action].sum())


def worth(chance: np.ndarray) -> np.ndarray:
    """Expected profit (n, A) of a week, from the chance (n, A) or (n, 1) of an order in it."""
    return (VALUE - DISCOUNT * (np.arange(len(ACTIONS)) == 2)) * chance - COSTS


def true_chances(world: World) -> np.ndarray:
    """True chance (N, A) of an order within the week under each action, today."""
    truth = world.truth
    return np.column_stack([truth.conversion_probability(a, EFFECT_DAYS) for a in ACTIONS])
