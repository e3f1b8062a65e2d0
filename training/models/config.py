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
    text_width: int = 384
    """Width of the text encoder's vectors."""
    temperature: float = 0.07
    """Start value of the learnt temperature of the cosine softmax."""
    max_history: int = 200
    """Behaviours the network looks back; older ones are cut."""

    def __post_init__(self) -> None:
        check_positive(
            self, "width", "num_layers", "num_heads", "text_width", "temperature", "max_history"
        )
        if self.width % self.num_heads:
            raise ValueError(
                f"model: width {self.width} is no multiple of num_heads {self.num_heads}; "
                "change one of them"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"model: dropout is {self.dropout}; it must lie in [0, 1)")


def check_positive(config: Any, *names: str) -> None:
    """Raise a ``ValueError`` that names the first of `names` that is not above zero."""
    for name in names:
        value = getattr(config, name)
        if not value > 0:
            kind = type(config).__name__
            raise ValueError(f"{kind}: {name} is {value}; it must be above 0")
