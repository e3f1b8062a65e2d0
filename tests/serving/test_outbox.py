"""The outbox: written with the decision, sent at least once under one key, never forgotten."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from typer.testing import CliRunner

from feature_repo.campaigns import Campaign
from feature_repo.ingest import ingest
from feature_repo.ledger import Ledger
from feature_repo.messages import Outbox
from feature_repo.rules import Rules
from feature_repo.settings import DAY, SECOND, FixedClock, Settings
from feature_repo.warehouse import Warehouse
from serving.__main__ import app
from serving.outbox import Background, JsonLines, NotDelivered, Webhook, deliver, sender_of
from serving.settings import ServingSettings
from tests.feature_repo.limits import NOW, decide

PLAN = Campaign(
    campaign_id="win",
    daily_budget_micros=100_000_000,
    cap_num=9,
    cap_days=7,
    cost_micros={"coupon": 3_000_000},
    channels={"coupon": "email"},
)


class Desk:
    """A warehouse, its ledger and outbox, a clock, and what was sent."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse, self.clock = warehouse, FixedClock(NOW)
        self.ledger, self.outbox = Ledger(warehouse, sends=True), Outbox(warehouse)
        self.ledger.upsert_campaign(PLAN)
        self.sent: list[str] = []
        self.fail: list[str] = []

    def send(self, message) -> None:
        if self.fail:
            raise NotDelivered(self.fail.pop(0))
        self.sent.append(message.message_id)

    def record(self, frame) -> None:
        ingest(self.warehouse, frame, source="outbox", now=self.clock.now())

    def deliver(self, **settings):
        serving = ServingSettings(**settings)
        return deliver(self.outbox, self.send, self.record, self.clock, serving)


@pytest.fixture
def outbox_desk(tmp_path) -> Desk:
    warehouse = Warehouse(f"sqlite:///{tmp_path}/shop.db")
    warehouse.migrate()
    return Desk(warehouse)


@contextmanager
def receiver(statuses: list[int]):
    """A server that answers with `statuses` in turn, then 200; gives what came in."""
    came: list[tuple[str, str, dict]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            came.append((self.path, self.headers["Idempotency-Key"], body))
            status = statuses.pop(0) if statuses else 200
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/take?from=nudge", came
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_decision_leaves_a_message_with_it_and_doing_nothing_leaves_none(outbox_desk):
    made, _ = decide(outbox_desk.ledger, "u")
    Rules(outbox_desk.warehouse).suppress("v", "asked", NOW)
    decide(outbox_desk.ledger, "v")
    assert outbox_desk.outbox.counts() == {"waiting": 1, "sent": 0, "done": 0, "dead": 0}
    message = outbox_desk.outbox.claim(NOW, 60)
    assert message.message_id == made.decision_id
    assert message.payload["channel"] == "email"
    assert message.payload["action"] == "coupon"


def test_without_an_outbox_nothing_is_written(outbox_desk):
    decide(Ledger(outbox_desk.warehouse), "u")
    assert outbox_desk.outbox.counts()["waiting"] == 0


def test_what_was_sent_becomes_one_treatment_and_no_outcome(outbox_desk):
    made, _ = decide(outbox_desk.ledger, "u")
    outbox_desk.clock.moment += 5 * SECOND
    assert outbox_desk.deliver() == {"sent": 1, "failed": 0}
    assert outbox_desk.deliver() == {"sent": 0, "failed": 0}
    event = outbox_desk.warehouse.events(kinds=["treatment"]).row(0, named=True)
    assert (event["user_id"], event["text"]) == ("u", "coupon")
    assert (event["decision_id"], event["event_at"]) == (made.decision_id, NOW + 5 * SECOND)
    assert outbox_desk.ledger.outcomes(made.decision_id) == []


def test_a_failed_message_waits_longer_each_time_and_dies_with_its_reason(outbox_desk):
    decide(outbox_desk.ledger, "u")
    outbox_desk.fail = ["the receiver answered 500"] * 3
    waits = []
    for _ in range(3):
        assert outbox_desk.deliver(outbox_tries=3)["failed"] == 1
        waited = 0
        while outbox_desk.outbox.counts()["waiting"] and not outbox_desk.outbox.claim(
            outbox_desk.clock.moment, 0
        ):
            outbox_desk.clock.moment += SECOND
            waited += 1
        waits.append(waited)
        with outbox_desk.warehouse.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE outbox SET num_tries = num_tries - 1 WHERE state = 'waiting'"
            )
    assert waits == [2, 4, 0]
    assert [row["reason"] for row in outbox_desk.outbox.dead()] == ["the receiver answered 500"]
    assert outbox_desk.ledger.spent_micros("win", NOW) == 3_000_000, "it may have arrived"


