"""What shoppers wrote: one row a message, whatever it holds, the same live and to training."""

from __future__ import annotations

import polars as pl
import pytest

from feature_repo import publish
from feature_repo.events import EVENT_SCHEMA, KIND_CODES
from feature_repo.parity import compare
from feature_repo.retrieval import online, open_store, packed_store, point_in_time
from feature_repo.settings import DAY, FixedClock
from feature_repo.words import MESSAGE, MESSAGES_KEPT, message_rows

SERVICE = "shopper_with_messages"
LONG = "é" * 2_000
SAID = {
    None: "",
    "": "",
    " \n\t ": "",
    "  where is my cup? ": "where is my cup?",
    "Моя чашка разбита 😡": "Моя чашка разбита 😡",
    LONG: LONG,
}


def said(number: int, text: str | None, at: int, user: str = "w", **more) -> pl.DataFrame:
    row = dict.fromkeys(EVENT_SCHEMA) | {"kind": MESSAGE, "user_id": user, "text": text}
    row |= {"event_id": f"{user}-m{number:02}", "event_at": at, "received_at": at} | more
    return pl.DataFrame([row], schema=EVENT_SCHEMA)


@pytest.mark.parametrize(("text", "kept"), SAID.items())
def test_a_message_is_kept_as_its_words(text, kept):
    rows = message_rows(said(1, text, 5 * DAY, received_at=6 * DAY))
    assert rows["message_text"].to_list() == [kept]
    assert rows["message_at"].to_list() == [5 * DAY]
    assert rows["event_timestamp"].cast(pl.Int64).to_list() == [6 * DAY + 1]


def test_only_messages_make_rows():
    frames = [said(n, "x", n * DAY, kind=kind) for n, kind in enumerate(KIND_CODES, 1)]
    assert message_rows(pl.concat(frames)).height == 1


def test_the_last_messages_are_told_alike_live_and_to_training(shop):
    """One by one as a server takes them, more than are kept, one known late."""
    now = shop.clock.now()
    texts = [*SAID, *(f"message {n}" for n in range(MESSAGES_KEPT - 2))]
    frames = [said(n, text, now - DAY + n) for n, text in enumerate(texts)]
    frames[7] = frames[7].with_columns(event_at=pl.lit(now - 9 * DAY))
    frames.insert(3, said(99, None, now - DAY + 2, kind="view", item_id="x"))
    for frame in frames:
        publish.record(shop.warehouse, frame, shop.settings, FixedClock(now), source="test")
    wanted = [SAID.get(text, text) for text in texts][-MESSAGES_KEPT:]
    row = online(["w"], SERVICE, now, shop.settings)
    assert row["message_text"].to_list() == [wanted]
    publish.rollup(shop.warehouse, shop.settings)
    assert compare(["w"], SERVICE, now, shop.settings).differences == {}


def test_a_past_row_knows_no_word_before_it_was_known(shop):
    now = shop.clock.now()
    frame = pl.concat(
        [said(1, "first", now - 9 * DAY, "p"), said(2, "late", now - 9 * DAY, "p")]
    ).with_columns(received_at=pl.Series([now - 9 * DAY, now - 2 * DAY]))
    publish.record(shop.warehouse, frame, shop.settings, FixedClock(now), source="test")
    publish.rollup(shop.warehouse, shop.settings)
    moments = [now - 9 * DAY, now - 9 * DAY + 1, now - 2 * DAY, now - 2 * DAY + 1]
    moment = pl.Series("event_timestamp", moments).cast(pl.Datetime("us", "UTC"))
    spine = pl.DataFrame({"user_id": ["p"] * 4, "event_timestamp": moment})
    found = point_in_time(spine, SERVICE, shop.settings)["message_text"].to_list()
    assert found == [[], ["first"], ["first"], ["first", "late"]]


def test_a_shopper_who_wrote_nothing_has_no_row_and_no_words(shop):
    now, store = shop.clock.now(), open_store(shop.settings)
    frame = said(1, None, now - 9, "silent", kind="view", item_id="x")
    publish.record(shop.warehouse, frame, shop.settings, FixedClock(now), source="test")
    kept = packed_store(store).read(store.config, ["user_messages", "user_state"], ["silent"])
    assert kept["user_messages"] == [None]
    assert kept["user_state"] != [None]
    row = online(["silent"], SERVICE, now, shop.settings)
    assert row["message_text"].to_list() == [[]]


def test_an_event_that_is_no_message_reads_no_messages(shop, monkeypatch):
    now, asked = shop.clock.now(), []
    publish.record(
        shop.warehouse, said(1, "hello", now - 9, "q"), shop.settings, FixedClock(now), source="t"
    )
    events = type(shop.warehouse).events

    def noting(warehouse, **told):
        asked.append(told["kinds"])
        return events(warehouse, **told)

    monkeypatch.setattr(type(shop.warehouse), "events", noting)
    view = said(2, None, now - 5, "q", kind="view", item_id="x")
    publish.record(shop.warehouse, view, shop.settings, FixedClock(now), source="t")
    assert [MESSAGE] not in asked
    again = said(3, "again", now - 3, "q")
    publish.record(shop.warehouse, again, shop.settings, FixedClock(now), source="t")
    assert [MESSAGE] in asked
    row = online(["q"], SERVICE, now, shop.settings)
    assert row["message_text"].to_list() == [["hello", "again"]]
