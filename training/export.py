"""A network as three ONNX graphs, each checked equal to what torch computes.

=========== ============================================================== ======================
graph       inputs                                                         outputs
=========== ============================================================== ======================
text.onnx   input_ids, attention_mask (n, t) int64                         text_vector (n, D)
items.onnx  text_vector (n, D), item_index (n,) int64 (0 = unknown id),    item_vector (n, W),
            item_scalars (n, S)                                            item_bias (n,)
user.onnx   item_vectors (n, L, W) (zero = no item), kinds (n, L) int64,   user_vector (n, W),
            gaps, quantities, amounts (n, L), time_to_now (n,),            copy (n, L),
            scalars (n, F)                                                 probabilities (n, H)
=========== ============================================================== ======================

All else is float32. Histories are padded on the right with kind 0 and are at least one position
long; an empty history is one padding position. An item's score is ``user_vector . item_vector +
item_bias``, plus ``copy`` at each position of the history that concerns it. Next: ``bundle.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from training.models.graphs import OUTPUTS, ItemGraph, TextGraph, UserGraph, compare, write_graph
from training.models.probes import Inputs, item_inputs, text_inputs, user_inputs
from training.network import Network

LARGEST_DIFFERENCE = 1e-3
"""Allowed difference of a float32 value between torch and ONNX Runtime, relative to size 1."""


def export(
    network: Network, folder: Path, texts: Sequence[str], real: Sequence[Inputs] = ()
) -> float:
    """Write the three graphs of `network` into `folder`.

    Parameters
    ----------
    texts
        Item texts to compare the text graph on.
    real
        Inputs of the user graph from the dataset, compared beside random ones.

    Returns
    -------
    float
        The largest difference between torch and ONNX Runtime over all outputs compared.

    Raises
    ------
    ValueError
        When that difference is above ``LARGEST_DIFFERENCE``.
    """
    assert network.text is not None, "a network is exported with its text encoder"
    network.eval()
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    graphs: dict[str, tuple[nn.Module, list[Inputs]]] = {
        "text": (TextGraph(network.text), text_inputs(network.text, texts)),
        "items": (ItemGraph(network), [item_inputs(network, n, rng) for n in (7, 1)]),
        "user": (UserGraph(network), [*user_inputs(network, rng), *real]),
    }
    largest = 0.0
    for name, (graph, inputs) in graphs.items():
        write_graph(graph, inputs[0], OUTPUTS[name], folder / f"{name}.onnx")
        difference = compare(graph, folder / f"{name}.onnx", inputs)
        if difference > LARGEST_DIFFERENCE:
            raise ValueError(
                f"{name}.onnx differs from torch by {difference:.2e}, and {LARGEST_DIFFERENCE} is "
                "allowed; check the versions of torch, onnxscript and onnxruntime"
            )
        largest = max(largest, difference)
    return largest
