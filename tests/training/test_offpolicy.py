"""Off-policy estimates meet known values, their intervals hold, and they refuse the rest."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training.metrics.offpolicy import estimators
from training.metrics.offpolicy.estimates import bootstrap_interval, estimate, evaluate_policy
from training.metrics.offpolicy.support import check_log, support

DATA = Path(os.environ.get("NUDGE_DATA", Path(__file__).parents[3] / "shared" / "data"))
OPEN_BANDIT = DATA / "open_bandit_small"
NUM_ACTIONS = 5


class Shop:
    """Rewards of five actions that depend on two numbers; policies are softmaxes of them."""

    def __init__(self, seed: int = 0, greed: float = 0.7) -> None:
        rng = np.random.default_rng([seed, 1])
        self.rewards = rng.normal(size=(2, NUM_ACTIONS)) * 0.5
        self.logging = rng.normal(size=(2, NUM_ACTIONS)) * greed
        self.target = rng.normal(size=(2, NUM_ACTIONS)) * greed

    def means(self, x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(x @ self.rewards - 0.5)))

    def chances(self, x: np.ndarray, tastes: np.ndarray) -> np.ndarray:
        logits = np.exp(x @ tastes)
        return 0.1 / NUM_ACTIONS + 0.9 * logits / logits.sum(axis=1, keepdims=True)

    def log(self, num: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        x = rng.normal(size=(num, 2))
        chances, means = self.chances(x, self.logging), self.means(x)
        actions = (rng.random((num, 1)) > chances.cumsum(axis=1)).sum(axis=1)
        rows = np.arange(num)
        return {
            "rewards": (rng.random(num) < means[rows, actions]).astype(float),
            "actions": actions,
            "propensities": chances[rows, actions],
            "target": self.chances(x, self.target),
            "model": 0.8 * means + 0.05,  # a model that is wrong everywhere
        }

    def value(self) -> float:
        x = np.random.default_rng(99).normal(size=(1_000_000, 2))
        return float((self.chances(x, self.target) * self.means(x)).sum(axis=1).mean())


UNBIASED = ("ips", "snips", "doubly_robust", "switch_dr", "shrunk_dr")


def test_each_estimator_meets_the_known_value_and_its_intervals_hold_over_200_logs():
    shop = Shop()
    truth, runs = shop.value(), 200
    found: dict[str, list] = {name: [] for name in estimators.ESTIMATORS}
    for seed in range(runs):
        evaluation = evaluate_policy(**shop.log(6_000, np.random.default_rng([seed, 2])))
        assert not evaluation.refusals
        for name, one in evaluation.estimates.items():
            found[name].append((one.value, one.low < truth < one.high))
    for name in UNBIASED:
        values, covered = np.array(found[name]).T
        assert abs(values.mean() / truth - 1) < 0.01, name
        assert np.abs(values / truth - 1).mean() < 0.05, name
        assert 0.90 <= covered.mean() <= 0.98, name
    # What a wrong model says is wrong, and its own interval does not know it.
    values, covered = np.array(found["direct_method"]).T
    assert covered.mean() < 0.5
    spread = {name: np.array(rows)[:, 0].std() for name, rows in found.items()}
    assert spread["doubly_robust"] < spread["ips"]


def test_a_policy_that_is_the_log_itself_earns_exactly_the_mean_reward():
    rng = np.random.default_rng(0)
    num = 500
    chances = rng.dirichlet(np.ones(3), num)
    actions = (rng.random((num, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    rewards, given = rng.random(num), chances[np.arange(num), actions]
    found = evaluate_policy(rewards, actions, given, chances)
    assert found.estimates["ips"].value == pytest.approx(rewards.mean())
    assert found.estimates["snips"].value == pytest.approx(rewards.mean())
    assert found.support.effective == pytest.approx(num)


def test_each_estimator_equals_its_formula_written_out():
    log = Shop(3).log(50, np.random.default_rng(3))
    r, a, p, pi, q = log.values()
    w = [pi[i, a[i]] / p[i] for i in range(50)]
    dm = [sum(pi[i, b] * q[i, b] for b in range(NUM_ACTIONS)) for i in range(50)]
    expected = {
        "ips": sum(w[i] * r[i] for i in range(50)) / 50,
        "snips": sum(w[i] * r[i] for i in range(50)) / sum(w),
        "direct_method": sum(dm) / 50,
        "doubly_robust": sum(dm[i] + w[i] * (r[i] - q[i, a[i]]) for i in range(50)) / 50,
    }
    found = evaluate_policy(**log).estimates
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value), name


def test_switch_and_shrinkage_reach_from_the_model_alone_to_doubly_robust(monkeypatch):
    log = Shop(1).log(400, np.random.default_rng(1))
    ends = {}
    for place in (0, -1):
        monkeypatch.setattr(estimators, "least_error", lambda *given, at=place: given[-1][at])
        ends[place] = estimators.shrunk_dr(**log)
    assert ends[0] == pytest.approx(estimators.direct_method(**log), abs=0.01)
    assert ends[-1] == pytest.approx(estimators.doubly_robust(**log))
    assert estimators.switch_dr(**log) == pytest.approx(estimators.doubly_robust(**log))


def test_shrinkage_errs_less_than_doubly_robust_where_weights_are_great():
    shop = Shop(4, greed=2.5)
    truth, errors = shop.value(), {"doubly_robust": [], "shrunk_dr": []}
    for seed in range(200):
        log = shop.log(300, np.random.default_rng([seed, 5]))
        for name, column in errors.items():
            column.append(estimators.ESTIMATORS[name](**log).mean() - truth)
    rmse = {name: np.sqrt(np.mean(np.square(column))) for name, column in errors.items()}
    assert rmse["shrunk_dr"] < rmse["doubly_robust"]


def test_a_model_that_knows_all_makes_doubly_robust_as_sharp_as_the_log_allows():
    shop = Shop(2)
    rng = np.random.default_rng(2)
    log = shop.log(2_000, rng)
    log["model"] = (log["model"] - 0.05) / 0.8
    found = evaluate_policy(**log).estimates
    assert found["doubly_robust"].error < 0.95 * found["ips"].error
    low, high = bootstrap_interval(estimators.doubly_robust, log, num_bootstrap=200)
    assert low == pytest.approx(found["doubly_robust"].low, abs=0.005)
    assert high == pytest.approx(found["doubly_robust"].high, abs=0.005)


def test_the_difference_of_two_policies_is_sharper_than_their_intervals_say():
    shop = Shop(6)
    log = shop.log(3_000, np.random.default_rng(6))
    first = estimate(estimators.doubly_robust(**log))
    second = estimate(estimators.doubly_robust(**(log | {"target": 0.9 * log["target"] + 0.02})))
    gap = first.minus(second)
    assert gap.value == pytest.approx(first.value - second.value)
    assert gap.error < 0.2 * first.error


def test_actions_that_the_log_never_took_are_refused_with_what_to_collect():
    actions, given = np.zeros(1_000, dtype=int), np.ones(1_000)
    target = np.tile([0.5, 0.5], (1_000, 1))
    found = support(actions, given, target)
    assert found.unseen == pytest.approx(0.5)
    with pytest.raises(ValueError, match=r"50\.0 % of the policy's choices fall on actions that"):
        found.check()


def test_propensities_that_were_not_used_are_found_by_the_mean_weight():
    log = Shop(7).log(5_000, np.random.default_rng(7))
    target = log["target"]
    assert not support(log["actions"], log["propensities"], target).refusals
    refused = support(log["actions"], np.minimum(1.3 * log["propensities"], 1.0), target).refusals
    assert len(refused) == 1
    assert "should average 1" in refused[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"propensities": np.array([0.5, 0.0, 0.5])}, r"propensity is wrong in 1 of 3 rows.*row 1"),
        ({"rewards": np.array([1.0, np.nan, 0.0])}, "reward is wrong in 1 of 3"),
        ({"actions": np.array([0, 1, 2])}, "action is wrong in 1 of 3 rows, the first is row 2"),
        ({"target": np.ones((3, 2))}, "sum is wrong in 3 of 3"),
        ({"target": np.ones((2, 2)) / 2}, "3 rewards, 3 actions, 3 propensities and 2 rows"),
    ],
)
def test_arrays_that_are_no_log_are_refused_with_counts(change, words):
    log = {
        "rewards": np.ones(3),
        "actions": np.array([0, 1, 0]),
        "propensities": np.full(3, 0.5),
        "target": np.full((3, 2), 0.5),
    }
    check_log(**log)
    with pytest.raises(ValueError, match=words):
        check_log(**(log | change))


def test_an_estimator_of_a_model_asks_for_it():
    with pytest.raises(ValueError, match="needs a model of the reward"):
        estimators.doubly_robust(np.ones(1), np.zeros(1, int), np.ones(1), np.ones((1, 1)))


def open_bandit(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    path = OPEN_BANDIT / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"{path} is not at hand; set NUDGE_DATA")
    log = pl.read_parquet(path, columns=["click", "item_id", "propensity_score"])
    return tuple(column.to_numpy() for column in log)


@pytest.mark.parametrize(("name", "num_items"), [("random_men", 34), ("random_women", 46)])
def test_the_random_policy_on_its_own_log_earns_its_click_rate_exactly(name, num_items):
    clicks, items, given = open_bandit(name)
    target = np.full((len(clicks), num_items), 1 / num_items)
    found = evaluate_policy(clicks, items, given, target)
    assert found.estimates["ips"].value == pytest.approx(0.0046, abs=1e-12)
    assert found.support.effective == pytest.approx(10_000)
    assert not found.refusals


def test_the_womens_log_of_the_bandit_cannot_tell_what_random_earns():
    clicks, items, given = open_bandit("bts_women")
    found = evaluate_policy(clicks, items, given, np.full((len(clicks), 46), 1 / 46))
    assert found.support.effective == pytest.approx(2.08, abs=0.01)
    assert "its 10,000 rows are worth 2.1 for this policy, 100 are needed" in found.refusals[0]
    clicks, items, given = open_bandit("bts_men")
    men = evaluate_policy(clicks, items, given, np.full((len(clicks), 34), 1 / 34))
    assert men.support.effective == pytest.approx(655.7, abs=0.1)
    assert not men.refusals
    # What random really earned has an error of its own: 46 clicks.
    found, truth = men.estimates["ips"], estimate(open_bandit("random_men")[0].astype(float))
    assert abs(found.value - truth.value) < 1.96 * np.hypot(found.error, truth.error)
