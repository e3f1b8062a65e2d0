"""A causal transformer over a shopper's behaviours, read at the last one.

A token is what was done to which item, how much of it, and how long after the behaviour before;
position i knows the time between behaviours up to i and nothing of the moment of asking. Histories
lie flat in blocks (``blocks.py``). What padding is left lies after the last real behaviour, so that
a causal mask alone keeps it out, and the last layer computes the last position only. Letters in
names: ``batch.py``. Next: ``user.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.blocks import Blocks, join
from training.models.dropout import Dropout

NUM_FEATURES = 4
SAME = 0.9999


class History(NamedTuple):
    """What the network is told of behaviours; see ``Batch``. A row may be empty."""

    vector_PW: Tensor
    """Vector of each behaviour's item; zero without item."""
    kind_P: Tensor
    gap_P: Tensor
    quantity_P: Tensor
    amount_P: Tensor
    blocks: Blocks


@dataclass(frozen=True, slots=True)
class Encoded:
    """A history as the transformer sees it."""

    token_PW: Tensor
    """Outputs of the layer before the last."""
    asked_XW: Tensor
    """Output of the last layer at the last real position of each history, or at all positions."""
    age_P: Tensor
    """Days from each behaviour to the last one."""
    repeats_P: Tensor
    """How many earlier behaviours concerned the same item."""


class Reach(NamedTuple):
    """How far positions see, in one block: from Q of them to M."""

    log_days_BQM: Tensor
    """log(1 + days) between the two."""
    barred_BQM: Tensor
    """-inf where the second comes later than the first, 0 elsewhere; B may be 1 for all rows."""

    def at(self, position_B: Tensor) -> Reach:
        """From one position of each row alone."""
        row_B = torch.arange(len(position_B), device=position_B.device)
        barred_BM = self.barred_BQM[0][position_B]
        return Reach(self.log_days_BQM[row_B, position_B].unsqueeze(1), barred_BM.unsqueeze(1))

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


class SequenceEncoder(nn.Module):
    """Behaviours to one vector, and to one vector each for the copy head."""

    def __init__(
        self,
        *,
        width: int,
        num_kinds: int,
        num_layers: int,
        num_heads: int,
        dropout: float,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        self.item = nn.Linear(width, width)
        self.kind = nn.Embedding(num_kinds, width)
        self.features = nn.Linear(NUM_FEATURES, width)
        self.norm, self.dropout = nn.LayerNorm(width), Dropout(dropout)
        shape = (width, num_heads, dropout, attention_dropout)
        self.layers = nn.ModuleList(Layer(*shape) for _ in range(num_layers))

    def forward(self, history: History, everywhere: bool = False) -> Encoded:
        """Encode; scores do not depend on the amount of padding.

        The last layer asks from the last behaviour of each history, or from all `everywhere`.
        """
        behaviours, known = history.blocks, history.blocks.longer()
        at = [F.pad(gap_BL.cumsum(dim=1), (1, 0)) for gap_BL in behaviours.split(history.gap_P)]
        reaches = [causal_reach(at_BM) for at_BM in at]
        repeats_P = join([_repeats(v) for v in behaviours.split(history.vector_PW)])
        token_MW = self._tokens(history, repeats_P)
        for layer in self.layers[:-1]:
            token_MW = layer(token_MW, token_MW, known, known, reaches)
        last = [(kind_BL > 0).sum(dim=1) for kind_BL in behaviours.split(history.kind_P)]
        tokens = known.split(token_MW)
        ages = [
            (_pick(at_BM, place).unsqueeze(1) - at_BM)[:, 1:].clamp(min=0.0)
            for at_BM, place in zip(at, last, strict=True)
        ]
        token_PW = join([token[:, 1:] for token in tokens])
        if everywhere:
            asking_XW, asking = token_PW, behaviours
            asked_from = [reach.started() for reach in reaches]
        else:
            asking_XW = torch.cat([_pick(t, place) for t, place in zip(tokens, last, strict=True)])
            asking = Blocks(tuple((rows, 1) for rows, _ in known.shapes))
            asked_from = [reach.at(place) for reach, place in zip(reaches, last, strict=True)]
        asked_XW = self.layers[-1](asking_XW, token_MW, asking, known, asked_from)
        return Encoded(token_PW, asked_XW, join(ages), repeats_P)

    def _tokens(self, history: History, repeats_P: Tensor) -> Tensor:
        """Tokens of all behaviours, and of a start before each history's first."""
        parts = (history.gap_P, history.quantity_P, history.amount_P, repeats_P)
        features_PF = torch.stack([signed_log(part) for part in parts], dim=-1)
        token_PW = self.item(history.vector_PW * self.item.in_features**0.5)
        token_PW = token_PW + self.kind(history.kind_P) + self.features(features_PF)
        started = [
            torch.cat([self.start.expand(token_BLW.shape[0], 1, -1), token_BLW], dim=1)
            for token_BLW in history.blocks.split(token_PW)
        ]
        return self.dropout(self.norm(join(started)))


def signed_log(values: Tensor) -> Tensor:
    """sign(x) log(1 + |x|): amounts over many sizes, made comparable."""
    return values.sign() * values.abs().log1p()


def causal_reach(at_BM: Tensor) -> Reach:
    """Every position of a block sees itself and what came before it, at `at_BM` days."""
    position = torch.arange(at_BM.shape[1], device=at_BM.device)
    later_MM = position.unsqueeze(0) > position.unsqueeze(1)
    days_BMM = at_BM.unsqueeze(2) - at_BM.unsqueeze(1)
    barred_1MM = torch.zeros_like(days_BMM[:1]).masked_fill(later_MM, float("-inf"))
    return Reach(days_BMM.clamp(min=0.0).log1p(), barred_1MM)


def _pick(value_BM: Tensor, position_B: Tensor) -> Tensor:
    """The value (B, ...) of each row of a block at its position."""
    return value_BM[torch.arange(len(position_B), device=position_B.device), position_B]


def _repeats(vector_BLW: Tensor) -> Tensor:
    """Earlier positions with the same item vector, so that items need no index to be counted."""
    same_BLL = (vector_BLW @ vector_BLW.transpose(1, 2) > SAME).to(vector_BLW.dtype)
    return same_BLL.tril(-1).sum(dim=2).detach()
