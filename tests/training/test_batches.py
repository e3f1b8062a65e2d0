"""Batches: every example once, one week each, equal numbers for all workers."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.datasets import batches as batches_module
from training.datasets.batches import Dataset
from training.datasets.catalogue import ItemsByWeek
from training.datasets.examples import Examples
from training.datasets.histories import Histories

DAY = 86_400_000_000
NUM_WEEKS, NUM_ITEMS, NUM_VOCABULARY = 3, 7, 5


def examples(num, seed=0):
    """Examples of random lengths and weeks; row i has the user name i and asked_at i days."""
    rng = np.random.default_rng(seed)
    lengths, targets = rng.integers(0, 30, num), rng.integers(0, 4, num)
    total = int(lengths.sum())
    return Examples(
        task=rng.integers(0, 2, num),
        week=np.sort(rng.integers(0, NUM_WEEKS, num)),
        user=np.array([str(row) for row in range(num)], dtype=np.str_),
        asked_at=np.arange(num, dtype=np.int64) * DAY,
        weight=np.ones(num, np.float32),
        scalars=np.arange(num, dtype=np.float32)[:, None],
        label=rng.integers(0, 2, (num, 2)).astype(np.float32),
        target=rng.integers(1, NUM_ITEMS, targets.sum()),
        target_offsets=np.cumsum([0, *targets]),
        num_bought=targets,
        history=Histories(
            item=rng.integers(0, NUM_ITEMS, total).astype(np.int32),
            kind=rng.integers(1, 8, total).astype(np.int8),
            quantity=np.ones(total, np.float32),
            amount=rng.normal(size=total).astype(np.float32),
            at=rng.integers(0, DAY, total),
            offsets=np.cumsum([0, *lengths]),
        ),
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for split, num in (("train", 157), ("valid", 0), ("test", 3)):
        examples(num).save(folder / split)
    shape = (NUM_WEEKS, NUM_ITEMS)
    ItemsByWeek(
        ids=("", *"abcdef"),
        exists=np.arange(21).reshape(shape) % 2 == 0,
        scalars=np.random.default_rng(0).normal(size=(*shape, 2)).astype(np.float32),
        text=np.zeros(shape, np.int32),
        texts=("a cup",),
    ).save(folder)
    np.save(folder / "text_vectors.npy", np.ones((1, 4), np.float32))
    sizes = {"num_items": NUM_ITEMS, "num_vocabulary": NUM_VOCABULARY}
    (folder / "meta.json").write_text(json.dumps(sizes))
    return Dataset(folder)


PLAN = {
    "max_positions": st.integers(1, 300),
    "world": st.integers(1, 5),
    "seed": st.integers(0, 9),
    "epoch": st.integers(0, 9),
}


@settings(deadline=None)
@given(**PLAN)
def test_workers_share_every_example_once_in_equally_many_batches(dataset, world, **choice):
    plans = [dataset.plan("train", rank=rank, world=world, **choice) for rank in range(world)]
    assert len({len(plan) for plan in plans}) == 1
    sizes = [len(rows) for plan in plans for rows in plan]
    rows = np.concatenate([rows for plan in plans for rows in plan])
    assert len(set(rows.tolist())) == len(rows)
    assert len(rows) == 157 or (set(sizes) == {1} and len(rows) > 157 - world)


@settings(deadline=None)
@given(**PLAN)
def test_a_batch_holds_one_week_and_no_more_positions_than_allowed(dataset, world, **choice):
    for batch in dataset.batches("train", world=world, **choice):
        assert batch.num_positions <= choice["max_positions"] or len(batch) == 1
        rows = batch.scalars_BF[:, 0].astype(int)
        assert set(dataset.examples("train").week[rows]) == {batch.week}


def test_the_plan_follows_from_seed_and_epoch(dataset):
    def plan(**choice):
        return [rows.tolist() for rows in dataset.plan("train", 100, **choice)]

    assert plan(seed=1, epoch=2) == plan(seed=1, epoch=2)
    assert plan(seed=1, epoch=2) != plan(seed=1, epoch=3)
    assert plan(seed=1, epoch=2) != plan(seed=2, epoch=2)


def test_a_plan_of_some_rows_fills_its_batches_with_these_alone(dataset):
    some = np.arange(0, 157, 3)
    plan = dataset.plan("train", 1000, among=some)
    assert sorted(np.concatenate(plan).tolist()) == some.tolist()
    assert len(plan) < sum(np.isin(rows, some).any() for rows in dataset.plan("train", 300))


def test_similar_lengths_share_a_batch(dataset):
    batches = list(dataset.batches("train", max_positions=200))
    real = sum(int((batch.kind_P > 0).sum()) for batch in batches)
    longest = sum(len(batch) * max(length for _, length in batch.shapes) for batch in batches)
    assert real / longest > 0.8  # unsorted: about 0.55


@given(st.lists(st.integers(0, 60), min_size=1, max_size=60))
def test_a_block_pads_less_than_a_block_costs(lengths):
    shapes, row = batches_module.block_shapes(np.array(lengths)), 0
    assert sum(rows for rows, _ in shapes) == len(lengths)
    for rows, length in shapes:
        own = np.maximum(lengths[row : row + rows], 1)
        assert length == own.max()
        assert rows * length - own.sum() <= batches_module.BLOCK_COST
        row += rows


def test_a_batch_gives_each_example_as_it_was_stored(dataset):
    stored = dataset.examples("train")
    offsets = stored.history.offsets
    for batch in dataset.batches("train", max_positions=120, seed=3):
        blocks = [row for rows, length in batch.shapes for row in [length] * rows]
        starts = np.cumsum([0, *blocks])
        for place, row in enumerate(batch.scalars_BF[:, 0].astype(int)):
            own = slice(starts[place], starts[place + 1])
            kept = slice(offsets[row], offsets[row + 1])
            length = offsets[row + 1] - offsets[row]
            assert np.array_equal(batch.item_P[own][:length], stored.history.item[kept])
            assert np.array_equal(batch.kind_P[own][:length], stored.history.kind[kept])
            assert not batch.kind_P[own][length:].any()
            targets = stored.target[stored.target_offsets[row] : stored.target_offsets[row + 1]]
            assert np.array_equal(batch.target_T[batch.target_row_T == place], targets)
            assert np.array_equal(batch.label_BH[place], stored.label[row])
            if length:
                since = (row * DAY - stored.history.at[kept][-1]) / DAY
                assert batch.time_to_now_B[place] == np.float32(since)


def test_arrays_have_the_types_that_the_network_expects(dataset):
    batch = next(dataset.batches("train", max_positions=200))
    whole = ("task_B", "item_P", "kind_P", "target_T", "target_row_T")
    assert {getattr(batch, name).dtype for name in whole} == {np.dtype(np.int64)}
    real = ("gap_P", "quantity_P", "amount_P", "time_to_now_B", "scalars_BF", "label_BH")
    assert {getattr(batch, name).dtype for name in (*real, "weight_B")} == {np.dtype(np.float32)}


def test_items_beyond_the_vocabulary_have_no_embedding(dataset):
    items = dataset.items(1)
    assert items.index_I.tolist() == [0, 1, 2, 3, 4, 0, 0]
    assert items.exists_I.tolist() == [False, True, False, True, False, True, False]
    assert items.text_I.dtype == np.int64


def test_a_split_without_examples_has_no_batches(dataset):
    assert list(dataset.batches("valid", max_positions=100, world=3)) == []


def test_more_workers_than_examples_are_refused(dataset):
    assert len(dataset.plan("test", 1000, world=3)) == 1
    with pytest.raises(ValueError, match="3 examples for 4 workers"):
        dataset.plan("test", 1000, world=4)


def test_a_folder_without_dataset_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"holds no dataset \(meta.json is missing\)"):
        Dataset(tmp_path)


def test_a_dataset_is_read_where_polars_feast_and_ray_are_absent(dataset):
    code = (
        "import sys\n"
        "for name in ('polars', 'feast', 'ray'): sys.modules[name] = None\n"
        "from training.datasets.batches import Dataset\n"
        f"batches = list(Dataset({str(dataset.folder)!r}).batches('train', max_positions=100))\n"
        "print(sum(map(len, batches)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "157", done.stderr
