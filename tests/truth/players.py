"""Ways to decide in the shop of ``campaigns.py``: the product's own policies, and two oracles.

Only oracles read the truth. Those that learn do so weekly, from decisions whose week has ended; all
leave the same share to chance. Next: ``policies.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from feature_repo.world.shoppers import ACTIONS
from tests.truth.campaigns import COSTS, DAY, DISCOUNT, DRAWS, VALUE, Asked, Shop
from tests.truth.knowing import INPUTS
from training.effects import Log, crossfit
from training.effects.base import linear
from training.effects.outcomes import outcome_model
from training.effects.pseudo import pseudo_outcomes
from training.policies import Budgeted, Context, Effects, FittedQ, LinearBandit, Threshold
from training.policies.fitted_q import Transitions
from training.policies.policy import Policy, allowed_actions

EPSILON = 0.02
LEAST_CHANCE = 0.05
"""Rarer actions count as if they had this chance: a weight of 20 at most."""
NAMED = tuple(f"purchase_7d@{action}" for action in ACTIONS)
BUDGETED = Budgeted(
    epsilon=EPSILON,
    value=VALUE,
    costs=dict(zip(ACTIONS[1:], COSTS[1:].tolist(), strict=True)),
    discounts={"coupon": DISCOUNT},
    draws={"day": dict(zip(ACTIONS[1:], DRAWS[1:].tolist(), strict=True))},
)


def by_name(columns: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    return dict(zip(names, columns.T, strict=True))


def joined(log: Sequence[Asked], name: str) -> np.ndarray:
    """One column of all mornings, ``user`` or another property of :class:`Asked`."""
    return np.concatenate([getattr(one, name) for one in log])


def straight(log: Log):
    """Chances of an order under each action, one logistic regression for each."""
    return outcome_model(log, linear)


def moments(log: Sequence[Asked]) -> np.ndarray:
    """When decisions were asked for, spread over their day."""
    days = [one.day + np.linspace(0, 0.999, len(one.user)) for one in log]
    return (np.concatenate(days) * DAY).astype(np.int64)


class Player:
    """Leaves everybody alone, and learns nothing."""

    sees_truth = False

    def chances(self, inputs: np.ndarray, true: np.ndarray, context: Context) -> np.ndarray:
        """(n, A)."""
        return np.tile(np.eye(len(ACTIONS))[0], (len(inputs), 1))

    def learn(self, log: list[Asked]) -> None:
        """Be told of all weeks that have ended."""


@dataclass
class Evenly(Player):
    """Fixed chances, of what the budget allows; the truth is noted for those who measure."""

    shares: np.ndarray
    sees_truth: bool = False

    def chances(self, inputs: np.ndarray, true: np.ndarray, context: Context) -> np.ndarray:
        some = allowed_actions(context, len(inputs), len(ACTIONS)) * self.shares
        some[some.sum(axis=1) == 0, 0] = 1.0
        return some / some.sum(axis=1, keepdims=True)


@dataclass
class Risk(Player):
    """A coupon above a risk to leave: the mission's floor. The risk is a logistic regression."""

    policy: Threshold
    risk: Callable[[np.ndarray], np.ndarray]

    @classmethod
    def of(cls, shop: Shop, budget: float = 0.0) -> Risk:
        """With the product's thresholds; or with a `budget`, the one that just spends it."""
        inputs, left = shop.retention
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
        fitted = model.fit(inputs, left)
        policy = Threshold(epsilon=EPSILON)
        if budget:
            last = joined(shop.log[-7:], "inputs")
            share = budget / DRAWS[2] / (len(last) / 7)
            bound = float(np.quantile(fitted.predict_proba(last)[:, 1], 1 - min(share, 1.0)))
            policy = replace(policy, coupon_threshold=bound, reminder_threshold=bound)
        return cls(policy, lambda asked: fitted.predict_proba(asked)[:, 1])

    def chances(self, inputs: np.ndarray, true: np.ndarray, context: Context) -> np.ndarray:
        return self.policy.probabilities({"leave_90d": self.risk(inputs)}, context)


