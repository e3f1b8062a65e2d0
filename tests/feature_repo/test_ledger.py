"""The ledger: decisions durable, limits exact, outcomes found again."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from uuid import uuid4

import polars as pl
import pytest

from feature_repo.events import EVENT_SCHEMA
from feature_repo.ingest import ingest
from feature_repo.ledger import Campaign, Decision, Ledger, LimitState
from feature_repo.settings import DAY
from feature_repo.warehouse import Warehouse

NOW = 20_000 * DAY
CAMPAIGN = Campaign(
    campaign_id="win",
    daily_budget_micros=10_000_000,
    cap_num=2,
    cap_days=7,
    cost_micros={"coupon": 3_000_000},
)


@pytest.fixture
def ledger(warehouse) -> Ledger:
    made = Ledger(warehouse)
    made.upsert_campaign(CAMPAIGN)
    return made


def decision(user: str = "u", action: str | None = "coupon", at: int = NOW, **fields) -> Decision:
    values = {
        "decision_id": uuid4().hex,
        "kind": "decide",
        "model_version": "m",
        "feature_version": "f",
        "probabilities": {"coupon": 0.9, "nothing": 0.1},
        "notices": ("new user",),
        "cost_micros": 3_000_000 if action == "coupon" else 0,
    }
    return Decision(user_id=user, action=action, decided_at=at, **values | fields)


def coupon_if_allowed(limits: LimitState, user: str, at: int) -> Decision:
    left = limits.daily_budget_micros - limits.spent_micros
    allowed = left >= 3_000_000 and limits.actions_by_user < 2
    return decision(user, "coupon" if allowed else "nothing", at)


def ask(ledger: Ledger, user: str, at: int = NOW) -> str | None:
    return ledger.decide(user, "win", at, lambda limits: coupon_if_allowed(limits, user, at)).action


def test_a_decision_reads_back_as_it_was_written(ledger):
    made = decision(scores={"leave_90d": 0.7}, request={"user_id": "u"}, reason="late")
    ledger.write(made)
    assert ledger.get(made.decision_id) == made
    assert ledger.get("nothing") is None
    assert ledger.decisions("u") == [made]


def test_the_daily_budget_is_never_exceeded_and_opens_again_next_day(ledger):
    actions = [ask(ledger, f"u{number}") for number in range(5)]
    assert actions == ["coupon", "coupon", "coupon", "nothing", "nothing"]
    assert ledger.spent_micros("win", NOW) == 9_000_000
    assert ask(ledger, "u9", NOW + DAY) == "coupon"


def test_the_frequency_cap_holds_within_its_window_only(ledger):
    days = [0, 1, 2, 6, 7, 8, 9]
    actions = [ask(ledger, "u", NOW + day * DAY) for day in days]
    assert actions == ["coupon", "coupon", "nothing", "nothing", "coupon", "coupon", "nothing"]


def test_a_choice_that_fails_leaves_no_trace(ledger):
    def fail(limits: LimitState) -> Decision:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        ledger.decide("u", "win", NOW, fail)
    assert ledger.spent_micros("win", NOW) == 0
    assert ledger.decisions() == []


def test_a_choice_over_the_limits_is_not_kept(ledger):
    with pytest.raises(AssertionError):
        ledger.decide("u", "win", NOW, lambda limits: decision(cost_micros=11_000_000))
    assert ledger.spent_micros("win", NOW) == 0


def test_an_unknown_campaign_is_refused_with_the_known_ones(ledger):
    with pytest.raises(ValueError, match=r"'lose'.*win"):
        ledger.decide("u", "lose", NOW, lambda limits: decision())


def citing(made: Decision, **fields) -> dict:
    return (
        dict.fromkeys(EVENT_SCHEMA)
        | {"event_id": "e", "kind": "purchase", "user_id": "u", "item_id": "x", "quantity": 2}
        | {"event_at": NOW + 5, "received_at": NOW + 5, "price_micros": 4_000_000}
        | {"decision_id": made.decision_id}
        | fields
    )


def record(warehouse: Warehouse, *rows: dict) -> tuple[int, int]:
    events = pl.DataFrame(list(rows), schema=EVENT_SCHEMA)
    ingest(warehouse, events, source="t", now=NOW + 10)
    return Ledger(warehouse).attach_outcomes(events)


def test_an_event_that_cites_a_decision_becomes_its_outcome_once(ledger, warehouse):
    made = decision()
    ledger.write(made)
    rows = citing(made), citing(made, event_id="f", decision_id="unknown")
    assert record(warehouse, *rows) == (1, 1)
    assert record(warehouse, *rows, rows[0]) == (0, 1)
    found = ledger.outcomes(made.decision_id)
    assert [(o["event_id"], o["value_micros"]) for o in found] == [("e", 8_000_000)]


def test_several_events_may_be_outcomes_of_one_decision(ledger, warehouse):
    made = decision()
    ledger.write(made)
    assert record(warehouse, citing(made), citing(made, event_id="f", kind="click")) == (2, 0)
    assert [o["kind"] for o in ledger.outcomes(made.decision_id)] == ["purchase", "click"]


def test_an_event_that_was_refused_is_no_outcome(ledger, warehouse):
    made = decision()
    ledger.write(made)
    refused = [
        {"event_id": None},
        {"event_id": "f", "user_id": None},
        {"event_id": "g", "quantity": 0},
    ]
    assert record(warehouse, *(citing(made, **fields) for fields in refused)) == (0, 0)
    assert record(warehouse, citing(made)) == (1, 0)
    # A second event under a used id cites another decision: the first one stands.
    other = decision()
    ledger.write(other)
    conflict = citing(other, quantity=9)
    assert record(warehouse, conflict) == (0, 0)
    assert ledger.outcomes(other.decision_id) == []


def test_a_decision_of_no_kind_or_of_negative_cost_is_refused():
    with pytest.raises(ValueError, match="'guess'"):
        decision(kind="guess")
    with pytest.raises(ValueError, match="-1"):
        decision(cost_micros=-1)


def decide_without_end(url: str) -> None:
    ledger = Ledger(Warehouse(url))
    for number in range(100_000):
        made = decision(f"u{number}", "reminder", decision_id=f"d{number}")
        ledger.decide(made.user_id, "win", NOW, lambda limits, made=made: made)
        print(made.decision_id, flush=True)


def test_a_decision_that_was_answered_outlives_a_kill(ledger, warehouse):
    code = (
        f"import runpy, sys; runpy.run_path({__file__!r})['decide_without_end']({warehouse.url!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    answered = [process.stdout.readline().strip() for _ in range(20)]
    process.kill()
    answered += process.communicate()[0].split()
    kept = {made.decision_id for made in ledger.decisions(limit=1_000_000)}
    assert set(answered) <= kept
    assert len(kept) <= len(answered) + 1
    assert warehouse.counts()["reservations"] == len(kept), "a decision and its reservation are one"


def many_decide(url: str, seed: int, gate) -> None:
    ledger = Ledger(Warehouse(url))
    gate.wait()
    for number in range(10):
        ask(ledger, f"u{(seed + number) % 4}")


def test_limits_hold_with_many_deciding_at_once(ledger, warehouse_url):
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(3)
    deciders = [
        context.Process(target=many_decide, args=(warehouse_url, n, gate)) for n in range(3)
    ]
    for decider in deciders:
        decider.start()
    for decider in deciders:
        decider.join(60)
        assert decider.exitcode == 0
    assert ledger.spent_micros("win", NOW) == 9_000_000
    made = ledger.decisions(limit=100)
    assert len(made) == 30
    assert sum(d.action == "coupon" for d in made) == 3


@pytest.mark.parametrize(
    "fields", [{"daily_budget_micros": -1}, {"cap_num": -1}, {"cost_micros": {"coupon": -1}}]
)
def test_a_campaign_with_a_negative_limit_is_refused(fields):
    values = {name: getattr(CAMPAIGN, name) for name in Campaign.__slots__}
    with pytest.raises(ValueError, match="win"):
        Campaign(**values | fields)
