"""The two reads over real Feast: conserved, strict, equal, and live."""

from __future__ import annotations

import asyncio

import polars as pl
import pytest

from feature_repo import publish
from feature_repo.derive import ITEM_FEATURES, USER_FEATURES
from feature_repo.events import EVENT_SCHEMA, KIND_CODES
from feature_repo.parity import compare
from feature_repo.retrieval import (
    online,
    online_async,
    online_row,
    open_store,
    packed_store,
    point_in_time,
    schema,
    schema_hash,
    unknown_row,
)
from feature_repo.rollups import HISTORY
from feature_repo.settings import DAY, FixedClock
from feature_repo.treatments import TREATMENTS
from feature_repo.words import MESSAGES


def event(**values) -> pl.DataFrame:
    row = dict.fromkeys(EVENT_SCHEMA) | values
    row.setdefault("received_at", row["event_at"])
    row["received_at"] = row["received_at"] or row["event_at"]
    return pl.DataFrame([row], schema=EVENT_SCHEMA)


def spine(key: str, ids: list[str], moments: list[int]) -> pl.DataFrame:
    moment = pl.Series("event_timestamp", moments).cast(pl.Datetime("us", "UTC"))
    return pl.DataFrame({key: ids, "event_timestamp": moment})


@pytest.fixture(scope="module")
def users(shop) -> list[str]:
    return shop.warehouse.events(kinds=["purchase"])["user_id"].unique().sort().to_list()


def test_the_services_name_what_derive_computes(shop):
    assert tuple(schema("shopper", shop.settings)) == (*USER_FEATURES, *HISTORY, *TREATMENTS)
    wider = tuple(schema("shopper_with_messages", shop.settings))
    assert wider == (*USER_FEATURES, *HISTORY, *TREATMENTS, *MESSAGES)
    assert tuple(schema("item", shop.settings)) == (*ITEM_FEATURES, "text")
    assert schema_hash(["shopper"], shop.settings) != schema_hash(["item"], shop.settings)


def test_offline_rows_equal_online_rows_for_every_user_and_item(shop, users):
    now = shop.clock.now()
    for service in ("shopper", "shopper_with_messages"):
        assert compare(users, service, now, shop.settings).differences == {}
    items = shop.warehouse.events()["item_id"].drop_nulls().unique().sort().to_list()
    found = compare(items, "item", now, shop.settings)
    assert found.differences == {}
    assert found.num_rows == len(items)


def test_parity_sees_a_difference(shop, users):
    store_row = {"running_day": 0}
    online_store = packed_store(open_store(shop.settings))
    config = open_store(shop.settings).config
    held = online_store.read(config, ["user_state"], users[:1])["user_state"][0]
    changed = [(users[0], held[0] + 1, held[1] + 1, held[2] | store_row)]
    online_store.write(config, {"user_state": changed})
    assert compare(users[:3], "shopper", shop.clock.now(), shop.settings).num_differences > 0
    online_store.write(config, {"user_state": [(users[0], held[0] + 2, held[1] + 2, held[2])]})
    assert compare(users[:3], "shopper", shop.clock.now(), shop.settings).num_differences == 0


def test_a_past_row_sees_only_what_was_known_strictly_before(shop, users):
    events = shop.warehouse.events().filter(pl.col("kind").is_in(["purchase"]))
    sample = events.sample(40, seed=1)
    moments = sample["event_at"].to_list()
    rows = point_in_time(
        spine("user_id", sample["user_id"].to_list(), moments), "shopper", shop.settings
    )
    everything = shop.warehouse.events()
    for row, moment in zip(rows.iter_rows(named=True), moments, strict=True):
        known = everything.filter(
            (pl.col("user_id") == row["user_id"])
            & (pl.max_horizontal("event_at", "received_at") < moment)
            & pl.col("kind").is_in(
                ["view", "click", "cart", "purchase", "return", "search", "message"]
            )
        )
        assert row["history_at"] == known["event_at"].to_list()[-200:]
        assert row["num_purchases"] == (
            None if known.is_empty() else known.filter(kind="purchase").height
        )
        assert all(at < moment for at in row["history_at"])


def test_rows_are_conserved_in_number_and_order(shop, users):
    now = shop.clock.now()
    ids = [users[3], "nobody", users[3], users[1]]
    rows = point_in_time(
        spine("user_id", ids, [now, now, now, now - 30 * DAY]), "shopper", shop.settings
    )
    assert rows["user_id"].to_list() == ids
    assert rows[0].equals(rows[2])
    assert rows["tenure_days"][1] is None
    assert rows["history_at"][1].to_list() == []


