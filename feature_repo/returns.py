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
    """Matches the returns of a file that is read in the order of its times, chunk by chunk."""

    def __init__(self) -> None:
        self._lines: defaultdict[tuple[str, str], list[_Line]] = defaultdict(list)
        self._seen: set[str] = set()

    def match(self, events: pl.DataFrame) -> pl.DataFrame:
        """`events` with the order of each return replaced by that of its purchase, or null."""
        fields = ("event_id", "kind", "user_id", "item_id", "event_at", "quantity", "price_micros")
        orders: list[str | None] = []
        for event_id, kind, user, item, at, quantity, price, order in events.select(
            *fields, "order_id"
        ).iter_rows():
            if event_id not in self._seen:
                self._seen.add(event_id)
                if kind == "purchase":
                    self._lines[user, item].append(_Line(at, price, order, quantity or 0))
                elif kind == "return":
                    order = self._take(self._lines.get((user, item), []), at, quantity or 0, price)
            elif kind == "return":
                order = None
            orders.append(order)
        return events.with_columns(order_id=pl.Series(orders, dtype=pl.String))

    def _take(self, lines: list[_Line], at: int, quantity: int, price: int | None) -> str | None:
        """The order of the line that the pieces come from; its pieces are taken off."""
        able = [line for line in lines if line.event_at <= at and line.left >= quantity]
        if not able:
            return None
        line = max(able, key=lambda line: (line.price_micros == price, line.event_at))
        line.left -= quantity
        return line.order_id
