"""Deciding within limits without a model: an action that is taken wherever nothing forbids it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import polars as pl

from feature_repo.campaigns import LimitState
from feature_repo.events import EVENT_SCHEMA
from feature_repo.ingest import ingest
from feature_repo.ledger import Decision, Ledger
from feature_repo.obstacles import obstacle
from feature_repo.settings import DAY
from feature_repo.warehouse import Warehouse

NOW = 20_000 * DAY + DAY // 3


def decide(
    ledger: Ledger,
    user: str,
    *,
    campaign: str = "win",
    action: str = "coupon",
    at: int = NOW,
    features: dict[str, Any] | None = None,
    obey: bool = True,
) -> tuple[Decision, str]:
    """Take `action` unless it is forbidden; gives the decision and what stood in the way."""
    told: list[str] = []

    def choose(limits: LimitState) -> Decision:
        plan = ledger.campaign(campaign)
        told.append(obstacle(action, limits, plan, features))
        is_free = not (told[-1] and obey)
        return Decision(
            decision_id=uuid4().hex,
            kind="decide",
            user_id=user,
            decided_at=at,
            model_version="m",
            feature_version="f",
            action=action if is_free else "nothing",
            campaign_id=campaign,
            cost_micros=plan.cost_micros.get(action, 0) if is_free else 0,
        )

    return ledger.decide(user, campaign, at, choose), told[-1]


def keep_users(warehouse: Warehouse, **users: dict[str, Any]) -> None:
    """Users by id, with their columns."""
    for user, row in users.items():
        warehouse.upsert_users(pl.DataFrame([{"user_id": user} | row]))


def citing(warehouse: Warehouse, ledger: Ledger, made: Decision, at: int, **more: Any) -> None:
    """An event that cites the decision, kept at `at`."""
    row = dict.fromkeys(EVENT_SCHEMA) | {"event_id": uuid4().hex, "kind": "search"}
    row |= {"user_id": made.user_id, "decision_id": made.decision_id}
    row |= {"event_at": at, "received_at": at} | more
    frame = pl.DataFrame([row], schema=EVENT_SCHEMA)
    ingest(warehouse, frame, source="t", now=at)
    ledger.attach_outcomes(frame)
