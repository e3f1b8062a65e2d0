"""A shop's events, lived again: the live rows of many instants, and what training is told of them.

The events go in by ``publish.record``, as a server would take them, into a scratch home: in small
batches, late, out of order, twice, at midnight. Between them online rows are noted. At the end one
rollup and one point-in-time read at all the noted instants must give the same rows.

Run ``python -m feature_repo parity --replay 100000``. Next: ``scratch.py``, ``parity.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from feature_repo import publish
from feature_repo.ingest import Report
from feature_repo.parity import SERVICES, Parity, compare_rows
from feature_repo.retrieval import online, point_in_time
from feature_repo.settings import DAY, SECOND, FixedClock, Settings
from feature_repo.warehouse import Warehouse
from feature_repo.world import World
from feature_repo.world.shoppers import ACTIONS

STAMP = "event_timestamp"
LATEST_S = 28 * 86_400
"""No event arrives later than this after it happened."""
RARELY = 1 / 200
"""Share of the events that meet each of the corner cases."""
MAX_GROUP, MAX_BATCHES, NUM_ITEMS = 24, 4, 50
MAX_REFRESHES, EVENTS_PER_REFRESH = 300, 40
"""Midnights at which items are refreshed and noted: drawn, at most so many."""


def replay(
    events: pl.DataFrame,
    settings: Settings,
    *,
    seed: int,
    late: float = 0.05,
    progress: Callable[[int], object] = lambda num: None,
) -> tuple[Report, dict[str, Parity]]:
    """Replay `events` (``EVENT_SCHEMA``) into the empty shop of `settings` and compare all reads.

    Parameters
    ----------
    settings
        See ``scratch.py``; never a shop that is in use.
    late
        Share of the events that arrive minutes to weeks after they happened.
    progress
        Called with the number of events sent after each group.

    Returns
    -------
    What became of the events, repeats among them, and by service how the noted rows compare.
    """
    rng = np.random.default_rng(seed)
    sent = arrivals(events, late, rng)
    live = Live(settings, rng)
    live.receive(sent, progress)
    publish.rollup(live.warehouse, settings)
    compared = {
        service: compare_rows(rows, point_in_time(rows.select(key, STAMP), service, settings), key)
        for service, key in SERVICES.items()
        if (rows := live.noted(service)) is not None
    }
    return live.report, compared


def events_of(settings: Settings, num: int, seed: int) -> tuple[pl.DataFrame, str]:
    """The first `num` events of the shop, or of a simulated one where it has none; and whose."""
    warehouse = Warehouse(settings.warehouse)
    warehouse.migrate()
    own = warehouse.events().head(num)
    if own.is_empty():
        return simulated(num, seed), "of a simulated shop"
    return own, "of this shop"


def simulated(num: int, seed: int) -> pl.DataFrame:
    """The first `num` events of a simulated shop, for where there is no shop yet."""
    world, days, height = World(seed=seed, num_shoppers=max(10, num // 400)), [], 0
    rng = np.random.default_rng(seed)
    while height < num:
        treated = rng.choice(world.truth.users, 2)
        actions = rng.choice(ACTIONS, 2)
        days.append(world.step(dict(zip(treated.tolist(), actions.tolist(), strict=True))))
        height += days[-1].height
    return pl.concat(days).head(num)


def arrivals(events: pl.DataFrame, late: float, rng: np.random.Generator) -> pl.DataFrame:
    """`events` as they reach the shop, in order of arrival.

    A share `late` arrives minutes to four weeks later. Some happen at midnight UTC or a microsecond
    beside it, some arrive there; some arrive in the same microsecond as the next one; some are
    stamped up to a minute ahead by a sender's wrong clock; some are sent twice.
    """
    happened = events["event_at"].to_numpy().copy()
    moved = _some(rng, len(happened), RARELY)
    happened[moved] = happened[moved] // DAY * DAY + rng.integers(-1, 2, moved.sum())
    received = happened + _delays(rng, len(happened), late)
    moved = _some(rng, len(happened), RARELY)
    received[moved] = (received[moved] // DAY + 1) * DAY + rng.integers(-1, 2, moved.sum())
    received = np.maximum(received, happened)
    ahead = _some(rng, len(happened), RARELY)
    happened[ahead] += rng.integers(1, 60 * SECOND, ahead.sum())
    order = np.argsort(received, kind="stable")
    tied = np.flatnonzero(_some(rng, len(order) - 1, 4 * RARELY))
    received[order[tied]] = received[order[tied + 1]]
    sent = events.with_columns(event_at=pl.Series(happened), received_at=pl.Series(received))
    again = sent.filter(pl.Series(_some(rng, len(order), 2 * RARELY)))
    delay = pl.Series(rng.integers(0, DAY, again.height))
    again = again.with_columns(received_at=pl.col("received_at") + delay)
    return pl.concat([sent, again]).sort("received_at", maintain_order=True)


@dataclass(slots=True)
class Live:
    """The live way in and the live rows, under a clock that the replay moves."""

    settings: Settings
    rng: np.random.Generator
    report: Report = field(default_factory=Report)
    _users: dict[str, None] = field(default_factory=dict)
    _items: set[str] = field(default_factory=set)
    _notes: dict[str, list[pl.DataFrame]] = field(default_factory=dict)

    @property
    def warehouse(self) -> Warehouse:
        """Where the events are kept."""
        return Warehouse(self.settings.warehouse)

    def receive(self, sent: pl.DataFrame, progress: Callable[[int], object]) -> None:
        """Take `sent` (see :func:`arrivals`) group by group, and note rows between the groups."""
        days = (sent["received_at"] // DAY).to_numpy()
        num_refreshes = min(MAX_REFRESHES, sent.height / EVENTS_PER_REFRESH)
        refreshed = min(1.0, num_refreshes / len(np.unique(days)))
        ends = self._ends(sent["received_at"].to_numpy())
        warehouse, start = self.warehouse, 0
        for end in ends:
            if start and days[start] != days[start - 1] and self.rng.random() < refreshed:
                self._turn_day(warehouse, int(days[start]) * DAY)
            group = sent[start:end]
            self._take(warehouse, group)
            after = int(sent["received_at"][end]) if end < sent.height else None
            self._note_users(group, after)
            progress(end - start)
            start = end

    def noted(self, service: str) -> pl.DataFrame | None:
        """All rows noted of `service`, None when there is none."""
        return pl.concat(self._notes[service]) if service in self._notes else None

    def _ends(self, received: np.ndarray) -> list[int]:
        """Where groups end: only where time has passed, and always where a UTC day ends."""
        passes = np.append(np.diff(received) > 0, True)
        closes = np.append(np.diff(received // DAY) > 0, True)
        ends, wanted = [], 0
        for place in range(len(received)):
            if closes[place] or (passes[place] and place >= wanted):
                ends.append(place + 1)
                wanted = place + int(self.rng.integers(1, MAX_GROUP))
        return ends

    def _take(self, warehouse: Warehouse, group: pl.DataFrame) -> None:
        """Record `group` in a few batches, in any order: requests overtake each other."""
        now = int(group["received_at"][-1])
        shuffled = group[self.rng.permutation(group.height)]
        # A sender's clock may run ahead; what is received can't be later than now.
        early = pl.Series(self.rng.random(group.height) < RARELY)
        last = pl.col("received_at") == now
        ahead = pl.when(early & last).then(30 * SECOND).otherwise(0)
        shuffled = shuffled.with_columns(received_at=pl.col("received_at") + ahead)
        num_batches = 1 if self.rng.random() < 0.75 else int(self.rng.integers(2, MAX_BATCHES + 1))
        size = -(-group.height // num_batches)
        for batch in shuffled.iter_slices(size):
            self.report.add(
                publish.record(warehouse, batch, self.settings, FixedClock(now), source="replay")
            )

    def _note_users(self, group: pl.DataFrame, after: int | None) -> None:
        """Note the shoppers of `group` and others, before anything else becomes known."""
        touched = group["user_id"].unique().to_list()
        self._users |= dict.fromkeys(touched)
        known = list(self._users)
        num_others = max(2, group.height - len(touched))
        others = [known[i] for i in self.rng.integers(0, len(known), num_others)]
        first = int(group["received_at"][-1]) + 1
        self._note("shopper_with_messages", [*touched, *others], first, after)

    def _turn_day(self, warehouse: Warehouse, midnight: int) -> None:
        """Refresh the items at `midnight` and note some of them within the day."""
        ids = publish.refresh_items(warehouse, self.settings, FixedClock(midnight))
        if ids:
            some = self.rng.choice(ids, min(NUM_ITEMS, len(ids)), replace=False).tolist()
            self._note("item", [*some, "nothing"], midnight, midnight + DAY - 1)

    def _note(self, service: str, keys: list[str], first: int, last: int | None) -> None:
        """Read `keys` online at the `first` moment, the `last`, or one between."""
        last = first + DAY if last is None else last
        moment = (first, last, int(self.rng.integers(first, last + 1)))[self.rng.integers(3)]
        stamp = pl.lit(moment).cast(pl.Datetime("us", "UTC")).alias(STAMP)
        rows = online(keys, service, moment, self.settings).with_columns(stamp)
        self._notes.setdefault(service, []).append(rows)


def _delays(rng: np.random.Generator, num: int, late: float) -> np.ndarray:
    """Microseconds (num,) from happening to arrival: none, or log-uniform up to ``LATEST_S``."""
    delay = np.exp(rng.uniform(np.log(60), np.log(LATEST_S), num)) * SECOND
    return np.where(rng.random(num) < late, delay, 0).astype(np.int64)


def _some(rng: np.random.Generator, num: int, share: float) -> np.ndarray:
    """A mask (num,) that is true for about `share`."""
    return rng.random(max(num, 0)) < share
