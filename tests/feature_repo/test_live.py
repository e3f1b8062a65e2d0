"""Rows moved on event by event are those that a rollup over all events makes."""

from __future__ import annotations

import os

import numpy as np
import polars as pl
import pytest

from feature_repo import publish
from feature_repo.events import EVENT_SCHEMA, KINDS, known_at
from feature_repo.live import Shopper, order_of
from feature_repo.publish import USER_VIEWS, _last
from feature_repo.retrieval import open_store, packed_store
from feature_repo.rollups import BEHAVIOURS, DAYS_KEPT, STAMPS, user_rows
from feature_repo.settings import DAY, FixedClock, Settings
from feature_repo.warehouse import Warehouse

SEED = int(os.environ.get("NUDGE_TEST_SEED", "0"))
LENGTH = 7
"""Behaviours kept, few so that a short stream overflows them."""


def stream(rng: np.random.Generator, num: int, late: float = 0.2) -> pl.DataFrame:
    """Events of one shopper in order of becoming known: ties, repeats of orders, late ones."""
    gaps = rng.choice(
        [0, 1, DAY // 50, DAY // 3, DAY, 40 * DAY], num, p=[0.2, 0.2, 0.2, 0.2, 0.15, 0.05]
    )
    received = 20_000 * DAY + np.cumsum(gaps)
    lag = rng.choice([0, 5, DAY // 2, 3 * DAY], num, p=[1 - late, *3 * [late / 3]])
    rows = [
        dict.fromkeys(EVENT_SCHEMA)
        | {
            "event_id": f"e{rng.integers(1_000_000_000):09}",
            "kind": str(rng.choice([*BEHAVIOURS, "purchase", "purchase", *KINDS])),
            "user_id": "u",
            "item_id": rng.choice([None, "a", "b"]),
            "order_id": rng.choice([None, "", "o1", "o2", f"o{number // 3}"]),
            "quantity": rng.choice([None, 1, 3]),
            "price_micros": rng.choice([None, 0, 1_990_000, 333_333]),
            "text": rng.choice([None, " ", f"where is order {number}?"]),
            "event_at": int(received[number] - lag[number]),
            "received_at": int(received[number]),
        }
        for number in range(num)
    ]
    frame = pl.DataFrame(rows, schema=EVENT_SCHEMA)
    return frame.sort(known_at(), "event_at", "event_id")


def of_rollup(events: pl.DataFrame) -> Shopper | None:
    """What the batch definition makes of `events`, as ``publish`` writes it."""
    rows = user_rows(events)
    if rows.state.is_empty():
        return None
    days, history = (
        {} if frame.is_empty() else frame.drop("user_id", *STAMPS).row(0, named=True)
        for frame in (
            _last(rows.days, "user_id", DAYS_KEPT),
            _last(rows.history, "user_id", LENGTH).drop("event_id"),
        )
    )
    state = rows.state.drop("user_id", "created").row(-1, named=True)
    stamp = rows.state["event_timestamp"].cast(pl.Int64)[-1]
    state.pop("event_timestamp")
    return Shopper(stamp, state, days, history)


def test_advancing_equals_the_rollup_in_random_streams():
    rng = np.random.default_rng(SEED)
    num_advanced = num_left = 0
    for _ in range(60):
        events = stream(rng, 40)
        known = events.with_columns(known_at=known_at())
        cuts = np.sort(rng.choice(np.arange(1, 40), 12, replace=False))
        for start, end in zip(cuts, [*cuts[1:], 40], strict=True):
            before = of_rollup(events[:start])
            new = known[start:end].filter(pl.col("kind").is_in(BEHAVIOURS)).to_dicts()
            if before is None or (new and new[0]["known_at"] < before.stamp):
                continue  # of the moment that the rows end at: publish looks again by its count
            earlier = known[:start].filter(pl.col("kind") == "purchase").to_dicts()
            after = before.advance(new, {order_of(event) for event in earlier}, LENGTH)
            if after is None:
                num_left += 1
                assert any(e["known_at"] // DAY != e["event_at"] // DAY for e in new), SEED
                continue
            num_advanced += 1
            assert after == of_rollup(events[:end]), f"NUDGE_TEST_SEED={SEED}"
            assert after.num_behaviours == int(events[:end]["kind"].is_in(BEHAVIOURS).sum())
    print(f"seed {SEED}: {num_advanced} advanced, {num_left} left to the rollup")
    assert num_advanced > 200


def test_rows_of_different_events_are_not_advanced():
    rng = np.random.default_rng(SEED)
    whole = of_rollup(stream(rng, 60))
    at = whole.stamp
    state, days, history = ((at, at, part) for part in (whole.state, whole.days, whole.history))
    assert Shopper.of(state, days, history) == whole
    assert Shopper.of(state, days, (at - 1, at, whole.history)) is None
    assert Shopper.of(None, days, history) is None
    older = (at - 9, at - 9, whole.days)
    assert Shopper.of(state, older, history) == whole  # as materialize stamps it: all days there
    fewer = {name: [0] * len(values) for name, values in whole.days.items()}
    assert Shopper.of(state, (at - 9, at - 9, fewer), history) is None
    assert Shopper.of(state, None, history) is None
    lacking = {name: value for name, value in whole.state.items() if name != "num_orders"}
    assert Shopper.of((at, at, lacking), days, history) is None


class Counting(Warehouse):
    """A warehouse that notes from when on its events were asked for."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked: list[int | None] = []

    def events(self, **asked):
        if asked["kinds"] not in (["treatment"], ["message"]):
            self.asked.append(asked.get("known_from"))
        return super().events(**asked)


@pytest.mark.parametrize("seed", [SEED + number for number in range(3)])
def test_live_rows_equal_those_made_anew_and_read_new_events_alone(tmp_path, seed):
    rng, user = np.random.default_rng(seed), "u"
    settings = Settings(home=tmp_path, online_url=None, warehouse_url=None, registry_url=None)
    warehouse, store = Counting(settings.warehouse), open_store(settings)
    warehouse.migrate()
    events = stream(rng, 60, late=0.03)
    events = events.with_columns(item_id=pl.col("item_id").fill_null("a"), quantity=1)

    def rows():
        views = [*USER_VIEWS, "user_messages"]
        found = packed_store(store).read(store.config, views, [user])
        return {view: found[view][0] for view in views}

    num_moved = 0
    for group in events.iter_slices(4):
        clock = FixedClock(int(group["received_at"].max()))
        warehouse.asked.clear()
        publish.record(warehouse, group, settings, clock, source="t")
        num_moved += None not in warehouse.asked
        live = rows()
        publish._write_users(Warehouse.events(warehouse, user_ids=[user]), settings)
        assert live == rows(), f"NUDGE_TEST_SEED={seed}"
    assert num_moved >= 5
