"""Any transformers model as text encoder: which tokens speak for a text, and that padding never."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel

from tests.training.small_text import tokenizer
from training.methods import Lora
from training.models.graphs import OUTPUTS, TextGraph, compare, write_graph
from training.models.pooling import CONFIG, first_token, is_causal, last_token, mean_token
from training.models.probes import text_inputs
from training.models.text import TextEncoder, load_text_encoder

TEXTS = ("a cup", "a tall lamp of wood and iron for the table", "x", "blue bowl")
KINDS = {
    "encoder": (BertModel, BertConfig, mean_token),
    "decoder": (LlamaModel, LlamaConfig, last_token),
}


def saved(kind: str, folder: Path) -> Path:
    """A small random model of `kind` as a folder that pads on the left, as decoders' often do."""
    of, config, _ = KINDS[kind]
    torch.manual_seed(0)
    words = tokenizer()
    words.enable_padding(direction="left")
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    of(config(vocab_size=words.get_vocab_size(), intermediate_size=32, **shape)).save_pretrained(
        folder
    )
    words.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module", params=KINDS)
def text(request, tmp_path_factory) -> TextEncoder:
    return load_text_encoder(str(saved(request.param, tmp_path_factory.mktemp("model"))))


def test_a_decoder_is_read_at_its_last_token_and_an_encoder_at_all(text):
    kind = "decoder" if isinstance(text.model, LlamaModel) else "encoder"
    assert text.pooling is KINDS[kind][2]
    assert is_causal(text.model) == (kind == "decoder")


def test_what_a_text_is_padded_with_changes_nothing(text):
    together = text.encode(TEXTS)
    alone = np.concatenate([text.encode([one]) for one in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)
    _, mask = text.tokens(TEXTS)
    assert (mask.diff(dim=1) <= 0).all(), "padding lies on the right"


def test_the_vector_is_that_of_the_real_tokens(text):
    ids, mask = text.tokens(TEXTS)
    with torch.no_grad():
        hidden = text.model(input_ids=ids, attention_mask=mask).last_hidden_state
    for row, num in enumerate(mask.sum(dim=1).tolist()):
        real = hidden[row, :num]
        wanted = real[-1] if text.pooling is last_token else real.mean(dim=0)
        found = text.encode(TEXTS[row : row + 1])[0]
        np.testing.assert_allclose(found, wanted / wanted.norm(), atol=1e-5)


def test_the_exported_graph_says_the_same_at_any_size(text, tmp_path):
    inputs = text_inputs(text, TEXTS)
    write_graph(TextGraph(text), inputs[0], OUTPUTS["text"], tmp_path / "text.onnx")
    assert compare(TextGraph(text), tmp_path / "text.onnx", inputs) < 1e-5


def test_lora_finds_the_attention_of_either_family_and_begins_as_the_base(text):
    before = text.encode(TEXTS)
    network = torch.nn.Module()
    network.text, network.items = text, torch.nn.Module()
    network.items.text = torch.nn.Linear(16, 8)
    network.user = torch.nn.Module()
    network.user.sequence = torch.nn.Module()
    network.user.sequence.words = None
    method = Lora(rank=2)
    method.attach(network)
    assert any("lora_A" in name for name, _ in text.named_parameters())
    np.testing.assert_allclose(text.encode(TEXTS), before, atol=1e-6)
    method.merge(network)
    assert not any("lora_A" in name for name, _ in text.named_parameters())
    np.testing.assert_allclose(text.encode(TEXTS), before, atol=1e-6)


def test_a_model_that_names_its_pooling_is_taken_at_its_word(tmp_path):
    folder = saved("encoder", tmp_path)
    (folder / CONFIG).parent.mkdir()
    told = {"word_embedding_dimension": 16, "pooling_mode_cls_token": True}
    (folder / CONFIG).write_text(json.dumps(told))
    assert load_text_encoder(str(folder)).pooling is first_token
    (folder / CONFIG).write_text(json.dumps(told | {"pooling_mode_max_tokens": True}))
    with pytest.raises(ValueError, match="pooling_mode_max_tokens"):
        load_text_encoder(str(folder))
