"""``GET /users/{user_id}`` and ``GET /decisions/{decision_id}``: what is known, what was done.

Next: ``outlook.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path

from feature_repo.events import KINDS
from feature_repo.ledger import Decision
from serving.fields import MAX_ID
from serving.routes.asked import moment, seen
from serving.routes.parts import NotFound, NotYet, Parts, Running
from serving.schemas import Behaviour, DecisionOut, User

NUM_BEHAVIOURS, NUM_DECISIONS = 50, 20
MICROS = 1_000_000

router = APIRouter()
PathId = Annotated[str, Path(min_length=1, max_length=MAX_ID, pattern=r"^[^\x00]+$")]


@router.get("/users/{user_id}")
def user(user_id: PathId, parts: Running) -> User:
    """Give a shopper's features as of now, recent behaviours, decisions and their outcomes."""
    asked_at = parts.clock.now()
    with parts.store("features"):
        row = parts.read_user(user_id, asked_at)
    with parts.store("ledger"):
        made = decisions(parts, user_id)
    return User(
        user_id=user_id,
        known=row["tenure_days"] is not None or bool(row["history_at"]),
        features=numbers(row),
        behaviours=behaviours(row),
        decisions=made,
        **seen(parts, asked_at),
    )


@router.get("/decisions/{decision_id}")
def decision(decision_id: PathId, parts: Running) -> DecisionOut:
    """Give one decision as the ledger holds it, with the events that cited it."""
    is_waiting = parts.spool.holds(decision_id)
    with parts.store("ledger"):
        found = parts.ledger.get(decision_id)
        if found is not None:
            return describe(parts, found)
    if is_waiting:
        raise NotYet(decision_id)
    raise NotFound(f"the ledger holds no decision {decision_id!r}; check the id")


def describe(parts: Parts, found: Decision) -> DecisionOut:
    """A ledger record in the API's words."""
    return DecisionOut(
        decision_id=found.decision_id,
        kind=found.kind,
        user_id=found.user_id,
        decided_at=moment(found.decided_at),
        model_version=found.model_version,
        feature_version=found.feature_version,
        policy=found.policy,
        action=found.action,
        probabilities=found.probabilities,
        scores=found.scores,
        reason=found.reason,
        notices=list(found.notices),
        campaign_id=found.campaign_id,
        cost=found.cost_micros / MICROS,
        request=dict(found.request),
        arms=dict(found.arms),
        outcomes=parts.outcomes(found.decision_id),
    )


def decisions(parts: Parts, user_id: str) -> list[DecisionOut]:
    """The shopper's latest, newest first."""
    return [describe(parts, found) for found in parts.ledger.decisions(user_id, NUM_DECISIONS)]


def numbers(row: Mapping[str, Any]) -> dict[str, float | None]:
    """The features of a shopper's row that are no lists."""
    return {
        name: value
        for name, value in row.items()
        if name != "user_id" and not isinstance(value, list)
    }


def behaviours(row: Mapping[str, Any]) -> list[Behaviour]:
    """The latest of a shopper's row, newest first."""
    names = ("at", "kind", "item", "quantity", "amount", "order")
    lines = zip(*(row[f"history_{name}"] for name in names), strict=True)
    newest_first = list(lines)[::-1][:NUM_BEHAVIOURS]
    return [
        Behaviour(
            at=moment(at),
            kind=KINDS[kind - 1],
            item_id=item or None,
            quantity=quantity or None,
            amount=amount or None,
            order_id=order or None,
        )
        for at, kind, item, quantity, amount, order in newest_first
    ]
