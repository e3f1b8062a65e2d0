"""Budgets become prices: what is spent fits, and nothing better would."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

from training.policies import Budgeted, Context, Effects
from training.policies.prices import best, solve_prices

DAY = 86_400_000_000


def case(seed, num_budgets, num=300):
    rng = np.random.default_rng(seed)
    gains = np.column_stack([np.zeros(num), rng.normal(0.5, 1.0, (num, 3))])
    draws = np.vstack([np.zeros(num_budgets), rng.uniform(0.2, 2.0, (3, num_budgets))])
    return gains, draws, rng.uniform(0.02, 0.4, num_budgets)


def optimum(gains, draws, budgets):
    """The best mean gain that any shares of actions reach within the budgets."""
    n, num_actions = gains.shape
    drawn = np.tile(draws.T, n) / n
    one = np.kron(np.eye(n), np.ones(num_actions))
    found = linprog(-gains.ravel() / n, drawn, budgets, one, np.ones(n), method="highs")
    return -found.fun


@pytest.mark.parametrize("num_budgets", [1, 2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_prices_keep_every_budget_and_earn_nearly_what_a_linear_program_does(seed, num_budgets):
    gains, draws, budgets = case(seed, num_budgets)
    chosen = best(gains, draws, solve_prices(gains, draws, budgets))
    assert (draws[chosen].mean(axis=0) <= budgets * (1 + 1e-6)).all()
    earned = gains[np.arange(len(gains)), chosen].mean()
    ceiling = optimum(gains, draws, budgets)
    assert earned <= ceiling + 1e-9
    assert earned >= ceiling - 0.03 * abs(ceiling) - 0.02


def test_a_budget_that_is_no_limit_has_no_price():
    gains, draws, budgets = case(1, 2)
    assert (solve_prices(gains, draws, budgets * 1_000) == 0).all()


def test_a_policy_without_a_free_action_is_refused():
    gains, draws, budgets = case(1, 1)
    with pytest.raises(ValueError, match="one must be free"):
        solve_prices(gains, draws + 0.1, budgets)


def shoppers(num, rng):
    """Chances of a purchase by action: some react to a coupon, some only fall off by it."""
    base = rng.uniform(0.05, 0.6, num)
    lift = rng.choice([0.0, 0.4, -0.2], num, p=[0.5, 0.3, 0.2]) * rng.uniform(0.2, 1.0, num)
    return {
        "purchase_7d@nothing": base,
        "purchase_7d@reminder": np.clip(base + lift / 4, 0, 1),
        "purchase_7d@coupon": np.clip(base + lift, 0, 1),
    }


POLICY = Budgeted(
    value=20.0,
    costs={"reminder": 0.05, "coupon": 1.0},
    discounts={"coupon": 2.0},
    draws={"campaign": {"coupon": 1.0}},
    epsilon=0.0,
)


def test_it_acts_on_those_whom_it_changes_and_not_on_those_at_risk():
    scores = {name: np.array(values) for name, values in {
        "purchase_7d@nothing": [0.1, 0.1, 0.9],
        "purchase_7d@reminder": [0.1, 0.12, 0.9],
        "purchase_7d@coupon": [0.1, 0.5, 0.6],
    }.items()}  # fmt: skip
    found = POLICY.probabilities(scores, Context(budgets_left={"campaign": 9.0}))
    assert found.argmax(axis=1).tolist() == [0, 2, 0]
    assert np.allclose(POLICY.gains(scores)[1], [0, 0.02 * 20 - 0.05, 0.5 * 18 - 0.1 * 20 - 1.0])


@pytest.mark.parametrize("seed", range(3))
def test_spending_is_paced_over_the_day_and_earns_more_than_first_come(seed):
    rng = np.random.default_rng(seed)
    num, budget = 2_000, 60.0
    past = shoppers(4_000, rng)
    asked_at = np.sort(rng.integers(0, 2 * DAY, 4_000))
    policy = POLICY.fit(past, asked_at, seed=seed)
    assert policy.num_daily == 2_000
    today = shoppers(num, rng)
    moments = 3 * DAY + np.sort(rng.integers(0, DAY, num))
    earned = {}
    sides = {"none": (POLICY, 0.0), "first come": (POLICY, budget), "paced": (policy, budget)}
    for name, (chosen, left) in sides.items():
        gain, spent_by_noon = 0.0, 0.0
        for row, moment in enumerate(moments):
            one = {head: values[row : row + 1] for head, values in today.items()}
            allowed = np.array([[True, True, left >= 1.0]])
            context = Context(
                allowed=allowed, budgets_left={"campaign": left}, asked_at=int(moment)
            )
            action = int(chosen.probabilities(one, context)[0].argmax())
            left -= float(action == 2)
            gain += chosen.gains(one)[0, action]
            if moment % DAY < DAY // 2:
                spent_by_noon = budget - left
        assert left >= 0
        earned[name] = gain
        if name == "paced":
            assert 0.35 * budget < spent_by_noon < 0.65 * budget
            assert left < 0.1 * budget
    gained = {name: value - earned["none"] for name, value in earned.items()}
    assert gained["paced"] > 1.3 * gained["first come"] > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epsilon": 2.0}, "epsilon is 2.0"),
        ({"actions": ("coupon", "nothing")}, "comes first"),
        ({"costs": {"coupon": -1.0}}, "'coupon' has the amount -1.0"),
        ({"draws": {"mail": {"letter": 1.0}}}, "'letter'"),
        ({"hours": (1.0,)}, "24 shares"),
        ({"num_daily": 0.0}, "num_daily is 0.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(wrong, message):
    with pytest.raises(ValueError, match=message):
        Budgeted(**wrong)


def test_a_budget_whose_rest_is_not_told_is_refused():
    rng = np.random.default_rng(0)
    past = shoppers(50, rng)
    policy = POLICY.fit(past, rng.integers(0, DAY, 50))
    with pytest.raises(ValueError, match="campaign"):
        policy.probabilities(past, Context())


@pytest.mark.parametrize("seed", range(3))
def test_a_table_of_effects_finds_whom_an_action_changes(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(6_000, 2))
    base = 1 / (1 + np.exp(-(x[:, 0] - 1)))
    truth = np.column_stack([base, base + 0.02, np.clip(base + 0.25 * (x[:, 1] > 0), 0, 1)])
    actions = rng.integers(0, 3, len(x))
    came = rng.random(len(x)) < truth[np.arange(len(x)), actions]
    pseudo = np.where(actions[:, None] == np.arange(3), came[:, None] * 3.0, 0.0)
    table = Effects.fit(("x", "y"), x, pseudo, ridge=20.0)
    fresh = rng.normal(size=(2_000, 2))
    said = table.chances({"x": fresh[:, 0], "y": fresh[:, 1]}, "test")
    real = 0.25 * (fresh[:, 1] > 0)
    lift = said[:, 2] - said[:, 0]
    assert np.corrcoef(lift, real)[0, 1] > 0.75
    policy = replace(POLICY, effects=table)
    again = Budgeted.from_dict(json.loads(json.dumps(policy.to_dict())))
    assert again == policy
    scores = {"x": fresh[:, 0], "y": fresh[:, 1]}
    chosen = again.probabilities(scores, Context(budgets_left={"campaign": 9.0}))
    assert chosen[fresh[:, 1] > 0.3, 2].mean() > 0.7 > 0.4 > chosen[fresh[:, 1] < -0.3, 2].mean()
    with pytest.raises(ValueError, match=r"needs the inputs \['y'\]"):
        again.probabilities({"x": fresh[:, 0]}, Context())


def test_effects_that_are_not_there_are_not_learnt_from_noise():
    """Thirty inputs that tell nothing: without a ridge of its own choice the table sees effects."""
    rng = np.random.default_rng(4)
    names, values = tuple(f"x{place}" for place in range(30)), rng.normal(size=(2_000, 30))
    pseudo = 0.3 + rng.normal(0.0, 0.9, (2_000, 3)) + [0.0, 0.0, 0.1]
    loose = Effects.fit(names, values, pseudo, ridge=1.0)
    chosen = Effects.fit(names, values, pseudo)
    asked = dict(zip(names, rng.normal(size=(30, 500)), strict=True))
    spread = [np.std(np.diff(table.chances(asked, "x")[:, [0, 2]])) for table in (loose, chosen)]
    assert spread[1] < 0.2 * spread[0]
    tells = pseudo + np.column_stack([np.zeros(2_000), np.zeros(2_000), 0.5 * values[:, 0]])
    weights = np.array(Effects.fit(names, values, tells).weights)
    assert weights[2, 1] > 0.3  # and one that is there is
