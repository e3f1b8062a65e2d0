"""Ingest: idempotent, any order, nothing lost, every refusal named."""

from __future__ import annotations

import json
import subprocess
import sys

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.events import EVENT_SCHEMA, REJECT_REASONS, check
from feature_repo.ingest import ingest
from feature_repo.warehouse import Warehouse

NOW = 1_700_000_000_000_000
SECOND = 1_000_000


def event(**fields) -> dict:
    return (
        dict.fromkeys(EVENT_SCHEMA)
        | {"event_id": "e", "kind": "purchase", "user_id": "u", "item_id": "x", "quantity": 1}
        | {"event_at": NOW - SECOND, "received_at": NOW - SECOND, "price_micros": 2_550_000}
        | fields
    )


def frame(*events: dict) -> pl.DataFrame:
    return pl.DataFrame(list(events), schema=EVENT_SCHEMA)


def totals(report) -> tuple[int, int, int, int]:
    assert report.read == report.accepted + report.duplicates + report.rejected
    return report.read, report.accepted, report.duplicates, report.rejected


def test_an_event_sent_twice_is_kept_once(warehouse):
    twice = frame(event(), event())
    assert totals(ingest(warehouse, twice, source="t", now=NOW)) == (2, 1, 1, 0)
    assert totals(ingest(warehouse, twice, source="t", now=NOW)) == (2, 0, 2, 0)
    assert warehouse.events().to_dicts() == [event()]


def test_an_id_used_for_another_event_is_a_conflict_and_kept_raw(warehouse):
    ingest(warehouse, frame(event()), source="t", now=NOW)
    report = ingest(warehouse, frame(event(quantity=9)), source="t", now=NOW)
    assert report.reasons == {"conflicting_duplicate": 1}
    assert warehouse.events()["quantity"].to_list() == [1]
    assert json.loads(warehouse.dead_letters()["raw"][0])["quantity"] == 9


def test_an_event_that_was_clamped_is_a_repeat_when_it_is_sent_again(warehouse):
    ahead = NOW + 40 * SECOND
    first, second = (
        frame(event(event_at=ahead, received_at=received_at)) for received_at in (NOW, ahead)
    )
    assert totals(ingest(warehouse, first, source="t", now=NOW)) == (1, 1, 0, 0)
    assert totals(ingest(warehouse, second, source="t", now=ahead)) == (1, 0, 1, 0)
    other = frame(event(event_at=NOW - 90 * SECOND, received_at=ahead))
    assert totals(ingest(warehouse, other, source="t", now=ahead)) == (1, 0, 0, 1)


def test_dead_letters_do_not_double_when_a_file_is_read_again(warehouse):
    bad = frame(event(kind="stare"), event(event_id="f", user_id=None))
    for _ in range(2):
        report = ingest(warehouse, bad, source="t", now=NOW)
        assert report.reasons == {"unknown_kind": 1, "no_user": 1}
    assert warehouse.counts()["dead_letters"] == 2


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"event_id": None}, "missing_event_id"),
        ({"event_id": "e" * 200}, "bad_id"),
        ({"item_id": "a\0b"}, "bad_id"),
        ({"user_id": " "}, "no_user"),
        ({"kind": "stare"}, "unknown_kind"),
        ({"kind": None}, "unknown_kind"),
        ({"event_at": None}, "bad_time"),
        ({"event_at": -1}, "bad_time"),
        ({"event_at": NOW + 61 * SECOND, "received_at": NOW}, "future"),
        ({"event_at": NOW + 99 * SECOND, "received_at": NOW + 99 * SECOND}, "future"),
        ({"item_id": None}, "missing_item"),
        ({"quantity": 0}, "bad_quantity"),
        ({"quantity": None}, "bad_quantity"),
        ({"price_micros": -1}, "bad_price"),
        ({"text": "x" * 3000}, "bad_text"),
        ({"text": "a\0b"}, "bad_text"),
    ],
)
def test_a_bad_event_is_refused_by_name(fields, reason):
    good, bad = check(frame(event(**fields)), NOW)
    assert good.is_empty()
    assert bad["reason"].to_list() == [reason]
    assert reason in REJECT_REASONS


def test_an_event_slightly_in_the_future_is_clamped_to_its_arrival():
    good, _ = check(frame(event(event_at=NOW + 59 * SECOND, received_at=NOW)), NOW)
    assert good["event_at"].to_list() == [NOW]


ids = st.sampled_from(["a", "b", "c", "d", None])


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(ids, st.sampled_from(["u", None]), st.integers(0, 2)), max_size=12))
def test_every_row_is_accepted_duplicate_or_rejected_in_any_batches(tmp_path_factory, rows):
    made = Warehouse(f"sqlite:///{tmp_path_factory.mktemp('w')}/shop.db")
    made.migrate()
    events = [event(event_id=i, user_id=u, quantity=q) for i, u, q in rows]
    for part in (events[:5], events[5:], events):
        totals(ingest(made, frame(*part), source="t", now=NOW))
    good = {i for i, u, q in rows if i and u and q}
    assert made.counts()["events"] == len(good)


def test_detail_lists_what_was_kept_and_what_was_not(warehouse):
    report = ingest(
        warehouse,
        frame(event(), event(event_id="f", kind="stare")),
        source="t",
        now=NOW,
        detail=True,
    )
    assert report.accepted_ids == ["e"]
    assert report.rejects == [("f", "unknown_kind")]


def ingest_in_small_batches(url: str, num: int) -> None:
    import feature_repo.ingest

    feature_repo.ingest.BATCH = 50
    events = frame(*(event(event_id=f"e{number}") for number in range(num)))
    ingest(Warehouse(url), events, source="t", now=NOW, progress=lambda n: print(n, flush=True))


def test_a_kill_leaves_whole_batches_and_a_repeat_completes_them(warehouse):
    code = (
        "import runpy; "
        f"runpy.run_path({__file__!r})['ingest_in_small_batches']({warehouse.url!r}, 5000)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    told = int(process.stdout.readline()) + int(process.stdout.readline())
    process.kill()
    process.communicate()
    left = warehouse.counts()["events"]
    assert told <= left < 5000
    assert left % 50 == 0
    events = frame(*(event(event_id=f"e{number}") for number in range(5000)))
    assert totals(ingest(warehouse, events, source="t", now=NOW)) == (5000, 5000 - left, left, 0)
