"""A causal decoder of transformers, by name, in place of our own layers over behaviours.

Behaviours enter where a text's tokens would: each is brought to the decoder's width, and what comes
out is brought back. It counts positions, not days; days are told by the behaviours themselves.
All of it learns. Letters in names: ``batch.py``. Next: ``sequence.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from training.models.blocks import Blocks, join
from training.models.layers import asked
from training.models.pooling import is_causal
from training.models.pretrained import load_model

WHAT = "model.decoder"


class Decoder(nn.Module):
    """The layers of the decoder called `name`, over tokens of `width`.

    Raises
    ------
    ValueError
        When it is not in reach, reads backwards too, or reaches less far than `max_history`.
    """

    def __init__(self, name: str, width: int, max_history: int) -> None:
        super().__init__()
        self.model: Any = load_model(name, WHAT)
        if not is_causal(self.model):
            raise ValueError(
                f"{WHAT} {name!r} lets a token read what comes after it; name a causal decoder"
            )
        reach = getattr(self.model.config, "max_position_embeddings", None)
        if reach is not None and reach <= max_history:
            raise ValueError(
                f"{WHAT} {name!r} reaches over {reach} positions, and model.max_history is "
                f"{max_history} behaviours behind a start; set it to {reach - 1} at most"
            )
        hidden = int(self.model.config.hidden_size)
        self.model.set_input_embeddings(nn.Embedding(1, hidden))  # no token of a text ever comes
        self.into, self.out = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(
        self, token_MW: Tensor, at: Sequence[Tensor], known: Blocks, last: Sequence[Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Like ``layers.Layers``: outputs at all positions, and where they are asked."""
        blocks = known.split(self.into(token_MW))
        hidden = [self.model(inputs_embeds=block_BMD).last_hidden_state for block_BMD in blocks]
        token_MW = self.out(join(hidden))
        return token_MW, asked(token_MW, known, last)[0]