def test_a_sender_that_died_leaves_its_message_to_the_next(outbox_desk):
    made, _ = decide(outbox_desk.ledger, "u")
    assert outbox_desk.outbox.claim(NOW, 60).message_id == made.decision_id
    assert outbox_desk.deliver() == {"sent": 0, "failed": 0}, "it is in another's hands"
    outbox_desk.clock.moment += 61 * SECOND
    assert outbox_desk.deliver()["sent"] == 1
    assert outbox_desk.sent == [made.decision_id]


def test_a_message_that_was_sent_before_a_kill_becomes_its_treatment_afterwards(outbox_desk):
    decide(outbox_desk.ledger, "u")
    outbox_desk.outbox.sent(outbox_desk.outbox.claim(NOW, 60), NOW)
    assert outbox_desk.deliver()["sent"] == 0
    assert len(outbox_desk.warehouse.events(kinds=["treatment"])) == 1
    assert outbox_desk.outbox.counts()["done"] == 1


def test_what_is_held_is_confirmed_before_it_is_sent_and_released_means_dead(outbox_desk):
    outbox_desk.ledger.upsert_campaign(replace(PLAN, hold_hours=1))
    decide(outbox_desk.ledger, "u")
    decide(outbox_desk.ledger, "v")
    outbox_desk.fail = ["no"]
    assert outbox_desk.deliver() == {"sent": 1, "failed": 1}
    made, _ = decide(outbox_desk.ledger, "w")
    outbox_desk.clock.moment += DAY // 12
    assert outbox_desk.deliver()["sent"] == 1, "what was tried once stays confirmed"
    dead = outbox_desk.outbox.dead()
    assert [(row["message_id"], row["reason"][:16]) for row in dead] == [
        (made.decision_id, "what it reserved")
    ]
    assert outbox_desk.ledger.spent_micros("win", NOW) == 6_000_000


def test_nobody_is_woken_by_a_message_that_was_decided_in_the_evening(outbox_desk):
    outbox_desk.ledger.upsert_campaign(replace(PLAN, quiet_hours="09:00-10:00"))
    decide(outbox_desk.ledger, "u")  # at 8:00
    outbox_desk.clock.moment += DAY // 24
    assert outbox_desk.deliver()["sent"] == 0
    outbox_desk.clock.moment += DAY // 24
    assert outbox_desk.deliver()["sent"] == 1


def test_a_shopper_who_was_suppressed_meanwhile_gets_nothing(outbox_desk):
    decide(outbox_desk.ledger, "u")
    Rules(outbox_desk.warehouse).suppress("u", "asked", NOW)
    assert outbox_desk.deliver()["sent"] == 0
    assert outbox_desk.outbox.dead()[0]["reason"] == "suppressed: asked"
    assert outbox_desk.ledger.spent_micros("win", NOW) == 0


