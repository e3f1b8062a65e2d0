"""Items as vectors: what their text says, what their numbers say, and what only buyers know.

The first two parts serve an item from its first minute; the third, a small change learnt per item
id, is zero for items that training never saw. Letters in names: ``batch.py``. Next:
``sequence.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ItemEncoder(nn.Module):
    """(text vector, id, scalars) to a vector of length 1 and a bias (how well it sells at all)."""

    def __init__(self, *, num_items: int, text_width: int, num_scalars: int, width: int) -> None:
        super().__init__()
        self.text = nn.Linear(text_width, width)
        self.delta = nn.Embedding(num_items, width, padding_idx=0)
        nn.init.zeros_(self.delta.weight)
        self.scalars = nn.Linear(num_scalars, width, bias=False)
        self.bias = nn.Sequential(nn.Linear(num_scalars, 16), nn.GELU(), nn.Linear(16, 1))

    def forward(
        self, text_vector_ID: Tensor, index_I: Tensor, scalars_IS: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Vectors (I, W) and biases (I,); `index_I` is 0 for an item without learnt delta."""
        known_I1 = (index_I > 0).unsqueeze(1)
        # Text vectors have length 1: this brings their entries to the usual variance of inputs.
        text_weight = self.text.weight * self.text.in_features**0.5
        text_IW = F.linear(text_vector_ID, text_weight, self.text.bias)
        delta_IW = torch.where(known_I1, self.delta(index_I), 0.0)
        vector_IW = text_IW + delta_IW + self.scalars(scalars_IS)
        return F.normalize(vector_IW, dim=1), self.bias(scalars_IS).squeeze(1)
