"""What several benchmark commands share: options with the words of their help, and a bar.

Next: ``commands.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from feature_repo.show import bar

File = Annotated[Path, typer.Argument(help="a CSV or Parquet file, a row for each case")]
Features = Annotated[
    list[str] | None,
    typer.Option("--feature", help="column known before; repeatable; default: the rest"),
]
User = Annotated[
    str | None,
    typer.Option(help="column of user ids, where users have many rows: intervals are of users"),
]

Time = Annotated[str, typer.Option(help="column of when: ISO 8601 or seconds")]
Size = Annotated[str, typer.Option(help="tiny, small or base")]
Seed = Annotated[int, typer.Option(min=0, help="of every random choice")]
Trainings = Annotated[int, typer.Option(min=1, help="trainings, each from its own seed")]
Epochs = Annotated[int, typer.Option(min=1, help="passes over the training examples")]
Output = Annotated[Path | None, typer.Option(help="where the page goes")]
Figures = Annotated[Path | None, typer.Option(help="where the tables go as JSON")]


@contextmanager
def steps(num: int) -> Iterator[Callable[[str], None]]:
    """A bar of `num` steps, and what to call before each."""
    with bar() as progress:
        task = progress.add_task("", total=num, completed=-1)

        def step(text: str) -> None:
            progress.update(task, description=text, advance=1)

        yield step
        progress.update(task, description="done", completed=num)
