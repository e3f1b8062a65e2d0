"""What tasks of yes and no have in common: the log loss of their heads, and how good they are.

Next: ``retention.py``, ``uplift.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from training.tasks.task import ALL

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from training.models.batch import Batch, Output


def log_loss(output: Output, batch: Batch, heads: slice = ALL) -> Tensor:
    """Log loss in nats, summed over heads; mean over the examples that have a label of any."""
    from torch.nn import functional as F

    label_BH, logit_BH = batch.label_BH[:, heads], output.logit_BH[:, heads]
    known_BH = ~label_BH.isnan()
    asked = known_BH.any(dim=1)
    if not asked.any():
        return logit_BH.new_zeros(())
    loss_BH = F.binary_cross_entropy_with_logits(logit_BH, label_BH.nan_to_num(), reduction="none")
    loss_B = (loss_BH * known_BH).sum(dim=1) * batch.weight_B
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
