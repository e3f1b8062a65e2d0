"""The machine's clock is set back: the shop's goes on, after a restart too, and nothing is lost."""

from __future__ import annotations

import polars as pl

from feature_repo.events import EVENT_SCHEMA
from feature_repo.ingest import ingest
from feature_repo.ledger import Campaign, Decision, Ledger
from feature_repo.settings import DAY, SECOND, SystemClock
from feature_repo.warehouse import Warehouse

START = 1_750_000_000 * SECOND


class Machine:
    """A machine whose clock can be set, while time passes all the same."""

    def __init__(self) -> None:
        self.shown = START
        self.passed = 0

    def wait(self, micros: int) -> None:
        self.shown += micros
        self.passed += micros

    def clock(self, home) -> SystemClock:
        return SystemClock(home, machine=lambda: self.shown, passing=lambda: self.passed)


def test_a_clock_that_is_set_back_goes_on_at_its_own_pace_until_the_machine_caught_up(tmp_path):
    machine = Machine()
    clock = machine.clock(tmp_path)
    assert clock.now() == START
    machine.wait(10 * SECOND)
    machine.shown -= 3600 * SECOND
    assert clock.now() == START + 10 * SECOND
    assert clock.behind() == 3600 * SECOND
    machine.wait(5 * SECOND)
    assert clock.now() == START + 15 * SECOND
    machine.shown += 3600 * SECOND
    assert clock.now() == START + 15 * SECOND
    assert clock.behind() == 0
    machine.shown += 60 * SECOND
    assert clock.now() == START + 75 * SECOND


def test_a_restart_after_the_clock_was_set_back_does_not_run_back(tmp_path, rng):
    machine = Machine()
    for _ in range(50):
        clock = machine.clock(tmp_path)
        shown = [clock.now()]
        for _ in range(rng.randrange(1, 20)):
            machine.wait(rng.randrange(3 * SECOND))
            if rng.random() < 0.2:
                machine.shown -= rng.randrange(SECOND, 7 * DAY)
            shown.append(clock.now())
        assert shown == sorted(shown)
        machine.shown -= rng.choice([0, rng.randrange(SECOND, DAY)])
        assert machine.clock(tmp_path).now() >= shown[-1], "a restart ran back"


def test_a_restart_with_a_right_clock_follows_the_machine(tmp_path):
    machine = Machine()
    machine.clock(tmp_path).now()
    for _ in range(20):
        machine.wait(SECOND // 10)
        assert machine.clock(tmp_path).now() == machine.shown


def test_a_moved_shop_goes_on_at_its_own_time_and_processes_agree(tmp_path):
    machine = Machine()
    one, other = machine.clock(tmp_path), machine.clock(tmp_path)
    one.now(), other.now()
    one.move_to(START - 4000 * DAY)
    machine.wait(5 * SECOND)
    machine.shown -= 100 * SECOND
    times = [clock.now() for clock in (one, other, machine.clock(tmp_path))]
    assert min(times) >= START - 4000 * DAY
    assert max(times) - min(times) <= 2 * SECOND, "each start while behind takes up to a second"
    assert one.behind() > 90 * SECOND


def test_a_full_or_missing_home_stops_no_clock(tmp_path):
    machine = Machine()
    clock = machine.clock(tmp_path / "nowhere")
    machine.wait(10 * SECOND)
    assert clock.now() == machine.shown
    assert not (tmp_path / "nowhere").exists()


def test_a_budget_is_not_spent_twice_when_the_clock_is_set_back_over_midnight(tmp_path):
    warehouse = Warehouse(f"sqlite:///{tmp_path}/w.db")
    warehouse.migrate()
    ledger, machine = Ledger(warehouse), Machine()
    machine.shown = START // DAY * DAY + DAY - 5 * SECOND
    ledger.upsert_campaign(
        Campaign(
            campaign_id="c",
            daily_budget_micros=10,
            cap_num=9,
            cap_days=1,
            cost_micros={"coupon": 5},
        )
    )

    def spend(number: int) -> None:
        now = machine.clock(tmp_path).now()

        def choose(limits):
            can = limits.spent_micros + 5 <= limits.daily_budget_micros
            told = {"user_id": "u", "model_version": "m", "feature_version": "f"}
            action = {"action": "coupon", "cost_micros": 5} if can else {"action": "nothing"}
            return Decision(
                decision_id=f"{number}", kind="decide", decided_at=now, campaign_id="c",
                **told, **action,
            )  # fmt: skip

        ledger.decide("u", "c", now, choose)

    for number in range(8):
        spend(number)
        machine.wait(2 * SECOND)
        if number == 4:  # after midnight, back to the day before
            machine.shown -= 3600 * SECOND
    spent = [ledger.spent_micros("c", START // DAY * DAY + day * DAY) for day in (0, 1)]
    assert spent == [10, 10]


def test_events_sent_while_the_machine_is_behind_are_kept_and_those_of_a_wrong_future_stay_raw(
    tmp_path,
):
    warehouse = Warehouse(f"sqlite:///{tmp_path}/w.db")
    warehouse.migrate()
    machine = Machine()
    clock = machine.clock(tmp_path)
    clock.now()
    machine.wait(2 * SECOND)
    clock.now()
    machine.shown -= DAY

    def send(event_id: str, at: int):
        row = dict.fromkeys(EVENT_SCHEMA) | {"kind": "search", "user_id": "u", "text": "x"}
        now = clock.now()
        row |= {"event_id": event_id, "event_at": at, "received_at": now}
        return ingest(warehouse, pl.DataFrame([row], schema=EVENT_SCHEMA), source="t", now=now)

    assert send("true-time", START + 2 * SECOND).accepted == 1
    ahead = START + 3600 * SECOND
    assert send("ahead", ahead).reasons == {"future": 1}
    assert warehouse.dead_letters()["reason"].to_list() == ["future"]
    machine.wait(7200 * SECOND)
    assert send("ahead", ahead).accepted == 1, "a repeat is taken once the clock is right"
