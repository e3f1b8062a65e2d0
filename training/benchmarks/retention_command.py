"""``python -m training benchmark retention``: who stays, by a user's own orders or snapshots.

Next: ``retention.py``, ``snapshots.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feature_repo.show import plainly
from training.benchmarks.options import (
    Epochs,
    Features,
    Figures,
    File,
    Output,
    Size,
    Trainings,
    steps,
)

if TYPE_CHECKING:
    from training.benchmarks.retention import Found

Label = Annotated[
    str | None, typer.Option(help="column of who left (1) or stayed (0): rows are snapshots")
]
UserColumn = Annotated[str | None, typer.Option(help="column of who; of orders: user")]
TimeColumn = Annotated[
    str | None, typer.Option(help="column of when, ISO 8601 or seconds; of orders: time")
]
Recency = Annotated[
    str | None, typer.Option(help="with --label: column of days since the last purchase")
]


def retention(
    table: File,
    user: UserColumn = None,
    time: TimeColumn = None,
    amount: Annotated[str | None, typer.Option(help="column of the order's value")] = None,
    label: Label = None,
    recency: Recency = None,
    feature: Features = None,
    horizon_days: Annotated[int, typer.Option(min=3, help="how far ahead it is asked")] = 90,
    seeds: Trainings = 1,
    size: Size = "tiny",
    epochs: Epochs = 3,
    figures: Figures = None,
    output: Output = None,
) -> None:
    """Say how well those who leave can be told, and what is spent: the model beside floors."""
    from training.benchmarks import page
    from training.benchmarks import retention_page as told

    asked = {
        "horizon_days": horizon_days, "num_seeds": seeds, "size": size, "num_epochs": epochs,
    }  # fmt: skip
    with plainly(), steps(seeds + 1) as step:
        if label is None:
            _only_with_label(recency=recency, feature=feature)
            found = _of_orders(table, step, user=user, time=time, amount=amount, **asked)
        else:
            if amount is not None:
                raise ValueError(
                    "--amount is a column of orders, and --label one of snapshots; name one of them"
                )
            found = _of_snapshots(
                table, step, label=label, user=user, time=time, recency=recency,
                features=tuple(feature) if feature else None, **asked,
            )  # fmt: skip
    tables = told.tables(found)
    for name, (heads, rows) in tables.items():
        page.show(name, heads, rows)
    page.tell(told.words(found))
    page.figures(figures, told.title(table.name), told.facts(found), tables)
    page.write(output or Path(f"{table.stem}-retention.html"), told.page(table.name, found))


def _only_with_label(**options: Any) -> None:
    """Refuse options of snapshots for a table of orders."""
    for name, value in options.items():
        if value:
            raise ValueError(f"--{name} is of snapshots; name by --label the column of who left")


def _of_orders(
    table: Path, step: Callable[[str], None], *, user: str | None, time: str | None, **asked: Any
) -> Found:
    """Snapshots are made of orders, every week."""
    from training.benchmarks import order_table
    from training.benchmarks.retention import retention as ask

    question = order_table.Question(user=user or "user", time=time or "time", **asked)
    return ask(order_table.read(table, question), question, step)


def _of_snapshots(table: Path, step: Callable[[str], None], **asked: Any) -> Found:
    """Snapshots stand in the table."""
    from training.benchmarks import snapshot_table
    from training.benchmarks.snapshots import snapshots as ask

    question = snapshot_table.Question(**asked)
    return ask(snapshot_table.read(table, question), question, step)
