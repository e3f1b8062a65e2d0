"""What Nudge said and did, and what came of it: decisions, reservations, outcomes.

A decision is durable before its answer leaves; threads that wait for that share a commit. Budget
and frequency cap are read and reserved in one write transaction, so they hold under concurrency and
after a crash. Next: ``answers.py`` for what a decision says, ``commits.py``, ``ingest.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl
import sqlalchemy as sa

from feature_repo import answers, attaching, limits, messages
from feature_repo.answers import NOTHING, Decision
from feature_repo.attaching import present
from feature_repo.campaigns import Campaign, LimitState
from feature_repo.commits import GroupCommit
from feature_repo.exposures import expose
from feature_repo.tables import campaigns, decisions, outcomes
from feature_repo.warehouse import Warehouse

__all__ = ["NOTHING", "Campaign", "Decision", "Ledger", "LimitState"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What is to be decided within the limits."""

    user_id: str
    campaign_id: str
    now: int
    choose: Callable[[LimitState], Decision]


class Ledger:
    """The decisions of one shop."""

    def __init__(self, warehouse: Warehouse, zone: str = "UTC", *, sends: bool = False) -> None:
        """`zone` is the shop's; with `sends`, each action leaves a message in the outbox."""
        self._warehouse, self._zone, self._sends = warehouse, zone, sends
        self._write = GroupCommit(warehouse.begin, _keep)
        self._decide = GroupCommit(partial(warehouse.begin, lock="limits"), self._decide_all)

    def write(self, decision: Decision) -> None:
        """Keep `decision`; durable when this returns."""
        self._write(decision)

    def absorb(self, spooled: Sequence[Decision]) -> int:
        """Keep decisions that were answered while the ledger was down; how many were new to it."""
        assert not any(decision.cost_micros for decision in spooled), "nothing was reserved"
        with self._warehouse.begin(lock="spool") as connection:
            ids = [decision.decision_id for decision in spooled]
            held = present(connection, decisions.c.decision_id, ids)
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
        asked = _Question(user_id=user_id, campaign_id=campaign_id, now=now, choose=choose)
        return self._decide(asked)

    def _decide_all(
        self, connection: sa.Connection, questions: Sequence[_Question]
    ) -> Sequence[Decision]:
        """One after the other: each sees what those before it reserved."""
        return _keep(connection, [self._decide_one(connection, one) for one in questions])

    def _decide_one(self, connection: sa.Connection, question: _Question) -> Decision:
        now = question.now
        campaign = limits.find_campaign(connection, question.campaign_id)
        state = limits.read(connection, campaign, question.user_id, now, self._zone)
        decision = question.choose(state)
        if decision.action not in (None, NOTHING):
            limits.reserve(connection, campaign, state, decision, now)
            if self._sends:
                messages.put(connection, decision, campaign, state)
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
            return attaching.attach(connection, citing)

    def attach_missing(self) -> int:
        """Attach what a kill left behind, or what cited a decision before the ledger had it."""
        with self._warehouse.begin(lock="outcomes") as connection:
            return attaching.attach_missing(connection)

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


def _keep(connection: sa.Connection, made: Sequence[Decision]) -> Sequence[Decision]:
    connection.execute(sa.insert(decisions), [answers.row_of(decision) for decision in made])
    expose(connection, made)
    return made
