"""What to do about one shopper: pure, from probabilities and limits to a drawn action.

Limits come first: budget and frequency cap say what is allowed; the policy gives probabilities of
what is left, and the action is drawn from exactly those, which the ledger logs. The randomness
comes from the decision's own id, so that a decision can be replayed from its record.
Next: ``routes/decide.py``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from feature_repo.answers import LATER, deed_of
from feature_repo.campaigns import Campaign, LimitState
from feature_repo.obstacles import obstacle
from serving.moments import Moment, moment_of
from training.policies import Context, Policy

NOTHING = "nothing"
MICROS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An action, the probabilities it was drawn from, and what stood in the way of others."""

    action: str
    probabilities: dict[str, float]
    blocked: dict[str, str]
    cost_micros: int
    timing: dict[str, float] = field(default_factory=dict)
    """What the shopper's hours told the policy, and ``act_at`` of an action that begins later."""


def decide(
    scores: Mapping[str, float],
    limits: LimitState,
    policy: Policy,
    campaign: Campaign,
    rng: np.random.Generator,
    features: Mapping[str, Any] | None = None,
) -> Choice:
    """Draw an action of `policy` within the limits.

    Parameters
    ----------
    scores
        Head to its probability for this shopper.
    limits
        What the campaign has spent today and what the shopper got within the cap window.
    rng
        See :func:`generator`.
    features
        Name to value, for the campaign's conditions; heads count too.
    """
    told = {**(features or {}), **scores}
    moment = moment_of(told, limits, campaign)
    told |= moment.told
    obstacles = {one: _obstacle(one, limits, campaign, told, moment) for one in policy.actions[1:]}
    blocked = {action: why for action, why in obstacles.items() if why}
    allowed = np.array([[action not in blocked for action in policy.actions]])
    columns = {name: np.array([number]) for name, number in _numbers(told).items()}
    left = {campaign.campaign_id: _left(limits, campaign) / MICROS}
    context = Context(allowed=allowed, budgets_left=left, asked_at=limits.now)
    row = policy.probabilities(columns, context)[0]
    assert abs(row.sum() - 1.0) < 1e-6, f"probabilities of a policy sum to 1: {row}"
    assert not row[~allowed[0]].any(), f"a policy leaves blocked actions alone: {row}"
    probabilities = dict(zip(policy.actions, map(float, row), strict=True))
    action = _draw(probabilities, rng)
    return Choice(
        action=action,
        probabilities=probabilities,
        blocked=blocked,
        cost_micros=campaign.cost_micros.get(deed_of(action), 0),
        timing=_timing(action, moment),
    )


def leave_alone(policy: Policy, why: str) -> Choice:
    """No action, for a shopper whom the model's probabilities do not describe."""
    probabilities = {action: float(action == NOTHING) for action in policy.actions}
    blocked = dict.fromkeys(policy.actions[1:], why)
    return Choice(action=NOTHING, probabilities=probabilities, blocked=blocked, cost_micros=0)


def unknown_budgets(policy: Policy, campaign_id: str) -> list[str]:
    """Budgets that `policy` draws on and the campaign is not."""
    return [name for name in getattr(policy, "draws", {}) if name != campaign_id]


def _obstacle(
    action: str,
    limits: LimitState,
    campaign: Campaign,
    told: Mapping[str, Any],
    moment: Moment,
) -> str:
    """What stands in the way of `action` when it would begin."""
    if not action.endswith(LATER):
        return obstacle(action, limits, campaign, told)
    if moment.later_at is None:
        return "no hour outside quiet hours is left today"
    return obstacle(deed_of(action), replace(limits, now=moment.later_at), campaign, told)


def _timing(action: str, moment: Moment) -> dict[str, float]:
    at = moment.later_at if action.endswith(LATER) else None
    return moment.told | ({} if at is None else {"act_at": float(at)})


def generator(decision_id: str) -> np.random.Generator:
    """The randomness of one decision: its id decides it, so anyone can draw again."""
    digest = hashlib.sha256(decision_id.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _left(limits: LimitState, campaign: Campaign) -> int:
    """What may still be spent today."""
    today = limits.daily_budget_micros - limits.spent_micros
    if campaign.total_budget_micros is None:
        return today
    return min(today, campaign.total_budget_micros - limits.total_spent_micros)


def _numbers(told: Mapping[str, Any]) -> dict[str, float]:
    """Features and scores that are numbers, for the policies that read them; unknown is NaN."""
    return {
        name: math.nan if value is None else float(value)
        for name, value in told.items()
        if value is None or isinstance(value, int | float)
    }


def _draw(probabilities: Mapping[str, float], rng: np.random.Generator) -> str:
    """One action, by the cumulative probabilities in the policy's order."""
    names = list(probabilities)
    edges = np.cumsum([probabilities[name] for name in names])
    # The last edge can round to beside 1: scale to it, and stay inside.
    place = int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))
    return names[min(place, len(names) - 1)]
