"""The weight of past purchases is the one that ranks validation's orders best, and no more."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training import synthetic
from training.habits import HABITS, Habits
from training.models.sequence import PURCHASE


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return synthetic.write(tmp_path_factory.mktemp("data") / "d", num_examples=90)


def found(dataset, score):
    """What orders of training choose that are scored by `score` (rows, targets, items)."""
    examples, habits = dataset.examples("train"), Habits()
    for start in range(0, len(examples), 20):
        rows = np.arange(start, min(start + 20, len(examples)))
        _, row = examples.targets(rows)
        if len(asked := np.unique(row)):
            habits.add(examples, rows, score(rows[asked]))
    return habits.best()


def times_bought(dataset, rows):
    history = dataset.examples("train").history.take(rows)
    times = np.zeros((len(rows), dataset.meta["num_items"]), dtype=np.float32)
    for row, (start, end) in enumerate(zip(history.offsets[:-1], history.offsets[1:], strict=True)):
        for item, kind in zip(history.item[start:end], history.kind[start:end], strict=True):
            times[row, item] += kind == PURCHASE and item > 0
    return times


def test_scores_that_are_right_without_it_get_none(dataset):
    def right(rows):
        target, row = dataset.examples("train").targets(rows)
        scores = np.zeros((len(rows), dataset.meta["num_items"]), dtype=np.float32)
        scores[row, target] = 100.0
        return scores

    habit, metrics = found(dataset, right)
    assert habit == 0.0
    assert metrics["ndcg@10"] == pytest.approx(1.0)


@pytest.mark.parametrize("lacking", HABITS[1:-1])
def test_what_scores_lack_of_the_count_is_given_back(dataset, lacking):
    noise = np.random.default_rng(0)

    def without(rows):
        target, row = dataset.examples("train").targets(rows)
        scores = noise.normal(scale=1e-3, size=(len(rows), dataset.meta["num_items"]))
        scores -= lacking * np.log1p(times_bought(dataset, rows))
        scores[row, target] += 0.05
        return scores.astype(np.float32)

    habit, metrics = found(dataset, without)
    assert habit == lacking
    assert metrics["ndcg@10"] == pytest.approx(1.0)


def test_no_orders_choose_nothing():
    assert Habits().best() == (0.0, {})
