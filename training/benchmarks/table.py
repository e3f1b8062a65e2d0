"""From columns of a user's own table to arrays: features, arms and propensities, all checked.

Next: ``uplift.py`` and ``offpolicy.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from training.own_table import check_columns, check_full, check_number

MAX_LEVELS = 20
"""Of a column of words, the most frequent ones, that become columns of 0 and 1."""
TOLD = 0.99
"""Share from which one column is said to follow from another."""
USUAL = 0.9
"""What is there in more of the rows than this follows from nothing."""


@dataclass(frozen=True, slots=True)
class Features:
    """What is known of each row before it is acted on."""

    values: np.ndarray
    """(n, d), NaN is unknown."""
    columns: tuple[str, ...]
    """Columns of the table that they are made of."""
    notes: tuple[str, ...] = ()
    """What was left out and why, a sentence each."""


def read_features(
    frame: pl.DataFrame,
    wanted: Sequence[str] | None,
    taken: Collection[str],
    outcome: str,
    name: str,
) -> Features:
    """Numbers as they are, words as 0 and 1 for each; all columns but those `taken`.

    Without a wish, a column that seems to have happened with the outcome is left out.

    Raises
    ------
    ValueError
        When a wanted column is missing, taken, or neither numbers nor words, or none is left.
    """
    check_columns(frame, wanted or (), name)
    if used := sorted(set(wanted or ()) & set(taken)):
        raise ValueError(f"{used[0]!r} is no feature: it has another part already; leave it out")
    notes, kept, parts = [], [], []
    for column in wanted or [one for one in frame.columns if one not in taken]:
        reason = _unfit(frame[column])
        if reason and wanted:
            raise ValueError(f"feature {column!r} {reason}; turn it into numbers, or leave it out")
        if not reason and not wanted and _told(frame[column], frame[outcome]):
            reason = f"seems to come with {outcome!r}, so after the action"
        if reason:
            notes.append(f"Column {column!r} {reason}: it is no feature. --feature chooses others.")
            continue
        kept.append(column)
        parts.append(_numbers(frame[column]))
    if not kept:
        raise ValueError(f"{name} has no column left to tell rows apart; name some with --feature")
    return Features(np.column_stack(parts), tuple(kept), tuple(notes))


def read_arms(frame: pl.DataFrame, column: str, most: int) -> np.ndarray:
    """What was done (n,), as text.

    Raises
    ------
    ValueError
        When a cell is empty, all are alike, or there are more than `most` different ones.
    """
    check_full(frame, column, "value")
    found = frame[column].cast(pl.String).to_numpy()
    names = frame[column].unique()
    if len(names) < 2:
        raise ValueError(
            f"column {column!r} is {found[0]!r} in all {len(found):,} rows; something else must "
            "have been done at times: add those rows, or name another column"
        )
    if len(names) > most:
        raise ValueError(
            f"column {column!r} has {len(names):,} different values and {most} is the most; name "
            "the column that says what was done"
        )
    return np.asarray(found)


def read_numbers(frame: pl.DataFrame, column: str, what: str) -> np.ndarray:
    """A full column of finite numbers (n,).

    Raises
    ------
    ValueError
        When it is none; `what` says what every row has one of.
    """
    check_number(frame, column)
    check_full(frame, column, what)
    return frame[column].cast(pl.Float64).to_numpy()


def read_users(frame: pl.DataFrame, column: str | None) -> np.ndarray | None:
    """Whose row each is (n,), as text; None where no column says it.

    Raises
    ------
    ValueError
        When a cell is empty.
    """
    if column is None:
        return None
    check_full(frame, column, "user")
    return np.asarray(frame[column].cast(pl.String).to_numpy()).astype(str)


def read_propensities(frame: pl.DataFrame, column: str) -> np.ndarray:
    """Chances (n,) of what was done in each row.

    Raises
    ------
    ValueError
        When some are not in (0, 1], with how many and the first.
    """
    found = read_numbers(frame, column, "propensity")
    if (wrong := ~((found > 0) & (found <= 1))).any():
        first = int(np.argmax(wrong))
        raise ValueError(
            f"column {column!r} is not in (0, 1] in {int(wrong.sum()):,} of {len(found):,} rows, "
            f"the first is row {first + 1:,} with {found[first]:g}; a propensity is the chance of "
            "what was done in the row: mend these rows or leave them out"
        )
    return found


def _unfit(column: pl.Series) -> str:
    """Why a column can't be a feature; empty when it can."""
    kind = column.dtype
    if column.n_unique() < 2:
        return "is the same in all rows"
    if kind.is_numeric() or kind == pl.Boolean:
        return ""
    if kind not in (pl.String, pl.Categorical, pl.Enum):
        return f"holds {kind}"
    levels = column.n_unique()
    return f"has {levels:,} different words" if levels > max(MAX_LEVELS, len(column) // 20) else ""


def _numbers(column: pl.Series) -> np.ndarray:
    """(n, 1) of numbers, (n, levels) of words."""
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        values = column.cast(pl.Float64).fill_null(np.nan).to_numpy().copy()
        values[~np.isfinite(values)] = np.nan
        return np.asarray(values[:, None])
    words = column.cast(pl.String).fill_null("")
    counts = words.value_counts(sort=True).sort("count", words.name, descending=[True, False])
    levels = counts[words.name].head(MAX_LEVELS).to_numpy()
    return np.asarray(words.to_numpy()[:, None] == levels).astype(float)


def _told(column: pl.Series, outcome: pl.Series) -> bool:
    """Whether the column is above 0 only with an outcome, or every outcome comes with it."""
    if not column.dtype.is_numeric():
        return False
    there = (column.fill_null(0) != 0).to_numpy()
    happened = (outcome.cast(pl.Float64) != 0).to_numpy()
    if not 0 < there.mean() < USUAL or not 0 < happened.mean() < USUAL:
        return False
    return bool(happened[there].mean() >= TOLD or there[happened].mean() >= TOLD)


def read_times(column: pl.Series) -> pl.Series:
    """Microseconds since 1970 (UTC), of times, dates, ISO 8601 text or seconds since 1970.

    Raises
    ------
    ValueError
        When it holds none of these.
    """
    kind = column.dtype
    if kind.is_numeric():
        return (column.cast(pl.Float64) * 1e6).round().cast(pl.Int64)
    if kind == pl.String:
        text = pl.DataFrame({"time": column.str.replace(" ", "T")})
        try:
            column = text.select(pl.col("time").str.to_datetime(time_unit="us")).to_series()
        except pl.exceptions.PolarsError as error:
            raise ValueError(
                f"column {column.name!r} holds {column[0]!r}, which is no time; give ISO 8601 or "
                "seconds since 1970"
            ) from error
    if not column.dtype.is_temporal():
        raise ValueError(
            f"column {column.name!r} holds {kind} and must hold times; give ISO 8601 or seconds "
            "since 1970"
        )
    return column.cast(pl.Datetime("us")).cast(pl.Int64)