def test_an_unknown_user_reads_online_as_unknown(shop):
    row = online(["nobody"], "shopper", shop.clock.now(), shop.settings)
    assert row["num_orders"][0] is None
    assert row["history_item"][0].to_list() == []


def test_one_row_as_plain_values_is_that_of_the_frame(shop, users):
    now = shop.clock.now()
    for user in (*users[:5], "nobody"):
        wanted = online([user], "shopper", now, shop.settings).drop("user_id").row(0, named=True)
        assert online_row(user, "shopper", now, shop.settings) == wanted
    assert unknown_row("shopper", now, shop.settings) == wanted


def test_many_tasks_of_a_loop_read_what_one_thread_reads(shop, users):
    now, asked = shop.clock.now(), [*users[:5], "nobody"]

    async def read() -> list[pl.DataFrame]:
        reads = [online_async([user], "shopper", now, shop.settings) for user in asked]
        try:
            return await asyncio.gather(*reads)
        finally:
            await packed_store(open_store(shop.settings)).close()

    assert pl.concat(asyncio.run(read())).equals(online(asked, "shopper", now, shop.settings))


def test_plain_feast_reads_the_same_online(shop, users):
    now = shop.clock.now()
    plain = open_store(shop.settings).get_online_features(
        features=open_store(shop.settings).get_feature_service("shopper"),
        entity_rows=[{"user_id": user, "asked_at": now} for user in users[:5]],
    )
    wanted = online(users[:5], "shopper", now, shop.settings)
    found = plain.to_dict()
    for name in wanted.columns:
        for mine, theirs in zip(wanted[name].to_list(), found[name], strict=True):
            if mine is None:
                assert theirs is None or theirs != theirs
            else:
                is_list = isinstance(mine, list)
                assert (list(theirs or ()) if is_list else theirs) == mine, name


def test_a_recorded_event_changes_the_next_read_and_a_materialize_keeps_it(shop):
    user = "recorded"
    clock = FixedClock(shop.clock.now())
    publish.record(
        shop.warehouse,
        event(
            event_id="r1", kind="purchase", user_id=user, event_at=clock.now() - 5,
            item_id="i-new", quantity=2, price_micros=3_000_000,
        ),
        shop.settings, clock, source="test",
    )  # fmt: skip
    row = online([user], "shopper", clock.now(), shop.settings).to_dicts()[0]
    assert row["history_item"] == ["i-new"]
    assert row["history_kind"] == [KIND_CODES["purchase"]]
    assert row["spend"] == 6.0
    # The feature files know nothing of this user yet: materialising them must not undo it.
    publish.materialize(shop.warehouse, shop.settings, clock)
    assert online([user], "shopper", clock.now(), shop.settings).to_dicts()[0] == row
    publish.rollup(shop.warehouse, shop.settings)
    assert compare([user], "shopper", clock.now(), shop.settings).num_differences == 0


def test_a_late_event_changes_the_present_and_not_the_past(shop):
    user, now = "late", shop.clock.now()
    first = event(event_id="l1", kind="view", user_id=user, event_at=now - 3 * DAY, item_id="x")
    late = event(
        event_id="l2", kind="view", user_id=user, event_at=now - 5 * DAY, received_at=now - 100,
        item_id="y",
    )  # fmt: skip
    for frame in (first, late):
        publish.record(shop.warehouse, frame, shop.settings, FixedClock(now), source="test")
    publish.rollup(shop.warehouse, shop.settings)
    assert compare([user], "shopper", now, shop.settings).num_differences == 0
    rows = point_in_time(spine("user_id", [user, user], [now - DAY, now]), "shopper", shop.settings)
    assert rows["history_item"].to_list() == [["x"], ["x", "y"]]
    assert rows["num_view_7d"].to_list() == [1, 2]


@pytest.mark.parametrize("column", ["user_id", "event_timestamp"])
def test_a_spine_without_what_it_needs_is_refused_by_name(shop, column):
    with pytest.raises(ValueError, match=column):
        point_in_time(spine("user_id", ["a"], [0]).drop(column), "shopper", shop.settings)


def test_an_unknown_service_is_refused_with_the_cure(shop):
    with pytest.raises(ValueError, match="feast apply"):
        schema("nothing", shop.settings)
