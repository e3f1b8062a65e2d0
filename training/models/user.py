"""A shopper as the network sees them: a vector, calls for past items again, and the heads' logits.

The score of an item as the next purchase is ``user . item + bias`` (a taste, what sells), and for
an item of the history ``bias + copies``: how much each behaviour calls for the same item again.
Shops re-buy, and how often and how long ago tells who does; a taste, learnt on orders of the very
same shopper and item, would only blur it. What training makes of counts is held against validation:
``habit`` is set there (``../habits.py``). Letters in names: ``batch.py``. Next: ``softmax.py``,
then ``../network.py``.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.config import ModelConfig
from training.models.decoder import Decoder
from training.models.dropout import Dropout
from training.models.future import Future
from training.models.layers import Layer, Layers
from training.models.sequence import PURCHASE, Encoded, History, SequenceEncoder, signed_log


class User(NamedTuple):
    """What a history and a moment of asking give.

    X are the moments asked about: one of each history, or the one after each position.
    """

    vector_XW: Tensor
    """To be multiplied with item vectors; the temperature is folded in."""
    copy_P: Tensor
    """What each behaviour adds to its item's score, the taste for it taken off once; 0 at
    padding."""
    logit_BH: Tensor
    future: Future | None


class CopyHead(nn.Module):
    """How much a past behaviour calls for its item again, from what it was and how long ago.

    An item bought n times gets ``habit * log(1 + n)`` beside it, purchase by purchase.
    """

    habit: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("habit", torch.zeros(()))
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.age = nn.Sequential(nn.Linear(width + 2, 32), nn.GELU(), nn.Linear(32, 1))

    def forward(
        self, encoded: Encoded, readout_BR: Tensor, time_to_now_B: Tensor, history: History
    ) -> Tensor:
        """Scores (P,). The k-th repeat counts 1/k, so that counts act as logs."""
        token_PW, repeats_P = encoded.token_PW, encoded.repeats_P
        since_P = encoded.age_P + history.blocks.spread(time_to_now_B)
        call_P = (self.key(token_PW) * history.blocks.spread(self.query(readout_BR))).sum(dim=1)
        numbers_P2 = torch.stack([since_P.clamp(min=0.0).log1p(), repeats_P.log1p()], dim=1)
        plain_P = self.age(torch.cat([token_PW, numbers_P2], dim=1)).squeeze(1)
        strength_P = F.softplus(call_P / math.sqrt(token_PW.shape[1]) + plain_P)
        copy_P = strength_P / (1.0 + repeats_P) * (history.kind_P > 0)
        counted_P = (1.0 + 1.0 / (1.0 + encoded.purchases_P)).log() * (history.kind_P == PURCHASE)
        return copy_P + self.habit * counted_P


class UserEncoder(nn.Module):
    """History, time to now and scalars to a user vector, copy scores and the heads' logits."""

    def __init__(
        self, config: ModelConfig, num_kinds: int, num_scalars: int, *, reads_words: bool = False
    ) -> None:
        super().__init__()
        width = config.width
        self.sequence = SequenceEncoder(
            width=width,
            num_kinds=num_kinds,
            dropout=config.dropout,
            make_layers=partial(_layers, config),
            words_width=config.text_width if reads_words else 0,
        )
        self.readout = nn.Sequential(
            nn.Linear(width + 1 + num_scalars, 2 * width),
            nn.GELU(),
            Dropout(config.dropout),
            nn.Linear(2 * width, width),
        )
        self.vector = nn.Linear(width, width)
        self.taste = nn.Linear(width, 1)
        if config.tied_start:
            for layer in (self.sequence.item, self.vector):
                nn.init.eye_(layer.weight)
                nn.init.zeros_(layer.bias)
            for rest in (self.sequence.kind, self.sequence.features):
                nn.init.normal_(rest.weight, std=0.02)
        self.copy = CopyHead(width) if config.copies else None
        self.heads = nn.ModuleDict()
        self.future: nn.Module | None = None
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.temperature)))

    def forward(
        self,
        history: History,
        time_to_now_B: Tensor,
        scalars_BF: Tensor,
        everywhere: bool = False,
    ) -> User:
        """Read the history at its last behaviour, and now at the moment of asking alone.

        `everywhere` it is read at each behaviour as if it ended there, asked at the moment of the
        next one; a shopper's scalars, which are of the last moment, must then be none.
        """
        encoded = self.sequence(history, everywhere)
        since_X, scalars_XF = time_to_now_B, scalars_BF
        if everywhere:
            since_X = _time_to_next(history, time_to_now_B)
            scalars_XF = history.blocks.spread(scalars_BF)
        now_X1 = signed_log(since_X).unsqueeze(1)
        known_XX = torch.cat([encoded.asked_XW, now_X1, scalars_XF], dim=1)
        readout_XR = encoded.asked_XW + self.readout(known_XX)
        vector_XW = self.vector(readout_XR) + self._taste(history, encoded, everywhere)
        vector_XW = F.normalize(vector_XW, dim=1) / self.log_temperature.exp()
        if self.copy is None:
            copy_P = torch.zeros_like(history.gap_P)
        else:
            copy_P = self.copy(encoded, readout_XR, time_to_now_B, history)
            copy_P = copy_P - _tastes(history, encoded, vector_XW)
        features_XX = torch.cat([readout_XR, now_X1, scalars_XF], dim=1)
        logits = [head(features_XX) for head in self.heads.values()]
        empty = readout_XR.new_zeros(readout_XR.shape[0], 0)
        future = None if self.future is None else self.future(features_XX, history, encoded.age_P)
        return User(vector_XW, copy_P, torch.cat([empty, *logits], dim=1), future)

    def _taste(self, history: History, encoded: Encoded, everywhere: bool) -> Tensor:
        """A mean (X, W) of the history's item vectors: what is like what was bought is near."""
        weight_P1 = F.softplus(self.taste(encoded.token_PW)) * (history.kind_P > 0).unsqueeze(1)
        sums = history.blocks.running if everywhere else history.blocks.total
        return sums(weight_P1 * history.vector_PW) / sums(weight_P1).clamp(min=1e-6)


def _time_to_next(history: History, time_to_now_B: Tensor) -> Tensor:
    """Days (P,) from each behaviour to the next, and from the last to the moment of asking."""
    blocks = history.blocks
    is_last_P = blocks.ahead(history.kind_P) == 0
    return torch.where(is_last_P, blocks.spread(time_to_now_B), blocks.ahead(history.gap_P))


def _tastes(history: History, encoded: Encoded, vector_BW: Tensor) -> Tensor:
    """``user . item`` (P,) at the first behaviour with each item of a history; 0 elsewhere."""
    is_first_P = (encoded.repeats_P == 0) & (history.kind_P > 0)
    return (history.vector_PW * history.blocks.spread(vector_BW)).sum(dim=1) * is_first_P


def _layers(config: ModelConfig) -> nn.Module:
    """Our own layers, or those of a causal decoder."""
    if config.decoder is not None:
        return Decoder(config.decoder, config.width, config.max_history)
    shape = (config.width, config.num_heads, config.dropout, config.attention_dropout)
    return Layers(Layer(*shape) for _ in range(config.num_layers))
