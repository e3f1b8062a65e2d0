"""Whom a shop knows: shoppers by the beginning of their id, and those last decided about.

Next: ``warehouse.py``.
"""

from __future__ import annotations

import sqlalchemy as sa

from feature_repo.engine import is_postgres
from feature_repo.tables import decisions, events
from feature_repo.warehouse import Warehouse

LAST = "\U0010ffff"
"""No character comes after it."""


class Shoppers:
    """The shoppers of one shop."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def find(self, prefix: str, limit: int) -> list[str]:
        """Ids of shoppers with an event that begin with `prefix`, exactly as written, by id."""
        user_id = events.c.user_id
        query = sa.select(user_id).distinct().order_by(user_id).limit(limit)
        query = query.where(sa.func.substr(user_id, 1, len(prefix)) == prefix)
        with self._warehouse.read() as connection:
            if not is_postgres(connection):
                # SQLite compares by code points: its index leads to the range.
                query = query.where(user_id >= prefix, user_id < prefix + LAST)
            return [str(one) for one in connection.execute(query).scalars()]

    def decided(self, limit: int) -> list[str]:
        """Ids of the shoppers that were last decided about, the latest first."""
        latest = sa.func.max(decisions.c.decided_at)
        query = sa.select(decisions.c.user_id).group_by(decisions.c.user_id)
        with self._warehouse.read() as connection:
            found = connection.execute(query.order_by(latest.desc(), decisions.c.user_id))
            return [str(one) for one in found.scalars().fetchmany(limit)]
