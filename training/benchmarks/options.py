"""Options that several benchmark commands share, with the words of their help.

Next: ``commands.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Time = Annotated[str, typer.Option(help="column of when: ISO 8601 or seconds")]
Size = Annotated[str, typer.Option(help="tiny, small or base")]
Seed = Annotated[int, typer.Option(min=0, help="of every random choice")]
Trainings = Annotated[int, typer.Option(min=1, help="trainings, each from its own seed")]
Epochs = Annotated[int, typer.Option(min=1, help="passes over the training examples")]
Output = Annotated[Path | None, typer.Option(help="where the page goes")]
Figures = Annotated[Path | None, typer.Option(help="where the tables go as JSON")]
