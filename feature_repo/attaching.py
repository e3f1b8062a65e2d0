"""Which events are outcomes of which decisions, on the caller's transaction.

An event counts as the warehouse keeps it, and for its own shopper's decision alone. Next:
``ledger.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from feature_repo import limits
from feature_repo.engine import queue, slices
from feature_repo.tables import decisions, events, outcomes

TREATMENT = "treatment"
"""What the shop did itself is no outcome of it."""


def attach(connection: sa.Connection, event_ids: pl.Series) -> tuple[int, int]:
    """Make those of these events that cite a decision its outcomes, each once.

    Gives the number newly attached and the number that cite a decision nobody made for the shopper.
    """
    kept = _citing(connection, event_ids)
    made = _users_of(connection, [e["decision_id"] for e in kept])
    held = present(connection, outcomes.c.event_id, [e["event_id"] for e in kept])
    known = [e for e in kept if made.get(e["decision_id"]) == e["user_id"]]
    new = [event for event in known if event["event_id"] not in held]
    rows = [_outcome(event) for event in new if event["kind"] != TREATMENT]
    if rows:
        connection.execute(sa.insert(outcomes), rows)
    _use(connection, known)
    return len(rows), len(kept) - len(known)


def attach_missing(connection: sa.Connection) -> int:
    """Attach what was left behind; how many that were."""
    own = sa.and_(
        decisions.c.decision_id == events.c.decision_id,
        decisions.c.user_id == events.c.user_id,
    )
    without = (
        sa.select(events.c.event_id)
        .join(decisions, own)
        .where(
            events.c.event_id.not_in(sa.select(outcomes.c.event_id)),
            events.c.kind != TREATMENT,
        )
    )
    missing = connection.execute(without).scalars().all()
    rows = [_outcome(event) for event in _citing(connection, pl.Series(missing))]
    if rows:
        connection.execute(sa.insert(outcomes), rows)
    return len(rows)


def _use(connection: sa.Connection, citing: Sequence[dict[str, Any]]) -> None:
    """What is held for decisions that these events cite is used, if they came in time."""
    cited = sorted({event["decision_id"] for event in citing})
    if cited and limits.held_for_a_while(connection, cited):
        queue(connection, "limits")
        limits.confirm(connection, cited, max(event["received_at"] for event in citing))


def _citing(connection: sa.Connection, event_ids: pl.Series) -> list[dict[str, Any]]:
    """The kept events among `event_ids` that cite a decision."""
    names: tuple[str, ...] = (
        "event_id",
        "user_id",
        "decision_id",
        "kind",
        "event_at",
        "received_at",
    )
    names += ("quantity", "price_micros")
    query = sa.select(*(events.c[name] for name in names)).where(events.c.decision_id.is_not(None))
    return [
        dict(row)
        for part in slices(event_ids.unique().to_list())
        for row in connection.execute(query.where(events.c.event_id.in_(part))).mappings()
    ]


def _users_of(connection: sa.Connection, decision_ids: list[str]) -> dict[str, str]:
    """Decision to the shopper it was made for."""
    query = sa.select(decisions.c.decision_id, decisions.c.user_id)
    parts = (decisions.c.decision_id.in_(part) for part in slices(sorted(set(decision_ids))))
    return {name: user for part in parts for name, user in connection.execute(query.where(part))}


def present(connection: sa.Connection, column: sa.Column, values: list[str]) -> set[str]:
    """Which of `values` stand in `column`."""
    return {
        found
        for part in slices(sorted(set(values)))
        for found in connection.execute(sa.select(column).where(column.in_(part))).scalars()
    }


def _outcome(event: dict[str, Any]) -> dict[str, Any]:
    value = (event["price_micros"] or 0) * (event["quantity"] or 1)
    names = ("event_id", "decision_id", "kind", "event_at")
    return {name: event[name] for name in names} | {"value_micros": value}
