"""What every method shares about moving parameters: optimiser, learning rate, averaged gradients.

Next: ``method.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor, nn

from training.models.config import check_positive

IDS = "items.delta.weight"
"""Name of the vectors that are learnt for single item ids."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimConfig:
    """How long and how fast parameters move (AdamW, warm-up, cosine)."""

    num_epochs: int = 3
    max_steps: int | None = None
    """Stop after so many steps, in the middle of an epoch if need be; None = all epochs."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    id_decay: float = 0.01
    """Weight decay of what is learnt for single item ids: Adam moves the vector of an item that two
    people bought as far as that of a bestseller, and this is what holds it back."""
    num_warmup_steps: int = 20
    clip_norm: float = 1.0
    """Gradients longer than this are shortened to it."""
    averaging: float = 0.99
    """Decay of the running average of weights that is validated and kept; 0 = the last step's."""
    validates: bool = True
    """Keep the epoch with the lowest validation loss; else the last one, unvalidated."""
    max_positions: int = 8192
    """Behaviours in one batch, as if all histories were padded to its longest."""
    min_batches: int = 60
    """Batches of an epoch at least: those of a small shop hold less, or it would hardly move."""

    def __post_init__(self) -> None:
        check_positive(
            self, "num_epochs", "learning_rate", "clip_norm", "max_positions", "min_batches"
        )
        if not 0 <= self.averaging < 1:
            raise ValueError(f"optim: averaging is {self.averaging}; it must lie in [0, 1)")
        if self.max_steps is not None:
            check_positive(self, "max_steps")


def make_optimizer(network: nn.Module, optim: OptimConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019) over the parameters that move."""
    decays: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decay = optim.id_decay if name == IDS else optim.weight_decay
            decays.setdefault(decay if parameter.ndim > 1 else 0.0, []).append(parameter)
    groups = [{"params": some, "weight_decay": decay} for decay, some in decays.items()]
    # One kernel for all parameters: many small ones cost more to walk through than to move.
    return torch.optim.AdamW(groups, lr=optim.learning_rate, fused=True)


def learning_rate(optim: OptimConfig, step: int, fraction: float) -> float:
    """Rate of `step`: linear warm-up, then half a cosine over the `fraction` of the run done."""
    done = fraction if optim.max_steps is None else step / optim.max_steps
    warm = min(1.0, (step + 1) / (optim.num_warmup_steps + 1))
    return optim.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))


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
    torch._foreach_div_(gradients, float(max(num, 1)))
    return num
