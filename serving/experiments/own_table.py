"""A user's own table of an experiment, checked and brought to one row for each user.

Next: ``analysis.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from serving.experiments.analysis import Setup
from serving.experiments.questions import Metric
from training.own_table import check_columns, check_full, check_number, control_first, open_table

MAX_ARMS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which column of the table is what."""

    arm: str
    outcome: str
    before: str | None = None
    user: str | None = None
    ratio_of: str | None = None
    """The outcome is divided by this column: sums over sums."""
    segments: tuple[str, ...] = ()


def read(path: Path, columns: Columns) -> tuple[pl.DataFrame, list[str]]:
    """One row for each user with arm, outcome, per, before and segments; notes on what was done.

    Without a user column each row is a user, in order of the file.

    Raises
    ------
    ValueError
        When the file cannot be read or a column cannot be what it is said to be.
    """
    frame = open_table(path)
    named = [columns.arm, columns.outcome, columns.before, columns.user, columns.ratio_of]
    check_columns(frame, (*filter(None, named), *columns.segments), path.name)
    check_full(frame, columns.arm, "arm")
    for column in filter(None, (columns.outcome, columns.ratio_of, columns.before)):
        check_number(frame, column)
    for column in filter(None, (columns.outcome, columns.ratio_of)):
        check_full(frame, column, "outcome")
    return _by_user(_renamed(frame, columns), columns)


def setup_of(
    users: pl.DataFrame,
    columns: Columns,
    *,
    control: str | None = None,
    shares: Mapping[str, float] | None = None,
    correction: str = "holm",
    alpha: float = 0.05,
    planned_num: int = 5_000,
) -> Setup:
    """What the table is asked: its arms, the control first, and its one metric.

    Raises
    ------
    ValueError
        When there are not 2 to ``MAX_ARMS`` arms, or control or shares name none of them.
    """
    found = sorted(users["arm"].unique())
    if not 2 <= len(found) <= MAX_ARMS:
        raise ValueError(
            f"column {columns.arm!r} has {len(found)} different values; an experiment has 2 to "
            f"{MAX_ARMS} arms, so name the column that tells them"
        )
    arms = control_first(found, control)
    given = shares or dict.fromkeys(arms, 1 / len(arms))
    if set(given) != set(arms) or min(given.values()) <= 0:
        raise ValueError(
            f"shares are given of {', '.join(sorted(given))} and the arms are {', '.join(arms)}; "
            "give each arm one above 0"
        )
    total = sum(given.values())
    return Setup(
        control=arms[0],
        arms=arms,
        shares=tuple(given[arm] / total for arm in arms),
        metrics=(_metric(users, columns),),
        segments=columns.segments,
        correction=correction,
        alpha=alpha,
        planned_num=planned_num,
    )


def _renamed(frame: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    chosen = {"arm": pl.col(columns.arm).cast(pl.String), "outcome": pl.col(columns.outcome)}
    if columns.ratio_of:
        chosen["per"] = pl.col(columns.ratio_of)
    if columns.before:
        chosen["before"] = pl.col(columns.before)
    if columns.user:
        chosen["user"] = pl.col(columns.user).cast(pl.String)
    numbers = {name: chosen[name].cast(pl.Float64) for name in chosen if name in _NUMBERS}
    segments = {name: pl.col(name).cast(pl.String) for name in columns.segments}
    return frame.select(**(segments | chosen | numbers))


_NUMBERS = ("outcome", "per", "before")


def _by_user(frame: pl.DataFrame, columns: Columns) -> tuple[pl.DataFrame, list[str]]:
    """Rows of one user added up; a user stays in the order of the first row."""
    notes = []
    if columns.user is not None:
        check_full(frame, "user", "id")
        many = frame.group_by("user").agg(pl.col("arm").n_unique()).filter(pl.col("arm") > 1)
        if len(many):
            raise ValueError(
                f"{len(many):,} users are in more than one arm, {many['user'][0]!r} among them; a "
                "user must stay in one: leave them out, or name the column that was randomised"
            )
        rows = len(frame)
        summed = [pl.col(name).sum() for name in ("outcome", "per") if name in frame.columns]
        kept = [pl.col(name).first() for name in ("arm", *columns.segments)]
        mean = [pl.col("before").mean()] if columns.before else []
        frame = frame.group_by("user", maintain_order=True).agg(*kept, *summed, *mean)
        notes.append(f"{rows:,} rows of {len(frame):,} users: outcomes of a user are added up.")
    if columns.before and (missing := frame["before"].null_count()):
        frame = frame.with_columns(pl.col("before").fill_null(pl.col("before").mean()))
        notes.append(f"{missing:,} users without {columns.before!r} get the mean of the others.")
    return frame, notes


def _metric(users: pl.DataFrame, columns: Columns) -> Metric:
    if columns.ratio_of is not None:
        words = f"{columns.outcome} per {columns.ratio_of}"
        return Metric(columns.outcome, "ratio", "outcome", words, per="per")
    is_binary = set(users["outcome"].unique()) <= {0.0, 1.0}
    words = f"share with {columns.outcome}" if is_binary else f"{columns.outcome} per user"
    return Metric(columns.outcome, "proportion" if is_binary else "mean", "outcome", words)


def check_segments(users: pl.DataFrame, segments: Sequence[str], most: int = 50) -> None:
    """Refuse to look through more groups than can tell anything.

    Raises
    ------
    ValueError
        When a column has more than `most` different values.
    """
    for column in segments:
        if (num := users[column].n_unique()) > most:
            raise ValueError(
                f"segment column {column!r} has {num:,} different values; give one with {most} at "
                "most, such as bands of it"
            )
