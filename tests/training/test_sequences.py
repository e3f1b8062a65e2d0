"""Sequences without time: who knows what, and learning at every position as one example each."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from training.datasets.histories import offsets_of
from training.datasets.sequences import Sequences, Things, write
from training.network import prepare
from training.recipes import sequences as recipe
from training.run import ModelConfig
from training.tasks import TASKS

NUM_ITEMS = 30


def some(num: int = 40, longest: int = 14, seed: int = 0) -> Sequences:
    """Sequences of 4 to `longest` items; item 29 is only ever the last."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, longest + 1, num)
    item = rng.integers(0, NUM_ITEMS - 1, lengths.sum())
    offsets = offsets_of(lengths)
    item[offsets[1] - 1] = NUM_ITEMS - 1
    return Sequences(item=item, offsets=offsets, user=np.array([f"u{i}" for i in range(num)]))


def things(width: int = 8) -> Things:
    vectors = np.random.default_rng(1).normal(size=(NUM_ITEMS, width)).astype(np.float32)
    vectors[3] = 0.0
    return Things(
        ids=tuple(f"item-{i}" for i in range(NUM_ITEMS)),
        texts=tuple("" if i == 3 else f"thing {i}" for i in range(NUM_ITEMS)),
        vectors=vectors,
        attributes=tuple((1 + i % 4, 5)[: i % 3] for i in range(NUM_ITEMS)),
    )


def run(**model):
    made = recipe("tiny", has_text=True)
    shape = {"width": 16, "text_width": 8, "dropout": 0.0, "attention_dropout": 0.0}
    shape |= {"bars_seen": False}
    return replace(made, model=replace(made.model, **(shape | model)))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write(tmp_path_factory.mktemp("s") / "d", some(), things(), longest=50)


def names(dataset, split, row):
    examples = dataset.examples(split)
    history = examples.history.take(np.array([row]))
    target = examples.targets(np.array([row]))[0]
    return [dataset.item_ids[i] for i in history.item], dataset.item_ids[int(target[0])]


def test_the_last_item_is_the_test_the_one_before_it_validation_and_the_rest_training(dataset):
    sequences = some()
    for row in range(len(sequences)):
        own = slice(*sequences.offsets[row : row + 2])
        whole = [f"item-{i}" for i in sequences.item[own]]
        for split, held_back in (("train", 2), ("valid", 1), ("test", 0)):
            known = whole[: len(whole) - held_back]
            assert names(dataset, split, row) == (known[:-1], known[-1])


def test_an_item_of_the_test_alone_is_no_negative_of_training_and_has_no_delta(dataset):
    late = dataset.item_ids.index("item-29")
    assert late >= dataset.meta["num_vocabulary"]
    assert not dataset.items(0).exists_I[late]
    assert dataset.items(1).exists_I[late]
    assert dataset.items(1).index_I[late] == 0


def test_an_item_held_out_is_in_no_training_example(tmp_path):
    held_out = np.arange(NUM_ITEMS) % 5 == 0
    made = write(tmp_path / "d", some(), things(), longest=50, held_out=held_out)
    examples = made.examples("train")
    seen = {made.item_ids[i] for i in [*examples.history.item, *examples.target]}
    assert not seen & {f"item-{i}" for i in np.flatnonzero(held_out)}
    assert len(made.examples("test")) == len(some())
    assert made.meta["num_items"] == NUM_ITEMS + 1


def test_a_long_history_keeps_its_latest_items(tmp_path):
    made = write(tmp_path / "d", some(), things(), longest=3)
    row = int(np.argmax(np.diff(some().offsets)))
    known, target = names(made, "test", row)
    own = [f"item-{i}" for i in some().item[slice(*some().offsets[row : row + 2])]]
    assert (known, target) == (own[-4:-1], own[-1])


def test_text_and_attributes_belong_to_their_items(dataset):
    items = dataset.items(1)
    for name in ("item-3", "item-7", "item-29"):
        number, place = int(name.removeprefix("item-")), dataset.item_ids.index(name)
        told = things()
        text = int(items.text_I[place])
        assert (text < 0) == (not told.texts[number])
        if text >= 0:
            assert dataset.texts[text] == told.texts[number]
            np.testing.assert_allclose(dataset.text_vectors[text], told.vectors[number])
        assert attributes_of(items)[place].tolist() == list(told.attributes[number])


