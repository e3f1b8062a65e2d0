"""A run is a value: it survives its file, refuses what cannot be, and splits time once."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.settings import DAY, iso, microseconds
from training.methods import Full, Lora
from training.run import Calendar, ModelConfig, OptimConfig, Run

FIRST, LAST = microseconds("2010-12-01T08:26:00"), microseconds("2011-12-09T12:50:00")


def test_the_calendar_of_online_retail_is_the_one_in_the_design():
    calendar = Calendar.from_span(FIRST, LAST)
    assert iso(calendar.train_end) == "2011-06-12T00:00:00Z"
    assert iso(calendar.valid_end) == "2011-09-10T00:00:00Z"
    assert calendar.test_end == LAST + 1
    assert iso(calendar.snapshots("train", FIRST)[-1]) == "2011-03-14T00:00:00Z"
    assert [iso(t) for t in calendar.snapshots("valid", FIRST)] == ["2011-06-12T00:00:00Z"]
    assert [iso(t) for t in calendar.snapshots("test", FIRST)] == ["2011-09-10T00:00:00Z"]


@given(st.integers(271, 3000), st.integers(0, DAY - 1), st.integers(1, 90))
def test_every_label_window_closes_inside_its_split(num_days, moment, horizon_days):
    first, last = FIRST, FIRST + num_days * DAY + moment
    calendar = Calendar.from_span(first, last, horizon_days)
    for split in ("train", "valid", "test"):
        start, end = calendar.window(split)
        for snapshot in calendar.snapshots(split, first):
            assert (start or first) <= snapshot
            assert snapshot + horizon_days * DAY <= end
    assert calendar.snapshots("train", first)


def test_training_snapshots_lie_a_week_apart_and_after_the_first_event():
    snapshots = Calendar.from_span(FIRST, LAST).snapshots("train", FIRST)
    assert {b - a for a, b in itertools.pairwise(snapshots)} == {7 * DAY}
    assert FIRST < snapshots[0] <= FIRST + 7 * DAY


def test_a_span_without_a_training_snapshot_is_refused():
    with pytest.raises(ValueError, match="need more than 270"):
        Calendar.from_span(FIRST, FIRST + 270 * DAY)


def test_a_refit_leaves_no_validation_and_trains_up_to_the_test():
    calendar = Calendar.from_span(FIRST, LAST)
    refit = calendar.refit()
    assert refit.window("train")[1] == calendar.window("test")[0]
    assert refit.snapshots("valid", FIRST) == ()
    assert refit.snapshots("test", FIRST) == calendar.snapshots("test", FIRST)


def test_a_run_survives_its_file():
    run = Run(
        name="x",
        methods=(Full(), Lora(rank=4)),
        calendar=Calendar.from_span(FIRST, LAST),
        optim=OptimConfig(max_steps=7),
        warm_start="shopper",
    )
    assert Run.from_json(run.to_json()) == run


def test_settings_change_fields_by_their_path_all_at_once():
    run = Run(name="x").with_settings(
        {
            "tasks": '["retention"]',
            "task_weights": "[2.0]",
            "task_shares": "[0.5]",
            "optim.num_epochs": "3",
            "optim.learning_rate": "1",
            "refit": "true",
            "optim.max_steps": "9",
            "text_encoder": "all-MiniLM-L6-v2:random",
        }
    )
    one = {"tasks": ("retention",), "task_weights": (2.0,), "task_shares": (0.5,)}
    expected = Run(name="x", refit=True, **one)
    optim = OptimConfig(num_epochs=3, learning_rate=1.0, max_steps=9)
    assert run == replace(expected, optim=optim, text_encoder="all-MiniLM-L6-v2:random")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("optim.speed", "1"),
        ("nothing", "1"),
        ("seed.deeper", "1"),
        ("optim.num_epochs", "many"),
        ("optim.num_epochs", "1.5"),
        ("refit", "1"),
        ("tasks", "next_item"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(path, text):
    with pytest.raises(ValueError, match=path.partition(".")[0] if "." not in path else "sett"):
        Run(name="x").with_settings({path: text})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelConfig(width=0), "width is 0"),
        (lambda: ModelConfig(width=10, num_heads=3), "num_heads 3"),
        (lambda: ModelConfig(dropout=1.0), "dropout is 1.0"),
        (lambda: OptimConfig(max_steps=0), "max_steps is 0"),
        (lambda: OptimConfig(learning_rate=-1.0), "learning_rate is -1.0"),
        (lambda: Run(name="x", tasks=()), "tasks is empty"),
        (lambda: Run(name="x", task_weights=(1.0,)), "task_weights"),
        (lambda: Run(name="x", task_shares=(1.0, 0.0)), "task_shares"),
        (lambda: OptimConfig(averaging=1.0), "averaging is 1.0"),
        (lambda: Run(name="x", size="huge"), "huge"),
        (lambda: Calendar(train_end=5, valid_end=4, test_end=9), "train_end 5"),
        (lambda: Calendar(train_end=1, valid_end=2, test_end=3, horizon_days=0), "horizon_days"),
        (lambda: Lora(rank=0), "rank is 0"),
    ],
)
def test_what_cannot_be_is_refused_with_field_and_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()
