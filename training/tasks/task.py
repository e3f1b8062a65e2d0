"""The seam between a business question and everything that answers it.

A task says at which moments shoppers are asked about and what then happened, adds a head to the
network if it needs one, and says how wrong an answer is. Next: ``next_item.py``, ``retention.py``,
``next_actions.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from torch import Tensor, nn

    from training.datasets.spine import Calendar, Split
    from training.models.batch import Batch, Output


class Columns(NamedTuple):
    """Where a task stands among the tasks of a run."""

    heads: slice = slice(None)
    """Its labels and answers."""
    logits: slice = slice(None)
    """What its head of the network gives."""
    labels: slice = slice(None)
    """What else it is told of the future, behind the labels of all heads."""


ALL = Columns()


class Task(Protocol):
    """One question about a shopper at a moment. Tasks hold no state of what is learnt."""

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of its answers and of their labels; empty for a task that only ranks items."""

    @property
    def logits(self) -> tuple[str, ...]:
        """Names of what the network learns for it; other than ``heads`` where those are made."""

    @property
    def amounts(self) -> tuple[str, ...]:
        """Those of ``heads`` that are amounts of money; a logit of that name is the log of one."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the label columns of a task that answers by more than yes and no; else empty."""

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
            All events, columns of ``feature_repo.events.EVENT_SCHEMA``, and ``category``: the
            number of the item's category, null where none is known.
        split
            "train", "valid" or "test".

        Returns
        -------
        ``user_id``, ``asked_at`` (microseconds, UTC), ``weight``, and ``targets`` (list of item
        ids), one column of 0 and 1 for each head, or those of ``labels``. Nothing known after
        the split's end is used.
        """

    def head(self, width: int) -> nn.Module:
        """From `width` features of a shopper at a moment to each of ``logits``.

        A task with ``labels`` gives a ``training.models.future.Future`` in their place.
        """

    def taught(self, label_BH: Tensor) -> Tensor:
        """What labels (B, heads) say of each logit, (B, logits); NaN where they say nothing."""

    def answer(self, logit_BH: Tensor) -> Tensor:
        """From calibrated logits (B, logits) to the answers (B, heads) that are served."""

    def loss(self, output: Output, batch: Batch, columns: Columns = ALL) -> Tensor:
        """Mean over the examples of this task in `batch`, each by its weight; 0 when none is.

        `columns` are this task's among those of the run's tasks.
        """

    def metrics(self, scores: np.ndarray, labels: np.ndarray | Sequence[Any]) -> dict[str, float]:
        """How good `scores` are, by name. See the tasks for the shapes."""
