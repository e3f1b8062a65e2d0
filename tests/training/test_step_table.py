"""A table of behaviours becomes events, and what it lacks is told."""

from __future__ import annotations

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from training.benchmarks import next_actions, next_actions_page
from training.benchmarks.commands import app
from training.benchmarks.step_table import NOTHING, Question, read, read_kinds

DAY_S = 86_400
SECOND = 1_000_000


def write(folder, **columns):
    path = folder / "table.csv"
    pl.DataFrame(columns).write_csv(path)
    return path


@pytest.fixture
def table(tmp_path):
    return write(
        tmp_path,
        user=["ann", "ann", "bob"],
        time=["2025-03-01 10:00:00", "2025-03-02T10:00:00", "2025-03-03"],
        kind=["view", "buy", "return"],
        sort=["home", "garden", None],
    )


def test_rows_become_events_of_items_named_by_their_category(table):
    found = read(table, Question(category="sort", kinds={"buy": "purchase"}))
    events = found.events
    assert events["kind"].to_list() == ["view", "purchase", "return"]
    assert events["item_id"].to_list() == ["home", "garden", NOTHING]
    assert events["event_at"].to_list()[:2] == [1_740_823_200 * SECOND, 1_740_909_600 * SECOND]
    assert (events["event_at"] == events["received_at"]).all()
    assert set(found.items.select("item_id", "category").rows()) == {
        ("home", "home"),
        ("garden", "garden"),
    }


def test_an_item_has_the_category_told_last(tmp_path):
    path = write(
        tmp_path, user=["a", "a"], time=[20, 10], kind=["view"] * 2, item=["x"] * 2,
        category=["new", "old"],
    )  # fmt: skip
    found = read(path, Question(item="item", category="category"))
    assert found.items["category"].to_list() == ["new"]
    assert found.events["event_at"].to_list() == [20 * SECOND, 10 * SECOND]


def test_words_that_mean_nothing_are_left_out_and_counted(table):
    found = read(table, Question(kinds=read_kinds(["buy=purchase", "return="])))
    assert found.events["kind"].to_list() == ["view", "purchase"]
    assert found.notes == ("1 rows of other kinds were left out.",)


@pytest.mark.parametrize(
    ("change", "asked", "message"),
    [
        ({"kind": ["view", "buy", "view"]}, {}, "holds 'buy', and a kind is one of view"),
        ({}, {"user": "who"}, "has no column 'who'"),
        ({"time": ["soon", "later", "never"]}, {}, "'soon', which is no time"),
        ({"time": [True, False, True]}, {}, "must hold times"),
        ({"user": ["ann", None, "bob"]}, {}, "every row has an id"),
    ],
)
def test_what_cannot_be_read_says_what_to_change(tmp_path, change, asked, message):
    columns = {"user": ["ann", "ann", "bob"], "time": [1, 2, 3], "kind": ["view"] * 3}
    path = write(tmp_path, **(columns | change))
    with pytest.raises(ValueError, match=message):
        read(path, Question(**asked))


def test_a_word_for_a_kind_is_written_with_an_equals_sign():
    assert read_kinds(["buy=purchase", "a=b="]) == {"buy": "purchase", "a=b": ""}
    for text in ("buy", "buy=bought"):
        with pytest.raises(ValueError, match="says nothing; write WORD=KIND"):
            read_kinds([text])


def test_a_table_too_short_for_its_horizon_is_refused(table):
    read_ = read(table, Question(kinds={"buy": "purchase"}))
    with pytest.raises(ValueError, match="need more than 270"):
        next_actions.next_actions(read_, Question())


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_command_asks_a_table_and_writes_its_page(tmp_path):
    # Whoever viewed yesterday views today, every day at the same hour.
    rows = [
        (user, day * DAY_S + 36_000, "view" if user < "u5" else "purchase")
        for day in range(100)
        for user in (f"u{number}" for number in range(10))
    ]
    user, time, kind = map(list, zip(*rows, strict=True))
    path = write(tmp_path, user=user, time=time, kind=kind)
    page = tmp_path / "page.html"
    asked = ["next_actions", str(path), "--horizon-days", "14", "--seeds", "2", "--epochs", "4"]
    figures = tmp_path / "figures.json"
    done = CliRunner().invoke(app, [*asked, "--output", str(page), "--figures", str(figures)])
    assert done.exit_code == 0, done.output
    assert "model, 2 seeds" in done.output
    text = page.read_text()
    assert "Next actions, all steps" in text
    assert all(word in text for word in ("Markov chain", "repeat last", "step frequency"))
    assert next_actions_page.HOW[0] in text
    told = json.loads(figures.read_text())
    assert told["title"].startswith("Next actions in ")
    assert list(told["tables"]) == ["all steps", *(f"step {number}" for number in range(1, 6))]
    assert told["tables"]["all steps"]["rows"][-1][0] == "model, 2 seeds"
