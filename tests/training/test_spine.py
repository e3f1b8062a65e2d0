"""The spine keeps every task to one calendar."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.events import EVENT_SCHEMA
from training.datasets import spine
from training.run import Calendar
from training.tasks import TASKS

DAY = 86_400_000_000
CALENDAR = Calendar(train_end=100 * DAY, valid_end=120 * DAY, test_end=145 * DAY, horizon_days=20)
SPLITS = ("train", "valid", "test")


@st.composite
def shops(draw):
    """Purchases and views of three shoppers, some received late."""
    rows = []
    for number in range(draw(st.integers(0, 25))):
        at = draw(st.integers(0, 150 * DAY))
        row = dict.fromkeys(EVENT_SCHEMA)
        row |= {"event_id": f"e{number}", "kind": draw(st.sampled_from(["purchase", "view"]))}
        row |= {"user_id": draw(st.sampled_from("abc")), "event_at": at, "item_id": "cup"}
        row |= {"received_at": at + draw(st.sampled_from([0, 0, DAY, 30 * DAY]))}
        rows.append(row)
    return pl.DataFrame(rows, schema=EVENT_SCHEMA)


@settings(max_examples=25, deadline=None)
@given(shops(), st.sampled_from(SPLITS))
def test_every_example_lies_in_its_split_and_its_week(events, split):
    rows = spine.build(TASKS, events, CALENDAR, split)
    start, end = CALENDAR.window(split)
    for row in rows.to_dicts():
        assert (start or 0) <= row["asked_at"] < end
        assert row["week_at"] <= row["asked_at"] < row["week_at"] + 7 * DAY
        assert row["week_at"] % DAY == 0
        if row["task"] == 1:
            assert row["week_at"] == row["asked_at"]
            assert row["asked_at"] + 20 * DAY // 3 <= end


@settings(max_examples=25, deadline=None)
@given(shops(), st.sampled_from(SPLITS))
def test_events_known_after_the_end_of_a_split_change_nothing_in_it(events, split):
    _, end = CALENDAR.window(split)
    until_then = spine.known_before(events, end)
    assert spine.build(TASKS, events, CALENDAR, split).equals(
        spine.build(TASKS, until_then, CALENDAR, split)
    )


@settings(max_examples=25, deadline=None)
@given(shops())
def test_the_order_of_events_does_not_matter(events):
    for split in SPLITS:
        rows = spine.build(TASKS, events, CALENDAR, split)
        assert rows.equals(spine.build(TASKS, events.reverse(), CALENDAR, split))


def test_a_task_has_null_labels_in_the_columns_of_the_others():
    row = dict.fromkeys(EVENT_SCHEMA) | {"kind": "purchase", "user_id": "ann", "item_id": "cup"}
    events = pl.DataFrame(
        [
            row | {"event_id": "1", "event_at": DAY, "received_at": DAY},
            row | {"event_id": "2", "event_at": 99 * DAY, "received_at": 99 * DAY},
        ],
        schema=EVENT_SCHEMA,
    )
    rows = spine.build(TASKS, events, CALENDAR, "train")
    by_task = {task: part for (task,), part in rows.group_by("task")}
    assert by_task[0]["targets"].to_list() == [["cup"]]
    assert by_task[0]["leave_90d"].null_count() == len(by_task[0])
    assert by_task[1]["targets"].list.len().max() == 0
    assert by_task[1]["leave_30d"].null_count() == 0
    assert rows["event_timestamp"].dtype == pl.Datetime("us", "UTC")


def test_a_task_that_asks_outside_its_split_is_refused():
    class Late:
        heads = labels = ()

        def examples(self, events, calendar, split):
            row = {"user_id": ["ann"], "asked_at": [101 * DAY], "weight": [1.0], "targets": [["x"]]}
            return pl.DataFrame(row)

    with pytest.raises(ValueError, match="1 examples of the train split stand outside"):
        spine.build({"late": Late()}, pl.DataFrame(schema=EVENT_SCHEMA), CALENDAR, "train")
