"""Full training: every parameter of the network moves; a text encoder, if any, stays frozen.

Next: ``lora.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from training.methods.method import Method

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, slots=True)
class Full(Method):
    """Move all weights, the text encoder's cached outputs apart."""

    name: ClassVar[str] = "full"

    def attach(self, network: nn.Module, teacher: nn.Module | None = None) -> None:
        """Let every parameter have a gradient."""
        network.requires_grad_(True)
