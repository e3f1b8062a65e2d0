"""A network's three graphs as modules, written to ONNX and compared with what torch computes.

Next: ``training/export.py``, which names their inputs and outputs.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from training.models.blocks import Blocks
from training.models.future import marginals
from training.models.probes import Inputs
from training.models.sequence import History


class UserGraph(nn.Module):
    """The part of a network that a request runs, with calibrated probabilities."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        item_vectors: Tensor,
        kinds: Tensor,
        gaps: Tensor,
        quantities: Tensor,
        amounts: Tensor,
        time_to_now: Tensor,
        scalars: Tensor,
        categories: Tensor | None = None,
        words: Tensor | None = None,
        word_vectors: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """The outputs of user.onnx.

        `categories` are asked where next steps are foreseen, `words` and their vectors where words
        of messages are read.
        """
        rows, length = kinds.shape
        history = History(
            vector_PW=item_vectors.flatten(0, 1),
            kind_P=kinds.flatten(),
            gap_P=gaps.flatten(),
            quantity_P=quantities.flatten(),
            amount_P=amounts.flatten(),
            blocks=Blocks(((rows, length),)),
            category_P=None if categories is None else categories.flatten(),
            words_P=None if words is None else words.flatten(),
            said_YD=word_vectors,
        )
        user = self.network.user(history, time_to_now, scalars)
        copy = user.copy_P.unflatten(0, (rows, length))
        said = (user.vector_XW, copy, self.network.probabilities(user.logit_BH))
        if user.future is None:
            return said
        kinds_BUO = marginals(user.future.log_step_BUJO)
        return *said, kinds_BUO, user.future.days_BU, user.future.category_BUC.softmax(dim=2)


class ItemGraph(nn.Module):
    """Items as the catalogue keeps them."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.items = network.items

    def forward(
        self, text_vector: Tensor, item_index: Tensor, item_scalars: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The outputs of items.onnx."""
        return self.items(text_vector, item_index, item_scalars)


class TextGraph(nn.Module):
    """The text encoder, for new items and changed descriptions."""

    def __init__(self, text: nn.Module) -> None:
        super().__init__()
        self.text = text

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The output of text.onnx."""
        return self.text(input_ids, attention_mask)


OUTPUTS = {
    "text": ("text_vector",),
    "items": ("item_vector", "item_bias"),
    "user": ("user_vector", "copy", "probabilities"),
}
STEP_OUTPUTS = ("step_kinds", "step_days", "step_categories")
"""Of the user graph of a network that foresees next steps."""
DYNAMIC = {
    "input_ids": ("n", "t"),
    "attention_mask": ("n", "t"),
    "text_vector": ("n",),
    "item_index": ("n",),
    "item_scalars": ("n",),
    "item_vectors": ("n", "length"),
    "kinds": ("n", "length"),
    "gaps": ("n", "length"),
    "quantities": ("n", "length"),
    "amounts": ("n", "length"),
    "time_to_now": ("n",),
    "scalars": ("n",),
    "categories": ("n", "length"),
    "words": ("n", "length"),
    "word_vectors": ("texts",),
}


def write_graph(graph: nn.Module, inputs: Inputs, outputs: Sequence[str], path: Path) -> None:
    """Export `graph` with sizes that may change, as one file with its weights inside."""
    shapes = {name: {axis: Dim.DYNAMIC for axis, _ in enumerate(DYNAMIC[name])} for name in inputs}
    with quiet():
        program = torch.onnx.export(
            graph.eval(),
            kwargs=_tensors(inputs),
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes,
            external_data=False,
        )
        assert program is not None
        program.save(str(path), external_data=False)


@torch.no_grad()
def compare(graph: nn.Module, path: Path, inputs: Sequence[Inputs]) -> float:
    """Largest difference of any output on any of `inputs`, relative where values exceed 1."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest = 0.0
    for given in inputs:
        expected = graph(**_tensors(given))
        expected = (expected,) if isinstance(expected, Tensor) else expected
        for mine, theirs in zip(expected, session.run(None, given), strict=True):
            size = np.maximum(1.0, np.abs(mine.numpy()))
            largest = max(largest, float((np.abs(mine.numpy() - theirs) / size).max(initial=0.0)))
    return largest


def _tensors(inputs: Inputs) -> dict[str, Tensor]:
    return {name: torch.as_tensor(values) for name, values in inputs.items()}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's progress lines and its warnings about its own insides to itself."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        level = logging.getLogger("torch.onnx").level
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        try:
            yield
        finally:
            logging.getLogger("torch.onnx").setLevel(level)
