"""A table of orders becomes purchases, is asked who stays, and what it lacks is told."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from training.benchmarks import retention
from training.benchmarks.commands import app
from training.benchmarks.order_table import Question, read
from training.evaluate.measure import ACTIVE, EVERYONE

DAY_S = 86_400
MICROS = 1_000_000


def write(folder, **columns):
    path = folder / "orders.csv"
    pl.DataFrame(columns).write_csv(path)
    return path


def test_rows_become_purchases_worth_their_amount(tmp_path):
    path = write(
        tmp_path,
        client=["ann", "bob", "ann"],
        day=["2025-03-01", "2025-03-02", "2025-03-03"],
        worth=[12.5, -3.0, None],
    )
    found = read(path, Question(user="client", time="day", amount="worth"))
    assert found.events["user_id"].to_list() == ["ann", "ann"]
    assert found.events["price_micros"].to_list() == [12_500_000, None]
    assert set(found.events["kind"]) == {"purchase"}
    assert (found.events["event_at"] == found.events["received_at"]).all()
    assert found.notes == ("1 rows of amounts below 0 were left out.",)


@pytest.mark.parametrize(
    ("change", "asked", "message"),
    [
        ({}, {"amount": "paid"}, "has no column 'paid'"),
        ({"user": ["ann", None]}, {}, "every row has an id"),
        ({"time": ["soon", "late"]}, {}, "'soon', which is no time"),
        ({"worth": ["much", "little"]}, {"amount": "worth"}, "must hold numbers"),
    ],
)
def test_what_cannot_be_read_says_what_to_change(tmp_path, change, asked, message):
    path = write(tmp_path, **({"user": ["ann", "bob"], "time": [1, 2]} | change))
    with pytest.raises(ValueError, match=message):
        read(path, Question(**asked))


def test_a_table_too_short_for_its_horizon_is_refused(tmp_path):
    path = write(tmp_path, user=["ann", "ann"], time=[0, 200 * DAY_S])
    with pytest.raises(ValueError, match="need more than 270"):
        retention.retention(read(path, Question()), Question())


def test_the_command_tells_who_leaves_and_writes_page_and_figures(tmp_path):
    rng, rows = np.random.default_rng(3), []
    for person in range(60):
        day, stays_until = float(rng.uniform(0, 9)), 110 if person % 2 else rng.uniform(20, 100)
        while day < stays_until:
            rows.append((f"u{person}", int(day * DAY_S), round(float(rng.lognormal(3, 1)), 2)))
            day += rng.uniform(2, 7)
    user, time, worth = map(list, zip(*rows, strict=True))
    path, page = write(tmp_path, user=user, time=time, worth=worth), tmp_path / "page.html"
    asked = ["retention", str(path), "--horizon-days", "30", "--amount", "worth", "--epochs", "1"]
    figures = tmp_path / "figures.json"
    asked += ["--output", str(page), "--figures", str(figures)]
    done = CliRunner().invoke(app, asked, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "AUC of leaving, every earlier customer" in " ".join(done.output.split())
    for word in ("model", "bg nbd", "logistic rfm", "spend within 90 days, Gini"):
        assert word in done.output
    text = page.read_text()
    assert "No purchase in 90 days: every earlier customer" in text
    assert "Expected and real" in text
    assert "Retention in orders.csv" in text
    told = json.loads(figures.read_text())
    assert told["title"] == "Retention in orders.csv"
    assert told["facts"][-2:] == ["horizon 30 days", "size tiny, seed 0"]
    assert set(told["tables"]) == {EVERYONE, ACTIVE}
    row = told["tables"][EVERYONE]["rows"][0]
    assert row[0] == "no purchase in 90 days, AUC"
    assert 0.0 <= float(row[1]) <= 1.0
