"""The whole network: items, shopper, copy head and task heads, from one batch to its output.

Next: ``models/user.py`` for what a shopper's part is made of, then ``loop.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from training.datasets.batches import Dataset
from training.models.batch import Batch, Catalogue, Output
from training.models.blocks import Blocks
from training.models.future import FutureDecoder
from training.models.items import ItemEncoder
from training.models.sequence import History
from training.models.softmax import Scores
from training.models.text import load_text_encoder
from training.models.user import UserEncoder
from training.run import Run
from training.tasks import TASKS, Task
from training.tasks.task import Columns

State = dict[str, Tensor]
BARRED = 30.0
"""Taken from the score of what a history holds already: it is left with next to no probability."""


class Network(nn.Module):
    """Items and user, joined: one batch in, scores of all items and logits of all heads out."""

    calibration_H2: Tensor

    def __init__(self, run: Run, sizes: Mapping[str, Any]) -> None:
        super().__init__()
        config = run.model
        self.items = ItemEncoder(
            num_items=sizes["num_vocabulary"],
            text_width=config.text_width,
            num_scalars=sizes["num_item_scalars"],
            width=config.width,
            num_attributes=sizes.get("num_attributes", 0),
            delta_scale=config.delta_scale,
        )
        self.user = UserEncoder(
            config,
            sizes["num_kinds"],
            sizes["num_scalars"],
            reads_words=sizes.get("has_words", False),
        )
        tasks = {name: TASKS[name] for name in run.tasks}
        self.head_names = tuple(head for task in tasks.values() for head in task.heads)
        self.amount_names = tuple(head for task in tasks.values() for head in task.amounts)
        self.logit_names = tuple(logit for task in tasks.values() for logit in task.logits)
        self.columns = columns_of(tasks)
        num_features = config.width + 1 + sizes["num_scalars"]
        for name, task in tasks.items():
            if task.logits:
                self.user.heads[name] = task.head(num_features)
            if task.labels:
                self.user.future = task.head(num_features)
                _know_categories(self.user.future, sizes)
        self.num_scalars = int(sizes["num_scalars"])
        self.every_position = config.every_position
        self.seen = -BARRED if config.bars_seen else 0.0
        if self.every_position and self.num_scalars:
            raise ValueError(
                f"model.every_position meets {self.num_scalars} features of shoppers, which are "
                "of their last moment alone; set model.every_position=false"
            )
        self.register_buffer(
            "calibration_H2", torch.tensor([[1.0, 0.0]] * len(self.logit_names)).reshape(-1, 2)
        )
        self.text: nn.Module | None = None

    def forward(self, batch: Batch, catalogue: Catalogue, text_vectors_ND: Tensor) -> Output:
        """Score all items of `catalogue` and answer all heads for every example of `batch`."""
        item_IW, bias_I = self.item_vectors(catalogue, text_vectors_ND)
        vector_PW = F.embedding(batch.item_P, item_IW) * (batch.item_P > 0).unsqueeze(1)
        blocks = Blocks(batch.shapes)
        numbers = (batch.kind_P, batch.gap_P, batch.quantity_P, batch.amount_P)
        history = History(
            vector_PW,
            *numbers,
            blocks,
            catalogue.category_I[batch.item_P],
            batch.words_P,
            None if batch.text_Y is None else F.embedding(batch.text_Y, text_vectors_ND),
        )
        everywhere = self.every_position and self.training
        user = self.user(history, batch.time_to_now_B, batch.scalars_BF, everywhere)
        bias_I = bias_I.masked_fill(~catalogue.exists_I, float("-inf"))
        copies = (
            user.copy_P,
            blocks.spread(torch.arange(len(batch), device=vector_PW.device)),
            batch.item_P,
        )
        if everywhere:
            row_C, item_C = blocks.so_far(batch.item_P)
            copies = (torch.full_like(row_C, self.seen, dtype=bias_I.dtype), row_C, item_C)
        scores = Scores(user.vector_XW, item_IW, bias_I, *copies)
        return Output(
            scores=scores,
            logit_BH=user.logit_BH,
            future=user.future,
            is_everywhere=everywhere,
        )

    def item_vectors(self, catalogue: Catalogue, text_vectors_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (I, W) and biases (I,) of a week's items."""
        text_ID = F.embedding(catalogue.text_I.clamp(min=0), text_vectors_ND)
        text_ID = text_ID.masked_fill_((catalogue.text_I < 0).unsqueeze(1), 0.0)
        numbers = (catalogue.index_I, catalogue.scalars_IS)
        return self.items(text_ID, *numbers, catalogue.attribute_A, catalogue.attribute_start_I)

    def probabilities(self, logit_BH: Tensor) -> Tensor:
        """What the tasks answer, from logits calibrated on validation: a logit + b (Platt 1999)."""
        slope_H, shift_H = self.calibration_H2.unbind(dim=1)
        calibrated_BH = logit_BH * slope_H + shift_H
        answers = [
            TASKS[name].answer(calibrated_BH[:, columns.logits])
            for name, columns in self.columns.items()
        ]
        return torch.cat(answers, dim=1)

    def set_calibration(self, calibration: Mapping[str, Sequence[float]]) -> None:
        """Slope and shift of each logit."""
        rows = [list(calibration[logit]) for logit in self.logit_names]
        self.calibration_H2.copy_(torch.tensor(rows).reshape(-1, 2))

    @property
    def habit(self) -> float:
        """What an item gains by log(1 + times bought); 0 for a network without copies."""
        return 0.0 if self.user.copy is None else float(self.user.copy.habit)

    def set_habit(self, habit: float) -> None:
        """Nothing happens to a network without copies: it ranks no item by its past purchases."""
        if self.user.copy is not None:
            self.user.copy.habit.fill_(habit)

    def num_parameters(self) -> tuple[int, int]:
        """Parameters in all, and those among them that training moves."""
        sizes = [(p.numel(), p.requires_grad) for p in self.parameters()]
        return sum(n for n, _ in sizes), sum(n for n, moves in sizes if moves)


