"""The page of quality is what the product's own commands found, and every goal has its cell."""

from __future__ import annotations

import pytest

from tests.bench import quality
from tests.bench.quality_page import Goal, cell, page, reached
from tests.bench.shop_quality import settings
from tests.bench.shop_tables import LEAD, Row, beside_floors
from training.recipes import shopper


def test_the_page_is_made_of_the_figures_and_of_nothing_else():
    written = page(quality.INTRO, quality.EVERY, quality.found())
    told = "write it again: python -m tests.bench.quality"
    assert quality.PAGE.read_text() == written, told


def test_every_goal_of_what_was_measured_has_a_value():
    figures = quality.found()
    for one in quality.EVERY:
        for goal in one.goals if one.name in figures else ():
            assert cell(goal, figures[one.name])
            assert reached(goal, figures[one.name]) in (True, False)


def test_a_task_alone_learns_from_the_examples_that_it_has_among_others():
    whole = shopper()
    assert settings(whole.tasks) == []
    alone = whole.with_settings(dict(one.split("=", 1) for one in settings(("retention",))))
    assert (alone.tasks, alone.task_weights) == (("retention",), (1.0,))
    assert alone.task_shares == (whole.task_shares[1],)


def report(model, floor, gap):
    """One seed's report of a metric of which less is better."""
    value, low, high = gap
    numbers = {"model": model, "usual": floor, "silent": None}
    return {
        "head": {
            "sources": {name: {"log_loss": {"value": one}} for name, one in numbers.items()},
            "differences": {
                "log_loss": {"floor": "usual", "value": value, "low": low, "high": high}
            },
        }
    }


@pytest.mark.parametrize(("high", "is_met"), [(-0.06, True), (0.07, False)])
def test_a_lead_counts_when_the_interval_of_all_seeds_lies_above_nothing(high, is_met):
    gaps = [(-0.1, -0.2, -0.05), (-0.1, -0.2, high)]
    reports = [report(model, 0.6, gap) for model, gap in zip((0.5, 0.52), gaps, strict=True)]
    told = beside_floors(reports, [Row("loss", ("head",), "log_loss")])
    assert told["heads"] == ["", "model", "usual", LEAD]
    [row] = told["rows"]
    assert row == [
        "loss",
        "0.5100 ± 0.0141",
        "0.6000",
        f"+0.1000 over usual\n{(0.05 - high) / 2:+.4f} to +0.2000",
    ]
    goal = Goal(words="", table="all", row="loss", column=LEAD)
    assert reached(goal, {"tables": {"all": told}}) is is_met
