"""What is not valid, does not exist or cannot be reached gets a status, a word and a remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.schemas import MAX_EVENTS, MAX_ITEMS

VIEW = {"event_id": "n1", "kind": "view", "user_id": "bob", "item_id": "cup"}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/recommend", {}, "user_id"),
        ("/recommend", {"user_id": ""}, "user_id"),
        ("/recommend", {"user_id": "a" * 129}, "user_id"),
        ("/recommend", {"user_id": "a\x00b"}, "user_id"),
        ("/recommend", {"user_id": 7}, "user_id"),
        ("/recommend", {"user_id": "ada", "num_items": 0}, "num_items"),
        ("/recommend", {"user_id": "ada", "num_items": MAX_ITEMS + 1}, "num_items"),
        ("/recommend", {"user_id": "ada", "num_items": "3"}, "num_items"),
        ("/recommend", {"user_id": "ada", "num_items": True}, "num_items"),
        ("/recommend", {"user_id": "ada", "nun_items": 3}, "nun_items"),
        ("/recommend", {"user_id": "ada", "context": {"max_price": -1}}, "context.max_price"),
        ("/recommend", {"user_id": "ada", "context": {"moon": 1}}, "context.moon"),
        ("/predict", {"user_id": "ada", "tasks": ["win_lottery"]}, "tasks.0"),
        ("/predict", {"user_id": "ada", "tasks": []}, "tasks"),
        ("/decide", {"user_id": "ada", "campaign_id": None, "force": True}, "force"),
        ("/events", VIEW | {"colour": "red"}, "colour"),
        ("/events", [VIEW, VIEW | {"quantity": "many"}], "1.quantity"),
        ("/events", [], ""),
        ("/events", [VIEW] * (MAX_EVENTS + 1), ""),
    ],
)
def test_invalid_input_is_refused_by_the_name_of_its_field(client, path, body, field):
    answer = client.post(path, json=body)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["error"] == "invalid"
    assert field in problem["fields"]
    assert problem["message"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"7",
        b"[" * 100_000,
        b'{"user_id": "\xff"}',
        b'{"user_id": "\\ud800"}',
        b'{"user_id": "ada", "context": {"max_price": NaN}}',
        b'{"user_id": "ada", "num_items": 1e999}',
        b'{"user_id": "ada", "num_items": ' + b"9" * 400 + b"}",
    ],
)
@pytest.mark.parametrize("path", ["/recommend", "/predict", "/decide", "/events"])
def test_no_body_however_broken_is_a_server_error(client, path, raw):
    answer = client.post(path, content=raw, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["message"]


@pytest.fixture(scope="module")
def read_event():
    from serving.routes.events import _price, _time
    from serving.schemas import EventIn

    def read(**values):
        line = EventIn.model_validate(VIEW | values)
        return _time(line, {}, 0), _price(line.price)

    return read


@given(
    event_at=st.text(max_size=40) | st.datetimes().map(str),
    price=st.none() | st.text(max_size=20) | st.floats(allow_nan=False, allow_infinity=False),
)
def test_every_time_and_price_becomes_a_number_or_a_reject(read_event, event_at, price):
    at, micros = read_event(event_at=event_at, price=price)
    assert isinstance(at, int)
    assert micros is None or -1 <= micros <= 10**15


def test_prices_are_exact_to_the_micro(read_event):
    assert read_event(price=0.1)[1] == 100_000
    assert read_event(price="19.99")[1] == 19_990_000
    assert read_event(price="NaN")[1] == read_event(price=-1)[1] == read_event(price=1e12)[1] == -1


def test_an_unknown_campaign_is_not_found_and_the_known_ones_are_named(client):
    answer = client.post("/decide", json={"user_id": "ada", "campaign_id": "spring"})
    assert answer.status_code == 404
    assert "no campaign 'spring'" in answer.json()["message"]
    assert "default" in answer.json()["message"]


def test_an_unknown_decision_is_not_found(client):
    answer = client.get("/decisions/made-up")
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


@pytest.mark.parametrize("user_id", ["a%00b", "a" * 129])
def test_an_impossible_user_id_is_invalid(client, user_id):
    assert client.get(f"/users/{user_id}").status_code == 422


def test_an_unknown_path_and_a_wrong_method_are_refused_in_the_same_form(client):
    assert client.get("/nowhere").json()["error"] == "refused"
    assert client.get("/recommend").status_code == 405


def test_a_fault_of_ours_is_a_server_error_without_its_trace(client, desk, monkeypatch):
    def broken(*_):
        raise RuntimeError("a bug with secrets")

    monkeypatch.setattr(type(desk.parts.predictor), "score", broken)
    answer = client.post("/recommend", json={"user_id": "ada"})
    assert (answer.status_code, answer.json()["error"]) == (500, "internal")
    assert "secrets" not in answer.text