def _know_categories(head: nn.Module, sizes: Mapping[str, Any]) -> None:
    """Tell what foresees steps how many categories there are."""
    if isinstance(head, FutureDecoder):
        num = len(sizes.get("categories", {}).get("names", ()))
        head.category.known_C[:num] = True


def columns_of(tasks: Mapping[str, Task]) -> dict[str, Columns]:
    """Where each task stands; as columns of labels, those beside heads come behind all heads."""
    starts = {"heads": 0, "logits": 0, "labels": sum(len(task.heads) for task in tasks.values())}
    found = {}
    for name, task in tasks.items():
        ends = {part: start + len(getattr(task, part)) for part, start in starts.items()}
        found[name] = Columns(**{part: slice(starts[part], ends[part]) for part in starts})
        starts = ends
    return found


def prepare(run: Run, dataset: Dataset, start: State | None = None) -> Network:
    """The network of `run` for `dataset`, from the weights `start`, its methods attached."""
    network = Network(run, dataset.meta)
    if any(method.changes_text for method in run.methods):
        network.text = load_text_encoder(run.text_encoder, run.seed)
    if start is not None:
        load_state(network, start)
    for method in run.methods:
        method.attach(network)
    return network


def learnt_state(network: Network) -> State:
    """A copy of all values but the frozen ones of a text encoder, which its name stands for."""
    frozen = {n for n, p in network.named_parameters() if not p.requires_grad}
    return {
        name: value.detach().cpu().clone().contiguous()
        for name, value in network.state_dict().items()
        if not (name.startswith("text.") and name in frozen)
    }


def load_state(network: Network, state: State) -> None:
    """Put `state` (of ``learnt_state``) into `network`.

    Raises
    ------
    ValueError
        When a value does not fit: the state belongs to another vocabulary or another shape.
    """
    own = network.state_dict()
    for name, value in state.items():
        if name not in own or own[name].shape != value.shape:
            held = tuple(own[name].shape) if name in own else "nothing"
            raise ValueError(
                f"weights {name!r} of shape {tuple(value.shape)} meet {held}; start from a run of "
                "the same dataset, tasks and size"
            )
    network.load_state_dict(state, strict=False)


def restore(folder: Path, dataset: Dataset) -> tuple[Run, Network]:
    """The run in `folder` and its finished network: best epoch, merged and calibrated.

    The text encoder is left out: its vectors lie in the run's dataset.
    """
    run = Run.from_json((folder / "run.json").read_text())
    network = Network(run, dataset.meta)
    state = load_file(folder / "bundle" / "weights.safetensors")
    load_state(network, {name: v for name, v in state.items() if not name.startswith("text.")})
    return run, network.eval()