def attributes_of(items):
    """The attributes of each item."""
    return np.split(items.attribute_A, items.attribute_start_I[1:])


def loss(network, batch, dataset):
    """Sum of the losses of all positions that the network is asked at."""
    texts = torch.as_tensor(np.array(dataset.text_vectors))
    output = network(batch.to("cpu"), dataset.items(batch.week).to("cpu"), texts)
    return TASKS["next_item"].loss(output, batch.to("cpu")), output


@torch.no_grad()
def test_learning_at_every_position_equals_an_example_for_each_behaviour(tmp_path, dataset):
    torch.manual_seed(0)
    network = prepare(run(), dataset).train()
    rows = np.arange(12)
    together, output = loss(network, dataset.batch("train", rows), dataset)
    assert output.is_everywhere
    network.eval()
    apart = []
    known = some().without_last(2).take(rows)
    for row in rows:  # the sequence cut after each of its items, as a dataset of its own
        own = known.item[slice(*known.offsets[row : row + 2])]
        for end in range(2, len(own) + 1):
            index = [dataset.item_ids.index(f"item-{i}") for i in own[:end]]
            apart.append(float(loss(network, one(dataset, index), dataset)[0]))
    assert float(together) == pytest.approx(np.mean(apart), rel=1e-4)


def one(dataset, index):
    """A batch of one history, `index` but its last, whose target is the last."""
    template = dataset.batch("train", np.array([0]))
    num = len(index) - 1
    return replace(
        template,
        shapes=((1, num),),
        item_P=np.array(index[:-1]),
        kind_P=np.full(num, template.kind_P[0]),
        gap_P=np.array([0.0, *[1.0] * (num - 1)], np.float32),
        quantity_P=np.ones(num, np.float32),
        amount_P=np.zeros(num, np.float32),
        target_T=np.array(index[-1:]),
    )


@torch.no_grad()
def test_what_a_history_holds_is_no_candidate_of_its_later_positions(dataset):
    torch.manual_seed(0)
    plain, barred = (prepare(run(bars_seen=bars), dataset).train() for bars in (False, True))
    barred.load_state_dict(plain.state_dict())
    batch = dataset.batch("train", np.arange(12))
    free, less = (loss(network, batch, dataset)[1].score_BI for network in (plain, barred))
    places = np.cumsum([0, *(length for rows, length in batch.shapes for _ in range(rows))])
    for start, end in pairwise(places):
        for place in range(start, end):
            gone = torch.zeros(len(free[0]), dtype=torch.bool)
            gone[batch.item_P[start : place + 1]] = True
            own = less[place] - free[place]
            assert (own[gone & (free[place] > -torch.inf)] < -1.0).all()
            assert own[~gone].nan_to_num().abs().max() < 1e-4


@torch.no_grad()
def test_attributes_move_the_vectors_of_the_items_that_have_them(dataset):
    torch.manual_seed(0)
    network = prepare(run(), dataset).eval()
    texts = torch.as_tensor(np.array(dataset.text_vectors))
    items = dataset.items(1)
    plain = network.item_vectors(items.to("cpu"), texts)[0]
    network.items.attributes.weight[5] += 1.0
    moved = (network.item_vectors(items.to("cpu"), texts)[0] - plain).abs().amax(dim=1) > 1e-4
    assert moved.tolist() == [5 in one for one in attributes_of(items)]


def test_learning_everywhere_refuses_what_it_cannot_do(dataset):
    with pytest.raises(ValueError, match=r"set model\.copies=false"):
        ModelConfig(every_position=True)
    with pytest.raises(ValueError, match="bars_seen needs every_position"):
        ModelConfig(bars_seen=True)
    with pytest.raises(ValueError, match="a way to learn next_item alone"):
        replace(run(), tasks=("next_item", "retention"), task_weights=(1.0, 1.0),
                task_shares=(1.0, 1.0))  # fmt: skip
    with pytest.raises(ValueError, match="meets 4 features of shoppers"):
        prepare(run(), Like(dataset.meta | {"num_scalars": 4}))


class Like:
    """What ``prepare`` asks of a dataset."""

    def __init__(self, meta: dict) -> None:
        self.meta = meta
