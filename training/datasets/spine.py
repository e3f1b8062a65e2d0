"""The spine: whom to ask about and when, for all tasks of a run on one calendar.

Events come in, rows of (shopper, moment, label, weight) go out. A split knows only what was known
before its end, so nobody learns from a purchase that a trainer of that day had not seen.
Next: ``rows.py``, which asks the feature store about these rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import polars as pl

from feature_repo.events import known_at
from feature_repo.rollups import BEHAVIOURS

DAY = 86_400_000_000
WEEK = 7 * DAY
Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


class Calendar(Protocol):
    """What the spine asks of ``training.run.Calendar`` (times in microseconds, UTC)."""

    @property
    def horizon_days(self) -> int:
        """Length of the retention label's window."""

    @property
    def snapshot_every_days(self) -> int:
        """Distance between the moments at which every customer is asked about."""

    def window(self, split: Split) -> tuple[int | None, int]:
        """First moment (None: from the beginning) and end (exclusive) of `split`."""

    def snapshots(self, split: Split, first: int, window: int | None = None) -> tuple[int, ...]:
        """Moments of `split` at which every customer is asked about, ascending."""


class Asks(Protocol):
    """What the spine asks of a task; see ``training.tasks.task.Task``."""

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of its label columns of 0 and 1."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its other label columns."""

    @property
    def amounts(self) -> tuple[str, ...]:
        """Those of ``heads`` that are no chances."""

    @property
    def told(self) -> str:
        """What it knows beside events, as a fingerprint; empty for nothing."""

    def examples(self, events: pl.DataFrame, calendar: Calendar, split: Split) -> pl.DataFrame:
        """``user_id``, ``asked_at``, ``weight``, and ``targets`` or its label columns."""


def build(
    tasks: Mapping[str, Asks], events: pl.DataFrame, calendar: Calendar, split: Split
) -> pl.DataFrame:
    """The examples of all `tasks` in `split`, in the order of their moments.

    Returns
    -------
    ``task`` (index into `tasks`), ``user_id``, ``event_timestamp`` (what Feast joins on),
    ``asked_at``, ``week_at`` (start of the week whose catalogue the example sees), ``weight``,
    ``targets`` (item ids, empty where a task has none) and the columns of :func:`label_names`,
    null where they do not apply.

    Raises
    ------
    ValueError
        When a task asks outside the time of the split.
    """
    parts = [
        task.examples(events, calendar, split).with_columns(pl.lit(code, pl.Int64).alias("task"))
        for code, task in enumerate(tasks.values())
    ]
    empty = pl.DataFrame(schema=_schema(tasks))
    rows = pl.concat([empty, *parts], how="diagonal")
    _check_inside(rows, calendar, split)
    return rows.with_columns(
        pl.from_epoch("asked_at", time_unit="us")
        .dt.replace_time_zone("UTC")
        .alias("event_timestamp"),
        week_start(pl.col("asked_at"), _anchor(calendar, split)).alias("week_at"),
        pl.col("targets").fill_null([]),
    ).sort("asked_at", "user_id", "task", maintain_order=True)


def label_names(tasks: Mapping[str, Asks]) -> list[str]:
    """All label columns of `tasks`: those of heads first, so that a head's place is its column."""
    heads = [head for task in tasks.values() for head in task.heads]
    return heads + [label for task in tasks.values() for label in task.labels]


def known_before(events: pl.DataFrame, end: int) -> pl.DataFrame:
    """The events that were known strictly before `end`."""
    return events.filter(known_at() < end)


def first_known(events: pl.DataFrame) -> pl.DataFrame:
    """For every shopper, ``first_known_at``: when the first behaviour among `events` was known."""
    return (
        events.filter(pl.col("kind").is_in(BEHAVIOURS))
        .group_by("user_id")
        .agg(known_at().min().alias("first_known_at"))
    )


def week_start(moment: pl.Expr, anchor: int) -> pl.Expr:
    """The latest of the moments ``anchor + k weeks`` (k any whole number) not after `moment`."""
    return (moment - anchor).floordiv(WEEK) * WEEK + anchor


def _anchor(calendar: Calendar, split: Split) -> int:
    """Weeks of a split are counted from its last snapshot, so that snapshots start a week."""
    start, end = calendar.window(split)
    moments = calendar.snapshots(split, 0 if start is None else start)
    return moments[-1] if moments else end // DAY * DAY


def _schema(tasks: Mapping[str, Asks]) -> pl.Schema:
    labels = {name: pl.Float64() for name in label_names(tasks)}
    return pl.Schema(
        {
            "task": pl.Int64(),
            "user_id": pl.String(),
            "asked_at": pl.Int64(),
            "weight": pl.Float64(),
            "targets": pl.List(pl.String()),
            **labels,
        }
    )


def _check_inside(rows: pl.DataFrame, calendar: Calendar, split: Split) -> None:
    """No example may stand outside the time of its split, whatever a task did."""
    start, end = calendar.window(split)
    outside = rows.filter((pl.col("asked_at") < (start or 0)) | (pl.col("asked_at") >= end))
    if outside.height:
        raise ValueError(
            f"{outside.height} examples of the {split} split stand outside its time "
            f"[{start}, {end}), the first at {outside['asked_at'][0]}; the task must keep to "
            "calendar.window(split)"
        )
