"""Policies are judged by shoppers that they did not learn from, and as surely as these tell."""

from __future__ import annotations

import numpy as np
import pytest

from feature_repo.settings import DAY
from training.bundle import Bundle
from training.datasets.decision_log import NUM_PARTS, DecisionLog
from training.judging import chances_under, judge
from training.learn import Plan, fit
from training.learnt import Learnt
from training.metrics.bootstrap import interval, replicates
from training.metrics.offpolicy.estimates import estimate
from training.policies import LinearBandit, Threshold

ACTIONS, NAMES = ("nothing", "coupon"), tuple(f"x{number}" for number in range(30))
MANY_FROM_NOISE = Plan(name="bandit", inputs=NAMES)


def noise_log(num_users=300, each=4, seed=0):
    """Decisions by even chance; no action changes what is spent, and no input tells it."""
    rng, num = np.random.default_rng(seed), num_users * each
    users = np.array([f"shopper-{number}" for number in np.arange(num) % num_users])
    spent = 5.0 + np.tile(rng.normal(0.0, 2.0, num_users), each) + rng.normal(size=num)
    return DecisionLog(
        actions=ACTIONS,
        told={name: np.tile(rng.normal(size=num_users), each) for name in NAMES},
        chances=np.full((num, 2), 0.5),
        action=rng.integers(0, 2, num),
        purchased=np.ones(num),
        spent=spent,
        spent_until_next=spent,
        cost=np.zeros(num),
        users=users,
        decided_at=np.arange(num) * DAY // num_users,
        policies=np.full(num, "threshold:1"),
    )


def test_an_interval_by_users_is_that_of_drawing_users_again():
    log = noise_log()
    told = estimate(log.spent, users=log.users)
    assert told.value == estimate(log.spent).value
    assert told.error > 1.5 * estimate(log.spent).error
    drawn = replicates(
        lambda rows: log.spent[rows].mean(keepdims=True), log.users, 400, np.random.default_rng(1)
    )
    assert interval(drawn[:, 0]) == pytest.approx((told.low, told.high), abs=0.05)


def test_what_is_told_again_makes_nothing_surer():
    once = np.random.default_rng(3).normal(size=50)
    again = estimate(np.tile(once, 3), users=np.tile(np.arange(50), 3))
    assert (again.low, again.high) == pytest.approx((estimate(once).low, estimate(once).high))
    assert again.minus(again).error == 0


def test_each_part_of_the_shoppers_is_judged_by_the_sibling_that_did_not_learn_from_it():
    log = noise_log()
    siblings = tuple(LinearBandit(actions=ACTIONS, epsilon=k / 10) for k in range(NUM_PARTS))
    said = chances_under(Learnt(siblings[0], siblings), log, {})
    for part, sibling in enumerate(siblings):
        rows = log.part == part
        assert 0.1 < rows.mean() < 0.3
        alone = chances_under(Learnt(sibling), log.take(rows), {})
        assert np.array_equal(said[rows], alone)
    assert len({tuple(log.part[log.users == user]) for user in log.users}) <= NUM_PARTS


@pytest.mark.parametrize("seed", range(3))
def test_what_is_learnt_by_heart_leads_only_where_it_judges_itself(seed):
    log = noise_log(seed=seed)
    learnt = fit(MANY_FROM_NOISE, log, {})
    assert judge(log, Learnt(learnt.policy), None, {}).lead.low > 0
    lead = judge(log, learnt, None, {}).lead
    assert lead.low < 0 < lead.high


def test_a_bundle_keeps_the_siblings_and_a_threshold_has_none(tmp_path):
    from serving.promote import save_policy

    learnt = fit(Plan(name="bandit", inputs=("x0",)), noise_log(), {})
    content = {"policy": "bandit", "settings": learnt.policy.to_dict()}
    saved = Bundle.save(
        tmp_path / "bandit",
        kind="policy",
        name="bandit",
        created_at=0,
        content=content | {"siblings": [one.to_dict() for one in learnt.siblings]},
        weights={},
        card="",
    )
    assert Learnt.load(Bundle.load(saved.folder)) == learnt
    assert Learnt.load(save_policy(tmp_path / "set", Threshold(), now=0)).siblings == ()
