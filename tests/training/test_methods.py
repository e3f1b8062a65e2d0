"""LoRA at step 0 equals the base, merged equals unmerged, and little of the network moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.training import synthetic
from tests.training.small_text import small_text
from training.loop import Training, train
from training.methods import METHODS, Full, Lora
from training.models.pretrained import RANDOM
from training.models.text import load_text_encoder
from training.network import learnt_state, load_state, prepare
from training.recipes import shopper, text_lora
from training.run import ModelConfig, OptimConfig, Run
from training.track import PlainRuntime

RUN = Run(
    name="x",
    methods=(Lora(rank=2, max_texts=24),),
    model=ModelConfig(width=16, num_layers=1),
    optim=OptimConfig(num_epochs=2, max_positions=600, num_warmup_steps=1, learning_rate=1e-2),
)
TEXTS = ["red cup number 5", "blue lamp", "a green plate", "PAPER BAG, LARGE"]


@pytest.fixture
def dataset(tmp_path):
    return synthetic.write(tmp_path / "d", num_examples=40, longest=10)


@pytest.fixture
def small(monkeypatch):
    """Networks get a small encoder where they would load MiniLM."""
    import training.network

    monkeypatch.setattr(training.network, "load_text_encoder", lambda name, seed: small_text(seed))


def vectors(network):
    return torch.as_tensor(network.text.encode(TEXTS))


def shake(network):
    """Move every adapter away from its start, where B is zero."""
    with torch.no_grad():
        for name, parameter in network.text.named_parameters():
            if "lora_" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))


def test_lora_at_step_0_is_the_base(dataset, small):
    network = prepare(RUN, dataset)
    torch.testing.assert_close(vectors(network), torch.as_tensor(small_text().encode(TEXTS)))


def test_merged_equals_unmerged_and_leaves_no_adapter(dataset, small):
    network = prepare(RUN, dataset)
    shake(network)
    moved = vectors(network)
    assert (moved - torch.as_tensor(small_text().encode(TEXTS))).abs().max() > 1e-3
    for method in RUN.methods:
        method.merge(network)
    torch.testing.assert_close(vectors(network), moved, rtol=1e-4, atol=1e-5)
    names = [name for name, _ in network.text.named_parameters()]
    assert names == [name for name, _ in small_text().named_parameters()]


def test_only_adapters_and_the_text_projection_move(dataset, small, tmp_path):
    network = prepare(RUN, dataset)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    training = Training(RUN, dataset, tmp_path, PlainRuntime(tmp_path / "c"))
    load_state(training.network, learnt_state(network))
    training.go()
    after = training.network.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved
    assert all("lora_" in name or name.startswith("items.text.") for name in moved)
    assert any("lora_B" in name for name in moved)


def test_the_vectors_of_encoded_texts_are_remembered(dataset, small, tmp_path):
    training = Training(RUN, dataset, tmp_path, PlainRuntime(tmp_path / "c"))
    before = training.text_vectors_ND.clone()
    training.go()
    changed = (training.text_vectors_ND != before).any(dim=1)
    assert changed.any()
    assert training.text_vectors_ND.norm(dim=1).allclose(torch.ones(len(before)), atol=1e-4)


def test_a_resumed_lora_run_ends_like_an_uninterrupted_one(dataset, small, tmp_path):
    class Killed(Exception):
        pass

    class Mortal(PlainRuntime):
        def report(self, metrics, checkpoint):
            PlainRuntime.report(self, metrics, checkpoint)
            if metrics["epoch"] == 1:
                raise Killed

    train(RUN, dataset.folder, tmp_path / "a", PlainRuntime(tmp_path / "a" / "c"))
    with pytest.raises(Killed):
        train(RUN, dataset.folder, tmp_path / "b", Mortal(tmp_path / "b" / "c"))
    train(RUN, dataset.folder, tmp_path / "b", PlainRuntime(tmp_path / "b" / "c"))
    first, second = (load_file(tmp_path / n / "c" / "last.safetensors") for n in "ab")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_checkpoint_holds_no_frozen_text_weights(dataset, small):
    names = [n for n in learnt_state(prepare(RUN, dataset)) if n.startswith("text.")]
    assert names
    assert all("lora_" in name for name in names)


def test_texts_are_unique_bounded_and_begin_with_the_targets(dataset, small):
    rows = np.flatnonzero(dataset.examples("train").week == 5)
    batch, catalogue = dataset.batch("train", rows).to("cpu"), dataset.items(5).to("cpu")
    chosen = Lora(max_texts=10).rows(batch, catalogue).tolist()
    assert len(chosen) == len(set(chosen)) == 10
    targets = set(catalogue.text_I[batch.target_T.unique()[:5]].tolist())
    assert set(chosen[: len(targets)]) == targets
    everything = Lora(max_texts=1000).rows(batch, catalogue).tolist()
    assert set(everything) == set(range(1, synthetic.NUM_ITEMS))


def test_full_moves_everything(dataset):
    network = prepare(replace(RUN, methods=(Full(),)), dataset)
    total, moving = network.num_parameters()
    assert total == moving


def test_the_registry_calls_methods_by_their_names():
    assert {name: method.name for name, method in METHODS.items()} == {n: n for n in METHODS}


def test_the_recipe_moves_at_most_2_percent_of_the_real_encoder(tmp_path):
    dataset = synthetic.write(tmp_path / "d", num_examples=4)
    run = replace(text_lora(), model=shopper().model)
    network = prepare(run, dataset)
    total, moving = network.num_parameters()
    assert total > 22_000_000
    assert 0 < moving <= 0.02 * total
    cup, mug, train_ticket = network.text.encode(["red cup", "a red mug", "train ticket"])
    assert cup @ mug > cup @ train_ticket


def test_a_random_encoder_follows_its_seed(monkeypatch):
    config = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    from transformers import AutoConfig

    real = AutoConfig.from_pretrained
    monkeypatch.setattr(AutoConfig, "from_pretrained", lambda source: real(source, **config))
    name = f"all-MiniLM-L6-v2{RANDOM}"
    first, again, other = (load_text_encoder(name, seed).encode(TEXTS) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_an_encoder_that_is_nowhere_is_refused(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="'no/such-model' could not be loaded"):
        load_text_encoder("no/such-model")


def test_encoding_depends_on_neither_order_nor_company():
    encoder = small_text()
    together = encoder.encode(TEXTS, batch_size=3)
    for place, text in enumerate(TEXTS):
        np.testing.assert_allclose(encoder.encode([text])[0], together[place], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
