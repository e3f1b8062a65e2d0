"""Made-up inputs of the exported graphs, to trace them and to compare them with torch.

Next: ``training/export.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from training.models.config import MAX_CATEGORIES

Inputs = dict[str, np.ndarray]


def text_inputs(text: Any, texts: Sequence[str]) -> list[Inputs]:
    """Tokens of `texts`: several together, and one alone."""
    chosen = [list(texts[:5]) or ["a cup"], list(texts[-1:]) or ["a lamp for the table"]]
    tokens = [text.tokens(some) for some in chosen]
    return [{"input_ids": ids.numpy(), "attention_mask": mask.numpy()} for ids, mask in tokens]


def item_inputs(network: Any, num: int, rng: np.random.Generator) -> Inputs:
    """Random items, the first of them without a known id."""
    index = rng.integers(0, network.items.delta.num_embeddings, num)
    index[0] = 0
    return {
        "text_vector": _unit(rng, num, network.items.text.in_features),
        "item_index": index,
        "item_scalars": _normal(rng, num, network.items.scalars.in_features),
    }


def user_inputs(network: Any, rng: np.random.Generator) -> list[Inputs]:
    """Random histories: several of many lengths with an empty one, one long one, one empty one."""
    return [_histories(network, lengths, rng) for lengths in ([3, 0, 9, 5], [200], [0])]


def _histories(network: Any, lengths: list[int], rng: np.random.Generator) -> Inputs:
    num, longest = len(lengths), max(*lengths, 1)
    width = network.items.text.out_features
    real = np.arange(longest) < np.array(lengths)[:, None]
    vectors = _unit(rng, num * longest, width).reshape(num, longest, width)
    num_kinds = network.user.sequence.kind.num_embeddings
    kinds = rng.integers(1, num_kinds, (num, longest)) * real
    gaps, quantities, amounts = (_normal(rng, num, longest) ** 2 * real for _ in range(3))
    told = {
        "item_vectors": vectors * real[:, :, None].astype(np.float32),
        "kinds": kinds,
        "gaps": gaps,
        "quantities": quantities,
        "amounts": amounts,
        "time_to_now": _normal(rng, num) ** 2,
        "scalars": _normal(rng, num, network.num_scalars),
    }
    if network.user.future is not None:
        told["categories"] = rng.integers(0, MAX_CATEGORIES + 1, (num, longest)) * real
    if network.user.sequence.words is not None:
        num_texts = min(sum(lengths), 8)
        told["words"] = rng.integers(0, num_texts + 1, (num, longest)) * real
        told["word_vectors"] = _unit(rng, num_texts, network.items.text.in_features)
    return told


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def _unit(rng: np.random.Generator, num: int, width: int) -> np.ndarray:
    vectors = _normal(rng, num, width)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
