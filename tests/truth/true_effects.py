"""What each action truly changes in a simulated shop that asks weekly: all that ``uplift`` learns.

Visits, purchases and leaving are closed forms; what is earned is the mean of many twins of each
shopper, of equal luck under each action. Next: ``uplift_heads.py``.
"""

from __future__ import annotations

import copy
from dataclasses import fields

import numpy as np
import polars as pl

from feature_repo.world import World
from feature_repo.world.shoppers import ACTIONS, EFFECT_DAYS, Shoppers, order_probability
from feature_repo.world.truth import first_time

LEAVES_WEEKS = 4
MARGIN = np.array([0.3, 0.3, 0.3 - 0.1])
"""Profit by action as a share of the full price: a coupon takes a tenth of it off."""
PAID = np.array([1.0, 1.0, 0.9])
"""Share of the full price that is paid."""
COSTS = np.array([0.0, 0.1, 0.1])
"""Of sending, by action."""
OTHER_LUCK = 1_000_003


def profit(spend: np.ndarray) -> np.ndarray:
    """Profit (n, A) of a week in which `spend` (n, A) is paid under each action."""
    return spend * MARGIN / PAID - COSTS


def truth_of(
    world: World, asked: np.ndarray, chances: np.ndarray, asked_days: np.ndarray, twins: int
) -> dict[str, np.ndarray]:
    """What is true of the shoppers `asked` (n,) this morning: OUTCOME@ACTION to (n,), as heads.

    `chances` and `asked_days` as in :func:`true_leaving`, `twins` of each tell what is spent.
    """
    found = {
        "purchase_7d": true_purchases(world)[asked],
        "visit_7d": true_visits(world)[asked],
        "leave_28d": true_leaving(world, chances, asked_days)[asked],
        "spend_7d": true_spend(world, asked, twins),
    }
    return {
        f"{outcome}@{action}": under[:, place]
        for outcome, under in found.items()
        for place, action in enumerate(ACTIONS)
    }


def true_visits(world: World) -> np.ndarray:
    """Chance (N, A) of a visit within the week after each action of this morning."""
    truth = world.truth
    return np.column_stack([truth.visit_probability(action) for action in ACTIONS])


def true_purchases(world: World) -> np.ndarray:
    """Chance (N, A) of an order within the week after each action of this morning."""
    truth = world.truth
    return np.column_stack([truth.conversion_probability(action) for action in ACTIONS])


def true_leaving(world: World, chances: np.ndarray, asked_days: np.ndarray) -> np.ndarray:
    """Chance (N, A) of no order within four weeks after each action of this morning.

    The shop goes on: a week later it draws again, with `chances` (A,), for whom it still asks. It
    asks for `asked_days` (N,) more days, unless an order comes. Exact: until the first order, all
    chances are known numbers once the actions are, and every course of actions is counted.
    """
    truth = world.truth

    def ordered(people: Shoppers, waiting: np.ndarray, week: int) -> np.ndarray:
        """Chance (N,) of a first order in this week or later, of those `waiting`."""
        day, season = (at + week * EFFECT_DAYS for at in (truth.day, truth.day_of_year))
        came, waiting = first_time(order_probability, people, waiting, day, season, EFFECT_DAYS)
        if week + 1 == LEAVES_WEEKS:
            return came
        for _ in range(EFFECT_DAYS):
            people.rest()
        asked = asked_days >= (week + 1) * EFFECT_DAYS
        for action, chance in enumerate(chances):
            share = np.where(asked, chance, float(action == 0))
            then = copy.deepcopy(people)
            if action:
                who = np.flatnonzero(asked)
                then.treat(who, np.full(len(who), action), day + EFFECT_DAYS)
            came = came + ordered(then, waiting * share, week + 1)
        return came

    alive = truth.alive.astype(float)
    return np.column_stack([1.0 - ordered(truth.treated(a), alive, 0) for a in ACTIONS])


def true_spend(world: World, who: np.ndarray, num_twins: int) -> np.ndarray:
    """Mean spend (n, A) of `who` (n,) in the week after each action, of `num_twins` of each."""
    return np.column_stack([_spend(world, who, num_twins, action) for action in ACTIONS])


def _spend(world: World, who: np.ndarray, num_twins: int, action: str) -> np.ndarray:
    """Mean spend (n,) of the twins of `who` to whom `action` is done."""
    shop = crowd(world, np.repeat(who, num_twins))
    users = shop.truth.users
    days = [shop.step(dict.fromkeys(users, action))] + [shop.step() for _ in range(EFFECT_DAYS - 1)]
    spent = pl.concat(days).filter(kind="purchase").select(
        number=pl.col("user_id").str.split("-").list.last().cast(pl.Int64),
        value=pl.col("price_micros") * pl.col("quantity") / 1e6,
    )  # fmt: skip
    total = np.bincount(spent["number"], weights=spent["value"], minlength=len(users))[: len(users)]
    return np.asarray(total.reshape(len(who), num_twins).mean(axis=1))


def crowd(world: World, who: np.ndarray) -> World:
    """A copy of a shop with the shoppers `who` (m,) alone, who may stand there several times.

    Its luck is another one than that of the world itself, and does not depend on what is done.
    """
    shop = copy.deepcopy(world)
    shop.seed, shop.paired = world.seed + OTHER_LUCK, True
    people, memory = shop.truth.shoppers, shop.truth.memory
    for field in fields(people):
        setattr(people, field.name, getattr(people, field.name)[who])
    memory.interest, memory.bought = memory.interest[who], memory.bought[who]
    return shop
