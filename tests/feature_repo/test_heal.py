"""Online rows that a kill or a forgetful store left behind are found and written again."""

from __future__ import annotations

import polars as pl
import pytest

from feature_repo import heal, publish
from feature_repo.events import EVENT_SCHEMA
from feature_repo.ingest import ingest
from feature_repo.ledger import Decision, Ledger
from feature_repo.retrieval import online, open_store, packed_store
from feature_repo.settings import DAY, FixedClock
from feature_repo.warehouse import Warehouse


def event(event_id, user_id, at, **more):
    row = dict.fromkeys(EVENT_SCHEMA) | {"kind": "view", "item_id": "x", **more}
    row |= {"event_id": event_id, "user_id": user_id, "event_at": at, "received_at": at}
    return pl.DataFrame([row], schema=EVENT_SCHEMA)


@pytest.fixture
def clock(shop):
    return FixedClock(shop.clock.now())


def test_an_event_kept_without_its_online_row_is_healed_once(shop, clock):
    heal.heal(shop.warehouse, shop.settings, clock)
    now = clock.now()
    ingest(shop.warehouse, event("heal-1", "healed", now - 5), source="t", now=now)
    row = online(["healed"], "shopper", now, shop.settings)
    assert row["num_view_7d"].to_list() == [None]
    assert heal.heal(shop.warehouse, shop.settings, clock) == 1
    row = online(["healed"], "shopper", now, shop.settings)
    assert row["num_view_7d"].to_list() == [1]
    assert heal.heal(shop.warehouse, shop.settings, clock) == 0


def test_an_earlier_event_that_came_in_behind_the_newest_is_found_by_its_number(shop, clock):
    now = clock.now()
    publish.record(
        shop.warehouse, event("heal-2", "counted", now - 5), shop.settings, clock, source="t"
    )
    ingest(shop.warehouse, event("heal-3", "counted", now - 9), source="t", now=now)
    assert "counted" in list(heal.behind(shop.warehouse, shop.settings, now))
    heal.heal(shop.warehouse, shop.settings, clock)
    assert online(["counted"], "shopper", now, shop.settings)["num_view_7d"].to_list() == [2]


def test_a_treatment_without_its_online_row_is_healed(shop, clock):
    heal.heal(shop.warehouse, shop.settings, clock)
    now = clock.now()
    done = {"kind": "treatment", "item_id": None, "text": "coupon"}
    for name, ago in (("heal-t1", 3 * DAY), ("heal-t2", 40 * DAY)):
        told = event(name, "treated", now - ago, **done).with_columns(received_at=now - 5)
        ingest(shop.warehouse, told, source="t", now=now)
    assert heal.heal(shop.warehouse, shop.settings, clock) == 1
    row = online(["treated"], "shopper", now, shop.settings).row(0, named=True)
    assert [row[f"num_treatment_{days}d"] for days in (7, 30, 90)] == [1, 1, 2]
    assert (row["recency_days_treatment"], row["tenure_days"]) == (3.0, None)
    assert row["treatment_action"] == ["coupon", "coupon"]
    assert heal.heal(shop.warehouse, shop.settings, clock) == 0


def test_a_message_without_its_online_row_is_healed(shop, clock):
    heal.heal(shop.warehouse, shop.settings, clock)
    now = clock.now()
    said = {"kind": "message", "item_id": None, "text": "where is it?"}
    publish.record(
        shop.warehouse, event("heal-m1", "wrote", now - 9, **said), shop.settings, clock, source="t"
    )
    store = open_store(shop.settings)
    packed_store(store)._rows(store.config).forget(store.project, ["user_messages"])
    assert "wrote" in list(heal.behind(shop.warehouse, shop.settings, now))
    heal.heal(shop.warehouse, shop.settings, clock)
    row = online(["wrote"], "shopper_with_messages", now, shop.settings)
    assert row["message_text"].to_list() == [["where is it?"]]
    assert heal.heal(shop.warehouse, shop.settings, clock) == 0


def test_what_becomes_known_later_is_neither_behind_nor_written(shop, clock):
    now = clock.now()
    later = event("heal-4", "later", now + 50)
    ingest(shop.warehouse, later, source="t", now=now + 100)
    assert "later" not in list(heal.behind(shop.warehouse, shop.settings, now))
    assert "later" in list(heal.behind(shop.warehouse, shop.settings, now + 51))


