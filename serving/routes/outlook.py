"""``GET /outlook``, ``/shoppers``, ``/campaigns``, ``/experiments``: to look at, and no more.

Nothing here writes to the ledger: what would be decided is weighed, and neither drawn nor reserved.
Next: ``console.py``.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse

from serving.fields import MAX_ID
from serving.routes import users
from serving.routes.asked import Asked, ask, moment, seen
from serving.routes.decide import weigh
from serving.routes.parts import NotFound, Parts, StoreFailed
from serving.routes.parts import Running as RunningParts
from serving.routes.recommend import arrange, listed, rank
from serving.schemas import Alternative, DecisionOut, RecommendRequest
from serving.shown import Campaigns, Found, Outlook, Risk, Running, Weighed
from serving.upkeep import LEDGER

PLAIN, NAMED = r"^[^\x00]*$", r"^[^\x00]*[^\s\x00][^\x00]*$"
Named = Annotated[str, Query(min_length=1, max_length=MAX_ID, pattern=NAMED)]
PAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/html": {"schema": {"type": "string"}}}}
}

router = APIRouter()


@router.get("/outlook")
def outlook(
    parts: RunningParts,
    user_id: Annotated[Named, Query(description="the shopper")],
    num_items: Annotated[int, Query(ge=1, le=50, description="how many items to give")] = 5,
    campaign_id: Annotated[Named | None, Query(description="default: the service's")] = None,
) -> Outlook:
    """Give a shopper as of now, and what would be answered; decides and keeps nothing."""
    asked = ask(parts, user_id)
    decisions = _decisions(asked, parts)
    behaviours = users.behaviours(asked.features)
    wanted = RecommendRequest(user_id=user_id, num_items=num_items)
    items = listed(asked, *rank(asked, arrange(asked, parts).ordering, wanted))
    named = {one.item_id for one in behaviours if one.item_id}
    return Outlook(
        user_id=user_id,
        known=asked.is_known,
        features=users.numbers(asked.features),
        behaviours=behaviours,
        decisions=decisions,
        risk=[
            Risk(task=task, probability=probability, reason=asked.explained(task))
            for task, probability in asked.probabilities.items()
        ],
        next_actions=[] if asked.ahead is None else asked.ahead.steps(asked.asked_at),
        amounts=asked.amounts,
        items=items,
        weighed=_weighed(asked, parts, campaign_id or parts.settings.campaign),
        titles=_titles(asked, named),
        stale=asked.stale,
        missing=asked.missing,
        notices=asked.notices,
        **seen(parts, asked.asked_at),
    )


@router.get("/shoppers")
def shoppers(
    parts: RunningParts,
    prefix: Annotated[
        str, Query(max_length=MAX_ID, pattern=PLAIN, description="how the id begins")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=100, description="how many to give")] = 12,
) -> Found:
    """Find shoppers by the beginning of their id; without one, give some to begin with."""
    with parts.store(LEDGER):
        return Found(shoppers=parts.sights.shoppers(prefix, limit))


@router.get("/campaigns")
def campaigns(parts: RunningParts) -> Campaigns:
    """Give each campaign's budget, and what is spent and left of it today."""
    now = parts.clock.now()
    with parts.store(LEDGER):
        found = parts.sights.spending(now)
    return Campaigns(asked_at=moment(now), currency=parts.sights.currency, campaigns=found)


@router.get("/experiments")
def experiments(parts: RunningParts) -> Running:
    """Give the running experiments with their arms, counts and what they say so far."""
    with parts.store(LEDGER):
        looked_at, found = parts.sights.experiments(parts.clock.now())
    return Running(asked_at=moment(looked_at), experiments=found)


@router.get("/experiments/page", response_class=Response, responses=PAGE)
def page(
    parts: RunningParts, name: Annotated[Named, Query(description="the experiment")]
) -> Response:
    """Give the page that `python -m serving experiment` last wrote of an experiment."""
    path = parts.sights.page(name)
    if path is None:
        raise NotFound(
            f"there is no page of an experiment {name!r}; `python -m serving experiment status` "
            "writes those of the running ones"
        )
    return HTMLResponse(path.read_text(encoding="utf-8"))


def _decisions(asked: Asked, parts: Parts) -> list[DecisionOut]:
    """The shopper's latest; none, and a flag for it, while the ledger cannot be read."""
    try:
        with parts.store(LEDGER):
            return users.decisions(parts, asked.user_id)
    except StoreFailed:
        asked.stale.append(LEDGER)
        asked.notices.append("the ledger cannot be reached: what was decided is not shown")
        return []


def _weighed(asked: Asked, parts: Parts, campaign_id: str) -> Weighed:
    assigned, choice = weigh(asked, parts, campaign_id)
    task = getattr(assigned.policy, "score", next(iter(asked.probabilities)))
    return Weighed(
        campaign_id=campaign_id,
        policy=assigned.policy_name,
        likeliest=max(choice.probabilities, key=lambda action: choice.probabilities[action]),
        reason=assigned.leave_alone or asked.explained(task),
        alternatives=[
            Alternative(action=action, probability=probability, blocked=choice.blocked.get(action))
            for action, probability in choice.probabilities.items()
        ],
        arms=assigned.arms,
    )


def _titles(asked: Asked, item_ids: set[str]) -> dict[str, str]:
    catalogue = asked.catalogue
    rows = {item: catalogue.index[item] for item in item_ids if item in catalogue.index}
    return {item: text for item, row in sorted(rows.items()) if (text := catalogue.text[row])}
