"""What is taken as an event, what is refused and why: the checks as code."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from feature_repo.events import (
    EVENT_SCHEMA,
    KIND_CODES,
    KINDS,
    MAX_ID_LENGTH,
    MAX_PRICE_MICROS,
    MAX_QUANTITY,
    MAX_TEXT_LENGTH,
    REJECT_REASONS,
    check,
    known_at,
)
from feature_repo.settings import SECOND

NOW = 1_700_000_000 * SECOND
GOOD = {
    "event_id": "e-1",
    "kind": "purchase",
    "user_id": "ada",
    "event_at": NOW - 10,
    "received_at": NOW - 5,
    "item_id": "tea",
    "order_id": "o-1",
    "quantity": 2,
    "price_micros": 2_550_000,
    "currency": "GBP",
    "text": "a tea pot",
}
BAD = {
    "missing_event_id": {"event_id": None},
    "no_user": {"user_id": "  "},
    "bad_id": {"item_id": "x" * (MAX_ID_LENGTH + 1)},
    "unknown_kind": {"kind": "Purchase"},
    "bad_time": {"event_at": None},
    "future": {"event_at": NOW + 61 * SECOND, "received_at": NOW},
    "missing_item": {"item_id": ""},
    "bad_quantity": {"quantity": 0},
    "bad_price": {"price_micros": -1},
    "unknown_currency": {"currency": "pounds"},
    "bad_text": {"text": "x" * (MAX_TEXT_LENGTH + 1)},
}


def frame(*changes: dict) -> pl.DataFrame:
    rows = [dict.fromkeys(EVENT_SCHEMA) | GOOD | change for change in changes]
    return pl.DataFrame(rows, schema=EVENT_SCHEMA)


def test_a_good_event_passes_unchanged():
    good, rejects = check(frame({}), NOW)
    assert_frame_equal(good, frame({}))
    assert rejects.is_empty()


@pytest.mark.parametrize(("reason", "change"), BAD.items(), ids=BAD)
def test_each_fault_is_rejected_by_its_name(reason, change):
    good, rejects = check(frame(change, {}), NOW)
    assert rejects["reason"].to_list() == [reason]
    assert good.height == 1
    assert reason in REJECT_REASONS


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("missing_event_id", {"event_id": ""}),
        ("bad_id", {"user_id": "a\0b"}),
        ("bad_id", {"decision_id": "d" * 200}),
        ("unknown_kind", {"kind": None}),
        ("bad_time", {"event_at": -1}),
        ("bad_time", {"received_at": None}),
        ("future", {"event_at": NOW + 62 * SECOND, "received_at": NOW + 61 * SECOND}),
        ("bad_quantity", {"quantity": None}),
        ("bad_quantity", {"quantity": MAX_QUANTITY + 1}),
        ("bad_price", {"price_micros": MAX_PRICE_MICROS + 1}),
        ("bad_text", {"text": "tea\0pot"}),
        ("missing_item", {"kind": "view", "item_id": None}),
    ],
)
def test_other_ways_to_be_wrong_have_a_name_too(reason, change):
    assert check(frame(change), NOW)[1]["reason"].to_list() == [reason]


def test_a_search_or_a_message_needs_no_item_and_no_quantity():
    bare = {"item_id": None, "quantity": None, "price_micros": None, "currency": None}
    good, rejects = check(frame({"kind": "search"} | bare, {"kind": "message"} | bare), NOW)
    assert good.height == 2
    assert rejects.is_empty()


def test_a_free_item_is_a_purchase():
    assert check(frame({"price_micros": 0}), NOW)[0].height == 1


def test_an_event_up_to_a_minute_ahead_is_clamped_to_its_receipt():
    ahead = {"event_at": NOW + 60 * SECOND, "received_at": NOW}
    good, rejects = check(frame(ahead), NOW)
    assert rejects.is_empty()
    assert good["event_at"].to_list() == [NOW]
    late, rejects = check(frame(ahead | {"event_at": NOW + 60 * SECOND + 1}), NOW)
    assert late.is_empty()
    assert rejects["event_at"].to_list() == [NOW + 60 * SECOND + 1], "a reject keeps what it said"


def test_an_event_is_known_from_the_later_of_its_two_times():
    times = frame({"event_at": 3, "received_at": 9}, {"event_at": 9, "received_at": 3})
    assert times.select(known_at()).to_series().to_list() == [9, 9]


def test_codes_of_kinds_begin_after_padding():
    assert sorted(KIND_CODES.values()) == list(range(1, len(KINDS) + 1))


def test_an_empty_frame_gives_two_empty_frames():
    good, rejects = check(frame(), NOW)
    assert good.schema == EVENT_SCHEMA
    assert rejects.columns == [*EVENT_SCHEMA, "reason"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "event_id": st.none() | st.text(max_size=3),
                "kind": st.none() | st.sampled_from([*KINDS, "purchse"]),
                "user_id": st.none() | st.text(max_size=2),
                "event_at": st.none() | st.integers(-(2**63), 2**63 - 1),
                "received_at": st.none() | st.integers(-(2**63), 2**63 - 1),
                "quantity": st.none() | st.integers(-(2**63), 2**63 - 1),
                "price_micros": st.none() | st.integers(-(2**63), 2**63 - 1),
                "text": st.none() | st.text(max_size=4),
            },
        ),
        max_size=8,
    )
)
def test_every_row_is_either_good_or_rejected_by_a_documented_reason(changes):
    rows = frame(*changes)
    good, rejects = check(rows, NOW)
    assert good.height + rejects.height == rows.height
    assert set(rejects["reason"]) <= set(REJECT_REASONS)
    assert check(good, NOW)[1].is_empty(), "what passed once passes again"
    assert (good["event_at"] <= good["received_at"]).all()
