"""A shopper's behaviours as tokens, encoded by causal layers and read at the last one.

A token is what was done to which item, how much of it, and how long after the behaviour before,
and for a message, where a run reads them, its words; position i knows the time between behaviours
up to i and nothing of the moment of asking. Histories lie flat in blocks (``blocks.py``). What
padding is left lies after the last real behaviour, so that causal layers alone keep it out. Letters
in names: ``batch.py``. Next: ``layers.py`` for our own layers, ``decoder.py`` for those of any
causal decoder, then ``softmax.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.blocks import Blocks, join
from training.models.dropout import Dropout
from training.models.layers import pick

NUM_FEATURES = 4
SAME = 0.9999
PURCHASE = 4
"""Code of the kind; ``feature_repo`` says so, and is absent where networks are only trained."""


class History(NamedTuple):
    """What the network is told of behaviours; see ``Batch``. A row may be empty."""

    vector_PW: Tensor
    """Vector of each behaviour's item; zero without item."""
    kind_P: Tensor
    gap_P: Tensor
    quantity_P: Tensor
    amount_P: Tensor
    blocks: Blocks
    category_P: Tensor | None = None
    """Number of the category of each behaviour's item; None where next steps are not foreseen."""
    words_P: Tensor | None = None
    """Number of each behaviour's words, 0 = none; None where words are not told."""
    said_YD: Tensor | None = None
    """Text vectors of the words, number 1 first."""


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
    purchases_P: Tensor
    """How many of these were purchases."""


class SequenceEncoder(nn.Module):
    """Behaviours to one vector, and to one vector each for the copy head."""

    def __init__(
        self,
        *,
        width: int,
        num_kinds: int,
        dropout: float,
        make_layers: Callable[[], nn.Module],
        words_width: int = 0,
    ) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        self.item = nn.Linear(width, width)
        self.kind = nn.Embedding(num_kinds, width)
        self.features = nn.Linear(NUM_FEATURES, width)
        self.norm, self.dropout = nn.LayerNorm(width), Dropout(dropout)
        self.layers = make_layers()
        self.words = nn.Linear(words_width, width, bias=False) if words_width else None

    def forward(self, history: History, everywhere: bool = False) -> Encoded:
        """Encode; scores do not depend on the amount of padding.

        The last layer asks from the last behaviour of each history, or from all `everywhere`.
        """
        behaviours, known = history.blocks, history.blocks.longer()
        at = [F.pad(gap_BL.cumsum(dim=1), (1, 0)) for gap_BL in behaviours.split(history.gap_P)]
        last = [(kind_BL > 0).sum(dim=1) for kind_BL in behaviours.split(history.kind_P)]
        parts = (behaviours.split(part) for part in (history.vector_PW, history.kind_P))
        earlier = [_earlier(*block) for block in zip(*parts, strict=True)]
        repeats_P, purchases_P = (join(counts) for counts in zip(*earlier, strict=True))
        token_MW = self._tokens(history, repeats_P)
        token_MW, asked_XW = self.layers(token_MW, at, known, None if everywhere else last)
        ages = [
            (pick(at_BM, place).unsqueeze(1) - at_BM)[:, 1:].clamp(min=0.0)
            for at_BM, place in zip(at, last, strict=True)
        ]
        token_PW = join([token[:, 1:] for token in known.split(token_MW)])
        return Encoded(token_PW, asked_XW, join(ages), repeats_P, purchases_P)

    def _tokens(self, history: History, repeats_P: Tensor) -> Tensor:
        """Tokens of all behaviours, and of a start before each history's first."""
        parts = (history.gap_P, history.quantity_P, history.amount_P, repeats_P)
        features_PF = torch.stack([signed_log(part) for part in parts], dim=-1)
        token_PW = self.item(history.vector_PW * self.item.in_features**0.5)
        token_PW = token_PW + self.kind(history.kind_P) + self.features(features_PF)
        if self.words is not None:
            token_PW = token_PW + self._said(history, self.words)
        started = [
            torch.cat([self.start.expand(token_BLW.shape[0], 1, -1), token_BLW], dim=1)
            for token_BLW in history.blocks.split(token_PW)
        ]
        return self.dropout(self.norm(join(started)))

    def _said(self, history: History, words: nn.Linear) -> Tensor:
        """What the words of each behaviour add to its token (P, W); nothing without words."""
        assert history.words_P is not None, "a network that reads words is told them"
        assert history.said_YD is not None, "with their vectors"
        # Text vectors have length 1: this brings their entries to the usual variance of inputs.
        said_YW = words(history.said_YD * words.in_features**0.5)
        return F.embedding(history.words_P, F.pad(said_YW, (0, 0, 1, 0)))


def signed_log(values: Tensor) -> Tensor:
    """sign(x) log(1 + |x|): amounts over many sizes, made comparable."""
    return values.sign() * values.abs().log1p()


def _earlier(vector_BLW: Tensor, kind_BL: Tensor) -> tuple[Tensor, Tensor]:
    """Earlier positions with the same item vector, so that items need no index to be counted.

    All of them, and those that are purchases.
    """
    same_BLL = (vector_BLW @ vector_BLW.transpose(1, 2) > SAME).to(vector_BLW.dtype)
    same_BLL = same_BLL.tril(-1).detach()
    is_purchase_BL1 = (kind_BL == PURCHASE).unsqueeze(2).to(same_BLL.dtype)
    return same_BLL.sum(dim=2), (same_BLL @ is_purchase_BL1).squeeze(2)
