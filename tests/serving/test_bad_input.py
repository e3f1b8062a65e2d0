"""Odd, broken and hostile input is refused in words or taken whole, and nothing else is kept."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.derive import USER_FEATURES
from feature_repo.events import EVENT_SCHEMA, KINDS, REJECT_REASONS, check
from feature_repo.settings import DAY
from serving.catalogue import build
from serving.predictor import best
from tests.serving.conftest import item_frame
from training.datasets.encode import encode_user

VIEW = {"event_id": "n1", "kind": "view", "user_id": "bob", "item_id": "cup"}
BUY = VIEW | {"kind": "purchase", "quantity": 1, "price": 2.5, "order_id": "o1"}
JSON = {"Content-Type": "application/json"}
LEGAL = [
    "'; DROP TABLE events; --",
    "\" OR 1=1 --",
    "../../etc/passwd",
    "%00%2e%2e",
    "a/b?c=d#e",
    "<script>alert(1)</script>",
    "שלום עולם",
    "\u202eadmin\u202c",
    "e\u0301\u0302\u0303",
    "👩‍👩‍👧‍👦",
    " a",
    "a ",
    "a\tb\nc",
    "null",
    "NaN",
    "-0",
    "x" * 128,
    "𝕏" * 128,
]  # fmt: skip


def post(client, path: str, body: bytes | str):
    return client.post(path, content=body, headers=JSON)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"user_id": "a", "user_id": "b"}', "names a field twice"),
        (b'{"user_id": "a", "num_items": NaN}', "holds NaN"),
        (b'{"user_id": "a", "num_items": -Infinity}', "holds -Infinity"),
        (b'{"user_id": "\\ud800"}', "half of a surrogate pair"),
        (b'{"user_id": "a", "\\udfff": 1}', "half of a surrogate pair"),
        (b'{"user_id": "\xff\xfe"}', "not UTF-8 at byte 13"),
        ("{}".encode("utf-16"), "not UTF-8"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"user_id": "a", "num_items": ' + b"9" * 5000 + b"}", "thousands of digits"),
        (b"{'user_id': 'a'}", "no JSON at character 1"),
        (b'{"user_id": "a"} {}', "no JSON at character 17"),
        (b"", "no JSON at character 0"),
    ],
)
@pytest.mark.parametrize("path", ["/recommend", "/predict", "/decide", "/events"])
def test_what_is_no_strict_json_is_refused_with_its_fault(client, desk, path, body, words):
    before = desk.warehouse.counts()
    answer = post(client, path, body)
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["message"] or not body
    assert desk.warehouse.counts() == before


@pytest.mark.parametrize(
    "value", [1e400, 10**400, -(10**30), 2**63, 1.5, True, [], {}, "3", -0.0, 0, 201]
)
def test_a_count_that_is_none_is_refused(client, value):
    text = json.dumps({"user_id": "ada", "num_items": value}).replace("Infinity", "1e400")
    answer = post(client, "/recommend", text)
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid")
    assert "num_items" in answer.json()["fields"]


def test_whole_numbers_written_as_decimals_are_whole(client):
    assert (
        len(post(client, "/recommend", '{"user_id": "ada", "num_items": 2.0}').json()["items"]) == 2
    )


@pytest.mark.parametrize("name", LEGAL)
def test_an_id_of_any_legal_characters_is_one_shopper_everywhere(client, desk, name):
    event = BUY | {"event_id": name, "user_id": name, "item_id": name, "order_id": name}
    assert client.post("/events", json=event).json()["accepted"] == 1
    assert client.post("/events", json=event).json()["duplicates"] == 1
    answer = client.post("/recommend", json={"user_id": name}).json()
    assert (answer["user_id"], answer["missing"][:1] == ["shopper"]) == (name, False)
    assert client.post("/decide", json={"user_id": name}).status_code == 200
    assert client.get("/decisions/" + answer["decision_id"]).json()["user_id"] == name
    kept = desk.warehouse.events(user_ids=[name])
    assert kept["event_id"].to_list() == kept["item_id"].to_list() == [name]
    assert desk.warehouse.counts()["events"] == 5, "no table was dropped"


@pytest.mark.parametrize("name", ["", " ", "\t\n", "\u2003", "a\x00b", "x" * 129, None, 7])
def test_an_id_that_is_none_is_refused_and_stores_nothing(client, desk, name):
    for path in ("/recommend", "/predict", "/decide"):
        answer = client.post(path, json={"user_id": name})
        assert answer.status_code == 422, path
        assert answer.json()["fields"]["user_id"]
    assert desk.warehouse.counts()["decisions"] == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"event_at": "0001-01-01T00:00:00Z"}, "bad_time"),
        ({"event_at": "1969-12-31T23:59:59Z"}, "bad_time"),
        ({"event_at": "9999-12-31T23:59:59Z"}, "future"),
        ({"event_at": "9999-12-31T23:59:59-23:59"}, "future"),
        ({"event_at": "0001-01-01T00:00:00+23:59"}, "bad_time"),
        ({"event_at": "2025-06-30T23:59:60Z"}, "bad_time"),
        ({"event_at": "2025-01-01T00:00:00+99:99"}, "bad_time"),
        ({"event_at": "2025-02-30"}, "bad_time"),
        ({"event_at": "now"}, "bad_time"),
        ({"event_at": "1750000000"}, "bad_time"),
        ({"event_at": ""}, "bad_time"),
        ({"event_at": "2025-06-15T12:01:01Z"}, "future"),
        ({"quantity": 0}, "bad_quantity"),
        ({"quantity": -1}, "bad_quantity"),
        ({"quantity": 2**31}, "bad_quantity"),
        ({"quantity": None}, "bad_quantity"),
        ({"price": -1}, "bad_price"),
        ({"price": 1e15}, "bad_price"),
        ({"price": "1,5"}, "bad_price"),
        ({"price": "NaN"}, "bad_price"),
        ({"price": "1e999999999"}, "bad_price"),
        ({"price": "-Infinity"}, "bad_price"),
        ({"price": ""}, "bad_price"),
        ({"kind": "PURCHASE"}, "unknown_kind"),
        ({"kind": None}, "unknown_kind"),
        ({"user_id": "  "}, "no_user"),
        ({"user_id": "a\x00b"}, "bad_id"),
        ({"user_id": "x" * 129}, "bad_id"),
        ({"decision_id": "a\x00b"}, "bad_id"),
        ({"order_id": "x" * 8000}, "bad_id"),
        ({"item_id": None}, "missing_item"),
        ({"event_id": None}, "missing_event_id"),
        ({"event_id": " "}, "missing_event_id"),
        ({"text": "a\x00"}, "bad_text"),
        ({"text": "x" * 2001}, "bad_text"),
    ],
)
def test_a_bad_event_is_a_dead_letter_as_it_was_sent_and_the_others_are_kept(
    client, desk, change, reason
):
    bad, good = BUY | {"event_id": "bad"} | change, VIEW | {"event_id": "good"}
    before = desk.warehouse.counts()
    receipt = client.post("/events", json=[bad, good]).json()
    assert [line["reason"] for line in receipt["rejected"]] == [reason]
    assert receipt["rejected"][0]["message"] == REJECT_REASONS[reason]
    assert receipt["accepted"] == 1
    (letter,) = desk.warehouse.dead_letters().iter_rows(named=True)
    assert (letter["reason"], letter["source"]) == (reason, "http")
    assert json.loads(letter["raw"]) == bad
    added = {"events": 1, "dead_letters": 1}
    assert desk.warehouse.counts() == before | {n: before[n] + more for n, more in added.items()}


@pytest.mark.parametrize(
    "change",
    [{"event_at": 1750000000}, {"quantity": 2**63}, {"quantity": "1"}, {"price": True},
     {"price": [1]}, {"text": "x" * 8001}, {"colour": "red"}, {"kind": 7}],
)  # fmt: skip
def test_a_request_whose_form_is_wrong_is_refused_as_a_whole(client, desk, change):
    before = desk.warehouse.counts()
    answer = client.post("/events", json=[VIEW, BUY | change])
    assert answer.status_code == 422
    assert next(iter(answer.json()["fields"])).startswith("1.")
    assert desk.warehouse.counts() == before


def test_prices_of_nothing_and_of_minus_nothing_are_free(client, desk):
    events = [BUY | {"event_id": f"p{n}", "price": p} for n, p in enumerate((0, -0.0, "0.000"))]
    assert client.post("/events", json=events).json()["accepted"] == 3
    kept = desk.warehouse.events(user_ids=["bob"]).filter(pl.col("event_id").str.starts_with("p"))
    assert kept["price_micros"].to_list() == [0, 0, 0]


def test_one_id_with_two_contents_is_kept_once_within_a_request_and_across(client, desk):
    other = BUY | {"item_id": "lamp"}
    receipt = client.post("/events", json=[BUY, other, BUY]).json()
    assert (receipt["accepted"], receipt["duplicates"]) == (1, 1)
    assert [line["reason"] for line in receipt["rejected"]] == ["conflicting_duplicate"]
    again = client.post("/events", json=other).json()
    assert [line["reason"] for line in again["rejected"]] == ["conflicting_duplicate"]
    assert desk.warehouse.events(user_ids=["bob"]).filter(event_id="n1")["item_id"].item() == "cup"


def test_one_id_in_many_requests_at_once_is_accepted_once(client, desk):
    contents = [BUY | {"item_id": item} for item in ("cup", "lamp")] * 4
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda e: client.post("/events", json=e).json(), contents))
    assert sum(receipt["accepted"] for receipt in receipts) == 1
    assert sum(receipt["duplicates"] for receipt in receipts) == 3
    assert sum(len(receipt["rejected"]) for receipt in receipts) == 4
    assert desk.warehouse.counts()["events"] == 5


def test_an_event_is_no_outcome_of_a_decision_about_another_shopper(client):
    made = client.post("/recommend", json={"user_id": "ada"}).json()["decision_id"]
    receipt = client.post("/events", json=BUY | {"decision_id": made}).json()
    assert receipt["accepted"] == 1
    assert receipt["notices"] == [
        f"no decision {made!r} was made for 'bob': its events are no outcomes"
    ]
    assert client.get(f"/decisions/{made}").json()["outcomes"] == []


def test_excluding_a_thousand_items_is_taken_and_one_more_is_refused(client):
    items = ["cup", *(f"none-{number}" for number in range(999))]
    asked = {"user_id": "ada", "context": {"exclude_items": items}}
    shown = client.post("/recommend", json=asked).json()["items"]
    assert {item["item_id"] for item in shown} == {"lamp", "plate", "vase"}
    asked["context"]["exclude_items"] = [*items, "more"]
    answer = client.post("/recommend", json=asked)
    assert answer.status_code == 422
    assert "context.exclude_items" in answer.json()["fields"]


def test_a_body_that_is_all_faults_gets_a_short_answer(client):
    lines = [{f"{'x' * 900}{number}": 1} for number in range(500)]
    answer = client.post("/events", json=lines)
    assert answer.status_code == 422
    assert len(answer.json()["fields"]) == 50
    assert "more faults, not listed" in answer.json()["message"]
    assert len(answer.content) < 30_000


texts = st.none() | st.text(max_size=140) | st.sampled_from([*KINDS, "ada", "\x00", "x" * 129])
numbers = st.none() | st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, -1, 10**9, 10**16])
rows = st.lists(
    st.fixed_dictionaries(
        {name: numbers if kind == pl.Int64 else texts for name, kind in EVENT_SCHEMA.items()}
    ),
    max_size=4,
)


@given(rows=rows, now=st.integers(0, 2**53))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_every_row_is_kept_or_named_and_what_is_kept_is_sound(rows, now):
    frame = pl.DataFrame(rows, schema=EVENT_SCHEMA)
    good, bad = check(frame, now)
    assert good.height + bad.height == frame.height
    assert set(bad["reason"]) <= set(REJECT_REASONS)
    again, refused = check(good, now)
    assert refused.is_empty()
    assert again.equals(good)
    for event in good.iter_rows(named=True):
        assert event["kind"] in KINDS
        assert 0 <= event["event_at"] <= event["received_at"] <= now + 60_000_000
        assert event["user_id"].strip()
        assert all(len(event[n] or "") <= 128 for n in ("event_id", "item_id", "order_id"))
        assert event["quantity"] is None or 1 <= event["quantity"] <= 10**9


PARTS = ("at", "kind", "item", "quantity", "amount", "order")
ODD = {
    "no behaviour at all": {name: [] for name in PARTS},
    "items that never were": {"item": ["gone", "", "cup"]},
    "items without a name": {"item": [None, None, None]},
    "amounts that are none": {"amount": [float("nan"), float("inf"), None]},
    "quantities that are none": {"quantity": [None, None, 2**62]},
}  # fmt: skip


def vars_of(arrays) -> dict[str, np.ndarray]:
    found = {name: getattr(arrays, name) for name in arrays.__slots__}
    return {name: values for name, values in found.items() if values is not None}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("feature", [None, float("nan"), float("inf"), -float("inf"), 1e308])
def test_an_odd_row_gets_finite_scores(desk, predictor, odd, feature):
    now = desk.clock.now()
    row = desk.parts.read_user("ada", now)
    row |= dict.fromkeys(USER_FEATURES[::2], feature)
    row |= {f"history_{name}": values for name, values in ODD[odd].items()}
    given = vars_of(encode_user(row, now, predictor.spec, desk.parts.shelf.current.index))
    assert all(np.isfinite(values).all() for values in given.values()), given
    scores = predictor.score(row, now, desk.parts.shelf.current)
    exists = desk.parts.shelf.current.exists
    assert np.isfinite(scores.items[exists]).all()
    assert all(0.0 <= probability <= 1.0 for probability in scores.probabilities.values())
    assert len(scores.history) == len(ODD[odd].get("at", [1, 2, 3]))


def test_an_endless_history_is_answered_by_its_last_behaviours(desk, predictor):
    now, catalogue = desk.clock.now(), desk.parts.shelf.current
    row = desk.parts.read_user("ada", now)
    for name, values in {"at": range(now - 20_000, now), "item": ["cup", "lamp"] * 10_000}.items():
        row[f"history_{name}"] = list(values)
    for name in ("kind", "quantity", "amount"):
        row[f"history_{name}"] = [1] * 20_000
    kept = predictor.spec.history_length
    last = row | {name: row[name][-kept:] for name in row if name.startswith("history_")}
    whole, short = (predictor.score(one, now, catalogue) for one in (row, last))
    assert len(whole.history) == kept
    np.testing.assert_array_equal(whole.items, short.items)


def test_a_catalogue_of_one_item_recommends_it_and_a_history_of_others_changes_nothing(
    desk, predictor
):
    frame = item_frame().filter(pl.col("item_id") == "vase")
    catalogue = build(frame, predictor.spec, predictor, desk.clock.now())
    row = desk.parts.read_user("ada", desk.clock.now())  # bought a cup and a plate, now gone
    scores = predictor.score(row, desk.clock.now(), catalogue)
    assert [catalogue.item_ids[place] for place in best(scores.items, 10)] == ["vase"]
    assert np.isfinite(scores.items[1:]).all()
    assert scores.history.tolist() == [0, 0, 0]
    np.testing.assert_allclose(scores.ahead.kinds.sum(axis=1), 1.0, rtol=1e-6)


def test_times_far_apart_give_finite_scores(desk, predictor):
    row = desk.parts.read_user("ada", desk.clock.now())
    for moment in (0, desk.clock.now() - 300 * DAY, 2**53):
        scores = predictor.score(row, moment, desk.parts.shelf.current)
        assert all(0.0 <= probability <= 1.0 for probability in scores.probabilities.values())
