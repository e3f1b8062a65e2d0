"""What a warehouse holds at a glance, and what its shop's files lack for some features and tasks.

Next: ``validate.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from feature_repo.tables import dead_letters, events, items, users
from feature_repo.warehouse import Warehouse

BOUGHT = ("purchase", "return")
SEEN = ("view", "click", "cart")


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """Counts over all events of a warehouse."""

    kinds: dict[str, int]
    currencies: dict[str, int]
    """Currency as paid to events with a price."""
    span: tuple[int, int] | None
    """First and last moment of an event."""
    num_users: int
    num_items: int
    num_users_told: int
    """Users with a row of their own."""
    num_items_told: int
    num_items_described: int
    """Items whose own row has a text."""
    num_priced: int
    """Purchases with a price."""
    num_with_text: int
    """Events with an item that describe it."""
    num_with_order: int
    """Purchases with an order id."""
    num_with_time: int
    """Events that don't lie at a midnight UTC."""

    def notices(self) -> Iterator[str]:
        """What features and tasks must do without."""
        bought = self.kinds.get("purchase", 0)
        num_events = sum(self.kinds.values())
        if not num_events:
            return
        if not bought:
            yield (
                "no purchases: money, orders and rhythm stay empty, and the tasks next_item and "
                "retention can't be trained"
            )
        elif not self.num_priced:
            yield "no prices: amounts are unknown, and spend, order value and item price stay empty"
        elif self.num_priced < bought:
            yield f"{bought - self.num_priced:,} of {bought:,} purchases have no price"
        if bought and not self.num_with_order:
            yield 'no order ids: each purchase is an order of its own (or set orders = "day")'
        if not self.num_with_text and not self.num_items_described:
            yield "no item texts: items are known by their ids alone, so new ones can't be ranked"
        if not any(self.kinds.get(kind) for kind in SEEN):
            yield "no views, clicks or carts: their counts and recencies stay empty"
        if not self.num_with_time:
            yield "all times are midnights: the order of what happened within a day is unknown"


def survey(warehouse: Warehouse) -> Survey:
    """Count what the warehouse holds."""
    table = events.c
    bought = table.kind == "purchase"

    def number(*where: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.func.sum(sa.case((sa.and_(*where), 1), else_=0))

    with warehouse.read() as connection:
        first, last, num_users, num_items, priced, text, order, time = connection.execute(
            sa.select(
                sa.func.min(table.event_at),
                sa.func.max(table.event_at),
                sa.func.count(table.user_id.distinct()),
                sa.func.count(table.item_id.distinct()),
                number(bought, table.price_micros.is_not(None)),
                number(table.item_id.is_not(None), table.text.is_not(None)),
                number(bought, table.order_id.is_not(None)),
                number(table.event_at % 86_400_000_000 != 0),
            )
        ).one()
        kinds = connection.execute(sa.select(table.kind, sa.func.count()).group_by(table.kind))
        paid = sa.select(table.currency, sa.func.count()).group_by(table.currency)
        currencies = connection.execute(paid.where(table.original_price_micros.is_not(None)))
        told = [
            connection.execute(sa.select(sa.func.count()).select_from(named)).scalar_one()
            for named in (users, items)
        ]
        described = sa.select(sa.func.count(items.c.text))
        num_described = connection.execute(described).scalar_one()
        return Survey(
            kinds=_counts(kinds),
            currencies=_counts(currencies),
            span=None if first is None else (first, last),
            num_users=num_users,
            num_items=num_items,
            num_users_told=told[0],
            num_items_told=told[1],
            num_items_described=num_described,
            num_priced=priced or 0,
            num_with_text=text or 0,
            num_with_order=order or 0,
            num_with_time=time or 0,
        )


def _counts(rows: Iterable[Any]) -> dict[str, int]:
    return {str(name): int(num) for name, num in rows}


def examples(warehouse: Warehouse, num: int) -> dict[str, list[str]]:
    """Reason to at most `num` rejected rows, raw."""
    table = dead_letters.c
    with warehouse.read() as connection:
        reasons = connection.execute(sa.select(table.reason).distinct()).scalars().all()
        return {
            reason: list(
                connection.execute(
                    sa.select(table.raw)
                    .where(table.reason == reason)
                    .order_by(table.letter_id)
                    .limit(num)
                ).scalars()
            )
            for reason in sorted(reasons)
        }
