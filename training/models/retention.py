"""The head of retention: chances, and logs of amounts, from a small layer over the features.

Next: ``../tasks/retention.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN = 32
LOG_SCALE = 8.0
"""Logs of amounts span more than logits do: they may move so many times as fast."""


class RetentionHead(nn.Module):
    """Logits of chances first, then logs of amounts."""

    scale_H: Tensor

    def __init__(self, width: int, num_logits: int, num_amounts: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, num_logits)
        )
        scales = [1.0] * (num_logits - num_amounts) + [LOG_SCALE] * num_amounts
        self.register_buffer("scale_H", torch.tensor(scales), persistent=False)

    def forward(self, features_BX: Tensor) -> Tensor:
        """(B, logits)."""
        return self.layers(features_BX) * self.scale_H
