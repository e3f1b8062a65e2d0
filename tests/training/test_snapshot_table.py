"""A table of snapshots is split by time, asked who leaves, and what it lacks is told."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from training.benchmarks.commands import app
from training.benchmarks.snapshot_table import DAY, Question, by_time, dealt, read
from training.datasets.snapshots import write as write_dataset
from training.evaluate.measure import ACTIVE, EVERYONE
from training.tasks import TASKS

MOMENTS, PEOPLE, DAY_S = 12, 150, 86_400


def snapshots() -> pl.DataFrame:
    """Every shopper on twelve days, a month apart; who is long away and angry leaves."""
    rng = np.random.default_rng(4)
    frames = []
    for moment in range(MOMENTS):
        away, angry = rng.exponential(60, PEOPLE), rng.random(PEOPLE) < 0.3
        chance = 1 / (1 + np.exp(-(0.03 * away - 2 + 2.5 * angry)))
        frames.append(
            pl.DataFrame(
                {
                    "who": [f"u{number}" for number in range(PEOPLE)],
                    "at": moment * 30 * DAY_S,
                    "away": away,
                    "mood": np.where(angry, "angry", "calm"),
                    "noise": rng.normal(size=PEOPLE),
                    "left": (rng.random(PEOPLE) < chance).astype(int),
                }
            )
        )
    return pl.concat(frames)


def ask(path, *options):
    asked = ["retention", str(path), "--label", "left", *map(str, options)]
    return CliRunner().invoke(app, asked, env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("snapshots") / "snapshots.csv"
    snapshots().write_csv(path)
    return path


def test_no_label_of_a_split_came_about_after_the_next_one_began(table):
    found = read(table, Question(label="left", user="who", time="at", horizon_days=60))
    at = {split: found.snapshots.asked_at[rows] for split, rows in found.rows.items()}
    assert at["train"].max() + 60 * DAY <= at["valid"].min()
    assert at["valid"].max() + 60 * DAY <= at["test"].min()
    assert at["test"].max() == 11 * 30 * DAY


def test_what_training_does_not_know_says_nothing_of_its_normaliser(table, tmp_path):
    found = read(table, Question(label="left", user="who", time="at", horizon_days=60))
    values = found.snapshots.values.copy()
    options = {"heads": TASKS["retention"].heads, "text_width": 8, "horizon_days": 60}
    before = write_dataset(tmp_path / "one", found.snapshots, found.rows, **options)
    found.snapshots.values[found.rows["test"]] = 1e6
    after = write_dataset(tmp_path / "two", found.snapshots, found.rows, **options)
    found.snapshots.values[:] = values
    assert before.spec == after.spec
    assert np.array_equal(before.examples("train").scalars, after.examples("train").scalars)


def test_without_time_each_shopper_is_dealt_to_one_split():
    user = np.repeat(np.arange(100), 3).astype(str)
    rows = dealt(user)
    assert sorted(np.concatenate(list(rows.values()))) == list(range(300))
    for first, second in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert not set(user[rows[first]]) & set(user[rows[second]])
    assert len(rows["train"]) == 180


def test_a_span_too_short_for_its_horizon_is_refused():
    with pytest.raises(ValueError, match="span 1 days, too few"):
        by_time(np.array([0, DAY]), horizon_days=90)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"left": 2}, (), "holds 2 and must hold 1 (left) or 0 (stayed)"),
        ({"left": 1}, (), "is 1 in all 1,800 rows"),
        ({}, ("--time", "when"), "has no column 'when'"),
        ({}, ("--recency", "mood"), "must hold numbers"),
        ({}, ("--feature", "left"), "has another part already"),
        ({}, ("--amount", "away"), "--amount is a column of orders"),
        ({}, ("--time", "at", "--horizon-days", "160"), "30 is the least"),
    ],
)
def test_what_cannot_be_asked_says_what_to_change(tmp_path, change, options, message):
    path = tmp_path / "snapshots.parquet"
    snapshots().with_columns(**{k: pl.lit(v) for k, v in change.items()}).write_parquet(path)
    done = ask(path, *options)
    assert done.exit_code == 2
    assert message in " ".join(done.output.replace("│", " ").split())


def test_options_of_snapshots_are_refused_for_orders(table):
    done = CliRunner().invoke(app, ["retention", str(table), "--recency", "away"])
    assert done.exit_code == 2
    assert "--recency is of snapshots" in done.output


def test_the_command_tells_who_leaves_and_writes_page_and_figures(table, tmp_path):
    page, figures = tmp_path / "page.html", tmp_path / "figures.json"
    options = ("--user", "who", "--time", "at", "--recency", "away", "--horizon-days", 60)
    done = ask(table, *options, "--output", page, "--figures", figures)
    assert done.exit_code == 0, done.output
    told = json.loads(figures.read_text())
    assert set(told["tables"]) == {EVERYONE, ACTIVE}
    heads, rows = told["tables"][EVERYONE].values()
    assert heads == ["", "model", "boosting, all features", "linear, all features", "recency"]
    auc = dict(zip(heads[1:], [float(cell.split()[0]) for cell in rows[0][1:]], strict=True))
    assert rows[0][0] == "left, AUC"
    assert auc["model"] > auc["recency"] > 0.6, "who is angry leaves, and recency does not know"
    assert "Left: every earlier customer" in page.read_text()


def test_without_time_the_page_says_that_nothing_is_claimed_of_it(table, tmp_path):
    page = tmp_path / "page.html"
    done = ask(table, "--user", "who", "--epochs", 1, "--output", page)
    assert done.exit_code == 0, done.output
    assert "nothing is claimed of time" in " ".join(done.output.split())
    text = page.read_text()
    assert "dealt by chance" in text
    assert "Nothing is claimed of time" in text
