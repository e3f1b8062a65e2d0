"""A user's own table, whatever is asked of it: read, and its columns checked.

Next: ``benchmarks/commands.py``, and ``serving/experiments/own_table.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import polars as pl

READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".csv": lambda path: pl.read_csv(path, infer_schema_length=None),
    ".parquet": pl.read_parquet,
}
CONTROLS = ("control", "nothing", "none", "holdout", "placebo", "a", "0", "false")
"""Names by which a control is known when none is named."""
WITHOUT = ("no ", "no-", "no_", "without")


def open_table(path: Path) -> pl.DataFrame:
    """All of a CSV or Parquet file.

    Raises
    ------
    ValueError
        When it is none, cannot be read, or has no rows.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}; give a CSV or Parquet file")
    if path.suffix.lower() not in READERS:
        raise ValueError(f"{path.name} ends in {path.suffix!r}; give .csv or .parquet")
    try:
        frame = READERS[path.suffix.lower()](path)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path.name} cannot be read ({reason}); save it again") from error
    if frame.is_empty():
        raise ValueError(f"{path.name} has no rows; give one with a row for each case")
    return frame


def check_columns(frame: pl.DataFrame, columns: Iterable[str], name: str) -> None:
    """Refuse columns that the table called `name` does not have.

    Raises
    ------
    ValueError
        With those that it has.
    """
    for column in columns:
        if column not in frame.columns:
            raise ValueError(f"{name} has no column {column!r}; it has {', '.join(frame.columns)}")


def check_number(frame: pl.DataFrame, column: str) -> None:
    """Refuse what is not finite numbers, empty cells apart.

    Raises
    ------
    ValueError
        With an example of what there is.
    """
    kind = frame.schema[column]
    if not (kind.is_numeric() or kind == pl.Boolean):
        example = frame[column].drop_nulls().head(1).to_list()
        raise ValueError(
            f"column {column!r} holds {kind} ({example}) and must hold numbers; name another, or "
            "turn it into numbers"
        )
    if kind.is_float() and not frame[column].drop_nulls().is_finite().all():
        raise ValueError(f"column {column!r} holds NaN or infinity; leave those rows out")


def check_full(frame: pl.DataFrame, column: str, what: str) -> None:
    """Refuse empty cells in a column that every row needs as its `what`.

    Raises
    ------
    ValueError
        With their number.
    """
    if missing := frame[column].null_count():
        raise ValueError(
            f"column {column!r} is empty in {missing:,} of {len(frame):,} rows; every row has an "
            f"{what}: leave those rows out, or write 0 where nothing happened"
        )


def control_first(arms: Sequence[str], control: str | None) -> tuple[str, ...]:
    """The arms, the control first: the one named, or the one whose name says so, or the first.

    Raises
    ------
    ValueError
        When no arm is called `control`.
    """
    known = [arm for name in CONTROLS for arm in arms if arm.lower() == name]
    known += [arm for arm in arms if arm.lower().startswith(WITHOUT)]
    first = control or (known or list(arms))[0]
    if first not in arms:
        raise ValueError(f"there is no arm {first!r}; choose the control from {', '.join(arms)}")
    return (first, *(arm for arm in arms if arm != first))
