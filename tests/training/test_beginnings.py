"""Ids that nothing else tells apart begin near what was bought with them."""

from __future__ import annotations

import numpy as np

from training.benchmarks.answers import Question, run_of, tells
from training.benchmarks.beginnings import LENGTH, beginnings
from training.datasets.sequences import Sequences, Things, write

GROUPS, EACH, LONG = 4, 6, 8


def dataset(folder, *, alone=False):
    """Shoppers who stay with the items of one of four groups; `alone`: nobody had two of them."""
    num, rng = GROUPS * EACH, np.random.default_rng(2)
    rows = [rng.integers(EACH, size=LONG) + EACH * (n % GROUPS) for n in range(80)]
    if alone:
        rows = [np.full(LONG, n % num) for n in range(80)]
    sequences = Sequences(
        item=np.concatenate(rows),
        offsets=np.arange(len(rows) + 1) * LONG,
        user=np.arange(len(rows)).astype(str),
    )
    things = Things(
        ids=tuple(f"i{n}" for n in range(num)),
        texts=("",) * num,
        vectors=np.zeros((num, 8), dtype=np.float32),
        attributes=((),) * num,
    )
    return write(folder / "data", sequences, things, longest=50)


def test_items_bought_together_begin_nearer_than_others(tmp_path):
    made = dataset(tmp_path)
    found = beginnings(made, 8)
    assert found.shape == (made.meta["num_vocabulary"], 8)
    assert not found[0].any()
    assert np.allclose(np.linalg.norm(found[1:], axis=1), LENGTH, atol=1e-5)
    near = (found[1:] / LENGTH) @ (found[1:] / LENGTH).T
    group = np.array([int(name[1:]) // EACH for name in made.item_ids[1 : len(found)]])
    same = group[:, None] == group
    assert near[same].min() > near[~same].max() + 0.2


def test_beginnings_are_the_same_each_time_and_know_training_alone(tmp_path):
    made = dataset(tmp_path)
    first = beginnings(made, 8)
    for split in ("valid", "test"):
        (made.folder / split / "history_item.npy").unlink()
    assert np.array_equal(first, beginnings(made, 8))


def test_items_that_nothing_was_bought_with_begin_by_chance_and_apart(tmp_path):
    found = beginnings(dataset(tmp_path, alone=True), 8)
    assert np.allclose(np.linalg.norm(found[1:], axis=1), LENGTH, atol=1e-5)
    assert len(np.unique(found, axis=0)) == len(found)


def test_a_width_beyond_the_items_leaves_the_rest_empty(tmp_path):
    found = beginnings(dataset(tmp_path), 64)
    assert not found[:, GROUPS * EACH + 1 :].any()


def test_the_recipe_of_ids_alone_is_asked_for_where_nothing_else_is_told(tmp_path):
    made = dataset(tmp_path)
    assert not tells(made)
    plain, alone = (
        run_of(Question(), 0, has_text=False, ids_alone=ids_alone).optim
        for ids_alone in (False, True)
    )
    assert alone.num_epochs < plain.num_epochs
