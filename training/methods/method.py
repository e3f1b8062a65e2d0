"""The seam between the one training loop and the ways in which parameters can move.

A method is a frozen dataclass of its settings; what it changes lives in the network. A run holds a
tuple of methods and the loop calls each hook in that order. Next: ``full.py``, then ``lora.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from training.models.batch import Batch, Catalogue, Output


class Method:
    """Hooks that do nothing; a method overrides those it needs."""

    __slots__ = ()
    name: ClassVar[str]
    changes_text: ClassVar[bool] = False
    """Whether the network must hold its text encoder, since its vectors change."""

    def attach(self, network: nn.Module, teacher: nn.Module | None = None) -> None:
        """Prepare `network` before the optimiser is made: which parameters move, what is added."""

    def batch(self, batch: Batch) -> Batch:
        """The batch to learn from instead of `batch`."""
        return batch

    def text_vectors(
        self,
        network: Any,
        batch: Batch,
        catalogue: Catalogue,
        texts: Sequence[str],
        cached_ND: Tensor,
    ) -> Tensor:
        """Vectors (N, D) of `texts` for this step, instead of the `cached_ND` ones."""
        return cached_ND

    def loss(self, loss: Tensor, output: Output, batch: Batch) -> Tensor:
        """The loss to go down instead of `loss`, a sum over the batch's examples."""
        return loss

    def after_backward(self, network: nn.Module) -> None:
        """Called when gradients are there, before they are averaged, clipped and applied."""

    def after_step(self, network: nn.Module) -> None:
        """Called after the optimiser moved the parameters."""

    def merge(self, network: nn.Module) -> None:
        """Fold what ``attach`` added into plain weights; scores must not change."""