def test_a_webhook_gets_one_key_however_often_and_no_redirect_is_followed(outbox_desk):
    made, _ = decide(outbox_desk.ledger, "u")
    message = outbox_desk.outbox.claim(NOW, 60)
    with receiver([500, 302]) as (url, came):
        send = Webhook(url, 5.0)
        for status in (500, 302):
            with pytest.raises(NotDelivered, match=f"answered {status}"):
                send(message)
        send(message)
    with pytest.raises(NotDelivered, match="Connection"):
        send(message)
    assert [(path, key) for path, key, _ in came] == [("/take?from=nudge", made.decision_id)] * 3
    assert came[0][2]["user_id"] == "u"


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "ftp://host/x", "https://"])
def test_a_webhook_without_a_web_address_is_refused(url):
    with pytest.raises(ValueError, match="NUDGE_SERVING_OUTBOX_URL"):
        Webhook(url, 1.0)


def test_a_file_gets_whole_lines_after_half_a_line(outbox_desk, tmp_path):
    decide(outbox_desk.ledger, "u")
    message = outbox_desk.outbox.claim(NOW, 60)
    path = tmp_path / "sent.jsonl"
    path.write_bytes(b'{"half')
    JsonLines(path)(message)
    JsonLines(path)(message)
    lines = path.read_bytes().split(b"\n")
    assert lines[0] == b'{"half'
    assert [json.loads(line)["decision_id"] for line in lines[1:3]] == [message.message_id] * 2


def test_the_settings_say_where_messages_go(tmp_path):
    assert sender_of(ServingSettings(), tmp_path) is None
    assert isinstance(sender_of(ServingSettings(outbox="file"), tmp_path), JsonLines)
    webhook = ServingSettings(outbox="webhook", outbox_url="https://shop.example/x")
    assert isinstance(sender_of(webhook, tmp_path), Webhook)


def test_the_service_sends_in_the_background_and_counts_it(desk, figures):
    from fastapi.testclient import TestClient

    from serving.service import create_app

    ledger, outbox = Ledger(desk.warehouse, sends=True), Outbox(desk.warehouse)
    sent, arrived = [], threading.Event()

    def send(message) -> None:
        sent.append(message)

    def tell() -> None:
        desk.meters.tell_outbox(outbox.counts())
        if sent:
            arrived.set()

    def work(is_over) -> None:
        deliver(outbox, send, desk.parts.record, desk.clock, ServingSettings(), is_over=is_over)

    parts = desk.with_parts(ledger=ledger, outbox=Background(work, tell, 0.02))
    with TestClient(create_app(lambda: parts)) as client:
        answers = [client.post("/decide", json={"user_id": "ada"}).json() for _ in range(30)]
        done = [a for a in answers if a["action"] != "nothing"]
        assert arrived.wait(10)
        shown = figures(client)
    assert [message.message_id for message in sent] == [a["decision_id"] for a in done]
    assert shown['nudge_outbox_messages{state="sent"}'] == len(done) == 1
    assert shown['nudge_outbox_messages{state="waiting"}'] == 0


def test_the_commands_send_and_tell(shop, tmp_path, monkeypatch):
    for name, value in shop.env.items():
        if name.startswith("NUDGE_"):
            monkeypatch.setenv(name, value)
    runner, path = CliRunner(), tmp_path / "sent.jsonl"
    refused = runner.invoke(app, ["outbox", "deliver"])
    assert refused.exit_code == 2
    monkeypatch.setenv("NUDGE_SERVING_OUTBOX", "file")
    monkeypatch.setenv("NUDGE_SERVING_OUTBOX_FILE", str(path))
    warehouse = Warehouse(Settings().warehouse)
    ledger = Ledger(warehouse, sends=True)
    ledger.upsert_campaign(PLAN)
    made, _ = decide(ledger, "sent-to", at=shop.clock.now())
    assert "1 sent, 0 failed" in runner.invoke(app, ["outbox", "deliver"]).output
    assert "0 waiting, 1 sent, 0 dead" in runner.invoke(app, ["outbox", "status"]).output
    assert json.loads(path.read_text())["decision_id"] == made.decision_id
    from feature_repo.retrieval import online

    row = online(["sent-to"], "shopper", shop.clock.now() + SECOND, shop.settings)
    assert row["num_treatment_7d"].to_list() == [1.0]
    assert row["treatment_action"].to_list() == [["coupon"]]
