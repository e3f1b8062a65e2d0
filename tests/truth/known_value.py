"""Logs whose policies have a known value: contexts of a shop, chances of the truth, drawn anew.

A log draws customers of the shop, acts on them by chance, and draws each order from its true
chance; so what any policy would earn in the week is known exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from feature_repo.world.shoppers import ACTIONS
from tests.truth.campaigns import COSTS, DISCOUNT, EXPLORING, NOBODY, VALUE, Shop, worth
from tests.truth.players import Risk, Uplift, joined
from training.effects import Log
from training.effects.crossfit import cross_fit
from training.metrics.offpolicy.estimates import evaluate_policy
from training.policies import Context

NUM_ROWS = 60_000


def measure(shop: Shop, num_logs: int, num_rows: int = NUM_ROWS) -> list[dict[str, Any]]:
    """For each log, policy and estimator: the true value, the estimate and its interval."""
    inputs, true = joined(shop.log, "inputs"), joined(shop.log, "true")
    value, found = worth(true), []
    targets = policies(shop, inputs, true)
    for number in range(num_logs):
        rng = np.random.default_rng([shop.world.seed, 5, number])
        rows = rng.integers(0, len(inputs), num_rows)
        action = rng.choice(len(ACTIONS), num_rows, p=EXPLORING)
        ordered = rng.random(num_rows) < true[rows, action]
        reward = (VALUE - DISCOUNT * (action == 2)) * ordered - COSTS[action]
        told = Log(inputs[rows], action, reward, EXPLORING[action], ACTIONS)
        model = cross_fit(told, least_squares, rng, 2)
        for name, target in targets.items():
            known = float((target * value).sum(axis=1).mean())
            said = evaluate_policy(reward, action, told.propensity, target[rows], model)
            assert not said.refusals, name
            found += [
                {"policy": name, "estimator": estimator, "known": known, "value": one.value,
                 "low": one.low, "high": one.high}
                for estimator, one in said.estimates.items()
            ]  # fmt: skip
    return found


def policies(shop: Shop, inputs: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """Chances (n, A) of policies that nothing limits."""
    free = Context(budgets_left={"day": NOBODY})
    uplift = Uplift()
    uplift.learn(shop.closed)
    return {
        "evenly": np.full((len(inputs), len(ACTIONS)), 1 / len(ACTIONS)),
        "threshold": Risk.of(shop).chances(inputs, true, free),
        "uplift": uplift.chances(inputs, true, free),
    }


def least_squares(log: Log):
    """Mean rewards (n, A) as straight lines of the inputs, one for each action."""
    centre, scale = log.features.mean(axis=0), log.features.std(axis=0) + 1e-9

    def design(x: np.ndarray) -> np.ndarray:
        return np.column_stack([np.ones(len(x)), (x - centre) / scale])

    weights = []
    for action in range(len(log.actions)):
        x = design(log.features[log.action == action])
        gram = x.T @ x + np.eye(x.shape[1])
        weights.append(np.linalg.solve(gram, x.T @ log.outcome[log.action == action]))
    return lambda asked: design(asked) @ np.array(weights).T
