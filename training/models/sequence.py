"""A causal transformer over a shopper's behaviours, read at the last one.

A token is what was done to which item, how much of it, and how long after the behaviour before;
position i knows the time between behaviours up to i and nothing of the moment of asking. Padding
lies after the last real behaviour, so that a causal mask alone keeps it out, and the last layer
computes the last position only. Letters in names: ``batch.py``. Next: ``../network.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NUM_FEATURES = 4
SAME = 0.9999


class History(NamedTuple):
    """What the network is told of behaviours; see ``Batch``. A row may be empty."""

    vector_BLW: Tensor
    """Vector of each behaviour's item; zero without item."""
    kind_BL: Tensor
    gap_BL: Tensor
    quantity_BL: Tensor
    amount_BL: Tensor


@dataclass(frozen=True, slots=True)
class Encoded:
    """A history as the transformer sees it, with a start token at position 0 (M = L + 1)."""

    token_BMW: Tensor
    """Outputs of the layer before the last."""
    last_BW: Tensor
    """Output of the last layer at the last real position."""
    age_BM: Tensor
    """Days from each behaviour to the last one."""
    repeats_BM: Tensor
    """How many earlier behaviours concerned the same item."""


class Attention(nn.Module):
    """Multi-head attention whose heads forget with time, each at a rate that it learns."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.slope = nn.Parameter(torch.linspace(-2.0, 0.0, num_heads))

    def forward(self, query_BQW: Tensor, token_BMW: Tensor, days_BQM: Tensor) -> Tensor:
        """Attend from Q positions to M; `days_BQM` lie between them, negative where barred."""
        query = self._heads(self.query(query_BQW))
        key, value = self._heads(self.key_value(token_BMW)).chunk(2, dim=-1)
        days = days_BQM.unsqueeze(1)
        bias = -days.clamp(min=0.0).log1p() * F.softplus(self.slope).view(1, -1, 1, 1)
        bias = bias.masked_fill(days < 0.0, float("-inf"))
        scaled = query / math.sqrt(query.shape[-1])
        # By hand: the fused kernel's memory layout can't be exported, and the bias has gradients.
        weight = torch.softmax(scaled @ key.transpose(2, 3) + bias, dim=3)
        return self.out((weight @ value).transpose(1, 2).flatten(2))

    def _heads(self, vector_BMW: Tensor) -> Tensor:
        return vector_BMW.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class Layer(nn.Module):
    """Attention and a feed-forward step, each normalised after its residual (post-norm)."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, num_heads)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query_BQW: Tensor, token_BMW: Tensor, days_BQM: Tensor) -> Tensor:
        """The new vectors of the Q querying positions."""
        mixed = self.dropout(self.attention(query_BQW, token_BMW, days_BQM))
        query_BQW = self.first_norm(query_BQW + mixed)
        return self.second_norm(query_BQW + self.dropout(self.feed_forward(query_BQW)))


class SequenceEncoder(nn.Module):
    """Behaviours to one vector, and to one vector each for the copy head."""

    def __init__(
        self, *, width: int, num_kinds: int, num_layers: int, num_heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        self.item = nn.Linear(width, width)
        self.kind = nn.Embedding(num_kinds, width)
        self.features = nn.Linear(NUM_FEATURES, width)
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(width, num_heads, dropout) for _ in range(num_layers))

    def forward(self, history: History) -> Encoded:
        """Encode; scores do not depend on the amount of padding."""
        at_BM = F.pad(history.gap_BL.cumsum(dim=1), (1, 0))
        length_B = (history.kind_BL > 0).sum(dim=1)
        repeats_BM = F.pad(_repeats(history.vector_BLW), (1, 0))
        token_BMW = self._tokens(history, repeats_BM[:, 1:])
        days_BMM = _days_between(at_BM)
        for layer in self.layers[:-1]:
            token_BMW = layer(token_BMW, token_BMW, days_BMM)
        last_B11 = length_B.view(-1, 1, 1)
        pick = last_B11.expand(-1, 1, token_BMW.shape[2])
        days_B1M = days_BMM.gather(1, last_B11.expand(-1, 1, at_BM.shape[1]))
        last_BW = self.layers[-1](token_BMW.gather(1, pick), token_BMW, days_B1M).squeeze(1)
        age_BM = (at_BM.gather(1, length_B.unsqueeze(1)) - at_BM).clamp(min=0.0)
        return Encoded(token_BMW, last_BW, age_BM, repeats_BM)

    def _tokens(self, history: History, repeats_BL: Tensor) -> Tensor:
        parts = (history.gap_BL, history.quantity_BL, history.amount_BL, repeats_BL)
        features_BLF = torch.stack([signed_log(part) for part in parts], dim=-1)
        token_BLW = self.item(history.vector_BLW * self.item.in_features**0.5)
        token_BLW = token_BLW + self.kind(history.kind_BL) + self.features(features_BLF)
        start_B1W = self.start.expand(token_BLW.shape[0], 1, -1)
        return self.dropout(self.norm(torch.cat([start_B1W, token_BLW], dim=1)))


def signed_log(values: Tensor) -> Tensor:
    """sign(x) log(1 + |x|): amounts over many sizes, made comparable."""
    return values.sign() * values.abs().log1p()


def _days_between(at_BM: Tensor) -> Tensor:
    """Days (B, M, M) from the second position to the first; -1 where the second comes later."""
    position = torch.arange(at_BM.shape[1], device=at_BM.device)
    later_MM = position.unsqueeze(0) > position.unsqueeze(1)
    days_BMM = at_BM.unsqueeze(2) - at_BM.unsqueeze(1)
    return days_BMM.clamp(min=0.0).masked_fill(later_MM, -1.0)


def _repeats(vector_BLW: Tensor) -> Tensor:
    """Earlier positions with the same item vector, so that items need no index to be counted."""
    same_BLL = (vector_BLW @ vector_BLW.transpose(1, 2) > SAME).to(vector_BLW.dtype)
    position = torch.arange(vector_BLW.shape[1], device=vector_BLW.device)
    earlier = (position.unsqueeze(0) < position.unsqueeze(1)).to(vector_BLW.dtype)
    return (same_BLL * earlier).sum(dim=2).detach()
