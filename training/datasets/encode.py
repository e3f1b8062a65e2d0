"""Feature rows become arrays: the one code that training and serving share.

Columns as the feature store gives them go in (lists of behaviours, plain numbers, null = unknown),
arrays for the network come out. What must be learnt for that, the vocabulary and the normalisers,
is an :class:`EncodeSpec`: fitted on training rows, carried by the bundle. Numpy only; a frame is
read through a few methods of its columns. Every number depends on its own row alone, so one row
gives the same arrays as the same row among many. Next: ``batches.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from training.datasets.histories import Histories, Ints, offsets_of, positions, time_to_now
from training.datasets.normalise import Floats, Normaliser
from training.datasets.words import Messages, Texts, with_words

if TYPE_CHECKING:
    import polars as pl

HISTORY_COLUMNS = ("item", "kind", "quantity", "amount", "at")
WORDS = "message_text"


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodeSpec:
    """What encoding learnt from training rows; equal specs encode equally."""

    vocabulary: tuple[str, ...]
    """Ids of the items that have an embedding; the first has index 1."""
    user: Normaliser
    item: Normaliser
    history_length: int
    """Behaviours kept of each shopper, the latest ones."""
    index: dict[str, int] = field(init=False, repr=False, compare=False)
    """Item id to index, 1 .. K."""

    def __post_init__(self) -> None:
        if self.history_length < 1:
            raise ValueError(f"history_length is {self.history_length}; it must be at least 1")
        index = {item: number for number, item in enumerate(self.vocabulary, 1)}
        object.__setattr__(self, "index", index)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and dicts, for JSON."""
        return {
            "vocabulary": list(self.vocabulary),
            "user": self.user.to_dict(),
            "item": self.item.to_dict(),
            "history_length": self.history_length,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``to_dict`` gave."""
        return cls(
            vocabulary=tuple(plain["vocabulary"]),
            user=Normaliser.from_dict(plain["user"]),
            item=Normaliser.from_dict(plain["item"]),
            history_length=plain["history_length"],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class UserArrays:
    """Shoppers as the network eats them; shapes and units are those of ``models.batch.Batch``."""

    item_BL: Ints
    kind_BL: Ints
    gap_BL: Floats
    quantity_BL: Floats
    amount_BL: Floats
    time_to_now_B: Floats
    scalars_BF: Floats
    words_BL: Ints | None = None
    """Number of each behaviour's words, 0 = none; None where rows do not tell them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemArrays:
    """Items as the network eats them, one row each."""

    index_I: Ints
    """Index in the vocabulary; 0 = not in it."""
    exists_I: NDArray[np.bool_]
    """Whether anything was known of the item."""
    scalars_IS: Floats
    text: tuple[str, ...]
    """Latest text; "" = none."""


def encode_users(
    frame: pl.DataFrame,
    asked_at: int | Ints,
    spec: EncodeSpec,
    index: Mapping[str, int] | None = None,
) -> UserArrays:
    """Rows of the shopper's feature service as arrays.

    Parameters
    ----------
    asked_at
        Moment of asking, microseconds UTC: one for all rows, or one each.
    index
        Item id to number, instead of the vocabulary's: a catalogue's own, or a dataset's.
    """
    histories = encode_histories(frame, spec.index if index is None else index, spec.history_length)
    moments = np.broadcast_to(np.asarray(asked_at, dtype=np.int64), (frame.height,))
    return padded(histories, moments, spec.user.apply(scalars(frame, spec.user.names)))


def encode_user(
    row: Mapping[str, Any], asked_at: int, spec: EncodeSpec, index: Mapping[str, int]
) -> UserArrays:
    """What :func:`encode_users` gives for one row, told as plain values: lists, numbers, None.

    Words are numbered by their place in the row's ``message_text``, from 1 on.
    """
    length = spec.history_length
    cells = {name: row[f"history_{name}"][-length:] for name in HISTORY_COLUMNS}
    history = Histories(
        item=np.array([index.get(item, 0) for item in cells["item"]], dtype=np.int32),
        kind=np.array(cells["kind"], dtype=np.int8),
        quantity=_finite(np.array(cells["quantity"], dtype=np.float32)),
        amount=_finite(np.array(cells["amount"], dtype=np.float32)),
        at=np.array(cells["at"], dtype=np.int64),
        offsets=np.array([0, len(cells["at"])]),
    )
    if WORDS in row:
        number = np.array([place if text else 0 for place, text in enumerate(row[WORDS], 1)])
        at = np.array(row["message_at"], dtype=np.int64)
        history = with_words(history, Messages(at, number, np.array([0, len(at)])))
    values = np.array([[row[name] for name in spec.user.names]], dtype=np.float64)
    return padded(history, np.array([asked_at]), spec.user.apply(values))


def encode_items(frame: pl.DataFrame, spec: EncodeSpec) -> ItemArrays:
    """Rows of the item's feature service as arrays."""
    values = scalars(frame, spec.item.names)
    return ItemArrays(
        index_I=np.array([spec.index.get(item, 0) for item in frame["item_id"]], dtype=np.int64),
        exists_I=np.logical_not(np.isnan(values).all(axis=1)),
        scalars_IS=spec.item.apply(values),
        text=tuple(text or "" for text in frame["text"]),
    )


def encode_histories(
    frame: pl.DataFrame, index: Mapping[str, int], length: int, texts: Texts | None = None
) -> Histories:
    """The last `length` behaviours of each row; items that `index` lacks get 0.

    With `texts`, which grow by it, behaviours have the words that the rows tell.
    """
    lengths = _lengths(frame["history_at"])
    ends = np.cumsum(lengths)
    kept = np.minimum(lengths, length)
    is_kept = None
    if (lengths > length).any():
        is_kept = np.repeat(ends, lengths) - np.arange(ends[-1]) <= length
    items = [index.get(item, 0) for item in _flat(frame, "history_item").to_list()]

    def column(values: Any, kind: type) -> Any:
        array: NDArray = np.asarray(values, dtype=kind)
        return array if is_kept is None else array[is_kept]

    histories = Histories(
        item=column(items, np.int32),
        kind=column(_flat(frame, "history_kind").to_numpy(), np.int8),
        quantity=_finite(column(_flat(frame, "history_quantity").to_numpy(), np.float32)),
        amount=_finite(column(_flat(frame, "history_amount").to_numpy(), np.float32)),
        at=column(_flat(frame, "history_at").to_numpy(), np.int64),
        offsets=offsets_of(kept),
    )
    if texts is None or WORDS not in frame.columns:
        return histories
    messages = Messages(
        at=_flat(frame, "message_at").to_numpy().astype(np.int64),
        number=texts.numbers(_flat(frame, WORDS).to_list()),
        offsets=offsets_of(_lengths(frame[WORDS])),
    )
    return with_words(histories, messages)


def padded(histories: Histories, asked_at: Ints, scalars_BF: Floats) -> UserArrays:
    """Histories padded on the right to the longest (at least 1), with gaps and time to now."""
    num, longest = len(asked_at), max(int(np.diff(histories.offsets).max(initial=0)), 1)
    flat, shape = positions(histories, np.full(num, longest)), (num, longest)
    words = flat.words
    return UserArrays(
        item_BL=flat.item.reshape(shape),
        kind_BL=flat.kind.reshape(shape),
        gap_BL=flat.gap.reshape(shape),
        quantity_BL=flat.quantity.reshape(shape),
        amount_BL=flat.amount.reshape(shape),
        time_to_now_B=time_to_now(histories, asked_at),
        scalars_BF=scalars_BF,
        words_BL=None if words is None else words.reshape(shape),
    )


def scalars(frame: pl.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    """Columns `names` as ``(n, names)``, NaN for unknown."""
    values = np.empty((frame.height, len(names)))
    for column, name in enumerate(names):
        values[:, column] = frame[name].to_numpy()
    return values


def _flat(frame: pl.DataFrame, name: str) -> pl.Series:
    """All elements of a list column, row after row."""
    column = frame[name]
    if len(column) == 1 and (cell := column[0]) is not None:
        return cell  # a request asks for one shopper, and explode has a high fixed cost
    return column.explode(empty_as_null=False, keep_nulls=False)


def _finite(values: Floats) -> Floats:
    """0, which is "unknown" in a history, for what is no number: one would spoil every score."""
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _lengths(column: pl.Series) -> Ints:
    """Number of elements of each cell; none where there is no list."""
    if len(column) == 1 and (cell := column[0]) is not None:
        return np.array([len(cell)], dtype=np.int64)
    return column.list.len().fill_null(0).to_numpy().astype(np.int64)
