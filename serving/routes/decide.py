"""``POST /decide``: coupon, reminder or nothing, within budget and frequency cap.

The pure choice runs inside the ledger's write transaction, which reserves what it costs.
Next: ``events.py``.
"""

from __future__ import annotations

from fastapi import APIRouter

from feature_repo.ledger import Campaign, Decision, LimitState
from serving import explain
from serving.decide import MICROS, Choice, decide, generator, leave_alone
from serving.routes.asked import Asked, ask, envelope, record_of
from serving.routes.parts import NotFound, Parts, Running
from serving.schemas import Alternative, DecideRequest, Treatment

router = APIRouter()


@router.post("/decide")
def decide_(request: DecideRequest, parts: Running) -> Treatment:
    """Decide what to do about a shopper, and reserve the means for it."""
    campaign = _campaign(parts, request.campaign_id or parts.settings.campaign)
    asked = ask(parts, request.user_id)
    choices: list[Choice] = []

    def choose(limits: LimitState) -> Decision:
        choice = _choose(asked, parts, campaign, limits)
        choices.append(choice)
        return record_of(
            asked,
            parts,
            "decide",
            policy=f"{parts.policy_name}:{parts.policy_version}",
            action=choice.action,
            probabilities=choice.probabilities,
            scores=asked.probabilities,
            reason=_reason(asked, parts, choice, limits),
            campaign_id=campaign.campaign_id,
            cost_micros=choice.cost_micros,
            request=request.model_dump(mode="json"),
        )

    with parts.store("ledger"):
        decision = parts.ledger.decide(
            request.user_id, campaign.campaign_id, asked.asked_at, choose
        )
    parts.meters.answers.labels("decide").inc()
    parts.meters.actions.labels(campaign.campaign_id, decision.action).inc()
    return _answer(asked, parts, choices[-1], decision)


def _campaign(parts: Parts, campaign_id: str) -> Campaign:
    with parts.store("ledger"):
        try:
            return parts.ledger.campaign(campaign_id)
        except ValueError as error:
            raise NotFound(f"{error}; promoting a model makes one") from error


def _choose(asked: Asked, parts: Parts, campaign: Campaign, limits: LimitState) -> Choice:
    """The model learnt from shoppers with a purchase; others are left alone."""
    if {"shopper", "purchases"} & set(asked.missing):
        return leave_alone(parts.policy, "no purchase of this shopper is known")
    rng = generator(asked.decision_id)
    return decide(asked.probabilities, limits, parts.policy, campaign, rng)


def _reason(asked: Asked, parts: Parts, choice: Choice, limits: LimitState) -> str:
    task = getattr(parts.policy, "score", next(iter(asked.probabilities)))
    risk = explain.prediction(task, asked.probabilities[task], asked.features)
    probability = choice.probabilities[choice.action]
    return explain.treatment(choice.action, probability, risk, choice.blocked, limits)


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
        policy_version=parts.policy_version,
        **envelope(asked, parts),
    )
