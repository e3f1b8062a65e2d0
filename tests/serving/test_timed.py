"""``/decide`` that may act at a better hour: told, logged, held until then, sent then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from feature_repo.campaigns import LimitState
from feature_repo.ledger import Ledger
from feature_repo.messages import Outbox
from feature_repo.settings import DAY, microseconds
from serving.experiments.running import Assigned
from serving.moments import moment_of, reaches
from serving.service import create_app
from tests.serving.conftest import NOW
from training.policies import Threshold, Timed

HOUR = DAY // 24
BASE = Threshold(coupon_threshold=0.0, reminder_threshold=0.0, epsilon=0.0)
LATER = Timed(base=BASE, value=(0.0, 1.0), discount=0.0, epsilon=0.0)


@pytest.fixture
def serve(desk):
    """The service under a timed policy, for shoppers who are around in the evening."""

    def start(policy: Timed = LATER, **campaign) -> TestClient:
        ledger = Ledger(desk.warehouse, sends=True)
        ledger.upsert_campaign(replace(ledger.campaign("default"), cap_num=50, **campaign))
        read = desk.parts.read_user
        parts = desk.with_parts(
            ledger=ledger,
            policy=policy,
            assign=lambda user, at: Assigned(policy=policy, policy_name="timed:p1"),
            read_user=lambda user, at: read(user, at) | evening(read(user, at)),
        )
        return TestClient(create_app(lambda: parts))

    return start


def evening(row):
    """The row with its behaviours moved to the evening."""
    at = [known // DAY * DAY + 19 * HOUR for known in row["history_at"]]
    return {"history_at": [one if one < NOW else one - DAY for one in at]}


def ask(client, user: str = "ada"):
    answer = client.post("/decide", json={"user_id": user})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_better_hour_of_today_is_answered_logged_and_kept_for_the_outbox(serve, desk):
    with serve() as client:
        found = ask(client)
    assert found["action"] == "coupon@later"
    at = datetime.fromisoformat(found["act_at"])
    assert at.date() == datetime(2025, 6, 15).date()
    assert 17 <= at.hour <= 19
    assert {line["action"] for line in found["alternatives"]} == set(LATER.actions)
    assert sum(line["probability"] for line in found["alternatives"]) == pytest.approx(1.0)
    kept = desk.ledger.get(found["decision_id"])
    begins = round(at.timestamp() * 1_000_000)
    assert kept.scores["act_at"] == begins
    assert kept.scores["reach_later"] > kept.scores["reach_now"]
    assert kept.probabilities["coupon@later"] == found["probability"] == 1.0
    assert kept.cost_micros == 5_000_000
    outbox = Outbox(desk.warehouse)
    assert outbox.claim(begins - 1, lease_s=60) is None
    message = outbox.claim(begins, lease_s=60)
    assert message is not None
    assert message.payload["action"] == "coupon"


def test_what_is_held_for_later_is_held_until_then_and_a_while_and_then_released(serve, desk):
    with serve(hold_hours=1.0) as client:
        found = ask(client)
    begins = round(datetime.fromisoformat(found["act_at"]).timestamp() * 1_000_000)
    assert begins > NOW + 2 * HOUR
    outbox, ledger = Outbox(desk.warehouse), desk.ledger
    assert outbox.claim(begins - 1, lease_s=60) is None
    assert ledger.spent_micros("default", NOW) == 5_000_000
    assert ledger.confirm(found["decision_id"], begins + 2 * HOUR) is False
    assert ledger.spent_micros("default", NOW) == 0
    assert outbox.claim(begins + 2 * HOUR, lease_s=60) is None


def test_in_quiet_hours_the_action_waits_for_an_hour_outside_them(serve, desk):
    with serve(quiet_hours="11:00-18:30") as client:
        found = ask(client)
    assert found["action"] == "coupon@later"
    assert datetime.fromisoformat(found["act_at"]).hour == 19
    blocked = {line["action"]: line["blocked"] for line in found["alternatives"]}
    assert blocked["coupon"].startswith("quiet hours")
    assert blocked["coupon@later"] is None


def test_where_no_hour_is_left_the_action_is_not_taken_later(serve):
    with serve(quiet_hours="12:30-11:00") as client:
        found = ask(client)
    blocked = {line["action"]: line["blocked"] for line in found["alternatives"]}
    assert blocked["coupon@later"] == "no hour outside quiet hours is left today"
    assert found["action"] == "coupon"
    assert datetime.fromisoformat(found["act_at"]) == datetime.fromisoformat(found["asked_at"])


def test_a_spent_budget_blocks_now_and_later_alike(serve):
    with serve(daily_budget_micros=1_000_000) as client:
        found = ask(client)
    assert found["action"] == "nothing"
    blocked = {line["action"]: line["blocked"] for line in found["alternatives"]}
    assert blocked["coupon"].startswith("daily budget")
    assert blocked["coupon@later"].startswith("daily budget")


def test_hours_are_those_of_the_shoppers_own_zone(desk):
    noon = [microseconds(f"2025-06-{day:02d}T12:00:00") for day in range(1, 15)]
    assert reaches(noon, "UTC").argmax() in (10, 11, 12)
    assert reaches(noon, "Asia/Tokyo").argmax() in (19, 20, 21)
    campaign = desk.ledger.campaign("default")
    limits = LimitState(
        spent_micros=0, daily_budget_micros=1, actions_by_user=0, last_action_at=None, now=NOW
    )
    tokyo = moment_of({"history_at": noon}, replace(limits, zone="Asia/Tokyo"), campaign)
    assert tokyo.later_at == microseconds("2025-06-15T13:00:00")  # 22 o'clock in Tokyo
    midnight = microseconds("2025-06-15T23:30:00")
    assert moment_of({}, replace(limits, now=midnight), campaign).later_at is None
    assert datetime.fromtimestamp(NOW / 1e6, UTC).hour == 12
