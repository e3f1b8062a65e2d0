"""What each stored column and each feature means, in one sentence with its unit.

Feast keeps those of stored columns as descriptions of its fields, so that ``feast ui`` shows them;
``python -m feature_repo features`` shows all. Next: ``views``.
"""

from __future__ import annotations

from feature_repo.events import KINDS

MICROS = "microseconds since 1970, UTC"
MONEY = "millionths of the base currency"

_FIXED = {
    "asked_at": f"moment of asking, {MICROS}",
    # stored: user_state
    "first_at": f"time of the first behaviour, {MICROS}",
    "first_purchase_at": f"time of the first purchase, {MICROS}",
    "num_purchase_days": "UTC days with a purchase, ever",
    "spend_micros": f"value of all purchases, {MONEY}",
    "returned_micros": f"value of all returns, {MONEY}",
    "running_day": "newest UTC day with an event on time, in days since 1970",
    "running_orders": "orders opened on the running day",
    "running_spend_micros": f"value of purchases on the running day, {MONEY}",
    # stored: user_days
    "closed_day": "UTC days of the increments, in days since 1970",
    "closed_orders": "orders opened, for each increment",
    "closed_spend_micros": f"value of purchases, for each increment, {MONEY}",
    # stored: user_history
    "history_at": f"times of the last behaviours, oldest first, {MICROS}",
    "history_kind": "their kinds, as codes from 1; 0 is padding",
    "history_item": "their items; empty where there is none",
    "history_quantity": "their pieces; 0 where there are none",
    "history_amount": "their values (price × pieces), in the base currency",
    "history_order": "their orders; empty where there is none",
    # stored: user_treatments
    "treatment_at": f"times of the last treatments, {MICROS}",
    "treatment_action": "their actions, as `coupon` or `reminder`",
    # stored: user_messages
    "message_at": f"times of the last messages to the shop, oldest first, {MICROS}",
    "message_text": "their words, without spaces around them; empty where there are none",
    # stored: item_state and item_days
    "item_first_at": f"time of the first view, click, cart or purchase, {MICROS}",
    "price_micros": f"price of one piece at the latest purchase, {MONEY}",
    "item_num_buyers": "shoppers who ever bought it",
    "text": "latest description known",
    "sold_day": "UTC days with a purchase or view, in days since 1970",
    "sold_purchases": "lines bought, for each of those days",
    "sold_views": "views, for each of those days",
    # derived: user_features
    "tenure_days": "days since the first behaviour",
    "tenure_days_purchase": "days since the first purchase; unknown before it",
    "num_purchases": "lines bought, ever",
    "num_days_with_purchase": "UTC days with a purchase, ever",
    "num_orders": "orders placed, ever",
    "spend": "value of all purchases, in the base currency",
    "returned_spend": "value of all returns, in the base currency",
    "average_order_value": "spend for each order, in the base currency",
    "mean_gap_days": "mean days between two days with a purchase; unknown before the second",
    "lateness": "days since the last purchase, divided by `mean_gap_days`: above 1 is late for the "
    "own rhythm",
    # derived: item_features
    "price": "price of one piece at the latest purchase, in the base currency",
    "age_days": "days since the item was first seen",
    "num_buyers": "shoppers who ever bought it",
}
_LINES = {"purchase": "lines bought", "return": "lines sent back", "search": "searches"}


def meaning(name: str) -> str:
    """What the column or feature `name` means.

    Raises
    ------
    ValueError
        When it has no entry: whoever adds a feature says what it means.
    """
    found = _FIXED.get(name) or _by_kind(name) or _window(name)
    if found is None:
        raise ValueError(f"feature {name!r} has no meaning yet; add a line to {__name__}")
    return found


def _by_kind(name: str) -> str | None:
    """State and recency of one kind of behaviour."""
    for kind in KINDS:
        said = {
            f"last_{kind}_at": f"time of the last {kind}, {MICROS}",
            f"num_{kind}": f"{_lines(kind)}, ever",
            f"running_{kind}": f"{_lines(kind)} on the running day",
            f"closed_{kind}": f"{_lines(kind)}, for each increment",
            f"recency_days_{kind}": f"days since the last {kind}; unknown before the first",
        }
        if name in said:
            return said[name]
    return None


def _window(name: str) -> str | None:
    """Sums over the last days: ``num_view_7d``, ``spend_30d``."""
    stem, _, days = name.rpartition("_")
    if not (days.endswith("d") and days[:-1].isdigit()):
        return None
    window = f"in the last {days[:-1]} days"
    counted = {f"num_{kind}": _lines(kind) for kind in KINDS}
    counted |= {"num_orders": "orders", "num_purchases": "lines sold", "num_views": "views"}
    if stem == "spend":
        return f"value of purchases {window}, in the base currency"
    return f"{counted[stem]} {window}" if stem in counted else None


def _lines(kind: str) -> str:
    return _LINES.get(kind, f"{kind}s")
