"""LoRA on the text encoder: a small low-rank change of its attention learns the shop's language.

Low-Rank Adaptation (Hu et al. 2021, arXiv:2106.09685): a frozen weight W becomes W + (alpha/r) BA,
B starting at zero, so that step 0 equals the base. Next: ``training/models/text.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from training.methods.method import Method


@dataclass(frozen=True, kw_only=True, slots=True)
class Lora(Method):
    """Adapters of rank `rank` on the encoder's attention; the rest of it stays frozen."""

    name: ClassVar[str] = "lora"
    rank: int = 8
    alpha: int = 16
    max_texts: int = 192
    """Texts encoded with gradients in a step: targets, recent history, then negatives."""

    def __post_init__(self) -> None:
        if self.rank < 1 or self.max_texts < 1:
            raise ValueError(f"lora: rank {self.rank} and max_texts {self.max_texts} must be >= 1")
