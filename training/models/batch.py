"""What a network eats and what it gives: one batch, the items of its week, and the output.

Shape legend, used in every name that ends in capitals:

====  =====================================================================
B     examples of the batch (one shopper at one moment each)
P     positions of all histories, one after the other, laid out in blocks (``blocks.py``)
I     items of the dataset: 0 = none; 1 .. K = those that training rows knew (the vocabulary, with
      an id embedding each); beyond K = items of later weeks, known by text and scalars alone
N     texts of the dataset
Y     texts among them that are the words of the batch's messages, where words are told
T     targets of all examples together
F, S  scalars of a shopper, scalars of an item (normalised, missing flags included)
A     attributes of all items together, item after item
D, W  width of a text vector, width of an item or user vector
H     heads of all tasks together, in the order of the run's tasks; of logits, what is learnt for
      them, which may be other columns than the heads (``tasks/task.py``); of labels, what else
      tasks are told of the future comes behind them
U, O  steps ahead, outcomes of a step; J = O: nothing or any outcome but the last came before
C     categories of items (``future.py``)
====  =====================================================================

The arrays are NumPy's until ``to(device)`` makes tensors of them. Next: ``sequence.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import torch

    from training.models.future import Future
    from training.models.softmax import Scores


class _Movable:
    """A dataclass of arrays that can go to a device."""

    __slots__ = ()

    def to(self, device: torch.device | str) -> Self:
        """The same values as tensors on `device`; what is no array stays as it is."""
        import torch

        moved: dict[str, Any] = {}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            is_plain = value is None or isinstance(value, int | tuple)
            moved[field.name] = value if is_plain else torch.as_tensor(value).to(device)
        return type(self)(**moved)


@dataclass(frozen=True, kw_only=True)
class Batch(_Movable):
    """Examples of one week. A shopper's history is known strictly before the moment of asking."""

    week: int
    """Index of the week; ``Dataset.items(week)`` holds the catalogue as of its start."""
    task_B: Any
    """int64, index into the run's tasks: which task the example belongs to."""
    shapes: tuple[tuple[int, int], ...]
    """Rows and length of each block of histories; each length is at least 1."""
    item_P: Any
    """int64, item of each behaviour, oldest first; 0 = none or padding."""
    kind_P: Any
    """int64, code of the behaviour's kind; 0 = padding, always after the last real behaviour."""
    gap_P: Any
    """float32, days since the behaviour before (0 for the first)."""
    quantity_P: Any
    """float32, pieces; 0 where it does not apply."""
    amount_P: Any
    """float32, base currency; 0 where it does not apply."""
    time_to_now_B: Any
    """float32, days from the last behaviour to the moment of asking (0 without history)."""
    scalars_BF: Any
    """float32, normalised features of the shopper at the moment of asking, with missing flags."""
    target_T: Any
    """int64, items of the targets of all examples, example after example (next_item only)."""
    target_row_T: Any
    """int64, the example (0 .. B-1) each target belongs to, ascending."""
    label_BH: Any
    """float32, labels by head, then others; NaN where one does not apply to the example."""
    weight_B: Any
    """float32, weight of the example in its task's loss."""
    words_P: Any = None
    """int64, number of the behaviour's words from 1 on, in the order of `text_Y`; 0 = none. None
    for a dataset that tells no words."""
    text_Y: Any = None
    """int64, rows of the words among the dataset's texts."""

    def __len__(self) -> int:
        return len(self.task_B)

    @property
    def num_positions(self) -> int:
        """Positions the network computes, the little padding of blocks included."""
        return len(self.kind_P)


@dataclass(frozen=True, kw_only=True)
class Catalogue(_Movable):
    """All items of the dataset as they stood at the start of one week."""

    exists_I: Any
    """bool, whether the item existed; index 0 is False."""
    scalars_IS: Any
    """float32, normalised item scalars with missing flags."""
    text_I: Any
    """int64, row of the item's text among the dataset's texts; -1 = no text (a zero vector)."""
    index_I: Any
    """int64, row of the item's id embedding: itself in 1 .. K, 0 for items beyond K."""
    attribute_A: Any
    """int64, what the items have (a brand, categories), of a dataset that tells it; 1 .. each."""
    attribute_start_I: Any
    """int64, where those of each item begin; they end where the next item's begin."""
    category_I: Any
    """int64, number of the item's category from 1 on; 0 = none known, or the item is beyond K."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """What the network says about a batch."""

    scores: Scores
    """The scores of all items as the next purchase, in the parts that they are the sum of; a row
    for each example."""
    logit_BH: Any
    """What the network learns for every task, uncalibrated."""
    future: Future | None = None
    """The next steps, where the run asks for them."""
    is_everywhere: bool = False
    """Whether the scores have a row for each position instead."""

    @cached_property
    def score_BI(self) -> torch.Tensor:
        """Score of every item; -inf for items that did not exist that week. Made when asked for."""
        return self.scores.whole()
