"""A causal decoder by name in place of the network's own layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, LlamaConfig, LlamaModel

from tests.training import synthetic
from training.loop import Training
from training.models.graphs import OUTPUTS, UserGraph, compare, write_graph
from training.models.probes import user_inputs
from training.network import learnt_state, load_state, prepare
from training.recipes import shopper
from training.run import ModelConfig, Run
from training.track import PlainRuntime

WORDS = {"vocab_size": 12, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
LLAMA = LlamaConfig(
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=64,
    **WORDS,
)
GPT2 = GPT2Config(n_embd=16, n_layer=1, n_head=2, n_positions=64, **WORDS)
BERT = BertConfig(
    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=12
)
MODELS = {"llama": (LlamaModel, LLAMA), "gpt2": (GPT2Model, GPT2), "bert": (BertModel, BERT)}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return synthetic.write(tmp_path_factory.mktemp("data") / "d", num_examples=60)


@pytest.fixture(scope="module")
def run_with(tmp_path_factory):
    """A run whose layers are those of a small random model, saved in a folder."""

    def make(kind: str, max_history: int = 40) -> Run:
        folder = tmp_path_factory.mktemp(kind)
        model, config = MODELS[kind]
        torch.manual_seed(0)
        model(config).save_pretrained(folder)
        shape = ModelConfig(width=16, decoder=str(folder), max_history=max_history)
        return replace(shopper("tiny"), model=shape)

    return make


def scores(network, dataset, rows):
    batch = dataset.batch("train", np.asarray(rows))
    texts = torch.as_tensor(np.array(dataset.text_vectors))
    with torch.no_grad():
        return network(batch.to("cpu"), dataset.items(batch.week).to("cpu"), texts)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_company_and_padding_change_no_score(kind, run_with, dataset):
    network = prepare(run_with(kind), dataset).eval()
    week = dataset.examples("train").week
    rows = np.flatnonzero(week == week[0])[:8]
    together = scores(network, dataset, rows)
    for place, row in enumerate(rows):
        alone = scores(network, dataset, [row])
        torch.testing.assert_close(
            alone.score_BI[0], together.score_BI[place], rtol=1e-4, atol=1e-4
        )
        torch.testing.assert_close(
            alone.logit_BH[0], together.logit_BH[place], rtol=1e-4, atol=1e-4
        )


def test_its_graph_says_what_torch_says_at_any_length(run_with, dataset, tmp_path):
    network = prepare(run_with("llama"), dataset).eval()
    inputs = [
        {n: v[:, :40] if v.ndim > 1 and n != "scalars" else v for n, v in given.items()}
        for given in user_inputs(network, np.random.default_rng(0))
    ]
    names = OUTPUTS["user"][:3]
    write_graph(UserGraph(network), inputs[0], names, tmp_path / "user.onnx")
    assert compare(UserGraph(network), tmp_path / "user.onnx", inputs) < 1e-4


def test_the_one_loop_moves_all_of_it_and_its_state_comes_back(run_with, dataset, tmp_path):
    run = run_with("llama").with_settings({"optim.num_epochs": "2"})
    assert Run.from_json(run.to_json()) == run
    training = Training(run, dataset, tmp_path, PlainRuntime(tmp_path / "kept"))
    before = learnt_state(training.network)
    training.go()
    after = learnt_state(training.network)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    inside = {name for name in before if name.startswith("user.sequence.layers.model.")}
    assert {name for name in inside if "embed_tokens" not in name} <= moved
    losses = [line["train_loss"] for line in training.progress.history]
    assert losses[1] < losses[0]
    again = prepare(run, dataset)
    load_state(again, after)
    rows = np.arange(1)
    torch.testing.assert_close(
        scores(again.eval(), dataset, rows).score_BI,
        scores(training.network.eval(), dataset, rows).score_BI,
    )


def test_a_model_that_reads_backwards_or_not_far_enough_is_refused(run_with, dataset):
    with pytest.raises(ValueError, match="name a causal decoder"):
        prepare(run_with("bert"), dataset)
    with pytest.raises(ValueError, match="reaches over 64 positions"):
        prepare(run_with("llama", max_history=64), dataset)
    unknown = replace(run_with("gpt2"), model=ModelConfig(decoder="no/such-model"))
    with pytest.raises(ValueError, match=r"model.decoder 'no/such-model' could not"):
        prepare(unknown, dataset)
