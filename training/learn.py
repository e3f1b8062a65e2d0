"""A policy from the log of decisions: ``python -m training policy NAME``.

Next: ``serving/policies.py``, which lets it serve or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from feature_repo.answers import deed_of
from feature_repo.ledger import Ledger
from feature_repo.settings import DAY, Settings, iso
from feature_repo.warehouse import Warehouse
from training.bundle import Bundle
from training.datasets.decision_log import MICROS, NUM_PARTS, DecisionLog, read_log
from training.effects import Log
from training.effects.base import linear
from training.effects.crossfit import cross_fit
from training.effects.log import MIN_ROWS
from training.effects.outcomes import outcome_model
from training.effects.pseudo import pseudo_outcomes
from training.judging import Judged, judge
from training.keeping import keep
from training.learnt import Learnt
from training.policies import Budgeted, Effects, FittedQ, LinearBandit, Policy, Timed
from training.policies.fitted_q import Transitions
from training.policies.timed import REACHES

INPUTS = (
    "mean_gap_days",
    "recency_days_purchase",
    "lateness",
    "num_orders",
    "average_order_value",
    "num_view_90d",
    "num_message_90d",
    "num_treatment_30d",
)
"""What policies read unless they are told: few, since some thousand decisions tell little."""


def names_in(text: str) -> tuple[str, ...]:
    """The names in ``a,b,c``."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a policy is learnt."""

    name: str
    window_days: float = 7.0
    campaign: str = "default"
    margin: float = 1.0
    inputs: tuple[str, ...] = INPUTS
    service: str = "shopper"


def learn(plan: Plan, settings: Settings, *, as_of: int, now: int) -> tuple[Bundle, Judged]:
    """Fit the policy `plan.name`; its bundle, and what the log says of it beside what was done.

    It learns from everybody's decisions; siblings, each learnt without a part of the shoppers, are
    judged by these.

    Raises
    ------
    ValueError
        For an unknown policy or input, or a log too small to learn from.
    """
    if plan.name not in FITS:
        raise ValueError(
            f"no policy {plan.name!r} learns from a log; choose from {', '.join(FITS)}"
        )
    log = log_of(plan, settings, as_of)
    learnt = fit(plan, log, costs(settings, plan.campaign))
    judged = judge(log, learnt, None, budgets(settings, plan.campaign))
    folder = settings.home / "policies" / f"{plan.name}-{iso(as_of)[:19].replace(':', '')}"
    return keep(folder, learnt, judged, _lineage(plan, log, as_of), now=now), judged


def _lineage(plan: Plan, log: DecisionLog, as_of: int) -> dict[str, object]:
    """What the policy came from."""
    counts = np.bincount(log.action, minlength=len(log.actions))
    return {
        "as_of": as_of,
        "window_days": plan.window_days,
        "campaign": plan.campaign,
        "margin": plan.margin,
        "service": plan.service,
        "first_at": int(log.decided_at.min()),
        "last_at": int(log.decided_at.max()),
        "decisions": dict(zip(log.actions, counts.tolist(), strict=True)),
    }


def log_of(plan: Plan, settings: Settings, as_of: int) -> DecisionLog:
    """The log that `plan` learns from."""
    return read_log(
        settings,
        as_of=as_of,
        window=round(plan.window_days * DAY),
        campaign=plan.campaign,
        service=plan.service,
        margin=plan.margin,
    )


def fit(plan: Plan, log: DecisionLog, paid: Mapping[str, float]) -> Learnt:
    """The policy after `log`, with its siblings.

    `paid` is what an action takes from the budget, base currency.
    """
    counts = np.bincount(log.action, minlength=len(log.actions))
    known = [name for name, num in zip(log.actions, counts, strict=True) if num > 2 * MIN_ROWS]
    if len(known) < 2 or known[0] != log.actions[0]:
        taken = ", ".join(f"{n} {c}" for n, c in zip(log.actions, counts, strict=True))
        raise ValueError(
            f"the log of {len(log.action):,} decisions has {taken}; each action that is learnt "
            f"needs more than {2 * MIN_ROWS}, 'nothing' among them; go on collecting"
        )
    log, way = log.among(known), FITS[plan.name]
    siblings = (way(plan, log.take(log.part != number), paid) for number in range(NUM_PARTS))
    return Learnt(way(plan, log, paid), tuple(siblings))


