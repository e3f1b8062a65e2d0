"""Dropout by bytes: eight decisions from each random number. Next: ``sequence.py``.

Drawing is what torch's own dropout spends its time on (a twelfth of a training step on a CPU).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Zeroes values in training with a probability, in steps of 1/256 (Srivastava et al. 2014)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.dropped = round(256 * probability)

    def forward(self, values: Tensor) -> Tensor:
        """What is left is scaled so that the mean stays."""
        if not self.training or not self.dropped:
            return values
        drawn = torch.empty(-(-values.numel() // 8), dtype=torch.int64, device=values.device)
        drawn.random_(-(2**63), None)
        bytes_of = drawn.view(torch.uint8)[: values.numel()].view(values.shape)
        return values * ((bytes_of >= self.dropped) * (256 / (256 - self.dropped)))
