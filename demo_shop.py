"""The shop behind ``demo_intervention.py``: simulated people who meet the real endpoint.

Every morning a seventh of the customers is asked about by ``POST /decide``, what it says is done to
them, and what they do that day comes back by ``POST /events``. Beside it the same people live in
other shops, for comparison. Next: ``demo_twins.py``.
"""

from __future__ import annotations

import copy
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import polars as pl

from demo_twins import (
    ACTIONS,
    Books,
    Twin,
    best,
    by_chance,
    gains,
    mean_profit,
    oracle,
    true_chances,
)
from feature_repo.settings import DAY, SECOND, SystemClock, iso
from feature_repo.world import World

CANDIDATE = "candidate"
"""The arm of a turn's experiment that gets the new policy."""
WEEK, CLIENTS, BATCH, GROUPS = 7, 6, 400, 8
HOUR, ACTIVE_DAYS = 3_600 * SECOND, 120
DECIDES_AT, ENDS_AT = 4 * HOUR, DAY - 60 * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One decision, with what no shop knows beside it."""

    day: int
    user: str
    kind: str
    """Which of the four kinds of people it is."""
    policy: str
    action: str
    reason: str
    decision_id: str
    gains: tuple[float, ...]
    """True profit of the week by action, above doing nothing."""


class Shop:
    """Customers, the endpoint that decides about them, and the twins."""

    def __init__(self, world: World, past: pl.DataFrame, budget: float) -> None:
        world.paired = True
        self.world = world
        self.customers: dict[str, int] = {}
        self._note_orders(past)
        value = mean_profit(past)
        self.first_day, self.books, self.budget = world.day, Books(value), budget
        self.oracle = oracle(value)
        self.twins = {
            name: Twin(copy.deepcopy(world), Books(value), self.oracle, choose)
            for name, choose in (
                ("nothing", lambda chances, *_: np.zeros(len(chances), dtype=np.int64)),
                ("by chance", by_chance),
                ("oracle", lambda chances, left, _: best(self.oracle, chances, left)),
            )
        }
        self.goes_on = False
        """Whether the second policy was promoted."""
        self.decided: list[Decided] = []
        self.events: list[pl.DataFrame] = []
        self.num_events = 0

    def live(self, address: str, clock: SystemClock) -> None:
        """One day, from the morning's decisions to the evening's events."""
        with httpx.Client(base_url=address, timeout=120) as client:
            self._live(client, clock)

    def _live(self, client: httpx.Client, clock: SystemClock) -> None:
        day, asked, answers = self.world.day, self.asked(), []
        for number, group in enumerate(np.array_split(np.array(asked), GROUPS)):
            clock.move_to(self.world.now + DECIDES_AT + number * HOUR // GROUPS)
            answers += decide(client, group.tolist())
        self._keep(asked, answers)
        actions = {
            user: answer["action"]
            for user, answer in zip(asked, answers, strict=True)
            if answer["action"] != ACTIONS[0]
        }
        ids = {u: a["decision_id"] for u, a in zip(asked, answers, strict=True)}
        clock.move_to(self.world.now + ENDS_AT)
        events = self.world.step(actions, ids)
        send(client, events)
        self.books.write(day, events, actions, self.budget)
        self.events.append(events)
        self.num_events += events.height
        for twin in self.twins.values():
            twin.live(asked, self.budget)
        self._note_orders(events)

    def asked(self) -> list[str]:
        """Whose day it is, in any order: each customer of the last months once a week."""
        day = self.world.day
        since = self.world.now - ACTIVE_DAYS * DAY
        active = (user for user, at in self.customers.items() if at >= since)
        own = sorted(user for user in active if int(user[-5:]) % WEEK == day % WEEK)
        return np.random.default_rng([self.world.seed, day]).permutation(own).tolist()

    def _note_orders(self, events: pl.DataFrame) -> None:
        """Who is a customer, and when each ordered last."""
        orders = events.filter(kind="purchase").group_by("user_id").agg(pl.col("event_at").max())
        self.customers.update(dict(orders.iter_rows()))

    def _keep(self, asked: list[str], answers: list[dict[str, Any]]) -> None:
        true = gains(self.oracle, true_chances(self.world, asked))
        kinds = self.world.truth.uplift_class
        self.decided += [
            Decided(
                day=self.world.day - self.first_day,
                user=user,
                kind=str(kinds[int(user[-5:])]),
                policy="second"
                if self.goes_on or CANDIDATE in answer["arms"].values()
                else "first",
                action=answer["action"],
                reason=answer["reason"],
                decision_id=answer["decision_id"],
                gains=tuple(true[place].tolist()),
            )
            for place, (user, answer) in enumerate(zip(asked, answers, strict=True))
        ]


def decide(client: httpx.Client, users: list[str]) -> list[dict[str, Any]]:
    """Ask the endpoint about `users`, several at a time; and which policy answered."""

    def ask(user: str) -> dict[str, Any]:
        answer: dict[str, Any] = (
            client.post("/decide", json={"user_id": user}).raise_for_status().json()
        )
        return answer

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(ask, users))


def send(client: httpx.Client, events: pl.DataFrame) -> None:
    """The day's events, as a shop's site would send them."""
    lines = [
        {
            "event_id": row["event_id"],
            "kind": row["kind"],
            "user_id": row["user_id"],
            "event_at": iso(row["event_at"]),
            "item_id": row["item_id"],
            "order_id": row["order_id"],
            "quantity": row["quantity"],
            "price": None if row["price_micros"] is None else f"{row['price_micros'] / 1e6:.2f}",
            "text": row["text"],
            "decision_id": row["decision_id"],
        }
        for row in events.iter_rows(named=True)
    ]
    for start in range(0, len(lines), BATCH):
        said = client.post("/events", json=lines[start : start + BATCH])
        told = said.raise_for_status().json()
        if told["rejected"]:
            raise SystemExit(f"events were rejected: {json.dumps(told['rejected'][:3])}")
