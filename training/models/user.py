"""A shopper as the network sees them: a vector, calls for past items again, and the heads' logits.

The score of an item as the next purchase is ``user . item + bias`` (a taste, what sells), and for
an item of the history ``bias + copies``: how much each behaviour calls for the same item again.
Shops re-buy, and how often and how long ago tells who does; a taste, learnt on orders of the very
same shopper and item, would only blur it. Letters in names: ``batch.py``. Next: ``softmax.py``,
then ``../network.py``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.config import ModelConfig
from training.models.dropout import Dropout
from training.models.future import Future
from training.models.sequence import Encoded, History, SequenceEncoder, signed_log


class User(NamedTuple):
    """What a history and a moment of asking give."""

    vector_BW: Tensor
    """To be multiplied with item vectors; the temperature is folded in."""
    copy_P: Tensor
    """What each behaviour adds to its item's score, the taste for it taken off once; 0 at
    padding."""
    logit_BH: Tensor
    future: Future | None


class CopyHead(nn.Module):
    """How much a past behaviour calls for its item again, from what it was and how long ago."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.age = nn.Sequential(nn.Linear(width + 2, 32), nn.GELU(), nn.Linear(32, 1))

    def forward(
        self, encoded: Encoded, readout_BR: Tensor, time_to_now_B: Tensor, history: History
    ) -> Tensor:
        """Scores (P,), at least 0. The k-th repeat counts 1/k, so that counts act as logs."""
        token_PW, repeats_P = encoded.token_PW, encoded.repeats_P
        since_P = encoded.age_P + history.blocks.spread(time_to_now_B)
        call_P = (self.key(token_PW) * history.blocks.spread(self.query(readout_BR))).sum(dim=1)
        numbers_P2 = torch.stack([since_P.clamp(min=0.0).log1p(), repeats_P.log1p()], dim=1)
        plain_P = self.age(torch.cat([token_PW, numbers_P2], dim=1)).squeeze(1)
        strength_P = F.softplus(call_P / math.sqrt(token_PW.shape[1]) + plain_P)
        return strength_P / (1.0 + repeats_P) * (history.kind_P > 0)


class UserEncoder(nn.Module):
    """History, time to now and scalars to a user vector, copy scores and the heads' logits."""

    def __init__(self, config: ModelConfig, num_kinds: int, num_scalars: int) -> None:
        super().__init__()
        width = config.width
        self.sequence = SequenceEncoder(
            width=width,
            num_kinds=num_kinds,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            dropout=config.dropout,
        )
        self.readout = nn.Sequential(
            nn.Linear(width + 1 + num_scalars, 2 * width),
            nn.GELU(),
            Dropout(config.dropout),
            nn.Linear(2 * width, width),
        )
        self.vector = nn.Linear(width, width)
        self.taste = nn.Linear(width, 1)
        self.copy = CopyHead(width)
        self.heads = nn.ModuleDict()
        self.future: nn.Module | None = None
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.temperature)))

    def forward(self, history: History, time_to_now_B: Tensor, scalars_BF: Tensor) -> User:
        """Read the history at its last behaviour, and now at the moment of asking alone."""
        encoded = self.sequence(history)
        now_B1 = signed_log(time_to_now_B).unsqueeze(1)
        known_BX = torch.cat([encoded.last_BW, now_B1, scalars_BF], dim=1)
        readout_BR = encoded.last_BW + self.readout(known_BX)
        vector_BW = self.vector(readout_BR) + self._taste(history, encoded)
        vector_BW = F.normalize(vector_BW, dim=1) / self.log_temperature.exp()
        copy_P = self.copy(encoded, readout_BR, time_to_now_B, history)
        copy_P = copy_P - _tastes(history, encoded, vector_BW)
        features_BX = torch.cat([readout_BR, now_B1, scalars_BF], dim=1)
        logits = [head(features_BX) for head in self.heads.values()]
        empty = readout_BR.new_zeros(readout_BR.shape[0], 0)
        future = None if self.future is None else self.future(features_BX)
        return User(vector_BW, copy_P, torch.cat([empty, *logits], dim=1), future)

    def _taste(self, history: History, encoded: Encoded) -> Tensor:
        """A mean (B, W) of the history's item vectors: what is like what was bought is near."""
        weight_P1 = F.softplus(self.taste(encoded.token_PW)) * (history.kind_P > 0).unsqueeze(1)
        total_B1 = history.blocks.total(weight_P1).clamp(min=1e-6)
        return history.blocks.total(weight_P1 * history.vector_PW) / total_B1


def _tastes(history: History, encoded: Encoded, vector_BW: Tensor) -> Tensor:
    """``user . item`` (P,) at the first behaviour with each item of a history; 0 elsewhere."""
    is_first_P = (encoded.repeats_P == 0) & (history.kind_P > 0)
    return (history.vector_PW * history.blocks.spread(vector_BW)).sum(dim=1) * is_first_P
