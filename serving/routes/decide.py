"""``POST /decide``: coupon, reminder or nothing, within budget and frequency cap.

The pure choice runs inside the ledger's write transaction, which reserves what it costs. Without
the ledger nothing can be reserved, so nothing is done. Next: ``events.py``.
"""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter

from feature_repo.answers import begins_at
from feature_repo.ledger import Campaign, Decision, LimitState
from serving import explain
from serving.decide import MICROS, Choice, decide, generator, leave_alone, unknown_budgets
from serving.experiments.running import Assigned
from serving.routes.asked import Asked, ask, envelope, moment, record_of
from serving.routes.kept import put_aside
from serving.routes.parts import NotFound, Parts, Running, StoreFailed
from serving.routes.strict import StrictRoute
from serving.schemas import Alternative, DecideRequest, Treatment
from serving.upkeep import FEATURES, LEDGER

NO_LEDGER = "the ledger cannot be reached, so no budget can be reserved"
router = APIRouter(route_class=StrictRoute)


@router.post("/decide")
def decide_(request: DecideRequest, parts: Running) -> Treatment:
    """Decide what to do about a shopper, and reserve the means for it."""
    campaign_id = request.campaign_id or parts.settings.campaign
    asked = ask(parts, request.user_id)
    try:
        choice, decision = _with_ledger(asked, parts, request, campaign_id)
    except StoreFailed:
        # Whether the ledger kept the first id is unknown; no answer with that id leaves.
        asked = replace(asked, decision_id=parts.new_id())
        choice, decision = _without_ledger(asked, parts, request, campaign_id)
    parts.meters.answers.labels("decide").inc()
    parts.meters.actions.labels(campaign_id, choice.action).inc()
    return _answer(asked, parts, choice, decision)


def weigh(asked: Asked, parts: Parts, campaign_id: str) -> tuple[Assigned, Choice]:
    """What a decision would be drawn from as the limits stand; nothing is kept or reserved."""
    try:
        campaign = _campaign(parts, campaign_id)
        assigned = _assign(asked, parts)
        with parts.store(LEDGER):
            limits = parts.sights.left(campaign, asked.user_id, asked.asked_at)
    except StoreFailed:
        assigned = _left_alone(parts, NO_LEDGER)
        return assigned, leave_alone(assigned.policy, NO_LEDGER)
    return assigned, _choose(asked, assigned, campaign, limits)


def _with_ledger(
    asked: Asked, parts: Parts, request: DecideRequest, campaign_id: str
) -> tuple[Choice, Decision]:
    campaign = _campaign(parts, campaign_id)
    assigned = _assign(asked, parts)
    choices: list[Choice] = []

    def choose(limits: LimitState) -> Decision:
        choice = _choose(asked, assigned, campaign, limits)
        choices.append(choice)
        reason = _reason(asked, assigned, choice, limits)
        return _record(asked, parts, assigned, request, campaign_id, choice, reason)

    with parts.store(LEDGER):
        decision = parts.ledger.decide(request.user_id, campaign_id, asked.asked_at, choose)
    return choices[-1], decision


def _without_ledger(
    asked: Asked, parts: Parts, request: DecideRequest, campaign_id: str
) -> tuple[Choice, Decision]:
    assigned = _left_alone(parts, NO_LEDGER)
    choice = leave_alone(assigned.policy, NO_LEDGER)
    reason = f"nothing: {NO_LEDGER}"
    decision = _record(asked, parts, assigned, request, campaign_id, choice, reason)
    return choice, put_aside(asked, parts, decision)


def _record(
    asked: Asked,
    parts: Parts,
    assigned: Assigned,
    request: DecideRequest,
    campaign_id: str,
    choice: Choice,
    reason: str,
) -> Decision:
    return record_of(
        asked,
        parts,
        "decide",
        policy=assigned.policy_name,
        action=choice.action,
        probabilities=choice.probabilities,
        scores=asked.probabilities | choice.timing,
        reason=reason,
        campaign_id=campaign_id,
        cost_micros=choice.cost_micros,
        request=request.model_dump(mode="json"),
        arms=assigned.arms,
    )


def _campaign(parts: Parts, campaign_id: str) -> Campaign:
    with parts.store(LEDGER):
        try:
            return parts.ledger.campaign(campaign_id)
        except ValueError as error:
            raise NotFound(f"{error}; promoting a model makes one") from error


def _assign(asked: Asked, parts: Parts) -> Assigned:
    """Who decides. The model learnt from shoppers with a purchase; others are in no experiment."""
    if FEATURES in asked.missing:
        return _left_alone(parts, "the online store cannot be read")
    if {"shopper", "purchases"} & set(asked.missing):
        return _left_alone(parts, "no purchase of this shopper is known")
    with parts.store(LEDGER):
        return parts.assign(asked.user_id, asked.asked_at)


def _left_alone(parts: Parts, why: str) -> Assigned:
    policy_name = f"{parts.policy_name}:{parts.policy_version}"
    return Assigned(policy=parts.policy, policy_name=policy_name, leave_alone=why)


def _choose(asked: Asked, assigned: Assigned, campaign: Campaign, limits: LimitState) -> Choice:
    if assigned.leave_alone:
        return leave_alone(assigned.policy, assigned.leave_alone)
    if unknown := unknown_budgets(assigned.policy, campaign.campaign_id):
        why = f"the policy spends the budget of {', '.join(unknown)} and knows no other"
        return leave_alone(assigned.policy, why)
    rng = generator(asked.decision_id)
    return decide(asked.probabilities, limits, assigned.policy, campaign, rng, asked.features)


def _reason(asked: Asked, assigned: Assigned, choice: Choice, limits: LimitState) -> str:
    task = getattr(assigned.policy, "score", next(iter(asked.probabilities)))
    probability = choice.probabilities[choice.action]
    parts = (asked.explained(task), "" if assigned.leave_alone else assigned.policy.name)
    return explain.treatment(choice.action, probability, parts, choice.blocked, limits)


def _answer(asked: Asked, parts: Parts, choice: Choice, decision: Decision) -> Treatment:
    return Treatment(
        action=choice.action,
        probability=choice.probabilities[choice.action],
        reason=decision.reason,
        alternatives=[
            Alternative(action=action, probability=probability, blocked=choice.blocked.get(action))
            for action, probability in choice.probabilities.items()
        ],
        predictions=asked.probabilities,
        campaign_id=decision.campaign_id,
        cost=decision.cost_micros / MICROS,
        act_at=moment(begins_at(decision)),
        policy_version=parts.policy_version,
        arms=decision.arms,
        **envelope(asked, parts),
    )
