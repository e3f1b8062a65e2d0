"""What tasks of yes and no have in common: the log loss of their heads, and how good they are.

Next: ``retention.py``, ``uplift.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class Plain:
    """One logit for each head, whose sigmoid is the answer."""

    heads: tuple[str, ...]
    labels: tuple[str, ...] = ()

    @property
    def logits(self) -> tuple[str, ...]:
        """The heads themselves."""
        return self.heads

    def taught(self, label_BH: Tensor) -> Tensor:
        """The labels themselves."""
        return label_BH

    def answer(self, logit_BH: Tensor) -> Tensor:
        """Probabilities (B, heads)."""
        return logit_BH.sigmoid()


def log_loss(logit_BH: Tensor, taught_BH: Tensor, weight_B: Tensor) -> Tensor:
    """Log loss in nats, summed over logits; mean over the examples that teach any of them."""
    from torch.nn import functional as F

    known_BH = ~taught_BH.isnan()
    asked = known_BH.any(dim=1)
    if not asked.any():
        return logit_BH.new_zeros(())
    loss_BH = F.binary_cross_entropy_with_logits(logit_BH, taught_BH.nan_to_num(), reduction="none")
    loss_B = (loss_BH * known_BH).sum(dim=1) * weight_B
    return loss_B.sum() / asked.sum()


def head_metrics(
    heads: Sequence[str], scores: np.ndarray, labels: np.ndarray | Sequence[np.ndarray]
) -> dict[str, float]:
    """Quality of probabilities `scores` ``(n, heads)`` for `labels` of 0 and 1, by head."""
    import numpy as np

    from training.metrics.probability import probability_metrics

    truth = np.asarray(labels)
    return {
        f"{head}/{name}": value
        for column, head in enumerate(heads)
        for name, value in probability_metrics(scores[:, column], truth[:, column]).items()
    }
