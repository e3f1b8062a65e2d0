"""What every method shares about moving parameters: optimiser, learning rate, averaged gradients.

Next: ``method.py``.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
import torch.distributed
from torch import Tensor, nn


class Pace(Protocol):
    """The part of a run's ``OptimConfig`` that is needed here."""

    @property
    def learning_rate(self) -> float:
        """Highest rate, reached after the warm-up."""

    @property
    def weight_decay(self) -> float:
        """Decay of matrices; biases and norms have none."""

    @property
    def num_warmup_steps(self) -> int:
        """Steps of linear growth."""

    @property
    def max_steps(self) -> int | None:
        """Steps in all, where they and not epochs end the run."""


def make_optimizer(network: nn.Module, pace: Pace) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019) over the parameters that move."""
    moving = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in moving if p.ndim > 1], "weight_decay": pace.weight_decay},
        {"params": [p for p in moving if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=pace.learning_rate)


def learning_rate(pace: Pace, step: int, fraction: float) -> float:
    """Rate of `step`: linear warm-up, then half a cosine over the `fraction` of the run done."""
    done = fraction if pace.max_steps is None else step / pace.max_steps
    warm = min(1.0, (step + 1) / (pace.num_warmup_steps + 1))
    return pace.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))


def average_gradients(network: nn.Module, loss_and_num_2: Tensor, world: int) -> int:
    """Turn summed gradients into means over the examples of all workers; returns their number.

    `loss_and_num_2` holds this worker's summed loss and number of examples and becomes everyone's.
    A worker without a batch brings zeros, so that workers may have unequal numbers of batches.
    """
    moving = [p for p in network.parameters() if p.requires_grad]
    for parameter in moving:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [p.grad for p in moving if p.grad is not None]
    if world > 1:
        torch.distributed.all_reduce(loss_and_num_2)
        flat = torch.cat([g.flatten() for g in gradients])
        torch.distributed.all_reduce(flat)
        parts = flat.split([g.numel() for g in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
    num = round(loss_and_num_2[1].item())
    for gradient in gradients:
        gradient.div_(max(num, 1))
    return num
