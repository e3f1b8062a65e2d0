"""Items as vectors: what text, attributes and numbers say of them, and what only buyers know.

All but the last serve an item from its first minute; the last, a small change learnt per item id,
is zero for items that training never saw. Letters in names: ``batch.py``. Next: ``sequence.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ATTRIBUTE_SCALE = 0.05
"""Spread of attributes' vectors before training."""


class ItemEncoder(nn.Module):
    """(text vector, id, scalars) to a vector of length 1 and a bias (how well it sells at all).

    Parameters
    ----------
    num_attributes
        How many there are, no attribute included; 0 for a dataset that tells none.
    delta_scale
        Spread of the ids' vectors before training.
    """

    def __init__(
        self,
        *,
        num_items: int,
        text_width: int,
        num_scalars: int,
        width: int,
        num_attributes: int = 0,
        delta_scale: float = 0.0,
    ) -> None:
        super().__init__()
        self.text = nn.Linear(text_width, width)
        self.delta = nn.Embedding(num_items, width, padding_idx=0)
        nn.init.zeros_(self.delta.weight)
        if delta_scale:  # what all items share would hide what tells them apart
            nn.init.normal_(self.delta.weight, std=delta_scale)
            nn.init.zeros_(self.text.bias)
        self.attributes: nn.EmbeddingBag | None = None
        if num_attributes:
            self.attributes = nn.EmbeddingBag(num_attributes, width, mode="sum")
            nn.init.normal_(self.attributes.weight, std=ATTRIBUTE_SCALE)
        self.scalars: nn.Linear | None = None
        if num_scalars:
            self.scalars = nn.Linear(num_scalars, width, bias=False)
            self.bias = nn.Sequential(nn.Linear(num_scalars, 16), nn.GELU(), nn.Linear(16, 1))

    def forward(
        self,
        text_vector_ID: Tensor,
        index_I: Tensor,
        scalars_IS: Tensor,
        attribute_A: Tensor | None = None,
        attribute_start_I: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Vectors (I, W) and biases (I,); `index_I` is 0 for an item without learnt delta."""
        known_I1 = (index_I > 0).unsqueeze(1)
        # Text vectors have length 1: this brings their entries to the usual variance of inputs.
        text_weight = self.text.weight * self.text.in_features**0.5
        text_IW = F.linear(text_vector_ID, text_weight, self.text.bias)
        delta_IW = torch.where(known_I1, self.delta(index_I), 0.0)
        vector_IW, bias_I = text_IW + delta_IW, torch.zeros_like(text_IW[:, 0])
        if self.scalars is not None:
            vector_IW, bias_I = vector_IW + self.scalars(scalars_IS), self.bias(scalars_IS)[:, 0]
        if self.attributes is not None and attribute_A is not None:
            assert attribute_start_I is not None
            ends = attribute_start_I.new_tensor([len(attribute_A)])
            num_I1 = torch.diff(attribute_start_I, append=ends).clamp(min=1).unsqueeze(1)
            has_IW = self.attributes(attribute_A, attribute_start_I)
            vector_IW = vector_IW + has_IW / num_I1.sqrt()
        return F.normalize(vector_IW, dim=1), bias_I
