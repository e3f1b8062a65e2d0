"""Many processes decide at once and are killed at random moments: no limit is ever broken."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from feature_repo.messages import Outbox
from feature_repo.settings import DAY
from feature_repo.warehouse import Warehouse
from tests.conftest import shop_env
from tests.faults import deciding
from tests.faults.processes import kill, python, until


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> str:
    """An empty, migrated warehouse."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    made = f"sqlite:///{tmp_path}/shop.db"
    Warehouse(made).migrate()
    return made


def live(url: str, tmp_path, rng, num_processes: int, seconds: float) -> tuple[int, int]:
    """Decide for so long, killing somebody now and then; gives decisions tried and kills."""
    deciding.lay_down(url)
    warehouse, began, sent = Warehouse(url), time.time(), tmp_path / "sent.jsonl"

    def start():
        told = (url, rng.randrange(2**31), began, str(sent))
        code = f"from tests.faults.deciding import act; act(*{told!r})"
        return python("-c", code, env=shop_env(tmp_path), log=tmp_path / "log")

    processes, num_kills = [start() for _ in range(num_processes)], 0
    try:
        num = until_decided(warehouse, 0)
        ends = time.time() + seconds
        while time.time() < ends:
            time.sleep(rng.uniform(0.2, 1.5))
            # On a busy machine a process takes its time to start: not all may be killed before.
            num = until_decided(warehouse, num)
            place = rng.randrange(num_processes)
            was_running = kill(processes[place])
            assert was_running, (tmp_path / "log").read_text()[-3000:]
            num_kills += 1
            processes[place] = start()
            assert deciding.violations(warehouse) == []
    finally:
        for process in processes:
            kill(process)
    now = deciding.NOW + round((time.time() - began) * deciding.SPEED)
    for days in (0, 1, 2):
        deciding.send(warehouse, Outbox(warehouse), sent, now + days * DAY // 2)
    assert deciding.violations(warehouse) == []
    assert deciding.unsent(warehouse, sent) == []
    return warehouse.counts()["decisions"], num_kills


def until_decided(warehouse: Warehouse, num: int) -> int:
    """Wait for more than `num` decisions; how many there are then."""
    until(lambda: warehouse.counts()["decisions"] > num, 60)
    return warehouse.counts()["decisions"]


def told(url: str, rng, num: int, num_kills: int) -> Counter:
    """Print what was tried; number of reservations by state."""
    states = Counter(row["state"] for row in deciding.reservations(Warehouse(url)))
    kind = url.partition(":")[0]
    print(f"{kind}: {num} decisions, {num_kills} kills, reservations {dict(states)}")
    return states


def test_no_limit_is_broken_by_processes_that_are_killed(url, tmp_path, rng):
    num, num_kills = live(url, tmp_path, rng, num_processes=3, seconds=5)
    states = told(url, rng, num, num_kills)
    assert num > 20
    assert states["held"] + states["confirmed"] > 5


@pytest.mark.long
def test_no_limit_is_broken_by_many_processes_over_many_days(url, tmp_path, rng):
    num, num_kills = live(url, tmp_path, rng, num_processes=6, seconds=90)
    states = told(url, rng, num, num_kills)
    assert num > 1000
    assert num_kills > 30
    assert min(states[state] for state in ("confirmed", "cancelled", "expired")) > 0


@pytest.mark.parametrize("broken", ["cap", "budget", "consent"])
def test_the_checks_see_a_limit_that_is_broken(tmp_path, broken, monkeypatch):
    from dataclasses import replace

    url = f"sqlite:///{tmp_path}/shop.db"
    Warehouse(url).migrate()
    deciding.lay_down(url)
    from feature_repo.ledger import Ledger
    from tests.feature_repo.limits import decide

    ledger = Ledger(Warehouse(url))
    loose = replace(
        deciding.CAMPAIGNS[2],
        daily_budget_micros=10**9,
        total_budget_micros=None,
        channels={} if broken == "cap" else {"coupon": "post"},
    )
    user = {"cap": "u3", "budget": "u3", "consent": "u0"}[broken]
    ledger.upsert_campaign(loose)
    num = 6 if broken != "consent" else 1
    for number in range(num):
        assert decide(ledger, user, campaign="free", at=deciding.NOW + number)[1] == ""
    if broken == "cap":
        with Warehouse(url).begin() as connection:
            connection.exec_driver_sql("UPDATE reservations SET channel = 'email'")
    found = " ".join(deciding.violations(Warehouse(url)))
    assert {"cap": "email: 3", "budget": "a day", "consent": "consent"}[broken] in found
