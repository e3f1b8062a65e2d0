"""The seam between a business question and everything that answers it.

A task says at which moments shoppers are asked about and what then happened, adds a head to the
network if it needs one, and says how wrong an answer is. Next: ``next_item.py``, ``retention.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from torch import Tensor, nn

    from training.datasets.spine import Calendar, Split
    from training.models.batch import Batch, Output

ALL = slice(None)


class Task(Protocol):
    """One question about a shopper at a moment. Tasks hold no state of what is learnt."""

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the probabilities it learns; empty for a task that only ranks items."""

    @property
    def told(self) -> str:
        """What it knows beside events, as a fingerprint; empty for nothing."""

    @property
    def service(self) -> str:
        """Feature service that holds what it needs to know of a shopper."""

    def examples(self, events: pl.DataFrame, calendar: Calendar, split: Split) -> pl.DataFrame:
        """Whom to ask about, when, and what came of it.

        Parameters
        ----------
        events
            All events, columns of ``feature_repo.events.EVENT_SCHEMA``.
        split
            "train", "valid" or "test".

        Returns
        -------
        ``user_id``, ``asked_at`` (microseconds, UTC), ``weight``, and ``targets`` (list of item
        ids) or one column of 0 and 1 for each head. Nothing known after the split's end is used.
        """

    def head(self, width: int) -> nn.Module:
        """From `width` features of a shopper at a moment to one logit for each of ``heads``."""

    def loss(self, output: Output, batch: Batch, heads: slice = ALL) -> Tensor:
        """Mean over the examples of this task in `batch`, each by its weight; 0 when none is.

        `heads` are this task's columns among those of the run's tasks.
        """

    def metrics(self, scores: np.ndarray, labels: np.ndarray | Sequence[Any]) -> dict[str, float]:
        """How good `scores` are, by name. See the tasks for the shapes."""
