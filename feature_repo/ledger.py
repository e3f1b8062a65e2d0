"""What Nudge said and did, and what came of it: decisions, reservations, outcomes.

A decision is durable before its answer leaves. Budget and frequency cap are read and reserved in
one write transaction, so they hold under concurrency and after a crash. Next: ``answers.py`` for
what a decision says, ``ingest.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from feature_repo import answers, limits, messages
from feature_repo.answers import NOTHING, Decision
from feature_repo.campaigns import Campaign, LimitState
from feature_repo.engine import queue, slices
from feature_repo.exposures import expose
from feature_repo.tables import campaigns, decisions, outcomes
from feature_repo.tables import events as event_table
from feature_repo.warehouse import Warehouse

__all__ = ["NOTHING", "Campaign", "Decision", "Ledger", "LimitState"]


TREATMENT = "treatment"
"""What the shop did itself is no outcome of it."""


class Ledger:
    """The decisions of one shop."""

    def __init__(self, warehouse: Warehouse, zone: str = "UTC", *, sends: bool = False) -> None:
        """`zone` is the shop's; with `sends`, each action leaves a message in the outbox."""
        self._warehouse, self._zone, self._sends = warehouse, zone, sends

    def write(self, decision: Decision) -> None:
        """Keep `decision`; durable when this returns."""
        with self._warehouse.begin() as connection:
            _keep(connection, [decision])

    def absorb(self, spooled: Sequence[Decision]) -> int:
        """Keep decisions that were answered while the ledger was down; how many were new to it."""
        assert not any(decision.cost_micros for decision in spooled), "nothing was reserved"
        with self._warehouse.begin(lock="spool") as connection:
            ids = [decision.decision_id for decision in spooled]
            held = _present(connection, decisions.c.decision_id, ids)
            new = {d.decision_id: d for d in spooled if d.decision_id not in held}
            if new:
                _keep(connection, list(new.values()))
        return len(new)

    def decide(
        self,
        user_id: str,
        campaign_id: str,
        now: int,
        choose: Callable[[LimitState], Decision],
    ) -> Decision:
        """Choose within the limits, reserve what it costs and keep it, in one transaction.

        Parameters
        ----------
        now
            Moment of deciding; budgets are by UTC day.
        choose
            Pure: gives the decision for the limits as they stand.

        Raises
        ------
        ValueError
            When the campaign does not exist.
        """
        with self._warehouse.begin(lock="limits") as connection:
            campaign = limits.find_campaign(connection, campaign_id)
            state = limits.read(connection, campaign, user_id, now, self._zone)
            decision = choose(state)
            if decision.action not in (None, NOTHING):
                limits.reserve(connection, campaign, state, decision, now)
                if self._sends:
                    messages.put(connection, decision, campaign, state)
            _keep(connection, [decision])
        return decision

    def get(self, decision_id: str) -> Decision | None:
        """The decision of that id, None when there is none."""
        query = sa.select(decisions).where(decisions.c.decision_id == decision_id)
        with self._warehouse.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else answers.decision_of(row)

    def decisions(
        self, user_id: str | None = None, limit: int | None = 50, kind: str | None = None
    ) -> list[Decision]:
        """The newest decisions, of one user or of all, of one kind of answer or of all."""
        query = sa.select(decisions).order_by(decisions.c.decided_at.desc()).limit(limit)
        if user_id is not None:
            query = query.where(decisions.c.user_id == user_id)
        if kind is not None:
            query = query.where(decisions.c.kind == kind)
        with self._warehouse.read() as connection:
            return [answers.decision_of(row) for row in connection.execute(query).mappings()]

    def attach_outcomes(self, events: pl.DataFrame) -> tuple[int, int]:
        """Make the events that cite a decision its outcomes, each once.

        An event counts as the warehouse keeps it, and for its own shopper's decision alone. Gives
        the number newly attached and the number that cite a decision nobody made for the shopper.
        """
        citing = events.filter(pl.col("decision_id").is_not_null())["event_id"].drop_nulls()
        if citing.is_empty():
            return 0, 0
        with self._warehouse.begin(lock="outcomes") as connection:
            kept = _citing(connection, citing)
            made = _users_of(connection, [e["decision_id"] for e in kept])
            held = _present(connection, outcomes.c.event_id, [e["event_id"] for e in kept])
            known = [e for e in kept if made.get(e["decision_id"]) == e["user_id"]]
            new = [event for event in known if event["event_id"] not in held]
            rows = [_outcome(event) for event in new if event["kind"] != TREATMENT]
            if rows:
                connection.execute(sa.insert(outcomes), rows)
            _use(connection, known)
        return len(rows), len(kept) - len(known)

    def attach_missing(self) -> int:
        """Attach what a kill left behind, or what cited a decision before the ledger had it."""
        own = sa.and_(
            decisions.c.decision_id == event_table.c.decision_id,
            decisions.c.user_id == event_table.c.user_id,
        )
        without = (
            sa.select(event_table.c.event_id)
            .join(decisions, own)
            .where(
                event_table.c.event_id.not_in(sa.select(outcomes.c.event_id)),
                event_table.c.kind != TREATMENT,
            )
        )
        with self._warehouse.begin(lock="outcomes") as connection:
            missing = connection.execute(without).scalars().all()
            rows = [_outcome(event) for event in _citing(connection, pl.Series(missing))]
            if rows:
                connection.execute(sa.insert(outcomes), rows)
        return len(rows)

    def outcomes(self, decision_id: str) -> list[dict[str, Any]]:
        """The outcomes of a decision: event_id, decision_id, kind, event_at, value_micros."""
        query = sa.select(outcomes).where(outcomes.c.decision_id == decision_id)
        with self._warehouse.read() as connection:
            found = connection.execute(query.order_by(outcomes.c.event_at))
            return [dict(row) for row in found.mappings()]

    def spent_micros(self, campaign_id: str, now: int) -> int:
        """What the campaign has reserved on the UTC day of `now`."""
        with self._warehouse.read() as connection:
            return limits.spent(connection, campaign_id, now)[0]

    def confirm(self, decision_id: str, now: int) -> bool:
        """Use what is held for a decision for good; False when it is released or was never held."""
        with self._warehouse.begin(lock="limits") as connection:
            limits.confirm(connection, [decision_id], now)
            return limits.state_of(connection, decision_id) == limits.CONFIRMED

    def cancel(self, decision_id: str) -> bool:
        """Release what is held for a decision; False when it is used, released or never was."""
        with self._warehouse.begin(lock="limits") as connection:
            return limits.cancel(connection, decision_id)

    def upsert_campaign(self, campaign: Campaign) -> None:
        """Add `campaign`, or replace the one of the same id."""
        with self._warehouse.begin(lock="limits") as connection:
            same = campaigns.c.campaign_id == campaign.campaign_id
            connection.execute(campaigns.delete().where(same))
            connection.execute(sa.insert(campaigns), campaign.to_row())

    def campaign(self, campaign_id: str) -> Campaign:
        """The campaign of that id; ``ValueError`` when there is none."""
        with self._warehouse.read() as connection:
            return limits.find_campaign(connection, campaign_id)


