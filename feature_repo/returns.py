"""Returns find the purchase they undo.

A return names a customer, an item and a quantity, but in many shops not the order. It is matched to
that customer's latest earlier purchase line of the item with enough pieces left, one of the same
price first; without one it stays a return without order. Next: ``importers.py``.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import polars as pl


@dataclass(slots=True)
class _Line:
    """A purchase line and how many of its pieces are not returned yet."""

    event_at: int
    price_micros: int | None
    order_id: str | None
    left: int


class Returns:
    """Matches returns with purchases, of events read in the order of their times, part by part.

    Parameters
    ----------
    earlier
        Purchases and returns that are kept already, in ``EVENT_SCHEMA`` and the order of becoming
        known: a month's file may return what an earlier one sold.
    """

    def __init__(self, earlier: pl.DataFrame | None = None) -> None:
        self._lines: defaultdict[tuple[str, str], list[_Line]] = defaultdict(list)
        self._seen: set[str] = set()
        if earlier is not None:
            self.match(earlier)

    def match(self, events: pl.DataFrame) -> pl.DataFrame:
        """`events` with the order of each return replaced by that of its purchase, or null."""
        fields = ("event_id", "kind", "user_id", "item_id", "event_at", "quantity", "price_micros")
        orders: list[str | None] = []
        for event_id, kind, user, item, at, quantity, price, order in events.select(
            *fields, "order_id"
        ).iter_rows():
            is_new = event_id not in self._seen
            self._seen.add(event_id)
            if is_new and kind == "purchase":
                self._lines[user, item].append(_Line(at, price, order, quantity or 0))
            elif kind == "return":
                lines = self._lines.get((user, item), []) if is_new else []
                order = _take(lines, at, quantity or 0, price, order)
            orders.append(order)
        return events.with_columns(order_id=pl.Series(orders, dtype=pl.String))


def _take(
    lines: list[_Line], at: int, quantity: int, price: int | None, named: str | None
) -> str | None:
    """The order of the line that the pieces come from; its pieces are taken off.

    When the return names the order of a purchase itself, that one is meant.
    """
    able = [line for line in lines if line.event_at <= at and line.left >= quantity]
    able = [line for line in able if line.order_id == named] or able
    if not able:
        return None
    line = max(able, key=lambda line: (line.price_micros == price, line.event_at))
    line.left -= quantity
    return line.order_id