def costs(settings: Settings, campaign: str) -> dict[str, float]:
    """What each action of the campaign reserves, base currency."""
    kept = Ledger(Warehouse(settings.warehouse)).campaign(campaign)
    return {action: micros / MICROS for action, micros in kept.cost_micros.items()}


def budgets(settings: Settings, campaign: str) -> dict[str, float]:
    """The campaign's budget of a day, base currency."""
    kept = Ledger(Warehouse(settings.warehouse)).campaign(campaign)
    return {campaign: kept.daily_budget_micros / MICROS}


def _budgeted(plan: Plan, log: DecisionLog, paid: Mapping[str, float]) -> Policy:
    """Doubly robust effects on buying within the window, worth what a buyer spends there."""
    values = log.matrix(plan.inputs)
    told = Log(values, log.action, log.purchased, log.learning_propensity, log.actions)
    rng = np.random.default_rng(0)
    means = cross_fit(told, lambda rest: outcome_model(rest, linear), rng, users=log.users)
    effects = Effects.fit(plan.inputs, values, pseudo_outcomes(told, means), width=0)
    buyers = log.purchased > 0
    own = {action: paid[action] for action in log.actions[1:] if paid.get(action)}
    policy = Budgeted(
        actions=log.actions,
        effects=effects,
        value=max(plan.margin * float(log.spent[buyers].mean()), 0.0) if buyers.any() else 0.0,
        costs=own,
        draws={plan.campaign: own} if own else {},
    )
    return replace(policy.fit(log.told, log.decided_at), num_daily=log.num_daily)


def _bandit(plan: Plan, log: DecisionLog, paid: Mapping[str, float]) -> Policy:
    policy = LinearBandit(actions=log.actions, inputs=plan.inputs)
    return policy.fit(log.told, log.action, log.reward)


def _fitted_q(plan: Plan, log: DecisionLog, paid: Mapping[str, float]) -> Policy:
    """Steps from one decision to the same shopper's next; the last is no step."""
    states, steps = log.matrix(plan.inputs), []
    last: dict[str, int] = {}
    for row, user in enumerate(log.users):
        if user in last:
            steps.append((last[user], row))
        last[user] = row
    if len(steps) < MIN_ROWS:
        raise ValueError(
            f"fitted_q needs {MIN_ROWS} decisions that another followed, and the log has "
            f"{len(steps)}; go on collecting, or learn 'bandit'"
        )
    now, later = np.array(steps).T
    reward = log.margin * log.spent_until_next - log.cost
    _, who = np.unique(log.users, return_inverse=True)
    transitions = Transitions(
        states=states[now],
        actions=log.action[now],
        rewards=reward[now],
        next_states=states[later],
        users=who[now],
    )
    return FittedQ(actions=log.actions, inputs=plan.inputs).fit(transitions)


def _timed(plan: Plan, log: DecisionLog, paid: Mapping[str, float]) -> Policy:
    """What each action earned says what to do; what it earned by reach says when."""
    deeds = tuple(dict.fromkeys(deed_of(action) for action in log.actions))
    deed = np.array([deeds.index(deed_of(action)) for action in log.actions])[log.action]
    base = LinearBandit(actions=deeds, inputs=plan.inputs).fit(log.told, deed, log.reward)
    policy = Timed(base=base)
    place = np.array([policy.actions.index(action) for action in log.actions])[log.action]
    known = np.isfinite(log.matrix(REACHES)).all(axis=1)
    told = {name: column[known] for name, column in log.told.items()}
    return policy.fit(told, place[known], log.reward[known], log.learning_propensity[known])


FITS: dict[str, Callable[[Plan, DecisionLog, Mapping[str, float]], Policy]] = {
    "uplift_budget": _budgeted,
    "bandit": _bandit,
    "fitted_q": _fitted_q,
    "timed": _timed,
}
"""Policies that learn from a log; a threshold is set, not learnt."""
