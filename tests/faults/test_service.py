"""The service and its servers are killed under traffic: nothing acknowledged is lost or doubled."""

from __future__ import annotations

import time
from collections import Counter

import httpx
import pytest
import sqlalchemy as sa

from tests.faults.processes import Clients, Service, small_disk, until
from tests.serving.conftest import write_model

BUDGET = 40.0
ALLOWED = {200, 503}


@pytest.fixture
def serve(shop, shop_with, tmp_path):
    """Start the service over a copy of the shop, with a model that can be followed by hand."""
    from feature_repo.retrieval import schema
    from serving.promote import keep_campaign, save_policy
    from training.policies import Threshold

    services = []

    def start(**stores):
        copy = shop_with(**stores)
        registered = {name: schema(name, shop.settings) for name in ("shopper", "item")}
        write_model(tmp_path / "model", registered)
        # Every second shopper gets a coupon, so that the budget is reached.
        policy = Threshold(coupon_threshold=0.0, reminder_threshold=0.0, epsilon=0.5)
        save_policy(tmp_path / "policy", policy, shop.clock.now())
        limits = {"daily_budget_micros": int(BUDGET * 1e6), "cap_num": 1000}
        keep_campaign(copy.settings, "default", limits)
        copy.env["NUDGE_SERVING_BUNDLE"] = str(tmp_path / "model")
        copy.env["NUDGE_SERVING_POLICY"] = str(tmp_path / "policy")
        service = Service(copy.env, tmp_path)
        services.append(service)
        service.start()
        return copy, service

    yield start
    for service in services:
        service.kill()


def clients_of(copy, service) -> Clients:
    events = copy.warehouse.events(kinds=["purchase"])
    users = events["user_id"].unique().sort().to_list()[:20]
    items = events["item_id"].unique().sort().to_list()[:10]
    return Clients(service.url, users, items)


def audit(copy, clients, line, seconds=None) -> None:
    """Every acknowledged event and decision stands in the warehouse once; the budget held."""
    acknowledged, decided = clients.so_far()
    until(lambda: settled(copy), 60)
    with copy.warehouse.read() as connection:

        def column(query: str) -> Counter:
            return Counter(connection.execute(sa.text(query)).scalars())

        events = column("SELECT event_id FROM events")
        decisions = column("SELECT decision_id FROM decisions")
        actions = dict(
            connection.execute(sa.text("SELECT decision_id, action FROM decisions")).all()
        )
        outcomes = column("SELECT decision_id FROM outcomes")
        spent = connection.execute(
            sa.text("SELECT coalesce(max(spent), 0) FROM (SELECT sum(cost_micros) AS spent "
                    "FROM reservations GROUP BY campaign_id, day) AS days")
        ).scalar_one()  # fmt: skip
    lost = len(acknowledged - set(events)) + len(set(decided) - set(decisions))
    doubled = sum(num - 1 for num in (events + decisions).values())
    line.add(lost=lost, doubled=doubled, seconds=seconds)
    assert not lost
    assert not doubled
    for decision_id, answer in decided.items():
        if "action" in answer:
            assert actions[decision_id] == answer["action"]
    assert int(spent) <= BUDGET * 1e6
    assert outcomes, "events that cite a decision are its outcomes"


def whole(service) -> bool:
    """Whether an answer comes without any flag of a store."""
    try:
        answer = httpx.post(f"{service.url}/decide", json={"user_id": "shopper-00001"}, timeout=30)
    except httpx.TransportError:
        return False
    if answer.status_code != 200:
        return False
    told = answer.json()
    return not {"features", "ledger"} & {*told["stale"], *told["missing"]}


def settled(copy) -> bool:
    """Whether the spool is empty."""
    return not list((copy.settings.home / "spool").glob("*.jsonl"))


def assert_rows_are_whole(copy) -> None:
    """No shopper's online row is behind the warehouse, within the seconds that healing takes."""
    from feature_repo import heal
    from feature_repo.settings import SystemClock

    def behind():
        now = SystemClock(copy.settings.home).now()
        return list(heal.behind(copy.warehouse, copy.settings, now))

    try:
        until(lambda: not behind(), 60)
    except AssertionError as error:
        raise AssertionError(f"behind after 60 s: {behind()}") from error


@pytest.mark.parametrize("num_kills", [1, pytest.param(12, marks=pytest.mark.long)])
def test_a_service_that_is_killed_under_traffic_kept_all_it_acknowledged(
    serve, rng, matrix, num_kills
):
    copy, service = serve()
    line = matrix("SIGKILL of the service, SQLite")
    with clients_of(copy, service) as clients:
        for _ in range(num_kills):
            time.sleep(rng.uniform(0.5, 4))
            service.kill()
            seconds = service.start()
            until(lambda: whole(service), 60)
            audit(copy, clients, line, seconds)
        time.sleep(1)
    audit(copy, clients, line)
    assert {status for _, status in clients.statuses} <= ALLOWED, clients.statuses
    until(lambda: settled(copy), 30)
    assert_rows_are_whole(copy)


@pytest.mark.parametrize("num_kills", [1, pytest.param(15, marks=pytest.mark.long)])
def test_redis_and_postgres_are_killed_under_traffic(
    serve, postgres_url, postgres, redis_url, redis, rng, matrix, num_kills
):
    copy, service = serve(warehouse_url=postgres_url, online_url=redis_url)
    until(lambda: whole(service), 60)
    slowest = []
    for name, server in (("Redis", redis), ("PostgreSQL", postgres)):
        line = matrix(f"SIGKILL of {name} under traffic")
        for _ in range(num_kills):
            with clients_of(copy, service) as clients:
                time.sleep(rng.uniform(0.3, 1.5))
                server.kill()
                time.sleep(rng.uniform(0.5, 3))
                server.start()
                seconds = until(lambda: whole(service), 60)
            audit(copy, clients, line, seconds)
            assert {status for _, status in clients.statuses} <= ALLOWED, clients.statuses
            answered = {path for path, status in clients.statuses if status == 503}
            assert answered <= {"/events"}, "a decision is answered, flagged, while a store is down"
            slowest.append(clients.slowest_s)
        assert_rows_are_whole(copy)
    print(f"slowest answer while a server was down: {max(slowest):.1f} s")


@pytest.mark.long
def test_a_service_on_a_full_disk_acknowledges_nothing_it_cannot_keep(serve, tmp_path, matrix):
    with small_disk(tmp_path / "home", "32m"):
        copy, service = serve()
        filler = tmp_path / "home" / "filler"
        _fill(filler)
        refused = _ask_until_refused(service)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert "no space is left" in refused.json()["message"]
        event = {"event_id": "full-1", "kind": "search", "user_id": "shopper-00001", "text": "x"}
        assert httpx.post(f"{service.url}/events", json=event, timeout=30).status_code == 503
        filler.unlink()
        seconds = until(lambda: whole(service), 30)
        receipt = httpx.post(f"{service.url}/events", json=event, timeout=30)
        assert receipt.json()["accepted"] == 1
        matrix("full disk under the service").add(seconds=seconds)
        service.kill()
        copy.warehouse.engine.dispose()


def _fill(path) -> None:
    """Take all space, to the last byte."""
    with path.open("ab", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def _ask_until_refused(service):
    """The last pages of a write-ahead log have room for a few more decisions."""
    for _ in range(400):
        answer = httpx.post(f"{service.url}/recommend", json={"user_id": "u"}, timeout=30)
        if answer.status_code != 200:
            return answer
    raise AssertionError("a full disk went on taking decisions")
