"""What the operator of a shop lays down: campaigns, caps of channels, shoppers to leave alone.

Next: ``limits.py``, which reads them with each decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from feature_repo import limits
from feature_repo.campaigns import Campaign, ChannelCap, LimitState
from feature_repo.limits import CONFIRMED, HELD
from feature_repo.settings import DAY
from feature_repo.tables import campaigns, channel_caps, reservations, suppressions
from feature_repo.warehouse import Warehouse


class Rules:
    """The rules of one shop; each change holds from the next decision on."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def campaigns(self) -> list[Campaign]:
        """All campaigns, by id."""
        query = sa.select(campaigns).order_by(campaigns.c.campaign_id)
        with self._warehouse.read() as connection:
            return [Campaign.from_row(row) for row in connection.execute(query).mappings()]

    def use(self, campaign_id: str, now: int) -> dict[str, tuple[int, int]]:
        """State of reservations to number and cost, today's day of `now` and all days alike.

        Keys are the states, and ``today`` for what counts on the UTC day of `now`.
        """
        cost = sa.func.coalesce(sa.func.sum(reservations.c.cost_micros), 0)
        num = sa.func.count()
        mine = reservations.c.campaign_id == campaign_id
        by_state = sa.select(reservations.c.state, num, cost).where(mine)
        counts = reservations.c.state.in_([HELD, CONFIRMED])
        today = sa.select(num, cost).where(mine, counts, reservations.c.day == now // DAY)
        with self._warehouse.read() as connection:
            rows = connection.execute(by_state.group_by(reservations.c.state)).all()
            found = {state: (int(n), int(spent)) for state, n, spent in rows}
            n, spent = connection.execute(today).one()
        return found | {"today": (int(n), int(spent))}

    def spent(self, campaign_id: str, now: int) -> tuple[int, int]:
        """What counts of a campaign at `now`, in micros: on its UTC day, and on all days."""
        with self._warehouse.read() as connection:
            return limits.spent(connection, campaign_id, now)

    def left(self, campaign: Campaign, user_id: str, now: int, zone: str) -> LimitState:
        """What a decision about a shopper at `now` would find left; nothing is written."""
        with self._warehouse.read() as connection:
            return limits.peek(connection, campaign, user_id, now, zone)

    def cap(self, cap: ChannelCap) -> None:
        """Set the cap of a channel, in place of what it was."""
        self._replace(channel_caps, "channel", cap.channel, {"num": cap.num, "days": cap.days})

    def uncap(self, channel: str) -> None:
        """Let a channel carry any number."""
        self._replace(channel_caps, "channel", channel, None)

    def caps(self) -> list[ChannelCap]:
        """The caps of all channels that have one."""
        query = sa.select(channel_caps).order_by(channel_caps.c.channel)
        with self._warehouse.read() as connection:
            return [ChannelCap(**row) for row in connection.execute(query).mappings()]

    def suppress(self, user_id: str, reason: str, now: int) -> None:
        """Never act on a shopper from now on.

        Raises
        ------
        ValueError
            When no reason is given.
        """
        if not reason.strip():
            raise ValueError(f"shopper {user_id!r} is suppressed for no reason; give one")
        values = {"reason": reason.strip(), "suppressed_at": now}
        self._replace(suppressions, "user_id", user_id, values)

    def unsuppress(self, user_id: str) -> bool:
        """Allow acting on a shopper again; False when it was not forbidden."""
        return self._replace(suppressions, "user_id", user_id, None)

    def suppressed(self) -> list[dict[str, Any]]:
        """user_id, reason and suppressed_at of all shoppers whom nobody acts on."""
        with self._warehouse.read() as connection:
            query = sa.select(suppressions).order_by(suppressions.c.suppressed_at)
            return [dict(row) for row in connection.execute(query).mappings()]

    def _replace(
        self, table: sa.Table, key: str, value: str, row: Mapping[str, Any] | None
    ) -> bool:
        """Put `row` in the place of what was there; whether there was something."""
        with self._warehouse.begin(lock="limits") as connection:
            there = connection.execute(sa.delete(table).where(table.c[key] == value)).rowcount
            if row is not None:
                connection.execute(sa.insert(table), {key: value, **row})
        return there > 0
