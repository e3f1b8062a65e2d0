"""What a shop could know of each shopper: numbers kept up day by day from events alone.

The world's truth is not read here. Used by ``campaigns.py``; what is kept is numpy, a row each, so
that a day of thousands of shoppers takes milliseconds.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from feature_repo.world.shoppers import ACTIONS, EFFECT_DAYS

KEPT = 0.97
"""What is left overnight of counts of the last weeks."""
NEVER, WEEK = -1_000, 7
ACTIVE = 150
"""Days after the last order in which somebody is still asked about."""
KINDS = ("purchase", "view", "impression", "return", "message", "treatment")
COUNTS = ("orders", "lines", "looks", "visits", "returns", "complaints", "visits_lately", "tired",
          "price", "price_looked_at")  # fmt: skip
INPUTS = (
    "recency", "ripeness", "num_orders", "gap", "tenure", "since_visit", "visits", "visits_lately",
    "price", "price_looked_at", "basket", "complaints", "returns", "tired", "since_action",
    "answers_to_nothing", "answers_to_reminders", "answers_to_coupons",
)  # fmt: skip
"""Names of the columns of :meth:`Known.inputs`."""


class Known:
    """Counts and days by shopper, (N,) each, as far as events tell."""

    def __init__(self) -> None:
        self.num = 0
        self.counts = {name: np.zeros(0) for name in COUNTS}
        self.days = {name: np.zeros(0) for name in ("first", "order", "visit", "action")}
        self.asked = np.zeros((0, len(ACTIONS)))
        """Closed windows (N, A) that began with each action."""
        self.answered = np.zeros((0, len(ACTIONS)))
        """Those of them that saw an order."""

    def see(self, events: pl.DataFrame, log_price: np.ndarray, day: int) -> None:
        """Take in the events of `day`; `log_price` (I,) is that of the catalogue."""
        number = pl.col("user_id").str.slice(8).cast(pl.Int64)
        item = pl.col("item_id").str.slice(5).cast(pl.Int64)
        rows = events.select("kind", user=number, item=item)
        users = {kind: rows.filter(kind=kind)["user"].to_numpy() for kind in KINDS}
        self._grow(1 + max((int(some.max()) for some in users.values() if len(some)), default=-1))
        for name in ("visits_lately", "tired"):
            self.counts[name] *= KEPT
        for kind, count, price in (
            ("purchase", "lines", "price"),
            ("view", "looks", "price_looked_at"),
        ):
            np.add.at(self.counts[count], users[kind], 1)
            seen = log_price[rows.filter(kind=kind)["item"].to_numpy()]
            np.add.at(self.counts[price], users[kind], seen)
        for kind, name in (("return", "returns"), ("treatment", "tired")):
            np.add.at(self.counts[name], users[kind], 1)
        angry = np.isin(users["message"], users["return"])
        np.add.at(self.counts["complaints"], users["message"][angry], 1)
        ordered, came = np.unique(users["purchase"]), np.unique(users["impression"])
        self.counts["orders"][ordered] += 1
        for name in ("visits", "visits_lately"):
            self.counts[name][came] += 1
        new = ordered[self.days["first"][ordered] < 0]
        self.days["first"][new] = day
        for name, who in (("order", ordered), ("visit", came), ("action", users["treatment"])):
            self.days[name][who] = day

    def close(self, user: np.ndarray, action: np.ndarray, outcome: np.ndarray) -> None:
        """Remember how shoppers answered: windows that began with `action` (n,) have ended."""
        np.add.at(self.asked, (user, action), 1)
        np.add.at(self.answered, (user, action), outcome)

    def customers(self, day: int) -> np.ndarray:
        """Shoppers with an order in the last `ACTIVE` days, by number."""
        return np.flatnonzero(self.days["order"] >= day - ACTIVE)

    def inputs(self, user: np.ndarray, day: int) -> np.ndarray:
        """(n, len(INPUTS)) on the morning of `day`."""
        count = {name: values[user] for name, values in self.counts.items()}
        since = {name: np.minimum(day - values[user], 999.0) for name, values in self.days.items()}
        span = since["first"] - since["visit"]
        gap = (span + 30.0) / (count["orders"] + 0.5)
        more = self.answered[user] - self.asked[user] * np.minimum(WEEK / gap, 1.0)[:, None]
        answers = more / (self.asked[user] + 3.0)
        columns = {
            "recency": np.log1p(since["order"]),
            "ripeness": np.minimum(since["order"] / gap, 5.0),
            "num_orders": np.log1p(count["orders"]),
            "gap": np.log(gap),
            "tenure": np.log1p(since["first"]),
            "since_visit": np.log1p(since["visit"]),
            "visits": np.log((count["visits"] - count["orders"] + 1.0) / (span + 20.0)),
            "visits_lately": count["visits_lately"],
            "price": count["price"] / (count["lines"] + 3.0),
            "price_looked_at": count["price_looked_at"] / (count["looks"] + 3.0),
            "basket": np.log(count["lines"] / count["orders"]),
            "complaints": (count["complaints"] + 0.5) / (count["returns"] + 1.0),
            "returns": np.minimum(count["returns"], 3.0),
            "tired": 1.0 / (1.0 + count["tired"]),
            "since_action": np.log1p(np.minimum(since["action"], 60.0)),
            "answers_to_nothing": answers[:, 0],
            "answers_to_reminders": answers[:, 1],
            "answers_to_coupons": answers[:, 2],
        }
        return np.column_stack([columns[name] for name in INPUTS])

    def ordered_since(self, user: np.ndarray, day: int) -> np.ndarray:
        """Whether (n,) there was an order on `day` or later."""
        return self.days["order"][user] >= day

    def _grow(self, num: int) -> None:
        more = num - self.num
        if more <= 0:
            return
        self.num = num
        self.counts = {name: np.append(old, np.zeros(more)) for name, old in self.counts.items()}
        self.days = {name: np.append(old, np.full(more, NEVER)) for name, old in self.days.items()}
        room = ((0, more), (0, 0))
        self.asked, self.answered = np.pad(self.asked, room), np.pad(self.answered, room)


assert EFFECT_DAYS == WEEK, "windows close when a shopper is asked again, a week later"
