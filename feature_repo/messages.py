"""What is to be sent because of a decision: written with it, sent at least once, never forgotten.

A message is *waiting*, *sent* (delivered; its treatment event is to be kept yet), *done* or *dead*.
It becomes whoever sends it for a while (a lease): a sender that dies leaves it waiting. What the
decision holds is confirmed before the first try, so that it is not given to somebody else
meanwhile. Next: ``serving/outbox.py``, which sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import sqlalchemy as sa

from feature_repo import limits
from feature_repo.answers import Decision, begins_at, deed_of
from feature_repo.campaigns import Campaign, LimitState
from feature_repo.events import EVENT_SCHEMA
from feature_repo.obstacles import quiet_until
from feature_repo.settings import SECOND, iso
from feature_repo.tables import outbox, suppressions
from feature_repo.warehouse import Warehouse

WAITING, SENT, DONE, DEAD = "waiting", "sent", "done", "dead"
STATES = (WAITING, SENT, DONE, DEAD)
LONGEST_WAIT_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message in the hands of a sender."""

    message_id: str
    """That of its decision: the idempotency key, the same however often it is sent."""
    payload: dict[str, Any]
    num_tries: int
    """This one counted."""


def put(
    connection: sa.Connection, decision: Decision, campaign: Campaign, state: LimitState
) -> None:
    """Write the message of `decision` in the transaction that keeps it."""
    payload = {
        "decision_id": decision.decision_id,
        "user_id": decision.user_id,
        "action": deed_of(decision.action),
        "channel": campaign.channels.get(deed_of(decision.action)),
        "campaign_id": campaign.campaign_id,
        "decided_at": iso(decision.decided_at),
        "reason": decision.reason,
        "quiet_hours": campaign.quiet_hours,
        "zone": state.zone,
    }
    row = {
        "message_id": decision.decision_id,
        "decision_id": decision.decision_id,
        "created_at": decision.decided_at,
        "payload": payload,
        "state": WAITING,
        "next_at": begins_at(decision),
    }
    connection.execute(sa.insert(outbox), row)


class Outbox:
    """The messages of one shop; threads and processes may share it."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def claim(self, now: int, lease_s: float) -> Message | None:
        """Take the next message that is due, for so long that nobody else sends it meanwhile.

        One whose shopper sleeps waits for the end of the quiet hours. One whose reservation is
        released, or whose shopper was suppressed since, is dead.
        """
        due = sa.and_(outbox.c.state == WAITING, outbox.c.next_at <= now)
        query = sa.select(outbox).where(due).order_by(outbox.c.next_at, outbox.c.message_id)
        with self._warehouse.begin(lock="limits") as connection:
            while (row := connection.execute(query.limit(1)).mappings().first()) is not None:
                name, tries = row["message_id"], row["num_tries"] + 1
                later = _refusal(connection, name, row["payload"], now)
                if later is not None:
                    _change(connection, name, **later)
                    continue
                lease = now + round(lease_s * SECOND)
                _change(connection, name, num_tries=tries, next_at=lease)
                return Message(message_id=name, payload=row["payload"], num_tries=tries)
        return None

    def sent(self, message: Message, now: int) -> None:
        """The message was delivered at `now`."""
        with self._warehouse.begin() as connection:
            _change(connection, message.message_id, state=SENT, sent_at=now, reason=None)

    def failed(self, message: Message, now: int, reason: str, max_tries: int) -> None:
        """It was not: it waits twice as long as before, or is dead after so many tries.

        A dead message goes on counting against its budget: an answer may have been lost on the way
        back, and then it was delivered.
        """
        wait_s = min(2**message.num_tries, LONGEST_WAIT_S)
        state = DEAD if message.num_tries >= max_tries else WAITING
        with self._warehouse.begin() as connection:
            values = {"state": state, "reason": reason[:500], "next_at": now + wait_s * SECOND}
            _change(connection, message.message_id, **values)

    def treatments(self, now: int) -> pl.DataFrame:
        """The treatment events of what was sent by `now` and is not done, in ``EVENT_SCHEMA``.

        What another machine sent by a clock that runs ahead is told once it is past here too.
        """
        query = sa.select(outbox.c.message_id, outbox.c.sent_at, outbox.c.payload)
        with self._warehouse.read() as connection:
            told = sa.and_(outbox.c.state == SENT, outbox.c.sent_at <= now)
            rows = connection.execute(query.where(told)).all()
        return pl.DataFrame([_event(*row) for row in rows], schema=EVENT_SCHEMA)

    def done(self, decision_ids: Sequence[str]) -> None:
        """The treatment events of these are kept."""
        with self._warehouse.begin() as connection:
            for name in decision_ids:
                _change(connection, name, state=DONE)

    def counts(self) -> dict[str, int]:
        """How many messages are in each state."""
        query = sa.select(outbox.c.state, sa.func.count()).group_by(outbox.c.state)
        with self._warehouse.read() as connection:
            found = connection.execute(query).all()
        return dict.fromkeys(STATES, 0) | {row[0]: row[1] for row in found}

    def dead(self, limit: int = 20) -> list[dict[str, Any]]:
        """Messages that were given up, with their reason."""
        query = sa.select(outbox).where(outbox.c.state == DEAD).order_by(outbox.c.created_at.desc())
        with self._warehouse.read() as connection:
            return [dict(row) for row in connection.execute(query.limit(limit)).mappings()]


def _refusal(
    connection: sa.Connection, name: str, payload: dict[str, Any], now: int
) -> dict[str, Any] | None:
    """What becomes of a message that can't be sent now; None when it can, and is confirmed."""
    hours = payload.get("quiet_hours")
    if hours and (until := quiet_until(now, payload["zone"], hours)) is not None:
        return {"next_at": until}
    query = sa.select(suppressions.c.reason).where(suppressions.c.user_id == payload["user_id"])
    if (why := connection.execute(query).scalar()) is not None:
        limits.cancel(connection, name)
        return {"state": DEAD, "reason": f"suppressed: {why}"}
    limits.confirm(connection, [name], now)
    if limits.state_of(connection, name) != limits.CONFIRMED:
        return {"state": DEAD, "reason": "what it reserved was released before it could be sent"}
    return None


def _change(connection: sa.Connection, name: str, **values: Any) -> None:
    connection.execute(sa.update(outbox).where(outbox.c.message_id == name).values(**values))


def _event(name: str, sent_at: int, payload: dict[str, Any]) -> dict[str, Any]:
    """The treatment that a sent message is: the same however often it is told."""
    told = {"event_id": f"treatment-{name}", "kind": "treatment", "user_id": payload["user_id"]}
    told |= {"event_at": sent_at, "received_at": sent_at, "decision_id": name}
    return dict.fromkeys(EVENT_SCHEMA) | told | {"text": payload["action"]}
