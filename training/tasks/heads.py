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
    amounts: tuple[str, ...] = ()
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


def amount_loss(log_B: Tensor, amount_B: Tensor, weight_B: Tensor) -> Tensor:
    """Huber's distance of logs (1964), mean over the examples with an amount above 0.

    Few spend a hundred times what others do: their error counts by its size, not by its square.
    """
    from torch.nn import functional as F

    known_B = ~amount_B.isnan()
    if not known_B.any():
        return log_B.new_zeros(())
    real_B = amount_B[known_B].log()
    loss_B = F.smooth_l1_loss(log_B[known_B], real_B, reduction="none")
    return (loss_B * weight_B[known_B]).mean()


def head_metrics(
    heads: Sequence[str],
    scores: np.ndarray,
    labels: np.ndarray | Sequence[np.ndarray],
    amounts: Sequence[str] = (),
) -> dict[str, float]:
    """Quality of `scores` ``(n, heads)`` by head: of chances, and of what `amounts` names."""
    import numpy as np

    from training.metrics.amount import amount_metrics
    from training.metrics.probability import probability_metrics

    truth = np.asarray(labels)
    return {
        f"{head}/{name}": value
        for column, head in enumerate(heads)
        for name, value in (amount_metrics if head in amounts else probability_metrics)(
            scores[:, column], truth[:, column]
        ).items()
    }
