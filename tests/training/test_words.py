"""The words of messages: each at its own behaviour, in no other, and worth something to learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.events import KIND_CODES
from tests.training import synthetic
from training.datasets.encode import HISTORY_COLUMNS, encode_histories, encode_user, padded
from training.datasets.histories import Histories
from training.datasets.words import Messages, Texts, told_apart, with_words
from training.export import real_inputs
from training.methods import Lora
from training.models.graphs import UserGraph
from training.models.probes import user_inputs
from training.network import prepare
from training.run import ModelConfig, Run

VIEW, MESSAGE = KIND_CODES["view"], KIND_CODES["message"]
RUN = Run(name="x", model=ModelConfig(width=16))
KEPT = 3


def rows_of(shoppers: list[list[str | None]]) -> list[dict]:
    """Feature rows of shoppers, whose behaviours are views (None) and messages (their words)."""
    rows = []
    for behaviours in shoppers:
        told = [(at, text) for at, text in enumerate(behaviours, 1) if text is not None][-KEPT:]
        num = len(behaviours)
        rows.append(
            {
                "history_at": list(range(1, num + 1)),
                "history_kind": [VIEW if text is None else MESSAGE for text in behaviours],
                "history_item": [""] * num,
                "history_quantity": [0] * num,
                "history_amount": [0.0] * num,
                "message_at": [at for at, _ in told],
                "message_text": [text for _, text in told],
            }
        )
    return rows


def frame_of(rows: list[dict]) -> pl.DataFrame:
    texts = ("history_item", "message_text")
    kinds = {name: pl.String if name in texts else pl.Int64 for name in rows[0]}
    kinds["history_amount"] = pl.Float64
    return pl.DataFrame(rows, schema={name: pl.List(kind) for name, kind in kinds.items()})


SHOPPERS = st.lists(
    st.lists(st.sampled_from([None, None, "", "late", "broken", "thanks"]), max_size=9),
    min_size=1,
    max_size=5,
)


@given(SHOPPERS, st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_every_message_has_its_own_words_and_nothing_else_has_any(shoppers, length):
    texts = Texts(["an item"])
    found = encode_histories(frame_of(rows_of(shoppers)), {}, length, texts)
    names = ["", *texts]
    for row, behaviours in enumerate(shoppers):
        said = [text or "" for text in behaviours]
        places = [place for place, text in enumerate(behaviours) if text is not None]
        for place in places[:-KEPT]:
            said[place] = ""  # older than what is kept
        own = found.words[found.offsets[row] : found.offsets[row + 1]]
        assert [names[number] for number in own] == said[-length:]


@given(SHOPPERS)
@settings(max_examples=30, deadline=None)
def test_a_request_reads_the_words_that_training_reads(shoppers):
    spec = synthetic_spec()
    rows, texts = rows_of(shoppers), Texts()
    for row, told in enumerate(rows):
        found = encode_user(told, 99, spec, {})
        alone = encode_histories(frame_of(rows), {}, spec.history_length, texts).take(
            np.array([row])
        )
        names, own = ["", *texts], ["", *told["message_text"]]
        wanted = [names[number] for number in padded(alone, np.array([99]), None).words_BL[0]]
        assert [own[number] for number in found.words_BL[0]] == wanted


def synthetic_spec():
    from training.datasets.encode import EncodeSpec
    from training.datasets.sequences import NOTHING

    return EncodeSpec(vocabulary=(), user=NOTHING, item=NOTHING, history_length=6)


def test_a_row_without_the_view_of_messages_has_no_words():
    row = rows_of([["late", None]])[0]
    plain = {name: row[name] for name in row if not name.startswith("message")}
    assert set(plain) == {f"history_{name}" for name in HISTORY_COLUMNS}
    assert encode_user(plain, 99, synthetic_spec(), {}).words_BL is None
    assert encode_histories(frame_of([row]), {}, 5).words is None


def test_words_that_came_in_between_two_reads_are_left_out_and_never_shifted():
    """The view of messages knows one message more, or one less, than the history."""
    history = Histories(
        item=np.zeros(3, np.int32), kind=np.full(3, MESSAGE, np.int8),
        quantity=np.zeros(3, np.float32), amount=np.zeros(3, np.float32),
        at=np.array([10, 20, 30]), offsets=np.array([0, 3]),
    )  # fmt: skip
    ahead = Messages(np.array([10, 20, 30, 40]), np.array([1, 2, 3, 4]), np.array([0, 4]))
    behind = Messages(np.array([10, 20]), np.array([1, 2]), np.array([0, 2]))
    for messages in (ahead, behind):
        assert set(with_words(history, messages).words.tolist()) <= {0}


def test_words_of_a_batch_are_numbered_by_themselves():
    number, rows = told_apart(np.array([[0, 9, 4], [9, 0, 0]]))
    assert number.tolist() == [[0, 2, 1], [2, 0, 0]]
    assert rows.tolist() == [3, 8]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "d"
    return synthetic.write(folder, num_examples=90, has_words=True)


@pytest.fixture(scope="module")
def network(dataset):
    torch.manual_seed(0)
    return prepare(RUN, dataset).eval()


@torch.no_grad()
def answer(network, dataset, rows, texts=None, **changes):
    examples = dataset.examples("train")
    dataset._examples["same"] = replace(examples, week=np.full(len(examples), 5))
    batch = replace(dataset.batch("same", np.asarray(rows)), **changes)
    texts = torch.as_tensor(np.array(dataset.text_vectors)) if texts is None else texts
    return network(batch.to("cpu"), dataset.items(5).to("cpu"), texts)


def test_words_are_read_alike_alone_and_among_others(network, dataset):
    together = answer(network, dataset, range(12))
    for row in range(12):
        alone = answer(network, dataset, [row])
        torch.testing.assert_close(alone.score_BI[0], together.score_BI[row], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(alone.logit_BH[0], together.logit_BH[row], rtol=1e-4, atol=1e-4)


def test_words_move_the_answer_of_who_said_them_and_of_nobody_else(network, dataset):
    history, rows = dataset.examples("train").history, np.arange(20)
    said = [history.words[history.offsets[row] : history.offsets[row + 1]].any() for row in rows]
    plain = answer(network, dataset, rows)
    batch = dataset.batch("same", rows)
    silent = answer(network, dataset, rows, words_P=np.zeros_like(batch.words_P))
    moved = (plain.logit_BH != silent.logit_BH).any(dim=1).numpy()
    assert moved.tolist() == said
    assert 0 < moved.sum() < len(rows)


def test_a_network_of_rows_without_words_is_the_network_of_before(dataset, tmp_path):
    plain = prepare(RUN, synthetic.write(tmp_path / "d", num_examples=20))
    names = set(plain.state_dict())
    assert set(prepare(RUN, dataset).state_dict()) - names == {"user.sequence.words.weight"}
    assert plain.user.sequence.words is None


def test_the_user_graph_is_told_words_and_their_vectors(network, dataset):
    """That it answers as the network does is checked wherever a run is packed."""
    real = real_inputs(network, dataset)
    assert real["words"].any()
    assert len(real["word_vectors"]) == real["words"].max()
    probes = user_inputs(network, np.random.default_rng(0))
    assert [len(given["word_vectors"]) for given in probes] == [8, 8, 0]
    with torch.no_grad():
        graph = UserGraph(network)
        said, silent = (
            graph(**{name: torch.as_tensor(value) for name, value in given.items()})[2]
            for given in (real, real | {"words": np.zeros_like(real["words"])})
        )
    assert (said - silent).abs().max() > 1e-3


def test_lora_encodes_the_words_of_messages_too(network, dataset):
    rows = np.flatnonzero(np.asarray(dataset.examples("train").week) == 1)
    batch, catalogue = dataset.batch("train", rows).to("cpu"), dataset.items(1).to("cpu")
    chosen = set(Lora(max_texts=40).rows(batch, catalogue).tolist())
    assert len(batch.text_Y) > 3
    assert set(batch.text_Y[:10].tolist()) <= chosen


def test_who_leaves_is_learnt_from_words_alone(dataset):
    """Two texts, one of leavers: with words the loss goes down, without them it stays at chance."""
    losses = {}
    for said in (True, False):
        torch.manual_seed(1)
        network = prepare(
            replace(RUN, tasks=("retention",), task_weights=(1.0,), task_shares=(1.0,)), dataset
        )
        optimizer = torch.optim.Adam(network.parameters(), 5e-3)
        rows = np.arange(48)
        for _ in range(60):
            loss = leaving_loss(network, dataset, rows, said)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network.eval()
        losses[said] = leaving_loss(network, dataset, rows, said).item()
    assert losses[True] < 0.2
    assert losses[False] > 0.6


def leaving_loss(network, dataset, rows, said):
    """Of shoppers with one message each and nothing else to tell them apart."""
    leaves = torch.arange(len(rows)) % 2
    batch = dataset.batch("same", rows)
    zero = np.zeros(len(rows), np.float32)
    batch = replace(
        batch,
        shapes=((len(rows), 1),),
        item_P=np.zeros(len(rows), np.int64),
        kind_P=np.full(len(rows), MESSAGE),
        gap_P=zero, quantity_P=zero, amount_P=zero, time_to_now_B=zero,
        scalars_BF=0 * batch.scalars_BF,
        words_P=(leaves.numpy() + 1) * said,
        text_Y=np.array([1, 2]),
    ).to("cpu")  # fmt: skip
    texts = torch.as_tensor(np.array(dataset.text_vectors))
    logit_B = network(batch, dataset.items(5).to("cpu"), texts).logit_BH[:, 0]
    return torch.nn.functional.binary_cross_entropy_with_logits(logit_B, leaves.float())
