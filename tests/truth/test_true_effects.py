"""True effects of a shop that asks weekly: known answers, and the labels of the task ``uplift``."""

from __future__ import annotations

import copy

import numpy as np
import polars as pl
import pytest

from feature_repo.world import World
from feature_repo.world.shoppers import ACTIONS
from tests.truth.true_effects import (
    crowd,
    profit,
    true_leaving,
    true_purchases,
    true_spend,
    true_visits,
)
from training.run import Calendar
from training.tasks import Uplift

DAY, WEEK, MONTH = 86_400_000_000, 7, 28
CHANCES = np.array([0.4, 0.3, 0.3])
MOST = 1_000
NEVER_AGAIN = np.array([1.0, 0.0, 0.0])


@pytest.fixture(scope="module")
def shop() -> World:
    """A shop in the middle of its life; copy it before stepping on."""
    world = World(seed=13, num_shoppers=600, num_items=60)
    world.run(45)
    return world


@pytest.fixture(scope="module")
def labelled(shop) -> pl.DataFrame:
    """What the task ``uplift`` says became of the decisions of one morning, drawn anew weekly."""
    world, rng = copy.deepcopy(shop), np.random.default_rng(3)
    users, days, decisions = world.truth.users, [], None
    for day in range(MONTH):
        acts: dict[str, str] = {}
        if day % WEEK == 0:
            drawn = rng.choice(len(ACTIONS), size=len(users), p=CHANCES)
            acts = dict(zip(users, (ACTIONS[a] for a in drawn), strict=True))
            made = {"user_id": users, "asked_at": world.now, "action": list(acts.values())}
            frame = pl.DataFrame(made).with_columns(propensity=pl.lit(CHANCES[drawn]))
            decisions = frame if decisions is None else decisions
        days.append(world.step(acts))
    known = pl.concat([_first_seen(users, shop.now), *days], how="diagonal_relaxed")
    ends = (world.now + ahead * DAY for ahead in range(3))
    split_ends = dict(zip(("train_end", "valid_end", "test_end"), ends, strict=True))
    calendar = Calendar(**split_ends, horizon_days=WEEK)
    rows = Uplift(decisions).examples(known, calendar, "train")
    return pl.DataFrame({"user_id": users}).join(rows, on="user_id", how="left")


def _first_seen(users: list[str], before: int) -> pl.DataFrame:
    """Everybody was seen once before: the task asks about known shoppers alone."""
    at = [before - DAY] * len(users)
    return pl.DataFrame({"user_id": users, "event_at": at, "received_at": at, "kind": "search"})


def test_a_shop_that_never_acts_again_loses_whom_the_world_says(shop):
    truth = shop.truth
    for chances, days in ((NEVER_AGAIN, MOST), (CHANCES, WEEK - 1)):
        leaving = true_leaving(shop, chances, np.full(len(truth.users), days))
        for place, action in enumerate(ACTIONS):
            known = 1.0 - truth.conversion_probability(action, MONTH)
            np.testing.assert_allclose(leaving[:, place], known, atol=1e-12)


def test_coupons_every_week_keep_more_of_those_who_like_them_and_fewer_of_those_who_do_not(shop):
    truth, days = shop.truth, np.full(len(shop.truth.users), MOST)
    always = true_leaving(shop, np.array([0.0, 0.0, 1.0]), days)[:, 2]
    once = true_leaving(shop, NEVER_AGAIN, days)[:, 2]
    likes = truth.alive & (truth.uplift_class == "persuadable")
    assert (always[likes] < once[likes]).all()
    hates = truth.alive & (truth.uplift_class == "sleeping dog")
    assert (always[hates] > once[hates]).all()


@pytest.mark.parametrize("outcome", ["visit_7d", "purchase_7d", "leave_28d"])
def test_labels_come_as_often_as_the_truth_says(shop, labelled, outcome):
    days = np.full(len(shop.truth.users), MOST)
    true = {
        "visit_7d": true_visits(shop),
        "purchase_7d": true_purchases(shop),
        "leave_28d": true_leaving(shop, CHANCES, days),
    }[outcome]
    for place, action in enumerate(ACTIONS):
        label = labelled[f"{outcome}@{action}"]
        done = label.is_not_null().to_numpy()
        chance, came = true[done, place], label.drop_nulls().sum()
        spread = np.sqrt((chance * (1 - chance)).sum())
        assert done.sum() > 0.8 * len(done) * CHANCES[place]
        assert abs(came - chance.sum()) < 4 * spread


def test_twins_order_as_often_as_the_truth_says_and_pay_a_tenth_less_with_a_coupon(shop):
    who = np.flatnonzero(shop.truth.alive)[:20]
    twins = crowd(shop, np.repeat(who, 3))
    for action in ACTIONS:
        np.testing.assert_array_equal(
            twins.truth.conversion_probability(action),
            np.repeat(shop.truth.conversion_probability(action)[who], 3),
        )
    gone = np.flatnonzero(~shop.truth.alive)[:2]
    assert not true_spend(shop, gone, 2).any()
    sure = np.flatnonzero(shop.truth.alive & (shop.truth.uplift_class == "sure thing"))[:60]
    nothing, _, coupon = true_spend(shop, sure, 60).sum(axis=0)
    orders = true_purchases(shop)[sure].sum(axis=0)
    assert coupon / orders[2] == pytest.approx(0.9 * nothing / orders[0], rel=0.03)


def test_profit_is_what_is_left_of_the_price_after_goods_coupon_and_sending():
    assert profit(np.array([[10.0, 10.0, 9.0]])).tolist() == [pytest.approx([3.0, 2.9, 1.9])]
