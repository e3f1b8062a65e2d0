"""Our own causal layers over behaviours: each head's attention forgets with the days between two.

The last layer computes the positions that are asked from alone. Letters in names: ``batch.py``.
Next: ``sequence.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.blocks import Blocks, join
from training.models.dropout import Dropout


class Reach(NamedTuple):
    """How far positions see, in one block: from Q of them to M."""

    log_days_BQM: Tensor
    """log(1 + days) between the two."""
    barred_BQM: Tensor
    """-inf where the second comes later than the first, 0 elsewhere; B may be 1 for all rows."""

    def at(self, position_B: Tensor) -> Reach:
        """From one position of each row alone."""
        barred_BM = self.barred_BQM[0][position_B]
        return Reach(pick(self.log_days_BQM, position_B).unsqueeze(1), barred_BM.unsqueeze(1))

    def started(self) -> Reach:
        """From all positions but the first."""
        return Reach(self.log_days_BQM[:, 1:], self.barred_BQM[:, 1:])


class Attention(nn.Module):
    """Multi-head attention whose heads forget with time, each at a rate that it learns."""

    def __init__(self, width: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = Dropout(dropout)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.slope = nn.Parameter(torch.linspace(-2.0, 0.0, num_heads))

    def forward(
        self,
        query_XW: Tensor,
        token_YW: Tensor,
        asking: Blocks,
        known: Blocks,
        reaches: Sequence[Reach],
    ) -> Tensor:
        """Attend from the positions X, laid out as `asking`, to the positions Y, as `known`."""
        blocks = zip(
            asking.split(self.query(query_XW)),
            known.split(self.key_value(token_YW)),
            reaches,
            strict=True,
        )
        return self.out(join([self._within(*block) for block in blocks]))

    def _within(self, query_BQW: Tensor, key_value_BMX: Tensor, reach: Reach) -> Tensor:
        """One block: every history attends to itself."""
        query = self._heads(query_BQW)
        key, value = self._heads(key_value_BMX).chunk(2, dim=-1)
        rate = F.softplus(self.slope).view(1, -1, 1, 1)
        bias = torch.addcmul(
            reach.barred_BQM.unsqueeze(1), reach.log_days_BQM.unsqueeze(1), rate, value=-1.0
        )
        scaled = query / math.sqrt(query.shape[-1])
        # By hand: the fused kernel's memory layout can't be exported, and the bias has gradients.
        weight = self.dropout(torch.softmax(scaled @ key.transpose(2, 3) + bias, dim=3))
        return (weight @ value).transpose(1, 2).flatten(2)

    def _heads(self, vector_BMW: Tensor) -> Tensor:
        return vector_BMW.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class Layer(nn.Module):
    """Attention and a feed-forward step, each normalised after its residual (post-norm)."""

    def __init__(
        self, width: int, num_heads: int, dropout: float, attention_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.attention = Attention(width, num_heads, attention_dropout)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        query_XW: Tensor,
        token_YW: Tensor,
        asking: Blocks,
        known: Blocks,
        reaches: Sequence[Reach],
    ) -> Tensor:
        """The new vectors of the querying positions; all of them, or one of each history."""
        mixed = self.dropout(self.attention(query_XW, token_YW, asking, known, reaches))
        query_XW = self.first_norm(query_XW + mixed)
        return self.second_norm(query_XW + self.dropout(self.feed_forward(query_XW)))


class Layers(nn.ModuleList):
    """Our own transformer: attention that forgets with time; the last layer asks where asked."""

    def forward(
        self, token_MW: Tensor, at: Sequence[Tensor], known: Blocks, last: Sequence[Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Outputs of the layer before the last (M, W), and of the last (X, W) where it is asked.

        Parameters
        ----------
        at
            Day of each position (B, M), by block.
        last
            Position asked from in each row (B,), by block; None: from all but the first.
        """
        reaches = [causal_reach(at_BM) for at_BM in at]
        *inner, outer = self
        for layer in inner:
            token_MW = layer(token_MW, token_MW, known, known, reaches)
        asking_XW, asking = asked(token_MW, known, last)
        if last is None:
            asked_from = [reach.started() for reach in reaches]
        else:
            asked_from = [reach.at(place) for reach, place in zip(reaches, last, strict=True)]
        return token_MW, outer(asking_XW, token_MW, asking, known, asked_from)


def causal_reach(at_BM: Tensor) -> Reach:
    """Every position of a block sees itself and what came before it, at `at_BM` days."""
    position = torch.arange(at_BM.shape[1], device=at_BM.device)
    later_MM = position.unsqueeze(0) > position.unsqueeze(1)
    days_BMM = at_BM.unsqueeze(2) - at_BM.unsqueeze(1)
    barred_1MM = torch.zeros_like(days_BMM[:1]).masked_fill(later_MM, float("-inf"))
    return Reach(days_BMM.clamp(min=0.0).log1p(), barred_1MM)


def asked(token_MW: Tensor, known: Blocks, last: Sequence[Tensor] | None) -> tuple[Tensor, Blocks]:
    """The positions asked from, one of each history or all but the first, and their layout."""
    tokens = known.split(token_MW)
    if last is None:
        shapes = tuple((rows, length - 1) for rows, length in known.shapes)
        return join([token[:, 1:] for token in tokens]), Blocks(shapes)
    picked = [pick(token, place) for token, place in zip(tokens, last, strict=True)]
    return torch.cat(picked), Blocks(tuple((rows, 1) for rows, _ in known.shapes))


def pick(value_BM: Tensor, position_B: Tensor) -> Tensor:
    """The value (B, ...) of each row of a block at its position."""
    row_B = torch.arange(position_B.shape[0], device=position_B.device)  # len() fixes it in a graph
    return value_BM[row_B, position_B]
