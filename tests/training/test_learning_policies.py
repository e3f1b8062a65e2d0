"""The bandit finds what suits whom; fitted Q finds what today's coupon costs tomorrow."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from training.policies import POLICIES, Context, FittedQ, LinearBandit
from training.policies.fitted_q import Transitions

BANDIT = LinearBandit(inputs=("x", "y"), epsilon=0.0)
EFFECTS = np.array([[0.0, 0.0, 0.0], [0.1, 0.5, 0.0], [-0.2, 0.0, 0.8]])  # by action: 1, x, y


def rewards_of(x, y, actions, rng, noise=1.0):
    mean = (np.column_stack([np.ones(len(x)), x, y]) * EFFECTS[actions]).sum(axis=1)
    return mean + noise * rng.normal(size=len(x)), mean


def best_reward(x, y):
    return (np.column_stack([np.ones(len(x)), x, y]) @ EFFECTS.T).max(axis=1)


def play(policy, rng, num_rounds=40, num=50, delay=2):
    """Regret per round; outcomes come `delay` rounds after the decision."""
    log, regret = [], []
    for number in range(num_rounds):
        x, y = rng.normal(size=(2, num))
        chances = policy.probabilities({"x": x, "y": y}, Context())
        actions = np.array([rng.choice(3, p=row) for row in chances])
        earned, mean = rewards_of(x, y, actions, rng)
        regret.append((best_reward(x, y) - mean).mean())
        log.append((x, y, actions, earned))
        if number >= delay:
            x, y, actions, earned = (
                np.concatenate(part) for part in zip(*log[: 1 - delay], strict=True)
            )
            policy = policy.fit({"x": x, "y": y}, actions, earned)
    return np.array(regret)


@pytest.mark.parametrize("rule", ["thompson", "ucb"])
def test_regret_shrinks_though_outcomes_come_late(rule):
    regrets = [play(replace(BANDIT, rule=rule), np.random.default_rng(seed)) for seed in range(5)]
    mean = np.mean(regrets, axis=0)
    assert mean[-10:].mean() < 0.25 * mean[:3].mean()
    assert mean[-10:].mean() < 0.1


def test_a_thompson_probability_is_the_chance_to_be_best():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 90))
    actions = rng.integers(0, 3, 90)
    fitted = BANDIT.fit({"x": x, "y": y}, actions, rewards_of(x, y, actions, rng)[0])
    asked = {"x": np.array([0.3, -1.0]), "y": np.array([0.1, 0.4])}
    mean, deviation = fitted.expected(fitted._design(np.column_stack(list(asked.values()))))
    drawn = (mean + deviation * rng.normal(size=(200_000, 2, 3))).argmax(axis=2)
    share = (drawn[:, :, None] == np.arange(3)).mean(axis=0)
    assert np.allclose(fitted.probabilities(asked, Context()), share, atol=0.07)


def test_before_any_outcome_all_actions_are_equally_likely():
    found = BANDIT.probabilities({"x": np.zeros(2), "y": np.ones(2)}, Context())
    assert np.allclose(found, 1 / 3, atol=0.08)


def test_an_unknown_input_counts_as_its_mean():
    rng = np.random.default_rng(0)
    x, y = rng.normal(2.0, 1.0, size=(2, 200))
    x[::5] = np.nan
    actions = rng.integers(0, 3, 200)
    fitted = BANDIT.fit({"x": x, "y": y}, actions, rng.normal(size=200))
    at_mean = {"x": np.array([np.nanmean(x)]), "y": np.array([1.0])}
    unknown = {"x": np.array([np.nan]), "y": np.array([1.0])}
    assert np.allclose(*(fitted.probabilities(s, Context()) for s in (at_mean, unknown)))


# A shopper tires: a coupon earns 3 when fresh and -1 when tired, and tires for two days. Greedy
# takes it whenever it is fresh; so it should. But a reminder earns 1 and spoils nothing, a coupon
# on a tired shopper makes it worse for long: what a step earns is not what it is worth.
GAMMA, NUM_STATES = 0.9, 6
REWARD = np.array([[0.0, 0.5, 2.0 - state] for state in range(NUM_STATES)])


def step(state, action):
    return np.where(action == 2, np.minimum(state + 3, NUM_STATES - 1), np.maximum(state - 1, 0))


def optimal():
    """Q (states, actions) by value iteration: the known truth."""
    q = np.zeros((NUM_STATES, 3))
    states = np.arange(NUM_STATES)
    for _ in range(400):
        later = np.column_stack(
            [q.max(axis=1)[step(states, np.full(NUM_STATES, a))] for a in range(3)]
        )
        q = REWARD + GAMMA * later
    return q


def logged(seed, num=4_000):
    rng = np.random.default_rng(seed)
    users = np.arange(num) % 100
    state, actions = rng.integers(0, NUM_STATES, num), rng.integers(0, 3, num)
    return Transitions(
        states=state[:, None].astype(float),
        actions=actions,
        rewards=REWARD[state, actions] + rng.normal(0, 0.3, num),
        next_states=step(state, actions)[:, None].astype(float),
        users=users,
    )


@pytest.mark.parametrize("seed", range(3))
def test_fitted_q_finds_the_policy_that_looks_ahead(seed):
    truth = optimal()
    policy = FittedQ(inputs=("tired",), discount=GAMMA, epsilon=0.0, seed=seed)
    fitted = policy.fit(logged(seed), num_iterations=120)
    states = np.arange(NUM_STATES, dtype=float)
    chosen = fitted.probabilities({"tired": states}, Context()).argmax(axis=1)
    lost = truth.max(axis=1) - truth[np.arange(NUM_STATES), chosen]
    greedy = truth.max(axis=1) - truth[np.arange(NUM_STATES), REWARD.argmax(axis=1)]
    assert greedy.max() > 0.3  # who looks at today alone loses
    assert lost.max() < 0.1
    error = np.abs(fitted.q_values(states[:, None]).mean(axis=0) - truth)
    assert error.max() < 0.1 * np.abs(truth).max()


def thinned(log, keep):
    return Transitions(**{name: getattr(log, name)[keep] for name in log.__dataclass_fields__})


def test_pessimism_does_nothing_where_the_log_cannot_tell():
    log, fresh = logged(0), np.array([[0.0]])
    untold = (log.actions == 2) & (log.states[:, 0] < 2)  # no coupon for the fresh
    policy = FittedQ(inputs=("tired",), discount=GAMMA, epsilon=0.0)
    known, thin = policy.fit(log), policy.fit(thinned(log, ~untold))
    spread = []
    for one in (known, thin):
        q = one.q_values(fresh)[:, 0]
        spread.append((q[:, 2] - q[:, 0]).std())
    assert spread[1] > 5 * spread[0]
    sure = replace(known, pessimism=4.0).probabilities({"tired": fresh[0]}, Context())
    unsure = replace(thin, pessimism=4.0).probabilities({"tired": fresh[0]}, Context())
    assert sure.argmax() == 2
    assert unsure.argmax() != 2


def test_an_action_that_the_log_never_shows_is_refused():
    log = logged(0)
    thin = thinned(log, log.actions != 1)
    with pytest.raises(ValueError, match="never shows \\['reminder'\\]"):
        FittedQ(inputs=("tired",)).fit(thin)


def fitted(name):
    rng = np.random.default_rng(1)
    if name == "bandit":
        x = rng.normal(size=(2, 60))
        return BANDIT.fit({"x": x[0], "y": x[1]}, rng.integers(0, 3, 60), rng.normal(size=60))
    return FittedQ(inputs=("x",)).fit(logged(1, 600))


@pytest.mark.parametrize("name", ["bandit", "fitted_q"])
def test_what_was_learnt_survives_json_and_obeys_the_mask(name):
    policy = fitted(name)
    again = POLICIES[name].from_dict(json.loads(json.dumps(policy.to_dict())))
    assert again == policy
    scores = {"x": np.linspace(-2, 2, 7), "y": np.linspace(1, -1, 7)}
    allowed = np.ones((7, 3), dtype=bool)
    allowed[::2, 2] = allowed[1::3, 1] = False
    context = Context(allowed=allowed)
    found = again.probabilities(scores, context)
    assert np.array_equal(found, policy.probabilities(scores, context))
    assert np.allclose(found.sum(axis=1), 1.0)
    assert (found[~allowed] == 0).all()
    assert (found[allowed] > 0).all()


@pytest.mark.parametrize("name", ["bandit", "fitted_q"])
def test_a_missing_input_is_named(name):
    with pytest.raises(ValueError, match="needs the inputs"):
        fitted(name).probabilities({"z": np.zeros(2)}, Context())


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (LinearBandit, {"rule": "greedy"}, "rule is 'greedy'"),
        (LinearBandit, {"noise": 0.0}, "noise is 0.0"),
        (LinearBandit, {"actions": ("coupon",)}, "comes first"),
        (FittedQ, {"discount": 1.0}, "no sum ends"),
        (FittedQ, {"epsilon": -1.0}, "epsilon is -1.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(kind, wrong, message):
    with pytest.raises(ValueError, match=message):
        kind(**wrong)


def test_fitted_q_without_a_log_says_so():
    with pytest.raises(ValueError, match="was not fitted"):
        FittedQ(inputs=("x",)).probabilities({"x": np.zeros(1)}, Context())
