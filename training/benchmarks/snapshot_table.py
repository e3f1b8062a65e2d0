"""A table of snapshots: who was asked about, when, what was known then, and who left afterwards.

Next: ``snapshots.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from training.benchmarks.asked import Asked
from training.benchmarks.table import read_features, read_numbers, read_times, read_users
from training.datasets.histories import Ints
from training.datasets.snapshots import Snapshots
from training.evaluate.measure import RECENCY
from training.own_table import check_columns, check_full, check_number, open_table

DAY = 86_400_000_000
NEWEST = 0.1
"""Of the rows that are left, the newest ones: the test, then validation."""
DEALT = (0.6, 0.8)
"""Where validation and the test begin among shoppers dealt by chance."""
LEAST = 30
"""Rows of each split at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Asked):
    """Which column is what, and how it is asked."""

    label: str
    user: str | None = None
    """None: every row is a shopper of its own."""
    time: str | None = None
    """None: nothing is known of time, and shoppers are dealt by chance."""
    recency: str | None = None
    """Column of days since the last purchase, which gives a floor and a population of its own."""
    features: tuple[str, ...] | None = None
    """None: all other columns."""


@dataclass(frozen=True, slots=True)
class Table:
    """The snapshots, and which of them are whose: rows by split."""

    snapshots: Snapshots
    rows: dict[str, Ints]
    notes: tuple[str, ...]


def read(path: Path, question: Question) -> Table:
    """Read and check the table at `path`.

    Raises
    ------
    ValueError
        When a column is missing, empty or of another kind, nobody or everybody leaves, or too few
        snapshots closed before those that are asked about.
    """
    frame, q = open_table(path), question
    named = {"label": q.label, "user": q.user, "time": q.time, "recency": q.recency}
    taken = [column for column in named.values() if column]
    check_columns(frame, taken, path.name)
    label = _label(frame, q.label)
    features = read_features(frame, q.features, taken, q.label, path.name)
    values = features.values
    names = tuple(f"feature_{number}" for number in range(values.shape[1]))
    if q.recency:
        check_number(frame, q.recency)
        recency = frame[q.recency].cast(pl.Float64).fill_null(np.nan).to_numpy()
        values, names = np.column_stack([values, recency]), (*names, RECENCY)
    user = read_users(frame, q.user)
    asked_at = np.zeros(len(frame), dtype=np.int64)
    if q.time:
        check_full(frame, q.time, "instant")
        asked_at = read_times(frame[q.time]).to_numpy().astype(np.int64)
    snapshots = Snapshots(
        user=np.arange(len(frame)).astype(str) if user is None else user,
        asked_at=asked_at,
        label=label,
        values=values,
        names=names,
    )
    notes = list(features.notes)
    if q.time:
        rows = by_time(asked_at, q.horizon_days)
    else:
        rows = dealt(snapshots.user)
        notes.append(
            "No --time was named: shoppers were dealt to training, validation and test by chance, "
            "and nothing is claimed of time."
        )
    for split, some in rows.items():
        if len(some) < LEAST:
            raise ValueError(
                f"{len(some)} snapshots are left for {split} and {LEAST} is the least; bring more, "
                "lower --horizon-days, or leave --time out"
            )
    return Table(snapshots, rows, tuple(notes))


def _label(frame: pl.DataFrame, column: str) -> np.ndarray:
    """1.0 for who left, 0.0 for who stayed (n,)."""
    label = read_numbers(frame, column, "label")
    if not np.isin(label, (0, 1)).all():
        wrong = label[~np.isin(label, (0, 1))][0]
        raise ValueError(
            f"column {column!r} holds {wrong:g} and must hold 1 (left) or 0 (stayed); name "
            "another by --label, or turn it into these"
        )
    if len(np.unique(label)) < 2:
        raise ValueError(
            f"column {column!r} is {label[0]:g} in all {len(label):,} rows; nothing can be learnt "
            "from it: bring shoppers of both kinds"
        )
    return label


def by_time(asked_at: Ints, horizon_days: int) -> dict[str, Ints]:
    """Rows by split: those of the newest moments are the test, those before them validation.

    No label of a split came about after the next one's first moment.
    """
    test = _newest(asked_at)
    valid = _newest(asked_at, closed_by=test - horizon_days * DAY)
    closed = np.flatnonzero(asked_at <= valid - horizon_days * DAY)
    held = (asked_at >= valid) & (asked_at <= test - horizon_days * DAY)
    return {
        "train": closed,
        "valid": np.flatnonzero(held),
        "test": np.flatnonzero(asked_at >= test),
    }


def _newest(asked_at: Ints, closed_by: int | None = None) -> int:
    """The latest moment such that a share of the rows up to `closed_by` lies at or after it."""
    told = np.sort(asked_at if closed_by is None else asked_at[asked_at <= closed_by])
    if not len(told):
        days = (asked_at.max() - asked_at.min()) / DAY
        raise ValueError(
            f"the snapshots span {days:.0f} days, too few for training, validation and test whose "
            "labels closed before one another; bring older ones, lower --horizon-days, or leave "
            "--time out"
        )
    return int(told[min(int(np.ceil((1.0 - NEWEST) * len(told))), len(told) - 1)])


def dealt(user: np.ndarray) -> dict[str, Ints]:
    """Rows by split, where each shopper's stay together: three fifths, one and one."""
    known, number = np.unique(user, return_inverse=True)
    place = np.random.default_rng(0).permutation(len(known))[number] / len(known)
    return {
        "train": np.flatnonzero(place < DEALT[0]),
        "valid": np.flatnonzero((place >= DEALT[0]) & (place < DEALT[1])),
        "test": np.flatnonzero(place >= DEALT[1]),
    }
