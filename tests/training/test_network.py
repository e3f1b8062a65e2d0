"""The network's promises: padding, batching and the future change nothing; copies count re-buys."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.events import KIND_CODES
from tests.training import synthetic
from training.datasets import batches
from training.models.batch import Batch
from training.models.blocks import Blocks
from training.models.layers import Layer, Layers
from training.models.sequence import PURCHASE, History, SequenceEncoder
from training.network import Network, learnt_state, load_state, prepare
from training.run import ModelConfig, Run
from training.tasks import TASKS

RUN = Run(name="x", model=ModelConfig(width=16))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return synthetic.write(tmp_path_factory.mktemp("data") / "d", num_examples=60)


@pytest.fixture(scope="module")
def network(dataset):
    torch.manual_seed(0)
    network = prepare(RUN, dataset).eval()
    with torch.no_grad():
        for parameter in network.parameters():  # zero weights would hide what depends on them
            parameter.add_(0.05 * torch.randn_like(parameter))
        network.items.delta.weight[0] = 0.0
    return network


@torch.no_grad()
def answer(network, dataset, rows, catalogue=None, **changes):
    """Output for `rows` of the training split, all seen against the catalogue of week 5."""
    examples = dataset.examples("train")
    same_week = replace(examples, week=np.full(len(examples), 5))
    dataset._examples["same"] = same_week
    batch = dataset.batch("same", np.asarray(rows))
    batch = replace(batch, **{name: change(batch) for name, change in changes.items()})
    catalogue = catalogue or dataset.items(5)
    texts = torch.as_tensor(np.array(dataset.text_vectors))
    return network(batch.to("cpu"), catalogue.to("cpu"), texts)


def assert_equal(output, expected, rows=slice(None)):
    torch.testing.assert_close(output.score_BI, expected.score_BI[rows], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(output.logit_BH, expected.logit_BH[rows], rtol=1e-4, atol=1e-4)


@given(st.lists(st.integers(0, 59), min_size=1, max_size=8, unique=True))
@settings(max_examples=15, deadline=None)
def test_an_example_is_answered_the_same_alone_and_among_others(network, dataset, rows):
    together = answer(network, dataset, rows)
    for place, row in enumerate(rows):
        assert_equal(answer(network, dataset, [row]), together, slice(place, place + 1))


@given(st.permutations(range(12)), st.integers(0, 300))
@settings(max_examples=15, deadline=None)
def test_neither_padding_nor_the_cut_into_blocks_changes_a_score(network, dataset, rows, cost):
    own = batches.BLOCK_COST
    try:
        batches.BLOCK_COST = 10**9  # one block: all padded to the longest
        padded = answer(network, dataset, rows)
        batches.BLOCK_COST = cost
        packed = answer(network, dataset, rows)
    finally:
        batches.BLOCK_COST = own
    torch.testing.assert_close(packed.score_BI, padded.score_BI, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(packed.logit_BH, padded.logit_BH, rtol=1e-5, atol=1e-5)


def test_padding_behind_the_longest_history_changes_no_score(network, dataset):
    names = ("item_P", "kind_P", "gap_P", "quantity_P", "amount_P")
    longer = {name: lambda batch, n=name: np.pad(getattr(batch, n), (0, 7)) for name in names}
    shapes = {"shapes": lambda batch: ((1, batch.num_positions + 7),)}
    assert_equal(answer(network, dataset, [3], **longer, **shapes), answer(network, dataset, [3]))


def test_what_lies_under_the_padding_is_never_read(network, dataset):
    def dirty(name, value):
        return lambda batch: np.where(batch.kind_P > 0, getattr(batch, name), value)

    changes = {"gap_P": dirty("gap_P", 9.0), "amount_P": dirty("amount_P", 9.0)}
    changes = {
        name: (lambda batch, change=change: change(batch).astype(np.float32))
        for name, change in changes.items()
    }
    assert_equal(
        answer(network, dataset, range(10), **changes), answer(network, dataset, range(10))
    )


def test_an_empty_history_is_answered(network, dataset):
    lengths = np.diff(dataset.examples("train").history.offsets)
    row = int(np.flatnonzero(lengths == 0)[0])
    output = answer(network, dataset, [row])
    assert output.score_BI[0, 1:].isfinite().all()
    assert output.logit_BH.isfinite().all()


def test_items_that_did_not_exist_have_no_score(network, dataset):
    early = dataset.items(0)
    score = answer(network, dataset, range(4), early).score_BI
    assert (score.isfinite().numpy() == early.exists_I).all()
    assert not early.exists_I[0]


def test_time_to_now_and_scalars_move_scores_and_logits(network, dataset):
    plain = answer(network, dataset, range(6))
    for name in ("time_to_now_B", "scalars_BF"):
        moved = answer(network, dataset, range(6), **{name: lambda b, n=name: getattr(b, n) + 1})
        assert (moved.score_BI - plain.score_BI)[:, 1:].abs().max() > 1e-3
        assert (moved.logit_BH - plain.logit_BH).abs().max() > 1e-3


def test_a_position_knows_nothing_of_what_comes_after_it():
    torch.manual_seed(0)
    encoder = SequenceEncoder(
        width=8,
        num_kinds=5,
        dropout=0.0,
        make_layers=lambda: Layers(Layer(8, 2, 0.0) for _ in range(3)),
    ).eval()

    def history(length):
        generator = torch.Generator().manual_seed(1)
        full = torch.randn(1, 12, 8, generator=generator)
        numbers = torch.rand(3, 1, 12, generator=generator)
        kinds = torch.randint(1, 5, (1, 12), generator=generator)
        parts = (full, kinds, numbers[0], numbers[1], numbers[2])
        return History(*(part[0, :length] for part in parts), Blocks(((1, length),)))

    whole = encoder(history(12)).token_PW
    for length in (1, 5, 11):
        found = encoder(history(length)).token_PW
        torch.testing.assert_close(found, whole[:length], rtol=1e-4, atol=1e-5)


def test_a_bought_item_is_called_for_again_and_repeats_call_less_each(network, dataset):
    vectors = torch.nn.functional.normalize(torch.randn(1, 16), dim=1).expand(4, 16)
    ones = torch.ones(4)
    history = History(vectors, torch.full((4,), 4), 0 * ones, ones, ones, Blocks(((1, 4),)))
    with torch.no_grad():
        encoded = network.user.sequence(history)
        user = network.user(history, torch.ones(1), torch.zeros(1, network.num_scalars))
        taste = (user.vector_XW * vectors[:1]).sum()
    assert encoded.repeats_P.tolist() == [0, 1, 2, 3]
    calls = user.copy_P + torch.tensor([taste, 0.0, 0.0, 0.0])
    assert (calls > 0).all()
    assert calls[0] > calls[3]


@torch.no_grad()
def test_habit_adds_the_logarithm_of_how_often_an_item_was_bought(network, dataset):
    one, other = torch.nn.functional.normalize(torch.randn(2, 16), dim=1)
    vectors, ones = torch.stack([one, one, other, one, one, other]), torch.ones(6)
    viewed, bought = KIND_CODES["view"], KIND_CODES["purchase"]
    assert bought == PURCHASE
    kinds = torch.tensor([bought, viewed, viewed, bought, bought, bought])
    history = History(vectors, kinds, 0 * ones, ones, ones, Blocks(((1, 6),)))
    asked = (history, torch.ones(1), torch.zeros(1, network.num_scalars))
    plain = network.user(*asked).copy_P
    network.set_habit(0.5)
    added = network.user(*asked).copy_P - plain
    network.set_habit(0.0)
    first = torch.tensor([0, 1, 3, 4])
    assert added[first].sum().item() == pytest.approx(0.5 * np.log(1 + 3), abs=1e-5)
    assert added[[2, 5]].sum().item() == pytest.approx(0.5 * np.log(1 + 1), abs=1e-5)
    assert added[[1, 2]].tolist() == [0.0, 0.0]


def test_taste_says_nothing_of_what_was_had_before(network, dataset):
    rows = np.flatnonzero(np.diff(dataset.examples("train").history.offsets) > 4)[:1]
    before = answer(network, dataset, rows).score_BI[0]
    network.user.log_temperature.data -= 1.0  # every taste is stronger by e
    after = answer(network, dataset, rows).score_BI[0]
    network.user.log_temperature.data += 1.0
    had = np.unique(dataset.batch("train", rows).item_P)
    had = had[had > 0]
    other = np.setdiff1d(np.flatnonzero(before.isfinite().numpy()), had)
    torch.testing.assert_close(after[had], before[had], rtol=1e-4, atol=1e-4)
    assert ((after - before)[other].abs() > 1e-3).float().mean() > 0.9


def test_copies_are_added_to_the_items_of_the_history(network, dataset):
    rows = np.flatnonzero(np.diff(dataset.examples("train").history.offsets) > 4)[:1]

    def without(batch):
        return np.zeros_like(batch.item_P)

    network.user.copy.age[2].bias.data += 5.0  # loud copies
    loud = answer(network, dataset, rows).score_BI[0]
    network.user.copy.age[2].bias.data -= 5.0
    quiet = answer(network, dataset, rows).score_BI[0]
    items = np.unique(dataset.batch("same", rows).item_P)
    raised = np.flatnonzero((loud - quiet).nan_to_num().abs().numpy() > 1e-4)
    assert set(raised) == set(items[items > 0])
    # Without items nothing is added, and the score of "no item" does not exist anyway.
    assert answer(network, dataset, rows, item_P=without).score_BI[0, 0] == -torch.inf


def test_an_item_beyond_the_vocabulary_is_scored_by_text_and_numbers(network, dataset):
    catalogue = dataset.items(5).to("cpu")
    texts = torch.as_tensor(np.array(dataset.text_vectors))
    with torch.no_grad():
        vectors, _ = network.item_vectors(catalogue, texts)
        new = synthetic.NUM_VOCABULARY
        own = network.items(
            texts[new : new + 1],
            torch.zeros(1, dtype=torch.int64),
            catalogue.scalars_IS[new : new + 1],
        )[0]
    torch.testing.assert_close(vectors[new : new + 1], own)
    assert vectors.norm(dim=1)[1:].allclose(torch.ones(len(vectors) - 1), atol=1e-5)


def test_answers_are_made_of_calibrated_logits(network):
    names = network.logit_names
    logits = torch.linspace(-3, 3, 7).unsqueeze(1).expand(7, len(names))
    plain = network.probabilities(logits)
    network.set_calibration(dict.fromkeys(names, (1.0, 0.0)) | {names[0]: (0.5, 1.0)})
    try:
        calibrated = network.probabilities(logits)
    finally:
        network.set_calibration(dict.fromkeys(names, (1.0, 0.0)))
    told = TASKS["retention"].answer(logits.clone().index_copy(
        1, torch.tensor([0]), (0.5 * logits[:, :1] + 1.0)))  # fmt: skip
    torch.testing.assert_close(calibrated, told)
    assert not torch.allclose(calibrated, plain)


def test_a_state_survives_its_copy_and_a_strange_one_is_refused(network, dataset):
    other = Network(RUN, dataset.meta).eval()
    load_state(other, learnt_state(network))
    assert_equal(answer(other, dataset, range(5)), answer(network, dataset, range(5)))
    strange = Network(replace(RUN, model=ModelConfig(width=32)), dataset.meta)
    with pytest.raises(ValueError, match=r"of shape .* meet .*same dataset"):
        load_state(strange, learnt_state(network))


def test_every_task_has_its_own_columns_of_the_heads(network):
    columns = list(range(len(network.head_names)))
    taken = [c for name in RUN.tasks for c in columns[network.columns[name].heads]]
    assert taken == columns
    for name in RUN.tasks:
        assert network.head_names[network.columns[name].heads] == TASKS[name].heads


def test_a_batch_knows_its_size(dataset):
    batch: Batch = dataset.batch("train", np.array([int(dataset.plan("train", 100)[0][0])]))
    assert len(batch) == 1
    assert batch.num_positions == len(batch.item_P)
