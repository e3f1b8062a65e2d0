"""A shopper's online rows, moved on by the events that became known since: no look at older ones.

The same meaning as ``rollups.py`` over all events, held together by a test that lives the same
events in both ways. What depends on more than the rows (an event of an earlier day, or one that
became known before them) is left to the rollup. Next: ``publish.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from feature_repo.events import KIND_CODES
from feature_repo.rollups import BEHAVIOURS, COUNTED, DAYS_KEPT, HISTORY, MICROS, USER_STATE
from feature_repo.settings import DAY

Event = Mapping[str, Any]
Values = dict[str, Any]
Row = tuple[int, int, Values]
"""Event time, created time and values, as the online store keeps them."""


@dataclass(frozen=True, slots=True)
class Shopper:
    """What the online rows of one shopper say, all of it from the same events."""

    stamp: int
    """One microsecond after the newest of the events became known."""
    state: Values
    days: Values
    history: Values

    @classmethod
    def of(cls, state: Row | None, days: Row | None, history: Row | None) -> Shopper | None:
        """The shopper of three rows; None when they lack something or are of different events.

        ``feast materialize`` stamps a row of days with its newest day, so that its stamp does not
        tell: the days and the running one must then add up to all there was.
        """
        if state is None or history is None or state[0] != history[0]:
            return None
        closed = {} if days is None else days[2]
        if not {*USER_STATE} <= state[2].keys() or not {*HISTORY} <= history[2].keys():
            return None
        shopper = cls(state[0], dict(state[2]), dict(closed), dict(history[2]))
        is_stamped = days is not None and days[0] == state[0]
        return shopper if is_stamped or shopper._adds_up() else None

    @property
    def num_behaviours(self) -> int:
        """How many events the rows count."""
        return sum(self.state[f"num_{kind}"] for kind in BEHAVIOURS)

    def advance(
        self, events: Iterable[Event], known_orders: Collection[str], history_length: int
    ) -> Shopper | None:
        """The shopper after `events`; None when only a rollup can tell.

        Parameters
        ----------
        events
            Behaviours (``EVENT_SCHEMA`` and ``known_at``) that became known from `stamp` on, in
            order of becoming known, ties by event time, then id.
        known_orders
            Orders among those of `events` that the rows count already, see :func:`order_of`.
        """
        stamp, state, days, history = self.stamp, {**self.state}, {**self.days}, {**self.history}
        orders = set(known_orders)
        for event in events:
            day = event["event_at"] // DAY
            if event["known_at"] // DAY != day:
                return None
            counted = _counted(event, orders)
            _close(state, days, day)
            _count(state, event, counted, day)
            _remember(history, event, history_length)
            stamp = event["known_at"] + 1
        return Shopper(stamp, state, days, history)

    def _adds_up(self) -> bool:
        """Whether closed days and the running day hold all that was ever counted."""
        return all(
            sum(self.days.get(f"closed_{kind}", ())) + self.state[f"running_{kind}"]
            == self.state[f"num_{kind}"]
            for kind in BEHAVIOURS
        )


def order_of(event: Event) -> str:
    """What tells the orders of a shopper apart: a purchase without an order is one by itself."""
    order = event["order_id"]
    return str(event["event_id"] if order is None else order)


def _counted(event: Event, orders: set[str]) -> dict[str, int]:
    """What the event adds to each count of a day; a new order joins `orders`."""
    counted = dict.fromkeys(COUNTED, 0) | {event["kind"]: 1}
    if event["kind"] == "purchase":
        order = order_of(event)
        counted["orders"] = int(order not in orders)
        counted["spend_micros"] = _amount(event)
        orders.add(order)
    return counted


def _amount(event: Event) -> int:
    return (event["price_micros"] or 0) * (1 if event["quantity"] is None else event["quantity"])


def _close(state: Values, days: Values, day: int) -> None:
    """Begin `day`: the running day before it becomes an increment, none is older than kept."""
    if state["running_day"] == day:
        return
    if state["running_day"] is not None:
        closed = {f"closed_{name}": state[f"running_{name}"] for name in COUNTED}
        for name, value in {"closed_day": state["running_day"], **closed}.items():
            days[name] = [*days.get(name, ()), value][-DAYS_KEPT:]
    state["running_day"] = day
    state.update({f"running_{name}": 0 for name in COUNTED})


def _count(state: Values, event: Event, counted: Mapping[str, int], day: int) -> None:
    kind, at = event["kind"], event["event_at"]
    for name, value in counted.items():
        state[f"running_{name}"] += value
    for name in BEHAVIOURS:
        state[f"num_{name}"] += counted[name]
    state["num_orders"] += counted["orders"]
    state["spend_micros"] += counted["spend_micros"]
    if kind == "return":
        state["returned_micros"] += _amount(event)
    if kind == "purchase":
        last = state["last_purchase_at"]
        state["num_purchase_days"] += int(last is None or last // DAY < day)
        state["first_purchase_at"] = _least(state["first_purchase_at"], at)
    state["first_at"] = _least(state["first_at"], at)
    state[f"last_{kind}_at"] = max(at, state[f"last_{kind}_at"] or at)


def _least(known: int | None, at: int) -> int:
    return at if known is None else min(known, at)


def _remember(history: Values, event: Event, length: int) -> None:
    behaviour = {
        "history_at": event["event_at"],
        "history_kind": KIND_CODES[event["kind"]],
        "history_item": event["item_id"] or "",
        "history_quantity": event["quantity"] or 0,
        "history_amount": float(_amount(event)) / MICROS,
        "history_order": event["order_id"] or "",
    }
    for name in HISTORY:
        history[name] = [*history[name], behaviour[name]][-length:]