def test_a_store_that_lost_everything_is_filled_again(shop, clock):
    store = open_store(shop.settings)
    users = shop.warehouse.events()["user_id"].unique().sort().to_list()
    heal.heal(shop.warehouse, shop.settings, clock)
    before = online(users, "shopper", clock.now(), shop.settings)
    was = heal.incarnation(shop.settings)
    packed_store(store).teardown(store.config, [], [])
    assert heal.incarnation(shop.settings) == was, "only a new store has a new incarnation"
    heal.heal(shop.warehouse, shop.settings, clock)
    assert online(users, "shopper", clock.now(), shop.settings).equals(before)
    publish.refresh_items(shop.warehouse, shop.settings, clock)


def test_an_outcome_that_a_kill_left_unattached_is_attached_once(shop, clock):
    ledger, now = Ledger(shop.warehouse), clock.now()
    told = {"kind": "predict", "user_id": "healed", "model_version": "m", "feature_version": "f"}
    ledger.write(Decision(decision_id="heal-d", decided_at=now, **told))
    citing = event("heal-5", "healed", now - 3, decision_id="heal-d", price_micros=7, quantity=2)
    ingest(shop.warehouse, citing, source="t", now=now)
    stray = event("heal-6", "healed", now - 3, decision_id="nobody-made-it")
    ingest(shop.warehouse, stray, source="t", now=now)
    assert ledger.outcomes("heal-d") == []
    assert ledger.attach_missing() == 1
    assert ledger.outcomes("heal-d")[0]["value_micros"] == 14
    assert ledger.attach_missing() == 0


def test_spooled_decisions_enter_the_ledger_once(shop):
    told = {"kind": "predict", "user_id": "u", "model_version": "m", "feature_version": "f"}
    some = [Decision(decision_id=f"spooled-{n}", decided_at=n, **told) for n in (1, 2)]
    ledger = Ledger(shop.warehouse)
    assert ledger.absorb(some[:1]) == 1
    assert ledger.absorb([*some, some[1]]) == 1
    assert [ledger.get(one.decision_id) for one in some] == some


class Overtaken(Warehouse):
    """A warehouse in which another request keeps an event just after this one has read."""

    def events(self, **told):
        frame = super().events(**told)
        while self.meanwhile:
            self.meanwhile.pop()()
        return frame


def test_a_request_that_read_before_another_wrote_leaves_no_row_without_the_others_event(
    shop, clock
):
    now = clock.now()
    slow = Overtaken(shop.settings.warehouse)

    def other():
        earlier = event("heal-8", "overtaken", now - 9)
        publish.record(shop.warehouse, earlier, shop.settings, clock, source="t")

    slow.meanwhile = [other]
    publish.record(slow, event("heal-7", "overtaken", now - 5), shop.settings, clock, source="t")
    assert online(["overtaken"], "shopper", now, shop.settings)["num_view_7d"].to_list() == [2]


class Busy(Warehouse):
    """A warehouse whose shoppers take turns: while one is read, the next one's event comes in."""

    num_reads, limit = 0, 20

    def events(self, **asked):
        frame = super().events(**asked)
        if asked["kinds"] == ["treatment"]:
            return frame
        self.num_reads += 1
        assert self.num_reads < self.limit, "busy shoppers keep each other waiting for ever"
        name, turn = f"busy-{self.num_reads % 3}", f"heal-busy-{self.num_reads}"
        moment = 1 + int(frame["event_at"].max())
        ingest(self, event(turn, name, moment), source="t", now=moment)
        return frame


def test_many_busy_shoppers_do_not_keep_a_refresh_from_its_end(shop, clock):
    now, names = clock.now(), [f"busy-{number}" for number in range(3)]
    for name in names:
        ingest(shop.warehouse, event(f"heal-{name}", name, now - 60), source="t", now=now)
    busy = Busy(shop.settings.warehouse)
    publish.refresh(busy, names, shop.settings)
    rows = online(names, "shopper", now, shop.settings)["num_view_7d"].to_list()
    assert busy.num_reads <= 3
    assert min(rows) >= 1
