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

Where next actions are foreseen, user.onnx also takes categories (n, L) int64 (0 = none known) and
gives step_kinds (n, U, O), step_days (n, U) and step_categories (n, U, C). Where words of messages
are read, it also takes word_vectors (m, D), the text vectors of m texts, and words (n, L) int64,
the number from 1 on of each position's words among them (0 = none). All else is float32.
Histories are padded on the right with kind 0 and are at least one position long; an empty history
is one padding position. An item's score is ``user_vector . item_vector + item_bias``, plus ``copy``
at each position of the history that concerns it. Next: ``bundle.py``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from training.bundle import Bundle, card
from training.datasets.batches import Dataset
from training.datasets.encode import padded
from training.datasets.words import told_apart
from training.models.graphs import (
    OUTPUTS,
    STEP_OUTPUTS,
    ItemGraph,
    TextGraph,
    UserGraph,
    compare,
    write_graph,
)
from training.models.probes import Inputs, item_inputs, text_inputs, user_inputs
from training.network import Network, learnt_state
from training.run import Run

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
        has_steps = name == "user" and network.user.future is not None
        outputs = (*OUTPUTS[name], *(STEP_OUTPUTS if has_steps else ()))
        write_graph(graph, inputs[0], outputs, folder / f"{name}.onnx")
        difference = compare(graph, folder / f"{name}.onnx", inputs)
        if difference > LARGEST_DIFFERENCE:
            raise ValueError(
                f"{name}.onnx differs from torch by {difference:.2e}, and {LARGEST_DIFFERENCE} is "
                "allowed; check the versions of torch, onnxscript and onnxruntime"
            )
        largest = max(largest, difference)
    return largest


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What is known of a finished network beside its weights."""

    thresholds: dict[str, float]
    """By head: the probability from which an answer counts as a yes."""
    metrics: dict[str, float]
    """On validation."""
    schema: dict[str, dict[str, str]]
    """Feature service to its features and their types."""
    schema_hash: str
    lineage: dict[str, Any]
    """What it was trained from and with."""
    next_actions: dict[str, Any] = field(default_factory=dict)
    """Names of outcomes and categories, and the average shopper; empty without that task."""


def pack(
    run: Run, network: Network, dataset: Dataset, folder: Path, finished: Finished, created_at: int
) -> Bundle:
    """Export `network` and write the bundle of a run into ``folder/bundle``."""
    bundle = folder / "bundle"
    text: Any = network.text
    difference = export(network, bundle, dataset.texts, [real_inputs(network, dataset)])
    text.tokenizer.save(str(bundle / "tokenizer.json"))
    spec = dataset.meta["spec"]
    content = {
        "run": json.loads(run.to_json()),
        "service": run.service,
        "item_service": run.item_service,
        "schema": finished.schema,
        "schema_hash": finished.schema_hash,
        "vocabulary": spec["vocabulary"],
        "normalisers": {"user": spec["user"], "item": spec["item"]},
        "history_length": spec["history_length"],
        "heads": list(network.head_names),
        "amounts": list(network.amount_names),
        "silent": untaught(network, dataset),
        "thresholds": finished.thresholds,
        "calibration": dict(zip(network.logit_names, network.calibration_H2.tolist(), strict=True)),
        "habit": network.habit,
        "next_actions": finished.next_actions,
        "metrics": finished.metrics,
        "lineage": finished.lineage | {"libraries": _libraries()},
        "max_export_difference": difference,
    }
    return Bundle.save(
        bundle,
        kind="model",
        name=run.name,
        created_at=created_at,
        origin=folder.name,
        content=content,
        weights=_weights(run, network),
        card=card(run.name, content, dataset.meta["counts"]),
    )


def untaught(network: Network, dataset: Dataset) -> list[str]:
    """Heads that no training example has a label of: what they say means nothing."""
    label_NH = np.asarray(dataset.examples("train").label)
    return [
        head
        for column, head in enumerate(network.head_names)
        if np.isnan(label_NH[:, column]).all()
    ]


@torch.no_grad()
def real_inputs(network: Network, dataset: Dataset, num: int = 64) -> Inputs:
    """Inputs of the user graph for the first `num` training examples of the first week."""
    examples = dataset.examples("train")
    weeks = examples.week
    rows = np.flatnonzero(weeks == weeks[0])[:num]
    users = padded(examples.history.take(rows), examples.asked_at[rows], examples.scalars[rows])
    texts_ND = torch.as_tensor(np.array(dataset.text_vectors))
    catalogue = dataset.items(int(weeks[0]))
    item_IW, _ = network.item_vectors(catalogue.to("cpu"), texts_ND)
    told = {
        "item_vectors": item_IW.numpy()[users.item_BL] * (users.item_BL > 0)[:, :, None],
        "kinds": users.kind_BL,
        "gaps": users.gap_BL,
        "quantities": users.quantity_BL,
        "amounts": users.amount_BL,
        "time_to_now": users.time_to_now_B,
        "scalars": users.scalars_BF,
    }
    if network.user.future is not None:
        told["categories"] = catalogue.category_I[users.item_BL]
    if users.words_BL is not None:
        told["words"], rows = told_apart(users.words_BL)
        told["word_vectors"] = texts_ND.numpy()[rows]
    return told


def _weights(run: Run, network: Network) -> dict[str, np.ndarray]:
    """All weights but those of a text encoder that its name stands for."""
    state = learnt_state(network)
    if any(method.changes_text for method in run.methods):
        state |= {n: v.cpu() for n, v in network.state_dict().items() if n.startswith("text.")}
    else:
        state = {name: v for name, v in state.items() if not name.startswith("text.")}
    return {name: value.numpy() for name, value in state.items()}


def _libraries() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "onnx", "onnxruntime", "transformers")}
