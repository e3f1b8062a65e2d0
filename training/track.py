"""Where a training runs and what it tells on the way: the seam to Ray, progress, a bar.

Next: ``loop.py``.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class Runtime(Protocol):
    """Where a training runs."""

    rank: int
    world: int
    device: str

    def report(self, metrics: dict[str, float], checkpoint: Path | None) -> None:
        """Tell the numbers of an epoch; `checkpoint` is a folder that may vanish afterwards."""

    def checkpoint(self) -> Path | None:
        """The folder last reported by an earlier attempt at this same run, if any."""


@dataclass(frozen=True, slots=True)
class PlainRuntime:
    """One process; the last checkpoint stays in `folder`."""

    folder: Path
    rank: int = 0
    world: int = 1
    device: str = "cpu"

    def report(self, metrics: dict[str, float], checkpoint: Path | None) -> None:
        """Keep the checkpoint in the place of the one before."""
        if checkpoint is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            shutil.copytree(checkpoint, self.folder)

    def checkpoint(self) -> Path | None:
        """The folder, once something lies in it."""
        return self.folder if (self.folder / "progress.json").exists() else None


@dataclass(slots=True)
class Progress:
    """How far a training is, and what it saw on the way."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    history: list[dict[str, float]] = field(default_factory=list)


@contextmanager
def progress_bar(title: str, total: int, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar of `total` examples, when `shown` and somebody sits at a terminal."""
    if not (shown and sys.stderr.isatty()):
        yield lambda num: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda num: bar.advance(task, num)
