"""The shape of a network, as a value. Next: ``batch.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MAX_CATEGORIES = 32
"""Categories of items that are told apart, the ones that shoppers turn to most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Shape of the network."""

    width: int = 64
    """Width of item vectors, user vectors and behaviour tokens."""
    num_layers: int = 2
    num_heads: int = 2
    dropout: float = 0.2
    attention_dropout: float = 0.0
    """Of the weights with which a behaviour attends to others."""
    text_width: int = 384
    """Width of the text encoder's vectors."""
    temperature: float = 0.07
    """Start value of the learnt temperature of the cosine softmax."""
    decoder: str | None = None
    """Causal decoder of transformers, by name or folder, in place of our own layers: num_layers,
    num_heads and attention_dropout are then its own."""
    max_history: int = 200
    """Behaviours the network looks back; older ones are cut."""
    copies: bool = True
    """Whether past items call for themselves: off where nobody buys the same thing twice."""
    every_position: bool = False
    """Learn the next item after every behaviour, where each is an order of its own."""
    bars_seen: bool = False
    """Learn among the items that a history does not hold yet: with every_position alone."""
    tied_start: bool = False
    """Begin with behaviours and shoppers in the space of items: by identities, not by chance."""
    delta_scale: float = 0.0
    """Spread of the item ids' vectors before training; above 0 where ids alone tell items apart."""

    def __post_init__(self) -> None:
        check_positive(
            self, "width", "num_layers", "num_heads", "text_width", "temperature", "max_history"
        )
        if self.width % self.num_heads:
            raise ValueError(
                f"model: width {self.width} is no multiple of num_heads {self.num_heads}; "
                "change one of them"
            )
        for name in ("dropout", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"model: {name} is {getattr(self, name)}; it must lie in [0, 1)")
        if self.bars_seen and not self.every_position:
            raise ValueError("model: bars_seen needs every_position; set both or none")
        if self.every_position and self.copies:
            raise ValueError(
                "model: every_position is learnt without copies; set model.copies=false with it"
            )


def check_positive(config: Any, *names: str) -> None:
    """Raise a ``ValueError`` that names the first of `names` that is not above zero."""
    for name in names:
        value = getattr(config, name)
        if not value > 0:
            kind = type(config).__name__
            raise ValueError(f"{kind}: {name} is {value}; it must be above 0")
