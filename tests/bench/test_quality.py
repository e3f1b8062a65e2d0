"""The page of quality is what the product's own commands found, and every goal has its cell."""

from __future__ import annotations

from tests.bench import quality


def test_the_page_is_made_of_the_figures_and_of_nothing_else():
    text = quality.PAGE.read_text()
    assert text == quality.page(quality.found()), "write it again: python -m tests.bench.quality"


def test_every_goal_of_what_was_measured_has_a_value():
    figures = quality.found()
    known = [one for one in quality.SECTIONS if one.name in figures]
    values = [quality.value(goal, figures[one.name]) for one in known for goal in one.goals]
    assert all(value >= 0.0 for value in values)
