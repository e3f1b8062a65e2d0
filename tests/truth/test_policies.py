"""Policies in simulated shops of known truth: a small shop always, twenty large ones when asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.truth import policy_page
from tests.truth.campaigns import DRAWS, Shop, true_chances, worth
from tests.truth.players import Evenly, Oracle, Player, joined
from tests.truth.policies import interval, measure, share


@pytest.fixture(scope="module")
def small():
    """Two shops of a few hundred shoppers."""
    return measure(2, shoppers=700, warm_up=240, log_days=42, play_days=28, num_logs=2)


def test_who_knows_the_truth_earns_more_than_chance_and_than_a_coupon_above_a_risk(small):
    for other in ("random", "threshold", "nothing"):
        assert np.mean([one.incremental("oracle") - one.incremental(other) for one in small]) > 0
    assert np.mean([o.incremental("uplift_budget") - o.incremental("random") for o in small]) > 0


def test_nobody_spends_more_than_the_days_budget(small):
    for one in small:
        assert max(max(spent) for spent in one.spent.values()) <= one.budget


def test_doing_nothing_is_the_same_shop_twice():
    shop = Shop.open(3, 200, 120)
    runs = [shop.play(Player(), 10) for _ in range(2)]
    assert runs[0].profit == runs[1].profit


def test_two_shops_that_did_differently_have_the_same_newcomers():
    shop = Shop.open(3, 300, 100)
    acted, left_alone = shop.play(Evenly(np.full(3, 1 / 3)), 20), shop.play(Player(), 20)
    assert acted.spent[-1] > 0
    kinds = [one.world.truth.shoppers.uplift_class for one in (acted, left_alone)]
    assert np.array_equal(*kinds)


def test_what_a_policy_is_told_changes_only_by_what_a_shop_sees():
    """Two worlds that differ in hidden kinds alone give the same inputs."""
    shop = Shop.open(3, 300, 150)
    users = shop.known.customers(shop.world.day)
    before = shop.known.inputs(users, shop.world.day)
    kinds = shop.world.truth.shoppers.uplift_class
    kinds[:] = kinds[::-1].copy()
    assert np.array_equal(before, shop.known.inputs(users, shop.world.day))


def test_the_oracle_acts_on_those_whom_an_action_really_moves():
    shop = Shop.open(5, 600, 150).play(Evenly(np.full(3, 1 / 3), sees_truth=True), 14)
    oracle = Oracle()
    oracle.policy = replace(oracle.policy, epsilon=0.0)
    oracle.learn(shop.closed)
    log = shop.play(oracle, 7, budget=6.0).log[-7:]
    gain = worth(joined(log, "true"))
    action = joined(log, "action")
    rows = np.arange(len(action))
    acted = action > 0
    assert acted.any()
    assert (gain[rows, action] > gain[:, 0])[acted].all()
    assert DRAWS[action].sum() <= 7 * 6.0
    assert true_chances(shop.world).shape[1] == 3


@pytest.mark.long
def test_twenty_shops_of_known_truth(tmp_path):
    found = measure(20)
    print("\n" + "\n".join(policy_page.lines(found)))
    policy_page.draw(found, tmp_path / "policies.svg")
    for floor in ("threshold", "threshold at the budget", "random"):
        ahead = [one.incremental("uplift_budget") - one.incremental(floor) for one in found]
        assert interval(ahead)[1] > 0
    assert share(found, "uplift_budget", "best observer")[0] > 0.5
    regrets = np.array([one.regret["thompson"] for one in found])
    assert regrets[:, -1].mean() < 0.6 * regrets[:, 0].mean()
    rows = [row for one in found for row in one.logs if row["estimator"] != "direct_method"]
    off = [abs(row["value"] / row["known"] - 1) for row in rows]
    inside = [row["low"] <= row["known"] <= row["high"] for row in rows]
    assert np.mean(off) < 0.05
    assert 0.90 <= np.mean(inside) <= 0.98