def _keep(connection: sa.Connection, made: Sequence[Decision]) -> None:
    connection.execute(sa.insert(decisions), [answers.row_of(decision) for decision in made])
    expose(connection, made)


def _use(connection: sa.Connection, events: Sequence[dict[str, Any]]) -> None:
    """What is held for a while for decisions that `events` cite is used, if they came in time."""
    cited = sorted({event["decision_id"] for event in events})
    if cited and limits.held_for_a_while(connection, cited):
        queue(connection, "limits")
        limits.confirm(connection, cited, max(event["received_at"] for event in events))


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
    query = sa.select(*(event_table.c[name] for name in names)).where(
        event_table.c.decision_id.is_not(None)
    )
    return [
        dict(row)
        for part in slices(event_ids.unique().to_list())
        for row in connection.execute(query.where(event_table.c.event_id.in_(part))).mappings()
    ]


def _users_of(connection: sa.Connection, decision_ids: list[str]) -> dict[str, str]:
    """Decision to the shopper it was made for."""
    query = sa.select(decisions.c.decision_id, decisions.c.user_id)
    parts = (decisions.c.decision_id.in_(part) for part in slices(sorted(set(decision_ids))))
    return {name: user for part in parts for name, user in connection.execute(query.where(part))}


def _present(connection: sa.Connection, column: sa.Column, values: list[str]) -> set[str]:
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
