"""``make demo-intervention`` on a few shoppers and days, in an empty home folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from demo_twins import ACTIONS, COSTS, best, by_chance, gains, oracle

ROOT = Path(__file__).parents[2]


def test_the_oracle_of_the_page_spends_its_budget_on_those_whom_it_moves():
    chances = np.array([[0.1, 0.1], [0.1, 0.6], [0.5, 0.5], [0.4, 0.1]] * 10)
    chances[:, 1] += np.arange(40) / 1_000
    knowing = oracle(10.0)
    chosen = best(knowing, chances, 0.4)
    assert set(np.flatnonzero(chosen) % 4) == {1}
    assert 0 < sum(COSTS.get(ACTIONS[a], 0.0) for a in chosen) <= 0.4
    assert (gains(knowing, chances)[:, 0] == 0).all()


def test_chance_spends_the_same_budget_on_whoever_comes():
    chances = np.full((50, 2), 0.3)
    chosen = by_chance(chances, 1.0, day=3)
    assert chosen.sum() == 10
    assert (by_chance(chances, 1.0, day=4) != chosen).any()
    assert by_chance(chances, 99.0, day=3).all()


@pytest.mark.long
def test_the_days_are_played_through_the_endpoint_and_told_on_a_page(tmp_path):
    surroundings = os.environ | {
        "VIRTUAL_ENV": str(ROOT / ".venv"),
        "NUDGE_HOME": str(tmp_path / "home"),
        "XDG_DATA_HOME": str(tmp_path / "share"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    told = subprocess.run(
        ["bash", "-c", ". infra/environment.sh && python demo_intervention.py --tiny"],
        cwd=ROOT,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert told.returncode == 0, told.stdout[-6000:] + told.stderr[-3000:]
    spent = re.findall(r"actions, ([\d.]+) of ([\d.]+),", told.stdout)
    assert len(spent) == 11
    assert all(float(out) <= float(budget) for out, budget in spent)
    assert any(float(out) > 0 for out, _ in spent)
    page = Path(re.search(r"The page: (\S+)", told.stdout)[1]).read_text()
    assert page.count("<svg") == 2
    for title in ("against the oracle", "Spend against the budget", "verdict", "story"):
        assert title in page
    assert re.search(r"<b>(nothing|reminder|coupon)</b>", page)