@dataclass
class Oracle(Player):
    """The budgeted policy fed with true effects."""

    policy: Budgeted = BUDGETED
    sees_truth: bool = True

    def told(self, inputs: np.ndarray, true: np.ndarray) -> np.ndarray:
        """Chances (n, A) of an order within the week."""
        return true

    def chances(self, inputs: np.ndarray, true: np.ndarray, context: Context) -> np.ndarray:
        return self.policy.probabilities(by_name(self.told(inputs, true), NAMED), context)

    def learn(self, log: list[Asked]) -> None:
        last = log[-7:]
        told = self.told(joined(last, "inputs"), joined(last, "true"))
        self.policy = self.policy.fit(by_name(told, NAMED), moments(last))


@dataclass
class Observer(Oracle):
    """The same with true effects as far as the inputs tell: regressed on them in other shops."""

    models: tuple[Callable[[np.ndarray], np.ndarray], ...] = ()
    """The chance under nothing, and what each action adds."""
    sees_truth: bool = False

    def told(self, inputs: np.ndarray, true: np.ndarray) -> np.ndarray:
        base, *more = (model(inputs) for model in self.models)
        return np.clip(np.column_stack([base, *(base + one for one in more)]), 0.0, 1.0)


@dataclass
class Uplift(Player):
    """The budgeted policy with effects learnt from the log: doubly robust, a small table."""

    policy: Budgeted = BUDGETED
    again: bool = True
    """Whether it learns anew each week, or once."""

    def chances(self, inputs: np.ndarray, true: np.ndarray, context: Context) -> np.ndarray:
        return self.policy.probabilities(by_name(inputs, INPUTS), context)

    def learn(self, log: list[Asked]) -> None:
        if self.policy.effects is None or self.again:
            columns = (joined(log, name) for name in ("inputs", "action", "outcome", "propensity"))
            x, action, outcome, chance = columns
            told = Log(x, action, outcome, np.maximum(chance, LEAST_CHANCE), ACTIONS)
            rng = np.random.default_rng(0)
            users = joined(log, "user")
            means = crossfit.cross_fit(told, straight, rng, 2, users)
            pseudo = pseudo_outcomes(told, means)
            effects = Effects.fit(INPUTS, told.features, pseudo, width=0)
            self.policy = replace(self.policy, effects=effects)
        last = log[-7:]
        self.policy = self.policy.fit(by_name(joined(last, "inputs"), INPUTS), moments(last))


@dataclass
class Learner(Player):
    """A policy with inputs of its own that is fitted to the log: the bandit, or fitted Q."""

    policy: LinearBandit | FittedQ
    every_weeks: int = 1
    weeks: int = field(default=0, init=False)

    def chances(self, inputs: np.ndarray, true: np.ndarray, context: Context) -> np.ndarray:
        return self.policy.probabilities(by_name(inputs, INPUTS), context)

    def learn(self, log: list[Asked]) -> None:
        if self.weeks % self.every_weeks == 0:
            self.policy = fitted(self.policy, log)
        self.weeks += 1


def fitted(policy: LinearBandit | FittedQ, log: list[Asked]) -> Policy:
    """`policy` after the weeks of `log`."""
    if isinstance(policy, FittedQ):
        return policy.fit(steps(log), num_members=4, num_iterations=40)
    inputs = by_name(joined(log, "inputs"), INPUTS)
    return policy.fit(inputs, joined(log, "action"), joined(log, "reward"))


def steps(log: list[Asked]) -> Transitions:
    """From one week of a shopper to the next."""
    days = np.repeat([one.day for one in log], [len(one.user) for one in log])
    users, inputs = joined(log, "user"), joined(log, "inputs")
    order = np.lexsort((days, users))
    goes_on = (np.diff(users[order]) == 0) & (np.diff(days[order]) == 7)
    now, later = order[:-1][goes_on], order[1:][goes_on]
    return Transitions(
        states=inputs[now],
        actions=joined(log, "action")[now],
        rewards=joined(log, "reward")[now],
        next_states=inputs[later],
        users=users[now],
    )
