"""Live rows at an instant equal what training is told of that instant, at every step of a life."""

from __future__ import annotations

import secrets

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import feature_repo.__main__ as cli
from feature_repo import publish, replay
from feature_repo.derive import USER_FEATURES
from feature_repo.events import EVENT_SCHEMA
from feature_repo.online import open_rows
from feature_repo.parity import compare
from feature_repo.retrieval import open_store
from feature_repo.rollups import HISTORY
from feature_repo.scratch import scratch
from feature_repo.settings import DAY, SECOND, FixedClock, Settings
from feature_repo.treatments import TREATMENTS
from feature_repo.warehouse import Warehouse
from feature_repo.words import MESSAGES


@pytest.fixture(scope="module")
def seed() -> int:
    """Another one each time; pytest shows it where a test fails."""
    drawn = secrets.randbelow(2**31)
    print(f"seed {drawn}")
    return drawn


def view(name: str, at: int, received_at: int | None = None, user: str = "ann") -> pl.DataFrame:
    row = dict.fromkeys(EVENT_SCHEMA) | {
        "event_id": name, "kind": "view", "user_id": user, "item_id": name, "event_at": at,
        "received_at": at if received_at is None else received_at,
    }  # fmt: skip
    return pl.DataFrame([row], schema=EVENT_SCHEMA)


@pytest.fixture(scope="module")
def empty() -> Settings:
    """A shop without events, gone afterwards."""
    with scratch(Settings()) as shop:
        yield shop


def test_two_thousand_events_are_told_alike_live_and_to_training(seed):
    events = replay.simulated(2_000, seed)
    with scratch(Settings()) as shop:
        report, compared = replay.replay(events, shop, seed=seed, late=0.1)
    print(f"seed {seed}")
    assert report.accepted == 2_000
    assert report.duplicates > 0
    assert compared["shopper_with_messages"].num_rows >= 2_000
    assert compared["item"].num_rows >= 1_000
    assert {service: found.differences for service, found in compared.items()} == {
        "shopper_with_messages": {},
        "item": {},
    }, f"seed {seed}: {[found.examples for found in compared.values()]}"


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_a_hundred_thousand_events_are_told_alike_live_and_to_training(seed):
    events = replay.simulated(100_000, seed)
    with scratch(Settings()) as shop:
        report, compared = replay.replay(events, shop, seed=seed)
    assert report.accepted == 100_000
    assert compared["shopper_with_messages"].num_rows >= 100_000
    assert [found.differences for found in compared.values()] == [{}, {}], f"seed {seed}"


def test_arrivals_meet_every_corner(seed):
    events = replay.simulated(20_000, seed)
    sent = replay.arrivals(events, 0.05, np.random.default_rng(seed))
    happened, received = sent["event_at"], sent["received_at"]
    delay = received - happened
    assert received.is_sorted()
    assert 0.03 < (delay > 60 * SECOND).mean() < 0.08
    assert delay.max() > 14 * DAY
    assert (happened % DAY == 0).any()
    assert (happened % DAY == DAY - 1).any()
    assert (received % DAY == 0).any()
    assert -60 * SECOND < delay.min() < 0
    assert not happened.is_sorted()
    assert sent["event_id"].n_unique() == 20_000 < sent.height
    assert ((received.diff() == 0) & (happened.diff() != 0)).sum() > 100


def test_a_replay_finds_a_live_row_that_ages(seed, monkeypatch):
    """Rows that hold still what was once true of them: the comparison sees it."""
    read = replay.online

    def aged(keys, service, moment, settings):
        rows = read(keys, service, moment, settings)
        return rows if service == "item" else rows.with_columns(num_view_7d=pl.col("num_view_30d"))

    events = replay.simulated(200, seed)
    with monkeypatch.context() as changed, scratch(Settings()) as shop:
        changed.setattr(replay, "online", aged)
        _, compared = replay.replay(events, shop, seed=seed)
    assert set(compared["shopper_with_messages"].differences) == {"num_view_7d"}


@pytest.mark.parametrize("place", ["sqlite", "redis"])
def test_online_rows_lie_in_a_place_of_their_own_and_leave_nothing(place, tmp_path, request):
    """Whatever online store is set: its rows stay, those of the scratch shop go."""
    url = f"sqlite:///{tmp_path}/online.db"
    if place == "redis":
        url = request.getfixturevalue("redis_url")
    settings, backend = Settings(home=tmp_path, online_url=url), open_rows(url)
    backend.write("nudge", [("user_state", "shopper-00001", 1, 1, "{}")])
    with scratch(settings) as shop:
        _, compared = replay.replay(replay.simulated(60, 3), shop, seed=3)
        project = open_store(shop).project
        keys = [f"shopper-{n:05d}" for n in range(30)]
        found = open_rows(shop.online).read(project, ["user_state"], keys)
        assert len(found) > 2
    assert compared["shopper_with_messages"].differences == {}
    assert backend.read(project, ["user_state"], keys) == {}
    kept = backend.read("nudge", ["user_state"], keys)
    assert kept == {("user_state", "shopper-00001"): (1, 1, "{}")}


def test_requests_that_overtake_each_other_lose_no_event(empty):
    """The second is recorded after the third, and the newest increment moves back in time."""
    warehouse, noon = Warehouse(empty.warehouse), 20_000 * DAY + DAY // 2
    sent = [
        view("a", noon),
        view("d", noon + DAY + 9),
        pl.concat([view("c", noon + DAY + 5), view("b", noon - DAY, noon + DAY + 3)]),
    ]
    now = noon + DAY + 10
    for frame in sent:
        publish.record(warehouse, frame, empty, FixedClock(now), source="test")
    publish.rollup(warehouse, empty)
    assert compare(["ann"], "shopper", now, empty).differences == {}


def test_what_a_wrong_clock_sends_from_the_future_is_known_now(empty):
    warehouse, now = Warehouse(empty.warehouse), 20_100 * DAY
    ahead = view("ahead", now + 10 * SECOND, now + 20 * SECOND, user="bob")
    publish.record(warehouse, ahead, empty, FixedClock(now), source="test")
    again = publish.record(warehouse, ahead, empty, FixedClock(now + DAY), source="test")
    assert again.duplicates == 1
    publish.rollup(warehouse, empty)
    assert compare(["bob"], "shopper", now + 1, empty).differences == {}
    kept = warehouse.events(user_ids=["bob"])
    assert kept[["event_at", "received_at"]].rows() == [(now, now)]


def test_the_command_replays_into_a_scratch_shop_and_touches_no_other(tmp_path, monkeypatch):
    monkeypatch.setenv("NUDGE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    told = ["parity", "--replay", "300", "--seed", "5", "--late", "0.2"]
    shown = CliRunner().invoke(cli.app, told)
    assert shown.exit_code == 0, shown.output
    assert "300 events of a simulated shop, seed 5, 20.0% late" in shown.output
    num = len((*USER_FEATURES, *HISTORY, *TREATMENTS, *MESSAGES))
    assert f"x {num} features, 0 differences" in shown.output
    assert {path.name.split("-")[0] for path in tmp_path.iterdir()} == {"warehouse.db"}
    assert Warehouse(Settings().warehouse).span() is None
